package whip

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control/room"
	"rotunda/control/token"
)

// fakeSession is a session without media.
type fakeSession struct {
	id   string
	done chan struct{}
	once sync.Once
}

func (f *fakeSession) ID() string            { return f.id }
func (f *fakeSession) Done() <-chan struct{} { return f.done }
func (f *fakeSession) AfterDone(fn func()) {
	go func() {
		<-f.done
		fn()
	}()
}
func (f *fakeSession) Close() { f.once.Do(func() { close(f.done) }) }

var errToken = errors.New("token")

// bench is a handler whose tokens are "Bearer <user>" or "Bearer <user>@<room>", and whose Open answers err or a session.
type bench struct {
	http.Handler
	err      error
	asked    []Request
	refused  []Refusal
	sessions []*fakeSession
}

func newBench(t testing.TB, edits ...func(*Config)) *bench {
	b := &bench{}
	t.Cleanup(func() {
		for _, s := range b.sessions {
			s.Close()
		}
	})
	cfg := Config{
		Authenticate: func(r *http.Request) (token.Claims, error) {
			who, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if !ok {
				return token.Claims{}, errToken
			}
			user, room, _ := strings.Cut(who, "@")
			return token.Claims{User: rotunda.UserID(user), Room: rotunda.RoomID(room)}, nil
		},
		Refused: func(_ *http.Request, q Refusal) { b.refused = append(b.refused, q) },
		Problem: func(w http.ResponseWriter, _ *http.Request, err error) {
			switch {
			case errors.Is(err, errToken):
				http.Error(w, err.Error(), http.StatusUnauthorized)
			case errors.Is(err, room.ErrNotLive):
				http.Error(w, err.Error(), http.StatusConflict)
			case errors.Is(err, token.ErrWrongRoom):
				http.Error(w, err.Error(), http.StatusForbidden)
			default:
				http.Error(w, err.Error(), http.StatusTeapot)
			}
		},
		Open: func(_ context.Context, r Request) (Session, string, error) {
			b.asked = append(b.asked, r)
			if b.err != nil {
				return nil, "", b.err
			}
			s := &fakeSession{id: fmt.Sprintf("s%d", len(b.sessions)), done: make(chan struct{})}
			b.sessions = append(b.sessions, s)
			return s, "v=0\r\nanswer", nil
		},
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	b.Handler = New(cfg)
	return b
}

// do sends a request; headers are "Name: value".
func (b *bench) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

const (
	ada      = "Authorization: Bearer ada"
	eve      = "Authorization: Bearer eve"
	sdp      = "Content-Type: application/sdp"
	frag     = "Content-Type: application/trickle-ice-sdpfrag"
	trickled = "a=ice-ufrag:x\r\na=ice-pwd:y\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
)

func TestPost(t *testing.T) {
	for _, kind := range []Kind{Publish, Play} {
		b := newBench(t)
		w := b.do("POST", "/v1/rooms/r1/"+string(kind), "v=0", ada, sdp)
		if w.Code != http.StatusCreated {
			t.Fatalf("%s: status %d, want exactly 201", kind, w.Code)
		}
		for name, want := range map[string]string{
			"Location": "/v1/rooms/r1/" + string(kind) + "/s0", "Content-Type": "application/sdp", "Access-Control-Allow-Origin": "*",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", kind, name, got, want)
			}
		}
		if tag := w.Header().Get("ETag"); len(tag) != 18 || tag[0] != '"' || tag[17] != '"' {
			t.Errorf("ETag is %s, want a strong one of 16 characters", tag)
		}
		if !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "Location") || w.Body.String() != "v=0\r\nanswer" {
			t.Errorf("%s: %v %q", kind, w.Header(), w.Body)
		}
		if r := b.asked[0]; r.Kind != kind || r.Room != "r1" || r.Claims.User != "ada" || r.Offer != "v=0" {
			t.Errorf("asked for %+v", r)
		}
	}
}

