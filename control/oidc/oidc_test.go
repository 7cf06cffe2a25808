package oidc_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rotunda/control/oidc"
	"rotunda/control/oidc/oidctest"
	"rotunda/control/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, issuer *oidctest.Issuer, edit func(*oidc.Config)) *oidc.Provider {
	t.Helper()
	cfg := oidc.Config{Issuer: issuer.URL, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, RedirectURL: "https://node.example/v1/sign-in/callback"}
	if edit != nil {
		edit(&cfg)
	}
	p, err := oidc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// signIn goes through the whole flow as a browser does, with what the provider and the browser do changed.
func signIn(t *testing.T, p *oidc.Provider, issuer *oidctest.Issuer, edit func(*oidctest.Token), back func(*oidc.Return)) (oidc.Identity, string, error) {
	t.Helper()
	location, secret, err := p.Begin(t.Context(), "/r/k3v9")
	if err != nil {
		t.Fatal(err)
	}
	state, code := issuer.Authorize(t, location, edit)
	r := oidc.Return{State: state, Code: code, Secret: secret}
	if back != nil {
		back(&r)
	}
	return p.Finish(t.Context(), r)
}

func TestSignIn(t *testing.T) {
	for _, alg := range []string{"RS256", "ES256"} {
		issuer := oidctest.New(t, alg)
		p := open(t, issuer, nil)
		one, back, err := signIn(t, p, issuer, nil, nil)
		if err != nil || back != "/r/k3v9" || one.Name != "Ada Lovelace" || one.User.Valid() != nil || !strings.HasPrefix(string(one.User), "o_") {
			t.Fatalf("%s: %+v, back to %q, %v", alg, one, back, err)
		}
		again, _, err := signIn(t, p, issuer, func(c *oidctest.Token) { c.Claims["name"] = "Augusta Ada King" }, nil)
		if err != nil || again.User != one.User || again.Name == one.Name {
			t.Errorf("%s: the same account again: %+v, %v, want %s", alg, again, err, one.User)
		}
		other, _, err := signIn(t, p, issuer, func(c *oidctest.Token) { c.Claims["sub"] = "another" }, nil)
		if err != nil || other.User == one.User {
			t.Errorf("%s: another account: %+v, %v", alg, other, err)
		}
	}
}

// What the browser is sent to the provider with (RFC 6749 §4.1.1, RFC 7636 §4.3, OpenID Connect Core §3.1.2.1).
func TestAuthorizationRequest(t *testing.T) {
	issuer := oidctest.New(t, "RS256")
	p := open(t, issuer, func(c *oidc.Config) { c.Scopes = []string{"email"} })
	seen := map[string]bool{}
	for range 2 {
		location, secret, err := p.Begin(t.Context(), "/")
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(location)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		for name, want := range map[string]string{
			"response_type": "code", "client_id": oidctest.ClientID, "scope": "openid email", "code_challenge_method": "S256",
			"redirect_uri": "https://node.example/v1/sign-in/callback",
		} {
			if q.Get(name) != want {
				t.Errorf("%s = %q, want %q", name, q.Get(name), want)
			}
		}
		for _, name := range []string{"state", "nonce", "code_challenge"} {
			if v := q.Get(name); len(v) < 43 || seen[v] || v == secret {
				t.Errorf("%s = %q: not 256 fresh bits, or the browser's secret", name, v)
			}
			seen[q.Get(name)] = true
		}
		if strings.Contains(location, secret) {
			t.Error("the browser's secret goes to the provider")
		}
	}
}

