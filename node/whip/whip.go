// Package whip is the HTTP half of a media session: the rules of WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep-03), and no
// media. It serves
//
//	POST OPTIONS         /v1/rooms/{room}/whip            /v1/rooms/{room}/whep
//	PATCH DELETE OPTIONS /v1/rooms/{room}/whip/{session}  /v1/rooms/{room}/whep/{session}
//
// A session belongs to the user who opened it: nobody else ends or changes it, whoever learns its address. What is refused
// is refused before it costs anything: media type, length and token come before the offer is looked at.
//
// The server behind it is ICE-lite and needs no candidates: a trickled one is checked, acknowledged and ignored. A session that
// is a Restarter takes restarts of ICE; others say that they do not (422), and a client then opens a new session.
package whip

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rotunda"
	"rotunda/control/token"
	"rotunda/metrics"
)

// Kind is the direction of a session, and the last element of its endpoint's path.
type Kind string

// The kinds.
const (
	Publish Kind = "whip" // audio from the client
	Play    Kind = "whep" // audio to the client
)

// Request is what is asked for when a session is to be opened.
type Request struct {
	Kind   Kind
	Room   rotunda.RoomID
	Claims token.Claims // checked: the token is valid, and for this room
	Offer  string       // SDP, at most OfferMax bytes, otherwise unchecked
}

// Session is an open media session.
type Session interface {
	ID() string       // unguessable; it names the session's resource
	Close()           // ends it; may be called twice
	AfterDone(func()) // calls it when the session has ended, on a goroutine of its own
}

// Restarter is a session that takes restarts of ICE: the client's new credentials are of no use to a lite server, and the fragment
// (RFC 8840 §9) tells the client the server's.
type Restarter interface {
	Restart() (fragment string, ok bool)
}

// Errors that Open may wrap to have them answered as RFC 9725 or WHEP says. Config.Problem answers all others.
var (
	ErrOffer   = errors.New("the offer cannot be answered")   // 422
	ErrBusy    = errors.New("no room for another session")    // 503 and Retry-After
	errUnknown = errors.New("no such media session")          // 404
	errForeign = errors.New("the session is somebody else's") // 403
)

// Redirect is an error of Open that sends the client to another node (RFC 9725 §4.5). Pages are told with 503 and the address in
// the problem, because a browser follows a redirect to another origin without the token.
type Redirect struct {
	URL string // of the endpoint there
	Why error  // for people
}

func (r *Redirect) Error() string { return fmt.Sprintf("%v; %s takes sessions", r.Why, r.URL) }

// sentOn marks an address that a node has sent somebody on to: they are not sent any further, or full nodes would pass people round.
const sentOn = "sent-on"

// SentOn reports whether the caller comes from a node that could not serve them.
func SentOn(r *http.Request) bool { return r.URL.Query().Has(sentOn) }

// Onwards is a redirect to the same path at another node.
func Onwards(base string, r *http.Request) string { return base + r.URL.Path + "?" + sentOn }

// Config is what the handler calls.
type Config struct {
	// Admit may refuse a request before anything of it is looked at; nil admits all.
	Admit func(*http.Request) error
	// Authenticate checks the bearer token of a request.
	Authenticate func(*http.Request) (token.Claims, error)
	// Problem writes the answer to an error of Authenticate or Open that this package does not know.
	Problem func(http.ResponseWriter, *http.Request, error)
	// Open checks whether the session may be and opens it. ctx ends with the request.
	Open func(ctx context.Context, r Request) (s Session, answer string, err error)
	// Relays are told to whoever opens a session; the zero value: there are none.
	Relays Relays
	// Refused hears of every request that was refused, after the answer; nil: nobody does.
	Refused func(*http.Request, Refusal)
	// Metrics may be nil.
	Metrics *metrics.Set
}

// Refusal is why a session was not opened, or not changed or ended.
type Refusal struct {
	Kind   Kind
	Room   rotunda.RoomID // "": what was asked for is no room's id
	User   rotunda.UserID // "": whoever it was had no token that is good here
	Status int
	Why    string // partly the words of who asked
}

const (
	// OfferMax is the longest offer that is read, in bytes.
	OfferMax     = 32 << 10
	fragmentMax  = 8 << 10         // of a trickled fragment
	bodyTime     = 5 * time.Second // how long an offer or a fragment may take to arrive
	retryAfter   = 2 * time.Second
	offerType    = "application/sdp"
	fragmentType = "application/trickle-ice-sdpfrag"
)