func TestPostRefused(t *testing.T) {
	long := strings.Repeat("a", OfferMax+1)
	for _, c := range []struct {
		name    string
		room    string // r1 if empty
		body    string
		headers []string
		err     error
		status  int
		header  string // that must be there, "Name: value"
		opened  bool   // Open is reached
	}{
		{name: "no token", body: "v=0", headers: []string{sdp}, status: 401},
		{name: "token of another room", body: "v=0", headers: []string{"Authorization: Bearer ada@r2", sdp}, status: 403},
		{name: "JSON", body: "{}", headers: []string{ada, "Content-Type: application/json"}, status: 415, header: "Accept-Post: application/sdp"},
		{name: "no media type", body: "v=0", headers: []string{ada}, status: 415},
		{name: "media type with a parameter is fine", body: "v=0", headers: []string{ada, "Content-Type: application/sdp; charset=utf-8"}, status: 201, opened: true},
		{name: "media type in capitals is fine", body: "v=0", headers: []string{ada, "Content-Type: Application/SDP"}, status: 201, opened: true},
		{name: "longest offer", body: long[1:], headers: []string{ada, sdp}, status: 201, opened: true},
		{name: "too long", body: long, headers: []string{ada, sdp}, status: 413},
		{name: "no such room can be", room: "r%0d%0a1", body: "v=0", headers: []string{ada, sdp}, status: 404},
		{name: "empty", headers: []string{ada, sdp}, status: 400},
		{name: "bad offer", body: "x", headers: []string{ada, sdp}, err: fmt.Errorf("line 1: %w", ErrOffer), status: 422, opened: true},
		{name: "not live", body: "x", headers: []string{ada, sdp}, err: room.ErrNotLive, status: 409, opened: true},
		{name: "busy", body: "x", headers: []string{ada, sdp}, err: ErrBusy, status: 503, header: "Retry-After: 2", opened: true},
		{name: "elsewhere", body: "x", headers: []string{ada, sdp}, err: &Redirect{URL: "https://b.test/v1/rooms/r1/whip"}, status: 307, header: "Location: https://b.test/v1/rooms/r1/whip?sent-on", opened: true},
		{name: "elsewhere, a page", body: "x", headers: []string{ada, sdp, "Origin: https://a.test"}, err: &Redirect{URL: "https://b.test/v1/rooms/r1/whip"}, status: 503, header: "Retry-After: 2", opened: true},
		{name: "another error", body: "x", headers: []string{ada, sdp}, err: errors.New("?"), status: 418, opened: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.err = c.err
			w := b.do("POST", "/v1/rooms/"+cmp.Or(c.room, "r1")+"/whip", c.body, c.headers...)
			if w.Code != c.status {
				t.Errorf("status %d, want %d: %s", w.Code, c.status, w.Body)
			}
			if name, want, _ := strings.Cut(c.header, ": "); name != "" && w.Header().Get(name) != want {
				t.Errorf("%s is %q, want %q", name, w.Header().Get(name), want)
			}
			if (len(b.asked) == 1) != c.opened {
				t.Errorf("Open was called %d times", len(b.asked))
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Error("a page cannot read this answer")
			}
			if w.Header().Get("Content-Type") == "application/problem+json" {
				var p struct {
					Type, Title, Detail string
					Status              int
				}
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != c.status || !strings.HasPrefix(p.Type, "urn:rotunda:problem:") || p.Title == "" || p.Detail == "" {
					t.Errorf("problem %s (%v)", w.Body, err)
				}
			}
		})
	}
}