func TestRefused(t *testing.T) {
	issuer, foreign := oidctest.New(t, "RS256"), oidctest.New(t, "RS256")
	now := time.Now()
	for what, c := range map[string]struct {
		edit func(*oidctest.Token)
		back func(*oidc.Return)
		want error
	}{
		"state of nobody":                    {nil, func(r *oidc.Return) { r.State = "x" }, oidc.ErrRefused},
		"no state":                           {nil, func(r *oidc.Return) { r.State = "" }, oidc.ErrRefused},
		"another browser":                    {nil, func(r *oidc.Return) { r.Secret = "x" }, oidc.ErrRefused},
		"a browser without cookie":           {nil, func(r *oidc.Return) { r.Secret = "" }, oidc.ErrRefused},
		"code of nobody":                     {nil, func(r *oidc.Return) { r.Code = "x" }, oidc.ErrRefused},
		"the person says no":                 {nil, func(r *oidc.Return) { r.Code, r.Error = "", "access_denied" }, oidc.ErrCancelled},
		"no code":                            {nil, func(r *oidc.Return) { r.Code = "" }, oidc.ErrCancelled},
		"wrong nonce":                        {func(k *oidctest.Token) { k.Claims["nonce"] = "x" }, nil, oidc.ErrRefused},
		"no nonce":                           {func(k *oidctest.Token) { delete(k.Claims, "nonce") }, nil, oidc.ErrRefused},
		"another audience":                   {func(k *oidctest.Token) { k.Claims["aud"] = "x" }, nil, oidc.ErrRefused},
		"two audiences, not ours":            {func(k *oidctest.Token) { k.Claims["aud"] = []string{oidctest.ClientID, "x"}; k.Claims["azp"] = "x" }, nil, oidc.ErrRefused},
		"two audiences, nobody's":            {func(k *oidctest.Token) { k.Claims["aud"] = []string{oidctest.ClientID, "x"} }, nil, oidc.ErrRefused},
		"another issuer":                     {func(k *oidctest.Token) { k.Claims["iss"] = foreign.URL }, nil, oidc.ErrRefused},
		"expired":                            {func(k *oidctest.Token) { k.Claims["exp"] = now.Add(-time.Minute).Unix() }, nil, oidc.ErrRefused},
		"no expiry":                          {func(k *oidctest.Token) { delete(k.Claims, "exp") }, nil, oidc.ErrRefused},
		"not yet":                            {func(k *oidctest.Token) { k.Claims["nbf"] = now.Add(time.Hour).Unix() }, nil, oidc.ErrRefused},
		"no subject":                         {func(k *oidctest.Token) { delete(k.Claims, "sub") }, nil, oidc.ErrRefused},
		"signed by another":                  {func(k *oidctest.Token) { k.Signer = foreign }, nil, oidc.ErrRefused},
		"alg none":                           {func(k *oidctest.Token) { k.Alg = "none" }, nil, oidc.ErrRefused},
		"alg HS256 with the client's secret": {func(k *oidctest.Token) { k.Alg = "HS256" }, nil, oidc.ErrRefused},
		"signature of nothing":               {func(k *oidctest.Token) { k.Cut = true }, nil, oidc.ErrRefused},
		"no ID token":                        {func(k *oidctest.Token) { k.Missing = true }, nil, oidc.ErrRefused},
		"token endpoint broken":              {func(k *oidctest.Token) { k.Status = http.StatusBadGateway }, nil, oidc.ErrUnavailable},
	} {
		who, _, err := signIn(t, open(t, issuer, nil), issuer, c.edit, c.back)
		if !errors.Is(err, c.want) || who != (oidc.Identity{}) {
			t.Errorf("%s: %+v, %v, want %v", what, who, err, c.want)
		}
	}
}

