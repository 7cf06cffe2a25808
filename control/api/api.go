// Package api is the rooms' HTTP side, everything under /v1 but the media sessions: it authenticates, decodes, has the
// command carried out by control, and maps the error. It decides nothing about rooms itself.
//
// What holds for every call: bodies are JSON of at most 64 KiB without unknown or repeated members; whatever changes
// something needs a bearer token and is counted against a rate; errors are RFC 9457 problems out of one table
// (problem.go); a room that does not exist, a malformed id and a wrong one get the same answer. Reading needs no token: a
// room's id is its secret.
//
// The event feed (stream.go) sends a snapshot and then each change as an RFC 7396 merge patch, with the log's sequence
// number as its id. A reader is never waited for longer than two seconds. What never was in the log (counts, reactions)
// comes between them without an id.
//
// New starts no goroutine. An API may be used concurrently.
package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rotunda"
	"rotunda/control"
	"rotunda/control/oidc"
	"rotunda/control/people"
	"rotunda/control/token"
	"rotunda/metrics"
)

// Mesh is who this node knows of.
type Mesh interface {
	Members() []rotunda.Member
}

// Config is what an API needs. Control, People, Mesh, Keyring and Self are required.
type Config struct {
	Control *control.Control
	People  *people.Store
	Mesh    Mesh
	Keyring *token.Keyring // whose tokens are believed
	Signer  *token.Signer  // mints the tokens of guests and of people who sign in; nil: neither
	Guests  bool           // whether anybody who gives a name gets a token
	Creator Creator        // who may open rooms; "": everybody
	SignIn  *oidc.Provider // the operator's accounts; nil: nobody signs in here
	Self    rotunda.Member // this node; its newest coordinate is taken from Mesh

	Pictures *people.Gallery // nil: nobody has a picture
	Presence Presence        // nil: listeners are not counted, and reactions go nowhere

	Replay Replay // nil: nothing can be heard again

	GuestLife time.Duration // how long the tokens given out here are good; 0: 12 h
	Limits    Limits
	// Address says where a request comes from, for the limits; nil: the other end of the connection. Behind a proxy it has
	// to be what the proxy says.
	Address func(*http.Request) netip.Addr

	Now     func() time.Time // nil: time.Now
	Rand    io.Reader        // source of guests' ids; nil: crypto/rand. Has to be safe for concurrent use
	Metrics *metrics.Set     // nil: counts nothing
	Logger  *slog.Logger     // nil: discards
}

// Creator is who may open rooms. A token's role bounds it in every case.
type Creator string

// Who may open rooms.
const (
	CreatorEveryone Creator = "everyone" // whoever has a token
	CreatorAccounts Creator = "accounts" // whose token has the scope room:create, which people get who sign in
	CreatorScope    Creator = "scope"    // whose token has the scope room:create; only the holder of a signing key gives it
)

// keys is whose tokens are believed, and what signs new ones.
type keys struct {
	keyring *token.Keyring
	signer  *token.Signer // nil: nothing
}

// SetKeys replaces Keyring and Signer. Sessions go on; a token whose key is not in the ring any more opens no other. Where guests
// come or people sign in there has to be a signer. It may be called concurrently.
func (a *API) SetKeys(keyring *token.Keyring, signer *token.Signer) error {
	if keyring == nil || signer == nil && (a.cfg.Guests || a.cfg.SignIn != nil) {
		return errors.New("guests and people who sign in need a key that signs")
	}
	a.keys.Store(&keys{keyring, signer})
	return nil
}

// API is the HTTP side of one node.
type API struct {
	cfg      Config
	keys     atomic.Pointer[keys]
	limits   limiters
	answers  *answers
	feeds    *feeds
	signedIn *signedIn
	seats    *seats
	untold   atomic.Uint64 // refusals since the last one that the log was told of
	huma     huma.API
	mux      *http.ServeMux
	bodies   map[string]int // pattern of a call → its longest body, where that is not bodyMax; never changed after New
	openapi  []byte         // the document, encoded
}

// New checks the configuration, reporting every problem at once, and makes an API.
func New(cfg Config) (*API, error) {
	var errs []error
	if cfg.Control == nil || cfg.People == nil || cfg.Mesh == nil || cfg.Keyring == nil {
		errs = append(errs, errors.New("config: Control, People, Mesh and Keyring are required"))
	}
	if err := cfg.Self.ID.Valid(); err != nil {
		errs = append(errs, fmt.Errorf("config: Self: %w", err))
	}
	if (cfg.Guests || cfg.SignIn != nil) && cfg.Signer == nil {
		errs = append(errs, errors.New("config: guests and people who sign in need a Signer"))
	}
	switch cfg.Creator {
	case "":
		cfg.Creator = CreatorEveryone
	case CreatorEveryone, CreatorAccounts, CreatorScope:
	default:
		errs = append(errs, fmt.Errorf("config: Creator %q", cfg.Creator))
	}
	if cfg.GuestLife < 0 {
		errs = append(errs, errors.New("config: GuestLife is negative"))
	}
	cfg.Limits = cfg.Limits.withDefaults()
	if err := errors.Join(append(errs, cfg.Limits.validate())...); err != nil {
		return nil, err
	}
	if cfg.GuestLife == 0 {
		cfg.GuestLife = 12 * time.Hour
	}
	if cfg.Address == nil {
		cfg.Address = remoteAddress
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.Discard()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	a := &API{
		cfg:      cfg,
		limits:   newLimiters(cfg.Limits),
		answers:  newAnswers(),
		signedIn: &signedIn{bySecret: map[string]waiting{}},
		feeds:    &feeds{byRoom: map[rotunda.RoomID]*feed{}},
		seats: &seats{
			perAddress: cfg.Limits.Streams, total: cfg.Limits.StreamsTotal, byName: map[string]int{}, open: map[*seat]struct{}{},
		},
		mux: http.NewServeMux(), bodies: map[string]int{},
	}
	a.keys.Store(&keys{cfg.Keyring, cfg.Signer})
	return a, a.routes()
}

// CloseStreams ends all event streams and lets no new one begin, so that the server can shut down: readers resume on another
// node. Hand it to http.Server.RegisterOnShutdown.
func (a *API) CloseStreams() { a.seats.close() }

// EndRefused ends the event streams of everybody whose token is believed no more. Call it when people.Store.Changed says
// that there may be somebody.
func (a *API) EndRefused() { a.seats.endRefused(a.cfg.People.Refused) }

type claimsKey struct{}

// claimsOf returns the token's claims of a request that was authenticated.
func claimsOf(ctx context.Context) token.Claims {
	c, ok := ctx.Value(claimsKey{}).(token.Claims)
	if !ok {
		panic("api: a call that needs a token was registered without asking for one")
	}
	return c
}
