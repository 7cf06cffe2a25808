package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"rotunda/control/eventlog"
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