type handler struct {
	Config
	sessions registry
}

// New returns the handler of all media session resources.
func New(cfg Config) http.Handler {
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.Discard()
	}
	h := &handler{Config: cfg}
	mux := http.NewServeMux()
	for _, kind := range []Kind{Publish, Play} {
		endpoint := "/v1/rooms/{room}/" + string(kind)
		mux.HandleFunc(endpoint, func(w http.ResponseWriter, r *http.Request) { h.endpoint(w, r, kind) })
		mux.HandleFunc(endpoint+"/{session}", func(w http.ResponseWriter, r *http.Request) { h.resource(w, r, kind) })
	}
	return mux
}

// endpoint serves the address at which sessions are opened.
func (h *handler) endpoint(w http.ResponseWriter, r *http.Request, kind Kind) {
	cors(w.Header())
	switch r.Method {
	case http.MethodPost:
		counted := &statusWriter{ResponseWriter: w}
		h.open(counted, r, kind)
		h.Metrics.Joins.With(result(counted.status)).Inc()
		h.refused(counted, r, kind)
	case http.MethodOptions:
		w.Header().Set("Accept-Post", offerType)
		options(w, "POST, OPTIONS")
	default: // GET, HEAD and PUT are reserved (RFC 9725 §4.2)
		notAllowed(w, "POST, OPTIONS")
	}
}

// resource serves the address of one session.
func (h *handler) resource(w http.ResponseWriter, r *http.Request, kind Kind) {
	cors(w.Header())
	const allowed = "PATCH, DELETE, OPTIONS"
	switch r.Method {
	case http.MethodPatch, http.MethodDelete:
	case http.MethodOptions:
		w.Header().Set("Accept-Patch", fragmentType)
		options(w, allowed)
		return
	default: // GET, HEAD, POST and PUT are reserved (RFC 9725 §4.2)
		notAllowed(w, allowed)
		return
	}
	counted := &statusWriter{ResponseWriter: w}
	h.change(counted, r, kind)
	h.refused(counted, r, kind)
}

// refused tells of an answer that says no.
func (h *handler) refused(w *statusWriter, r *http.Request, kind Kind) {
	if h.Refused == nil || w.status < http.StatusBadRequest {
		return
	}
	q := Refusal{Kind: kind, User: w.user, Status: w.status, Why: w.why}
	if room := rotunda.RoomID(r.PathValue("room")); room.Valid() == nil {
		q.Room = room
	}
	h.Refused(r, q)
}

