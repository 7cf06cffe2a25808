package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"rotunda/control/oidc/oidctest"
)

// TestPeopleSignIn is a mesh whose operator has accounts and takes no guests: a person signs in at a real OpenID provider in a real
// browser, is called by their name there, opens a room, and is the same person after a node's restart and in another browser at
// another node. Who says no, or comes back with what the provider has not given them for this, stays outside.
func TestPeopleSignIn(t *testing.T) {
	issuer := oidctest.New(t, "RS256")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(oidctest.ClientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mesh := startMeshOf(t, builtBinary(t), regions) // for itself, up sets all that is to be set
	for key, value := range map[string]string{
		"ROTUNDA_OIDC_ISSUER": issuer.URL, "ROTUNDA_OIDC_CLIENT_ID": oidctest.ClientID, "ROTUNDA_OIDC_CLIENT_SECRET_FILE": secret,
		"ROTUNDA_TOKENS_GUESTS": "false", "ROTUNDA_TOKENS_CREATE_ROOMS": "accounts",
	} {
		t.Setenv(key, value)
	}
	for i := range mesh.urls { // one by one: two of three keep the log
		mesh.terminate(t, i)
		mesh.restart(t, i)
	}

	ada := openBrowser(t, "Ada", adasVoice.record(t))
	ada.open(mesh.urls[0] + "/?raw")
	ada.until("has the lobby", `document.querySelector(".shimmer") === null`, patience)
	ada.press("Start a room")
	ada.sees("Here people sign in before they come in.")
	ada.doesNotSee("no account")
	ada.look("accounts-create")
	ada.press("Not now")
	ada.until("has no dialog before her", `document.querySelector("dialog[open]") === null`, patience)
	ada.press("Sign in")
	ada.sees("Who are you?")
	ada.press("Cancel")
	ada.sees("You did not sign in.")
	ada.look("accounts-lobby")
	ada.signIn()
	ada.sees("You are signed in as Ada Lovelace.")
	ada.look("accounts-signed-in")
	if at := ada.location(); at != mesh.urls[0]+"/?raw" {
		t.Errorf("Ada is back at %s", at)
	}
	user := ada.user()
	ada.press("Start a room")
	ada.sees("Joining as Ada Lovelace")
	ada.fill("What is it about?", "Engines")
	ada.press("Open the room")
	ada.until("is in her room", phase("live"), patience)
	link := strings.TrimPrefix(ada.location(), mesh.urls[0])
	room := strings.TrimPrefix(strings.Split(link, "?")[0], "/r/")
	if v := viewOf(t, mesh.urls[1], room); v.Host != user || v.HostName != "Ada Lovelace" {
		t.Errorf("the room's host is %+v, want %s", v, user)
	}

	mesh.kill(t, 0)
	mesh.restart(t, 0)
	ada.open(mesh.urls[0] + link)
	ada.sees("Joining as Ada Lovelace")
	if again := ada.user(); again != user {
		t.Errorf("after a restart she is %s, and was %s", again, user)
	}

	// The same account in another browser, at another node.
	elsewhere := openBrowser(t, "Ada-elsewhere", adasVoice.record(t))
	elsewhere.open(mesh.urls[1] + link)
	elsewhere.sees("Here people sign in before they come in.")
	elsewhere.look("accounts-room")
	elsewhere.doesNotSee("no account")
	elsewhere.signIn()
	elsewhere.sees("You are signed in as Ada Lovelace.")
	if other := elsewhere.user(); other != user {
		t.Errorf("in another browser she is %s, and was %s", other, user)
	}

	// By the link for speakers she is invited, though she is not known before she has signed in.
	ada.press("Go on stage")
	key := ada.linkForSpeakers()
	invited := openBrowser(t, "Bea", bobsVoice.record(t))
	invited.open(mesh.urls[1] + strings.TrimPrefix(key, mesh.urls[0]))
	invited.sees("Here people sign in before they come in.")
	issuer.Next(func(k *oidctest.Token) { k.Claims["sub"], k.Claims["name"] = "bea", "Bea" })
	invited.signIn()
	invited.sees("You are signed in as Bea.")
	invited.press("Start listening")
	invited.sees("Ada Lovelace invites you to speak.")

	// What the provider gave for somebody else's site.
	bob := openBrowser(t, "Bob", bobsVoice.record(t))
	bob.open(mesh.urls[2] + "/")
	issuer.Next(func(k *oidctest.Token) { k.Claims["aud"] = "another client" })
	bob.signIn()
	bob.sees("Signing in did not work. Try again.")
	bob.look("accounts-refused")
	refusedSignIns(t, mesh.urls[2], issuer)
}

// signIn goes by the provider's page, as Ada.
func (p *page) signIn() {
	p.t.Helper()
	p.press("Sign in")
	p.sees("Who are you?")
	p.press("Continue as Ada Lovelace")
}

// user is who the page says that its person is.
func (p *page) user() string {
	p.t.Helper()
	user, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`JSON.parse(localStorage.getItem("rotunda.identity")).user`))
	if err != nil || user == "" || strings.HasPrefix(user, "g_") {
		p.t.Fatalf("%s is %q (%v)", p.who, user, err)
	}
	return user
}