func TestMethods(t *testing.T) {
	b := newBench(t)
	b.do("POST", "/v1/rooms/r1/whep", "v=0", ada, sdp)
	for _, c := range []struct {
		method, path string
		status       int
		header       string
	}{
		{"OPTIONS", "/v1/rooms/r1/whip", 200, "Accept-Post: application/sdp"},
		{"OPTIONS", "/v1/rooms/r1/whep", 200, "Access-Control-Allow-Methods: POST, OPTIONS"},
		{"OPTIONS", "/v1/rooms/r1/whep/s0", 200, "Accept-Patch: application/trickle-ice-sdpfrag"},
		{"OPTIONS", "/v1/rooms/r1/whep/s0", 200, "Access-Control-Allow-Headers: Authorization, Content-Type, If-Match"},
		{"GET", "/v1/rooms/r1/whip", 405, "Allow: POST, OPTIONS"},
		{"HEAD", "/v1/rooms/r1/whip", 405, "Allow: POST, OPTIONS"},
		{"PUT", "/v1/rooms/r1/whip", 405, "Allow: POST, OPTIONS"},
		{"DELETE", "/v1/rooms/r1/whip", 405, "Allow: POST, OPTIONS"},
		{"PATCH", "/v1/rooms/r1/whip", 405, "Allow: POST, OPTIONS"},
		{"GET", "/v1/rooms/r1/whep/s0", 405, "Allow: PATCH, DELETE, OPTIONS"},
		{"HEAD", "/v1/rooms/r1/whep/s0", 405, "Allow: PATCH, DELETE, OPTIONS"},
		{"POST", "/v1/rooms/r1/whep/s0", 405, "Allow: PATCH, DELETE, OPTIONS"},
		{"PUT", "/v1/rooms/r1/whep/s0", 405, "Allow: PATCH, DELETE, OPTIONS"},
	} {
		w := b.do(c.method, c.path, "") // without a token
		name, want, _ := strings.Cut(c.header, ": ")
		if w.Code != c.status || w.Header().Get(name) != want {
			t.Errorf("%s %s: %d, %s %q, want %d, %q", c.method, c.path, w.Code, name, w.Header().Get(name), c.status, want)
		}
	}
}

func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.do("POST", "/v1/rooms/r1/whip", "v=0", ada, sdp)
		for _, c := range []struct {
			name, path string
			headers    []string
			status     int
		}{
			{"without a token", "/v1/rooms/r1/whip/s0", nil, 401},
			{"by somebody else", "/v1/rooms/r1/whip/s0", []string{eve}, 403},
			{"in another room", "/v1/rooms/r2/whip/s0", []string{ada}, 404},
			{"as the other kind", "/v1/rooms/r1/whep/s0", []string{ada}, 404},
			{"of a guess", "/v1/rooms/r1/whip/s1", []string{ada}, 404},
		} {
			if w := b.do("DELETE", c.path, "", c.headers...); w.Code != c.status {
				t.Errorf("%s: status %d, want %d", c.name, w.Code, c.status)
			}
		}
		select {
		case <-b.sessions[0].Done():
			t.Fatal("a refused DELETE ended the session")
		default:
		}
		if w := b.do("DELETE", "/v1/rooms/r1/whip/s0", "", ada); w.Code != http.StatusOK {
			t.Errorf("status %d, want 200", w.Code)
		}
		<-b.sessions[0].Done()
		synctest.Wait()
		for _, c := range []struct {
			name, method, path, who string
			status                  int
		}{
			{"again: it is over, as was asked", "DELETE", "/v1/rooms/r1/whip/s0", ada, 200}, // RFC 9110 §9.2.2
			{"again by somebody else", "DELETE", "/v1/rooms/r1/whip/s0", eve, 404},
			{"again in another room", "DELETE", "/v1/rooms/r2/whip/s0", ada, 404},
			{"again as the other kind", "DELETE", "/v1/rooms/r1/whep/s0", ada, 404},
			{"of what never was", "DELETE", "/v1/rooms/r1/whip/s1", ada, 404},
			{"a restart of what is over", "PATCH", "/v1/rooms/r1/whip/s0", ada, 404},
		} {
			if w := b.do(c.method, c.path, trickled, c.who, frag, "If-Match: *"); w.Code != c.status {
				t.Errorf("%s: status %d, want %d", c.name, w.Code, c.status)
			}
		}
	})
}

// A session that ends by itself is forgotten.
func TestSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.do("POST", "/v1/rooms/r1/whip", "v=0", ada, sdp)
		b.sessions[0].Close()
		synctest.Wait()
		if w := b.do("PATCH", "/v1/rooms/r1/whip/s0", trickled, ada, frag, "If-Match: *"); w.Code != http.StatusNotFound {
			t.Errorf("status %d, want 404", w.Code)
		}
	})
}

