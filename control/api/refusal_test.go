package api

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/token"
)

// Every class of error: its status, its type, and the form of all of them.
func TestRefusals(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada, bob := bearer(t, "ada", nil), bearer(t, "bob", nil)
	room := n.room(ada)
	full := n.want(201, "POST", "/v1/rooms", ada, `{"title":"Small","policy":{"speakersMax":1}}`).header.Get("Location")
	n.want(200, "POST", full+"/requests", bob, "")
	ended := n.room(ada)
	n.want(200, "POST", ended+"/end", ada, "")
	foreign, err := token.NewSigner("k1", ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	forged, err := foreign.Mint(token.Claims{User: "ada", Expires: time.Now().Add(time.Hour), ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	expired := bearer(t, "ada", func(c *token.Claims) { c.Expires = time.Now().Add(-time.Minute) })
	elsewhere := bearer(t, "ada", func(c *token.Claims) { c.Room = "elsewhere" })
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)

	for _, c := range []struct {
		what, method, path, bearer, body string
		status                           int
		slug                             string
	}{
		{"no token", "POST", "/v1/rooms", "", `{"title":"x"}`, 401, "missing-token"},
		{"no token, no room", "POST", "/v1/rooms/nothing/end", "", "", 401, "missing-token"},
		{"garbage for a token", "POST", "/v1/rooms", "garbage", `{"title":"x"}`, 401, "invalid-token"},
		{"forged token", "POST", "/v1/rooms", forged, `{"title":"x"}`, 401, "invalid-token"},
		{"expired token", "POST", "/v1/rooms", expired, `{"title":"x"}`, 401, "expired-token"},
		{"token of another room", "POST", room + "/end", elsewhere, "", 403, "wrong-room"},
		{"not the host", "POST", room + "/end", bob, "", 403, "forbidden"},
		{"unknown room, reading", "GET", "/v1/rooms/nothing", "", "", 404, "unknown-room"},
		{"unknown room, commanding", "POST", "/v1/rooms/nothing/end", ada, "", 404, "unknown-room"},
		{"unknown room, following", "GET", "/v1/rooms/nothing/events", "", "", 404, "unknown-room"},
		{"unknown room, edges", "GET", "/v1/edges?room=nothing", "", "", 404, "unknown-room"},
		{"unknown path", "GET", "/v1/nothing", "", "", 404, "not-found"},
		{"unknown path below a room", "POST", room + "/fly", ada, "", 404, "not-found"},
		{"wrong method", "DELETE", "/v1/rooms", ada, "", 405, "method-not-allowed"},
		{"invented method", "BREW", room, ada, "", 405, "method-not-allowed"},
		{"nobody asked", "POST", room + "/requests/eve/approve", ada, "", 409, "conflict"},
		{"no place on stage", "POST", full + "/requests/bob/approve", ada, "", 409, "full"},
		{"room is over", "POST", ended + "/mute-all", ada, "", 409, "ended"},
		{"body too large", "POST", "/v1/rooms", ada, `{"title":"` + strings.Repeat("x", 65<<10) + `"}`, 413, "body-too-large"},
		{"not JSON", "POST", "/v1/rooms", ada, `title=x`, 400, "malformed"},
		{"cut JSON", "POST", "/v1/rooms", ada, `{"title":"x"`, 400, "malformed"},
		{"two values", "POST", "/v1/rooms", ada, `{"title":"x"}{}`, 400, "malformed"},
		{"member twice", "POST", "/v1/rooms", ada, `{"title":"x","title":"y"}`, 400, "malformed"},
		{"member twice in two cases", "POST", "/v1/rooms", ada, `{"title":"x","TITLE":"y"}`, 400, "malformed"},
		{"not UTF-8", "POST", "/v1/rooms", ada, "{\"title\":\"\xff\"}", 400, "malformed"},
		{"nested", "POST", "/v1/rooms", ada, deep, 400, "malformed"},
		{"no body", "POST", "/v1/rooms", ada, "", 400, "malformed"},
		{"null for a body", "POST", "/v1/rooms", ada, "null", 422, "invalid"},
		{"array for a body", "POST", "/v1/rooms", ada, "[]", 422, "invalid"},
		{"unknown member", "POST", "/v1/rooms", ada, `{"title":"x","admin":true}`, 422, "invalid"},
		{"wrong type", "POST", "/v1/rooms", ada, `{"title":7}`, 422, "invalid"},
		{"missing member", "POST", "/v1/rooms", ada, `{}`, 422, "invalid"},
		{"too many tags", "POST", "/v1/rooms", ada, `{"title":"x","tags":["1","2","3","4","5","6","7","8","9"]}`, 422, "invalid"},
		{"absurd mode", "POST", "/v1/rooms", ada, `{"title":"x","mode":"karaoke"}`, 422, "invalid"},
		{"not a time", "POST", "/v1/rooms", ada, `{"title":"x","startsAt":"tomorrow"}`, 422, "invalid"},
		{"speakersMax too high", "POST", "/v1/rooms", ada, `{"title":"x","policy":{"speakersMax":1000000}}`, 422, "invalid"},
		{"speakersMax a fraction", "POST", "/v1/rooms", ada, `{"title":"x","policy":{"speakersMax":1.5}}`, 422, "invalid"},
		{"title too long", "POST", "/v1/rooms", ada, `{"title":"` + strings.Repeat("x", 121) + `"}`, 422, "invalid"},
		{"title of spaces", "POST", "/v1/rooms", ada, `{"title":"   "}`, 422, "invalid"},
		{"title that reverses", "POST", "/v1/rooms", ada, `{"title":"a\u202eb"}`, 422, "invalid"},
		{"absurd role", "PUT", room + "/participants/bob/role", ada, `{"role":"god"}`, 422, "invalid"},
		{"malformed user", "POST", room + "/requests/b%20b/approve", ada, "", 422, "invalid"},
		{"malformed cursor", "GET", "/v1/rooms?cursor=%21", "", "", 422, "invalid"},
		{"absurd limit", "GET", "/v1/rooms?limit=1000000", "", "", 422, "invalid"},
		{"unknown parameter", "GET", "/v1/rooms?offset=3", "", "", 422, "invalid"},
		{"absurd state", "GET", "/v1/rooms?state=dead", "", "", 422, "invalid"},
		{"invisible name", "POST", "/v1/guests", "", `{"name":"a\u202eb"}`, 422, "invalid"},
		{"name of spaces", "POST", "/v1/guests", "", `{"name":"  "}`, 422, "invalid"},
	} {
		a := n.ask(c.method, c.path, c.bearer, c.body)
		if a.status != c.status || a.slug() != c.slug {
			t.Errorf("%s: %d %s, want %d %s: %.300s", c.what, a.status, a.slug(), c.status, c.slug, a.raw)
			continue
		}
		checkProblem(t, c.what, a)
	}
	if a := n.ask("POST", "/v1/rooms", ada, "<title>x</title>", "Content-Type", "application/xml"); a.status != 415 || a.slug() != "unsupported-media-type" {
		t.Errorf("XML: %d %s", a.status, a.raw)
	}
	if a := n.ask("GET", room+"/events", "", "", "Last-Event-ID", "yesterday"); a.status != 422 {
		t.Errorf("malformed Last-Event-ID: %d %s", a.status, a.raw)
	}
	if v := n.want(200, "GET", room, "", "").body["seq"]; v != float64(1) {
		t.Errorf("the room is at %v after all that was refused, want 1", v)
	}
}

// checkProblem checks what RFC 9457 and we ask of every error.
func checkProblem(t testing.TB, what string, a answered) {
	t.Helper()
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("%s: Content-Type %q", what, ct)
	}
	if a.body["status"] != float64(a.status) || a.body["title"] == "" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %s with Cache-Control %q", what, a.raw, a.header.Get("Cache-Control"))
	}
	if len(a.raw) > 4096 {
		t.Errorf("%s: %d bytes of problem: what was sent must not come back", what, len(a.raw))
	}
	if a.status == 401 && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), `Bearer realm="rotunda"`) {
		t.Errorf("%s: WWW-Authenticate %q", what, a.header.Get("WWW-Authenticate"))
	}
	if retry := a.header.Get("Retry-After"); (a.status == 429 || a.status == 503) != (retry != "") && a.slug() != "idempotency-running" && a.status != 504 {
		t.Errorf("%s: Retry-After %q with %d", what, retry, a.status)
	}
}

