package api

import (
	"cmp"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// methods are those that some call may have.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// Handler serves everything under /v1 that is described in the OpenAPI document.
func (a *API) Handler() http.Handler {
	return Identified(a.counted(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent := r.Body
		defer func() { linger(w, r, sent) }()
		secure(w.Header())
		share(w.Header())
		if err := a.admit(w, r); err != nil {
			a.refuse(w, r, err)
			return
		}
		if r.Method == http.MethodOptions {
			preflight(w)
			return
		}
		a.mux.ServeHTTP(w, r)
	})))
}

// admit does what comes before any call: is there such a path and method, does the address ask too often, is the body
// small enough.
func (a *API) admit(w http.ResponseWriter, r *http.Request) error {
	_, pattern := a.mux.Handler(r)
	if pattern == "" {
		allowed := a.allowed(r)
		if len(allowed) == 0 {
			return errNoPath
		}
		w.Header().Set("Allow", strings.Join(append(allowed, http.MethodOptions), ", "))
		if r.Method != http.MethodOptions {
			return errMethod
		}
	}
	b := a.limits.commands
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
		b = a.limits.reads
	}
	if err := allow(b, a.cfg.Now(), a.address(r)); err != nil {
		return err
	}
	longest := int64(cmp.Or(a.bodies[pattern], bodyMax))
	if r.ContentLength > longest {
		return errTooLarge
	}
	if b == a.limits.commands {
		// For calls without a body too: the server reads what was announced before it goes on to the next request.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // no connection, nothing to wait for
	}
	r.Body = &body{io.LimitReader(r.Body, longest+1)} // one byte more than is allowed, so that whoever reads sees that there is more
	return nil
}

// AdmitSession reports whether a media session may be opened, changed or ended by the address of a request: not if it asks too often.
func (a *API) AdmitSession(r *http.Request) error {
	return allow(a.limits.sessions, a.cfg.Now(), a.address(r))
}

// RefusalTold reports whether what is refused to the address of a request, which it names, is to be told in the log, and how many were not since the
// last one: nobody fills a log by being refused, and nobody keeps others out of it.
func (a *API) RefusalTold(r *http.Request) (address string, untold uint64, ok bool) {
	address = a.address(r)
	if allow(a.limits.told, a.cfg.Now(), address) != nil || allow(a.limits.toldInAll, a.cfg.Now(), "all") != nil {
		a.untold.Add(1)
		return address, 0, false
	}
	return address, a.untold.Swap(0), true
}

// body is a request's body as the calls read it. It is not closed early: the server would read on, up to 256 KiB.
type body struct{ io.Reader }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = errBody // late or cut short: the decoder knows only the former
	}
	return n, err
}

// Close does nothing.
func (b *body) Close() error { return nil }

// bodyError is the net.Error of a body that did not arrive.
type bodyError struct{}

func (bodyError) Error() string   { return "the body did not arrive" }
func (bodyError) Timeout() bool   { return true }
func (bodyError) Temporary() bool { return true }

// allowed lists the methods that the path of r has.
func (a *API) allowed(r *http.Request) []string {
	probe := *r
	return slices.DeleteFunc(slices.Clone(methods), func(m string) bool {
		probe.Method = m
		_, pattern := a.mux.Handler(&probe)
		return pattern == ""
	})
}

// refuse answers with err, and logs what is our own fault.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if _, known := problemOf(err); !known && r.Context().Err() == nil {
		a.cfg.Logger.Error("request failed", "method", r.Method, "pattern", r.Pattern, "request", RequestID(r.Context()), "error", err)
	}
	WriteProblem(w, r, err)
}

// secure sets what keeps a browser from taking an answer for anything but data.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// share lets pages of any origin use the API (Fetch standard §3.2). There are no cookies: a page can only say what it has a
// token for, so an origin proves nothing here.
func share(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Location, ETag, Link, Retry-After, Idempotency-Replayed, Rotunda-From, Rotunda-Until, X-Request-Id")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

func preflight(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", h.Get("Allow"))
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Request-Id, Traceparent")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}

// counted counts the answers by class.
func (a *API) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() { a.cfg.Metrics.HTTPResponses.With(strconv.Itoa(s.status/100) + "xx").Inc() }()
		next.ServeHTTP(s, r)
	})
}

const (
	// lingerTime is how long a connection stays open after its sender was told that the body is too large, and lingerMax how
	// much of the rest is read meanwhile, in bytes. Closed at once, with the rest unread, TCP would reset it, and a sender that
	// is still writing would see the reset and not the answer (RFC 9112 §9.6).
	lingerTime = 500 * time.Millisecond
	lingerMax  = 32 << 10
)

// linger ends a connection whose request was refused as too large, in a way that lets its sender read the answer.
func linger(w http.ResponseWriter, r *http.Request, sent io.Reader) {
	s, ok := w.(*statusWriter)
	if !ok || s.status != http.StatusRequestEntityTooLarge || r.ProtoMajor != 1 {
		return
	}
	over := time.Now().Add(lingerTime)
	c := http.NewResponseController(s.ResponseWriter)
	if c.Flush() != nil || c.SetReadDeadline(over) != nil {
		return // no connection, nothing to wait for
	}
	if n, _ := io.CopyN(io.Discard, sent, lingerMax); n == lingerMax {
		time.Sleep(time.Until(over))
	}
	_ = c.SetReadDeadline(time.Unix(1, 0)) // long ago: the server reads no more of it
}

// statusWriter remembers the status, and lets no further request come on a connection whose body is too large.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	if status == http.StatusRequestEntityTooLarge {
		s.Header().Set("Connection", "close")
	}
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }
