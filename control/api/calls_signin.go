package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"rotunda"
	"rotunda/control/oidc"
	"rotunda/control/token"
)

const (
	// signInCookie keeps the secret of a sign-in in the browser that began it. It is the one cookie here, is sent below
	// signInPath only and never with a request from another site, and is good for nothing else.
	signInCookie = "rotunda_sign_in"
	signInPath   = "/v1/sign-in"
	// signedInLife is how long the token of somebody who has come back waits for the page to fetch it.
	signedInLife = time.Minute
	signedInMax  = 4096
	backMax      = 256
)

type (
	signInCall struct {
		Return string `query:"return" maxLength:"256" example:"/r/k3v9q7m2x4ab" doc:"The path in the client to come back to."`
	}
	signInAnswer struct {
		Status    int
		Location  string `header:"Location" example:"https://accounts.example.org/authorize?…" doc:"Where to go on."`
		SetCookie string `header:"Set-Cookie" doc:"What ties the sign-in to this browser."`
	}
	callbackCall struct {
		State  string `query:"state" maxLength:"128" doc:"The flow."`
		Code   string `query:"code" maxLength:"2048" doc:"What the provider's token is had for."`
		Error  string `query:"error" maxLength:"128" doc:"Why there is no code."`
		Secret string `cookie:"rotunda_sign_in" doc:"What ties the sign-in to this browser."`
		Mode   string `header:"Sec-Fetch-Mode" hidden:"true"` // "navigate" where a person looks at the answer
	}
	signedInCall struct {
		Secret string `cookie:"rotunda_sign_in" doc:"What ties the sign-in to this browser."`
	}
	signedInAnswer struct {
		SetCookie string `header:"Set-Cookie" doc:"Takes the cookie away."`
		Body      guestAnswerBody
	}
)

// signedIn are the tokens of people who have come back from the provider, until their page fetches them.
type signedIn struct {
	mu       sync.Mutex // guards bySecret
	bySecret map[string]waiting
}

type waiting struct {
	answer guestAnswerBody
	since  time.Time
}

func (s *signedIn) put(now time.Time, secret string, a guestAnswerBody) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bySecret) >= signedInMax {
		for k, w := range s.bySecret {
			if now.Sub(w.since) > signedInLife {
				delete(s.bySecret, k)
			}
		}
	}
	if len(s.bySecret) >= signedInMax {
		return ErrOverloaded
	}
	s.bySecret[secret] = waiting{a, now}
	return nil
}

// take hands a token over, once.
func (s *signedIn) take(now time.Time, secret string) (guestAnswerBody, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.bySecret[secret]
	delete(s.bySecret, secret)
	return w.answer, ok && now.Sub(w.since) <= signedInLife
}

func (a *API) registerSignIn() {
	const tag = "Sign-in"
	register(a, operation{
		id: "signIn", method: http.MethodGet, path: signInPath, tag: tag, summary: "Begin to sign in",
		about: "Sends the browser to the operator's identity provider (OpenID Connect, with PKCE), where the mesh has one. For browsers, which " +
			"come back to the path in return, with #signed-in or #sign-in-cancelled behind it, or to the front page with #sign-in-refused.",
		status: http.StatusSeeOther, rate: a.limits.signIns, addressed: true, errors: []int{http.StatusForbidden, http.StatusServiceUnavailable},
	}, a.signIn)
	register(a, operation{
		id: "signInCallback", method: http.MethodGet, path: signInPath + "/callback", tag: tag, summary: "Come back from the identity provider",
		about:  "Where the provider sends the browser. Each sign-in comes back once, in the browser where it began.",
		status: http.StatusSeeOther, rate: a.limits.signIns, addressed: true, loose: true,
		errors: []int{http.StatusForbidden, http.StatusServiceUnavailable},
	}, a.signInCallback)
	register(a, operation{
		id: "signInToken", method: http.MethodPost, path: signInPath + "/token", tag: tag, summary: "Get the token after signing in",
		about: "Once, within a minute of coming back, by a page of this node.", addressed: true, errors: []int{http.StatusForbidden},
	}, func(_ context.Context, in *signedInCall) (*signedInAnswer, error) {
		who, ok := a.signedIn.take(a.cfg.Now(), in.Secret)
		if !ok {
			return nil, errNotSignedIn
		}
		return &signedInAnswer{SetCookie: a.cookie("", -1), Body: who}, nil
	})
}

