// Package oidc signs people in with the operator's own accounts: OpenID Connect's authorization code flow with PKCE
// (OpenID Connect Core 1.0 §3.1, RFC 7636). It is the only importer of the libraries for that.
//
// The invariant: an Identity comes out only for a flow that this process began, in the browser that began it, once, within
// FlowLife, with an ID token that the provider signed for this client and this flow (state, nonce, audience, expiry). What
// a flow needs stays in this process, bounded: a sign-in ends on the node where it began.
//
// The provider is asked when somebody signs in, not before: it may be away when a node starts. A Provider may be used
// concurrently.
package oidc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"rotunda"
	"rotunda/control/token"
)

var (
	// ErrUnavailable: the provider does not answer, or not as one. Try again later.
	ErrUnavailable = errors.New("the identity provider is not available")
	// ErrRefused: this is no sign-in that may go on; the text says why, for logs.
	ErrRefused = errors.New("sign-in refused")
	// ErrCancelled: the provider says that the person did not sign in. The flow is over.
	ErrCancelled = errors.New("sign-in cancelled")
)

const (
	// FlowLife is how long somebody may take to sign in at the provider.
	FlowLife = 10 * time.Minute
	// flowsMax bounds the sign-ins under way; the oldest make way.
	flowsMax = 4096
	// answerMax bounds an answer of the provider, in bytes, and answerTime how long it may take.
	answerMax  = 1 << 20
	answerTime = 5 * time.Second
	// againAfter is for how long a provider that did not answer is not asked again.
	againAfter = 2 * time.Second
)

// algorithms are the signatures that are believed: none, and none with a shared secret, is not among them (RFC 8725 §3.2).
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

// Config is what a Provider needs. Issuer, ClientID and RedirectURL are required.
type Config struct {
	Issuer       string   // as the provider calls itself; its discovery document is below it
	ClientID     string   // who the mesh is to the provider
	ClientSecret string   // empty: a public client
	RedirectURL  string   // where the provider sends people back to, as registered there
	Scopes       []string // beside openid; nil: profile

	Now  func() time.Time // nil: time.Now
	Rand io.Reader        // nil: crypto/rand. Has to be safe for concurrent use
}

// Identity is who has signed in.
type Identity struct {
	User rotunda.UserID // made of issuer and subject: the same for the same account, for ever
	Name string         // what the provider calls them, made fit to be shown; may be empty
}

// Provider is the operator's identity provider.
type Provider struct {
	cfg    Config
	client *http.Client

	mu         sync.Mutex // guards what follows
	discovered *discovered
	failed     time.Time // when discovery failed last
	flows      map[string]flow
	order      []string // states, the oldest first; some of them over
}

// discovered is what the provider says of itself.
type discovered struct {
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
}

// flow is a sign-in under way.
type flow struct {
	browser  [sha256.Size]byte // hash of what the browser keeps
	nonce    string
	verifier string // PKCE
	back     string
	began    time.Time
}

// New checks the configuration. It does not ask the provider.
func New(cfg Config) (*Provider, error) {
	var errs []error
	for name, raw := range map[string]string{"issuer": cfg.Issuer, "redirect URL": cfg.RedirectURL} {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" {
			errs = append(errs, fmt.Errorf("oidc: %s %.80q is no URL", name, raw))
		}
	}
	if cfg.ClientID == "" {
		errs = append(errs, errors.New("oidc: no client id"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.Scopes == nil {
		cfg.Scopes = []string{"profile"}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	transport := &http.Transport{MaxResponseHeaderBytes: 64 << 10, IdleConnTimeout: 30 * time.Second, Proxy: http.ProxyFromEnvironment}
	return &Provider{
		cfg: cfg, flows: map[string]flow{},
		client: &http.Client{
			Timeout: answerTime, Transport: bounded{transport},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close lets go of idle connections.
func (p *Provider) Close() { p.client.CloseIdleConnections() }

// bounded cuts answers that are too long.
type bounded struct{ *http.Transport }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.Transport.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, answerMax), res.Body}
	}
	return res, err
}

// Begin begins a sign-in. The browser goes to location, and keeps secret until it comes back; back is where in the client it
// wants to be then. The error wraps ErrUnavailable.
func (p *Provider) Begin(ctx context.Context, back string) (location, secret string, err error) {
	d, err := p.discover(ctx)
	if err != nil {
		return "", "", err
	}
	var words [4]string
	for i := range words {
		if words[i], err = p.word(); err != nil {
			return "", "", err
		}
	}
	state, secret, nonce, verifier := words[0], words[1], words[2], words[3]
	p.keep(state, flow{sha256.Sum256([]byte(secret)), nonce, verifier, back, p.cfg.Now()})
	return d.oauth.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), secret, nil
}

// word is 256 random bits as text: a PKCE verifier too (RFC 7636 §4.1: at least 43 characters).
func (p *Provider) word() (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(p.cfg.Rand, b[:]); err != nil {
		return "", fmt.Errorf("randomness: %w", err)
	}
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]), nil
}

// keep remembers a flow and forgets the oldest where there are too many.
func (p *Provider) keep(state string, f flow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flows[state] = f
	p.order = append(p.order, state)
	for len(p.order) > flowsMax || len(p.order) > 0 && p.over(p.order[0]) {
		delete(p.flows, p.order[0])
		p.order = p.order[1:]
	}
}

