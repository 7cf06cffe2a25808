package api

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/people"
	"rotunda/control/token"
)

// aPicture is a PNG of one colour.
func aPicture(t testing.TB, side int, shade uint8) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	for i := range img.Pix {
		img.Pix[i] = shade
	}
	for y := range side {
		for x := range side {
			img.SetNRGBA(x, y, color.NRGBA{shade, 0, 0, 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withPictures gives a node a gallery. peers may be filled later.
func withPictures(t testing.TB, peers func() []rotunda.Member) func(*Config) {
	return func(c *Config) {
		g, err := people.OpenGallery(people.GalleryConfig{Folder: t.TempDir(), Self: c.Self.ID, Shown: c.People.Shown, Members: peers})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = g.Close() })
		c.Pictures = g
	}
}

// upload sends a picture as it is.
func (n *node) upload(bearer string, picture []byte) answered {
	return n.ask("PUT", "/v1/profile/avatar", bearer, string(picture), "Content-Type", "application/octet-stream")
}

func TestProfileCalls(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), withPictures(t, nil))
	ada, bob := bearer(t, "ada", nil), bearer(t, "bob", nil)
	if me := n.want(200, "GET", "/v1/profile", ada, "").body; me["user"] != "ada" || me["name"] != "ADA" || me["hidden"] != false || me["expires"] == nil {
		t.Errorf("before anything was said: %v", me)
	}
	me := n.want(200, "PATCH", "/v1/profile", ada, `{"name":" Ada ","bio":"Walks along shores."}`).body
	if me["name"] != "Ada" || me["bio"] != "Walks along shores." {
		t.Errorf("changed: %v", me)
	}
	if me := n.want(200, "PATCH", "/v1/profile", ada, `{"hidden":true}`).body; me["hidden"] != true || me["name"] != "Ada" {
		t.Errorf("changed again: %v", me)
	}
	// The name that was chosen goes before the token's, in rooms too; and the roster is searched by what people say.
	room := n.room(ada)
	n.is(room, "", "Ada", "participants", "ada", "name")
	for q, want := range map[string]int{"ada": 1, "shores": 1, "mountains": 0} {
		list := n.want(200, "GET", room+"/participants?q="+q, "", "").body["participants"].([]any)
		if len(list) != want || want == 1 && at(list[0], "bio") != "Walks along shores." {
			t.Errorf("searched for %s: %v", q, list)
		}
	}
	list := n.want(200, "GET", "/v1/people?user=ada&user=bob&user=zed", "", "").body["people"].([]any)
	if len(list) != 1 || at(list[0], "name") != "Ada" || at(list[0], "hidden") != nil || at(list[0], "expires") != nil {
		t.Errorf("everybody sees %v", list)
	}
	for what, body := range map[string]string{
		"invisible name": `{"name":"a\u202eb"}`, "long bio": `{"bio":"` + strings.Repeat("x", 281) + `"}`, "lines": `{"bio":"a\nb"}`,
		"a foreign picture": `{"avatar":"https://evil.example/x.png"}`, "unknown": `{"admin":true}`, "long name": `{"name":"` + strings.Repeat("x", 65) + `"}`,
	} {
		if a := n.ask("PATCH", "/v1/profile", ada, body); a.status != 422 || a.slug() != "invalid" {
			t.Errorf("%s: %d %s", what, a.status, a.raw)
		}
	}
	n.want(401, "GET", "/v1/profile", "", "")
	n.want(204, "DELETE", "/v1/profile", ada, "")
	if me := n.want(200, "GET", "/v1/profile", ada, "").body; me["name"] != "ADA" || me["bio"] != nil {
		t.Errorf("forgotten: %v", me)
	}
	n.want(422, "GET", "/v1/people?"+strings.Repeat("user=x&", 101), "", "")
	_ = bob
}

