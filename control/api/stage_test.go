package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/token"
)

// call is one request and what it should get.
type call struct {
	what, method, path, bearer, body string
	status                           int
	slug                             string // of a refusal
}

// make goes through calls in order.
func (n *node) make(room string, calls []call) {
	n.t.Helper()
	for _, c := range calls {
		a := n.ask(c.method, room+c.path, c.bearer, c.body)
		if a.status != c.status || a.slug() != c.slug && a.status >= 400 {
			n.t.Fatalf("%s: %d %s, want %d %s: %.300s", c.what, a.status, a.slug(), c.status, c.slug, a.raw)
		}
		if a.status >= 400 {
			checkProblem(n.t, c.what, a)
		}
	}
}

// is checks a value in the room as reader sees it.
func (n *node) is(room, reader string, want any, path ...string) {
	n.t.Helper()
	if got := at(n.want(200, "GET", room, reader, "").body, path...); fmt.Sprint(got) != fmt.Sprint(want) {
		n.t.Errorf("%s = %v, want %v", strings.Join(path, "."), got, want)
	}
}

func TestInvitations(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada, bob, cyd, eve := bearer(t, "ada", nil), bearer(t, "bob", nil), bearer(t, "cyd", nil), bearer(t, "eve", nil)
	room := n.room(ada)
	n.make(room, []call{
		{"eve invites", "POST", "/invitations", eve, `{"user":"bob"}`, 403, "forbidden"},
		{"ada invites bob", "POST", "/invitations", ada, `{"user":"bob"}`, 200, ""},
		{"ada invites cyd", "POST", "/invitations", ada, `{"user":"cyd"}`, 200, ""},
		{"eve accepts bob's", "POST", "/invitations/bob/accept", eve, "", 403, "forbidden"},
		{"ada accepts bob's", "POST", "/invitations/bob/accept", ada, "", 403, "forbidden"},
		{"eve accepts what there is not", "POST", "/invitations/eve/accept", eve, "", 409, "conflict"},
		{"malformed", "POST", "/invitations", ada, `{"user":"b b"}`, 422, "invalid"},
		{"nobody", "POST", "/invitations", ada, `{"user":""}`, 422, "invalid"},
	})
	n.is(room, "", nil, "participants", "bob")
	n.is(room, "", "ada", "invitations", "bob", "by")
	n.make(room, []call{
		{"bob accepts", "POST", "/invitations/bob/accept", bob, "", 200, ""},
		{"cyd declines", "POST", "/invitations/cyd/decline", cyd, "", 200, ""},
		{"cyd accepts after all", "POST", "/invitations/cyd/accept", cyd, "", 409, "conflict"},
		{"ada invites eve", "POST", "/invitations", ada, `{"user":"eve"}`, 200, ""},
		{"and takes it back", "POST", "/invitations/eve/decline", ada, "", 200, ""},
	})
	n.is(room, "", "speaker", "participants", "bob", "role")
	n.is(room, "", true, "participants", "bob", "muted")
	n.is(room, "", nil, "invitations", "eve")
}

func TestSpeakerLink(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada, bob, cyd := bearer(t, "ada", nil), bearer(t, "bob", nil), bearer(t, "cyd", nil)
	room := n.room(ada)
	const key, other = `{"key":"pX4n0dWmJzq1rB7sT9uVcY"}`, `{"key":"another-key-of-22-char"}`
	n.make(room, []call{
		{"bob makes one", "PUT", "/speaker-link", bob, key, 403, "forbidden"},
		{"a key too short", "PUT", "/speaker-link", ada, `{"key":"short"}`, 422, "invalid"},
		{"a key of other signs", "PUT", "/speaker-link", ada, `{"key":"<script>alert(1)</script>"}`, 422, "invalid"},
		{"bob comes by none", "POST", "/speaker-link", bob, key, 403, "forbidden"},
		{"ada makes one", "PUT", "/speaker-link", ada, key, 200, ""},
		{"bob guesses", "POST", "/speaker-link", bob, other, 403, "forbidden"},
		{"nobody in particular", "POST", "/speaker-link", "", key, 401, "missing-token"},
		{"bob comes by it", "POST", "/speaker-link", bob, key, 200, ""},
	})
	n.is(room, "", "ada", "speakerLink", "by")
	n.is(room, "", "ada", "invitations", "bob", "by")
	n.is(room, "", nil, "participants", "bob")
	if r := n.want(200, "GET", room, bob, ""); strings.Contains(fmt.Sprint(r.body), "pX4n0dWm") {
		t.Error("the room tells the key")
	}
	n.make(room, []call{
		{"bob says yes", "POST", "/invitations/bob/accept", bob, "", 200, ""},
		{"bob takes it back", "DELETE", "/speaker-link", bob, "", 403, "forbidden"},
		{"ada takes it back", "DELETE", "/speaker-link", ada, "", 200, ""},
		{"cyd comes too late", "POST", "/speaker-link", cyd, key, 403, "forbidden"},
	})
	n.is(room, "", "speaker", "participants", "bob", "role")
	n.is(room, "", nil, "speakerLink")
}

