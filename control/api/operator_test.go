package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/token"
)

func operator(t testing.TB) string {
	return bearer(t, "olga", func(c *token.Claims) { c.Operator = true })
}

// A report reaches the operator, on another node and after the room's end; the answer reaches the reporter, and nobody in
// the room learns of either.
func TestReports(t *testing.T) {
	log := new(eventlog.Memory)
	one, two := newNode(t, "us-east-1", log, nil), newNode(t, "eu-west-1", log, nil)
	ada, bob, olga := bearer(t, "ada", nil), bearer(t, "bob", nil), operator(t)
	room := one.room(ada)
	made := one.want(201, "POST", room+"/reports", bob, `{"user":"ada","reason":"Harassment","note":"For ten\nminutes."}`).body
	one.want(200, "POST", room+"/end", ada, "")
	one.want(201, "POST", room+"/reports", bob, `{"reason":"Also after the end"}`)
	one.is(room, ada, 2, "seq")

	waitFor(t, "the queue on the other node has both", func() bool {
		return len(two.want(200, "GET", "/v1/operator/reports", olga, "").body["reports"].([]any)) == 2
	})
	queue := two.want(200, "GET", "/v1/operator/reports?limit=1", olga, "")
	first := queue.body["reports"].([]any)[0]
	for name, want := range map[string]any{
		"id": made["id"], "by": "bob", "user": "ada", "name": "ADA", "title": "Tides", "host": "ada", "seq": 1.0, "open": true, "reason": "Harassment",
		"room": strings.TrimPrefix(room, "/v1/rooms/"),
	} {
		if at(first, name) != want {
			t.Errorf("queued %s = %v, want %v", name, at(first, name), want)
		}
	}
	if queue.body["oldestSeconds"].(float64) <= 0 || queue.body["nextCursor"] == nil || queue.header.Get("Link") == "" {
		t.Errorf("queue: %v, Link %q", queue.body, queue.header.Get("Link"))
	}
	ack := fmt.Sprintf("/v1/operator/reports/%v/ack", made["id"])
	two.want(403, "POST", ack, bob, `{"answer":"x"}`)
	if a := two.want(200, "POST", ack, olga, `{"answer":"Banned. Thank you."}`); at(a.body, "open") != false || at(a.body, "answeredBy") != "olga" {
		t.Errorf("answered: %s", a.raw)
	}
	two.want(404, "POST", "/v1/operator/reports/nothing/ack", olga, "")
	waitFor(t, "the reporter has the answer", func() bool {
		mine := one.want(200, "GET", "/v1/reports", bob, "").body["reports"].([]any)
		return len(mine) == 2 && at(mine[1], "answer") == "Banned. Thank you." && at(mine[1], "answeredBy") == nil && at(mine[0], "open") == true
	})
	if mine := one.want(200, "GET", "/v1/reports", ada, "").body["reports"].([]any); len(mine) != 0 {
		t.Errorf("whom the report is about sees %v", mine)
	}
	if done := two.want(200, "GET", "/v1/operator/reports?state=answered", olga, "").body["reports"].([]any); len(done) != 1 {
		t.Errorf("answered: %v", done)
	}
	for what, body := range map[string]string{"no reason": `{}`, "of nothing": `{"reason":"  "}`, "malformed user": `{"reason":"x","user":"b b"}`} {
		if a := one.ask("POST", room+"/reports", bob, body); a.status != 422 {
			t.Errorf("%s: %d %s", what, a.status, a.raw)
		}
	}
	one.want(404, "POST", "/v1/rooms/nothing/reports", bob, `{"reason":"x"}`)
	one.want(403, "POST", room+"/reports", bearer(t, "bob", func(c *token.Claims) { c.Room = "other" }), `{"reason":"x"}`)
}

