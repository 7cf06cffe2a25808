package etcdlog

import (
	"context"
	"strings"
	"testing"

	"rotunda/control"
	"rotunda/control/eventlog"
	"rotunda/control/eventlog/eventlogtest"
	"rotunda/control/room"
)

// A node that follows a room mends it in the etcd under it, as `rotunda verify --mend` has it do.
func TestNodeMends(t *testing.T) {
	l := open(t, Config{Name: "one", DataDir: t.TempDir()})
	c := control.New(control.Config{Log: l, Node: "one"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	ada := room.Actor{User: "ada", Name: "Ada"}
	id, _, err := c.Create(ctx, ada, room.Create{Title: "Talk"})
	for range 5 {
		if err == nil {
			_, err = c.Do(ctx, id, ada, room.Publish{Node: "one"})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	l.damage(t)(id, func(s *eventlog.Stored) { eventlogtest.Changes[0].Do(s, 2) })
	err = eventlog.VerifyAll(ctx, l, func(r eventlog.Report) error { return r.Err })
	if err == nil || !strings.Contains(err.Error(), "entry 4 follows") {
		t.Errorf("verify: %v", err)
	}
	if names, err := c.Mend(ctx, id); err != nil || strings.Join(names, "; ") != "entry 3" {
		t.Errorf("mending: %q, %v", names, err)
	}
	if err := eventlog.VerifyAll(ctx, l, func(r eventlog.Report) error { return r.Err }); err != nil {
		t.Error(err)
	}
}