func TestDoors(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada, bob, eve := bearer(t, "ada", nil), bearer(t, "bob", nil), bearer(t, "eve", nil)
	room := n.room(ada)
	n.make(room, []call{
		{"eve locks", "PUT", "/lock", eve, "", 403, "forbidden"},
		{"ada locks", "PUT", "/lock", ada, "", 200, ""},
	})
	n.is(room, "", true, "locked")
	n.make(room, []call{
		{"eve unlocks", "DELETE", "/lock", eve, "", 403, "forbidden"},
		{"ada unlocks", "DELETE", "/lock", ada, "", 200, ""},
		{"eve refreshes", "POST", "/refresh", eve, "", 403, "forbidden"},
		{"ada refreshes", "POST", "/refresh", ada, "", 200, ""},
		{"ada bans eve", "DELETE", "/participants/eve", ada, `{"ban":true,"reason":"Spam."}`, 200, ""},
		{"eve asks", "POST", "/requests", eve, "", 403, "banned"},
		{"eve follows", "GET", "/events", eve, "", 403, "banned"},
		{"eve reacts", "POST", "/reactions", eve, `{"emoji":"👏"}`, 403, "banned"},
		{"bob unbans her", "DELETE", "/bans/eve", bob, "", 403, "forbidden"},
		{"ada unbans her", "DELETE", "/bans/eve", ada, "", 200, ""},
		{"eve asks again", "POST", "/requests", eve, "", 200, ""},
	})
	n.is(room, "", "ada", "refreshed", "by")
	// A ban from all rooms of a host holds in the next one, also on another node.
	n.make(room, []call{{"ada bans bob everywhere", "DELETE", "/participants/bob", ada, `{"ban":true,"everywhere":true}`, 200, ""}})
	next := n.room(ada)
	n.make(next, []call{
		{"bob asks in ada's next room", "POST", "/requests", bob, "", 403, "banned"},
		{"bob follows it", "GET", "/events", bob, "", 403, "banned"},
		{"bob reacts in it", "POST", "/reactions", bob, `{"emoji":"👏"}`, 403, "banned"},
	})
	n.make(n.room(eve), []call{{"bob asks in eve's room", "POST", "/requests", bob, "", 200, ""}})
}