// The operator's calls are for operators, and everybody else's token is refused alike.
func TestOperatorOnly(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	host := bearer(t, "ada", func(c *token.Claims) { c.Role = rotunda.Host })
	for _, c := range []call{
		{"", "GET", "/v1/operator/reports", host, "", 403, "operator-only"},
		{"", "POST", "/v1/operator/reports/x/ack", host, "", 403, "operator-only"},
		{"", "GET", "/v1/operator/bans", host, "", 403, "operator-only"},
		{"", "PUT", "/v1/operator/bans/bob", host, "", 403, "operator-only"},
		{"", "DELETE", "/v1/operator/bans/bob", host, "", 403, "operator-only"},
		{"", "POST", "/v1/operator/revocations", host, `{"user":"bob"}`, 403, "operator-only"},
		{"", "DELETE", "/v1/operator/profiles/bob", host, "", 403, "operator-only"},
		{"", "GET", "/v1/operator/reports", "", "", 401, "missing-token"},
	} {
		a := n.ask(c.method, c.path, c.bearer, c.body)
		if a.status != c.status || a.slug() != c.slug {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, a.status, a.slug(), c.status, c.slug)
		}
		checkProblem(t, c.path, a)
	}
	olga := operator(t)
	for what, body := range map[string]string{
		"neither": `{}`, "both": `{"token":"x","user":"bob"}`, "end of a person": `{"user":"bob","expires":"2126-01-01T00:00:00Z"}`, "malformed": `{"token":"a b"}`,
	} {
		if a := n.ask("POST", "/v1/operator/revocations", olga, body); a.status != 422 {
			t.Errorf("%s: %d %s", what, a.status, a.raw)
		}
	}
	n.want(422, "PUT", "/v1/operator/bans/olga", olga, "") // oneself
	n.want(404, "DELETE", "/v1/operator/bans/bob", olga, "")
}

// What an operator may do in a room that is not theirs, and what not: the scope is no role.
func TestOperatorInARoom(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada, bob, olga := bearer(t, "ada", nil), bearer(t, "bob", nil), operator(t)
	room := n.room(ada)
	n.make(room, []call{
		{"bob asks", "POST", "/requests", bob, "", 200, ""},
		{"olga approves", "POST", "/requests/bob/approve", olga, "", 403, "forbidden"},
		{"olga edits", "PATCH", "", olga, `{"title":"Mine"}`, 403, "forbidden"},
		{"olga makes herself host", "PUT", "/participants/olga/role", olga, `{"role":"host"}`, 403, "forbidden"},
		{"olga invites", "POST", "/invitations", olga, `{"user":"bob"}`, 403, "forbidden"},
		{"olga unmutes the host", "DELETE", "/participants/ada/mute", olga, "", 403, "forbidden"},
		{"ada unmutes", "DELETE", "/participants/ada/mute", ada, "", 200, ""},
		{"olga mutes the host", "POST", "/participants/ada/mute", olga, "", 200, ""},
		{"olga warns", "POST", "/participants/bob/warn", olga, `{"reason":"x"}`, 200, ""},
		{"olga locks", "PUT", "/lock", olga, "", 200, ""},
		{"olga bans bob here", "DELETE", "/participants/bob", olga, `{"ban":true}`, 200, ""},
		{"and lets him in", "DELETE", "/bans/bob", olga, "", 200, ""},
		{"olga asks as anybody may", "POST", "/requests", olga, "", 200, ""},
		{"olga ends it", "POST", "/end", olga, `{"reason":"Rules."}`, 200, ""},
	})
	n.is(room, "", "ended", "state")
	// A ban from the mesh takes rooms out of the person's hands.
	room = n.room(ada)
	n.want(204, "PUT", "/v1/operator/bans/ada", olga, `{"reason":"Spam."}`)
	n.is(room, "", "ended", "state") // there was nobody else who could be its host
	bans := n.want(200, "GET", "/v1/operator/bans", olga, "").body["bans"].([]any)
	if len(bans) != 1 || at(bans[0], "user") != "ada" || at(bans[0], "by") != "olga" || at(bans[0], "reason") != "Spam." {
		t.Errorf("bans: %v", bans)
	}
	n.want(200, "PATCH", "/v1/profile", bob, `{"bio":"rude"}`)
	n.want(204, "DELETE", "/v1/operator/profiles/bob", olga, "")
	if list := n.want(200, "GET", "/v1/people?user=bob", "", "").body["people"].([]any); len(list) != 0 {
		t.Errorf("profile: %v", list)
	}
}

