package api

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"rotunda"
	"rotunda/control"
	"rotunda/control/oidc"
	"rotunda/control/people"
	"rotunda/control/room"
	"rotunda/control/token"
)

// problemPrefix starts the type of every problem (RFC 9457 §3.1.1). What follows is stable: programs branch on it.
const problemPrefix = "urn:rotunda:problem:"

// problem is an error as the API tells it (RFC 9457). It is an error itself: WriteProblem passes it on as it is. The
// decoder in front of the handlers finds its exported methods by name.
type problem struct {
	Type   string         `json:"type" format:"uri" example:"urn:rotunda:problem:forbidden" doc:"What went wrong, for programs: a stable name."`
	Title  string         `json:"title" example:"You may not do that here" doc:"What went wrong, for people; always the same for one type."`
	Status int            `json:"status" example:"403" doc:"The HTTP status code."`
	Detail string         `json:"detail,omitempty" example:"approve as listener: not allowed" doc:"What went wrong this time."`
	Errors []fieldProblem `json:"errors,omitempty" doc:"What is wrong with which part of the request."`
	Edges  []edgeEntry    `json:"edges,omitempty" doc:"Of the type elsewhere: nodes to ask instead, the best guess first."`
	// Regions is no secret of the room: any node of the mesh can read it in the log (ADR 19).
	Regions []rotunda.Region `json:"regions,omitempty" nullable:"false" doc:"Of the types elsewhere and regions-away: the regions that the room is kept in."`

	Request string `json:"request,omitempty" example:"9f86d081884c7d65" doc:"The request's id, for whoever looks into it: X-Request-Id."`

	retryAfter time.Duration // 0: no header
}

// fieldProblem is what is wrong with one part of a request.
type fieldProblem struct {
	Location string `json:"location,omitempty" example:"body.title" doc:"Where."`
	Message  string `json:"message" example:"expected length <= 120" doc:"What."`
}

// problem is the rule as an answer of this status.
func (r rule) problem(status int) *problem {
	return &problem{Type: problemPrefix + r.slug, Title: r.title, Status: status, retryAfter: r.retry}
}