// cookie is the Set-Cookie header of a sign-in's secret.
func (a *API) cookie(value string, age int) string {
	c := &http.Cookie{
		Name: signInCookie, Value: value, Path: signInPath, MaxAge: age, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(a.cfg.Self.Addresses.HTTP, "https://"),
	}
	return c.String()
}

// wayBack is the path in the client, or its front page where that is no path: nobody is sent to another site.
func wayBack(path string) string {
	ok := strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") && len(path) <= backMax
	for i := range len(path) {
		ok = ok && path[i] > ' ' && path[i] <= '~' && path[i] != '\\' && path[i] != '#'
	}
	if !ok {
		return "/"
	}
	return path
}

func (a *API) signIn(ctx context.Context, in *signInCall) (*signInAnswer, error) {
	if a.cfg.SignIn == nil {
		return nil, errSignIn
	}
	location, secret, err := a.cfg.SignIn.Begin(ctx, wayBack(in.Return))
	if err != nil {
		return nil, err
	}
	return &signInAnswer{Status: http.StatusSeeOther, Location: location, SetCookie: a.cookie(secret, int(oidc.FlowLife.Seconds()))}, nil
}

// signInCallback is comeBack, and for a person's browser a page in place of a problem's JSON.
func (a *API) signInCallback(ctx context.Context, in *callbackCall) (*signInAnswer, error) {
	answer, err := a.comeBack(ctx, in)
	if err != nil && in.Mode == "navigate" {
		return &signInAnswer{Status: http.StatusSeeOther, Location: "/#sign-in-refused", SetCookie: a.cookie("", -1)}, nil
	}
	return answer, err
}

func (a *API) comeBack(ctx context.Context, in *callbackCall) (*signInAnswer, error) {
	if a.cfg.SignIn == nil {
		return nil, errSignIn
	}
	who, back, err := a.cfg.SignIn.Finish(ctx, oidc.Return{State: in.State, Code: in.Code, Error: in.Error, Secret: in.Secret})
	if errors.Is(err, oidc.ErrCancelled) {
		return &signInAnswer{Status: http.StatusSeeOther, Location: back + "#sign-in-cancelled", SetCookie: a.cookie("", -1)}, nil
	}
	if err != nil {
		a.cfg.Logger.Info("sign-in failed", "error", err)
		return nil, err
	}
	c, err := a.newClaims(who.User, who.Name)
	if err != nil {
		return nil, err
	}
	c.Create = a.cfg.Creator == CreatorAccounts
	if err := a.cfg.People.Refused(c); err != nil {
		return nil, err
	}
	raw, err := a.keys.Load().signer.Mint(c)
	if err != nil {
		return nil, err
	}
	if err := a.signedIn.put(a.cfg.Now(), in.Secret, guestAnswerBody{User: c.User, Name: c.Name, Token: raw, Expires: c.Expires}); err != nil {
		return nil, err
	}
	return &signInAnswer{Status: http.StatusSeeOther, Location: back + "#signed-in", SetCookie: a.cookie(in.Secret, int(signedInLife.Seconds()))}, nil
}

// newClaims are those of a token that this node gives to a person.
func (a *API) newClaims(user rotunda.UserID, name string) (token.Claims, error) {
	var random [16]byte
	if _, err := io.ReadFull(a.cfg.Rand, random[:]); err != nil {
		return token.Claims{}, fmt.Errorf("randomness: %w", err)
	}
	now := a.cfg.Now()
	return token.Claims{
		User: user, Name: name, Issued: now, Expires: now.Add(a.cfg.GuestLife).UTC().Truncate(time.Second),
		ID: letters.EncodeToString(random[:]),
	}, nil
}
