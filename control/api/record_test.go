package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
)

// recordOf is the moderation record as its reader sees it.
func (n *node) recordOf(room, reader string) (entries []any) {
	n.t.Helper()
	for path := room + "/log?limit=100"; path != ""; {
		a := n.want(200, "GET", path, reader, "")
		entries = append(entries, a.body["events"].([]any)...)
		path = ""
		if link := a.header.Get("Link"); link != "" {
			path = link[1:strings.Index(link, ">")]
		}
	}
	return entries
}

// Every verb of moderation leaves exactly one entry in the record, which says who decided it about whom, why and when, to the
// host and to a co-host alike. In each room bob is on stage with an open microphone, cyd is a co-host, eve has asked to speak,
// and fay is nobody.
func TestEveryVerbIsInTheRecord(t *testing.T) {
	tokens := map[string]string{}
	for _, user := range []string{"ada", "bob", "cyd", "eve", "fay"} {
		tokens[user] = bearer(t, rotunda.UserID(user), nil)
	}
	const why = "Shouting."
	reason := fmt.Sprintf(`{"reason":%q}`, why)
	for _, c := range []struct {
		what               string
		before             []call // by its bearer's name
		method, path, body string
		by                 string // empty: cyd
		entry              string // type, user or users, and what else it says
		reason             string
	}{
		{what: "mute one", method: "POST", path: "/participants/bob/mute", body: reason, entry: "muted bob", reason: why},
		{what: "mute all", method: "POST", path: "/mute-all", entry: "muted_all [bob]"},
		{what: "take off the stage", method: "PUT", path: "/participants/bob/role", body: `{"role":"listener"}`, entry: "role bob listener"},
		{what: "make a co-host", by: "ada", method: "PUT", path: "/participants/bob/role", body: `{"role":"cohost"}`, entry: "role bob cohost"},
		{what: "take that back", by: "ada", method: "PUT", path: "/participants/cyd/role", body: `{"role":"speaker"}`, entry: "role cyd speaker"},
		{what: "hand the room over", by: "ada", method: "PUT", path: "/participants/cyd/role", body: `{"role":"host"}`, entry: "role cyd host"},
		{what: "warn in private", method: "POST", path: "/participants/bob/warn", body: reason, entry: "warned bob 1", reason: why},
		{what: "warn in public", method: "POST", path: "/participants/bob/warn", body: `{"reason":"Shouting.","public":true}`, entry: "warned bob 1 public", reason: why},
		{what: "remove", method: "DELETE", path: "/participants/bob", body: reason, entry: "removed bob", reason: why},
		{what: "remove a listener", method: "DELETE", path: "/participants/fay", body: reason, entry: "removed fay", reason: why},
		{what: "ban", method: "DELETE", path: "/participants/bob", body: `{"ban":true,"reason":"Shouting."}`, entry: "removed bob ban", reason: why},
		{what: "ban everywhere", by: "ada", method: "DELETE", path: "/participants/bob", body: `{"ban":true,"everywhere":true,"reason":"Shouting."}`, entry: "removed bob ban", reason: why},
		{what: "let in again", before: []call{{"", "DELETE", "/participants/fay", "ada", `{"ban":true}`, 200, ""}}, method: "DELETE", path: "/bans/fay", entry: "unbanned fay"},
		{what: "approve", method: "POST", path: "/requests/eve/approve", entry: "approved eve"},
		{what: "deny", method: "POST", path: "/requests/eve/deny", body: reason, entry: "denied eve", reason: why},
		{what: "invite", method: "POST", path: "/invitations", body: `{"user":"fay"}`, entry: "invited fay"},
		{what: "take an invitation back", before: []call{{"", "POST", "/invitations", "ada", `{"user":"fay"}`, 200, ""}}, method: "POST", path: "/invitations/fay/decline", entry: "declined fay"},
		{what: "lock the room", method: "PUT", path: "/lock", entry: "locked"},
		{what: "unlock it", before: []call{{"", "PUT", "/lock", "ada", "", 200, ""}}, method: "DELETE", path: "/lock", entry: "unlocked"},
		{what: "lock the queue", method: "PATCH", body: `{"policy":{"requests":"closed"}}`, entry: "edited Tides"},
		{what: "change the title", method: "PATCH", body: `{"title":"Ebb"}`, entry: "edited Ebb"},
		{what: "tell everybody anew", method: "POST", path: "/refresh", entry: "refreshed"},
		{what: "let people take turns", method: "POST", path: "/rotation", body: `{"turn":60}`, entry: "rotation_started"},
		{what: "end the turns", before: []call{{"", "POST", "/rotation", "ada", `{"turn":60}`, 200, ""}}, method: "DELETE", path: "/rotation", entry: "rotation_stopped"},
		{what: "open a link to the stage", method: "PUT", path: "/speaker-link", body: `{"key":"0123456789abcdef0123456789abcdef"}`, entry: "link_opened"},
		{what: "close it", before: []call{{"", "PUT", "/speaker-link", "ada", `{"key":"0123456789abcdef0123456789abcdef"}`, 200, ""}}, method: "DELETE", path: "/speaker-link", entry: "link_closed"},
		{what: "end the room", by: "ada", method: "POST", path: "/end", body: reason, entry: "ended", reason: why},
	} {
		t.Run(strings.ReplaceAll(c.what, " ", "_"), func(t *testing.T) {
			n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
			room := n.room(tokens["ada"])
			before := append([]call{
				{"", "POST", "/requests", "bob", "", 200, ""}, {"", "POST", "/requests/bob/approve", "ada", "", 200, ""}, {"", "DELETE", "/participants/bob/mute", "bob", "", 200, ""},
				{"", "POST", "/requests", "cyd", "", 200, ""}, {"", "POST", "/requests/cyd/approve", "ada", "", 200, ""}, {"", "PUT", "/participants/cyd/role", "ada", `{"role":"cohost"}`, 200, ""},
				{"", "POST", "/requests", "eve", "", 200, ""},
			}, c.before...)
			for i := range before {
				before[i].what, before[i].bearer = before[i].path, tokens[before[i].bearer]
			}
			n.make(room, before)
			reader := "ada"
			if c.by == "" {
				c.by = "cyd"
			}
			had, began := len(n.recordOf(room, tokens[reader])), time.Now()
			n.want(200, c.method, room+c.path, tokens[c.by], c.body)
			record := n.recordOf(room, tokens[reader])
			if len(record) != had+1 {
				t.Fatalf("%d entries, want 1: %v", len(record)-had, record[had:])
			}
			e := record[had]
			if got := entryText(e); got != c.entry {
				t.Errorf("recorded %q, want %q: %v", got, c.entry, e)
			}
			if got, _ := at(e, "reason").(string); got != c.reason {
				t.Errorf("reason %q, want %q", got, c.reason)
			}
			if at(e, "by") != c.by {
				t.Errorf("by %v, want %s", at(e, "by"), c.by)
			}
			when, err := time.Parse(time.RFC3339Nano, fmt.Sprint(at(e, "at")))
			if err != nil || when.Before(began.Add(-time.Second)) || when.After(time.Now().Add(time.Second)) {
				t.Errorf("at %v, %v", at(e, "at"), err)
			}
			if other := n.ask("GET", room+"/log?limit=100", tokens["cyd"], ""); other.status == 200 && fmt.Sprint(other.body["events"].([]any)[had]) != fmt.Sprint(e) {
				t.Errorf("cyd reads %v", other.body["events"].([]any)[had])
			}
		})
	}
}

// entryText is what an entry says, without who, why and when.
func entryText(e any) string {
	said := []string{fmt.Sprint(at(e, "type"))}
	for _, field := range []string{"user", "users", "role", "count", "title", "note"} {
		if v := at(e, field); v != nil {
			said = append(said, fmt.Sprint(v))
		}
	}
	for _, field := range []string{"ban", "public"} {
		if at(e, field) == true {
			said = append(said, field)
		}
	}
	return strings.Join(slices.Clip(said), " ")
}