// A picture is on every node as soon as the log has told of it, named by its hash, for ever the same.
func TestAvatars(t *testing.T) {
	log := new(eventlog.Memory)
	var peers []rotunda.Member
	one := newNode(t, "us-east-1", log, withPictures(t, nil))
	two := newNode(t, "eu-west-1", log, withPictures(t, func() []rotunda.Member { return peers }))
	s := httptest.NewServer(one.handler)
	t.Cleanup(s.Close)
	peers = []rotunda.Member{{ID: "us-east-1", State: rotunda.Alive, Addresses: rotunda.Addresses{HTTP: s.URL}}}
	ada := bearer(t, "ada", nil)
	a := one.upload(ada, aPicture(t, 300, 200))
	url, _ := a.body["avatar"].(string)
	if a.status != 200 || !strings.HasPrefix(url, "/v1/avatars/") {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	waitFor(t, "the other node knows of it", func() bool {
		return len(two.want(200, "GET", "/v1/people?user=ada", "", "").body["people"].([]any)) == 1
	})
	if a := two.ask("GET", url+"?here=true", "", ""); a.status != 404 {
		t.Errorf("on the other node before anybody asked: %d", a.status)
	}
	for i, n := range []*node{one, two, two} {
		a := n.want(200, "GET", url, "", "")
		if a.header.Get("Content-Type") != "image/jpeg" || !strings.Contains(a.header.Get("Cache-Control"), "immutable") || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%d: headers %v", i, a.header)
		}
		img, err := jpeg.Decode(strings.NewReader(a.raw))
		if err != nil || img.Bounds().Dx() != 256 || "/v1/avatars/"+string(people.HashOf([]byte(a.raw))) != url {
			t.Errorf("%d: %v, %d bytes", i, err, len(a.raw))
		}
	}
	if a := one.ask("GET", url, "", "", "If-None-Match", "x"); a.status != 304 || a.raw != "" {
		t.Errorf("known already: %d, %d bytes", a.status, len(a.raw))
	}
	for _, path := range []string{"/v1/avatars/x", "/v1/avatars/" + strings.Repeat("0", 64), "/v1/avatars/..%2f..%2fetc%2fpasswd", "/v1/avatars/" + strings.ToUpper(strings.TrimPrefix(url, "/v1/avatars/"))} {
		if a := one.ask("GET", path, "", ""); a.status != 404 {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
	// It is in the roster, and gone with the profile.
	room := one.room(ada)
	if p := one.want(200, "GET", room+"/participants", "", "").body["participants"].([]any); at(p[0], "avatar") != url {
		t.Errorf("roster: %v", p)
	}
	one.want(200, "DELETE", "/v1/profile/avatar", ada, "")
	one.want(404, "GET", url, "", "")
}

func TestAvatarsRefused(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) {
		withPictures(t, nil)(c)
		c.Limits.Pictures = Rate{1, 100}
	})
	ada := bearer(t, "ada", nil)
	for what, c := range map[string]struct {
		picture []byte
		status  int
		slug    string
	}{
		"nothing": {nil, 422, "invalid"}, "text": {[]byte("hello"), 422, "invalid"}, "SVG": {[]byte(`<svg onload="alert(1)"/>`), 422, "invalid"},
		"too many pixels": {aPicture(t, 2100, 0), 422, "invalid"}, "too long": {bytes.Repeat([]byte("x"), people.UploadMax+1), 413, "body-too-large"},
		"cut": {aPicture(t, 100, 9)[:80], 422, "invalid"},
	} {
		a := n.upload(ada, c.picture)
		if a.status != c.status && !(c.picture == nil && a.status == 400) || c.picture != nil && a.slug() != c.slug {
			t.Errorf("%s: %d %s, want %d %s", what, a.status, a.raw, c.status, c.slug)
		}
	}
	if a := n.upload("", aPicture(t, 10, 1)); a.status != 401 {
		t.Errorf("nobody: %d", a.status)
	}
	if a := newNode(t, "us-east-1", new(eventlog.Memory), nil).upload(ada, aPicture(t, 10, 1)); a.status != 403 || a.slug() != "pictures-off" {
		t.Errorf("a node without pictures: %d %s", a.status, a.raw)
	}
}

