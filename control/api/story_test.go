package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/token"
)

// A room's life, as its people see it.
func TestRoomStory(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	guest := func(name string) (user, bearer string) {
		g := n.want(201, "POST", "/v1/guests", "", fmt.Sprintf(`{"name":%q}`, name)).body
		if g["name"] != name {
			t.Errorf("guest %s is called %v", name, g["name"])
		}
		return g["user"].(string), g["token"].(string)
	}
	ada, adaToken := guest("Ada")
	bob, bobToken := guest("Bob")
	eve, eveToken := guest("Eve")

	made := n.want(201, "POST", "/v1/rooms", adaToken, `{"title":"Tides","tags":["Sea"],"policy":{"speakersMax":5}}`)
	room := made.header.Get("Location")
	if made.header.Get("ETag") != `"1"` || room != "/v1/rooms/"+made.body["id"].(string) {
		t.Errorf("created: ETag %s, Location %s", made.header.Get("ETag"), room)
	}
	view := n.want(200, "GET", room, "", "").body
	for _, c := range []struct {
		want any
		path []string
	}{
		{"live", []string{"state"}}, {ada, []string{"host"}}, {"us-east-1", []string{"home"}}, {float64(5), []string{"policy", "speakersMax"}},
		{"host", []string{"participants", ada, "role"}}, {true, []string{"participants", ada, "muted"}}, {"Ada", []string{"participants", ada, "name"}},
	} {
		if got := at(view, c.path...); got != c.want {
			t.Errorf("%s = %v, want %v", strings.Join(c.path, "."), got, c.want)
		}
	}

	n.want(200, "POST", room+"/requests", bobToken, `{"note":"the second point"}`)
	n.want(200, "POST", room+"/requests", bobToken, "") // again changes nothing
	n.want(200, "POST", room+"/requests", eveToken, `{}`)
	if got := n.want(403, "POST", room+"/requests/"+bob+"/approve", eveToken, ""); got.slug() != "forbidden" {
		t.Errorf("eve approves: %s", got.raw)
	}
	after := n.want(200, "POST", room+"/requests/"+bob+"/approve", adaToken, "").body
	if at(after, "participants", bob, "role") != "speaker" || at(after, "participants", bob, "muted") != true || at(after, "requests", bob) != nil {
		t.Errorf("approved: %v", after)
	}
	n.want(200, "POST", room+"/requests/"+eve+"/deny", adaToken, `{"reason":"later"}`)
	n.want(403, "DELETE", room+"/participants/"+bob+"/mute", adaToken, "")
	if b := n.want(200, "DELETE", room+"/participants/"+bob+"/mute", bobToken, "").body; at(b, "participants", bob, "muted") != false {
		t.Errorf("bob is muted after opening his microphone: %v", b)
	}
	if b := n.want(200, "POST", room+"/mute-all", adaToken, "").body; at(b, "participants", bob, "muted") != true {
		t.Errorf("bob is not muted after mute-all: %v", b)
	}
	n.want(200, "PUT", room+"/participants/"+bob+"/role", adaToken, `{"role":"cohost"}`)
	roster := n.want(200, "GET", room+"/participants?role=cohost&q=bO", "", "").body["participants"].([]any)
	if len(roster) != 1 || at(roster[0], "user") != bob || at(roster[0], "ssrc") == float64(0) {
		t.Errorf("roster = %v, want bob alone", roster)
	}
	n.want(200, "PATCH", room, bobToken, `{"title":"High tides","mode":"lecture"}`)
	if got := n.want(403, "POST", room+"/requests", eveToken, ""); got.slug() != "forbidden" {
		t.Errorf("eve asks in a lecture: %s", got.raw)
	}
	n.want(200, "DELETE", room+"/participants/"+eve, bobToken, `{"ban":true,"reason":"shouting"}`)
	if got := n.want(403, "POST", room+"/requests", eveToken, ""); got.slug() != "banned" {
		t.Errorf("eve, banned, asks: %s", got.raw)
	}
	n.want(200, "PUT", room+"/participants/"+bob+"/role", bobToken, `{"role":"listener"}`)
	n.want(403, "POST", room+"/end", bobToken, "")
	n.want(200, "POST", room+"/end", adaToken, `{"reason":"thank you"}`)
	if got := n.want(409, "POST", room+"/requests", bobToken, ""); got.slug() != "ended" {
		t.Errorf("a request after the end: %s", got.raw)
	}
	if b := n.want(200, "GET", room, "", "").body; b["state"] != "ended" || b["title"] != "High tides" {
		t.Errorf("at the end: %v", b)
	}
}

