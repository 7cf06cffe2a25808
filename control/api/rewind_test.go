package api

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/token"
)

// taped is a Replay that has one file for all rooms.
type taped struct {
	file  []byte
	full  bool
	asked []RewindQuery
	held  int
}

func (r *taped) Rewind(_ context.Context, _ rotunda.RoomID, q RewindQuery) (Rewound, func(), error) {
	r.asked = append(r.asked, q)
	if r.full {
		return Rewound{}, nil, fmt.Errorf("too many: %w", ErrOverloaded)
	}
	r.held++
	at := time.UnixMicro(1_700_000_000_020_000)
	return Rewound{Ogg: r.file, From: at, Until: at.Add(time.Second)}, func() { r.held-- }, nil
}

// Who may come in may hear the last minute again; nobody else, and with a bound.
func TestRewind(t *testing.T) {
	tape := &taped{file: []byte("OggS…")}
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) { c.Replay = tape; c.Limits.Rewinds = Rate{0.001, 10} })
	ada, bob, cyd := bearer(t, "ada", nil), bearer(t, "bob", nil), bearer(t, "cyd", nil)
	room := n.room(ada)
	path := room + "/rewind.opus"

	a := n.want(200, "GET", path, bob, "")
	for name, want := range map[string]string{
		"Content-Type": "audio/ogg; codecs=opus", "Content-Length": fmt.Sprint(len(tape.file)), "Cache-Control": "no-store",
		"Rotunda-From": "2023-11-14T22:13:20.02Z", "Rotunda-Until": "2023-11-14T22:13:21.02Z",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if a.raw != string(tape.file) {
		t.Errorf("body %q", a.raw)
	}
	n.want(200, "GET", path+"?seconds=60", bob, "")
	n.want(200, "GET", path+"?since="+url.QueryEscape(a.header.Get("Rotunda-Until")), bob, "")
	want := []RewindQuery{{Last: 15 * time.Second}, {Last: time.Minute}, {Since: time.UnixMicro(1_700_000_001_020_000), Last: 15 * time.Second}}
	for i, q := range tape.asked {
		if !q.Since.Equal(want[i].Since) || q.Last != want[i].Last {
			t.Errorf("question %d was %v, want %v", i, q, want[i])
		}
	}
	if tape.held != 0 || len(tape.asked) != len(want) {
		t.Errorf("%d files are held, %d questions", tape.held, len(tape.asked))
	}

	for _, q := range []string{"?seconds=0", "?seconds=61", "?seconds=-1", "?seconds=x", "?since=yesterday", "?since=2026-13-01T00:00:00Z", "?fast=1", "?seconds=9999999999999999999"} {
		n.want(422, "GET", path+q, cyd, "")
	}
	n.want(200, "GET", path, cyd, "") // the ninth of hers: a question that cannot be answered counts as well
	n.want(200, "GET", path, cyd, "")
	if n.want(429, "GET", path, cyd, "").header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	n.want(401, "GET", path, "", "")
	n.want(403, "GET", path, bearer(t, "dan", func(c *token.Claims) { c.Room = "elsewhere" }), "")
	n.want(404, "GET", "/v1/rooms/nothing/rewind.opus", bob, "")
	n.want(405, "POST", path, bob, "")
	tape.full = true
	n.want(503, "GET", path, bob, "")
	tape.full, tape.file = false, nil
	n.wantProblem(404, "nothing-kept", "GET", path, bob)
	if tape.held != 0 {
		t.Error("nothing is held on to")
	}

	asked := len(tape.asked)
	n.want(200, "DELETE", room+"/participants/bob", ada, `{"ban":true}`)
	n.wantProblem(403, "banned", "GET", path, bob)
	n.want(200, "PUT", room+"/lock", ada, "")
	n.wantProblem(403, "forbidden", "GET", path, bearer(t, "eve", nil))
	n.want(200, "POST", room+"/end", ada, "")
	n.wantProblem(409, "not-live", "GET", path, ada)
	scheduled := n.want(201, "POST", "/v1/rooms", ada, `{"title":"Later","startsAt":"2099-01-01T00:00:00Z"}`).header.Get("Location")
	n.wantProblem(409, "not-live", "GET", scheduled+"/rewind.opus", ada)
	if len(tape.asked) != asked {
		t.Error("somebody was let through")
	}
}

// wantProblem is want with the type of the refusal.
func (n *node) wantProblem(status int, slug, method, path, bearer string) {
	n.t.Helper()
	if a := n.want(status, method, path, bearer, ""); a.body["type"] != problemPrefix+slug {
		n.t.Errorf("%s %s: %v, want %s", method, path, a.body["type"], slug)
	}
}