// over reports whether the flow has ended or taken too long. p.mu is held.
func (p *Provider) over(state string) bool {
	f, ok := p.flows[state]
	return !ok || p.cfg.Now().Sub(f.began) > FlowLife
}

// take ends the flow of a state: nobody comes back twice.
func (p *Provider) take(state string) (flow, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, late := p.flows[state], p.over(state)
	delete(p.flows, state)
	return f, !late
}

// Return is what the provider sends a browser back with.
type Return struct {
	State, Code, Error string
	Secret             string // what the browser has kept
}

// Finish ends a sign-in and says who it was and where in the client they wanted to be. Errors: ErrRefused, ErrCancelled,
// with back, ErrUnavailable. A flow is over whatever came of it.
func (p *Provider) Finish(ctx context.Context, r Return) (who Identity, back string, err error) {
	f, ok := p.take(r.State)
	if !ok {
		return Identity{}, "", fmt.Errorf("%w: no such flow, or no longer", ErrRefused)
	}
	secret := sha256.Sum256([]byte(r.Secret))
	if subtle.ConstantTimeCompare(secret[:], f.browser[:]) != 1 {
		return Identity{}, "", fmt.Errorf("%w: another browser began it", ErrRefused)
	}
	if r.Error != "" || r.Code == "" {
		return Identity{}, f.back, fmt.Errorf("%w: the provider says %.40q", ErrCancelled, r.Error)
	}
	d, err := p.discover(ctx)
	if err != nil {
		return Identity{}, "", err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	answer, err := d.oauth.Exchange(ctx, r.Code, oauth2.VerifierOption(f.verifier))
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < http.StatusInternalServerError:
		return Identity{}, "", fmt.Errorf("%w: the code is not taken: %.80q", ErrRefused, refused.ErrorCode)
	case err != nil:
		return Identity{}, "", fmt.Errorf("%w: %v", ErrUnavailable, err)
	}
	raw, ok := answer.Extra("id_token").(string)
	if !ok {
		return Identity{}, "", fmt.Errorf("%w: no ID token", ErrRefused)
	}
	id, err := d.verifier.Verify(ctx, raw)
	if err != nil {
		return Identity{}, "", fmt.Errorf("%w: %v", ErrRefused, err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.nonce)) != 1 {
		return Identity{}, "", fmt.Errorf("%w: the nonce is not this flow's", ErrRefused)
	}
	who, err = p.identity(id)
	return who, f.back, err
}

// identity is who the ID token speaks of.
func (p *Provider) identity(id *oidc.IDToken) (Identity, error) {
	var said struct {
		Name     string `json:"name"`
		Username string `json:"preferred_username"`
		Party    string `json:"azp"`
	}
	if err := id.Claims(&said); err != nil {
		return Identity{}, fmt.Errorf("%w: claims: %v", ErrRefused, err)
	}
	// OpenID Connect Core §3.1.3.7, 4 and 5: a token for several is for the one that it names.
	if (len(id.Audience) > 1 || said.Party != "") && said.Party != p.cfg.ClientID {
		return Identity{}, fmt.Errorf("%w: the token is another party's", ErrRefused)
	}
	if id.Subject == "" {
		return Identity{}, fmt.Errorf("%w: no subject", ErrRefused)
	}
	sum := sha256.Sum256([]byte(id.Issuer + "\x00" + id.Subject))
	letters := base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)
	name := shown(said.Name)
	if name == "" {
		name = shown(said.Username)
	}
	return Identity{User: rotunda.UserID("o_" + letters.EncodeToString(sum[:20])), Name: name}, nil
}

// shown makes a name fit for token.ValidName: what may not be in it is left out, and the rest cut.
func shown(name string) string {
	name = strings.Map(func(r rune) rune {
		if token.ValidName(string(r)) != nil {
			return -1
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	runes := []rune(strings.TrimSpace(name))
	return strings.TrimSpace(string(runes[:min(len(runes), token.NameMax)]))
}

// discover asks the provider what it is, once it has answered. While it does not, only one caller in againAfter waits for it.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	d, wait := p.discovered, p.cfg.Now().Sub(p.failed) < againAfter
	p.mu.Unlock()
	switch {
	case d != nil:
		return d, nil
	case wait:
		return nil, ErrUnavailable
	}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.cfg.Issuer)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			p.failed = p.cfg.Now()
		}
		return nil, fmt.Errorf("%w: %v", ErrUnavailable, err)
	}
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = p.style(provider)
	p.discovered = &discovered{
		oauth: oauth2.Config{
			ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, Endpoint: endpoint, RedirectURL: p.cfg.RedirectURL,
			Scopes: append([]string{oidc.ScopeOpenID}, slices.Clone(p.cfg.Scopes)...),
		},
		verifier: provider.Verifier(&oidc.Config{ClientID: p.cfg.ClientID, SupportedSigningAlgs: algorithms, Now: p.cfg.Now}),
	}
	return p.discovered, nil
}

// style is how this client says who it is (OpenID Connect Discovery §3, token_endpoint_auth_methods_supported). The library's
// own way is to try one and then the other, and the second try finds the code used.
func (p *Provider) style(provider *oidc.Provider) oauth2.AuthStyle {
	var said struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	unsaid := provider.Claims(&said) != nil || len(said.Methods) == 0
	if p.cfg.ClientSecret != "" && (unsaid || slices.Contains(said.Methods, "client_secret_basic")) {
		return oauth2.AuthStyleInHeader
	}
	return oauth2.AuthStyleInParams
}
