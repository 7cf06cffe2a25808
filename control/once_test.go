package control

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// A command that is sent again under its key, to another node and after the first answer was lost, happens once.
func TestOnce(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		one, two := start(t, log, "n1"), start(t, log, "n2")
		keyed := func(key string) context.Context { return WithKey(t.Context(), key) }
		id, _, err := one.Create(keyed("a"), ada, room.Create{Title: "Talk"})
		if err != nil {
			t.Fatal(err)
		}
		again, s, err := two.Create(keyed("a"), ada, room.Create{Title: "Talk"})
		if err != nil || again != id || s.Home != "n1" {
			t.Errorf("created again: %s, %v; want %s", again, err, id)
		}
		for who, key := range map[*room.Actor]string{&ada: "b", &bob: "a"} {
			if other, _, err := two.Create(keyed(key), *who, room.Create{Title: "Talk"}); err != nil || other == id {
				t.Errorf("%s under %q: %s, %v; want another room", who.User, key, other, err)
			}
		}
		for i, n := range []*node{one, two, one} {
			s, err := n.Do(keyed("p"), id, ada, room.Publish{Node: "n1"})
			if err != nil || s.MicEpoch("ada") != 1 {
				t.Errorf("try %d: epoch %d, %v; want 1", i, s.MicEpoch("ada"), err)
			}
		}
		if s, err := two.Do(keyed("q"), id, ada, room.Publish{Node: "n1"}); err != nil || s.MicEpoch("ada") != 2 {
			t.Errorf("under another key: %v", err)
		}
		if _, err := one.Do(keyed("p"), id, bob, room.Publish{Node: "n1"}); !errors.Is(err, room.ErrForbidden) {
			t.Errorf("somebody else's key: %v, want ErrForbidden", err)
		}
		// The answer is lost, and the node with it; another one is asked.
		log.onAppend(func(ctx context.Context, room2 roomID, b eventlog.Batch) (bool, error) {
			if _, err := log.Log.Append(t.Context(), room2, b); err != nil && !errors.Is(err, eventlog.ErrConflict) {
				t.Error(err)
			}
			return true, fmt.Errorf("no answer: %w", eventlog.ErrUnknown)
		})
		if _, err := one.Do(keyed("r"), id, ada, room.Publish{Node: "n1"}); !errors.Is(err, ErrUnknownOutcome) {
			t.Fatal(err)
		}
		log.onAppend(nil)
		if s, err := two.Do(keyed("r"), id, ada, room.Publish{Node: "n1"}); err != nil || s.MicEpoch("ada") != 3 {
			t.Errorf("sent again: epoch %d, %v; want 3", s.MicEpoch("ada"), err)
		}
		// Hundreds of events later a node that has only just opened the room still knows.
		for range snapshotEvery {
			one.do(id, ada, room.Publish{Node: "n1"})
		}
		synctest.Wait()
		before := one.get(id).Seq
		if s, err := start(t, log, "n3").Do(keyed("r"), id, ada, room.Publish{Node: "n1"}); err != nil || s.Seq != before {
			t.Errorf("sent again late: %d, %v; want %d", s.Seq, err, before)
		}
	})
}