type hosted struct{ Host, HostName string }

// viewOf is what a node's lobby says of a room.
func viewOf(t *testing.T, base, room string) (v hosted) {
	t.Helper()
	browser := &http.Client{Timeout: patience}
	until(t, "the room is known", func() bool {
		var list struct {
			Rooms []struct {
				ID string
				hosted
			}
		}
		if json.Unmarshal([]byte(get(t, browser, base+"/v1/rooms?state=live").body), &list) != nil {
			return false
		}
		for _, each := range list.Rooms {
			if each.ID == room {
				v = each.hosted
				return true
			}
		}
		return false
	})
	return v
}

// refusedSignIns comes back to a node with what it must not take: it answers 403, and hands no token over.
func refusedSignIns(t *testing.T, base string, issuer *oidctest.Issuer) {
	t.Helper()
	given := issuer.Given()
	same := func(url.Values) {}
	set := func(key, value string) func(url.Values) { return func(q url.Values) { q.Set(key, value) } }
	for what, c := range map[string]struct {
		edit   func(*oidctest.Token)
		change func(q url.Values)
		drop   bool // the cookie
		twice  bool
	}{
		"another's nonce":    {func(k *oidctest.Token) { k.Claims["nonce"] = "x" }, same, false, false},
		"expired":            {func(k *oidctest.Token) { k.Claims["exp"] = time.Now().Add(-time.Hour).Unix() }, same, false, false},
		"a foreign audience": {func(k *oidctest.Token) { k.Claims["aud"] = []string{"another client"} }, same, false, false},
		"another issuer":     {func(k *oidctest.Token) { k.Claims["iss"] = "https://accounts.example.org" }, same, false, false},
		"no signature":       {func(k *oidctest.Token) { k.Alg = "none" }, same, false, false},
		"the client's key":   {func(k *oidctest.Token) { k.Alg = "HS256" }, same, false, false},
		"a wrong state":      {nil, set("state", "x"), false, false},
		"a wrong code":       {nil, set("code", "x"), false, false},
		"another browser":    {nil, same, true, false},
		"the same twice":     {nil, same, false, true},
	} {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		browser := &http.Client{Jar: jar, CheckRedirect: stay, Timeout: patience}
		issuer.Next(c.edit)
		back, err := url.Parse(get(t, browser, get(t, browser, base+"/v1/sign-in?return=/").to+"&answer=yes").to)
		if err != nil {
			t.Fatal(err)
		}
		q := back.Query()
		c.change(q)
		back.RawQuery = q.Encode()
		if c.drop {
			browser.Jar = nil
		}
		if c.twice {
			if a := get(t, browser, back.String()); a.status != http.StatusSeeOther || !strings.HasSuffix(a.to, "#signed-in") {
				t.Errorf("%s: the first time it is %d %s", what, a.status, a.to)
			}
			if status := fetchToken(t, browser, base); status != http.StatusOK {
				t.Errorf("%s: the first time the token is not handed over: %d", what, status)
			}
		}
		if a := get(t, browser, back.String()); a.status != http.StatusForbidden || !strings.Contains(a.body, "sign-in-refused") {
			t.Errorf("%s: %d %s %s, want 403", what, a.status, a.to, a.body)
		}
		if status := fetchToken(t, browser, base); status != http.StatusForbidden {
			t.Errorf("%s: afterwards a token is handed over: %d", what, status)
		}
	}
	if issuer.Given() == given {
		t.Error("the provider gave no token: the test shows nothing")
	}
}

func fetchToken(t *testing.T, browser *http.Client, base string) (status int) {
	t.Helper()
	r, err := browser.Post(base+"/v1/sign-in/token", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	return r.StatusCode
}

type gotten struct {
	status   int
	to, body string
}

func get(t *testing.T, browser *http.Client, address string) gotten {
	t.Helper()
	r, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	to := ""
	if at, err := r.Location(); err == nil {
		to = fmt.Sprint(at)
	}
	return gotten{r.StatusCode, to, string(body)}
}