func TestScheduledRoom(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada := bearer(t, "ada", nil)
	room := n.want(201, "POST", "/v1/rooms", ada, `{"title":"Tomorrow","startsAt":"2030-01-01T10:00:00+02:00"}`)
	if room.body["state"] != "scheduled" || room.body["startsAt"] != "2030-01-01T08:00:00Z" {
		t.Errorf("scheduled: %v", room.body)
	}
	if b := n.want(200, "POST", room.header.Get("Location")+"/start", ada, "").body; b["state"] != "live" {
		t.Errorf("started: %v", b)
	}
}

// A token that names a room and a role is the operator's grant there, and good for nothing elsewhere.
func TestTokenOfOneRoom(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada := bearer(t, "ada", nil)
	mine, other := n.room(ada), n.room(ada)
	bob := bearer(t, "bob", func(c *token.Claims) {
		c.Room, c.Role = rotunda.RoomID(strings.TrimPrefix(mine, "/v1/rooms/")), rotunda.Speaker
	})
	if b := n.want(200, "DELETE", mine+"/participants/bob/mute", bob, "").body; at(b, "participants", "bob", "role") != "speaker" {
		t.Errorf("the grant was not taken up: %v", b)
	}
	for _, path := range []string{other + "/requests", "/v1/rooms/doesnotexist/requests"} {
		if got := n.want(403, "POST", path, bob, ""); got.slug() != "wrong-room" {
			t.Errorf("%s with a token of another room: %s", path, got.raw)
		}
	}
	if got := n.want(403, "POST", "/v1/rooms", bob, `{"title":"Mine"}`); got.slug() != "wrong-room" {
		t.Errorf("creating with a token of one room: %s", got.raw)
	}
	quiet := bearer(t, "cyd", func(c *token.Claims) { c.Role = rotunda.Listener })
	if got := n.want(403, "POST", mine+"/requests", quiet, ""); got.slug() != "forbidden" {
		t.Errorf("a listener's token asks to speak: %s", got.raw)
	}
}

func TestLobbyInPages(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada := bearer(t, "ada", nil)
	for i := range 7 {
		n.want(201, "POST", "/v1/rooms", ada, fmt.Sprintf(`{"title":"Room %d","tags":["t%d"]}`, i, i%2))
	}
	n.want(200, "POST", n.room(ada)+"/end", ada, "")
	seen, last := map[string]bool{}, time.Time{}
	for path, pages := "/v1/rooms?state=live&limit=3", 1; ; pages++ {
		a := n.want(200, "GET", path, "", "")
		for _, r := range a.body["rooms"].([]any) {
			id := at(r, "id").(string)
			started, err := time.Parse(time.RFC3339, at(r, "startedAt").(string))
			if err != nil || seen[id] || !last.IsZero() && started.After(last) {
				t.Errorf("page %d: %s of %s comes twice or after an older one", pages, id, started)
			}
			seen[id], last = true, started
		}
		next, more := a.body["nextCursor"].(string)
		if !more {
			if pages != 3 || a.header.Get("Link") != "" {
				t.Errorf("%d pages of 3 for 7 rooms, Link %q", pages, a.header.Get("Link"))
			}
			break
		}
		link := a.header.Get("Link")
		path = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		if !strings.Contains(path, "cursor="+next) || !strings.Contains(path, "state=live") {
			t.Fatalf("Link %q does not carry the query and the cursor %q", link, next)
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d rooms listed, want 7", len(seen))
	}
	if rooms := n.want(200, "GET", "/v1/rooms?tag=T1", "", "").body["rooms"].([]any); len(rooms) != 3 {
		t.Errorf("%d rooms with a tag, want 3", len(rooms))
	}
	if rooms := n.want(200, "GET", "/v1/rooms?state=scheduled", "", "").raw; !strings.Contains(rooms, `"rooms":[]`) {
		t.Errorf("an empty lobby is %s", rooms)
	}
}

func TestETag(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada := bearer(t, "ada", nil)
	room := n.room(ada)
	a := n.want(304, "GET", room, "", "", "If-None-Match", `"1"`)
	if a.raw != "" || a.header.Get("ETag") != `"1"` {
		t.Errorf("304 with ETag %q and body %q", a.header.Get("ETag"), a.raw)
	}
	n.want(200, "DELETE", room+"/participants/ada/mute", ada, "")
	if a := n.want(200, "GET", room, "", "", "If-None-Match", `"1"`); a.header.Get("ETag") != `"2"` {
		t.Errorf("after a change: ETag %q", a.header.Get("ETag"))
	}
}
