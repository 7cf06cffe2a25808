package whip

import (
	"encoding/json"
	"net/http"

	"rotunda"
)

// cors lets pages of any origin open sessions: they bring their own token, and there are no cookies.
func cors(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Location, ETag, Link, Retry-After, Accept-Post, Accept-Patch, X-Request-Id")
}

// options answers a preflight (and RFC 9725 §4.2's OPTIONS) without a token. 200, not 204: clients check for it.
func options(w http.ResponseWriter, methods string) {
	h := w.Header()
	h.Set("Allow", methods)
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusOK)
}

func notAllowed(w http.ResponseWriter, methods string) {
	w.Header().Set("Allow", methods)
	problem(w, http.StatusMethodNotAllowed, "method", "the methods here are "+methods)
}

// problem answers with a problem document (RFC 9457).
func problem(w http.ResponseWriter, status int, slug, detail string) {
	because(w, detail)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		// Request is the request's id, which whoever is in front of this handler has given it.
		Request string `json:"request,omitempty"`
	}{"urn:rotunda:problem:" + slug, http.StatusText(status), status, detail, w.Header().Get("X-Request-Id")})
}

// result is the label of rotunda_joins_total for an answer.
func result(status int) string {
	switch status {
	case http.StatusCreated:
		return "ok"
	case http.StatusUnauthorized:
		return "unauthorized"
	case http.StatusForbidden, http.StatusConflict, http.StatusGone, http.StatusTemporaryRedirect:
		return "refused"
	case http.StatusNotFound:
		return "unknown_room"
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return "bad_offer"
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return "busy"
	}
	return "failed"
}

// statusWriter remembers the status that was answered, to whom and why.
type statusWriter struct {
	http.ResponseWriter
	status int
	user   rotunda.UserID // "": not known
	why    string
}

// because notes why w is about to say no.
func because(w http.ResponseWriter, why string) {
	if s, ok := w.(*statusWriter); ok {
		s.why = why
	}
}

// knownAs notes whose request w answers.
func knownAs(w http.ResponseWriter, user rotunda.UserID) {
	if s, ok := w.(*statusWriter); ok {
		s.user = user
	}
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
