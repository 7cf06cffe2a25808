package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"rotunda/control/eventlog"
	"rotunda/control/oidc"
	"rotunda/control/oidc/oidctest"
	"rotunda/control/token"
)

// withSignIn gives a node an identity provider.
func withSignIn(t testing.TB, issuer *oidctest.Issuer) func(*Config) {
	return func(c *Config) {
		p, err := oidc.New(oidc.Config{
			Issuer: issuer.URL, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret, RedirectURL: "https://node.example/v1/sign-in/callback",
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		c.SignIn, c.Guests = p, false
		c.Self.Addresses.HTTP = "https://node.example"
	}
}

// begin goes to the provider and returns the cookie and where the browser is sent.
func (n *node) begin(back string) (cookie, location string) {
	n.t.Helper()
	a := n.want(303, "GET", "/v1/sign-in?return="+back, "", "")
	c, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
	if err != nil || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/v1/sign-in" || len(c.Value) < 43 {
		n.t.Fatalf("cookie %q, %v", a.header.Get("Set-Cookie"), err)
	}
	return c.Name + "=" + c.Value, a.header.Get("Location")
}

func TestSignInCalls(t *testing.T) {
	issuer := oidctest.New(t, "ES256")
	n := newNode(t, "us-east-1", new(eventlog.Memory), withSignIn(t, issuer))
	cookie, location := n.begin("/r/k3v9")
	state, code := issuer.Authorize(t, location, nil)
	// Providers add parameters of their own.
	back := n.want(303, "GET", "/v1/sign-in/callback?state="+state+"&code="+code+"&hd=example.org&authuser=0", "", "", "Cookie", cookie)
	if back.header.Get("Location") != "/r/k3v9#signed-in" || strings.Contains(back.raw+back.header.Get("Location"), "eyJ") {
		t.Errorf("back: %v %s", back.header, back.raw)
	}
	if a := n.ask("POST", "/v1/sign-in/token", "", ""); a.status != 403 || a.slug() != "not-signed-in" {
		t.Errorf("another browser: %d %s", a.status, a.raw)
	}
	got := n.want(200, "POST", "/v1/sign-in/token", "", "", "Cookie", cookie)
	if got.header.Get("Cache-Control") != "no-store" || !strings.Contains(got.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("handed over with %v", got.header)
	}
	raw := got.body["token"].(string)
	c, err := n.api.cfg.Keyring.Check(time.Now(), raw)
	if err != nil || string(c.User) != got.body["user"] || c.Name != "Ada Lovelace" || c.Room != "" || c.Role != "" || c.Operator || c.ID == "" {
		t.Errorf("the token says %+v, %v", c, err)
	}
	n.want(201, "POST", "/v1/rooms", raw, `{"title":"Tides"}`)
	if a := n.ask("POST", "/v1/sign-in/token", "", "", "Cookie", cookie); a.status != 403 {
		t.Errorf("handed over twice: %d", a.status)
	}
	if a := n.ask("GET", "/v1/sign-in/callback?state="+state+"&code="+code, "", "", "Cookie", cookie); a.status != 403 || a.slug() != "sign-in-refused" {
		t.Errorf("the same return again: %d %s", a.status, a.raw)
	}
	if issuer.Given() != 1 {
		t.Errorf("the provider gave %d tokens", issuer.Given())
	}
	n.want(403, "POST", "/v1/guests", "", `{"name":"Gil"}`) // sign-in does not open the door to guests
	for door, at := range map[string]*node{
		`{"guests":false,"signIn":true,"create":"everyone"}`: n,
		`{"guests":true,"signIn":false,"create":"accounts"}`: newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) { c.Creator = CreatorAccounts }),
	} {
		if a := at.want(200, "GET", "/v1/door", "", ""); strings.TrimSpace(a.raw) != door {
			t.Errorf("the door says %s, want %s", a.raw, door)
		}
	}
}