// With the log away the operator is told that nothing was done, and whom it knew to refuse the node refuses all the same.
func TestPeopleWithTheLogAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(faultyLog)
		n := newNode(t, "us-east-1", log, nil)
		olga, bob := operator(t), bearer(t, "bob", nil)
		room := n.room(bearer(t, "ada", nil))
		n.want(204, "PUT", "/v1/operator/bans/eve", olga, "")
		log.away.Store(true)
		for _, c := range []call{
			{"", "PUT", "/v1/operator/bans/dan", olga, "", 503, "log-unavailable"},
			{"", "PATCH", "/v1/profile", bob, `{"name":"Bob"}`, 503, "log-unavailable"},
			{"", "POST", room + "/reports", bob, `{"reason":"x"}`, 503, "log-unavailable"},
			{"", "POST", "/v1/profile/sign-out", bob, "", 503, "log-unavailable"},
			{"", "GET", "/v1/profile", bearer(t, "eve", nil), "", 403, "banned-everywhere"},
			{"", "GET", "/v1/profile", bob, "", 200, ""},
		} {
			a := n.ask(c.method, c.path, c.bearer, c.body)
			if a.status != c.status || c.slug != "" && a.slug() != c.slug {
				t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, a.status, a.slug(), c.status, c.slug)
			}
			if a.status == 503 && a.header.Get("Retry-After") == "" {
				t.Errorf("%s %s: no Retry-After", c.method, c.path)
			}
		}
		log.away.Store(false)
		log.mute.Store(true)
		if a := n.ask("PUT", "/v1/operator/bans/dan", olga, ""); a.status != 504 || a.slug() != "outcome-unknown" {
			t.Errorf("a log that does not answer: %d %s", a.status, a.raw)
		}
	})
}

// Every rate: what it counts for, and that others are not counted.
func TestRateTable(t *testing.T) {
	now := noon
	issued := func(c *token.Claims) { c.Issued, c.Expires = noon, noon.Add(time.Hour) }
	ada, bob := bearer(t, "ada", issued), bearer(t, "bob", issued)
	for name, c := range map[string]struct {
		limits Limits
		method string
		path   string // %s: a room
		body   string
		ok     int
	}{
		"rooms":     {Limits{Rooms: Rate{0.5, 2}}, "POST", "/v1/rooms", `{"title":"x"}`, 201},
		"reactions": {Limits{Reactions: Rate{0.5, 2}}, "POST", "%s/reactions", `{"emoji":"👏"}`, 202},
		"reports":   {Limits{Reports: Rate{0.5, 2}}, "POST", "%s/reports", `{"reason":"x"}`, 201},
		"pictures":  {Limits{Pictures: Rate{0.5, 2}}, "PUT", "/v1/profile/avatar", string(aPicture(t, 2, 1)), 200},
		"commands":  {Limits{UserCommands: Rate{0.5, 2}}, "POST", "%s/requests", "", 200},
	} {
		n := newNode(t, "us-east-1", new(eventlog.Memory), func(cfg *Config) {
			cfg.Now, cfg.Limits = func() time.Time { return now }, c.limits
			withPictures(t, nil)(cfg)
		})
		path := c.path
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, n.room(bearer(t, "host", issued)))
		}
		do := func(bearer string) answered {
			headers := []string{}
			if name == "pictures" {
				headers = []string{"Content-Type", "image/png"}
			}
			return n.ask(c.method, path, bearer, c.body, headers...)
		}
		for range 2 {
			if a := do(ada); a.status != c.ok {
				t.Errorf("%s: %d %s, want %d", name, a.status, a.raw, c.ok)
			}
		}
		if a := do(ada); a.status != http.StatusTooManyRequests || a.slug() != "rate-limited" || a.header.Get("Retry-After") != "2" {
			t.Errorf("%s, the third: %d, Retry-After %q: %s", name, a.status, a.header.Get("Retry-After"), a.raw)
		}
		if a := do(bob); a.status != c.ok {
			t.Errorf("%s of somebody else: %d %s", name, a.status, a.raw)
		}
		now = now.Add(2 * time.Second)
		if a := do(ada); a.status != c.ok {
			t.Errorf("%s after two seconds: %d %s", name, a.status, a.raw)
		}
	}
}

// Media sessions are opened as often as an address may, and no more.
func TestSessionsOfAnAddress(t *testing.T) {
	now := noon
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(cfg *Config) {
		cfg.Now, cfg.Limits = func() time.Time { return now }, Limits{Sessions: Rate{0.5, 2}}
	})
	from := func(address string) error {
		r := httptest.NewRequest("POST", "/v1/rooms/r/whep", nil)
		r.RemoteAddr = address
		return n.api.AdmitSession(r)
	}
	for i, c := range []struct {
		address string
		after   time.Duration
		refused bool
	}{
		{"192.0.2.1:1", 0, false}, {"192.0.2.1:2", 0, false}, {"192.0.2.1:3", 0, true}, {"192.0.2.2:1", 0, false},
		{"[2001:db8::1]:1", 0, false}, {"[2001:db8::2]:1", 0, false}, {"[2001:db8::3]:1", 0, true}, {"192.0.2.1:4", 2 * time.Second, false},
	} {
		now = now.Add(c.after)
		if err := from(c.address); (err != nil) != c.refused || err != nil && !errors.Is(err, errTooMany) {
			t.Errorf("%d: %s: %v", i, c.address, err)
		}
	}
}