func TestPins(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada, bob, eve := bearer(t, "ada", nil), bearer(t, "bob", nil), bearer(t, "eve", nil)
	room := n.room(ada)
	n.make(room, []call{
		{"bob asks", "POST", "/requests", bob, "", 200, ""}, {"ada approves", "POST", "/requests/bob/approve", ada, "", 200, ""},
		{"eve, who listens", "POST", "/pins", eve, `{"url":"https://example.org/a"}`, 403, "forbidden"},
		{"a script", "POST", "/pins", ada, `{"url":"javascript:alert(1)"}`, 422, "invalid"},
		{"a password", "POST", "/pins", ada, `{"url":"https://a:b@example.org"}`, 422, "invalid"},
		{"no link", "POST", "/pins", ada, `{"note":"x"}`, 422, "invalid"},
		{"ada pins", "POST", "/pins", ada, `{"url":"https://example.org/tides","note":"The tide table."}`, 200, ""},
		{"bob proposes", "POST", "/pins", bob, `{"url":"https://example.org/birds"}`, 200, ""},
	})
	count := func(reader string) int {
		pins, _ := n.want(200, "GET", room, reader, "").body["pins"].(map[string]any)
		return len(pins)
	}
	if count("") != 1 || count(eve) != 1 || count(bob) != 2 || count(ada) != 2 {
		t.Errorf("pins seen by nobody in particular %d, eve %d, bob %d, ada %d; want 1, 1, 2, 2", count(""), count(eve), count(bob), count(ada))
	}
	// A token that allows less than the person is reads less, too.
	if low := bearer(t, "ada", func(c *token.Claims) { c.Role = rotunda.Speaker }); count(low) != 1 {
		t.Errorf("ada with a speaker's token sees %d pins, want 1", count(low))
	}
	ids := map[bool]string{}
	for id, p := range n.want(200, "GET", room, ada, "").body["pins"].(map[string]any) {
		ids[at(p, "approved").(bool)] = id
	}
	n.make(room, []call{
		{"bob approves his own", "POST", "/pins/" + ids[false] + "/approve", bob, "", 403, "forbidden"},
		{"ada approves it", "POST", "/pins/" + ids[false] + "/approve", ada, "", 200, ""},
		{"ada approves what there is not", "POST", "/pins/zzz/approve", ada, "", 409, "conflict"},
		{"bob moves it", "PUT", "/pins/" + ids[false] + "/place", bob, `{"place":1}`, 403, "forbidden"},
		{"ada moves it", "PUT", "/pins/" + ids[false] + "/place", ada, `{"place":1}`, 200, ""},
		{"to nowhere", "PUT", "/pins/" + ids[false] + "/place", ada, `{"place":0}`, 422, "invalid"},
		{"bob takes ada's away", "DELETE", "/pins/" + ids[true], bob, "", 403, "forbidden"},
		{"bob takes his away", "DELETE", "/pins/" + ids[false], bob, "", 200, ""},
	})
	if count("") != 1 {
		t.Errorf("%d pins are left", count(""))
	}
}

func TestRotation(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada, bob, eve := bearer(t, "ada", nil), bearer(t, "bob", nil), bearer(t, "eve", nil)
	room := n.room(ada)
	n.make(room, []call{
		{"bob asks", "POST", "/requests", bob, "", 200, ""}, {"eve asks", "POST", "/requests", eve, "", 200, ""},
		{"eve starts it", "POST", "/rotation", eve, `{"turn":60}`, 403, "forbidden"},
		{"turns of no time", "POST", "/rotation", ada, `{"turn":1}`, 422, "invalid"},
		{"next without any", "POST", "/rotation/next", ada, "", 409, "conflict"},
		{"ada starts it", "POST", "/rotation", ada, `{"turn":60,"warn":10}`, 200, ""},
	})
	n.is(room, "", "bob", "rotation", "user")
	n.is(room, "", "speaker", "participants", "bob", "role")
	n.make(room, []call{
		{"eve extends", "POST", "/rotation/extend", eve, `{"by":30}`, 403, "forbidden"},
		{"ada extends", "POST", "/rotation/extend", ada, `{"by":30}`, 200, ""},
		{"by nothing", "POST", "/rotation/extend", ada, `{"by":0}`, 422, "invalid"},
		{"bob ends his turn", "POST", "/rotation/next", bob, "", 403, "forbidden"},
		{"ada goes on", "POST", "/rotation/next", ada, "", 200, ""},
	})
	n.is(room, "", "eve", "rotation", "user")
	n.make(room, []call{
		{"eve stops it", "DELETE", "/rotation", eve, "", 403, "forbidden"},
		{"ada stops it", "DELETE", "/rotation", ada, "", 200, ""},
	})
	n.is(room, "", nil, "rotation")
	n.is(room, "", "speaker", "participants", "eve", "role")
}

