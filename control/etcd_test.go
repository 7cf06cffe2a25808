package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/disk"
	"rotunda/control/etcdlog"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

func openLog(t testing.TB, dir string) *etcdlog.Log {
	t.Helper()
	log, err := etcdlog.Open(t.Context(), etcdlog.Config{Name: "one", DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

// The whole way through a real store: rooms and their people are there after a restart, and a ban still holds.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	log := openLog(t, dir)
	one := start(t, log, "n1")
	id := one.create("Talk")
	one.do(id, bob, room.Request{})
	one.do(id, ada, room.Approve{User: "bob"})
	one.do(id, ada, room.Remove{User: "cyd", Ban: true})
	before := one.get(id)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	one.refused(id, bob, room.Publish{Node: "n1"}, ErrUnavailable)
	if s := one.get(id); s.Seq != 4 {
		t.Errorf("the last state is gone with the log: %+v", s)
	}

	two := start(t, openLog(t, dir), "n1")
	if s := two.get(id); s.Seq != before.Seq || s.Role("bob") != rotunda.Speaker || !s.Banned("cyd") {
		t.Errorf("after the restart: %+v", s)
	}
	two.refused(id, cyd, room.Request{}, room.ErrBanned)
	two.do(id, bob, room.Publish{Node: "n1"})
	for len(two.Rooms()) == 0 {
		select {
		case <-two.RoomsChanged():
		case <-time.After(time.Minute):
			t.Fatal("the directory stays empty")
		}
	}
}

// Two nodes over one store: what one decides the other hears.
func TestTwoNodesOverOneStore(t *testing.T) {
	log := openLog(t, t.TempDir())
	one, two := start(t, log, "n1"), start(t, log, "n2")
	id := one.create("Talk")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	heard := errors.New("heard")
	var wg sync.WaitGroup
	wg.Go(func() {
		err := two.Follow(ctx, id, 0, func(c Change) error {
			if c.Event.Type == room.EventApproved && c.State.CanSpeak("bob") && !c.Before.CanSpeak("bob") {
				return heard
			}
			return nil
		})
		if !errors.Is(err, heard) {
			t.Errorf("follow: %v", err)
		}
	})
	one.do(id, bob, room.Request{})
	one.do(id, ada, room.Approve{User: "bob"})
	wg.Wait()
}

// A command from decision to acknowledged append, over the embedded store.
func BenchmarkDo(b *testing.B) {
	c := New(Config{Log: openLog(b, b.TempDir()), Node: "n1"})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	id, _, err := c.Create(b.Context(), ada, room.Create{Title: "Talk"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := c.Do(b.Context(), id, ada, room.Publish{Node: "n1"}); err != nil {
			b.Fatal(err)
		}
	}
}

// Opening a room of 10,000 events over the embedded store, as it is folded and as it would be if it were not, and what the
// room takes up there.
func BenchmarkOpen(b *testing.B) {
	const events = 10_000
	for name, log := range map[string]func(eventlog.Log) eventlog.Log{
		"folded": func(l eventlog.Log) eventlog.Log { return l },
		"whole":  func(l eventlog.Log) eventlog.Log { return unfolded{l} },
	} {
		b.Run(name, func(b *testing.B) {
			store := openLog(b, b.TempDir())
			c := New(Config{Log: log(store), Node: "n1"})
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx) }()
			defer func() { cancel(); <-ended }()
			id, _, err := c.Create(b.Context(), ada, room.Create{Title: "Talk"})
			if err != nil {
				b.Fatal(err)
			}
			for i := range events - 1 {
				cmd := room.Command(room.Publish{Node: "n1"})
				if i%20 == 0 {
					cmd = room.Remove{User: rotunda.UserID(fmt.Sprint("troll", i)), Ban: true, Reason: "noise"}
				}
				if _, err := c.Do(b.Context(), id, ada, cmd); err != nil {
					b.Fatal(err)
				}
			}
			for len(c.folding) > 0 {
				time.Sleep(10 * time.Millisecond)
			}
			for b.Loop() {
				f := c.newFollower(id, newWitness(new(disk.Disk), "", nil))
				if err := c.load(b.Context(), f); err != nil || f.state.Seq != events {
					b.Fatal(err)
				}
			}
			var backup bytes.Buffer // what the store holds, without its own overhead
			if err := store.Backup(b.Context(), &backup); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(backup.Len()), "B/room")
		})
	}
}

// unfolded is a log that keeps no snapshots.
type unfolded struct{ eventlog.Log }

func (unfolded) PutSnapshot(context.Context, rotunda.RoomID, eventlog.Snapshot) error { return nil }