// T26: nobody learns from an answer which rooms there are.
func TestUnknownRoomsAnswerAlike(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada := bearer(t, "ada", nil)
	for _, c := range []struct{ method, below string }{
		{"GET", ""}, {"GET", "/participants"}, {"GET", "/events"}, {"POST", "/requests"}, {"POST", "/end"}, {"DELETE", "/participants/bob"}, {"PATCH", ""},
	} {
		var first answered
		for i, id := range []string{"k3v9q7m2x4ab", "x", strings.Repeat("a", 64), strings.Repeat("a", 65), "%2e%2e", "a%2Fb", "a%20b", "%00", "%ff", "K3V9"} {
			body := ""
			if c.method == "PATCH" {
				body = `{"title":"x"}`
			}
			a := n.ask(c.method, "/v1/rooms/"+id+c.below, ada, body, "X-Request-Id", "one-for-all") // each has its own otherwise
			if a.status != 404 {
				t.Errorf("%s %s of %q: %d %s", c.method, c.below, id, a.status, a.raw)
			}
			if i == 0 {
				first = a
			} else if a.raw != first.raw || fmt.Sprint(a.header) != fmt.Sprint(first.header) {
				t.Errorf("%s %s of %q: %s %v, of the first %s %v", c.method, c.below, id, a.raw, a.header, first.raw, first.header)
			}
		}
		if first.slug() != "unknown-room" {
			t.Errorf("%s %s: %s", c.method, c.below, first.raw)
		}
	}
}

