package api

import (
	"net/http/httptest"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
)

// A node that is being emptied tells who reads, and who comes, where to go on; equally near nodes take turns.
func TestMove(t *testing.T) {
	world := members{
		member("far", "ap-south", rotunda.Alive, 0.09, 0), member("one", "us-east", rotunda.Alive, 0, 0), member("two", "us-east", rotunda.Alive, 0, 0),
		member("leaving", "us-east", rotunda.Draining, 0, 0), member("self", "us-east", rotunda.Draining, 0, 0),
	}
	n := newNode(t, "self", new(eventlog.Memory), func(c *Config) { c.Mesh, c.Self = world, rotunda.Member{ID: "self", Region: "us-east"} })
	room := n.room(bearer(t, "ada", nil))
	server := httptest.NewServer(n.handler)
	t.Cleanup(server.Close)

	count := map[string]int{}
	moved := func(next func() (sent, error)) {
		t.Helper()
		for {
			e, err := next()
			if err != nil {
				t.Fatal(err)
			}
			if e.event != "move" {
				continue
			}
			if e.id != "" {
				t.Errorf("move has id %q: it would move the reader's place in the log", e.id)
			}
			count[first(t, e.data)]++
			return
		}
	}
	var readers []func() (sent, error)
	for range 4 {
		next, _ := followAs(t, server.URL, room, "")
		if e, err := next(); err != nil || e.event != "snapshot" {
			t.Fatalf("first event %q, %v", e.event, err)
		}
		readers = append(readers, next)
	}
	n.api.Move(t.Context(), 20*time.Millisecond)
	for _, next := range readers {
		moved(next)
	}
	if count["https://one.example"] != 2 || count["https://two.example"] != 2 {
		t.Errorf("four readers were sent to %v, want two to each node of the region", count)
	}

	late, _ := followAs(t, server.URL, room, "")
	moved(late)
	n.api.Stay()
	after, _ := followAs(t, server.URL, room, "")
	if e, err := after(); err != nil || e.event != "snapshot" {
		t.Errorf("after Stay the first event is %q, %v", e.event, err)
	}
	n.want(200, "PATCH", room, bearer(t, "ada", nil), `{"title":"Later"}`)
	if e, err := after(); err != nil || e.event == "move" {
		t.Errorf("after Stay comes %q, %v", e.event, err)
	}
}

// Where there is no other node nobody is sent anywhere.
func TestNowhereToMove(t *testing.T) {
	n := newNode(t, "self", new(eventlog.Memory), func(c *Config) {
		c.Mesh = members{member("self", "us-east", rotunda.Draining, 0, 0), member("dead", "us-east", rotunda.Dead, 0, 0)}
	})
	n.api.Move(t.Context(), 0)
	if url := n.api.Elsewhere(0, "k3v9q7m2x4ab"); url != "" {
		t.Errorf("sent to %s", url)
	}
	if b := n.api.encodeMove(1, "k3v9q7m2x4ab"); b != nil {
		t.Errorf("tells %s", b)
	}
}

func first(t *testing.T, data map[string]any) string {
	t.Helper()
	edges, _ := data["edges"].([]any)
	if len(edges) == 0 {
		t.Fatalf("no edge in %v", data)
	}
	return at(edges[0], "url").(string)
}
