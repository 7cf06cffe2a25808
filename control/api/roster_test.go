package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/token"
)

// listed walks through all pages of a roster and returns who is on them, as "user role", and in how many pages.
func (n *node) listed(t *testing.T, path, bearer string, query url.Values) (people []string, pages int) {
	t.Helper()
	for {
		pages++
		body := n.want(200, "GET", path+"/participants?"+query.Encode(), bearer, "").body
		for _, p := range body["participants"].([]any) {
			people = append(people, fmt.Sprint(at(p, "user"), " ", at(p, "role")))
		}
		next, more := body["nextCursor"].(string)
		if !more || pages > 50 {
			return people, pages
		}
		query.Set("cursor", next)
	}
}

// Everybody in the room is listed, once and in order, whatever the pages: those on stage as the log has them, those who
// listen as the mesh does, without those who hide.
func TestRoster(t *testing.T) {
	p := newCrowd()
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) { c.Presence, c.Limits.Rosters = p, Rate{1000, 1000} })
	ada, bob := bearer(t, "ada", nil), bearer(t, "bob", nil)
	room := n.room(ada)
	n.want(200, "POST", room+"/requests", bob, "")
	n.want(200, "POST", room+"/requests/bob/approve", ada, "")
	n.want(200, "PATCH", "/v1/profile", bearer(t, "l03", nil), `{"hidden":true}`)
	n.want(200, "PATCH", "/v1/profile", bearer(t, "l05", nil), `{"name":"Lea","bio":"Walks."}`)
	p.listening = []RosterPerson{{"ada", "ADA"}, {"bob", "BOB"}}
	want := []string{"ada host", "bob speaker"}
	for i := range 12 {
		u := fmt.Sprintf("l%02d", i)
		p.listening = append(p.listening, RosterPerson{rotunda.UserID(u), "Listener"})
		if i != 3 {
			want = append(want, u+" listener")
		}
	}
	for _, limit := range []string{"", "1", "2", "3", "100"} {
		query := url.Values{}
		if limit != "" {
			query.Set("limit", limit)
		}
		if got, _ := n.listed(t, room, bob, query); !slices.Equal(got, want) {
			t.Errorf("with limit %q: %v, want %v", limit, got, want)
		}
		query.Del("cursor")
		query.Set("role", "listener")
		if got, _ := n.listed(t, room, bob, query); !slices.Equal(got, want[2:]) {
			t.Errorf("listeners with limit %q: %v, want %v", limit, got, want[2:])
		}
	}
	p.asked = nil
	for _, c := range []struct{ query, bearer, want string }{
		{"role=speaker", bob, "bob speaker"}, {"", "", "ada host bob speaker"}, {"q=bo", "", "bob speaker"}, {"role=host&q=AD", bob, "ada host"},
	} {
		query, _ := url.ParseQuery(c.query)
		if got, _ := n.listed(t, room, c.bearer, query); strings.Join(got, " ") != c.want {
			t.Errorf("%q: %v, want %s", c.query, got, c.want)
		}
	}
	if len(p.asked) > 0 {
		t.Errorf("the mesh is asked %v for those on stage", p.asked)
	}
	n.want(200, "GET", room+"/participants?role=listener&q=list&limit=7", bob, "")
	if len(p.asked) != 1 || p.asked[0] != (RosterQuery{Search: "list", Limit: 7}) {
		t.Errorf("the mesh is asked %v", p.asked)
	}
	a := n.want(200, "GET", room+"/participants?role=listener&limit=2", bob, "")
	if link := a.header.Get("Link"); !strings.Contains(link, "role=listener") || !strings.Contains(link, `rel="next"`) {
		t.Errorf("link %q", link)
	}
	lea := n.want(200, "GET", room+"/participants?role=listener&cursor="+place{0, "l04"}.cursor(), bob, "").body["participants"].([]any)[0]
	if at(lea, "name") != "Lea" || at(lea, "bio") != "Walks." || at(lea, "since") != nil || at(lea, "node") != nil {
		t.Errorf("somebody who listens is shown as %v", lea)
	}
	for missing, want := range map[bool]bool{true: false, false: true} {
		p.missing = missing
		if got := n.want(200, "GET", room+"/participants", bob, "").body["complete"]; got != want {
			t.Errorf("a node is missing: %t; complete: %v", missing, got)
		}
	}
}

// Who may not come in does not learn who is there, and nobody asks without end.
func TestWhoMayListListeners(t *testing.T) {
	p := newCrowd()
	p.since = map[rotunda.UserID]time.Time{}
	now := time.Now()
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) {
		c.Presence, c.Now, c.Limits.Rosters = p, func() time.Time { return now }, Rate{0.5, 2}
	})
	ada, bob, eve := bearer(t, "ada", nil), bearer(t, "bob", nil), bearer(t, "eve", nil)
	elsewhere := bearer(t, "bob", func(c *token.Claims) { c.Room = "elsewhere" })
	room := n.room(ada)
	n.want(200, "DELETE", room+"/participants/eve", ada, `{"ban":true}`)
	n.want(200, "PUT", room+"/lock", ada, "")
	p.since["cyd"] = now.Add(-time.Minute)
	for _, c := range []struct {
		what, query, bearer string
		status              int
		slug                string
	}{
		{"without a token", "?role=listener", "", 401, "missing-token"},
		{"with a token for another room", "?role=listener", elsewhere, 403, "wrong-room"},
		{"banned", "", eve, 403, "banned"},
		{"new in a locked room", "", bob, 403, "forbidden"},
		{"in it since before", "", bearer(t, "cyd", nil), 200, ""},
		{"a cursor of nobody", "?cursor=" + place{0, "a b"}.cursor(), ada, 422, "invalid"},
		{"garbage", "?cursor=x", ada, 422, "invalid"},
		{"once", "", ada, 200, ""},
		{"twice", "?q=x", ada, 200, ""},
		{"three times", "", ada, 429, "rate-limited"},
		{"the stage alone", "?role=speaker", ada, 200, ""},
	} {
		if a := n.ask("GET", room+"/participants"+c.query, c.bearer, ""); a.status != c.status || c.slug != "" && a.slug() != c.slug {
			t.Errorf("%s: %d %s, want %d %s", c.what, a.status, a.raw, c.status, c.slug)
		}
	}
	now = now.Add(2 * time.Second)
	n.want(200, "GET", room+"/participants", ada, "")
	n.want(200, "POST", room+"/end", ada, "")
	asked := len(p.asked)
	if n.want(200, "GET", room+"/participants", ada, ""); len(p.asked) != asked {
		t.Error("the mesh is asked about a room that is over")
	}
}