func TestPatch(t *testing.T) {
	b := newBench(t)
	tag := b.do("POST", "/v1/rooms/r1/whip", "v=0", ada, sdp).Header().Get("ETag")
	for _, c := range []struct {
		name, body string
		headers    []string
		status     int
	}{
		{"trickle", trickled, []string{ada, frag, "If-Match: " + tag}, 204},
		{"one of several tags", trickled, []string{ada, frag, `If-Match: "x", ` + tag}, 204},
		{"ICE restart", trickled, []string{ada, frag, "If-Match: *"}, 422},
		{"no condition", trickled, []string{ada, frag}, 428},
		{"stale tag", trickled, []string{ada, frag, `If-Match: "0000000000000000"`}, 412},
		{"weak tag", trickled, []string{ada, frag, "If-Match: W/" + tag}, 412},
		{"an offer", "v=0", []string{ada, sdp, "If-Match: " + tag}, 415},
		{"malformed", "v=0\r\n", []string{ada, frag, "If-Match: " + tag}, 400},
		{"too long", strings.Repeat("a", fragmentMax+1), []string{ada, frag, "If-Match: " + tag}, 413},
		{"by somebody else", trickled, []string{eve, frag, "If-Match: " + tag}, 403},
		{"without a token", trickled, []string{frag, "If-Match: " + tag}, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := b.do("PATCH", "/v1/rooms/r1/whip/s0", c.body, c.headers...)
			if w.Code != c.status {
				t.Errorf("status %d, want %d: %s", w.Code, c.status, w.Body)
			}
		})
	}
}

func TestResultLabels(t *testing.T) {
	for status, want := range map[int]string{
		201: "ok", 401: "unauthorized", 403: "refused", 404: "unknown_room", 409: "refused", 307: "refused", 400: "bad_offer",
		413: "bad_offer", 415: "bad_offer", 422: "bad_offer", 503: "busy", 429: "busy", 500: "failed", 0: "failed",
	} {
		if got := result(status); got != want {
			t.Errorf("%d counts as %q, want %q", status, got, want)
		}
	}
}

func TestParseFragment(t *testing.T) {
	credentials := "a=ice-ufrag:x\r\na=ice-pwd:y\r\n"
	for _, c := range []struct{ name, fragment, why string }{
		{"as browsers' polyfills send it", trickled, ""},
		{"end of candidates", credentials + "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=end-of-candidates\r\n", ""},
		{"bare line feeds", strings.ReplaceAll(trickled, "\r", ""), ""},
		{"no password", "a=ice-ufrag:x\r\n", "a=ice-pwd"},
		{"empty user name", "a=ice-ufrag:\r\na=ice-pwd:y\r\n", "a=ice-ufrag"},
		{"a whole description", "v=0\r\n" + credentials, "line 1"},
		{"a nameless attribute", credentials + "a=\r\n", "line 3"},
		{"a control character", credentials + "a=x\x00\r\n", "line 3"},
		{"a gap", credentials + "\r\n" + credentials, "line 3"},
		{"too many lines", credentials + strings.Repeat("a=x\r\n", fragmentLinesMax), "more than 128 lines"},
		{"too many candidates", credentials + strings.Repeat("a=candidate:1\r\n", candidatesMax+1), "more than 64 candidates"},
	} {
		err := parseFragment(c.fragment)
		if c.why == "" && err != nil || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.why)
		}
	}
}

// FuzzFragment: whatever is trickled, it is taken or refused with a reason, and what is taken says whose it is.
func FuzzFragment(f *testing.F) {
	f.Add(trickled)
	f.Add("a=ice-ufrag:x\r\na=ice-pwd:y\r\n\r\n")
	f.Fuzz(func(t *testing.T, fragment string) {
		if parseFragment(fragment) != nil {
			return
		}
		if !strings.Contains(fragment, "a=ice-ufrag:") || !strings.Contains(fragment, "a=ice-pwd:") || strings.Count(fragment, "\n") > fragmentLinesMax+len(fragment)-len(strings.TrimRight(fragment, "\r\n")) {
			t.Errorf("took %q", fragment)
		}
	})
}