func TestMethodNotAllowedSaysWhatIs(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	for path, want := range map[string]string{
		"/v1/rooms": "GET, HEAD, POST, OPTIONS", "/v1/rooms/x": "GET, HEAD, PATCH, OPTIONS",
		"/v1/rooms/x/requests": "POST, DELETE, OPTIONS", "/v1/rooms/x/participants/y/role": "PUT, OPTIONS",
	} {
		if a := n.ask("TRACE", path, "", ""); a.status != 405 || a.header.Get("Allow") != want {
			t.Errorf("TRACE %s: %d, Allow %q, want %q", path, a.status, a.header.Get("Allow"), want)
		}
	}
}

func TestGuestsCanBeOff(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) { c.Signer, c.Guests = nil, false })
	if a := n.ask("POST", "/v1/guests", "", `{"name":"Ada"}`); a.status != 403 || a.slug() != "guests-off" {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

// The log away: what cannot be kept is refused with a time to try again, what is known is still told.
func TestLogAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(faultyLog)
		n := newNode(t, "us-east-1", log, nil)
		ada := bearer(t, "ada", nil)
		room := n.room(ada)
		log.away.Store(true)
		for _, path := range []string{"/v1/rooms", room + "/end"} {
			body := ""
			if path == "/v1/rooms" {
				body = `{"title":"x"}`
			}
			a := n.ask("POST", path, ada, body)
			if a.status != 503 || a.slug() != "log-unavailable" || a.header.Get("Retry-After") != "2" {
				t.Errorf("POST %s with the log away: %d, Retry-After %q: %s", path, a.status, a.header.Get("Retry-After"), a.raw)
			}
			checkProblem(t, path, a)
		}
		n.want(200, "GET", room, "", "")
		n.want(200, "GET", "/v1/rooms", "", "")
		log.away.Store(false)
		log.mute.Store(true)
		if a := n.ask("POST", room+"/end", ada, ""); a.status != 504 || a.slug() != "outcome-unknown" {
			t.Errorf("a log that does not answer: %d %s", a.status, a.raw)
		}
		log.mute.Store(false)
		n.want(200, "POST", room+"/end", ada, "")
	})
}