// The record says who decided what: to the host, co-hosts and the operator, in pages, and to nobody else.
func TestModerationRecord(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada, bob, eve := bearer(t, "ada", nil), bearer(t, "bob", nil), bearer(t, "eve", nil)
	olga := bearer(t, "olga", func(c *token.Claims) { c.Operator = true })
	room := n.room(ada)
	n.make(room, []call{
		{"bob asks", "POST", "/requests", bob, "", 200, ""}, {"ada approves", "POST", "/requests/bob/approve", ada, "", 200, ""},
		{"ada warns bob", "POST", "/participants/bob/warn", ada, `{"reason":"Let others finish."}`, 200, ""},
		{"without a reason", "POST", "/participants/bob/warn", ada, `{}`, 422, "invalid"},
		{"eve warns bob", "POST", "/participants/bob/warn", eve, `{"reason":"x"}`, 403, "forbidden"},
		{"ada bans eve", "DELETE", "/participants/eve", ada, `{"ban":true,"reason":"Spam."}`, 200, ""},
		{"bob reads", "GET", "/log", bob, "", 403, "forbidden"}, {"eve reads", "GET", "/log", eve, "", 403, "forbidden"},
		{"nobody reads", "GET", "/log", "", "", 401, "missing-token"},
		{"ada, as a speaker", "GET", "/log", bearer(t, "ada", func(c *token.Claims) { c.Role = rotunda.Speaker }), "", 403, "forbidden"},
		{"a cursor of nobody", "GET", "/log?cursor=99999999999999999999", ada, "", 422, "invalid"},
	})
	read := func(bearer string, limit int) (types []string) {
		t.Helper()
		path := fmt.Sprintf("%s/log?limit=%d", room, limit)
		for path != "" {
			a := n.want(200, "GET", path, bearer, "")
			for _, e := range a.body["events"].([]any) {
				types = append(types, at(e, "type").(string))
				if at(e, "type") == "removed" && (at(e, "by") != "ada" || at(e, "user") != "eve" || at(e, "reason") != "Spam." || at(e, "ban") != true) {
					t.Errorf("the ban is recorded as %v", e)
				}
			}
			path = ""
			if link := a.header.Get("Link"); link != "" {
				path = link[1:strings.Index(link, ">")]
			}
		}
		return types
	}
	for _, reader := range []string{ada, olga} {
		all, paged := fmt.Sprint(read(reader, 100)), fmt.Sprint(read(reader, 1))
		if !strings.Contains(all, "created") || !strings.Contains(all, "warned removed") || all != paged {
			t.Errorf("the record is %s, in pages %s", all, paged)
		}
	}
	n.want(200, "POST", room+"/end", ada, "")
	if got := read(ada, 100); got[len(got)-1] != "ended" {
		t.Errorf("after the end the record ends with %s", got[len(got)-1])
	}
}

func TestReactions(t *testing.T) {
	p := newCrowd()
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) { c.Presence, c.Limits.Reactions = p, Rate{0.5, 3} })
	ada, bob, eve := bearer(t, "ada", nil), bearer(t, "bob", nil), bearer(t, "eve", nil)
	room := n.room(ada)
	n.make(room, []call{
		{"bob reacts", "POST", "/reactions", bob, `{"emoji":"👏"}`, 202, ""},
		{"with a word", "POST", "/reactions", bob, `{"emoji":"boo"}`, 422, "invalid"},
		{"with a script", "POST", "/reactions", bob, `{"emoji":"<script>"}`, 422, "invalid"},
		{"too often", "POST", "/reactions", bob, `{"emoji":"👏"}`, 429, "rate-limited"},
		{"nobody", "POST", "/reactions", "", `{"emoji":"👏"}`, 401, "missing-token"},
		{"only the stage may", "PATCH", "", ada, `{"policy":{"reactions":"stage"}}`, 200, ""},
		{"eve, who listens", "POST", "/reactions", eve, `{"emoji":"👏"}`, 403, "forbidden"},
		{"ada, on stage", "POST", "/reactions", ada, `{"emoji":"🎉"}`, 202, ""},
		{"the end", "POST", "/end", ada, "", 200, ""},
		{"after the end", "POST", "/reactions", ada, `{"emoji":"👏"}`, 409, "ended"},
	})
	if got := fmt.Sprint(p.reactions); got != "[bob 👏 ada 🎉]" {
		t.Errorf("counted: %s", got)
	}
	if a := n.ask("POST", "/v1/rooms/nothing/reactions", ada, `{"emoji":"👏"}`); a.status != http.StatusNotFound {
		t.Errorf("in no room: %d %s", a.status, a.raw)
	}
}