// FuzzRequests: no request at all makes the handler panic or answer without a status of its own.
func FuzzRequests(f *testing.F) {
	f.Add("POST", "r1", "s0", "ada", "application/sdp", `"x"`, "v=0")
	f.Add("PATCH", "r1", "s0", "ada", "application/trickle-ice-sdpfrag", "*", trickled)
	f.Add("DELETE", "r1", "s0", "ada", "", "", "")
	f.Fuzz(func(t *testing.T, method, room, session, user, media, match, body string) {
		b := newBench(t)
		b.do("POST", "/v1/rooms/r1/whip", "v=0", ada, sdp)
		for _, path := range []string{"/v1/rooms/x/whip", "/v1/rooms/x/whip/y"} {
			r := httptest.NewRequest("POST", path, strings.NewReader(body))
			r.Method = method
			r.URL.Path = "/v1/rooms/" + room + "/whip"
			if strings.HasSuffix(path, "y") {
				r.URL.Path += "/" + session
			}
			r.Header.Set("Authorization", "Bearer "+user)
			r.Header.Set("Content-Type", media)
			r.Header.Set("If-Match", match)
			w := httptest.NewRecorder()
			b.ServeHTTP(w, r)
			if w.Code < 200 || w.Code > 599 {
				t.Errorf("status %d", w.Code)
			}
		}
		if user != "ada" {
			select {
			case <-b.sessions[0].Done():
				t.Errorf("%q ended ada's session", user)
			default:
			}
		}
	})
}

// Whoever asks too often is told so before the token is looked at; OPTIONS, which a browser sends by itself, are not counted.
func TestAdmit(t *testing.T) {
	errTooMany := errors.New("too many")
	left := 2
	h := New(Config{
		Admit: func(*http.Request) error {
			if left--; left < 0 {
				return errTooMany
			}
			return nil
		},
		Authenticate: func(*http.Request) (token.Claims, error) { return token.Claims{}, errToken },
		Problem: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.WriteHeader(map[error]int{errToken: http.StatusUnauthorized, errTooMany: http.StatusTooManyRequests}[err])
		},
	})
	for i, c := range []struct {
		method, path string
		want         int
	}{
		{"OPTIONS", "/v1/rooms/r/whep", http.StatusOK},
		{"POST", "/v1/rooms/r/whep", http.StatusUnauthorized},
		{"OPTIONS", "/v1/rooms/r/whep/s", http.StatusOK},
		{"DELETE", "/v1/rooms/r/whip/s", http.StatusUnauthorized},
		{"POST", "/v1/rooms/r/whip", http.StatusTooManyRequests},
		{"PATCH", "/v1/rooms/r/whep/s", http.StatusTooManyRequests},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.want {
			t.Errorf("%d: %s %s: %d, want %d", i, c.method, c.path, w.Code, c.want)
		}
	}
}

// An offer that never ends holds its connection for five seconds, and one that has come leaves its answer all the time that it takes.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		opened := make(chan error, 1)
		h := New(Config{
			Authenticate: func(*http.Request) (token.Claims, error) { return token.Claims{User: "ada"}, nil },
			Problem:      func(w http.ResponseWriter, _ *http.Request, err error) { w.WriteHeader(http.StatusTeapot) },
			Open: func(ctx context.Context, _ Request) (Session, string, error) {
				select {
				case <-ctx.Done():
				case <-time.After(2 * bodyTime):
				}
				opened <- ctx.Err()
				return nil, "", ErrBusy
			},
		})
		s := &http.Server{Handler: h}
		go s.Serve(&oneConn{conn: server})
		defer s.Close()
		send := func(length int, body string) (int, time.Duration) {
			began := time.Now()
			fmt.Fprintf(client, "POST /v1/rooms/r/whep HTTP/1.1\r\nHost: h\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", length, body)
			a, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil {
				t.Fatal(err)
			}
			return a.StatusCode, time.Since(began)
		}
		if status, after := send(3, "v=0"); status != http.StatusServiceUnavailable || after != 2*bodyTime {
			t.Errorf("an offer that takes long to answer: %d after %v", status, after)
		}
		if err := <-opened; err != nil {
			t.Errorf("its request was ended: %v", err)
		}
		if status, after := send(3, "v="); status != http.StatusBadRequest || after != bodyTime {
			t.Errorf("an offer that never ends: %d after %v, want 400 after %v", status, after, bodyTime)
		}
	})
}

// oneConn is a listener with one connection.
type oneConn struct {
	net.Listener
	conn net.Conn
	done chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if l.conn == nil {
		<-l.done
		return nil, net.ErrClosed
	}
	c := l.conn
	l.conn, l.done = nil, make(chan struct{})
	return c, nil
}
func (l *oneConn) Close() error   { close(l.done); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }
