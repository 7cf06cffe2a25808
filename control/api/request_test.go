package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/control"
	"rotunda/control/eventlog"
	"rotunda/control/people"
	"rotunda/control/room"
)

// Every answer says its request's id, the caller's where that is well formed; a problem and the log line of a moderation say it too, and what
// people do about themselves is no line.
func TestRequestID(t *testing.T) {
	var lines bytes.Buffer
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(&lines, nil)) })
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, c := range []struct{ name, value, want string }{
		{"X-Request-Id", "proxy-7f.3_a", "proxy-7f.3_a"},
		{"Traceparent", "00-" + trace + "-00f067aa0ba902b7-01", trace},
		{"Traceparent", "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", ""},
		{"X-Request-Id", "short", ""},
		{"X-Request-Id", "with \"quotes\" and more", ""},
		{"X-Request-Id", strings.Repeat("a", 65), ""},
		{"X-Anything", "else", ""},
	} {
		for _, path := range []string{"/v1/ping", "/v1/rooms/none12345678", "/v1/nowhere"} {
			a := n.ask("GET", path, "", "", c.name, c.value)
			id := a.header.Get("X-Request-Id")
			if c.want != "" && id != c.want || c.want == "" && !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(id) {
				t.Errorf("%s with %s %q: id %q, want %q", path, c.name, c.value, id, c.want)
			}
			var p struct{ Request string }
			if a.status >= 400 && (json.Unmarshal([]byte(a.raw), &p) != nil || p.Request != id) {
				t.Errorf("%s: the problem says %q, its header %q", path, p.Request, id)
			}
		}
	}
	ada, bob := bearer(t, "ada", nil), bearer(t, "bob", nil)
	room := n.room(ada)
	n.ask("POST", room+"/requests", bob, "", "X-Request-Id", "bob-asks-1")
	if a := n.ask("POST", room+"/requests/bob/approve", ada, "", "X-Request-Id", "ada-approves"); a.status != 200 {
		t.Fatalf("approve: %d %s", a.status, a.raw)
	}
	said := lines.String()
	if strings.Count(said, "\n") != 1 || !strings.Contains(said, `"msg":"decided","call":"approve"`) || !strings.Contains(said, `"request":"ada-approves"`) {
		t.Errorf("the log:\n%s", said)
	}
}

// What somebody decides is found by the id of their request: in the moderation record, and in the log where a room begins and ends, once
// in the whole mesh. Others in the room do not see it: it may be words of its sender's choice.
func TestDecisionsByRequest(t *testing.T) {
	var lines bytes.Buffer
	log := new(eventlog.Memory)
	logger := slog.New(slog.NewJSONHandler(&lines, nil))
	n := newNodeOf(t, control.Config{Log: people.Rooms(log), Node: "us-east-1", Logger: logger}, log, nil)
	ada, bob := bearer(t, "ada", nil), bearer(t, "bob", nil)
	created := n.ask("POST", "/v1/rooms", ada, `{"title":"Tides"}`, "X-Request-Id", "ada-creates")
	if created.status != 201 {
		t.Fatalf("create: %d %s", created.status, created.raw)
	}
	room := created.header.Get("Location")
	n.ask("POST", room+"/requests", bob, "", "X-Request-Id", "bob-asks-1")
	n.ask("POST", room+"/requests/bob/approve", ada, "", "X-Request-Id", "ada-approves")
	n.ask("POST", room+"/participants/bob/warn", ada, `{"reason":"Noise"}`, "X-Request-Id", "ada-warns")
	n.ask("POST", room+"/end", ada, "", "X-Request-Id", "ada-ends-it")
	n.ask("POST", room+"/end", ada, "", "X-Request-Id", "ada-ends-it-again")

	var record struct {
		Events []struct{ Type, Request string }
	}
	if a := n.ask("GET", room+"/log", ada, ""); a.status != 200 || json.Unmarshal([]byte(a.raw), &record) != nil {
		t.Fatalf("record: %d %s", a.status, a.raw)
	}
	got := map[string]string{}
	for _, e := range record.Events {
		got[e.Type] = e.Request
	}
	want := map[string]string{"created": "ada-creates", "approved": "ada-approves", "warned": "ada-warns", "ended": "ada-ends-it"}
	if !maps.Equal(got, want) {
		t.Errorf("the record has %v, want %v", got, want)
	}

	var said []string
	for line := range strings.Lines(lines.String()) {
		var l struct{ Msg, Room, By, Request string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(l.Msg, "room ") {
			said = append(said, l.Msg+" "+l.Room+" "+l.By+" "+l.Request)
		}
	}
	id := strings.TrimPrefix(room, "/v1/rooms/")
	if want := []string{"room created " + id + " ada ada-creates", "room ended " + id + " ada ada-ends-it"}; !slices.Equal(said, want) {
		t.Errorf("the log says %q, want %q", said, want)
	}
}

// Of an event only those who see it whole see the request.
func TestRequestsOfOthers(t *testing.T) {
	s := room.New("k3v9q7m2x4ab")
	events, err := s.Decide(time.Now(), room.Actor{User: "ada", Name: "Ada"}, room.Create{Title: "Tides", Node: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		s.Apply(e)
	}
	e := room.Event{Seq: 9, Type: room.EventApproved, By: "ada", User: "bob", Request: "ada-approves"}
	for reader, want := range map[rotunda.UserID]string{"ada": "ada-approves", "bob": "ada-approves", "eve": "", "": ""} {
		if got := e.For(s, reader).Request; got != want {
			t.Errorf("%q sees request %q, want %q", reader, got, want)
		}
	}
}

// Whoever floods the API with what is refused fills no log.
func TestRefusalsAreNoLines(t *testing.T) {
	var lines bytes.Buffer
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&lines, nil)) })
	room := n.room(bearer(t, "ada", nil))
	mallory := bearer(t, "mallory", nil)
	for range 300 {
		n.ask("POST", room+"/requests/ada/approve", mallory, "")
		n.ask("POST", room+"/mute-all", "no token", "")
		n.ask("PUT", room+"/participants/ada/role", mallory, `{"role":"emperor"}`)
		n.ask("GET", "/v1/rooms/none12345678", "", "")
		n.ask("BREW", "/v1/coffee", "", "\x00")
	}
	if lines.Len() > 0 {
		t.Errorf("%d lines, the first of them\n%.300s", strings.Count(lines.String(), "\n"), lines.String())
	}
}

// The calls that are told of in the log are calls of the API.
func TestModerationNames(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	for id := range moderation {
		if !strings.Contains(string(n.api.openapi), `"operationId": "`+id+`"`) {
			t.Errorf("no call %q", id)
		}
	}
}
