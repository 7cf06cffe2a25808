package api

import (
	"testing"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/oidc/oidctest"
	"rotunda/control/token"
)

// Who may open rooms, by what the operator has set and what the token says. Whoever may not reads a type of its own, and
// nothing is made.
func TestWhoMayOpenRooms(t *testing.T) {
	issuer := oidctest.New(t, "ES256")
	guest := func(n *node) string {
		return n.want(201, "POST", "/v1/guests", "", `{"name":"Gil"}`).body["token"].(string)
	}
	account := func(n *node) string {
		cookie, location := n.begin("/")
		state, code := issuer.Authorize(t, location, nil)
		n.want(303, "GET", "/v1/sign-in/callback?state="+state+"&code="+code, "", "", "Cookie", cookie)
		return n.want(200, "POST", "/v1/sign-in/token", "", "", "Cookie", cookie).body["token"].(string)
	}
	minted := func(edit func(*token.Claims)) func(*node) string {
		return func(*node) string { return bearer(t, "ada", edit) }
	}
	const created, refused = "", "may-not-create"
	for _, c := range []struct {
		who                       string
		token                     func(*node) string
		everyone, accounts, scope string
	}{
		{"guest", guest, created, refused, refused},
		{"signed in", account, created, created, refused},
		{"token without a scope", minted(nil), created, refused, refused},
		{"token with the scope", minted(func(c *token.Claims) { c.Create = true }), created, created, created},
		{"operator", minted(func(c *token.Claims) { c.Operator = true }), created, refused, refused},
		{"operator with the scope", minted(func(c *token.Claims) { c.Operator, c.Create = true, true }), created, created, created},
		{"scope and a low role", minted(func(c *token.Claims) { c.Create, c.Role = true, rotunda.Cohost }), "forbidden", "forbidden", "forbidden"},
		{"scope and another room", minted(func(c *token.Claims) { c.Create, c.Room = true, "k3v9" }), "wrong-room", "wrong-room", "wrong-room"},
	} {
		for setting, want := range map[Creator]string{"": c.everyone, CreatorEveryone: c.everyone, CreatorAccounts: c.accounts, CreatorScope: c.scope} {
			signIn := withSignIn(t, issuer)
			n := newNode(t, "us-east-1", new(eventlog.Memory), func(cfg *Config) {
				signIn(cfg)
				cfg.Guests, cfg.Creator = true, setting
			})
			a := n.ask("POST", "/v1/rooms", c.token(n), `{"title":"Tides"}`)
			status := 403
			if want == created {
				status = 201
			}
			if a.status != status || want != created && a.slug() != want {
				t.Errorf("%s where %q open rooms: %d %s, want %d %s", c.who, setting, a.status, a.raw, status, want)
			}
			if rooms := len(n.control.Rooms()); rooms > 0 && status != 201 {
				t.Errorf("%s where %q open rooms: refused, and there are %d rooms", c.who, setting, rooms)
			}
			if want != created {
				checkProblem(t, c.who, a)
			}
		}
	}
}

func TestCreatorIsChecked(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	cfg := n.api.cfg
	cfg.Creator = "some"
	if _, err := New(cfg); err == nil {
		t.Error("somebody unknown may open rooms")
	}
}