// change patches or ends a session.
func (h *handler) change(w http.ResponseWriter, r *http.Request, kind Kind) {
	claims, err := h.caller(w, r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	id, room := r.PathValue("session"), rotunda.RoomID(r.PathValue("room"))
	if r.Method == http.MethodDelete && h.sessions.over(id, room, kind, claims.User) {
		w.WriteHeader(http.StatusOK) // as was asked: the end of the connection, or of the room, was faster than this
		return
	}
	e, err := h.sessions.find(id, room, kind, claims.User)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if r.Method == http.MethodDelete {
		e.session.Close()
		w.WriteHeader(http.StatusOK) // OBS takes nothing else
		return
	}
	h.patch(w, r, e)
}

// caller is whose request it is, if it is admitted at all.
func (h *handler) caller(w http.ResponseWriter, r *http.Request) (token.Claims, error) {
	if h.Admit != nil {
		if err := h.Admit(r); err != nil {
			return token.Claims{}, err
		}
	}
	c, err := h.Authenticate(r)
	if err == nil {
		knownAs(w, c.User)
	}
	return c, err
}

// open answers an offer with a session.
func (h *handler) open(w http.ResponseWriter, r *http.Request, kind Kind) {
	room := rotunda.RoomID(r.PathValue("room"))
	if err := room.Valid(); err != nil {
		problem(w, http.StatusNotFound, "unknown-room", err.Error())
		return
	}
	claims, err := h.caller(w, r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if err := claims.For(room); err != nil {
		h.fail(w, r, err)
		return
	}
	offer, ok := body(w, r, offerType, OfferMax)
	if !ok {
		return
	}
	session, answer, err := h.Open(r.Context(), Request{Kind: kind, Room: room, Claims: claims, Offer: offer})
	if err != nil {
		h.fail(w, r, err)
		return
	}
	e := &entry{session: session, user: claims.User, room: room, kind: kind, tag: newTag()}
	h.sessions.add(e)
	w.Header().Set("Location", fmt.Sprintf("/v1/rooms/%s/%s/%s", room, kind, session.ID()))
	w.Header().Set("ETag", e.tag)
	for _, link := range h.Relays.Links(claims.User, time.Now()) {
		w.Header().Add("Link", link)
	}
	w.Header().Set("Content-Type", offerType)
	w.WriteHeader(http.StatusCreated) // OBS takes nothing else
	_, _ = io.WriteString(w, answer)
}

// patch takes a trickled candidate, in the order of the checks of RFC 9725 §4.3.1.
func (h *handler) patch(w http.ResponseWriter, r *http.Request, e *entry) {
	fragment, ok := body(w, r, fragmentType, fragmentMax)
	if !ok {
		return
	}
	switch tag := r.Header.Get("If-Match"); tag {
	case "":
		problem(w, http.StatusPreconditionRequired, "precondition-required", "PATCH needs If-Match with the session's entity tag")
		return
	case "*":
		h.restart(w, e, fragment)
		return
	default:
		if !matches(tag, h.sessions.tag(e)) {
			problem(w, http.StatusPreconditionFailed, "precondition-failed", "If-Match names another ICE session")
			return
		}
	}
	if err := parseFragment(fragment); err != nil {
		problem(w, http.StatusBadRequest, "malformed-fragment", err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// restart restarts ICE, RFC 9725 §4.3.3.
func (h *handler) restart(w http.ResponseWriter, e *entry, fragment string) {
	r, ok := e.session.(Restarter)
	if !ok {
		problem(w, http.StatusUnprocessableEntity, "no-ice-restart", "ICE restarts are not supported; open a new session")
		return
	}
	if err := parseFragment(fragment); err != nil {
		problem(w, http.StatusBadRequest, "malformed-fragment", err.Error())
		return
	}
	answer, ok := r.Restart()
	if !ok {
		h.fail(w, nil, errUnknown)
		return
	}
	w.Header().Set("ETag", h.sessions.retag(e))
	w.Header().Set("Content-Type", fragmentType)
	_, _ = io.WriteString(w, answer)
}

// matches reports whether the list of entity tags of an If-Match header has tag. Weak ones never match (RFC 9110 §13.1.1).
func matches(list, tag string) bool {
	for candidate := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(candidate) == tag {
			return true
		}
	}
	return false
}

// body reads a body of one media type, at most limit bytes of it, or answers why not.
func body(w http.ResponseWriter, r *http.Request, want string, limit int64) (string, bool) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != want {
		if want == offerType {
			w.Header().Set("Accept-Post", want)
		} else {
			w.Header().Set("Accept-Patch", want)
		}
		problem(w, http.StatusUnsupportedMediaType, "media-type", "the body must be "+want)
		return "", false
	}
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(bodyTime)) // no connection, nothing to wait for
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		_ = c.SetReadDeadline(time.Time{}) // else it would end the request while Open works; the server reads on where there is more to come
	}
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		problem(w, http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf("the body has more than %d bytes", limit))
		return "", false
	case err != nil:
		problem(w, http.StatusBadRequest, "unreadable", "the body did not arrive whole")
		return "", false
	case len(b) == 0:
		problem(w, http.StatusBadRequest, "empty", "the body is empty")
		return "", false
	}
	return string(b), true
}

// fail is the one place where this package's errors become answers.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	because(w, err.Error())
	var elsewhere *Redirect
	switch {
	case errors.As(err, &elsewhere) && (r.Header.Get("Origin") != "" || SentOn(r)):
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
		problem(w, http.StatusServiceUnavailable, "elsewhere", err.Error())
	case errors.As(err, &elsewhere):
		w.Header().Set("Location", elsewhere.URL+"?"+sentOn)
		w.WriteHeader(http.StatusTemporaryRedirect)
	case errors.Is(err, ErrOffer):
		problem(w, http.StatusUnprocessableEntity, "offer", err.Error())
	case errors.Is(err, ErrBusy):
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
		problem(w, http.StatusServiceUnavailable, "busy", err.Error())
	case errors.Is(err, errUnknown):
		problem(w, http.StatusNotFound, "unknown-session", err.Error())
	case errors.Is(err, errForeign):
		problem(w, http.StatusForbidden, "not-yours", err.Error())
	default:
		h.Problem(w, r, err)
	}
}

// newTag is a strong entity tag (RFC 9110 §8.8.3) for one ICE session.
func newTag() string {
	var b [8]byte
	rand.Read(b[:])
	return `"` + hex.EncodeToString(b[:]) + `"`
}