// A flow comes back once, and a code is taken once, by the flow that it was given for.
func TestReplay(t *testing.T) {
	issuer := oidctest.New(t, "RS256")
	p := open(t, issuer, nil)
	location, secret, err := p.Begin(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	state, code := issuer.Authorize(t, location, nil)
	r := oidc.Return{State: state, Code: code, Secret: secret}
	if _, _, err := p.Finish(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Finish(t.Context(), r); !errors.Is(err, oidc.ErrRefused) {
		t.Errorf("the same return again: %v, want ErrRefused", err)
	}
	// The code in another flow: whoever stole it has another verifier (RFC 7636 §1).
	location, _, err = p.Begin(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	_, stolen := issuer.Authorize(t, location, nil)
	_, _, err = signIn(t, p, issuer, nil, func(r *oidc.Return) { r.Code = stolen })
	if !errors.Is(err, oidc.ErrRefused) {
		t.Errorf("a stolen code: %v, want ErrRefused", err)
	}
	if issuer.Given() != 1 {
		t.Errorf("the provider gave %d tokens, want 1", issuer.Given())
	}
	// A return in the wrong browser ends the flow: there is no second guess.
	location, secret, err = p.Begin(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	state, code = issuer.Authorize(t, location, nil)
	for _, s := range []string{"guess", secret} {
		if _, _, err := p.Finish(t.Context(), oidc.Return{State: state, Code: code, Secret: s}); !errors.Is(err, oidc.ErrRefused) {
			t.Errorf("after a guess, %q: %v", s, err)
		}
	}
}

func TestFlowsEnd(t *testing.T) {
	issuer := oidctest.New(t, "RS256")
	now := time.Now()
	p := open(t, issuer, func(c *oidc.Config) { c.Now = func() time.Time { return now } })
	location, secret, err := p.Begin(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	state, code := issuer.Authorize(t, location, nil)
	now = now.Add(oidc.FlowLife + time.Second)
	if _, _, err := p.Finish(t.Context(), oidc.Return{State: state, Code: code, Secret: secret}); !errors.Is(err, oidc.ErrRefused) {
		t.Errorf("too late: %v, want ErrRefused", err)
	}
	// So many that the first has made way.
	first, secret, err := p.Begin(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	state, code = issuer.Authorize(t, first, nil)
	for range 4096 {
		if _, _, err := p.Begin(t.Context(), "/"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := p.Finish(t.Context(), oidc.Return{State: state, Code: code, Secret: secret}); !errors.Is(err, oidc.ErrRefused) {
		t.Errorf("4,097 flows later: %v, want ErrRefused", err)
	}
}

// A provider that is away keeps nobody waiting for long, and is found when it is back.
func TestProviderAway(t *testing.T) {
	issuer := oidctest.New(t, "RS256")
	now := time.Now()
	p := open(t, issuer, func(c *oidc.Config) { c.Now = func() time.Time { return now } })
	issuer.Away.Store(true)
	for range 3 {
		if _, _, err := p.Begin(t.Context(), "/"); !errors.Is(err, oidc.ErrUnavailable) {
			t.Errorf("away: %v, want ErrUnavailable", err)
		}
	}
	if n := issuer.Asked(); n != 1 {
		t.Errorf("a provider that is away was asked %d times at once, want once", n)
	}
	issuer.Away.Store(false)
	now = now.Add(3 * time.Second)
	if _, _, err := signIn(t, p, issuer, nil, nil); err != nil {
		t.Errorf("back: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := open(t, issuer, nil).Begin(ctx, "/"); !errors.Is(err, oidc.ErrUnavailable) {
		t.Errorf("whoever leaves: %v", err)
	}
}

// Names of any account become names that may be shown.
func TestNames(t *testing.T) {
	issuer := oidctest.New(t, "RS256")
	p := open(t, issuer, nil)
	for given, want := range map[string]string{
		"  Ada\tLovelace\n": "AdaLovelace", "a\u202eb": "ab", strings.Repeat("x", 100): strings.Repeat("x", 64), "": "ada", "\u200b\u200b": "ada",
		"علی‌رضا": "علی‌رضا",
	} {
		who, _, err := signIn(t, p, issuer, func(k *oidctest.Token) { k.Claims["name"], k.Claims["preferred_username"] = given, "ada" }, nil)
		if err != nil || who.Name != want || token.ValidName(who.Name) != nil {
			t.Errorf("%q: %q, %v, want %q", given, who.Name, err, want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := oidc.Config{Issuer: "https://accounts.example", ClientID: "x", RedirectURL: "https://node.example/cb"}
	for what, edit := range map[string]func(*oidc.Config){
		"no issuer": func(c *oidc.Config) { c.Issuer = "" }, "issuer of files": func(c *oidc.Config) { c.Issuer = "file:///etc" },
		"no client": func(c *oidc.Config) { c.ClientID = "" }, "redirect without host": func(c *oidc.Config) { c.RedirectURL = "/cb" },
		"issuer with a password": func(c *oidc.Config) { c.Issuer = "https://a:b@accounts.example" },
	} {
		c := good
		edit(&c)
		if _, err := oidc.New(c); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
	if _, err := oidc.New(good); err != nil {
		t.Error(err)
	}
}