func TestGuestsWithPictures(t *testing.T) {
	now := time.Now()
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) {
		withPictures(t, nil)(c)
		c.Now = func() time.Time { return now }
	})
	body := func(picture []byte) string {
		return fmt.Sprintf(`{"name":"Gil","avatar":%q}`, base64.StdEncoding.EncodeToString(picture))
	}
	g := n.want(201, "POST", "/v1/guests", "", body(aPicture(t, 64, 77))).body
	list := n.want(200, "GET", "/v1/people?user="+g["user"].(string), "", "").body["people"].([]any)
	if len(list) != 1 || at(list[0], "avatar") == nil {
		t.Fatalf("the guest's profile: %v", list)
	}
	n.want(200, "GET", at(list[0], "avatar").(string), "", "")
	n.want(422, "POST", "/v1/guests", "", body([]byte("hello")))
	n.want(422, "POST", "/v1/guests", "", `{"name":"Gil","avatar":"%%%"}`)
	n.want(422, "POST", "/v1/guests", "", `{"name":"Gil","avatar":"`+strings.Repeat("A", 60_004)+`"}`)
	for range 3 {
		n.want(201, "POST", "/v1/guests", "", body(aPicture(t, 8, 1)))
	}
	if a := n.ask("POST", "/v1/guests", "", body(aPicture(t, 8, 1))); a.status != 429 {
		t.Errorf("the sixth picture from one address: %d %s", a.status, a.raw)
	}
}

// What was taken back is refused on every node, also where it was used before; what is taken back is the token and not its
// bytes.
func TestTokensTakenBack(t *testing.T) {
	log := new(eventlog.Memory)
	one, two := newNode(t, "us-east-1", log, nil), newNode(t, "eu-west-1", log, nil)
	olga := bearer(t, "olga", func(c *token.Claims) { c.Operator = true })
	refused := func(what, bearer string, status int, slug string) {
		t.Helper()
		for i, n := range []*node{one, two} {
			waitFor(t, fmt.Sprintf("%s: refused on node %d", what, i), func() bool { return n.ask("GET", "/v1/profile", bearer, "").status != 200 })
			a := n.ask("POST", "/v1/rooms", bearer, `{"title":"x"}`)
			if a.status != status || a.slug() != slug {
				t.Errorf("%s on node %d: %d %s, want %d %s", what, i, a.status, a.slug(), status, slug)
			}
			checkProblem(t, what, a)
			if _, err := n.api.Authenticate(&http.Request{Header: http.Header{"Authorization": {"Bearer " + bearer}}}); err == nil {
				t.Errorf("%s on node %d: media would be let in", what, i)
			}
		}
	}
	bob := bearer(t, "bob", nil)
	one.want(200, "GET", "/v1/profile", bob, "")
	one.want(204, "POST", "/v1/operator/revocations", olga, `{"token":"j-bob","expires":"2126-01-01T00:00:00Z"}`)
	refused("one token", bob, 401, "revoked-token")
	again := bearer(t, "bob", func(c *token.Claims) { c.ID = "another" })
	two.want(200, "GET", "/v1/profile", again, "")
	two.want(204, "POST", "/v1/profile/sign-out", again, "")
	refused("signed out", again, 401, "revoked-token")
	one.want(200, "GET", "/v1/profile", bearer(t, "bob", func(c *token.Claims) { c.ID, c.Issued = "third", time.Now().Add(2*time.Second) }), "")
	one.want(204, "PUT", "/v1/operator/bans/eve", olga, `{"reason":"Spam."}`)
	refused("banned", bearer(t, "eve", func(c *token.Claims) { c.ID, c.Issued = "new", time.Now().Add(time.Second) }), 403, "banned-everywhere")
	two.want(204, "DELETE", "/v1/operator/bans/eve", olga, "")
	waitFor(t, "let in again", func() bool { return one.ask("GET", "/v1/profile", bearer(t, "eve", nil), "").status == 200 })
}

// No picture, whatever it is, does more than be refused.
func FuzzAvatar(f *testing.F) {
	n := newNode(f, "us-east-1", new(eventlog.Memory), func(c *Config) {
		withPictures(f, nil)(c)
		many := Rate{1e9, 1 << 30}
		c.Limits = Limits{Pictures: many, Commands: many, UserCommands: many, Reads: many}
	})
	ada := bearer(f, "ada", nil)
	f.Add(aPicture(f, 3, 200))
	f.Add([]byte("\xff\xd8\xff\xe0"))
	f.Add([]byte("GIF89a\x01\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, picture []byte) {
		if len(picture) == 0 || len(picture) > 64<<10 {
			t.Skip()
		}
		n := *n
		n.t = t
		a := n.upload(ada, picture)
		switch a.status {
		case 200:
			if got := n.ask("GET", a.body["avatar"].(string), "", ""); got.status != 200 || len(got.raw) > people.PictureMax {
				t.Fatalf("kept, and then %d of %d bytes", got.status, len(got.raw))
			}
		case 422:
		default:
			t.Fatalf("%d %s", a.status, a.raw)
		}
	})
}