func (p *problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

// GetStatus is the HTTP status code.
func (p *problem) GetStatus() int { return p.Status }

// ContentType is the media type of a problem in place of JSON's own (RFC 9457 §3).
func (p *problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders are the headers that go with the problem.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(p.retryAfter.Seconds())), 10))
	}
	if p.Status == http.StatusUnauthorized { // RFC 6750 §3
		challenge := `Bearer realm="rotunda"`
		if p.Type != problemPrefix+"missing-token" {
			challenge += `, error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	return h
}

// Errors of this package that stand in the table.
var (
	// ErrNoToken: the request carries no bearer token.
	ErrNoToken = errors.New("no bearer token")
	// ErrOverloaded: this node takes no more of the kind; another may.
	ErrOverloaded  = errors.New("node full")
	errGuests      = errors.New("guests are not allowed")
	errSignIn      = errors.New("nobody signs in here")
	errNotSignedIn = errors.New("no sign-in of this browser waits")
	errNothingKept = errors.New("nothing is kept")
	errPictures    = errors.New("this node keeps no pictures")
	errCreator     = errors.New("a token with the scope room:create is needed")
	errOperator    = errors.New("an operator's token is needed")
	errTooLarge    = errors.New("body too large")
	errTooMany     = errors.New("too many requests")
	errStreams     = errors.New("too many event streams")
	errKeyRunning  = errors.New("request with this key is running")
	errKeyMismatch = errors.New("key was used for another request")
	errKey         = errors.New("malformed idempotency key")
	errNoPath      = errors.New("no such path")
	errMethod      = errors.New("method not allowed")
	errCursor      = errors.New("cursor is not one of ours")
	errBody        = bodyError{}
	errOutside     = new(control.Outside)
)

// rule is a row of the error table.
type rule struct {
	err    error
	status int
	slug   string
	title  string
	tell   bool          // the error's text is meant for the caller
	retry  time.Duration // when to try again; 0: not said
}

// rules is the one error table. The first row whose error is wrapped counts, so the special stand before the general.
var rules = []rule{
	{err: ErrNoToken, status: 401, slug: "missing-token", title: "A bearer token is needed"},
	{err: token.ErrExpired, status: 401, slug: "expired-token", title: "The token has expired"},
	{err: token.ErrInvalid, status: 401, slug: "invalid-token", title: "The token is not valid here"},
	{err: people.ErrRevoked, status: 401, slug: "revoked-token", title: "The token was taken back"},
	{err: people.ErrBanned, status: 403, slug: "banned-everywhere", title: "You are banned from this mesh"},
	{err: errOperator, status: 403, slug: "operator-only", title: "Only the mesh's operator may do that"},
	{err: errSignIn, status: 403, slug: "sign-in-off", title: "This mesh has no accounts to sign in with"},
	{err: errNotSignedIn, status: 403, slug: "not-signed-in", title: "No sign-in of this browser is waiting"},
	{err: oidc.ErrRefused, status: 403, slug: "sign-in-refused", title: "That sign-in cannot go on; begin again"},
	{err: errPictures, status: 403, slug: "pictures-off", title: "This mesh keeps no pictures"},
	{err: token.ErrWrongRoom, status: 403, slug: "wrong-room", title: "The token is for another room"},
	{err: errCreator, status: 403, slug: "may-not-create", title: "You may not open rooms here"},
	{err: errGuests, status: 403, slug: "guests-off", title: "This mesh takes no guests"},
	{err: room.ErrBanned, status: 403, slug: "banned", title: "You are banned from this room"},
	{err: room.ErrForbidden, status: 403, slug: "forbidden", title: "You may not do that here", tell: true},
	{err: control.ErrUnknownRoom, status: 404, slug: "unknown-room", title: "There is no such room"},
	{err: people.ErrUnknown, status: 404, slug: "unknown", title: "There is no such thing", tell: true},
	{err: errNothingKept, status: 404, slug: "nothing-kept", title: "Nothing of this room can be heard again here"},
	{err: control.ErrNoFence, status: 403, slug: "fence-off", title: "This node has no key of its region: it keeps no rooms in regions"},
	{err: errOutside, status: 503, slug: "elsewhere", title: "This room is kept in other regions; ask a node there"},
	{err: errNoPath, status: 404, slug: "not-found", title: "There is nothing here"},
	{err: errMethod, status: 405, slug: "method-not-allowed", title: "Not with this method"},
	{err: errBody, status: 408, slug: "timeout", title: "The body did not arrive"},
	{err: room.ErrFull, status: 409, slug: "full", title: "There is no place left", tell: true},
	{err: people.ErrFull, status: 409, slug: "full", title: "There is no place left", tell: true},
	{err: room.ErrEnded, status: 409, slug: "ended", title: "The room is over"},
	{err: room.ErrNotLive, status: 409, slug: "not-live", title: "The room is not live"},
	{err: room.ErrConflict, status: 409, slug: "conflict", title: "That does not fit the state of the room", tell: true},
	{err: errKeyRunning, status: 409, slug: "idempotency-running", title: "The first request with this key is not done yet", retry: time.Second},
	{err: errTooLarge, status: 413, slug: "body-too-large", title: "The body is too large"},
	{err: room.ErrInvalid, status: 422, slug: "invalid", title: "The request is not valid", tell: true},
	{err: people.ErrInvalid, status: 422, slug: "invalid", title: "The request is not valid", tell: true},
	{err: errCursor, status: 422, slug: "invalid", title: "The request is not valid", tell: true},
	{err: errKey, status: 422, slug: "invalid", title: "The request is not valid", tell: true},
	{err: errKeyMismatch, status: 422, slug: "idempotency-mismatch", title: "This key was used for another request"},
	{err: errTooMany, status: 429, slug: "rate-limited", title: "Too many requests"},
	{err: errStreams, status: 429, slug: "too-many-streams", title: "Too many event streams from this address", retry: 10 * time.Second},
	{err: ErrOverloaded, status: 503, slug: "overloaded", title: "This node is full; try another", retry: 5 * time.Second},
	{err: control.ErrUnavailable, status: 503, slug: "log-unavailable", title: "Decisions cannot be kept at the moment; nothing was changed", retry: 2 * time.Second},
	{err: oidc.ErrUnavailable, status: 503, slug: "sign-in-unavailable", title: "The identity provider does not answer", retry: 5 * time.Second},
	{err: people.ErrUnavailable, status: 503, slug: "log-unavailable", title: "Decisions cannot be kept at the moment; nothing was changed", retry: 2 * time.Second},
	{err: people.ErrUnknownOutcome, status: 504, slug: "outcome-unknown", title: "The decision may or may not have been kept; look before you try again", retry: 2 * time.Second},
	{err: control.ErrUnknownOutcome, status: 504, slug: "outcome-unknown", title: "The decision may or may not have been kept; look before you try again", retry: 2 * time.Second},
}

// byStatus names the problems that have no error of ours: what the decoder in front of the handlers refuses.
var byStatus = map[int]rule{
	400: {slug: "malformed", title: "The body cannot be read"},
	406: {slug: "not-acceptable", title: "Only JSON is spoken here"},
	408: {slug: "timeout", title: "The body did not arrive"},
	413: {slug: "body-too-large", title: "The body is too large"},
	415: {slug: "unsupported-media-type", title: "Only JSON is spoken here"},
	422: {slug: "invalid", title: "The request is not valid"},
	500: {slug: "internal", title: "Something broke here"},
}

// problemOf finds err's problem. known is false for errors that stand in no table: they are ours to mend, are told to
// nobody and belong in the node's log.
func problemOf(err error) (p *problem, known bool) {
	if errors.As(err, &p) {
		return p, true
	}
	for _, r := range rules {
		if !errors.Is(err, r.err) {
			continue
		}
		p := r.problem(r.status)
		if r.tell {
			p.Detail = err.Error()
		}
		var w *waitError
		if errors.As(err, &w) {
			p.retryAfter = w.wait
		}
		return p, true
	}
	return byStatus[http.StatusInternalServerError].problem(http.StatusInternalServerError), false
}

// waitError is an error that says when to try again.
type waitError struct {
	err  error
	wait time.Duration
}

func (w *waitError) Error() string { return w.err.Error() }
func (w *waitError) Unwrap() error { return w.err }

// WriteProblem answers r with err: the one error table of the HTTP side, for the handlers of other packages as well. Errors
// that it does not know become 500 without a word about them.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	found, _ := problemOf(err)
	p := *found // it may be many requests' answer
	p.Request = RequestID(r.Context())
	h := w.Header()
	for name, values := range p.GetHeaders() {
		h[name] = values
	}
	h.Set("Content-Type", p.ContentType(""))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(p) // the client is gone, or gets it
	}
}