// What is our own fault is said to nobody, and logged.
func TestInternalErrorsStayInside(t *testing.T) {
	w := httptest.NewRecorder()
	WriteProblem(w, httptest.NewRequest("GET", "/v1/rooms", nil), fmt.Errorf("dial /var/secret: %w", http.ErrAbortHandler))
	if w.Code != 500 || strings.Contains(w.Body.String(), "secret") || !strings.Contains(w.Body.String(), "urn:rotunda:problem:internal") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// The table is the documentation: every type once with one status, all in the same form.
func TestErrorTable(t *testing.T) {
	status := map[string]int{}
	check := func(s int, slug, title string) {
		if before, ok := status[slug]; ok && before != s {
			t.Errorf("%s is %d and %d", slug, before, s)
		}
		status[slug] = s
		if slug == "" || title == "" || slug != strings.ToLower(slug) || strings.ContainsAny(slug, " _") || http.StatusText(s) == "" {
			t.Errorf("row %d %q %q", s, slug, title)
		}
	}
	for _, r := range rules {
		check(r.status, r.slug, r.title)
		if p, known := problemOf(fmt.Errorf("somewhere: %w", r.err)); !known || p.Type != problemPrefix+r.slug || p.Status != r.status {
			t.Errorf("%v becomes %+v", r.err, p)
		}
	}
	for s, r := range byStatus {
		check(s, r.slug, r.title)
	}
}

func TestAuthorizationHeaderForms(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	raw := bearer(t, "ada", nil)
	for _, c := range []struct {
		values []string
		want   error
	}{
		{[]string{"Bearer " + raw}, nil},
		{[]string{"bearer " + raw}, nil},
		{nil, ErrNoToken},
		{[]string{raw}, ErrNoToken},
		{[]string{"Basic " + raw}, ErrNoToken},
		{[]string{"Bearer " + raw, "Bearer " + raw}, ErrNoToken},
		{[]string{"Bearer  " + raw}, token.ErrInvalid},
		{[]string{"Bearer " + raw + ", Bearer " + raw}, token.ErrInvalid},
		{[]string{"Bearer " + strings.Repeat("a.", 1<<19)}, token.ErrInvalid},
	} {
		r := httptest.NewRequest("GET", "/v1/rooms", nil)
		r.Header["Authorization"] = c.values
		got, err := n.api.Authenticate(r)
		if (err == nil) != (c.want == nil) || c.want != nil && !strings.Contains(err.Error(), c.want.Error()) {
			t.Errorf("%.40q: %v, want %v", c.values, err, c.want)
		}
		if err == nil && got.User != "ada" {
			t.Errorf("%.40q: %+v", c.values, got)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	_, err := New(Config{Limits: Limits{Guests: Rate{-1, 0}, Streams: -1}, GuestLife: -1})
	for _, want := range []string{"Control", "Self", "GuestLife", "Guests", "streams"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not speak of %s: %v", want, err)
		}
	}
}

// Any JSON that a stranger sends is answered with 2xx or 4xx, and a room made from it can be read.
func FuzzAPIJSON(f *testing.F) {
	n := newNode(f, "us-east-1", new(eventlog.Memory), func(c *Config) {
		c.Limits = Limits{Commands: Rate{1e9, 1e9}, Reads: Rate{1e9, 1e9}, UserCommands: Rate{1e9, 1e9}, Rooms: Rate{1e9, 1e9}, Guests: Rate{1e9, 1e9},
			Reactions: Rate{1e9, 1e9}, Reports: Rate{1e9, 1e9}, Pictures: Rate{1e9, 1e9}}
	})
	ada := bearer(f, "ada", func(c *token.Claims) { c.Operator = true })
	room := n.room(ada)
	calls := []struct{ method, path string }{
		{"POST", "/v1/rooms"}, {"PATCH", room}, {"POST", "/v1/guests"}, {"POST", room + "/requests"}, {"PUT", room + "/participants/bob/role"},
		{"DELETE", room + "/participants/bob"}, {"POST", room + "/requests/bob/deny"},
		{"POST", room + "/invitations"}, {"POST", room + "/participants/bob/warn"}, {"POST", room + "/pins"}, {"PUT", room + "/pins/p1/place"},
		{"POST", room + "/rotation"}, {"POST", room + "/rotation/extend"}, {"POST", room + "/reactions"}, {"POST", room + "/reports"},
		{"PATCH", "/v1/profile"}, {"POST", "/v1/operator/revocations"}, {"PUT", "/v1/operator/bans/bob"}, {"POST", "/v1/operator/reports/x/ack"},
	}
	for i, s := range []string{
		`{"title":"x","tags":["a"],"policy":{"speakersMax":3,"requests":"closed"},"startsAt":"2030-01-01T00:00:00Z"}`, `{"title":null}`, `{"name":"Ada"}`,
		`{"note":"` + strings.Repeat("n", 280) + `"}`, `{"role":"host"}`, `{"ban":true}`, `{"a":{"b":[[[[1e400]]]]}}`, `{"user":"bob","reason":"x","note":"y"}`,
		`{"url":"https://example.org","note":"x"}`, `{"place":1}`, `{"turn":60,"warn":5}`, `{"by":10}`, `{"emoji":"👏"}`, `{"bio":"x","hidden":true}`,
		`{"token":"x","expires":"2030-01-01T00:00:00Z"}`, `{"name":"Ada","avatar":"aGVsbG8="}`, `{"answer":"x"}`, "[]", "null", "\"", "{\"title\":\"\u202e\"}",
	} {
		f.Add(uint8(i), s)
	}
	f.Fuzz(func(t *testing.T, call uint8, body string) {
		n := &node{t: t, handler: n.handler}
		c := calls[int(call)%len(calls)]
		a := n.ask(c.method, c.path, ada, body)
		if a.status/100 != 2 && a.status/100 != 4 {
			t.Errorf("%s %s %q: %d %s", c.method, c.path, body, a.status, a.raw)
		}
		if a.status == 201 && c.path == "/v1/rooms" {
			if got := n.ask("GET", a.header.Get("Location"), "", ""); got.status != 200 || got.raw != a.raw {
				t.Errorf("made from %q: %s, read: %s", body, a.raw, got.raw)
			}
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(place{-5, "k3v9"}.cursor())
	f.Add("AAAAAAAAAAAA")
	f.Add("A=")
	items := []int{1, 2, 3, 4}
	where := func(i int) place { return place{int64(i), rotundaID(i)} }
	f.Fuzz(func(t *testing.T, s string) {
		p, ok, err := parseCursor(s)
		if err == nil && ok && p.cursor() != s {
			t.Errorf("%q parses to %+v, which is %q", s, p, p.cursor())
		}
		some, next, err := page(items, where, s, 2)
		if err == nil && (len(some) > 2 || !slices.IsSorted(some) || next != "" && len(some) != 2) {
			t.Errorf("page after %q: %v, next %q", s, some, next)
		}
	})
}

func rotundaID(i int) string { return string(rotunda.RoomID(fmt.Sprint("r", i))) }

// decodeStrict takes nothing that encoding/json does not, and what it takes it takes the same way.
func FuzzDecodeStrict(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":1,"A":2}`, `[1,2]x`, "\xff", `{"a":{"b":{}}}`, strings.Repeat("[", 100), `1e999`, `{"\u0061":1,"a":2}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got, want any
		err := decodeStrict([]byte(s), &got)
		if err != nil {
			return
		}
		if err := json.Unmarshal([]byte(s), &want); err != nil {
			t.Errorf("took %q: %v", s, err)
		}
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			t.Errorf("%q is %s, want %s", s, g, w)
		}
	})
}