func TestSignInRefused(t *testing.T) {
	issuer := oidctest.New(t, "RS256")
	n := newNode(t, "us-east-1", new(eventlog.Memory), withSignIn(t, issuer))
	try := func(edit func(*oidctest.Token), cookieOf func(string) string) answered {
		cookie, location := n.begin("/")
		state, code := issuer.Authorize(t, location, edit)
		a := n.ask("GET", "/v1/sign-in/callback?state="+state+"&code="+code, "", "", "Cookie", cookieOf(cookie))
		if after := n.ask("POST", "/v1/sign-in/token", "", "", "Cookie", cookie); after.status != 403 {
			t.Errorf("after %d %s a token is handed over", a.status, a.slug())
		}
		return a
	}
	same := func(c string) string { return c }
	for what, a := range map[string]answered{
		"no cookie":      try(nil, func(string) string { return "" }),
		"another cookie": try(nil, func(string) string { return signInCookie + "=x" }),
		"wrong nonce":    try(func(k *oidctest.Token) { k.Claims["nonce"] = "x" }, same),
		"wrong audience": try(func(k *oidctest.Token) { k.Claims["aud"] = "x" }, same),
		"expired":        try(func(k *oidctest.Token) { k.Claims["exp"] = time.Now().Add(-time.Hour).Unix() }, same),
		"wrong state":    n.ask("GET", "/v1/sign-in/callback?state=x&code=y", "", ""),
		"nothing at all": n.ask("GET", "/v1/sign-in/callback", "", ""),
	} {
		if a.status != 403 || a.slug() != "sign-in-refused" {
			t.Errorf("%s: %d %s", what, a.status, a.raw)
		}
		checkProblem(t, what, a)
	}
	// Who looks at the answer gets a page; there is no token either.
	if a := n.ask("GET", "/v1/sign-in/callback?state=x&code=y", "", "", "Sec-Fetch-Mode", "navigate"); a.status != 303 || a.header.Get("Location") != "/#sign-in-refused" {
		t.Errorf("a person's browser: %d %s", a.status, a.header.Get("Location"))
	}
	// The person says no: back to where they were, without a token.
	cookie, location := n.begin("/r/k3v9")
	state, _ := issuer.Authorize(t, location, nil)
	if a := n.ask("GET", "/v1/sign-in/callback?state="+state+"&error=access_denied", "", "", "Cookie", cookie); a.status != 303 || a.header.Get("Location") != "/r/k3v9#sign-in-cancelled" {
		t.Errorf("cancelled: %d %s", a.status, a.header.Get("Location"))
	}
	// Whom the operator has banned signs in in vain.
	cookie, location = n.begin("/")
	state, code := issuer.Authorize(t, location, nil)
	n.want(303, "GET", "/v1/sign-in/callback?state="+state+"&code="+code, "", "", "Cookie", cookie)
	who := n.want(200, "POST", "/v1/sign-in/token", "", "", "Cookie", cookie).body["user"].(string)
	n.want(204, "PUT", "/v1/operator/bans/"+who, bearer(t, "olga", func(c *token.Claims) { c.Operator = true }), "")
	if a := try(nil, same); a.status != 403 || a.slug() != "banned-everywhere" {
		t.Errorf("banned: %d %s", a.status, a.raw)
	}
	issuer.Away.Store(true)
	away := newNode(t, "us-east-1", new(eventlog.Memory), withSignIn(t, issuer))
	if a := away.ask("GET", "/v1/sign-in", "", ""); a.status != 503 || a.slug() != "sign-in-unavailable" || a.header.Get("Retry-After") == "" {
		t.Errorf("provider away: %d %s", a.status, a.raw)
	}
	off := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	for _, path := range []string{"/v1/sign-in", "/v1/sign-in/callback?state=x&code=y"} {
		if a := off.ask("GET", path, "", ""); a.status != 403 || a.slug() != "sign-in-off" {
			t.Errorf("%s without a provider: %d %s", path, a.status, a.raw)
		}
	}
}

// Nobody is sent to another site after signing in.
func TestWayBack(t *testing.T) {
	for in, want := range map[string]string{
		"/r/k3v9": "/r/k3v9", "/": "/", "/r/k3v9?x=1": "/r/k3v9?x=1", "": "/", "r": "/", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example": "/",
		"/a\r\nSet-Cookie: x": "/", "/a b": "/", "/#x": "/", "/" + strings.Repeat("a", 256): "/", "/é": "/",
	} {
		if got := wayBack(in); got != want {
			t.Errorf("wayBack(%q) = %q, want %q", in, got, want)
		}
	}
}
