package control

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// busy makes a room with n events: ada's microphone comes and goes, and one person in a hundred is removed.
func (n *node) busy(events int) rotunda.RoomID {
	n.t.Helper()
	id := n.create("Talk")
	for seq := 1; seq < events; {
		s, cmd := n.get(id), room.Command(room.Publish{Node: "n1"})
		if seq%100 == 0 {
			cmd = room.Remove{User: rotunda.UserID(fmt.Sprint("troll", seq)), Ban: true}
		}
		s, err := n.Do(n.t.Context(), id, ada, cmd)
		if err != nil {
			n.t.Fatal(err)
		}
		if seq = int(s.Seq); seq%50 == 0 {
			synctest.Wait() // for a snapshot that is due
		}
	}
	synctest.Wait()
	return id
}

// A room with a long history is read from its snapshots: a bounded number of entries, and the same state. The moderation
// record is whole, and the chain can still be walked from its first entry.
func TestLongRoom(t *testing.T) {
	const events = 3*snapshotEvery + 100
	bubble(t, func(t *testing.T, log *faulty) {
		one := start(t, log, "n1")
		synctest.Wait()
		id := one.busy(events)
		want := one.get(id)
		two := start(t, log, "n2")
		before := log.reads.Load()
		got := two.get(id)
		if reads := log.reads.Load() - before; reads > 2*snapshotEvery/eventlog.ReadMax+2 {
			t.Errorf("%d reads to open a room of %d events", reads, events)
		}
		wantSame(t, got, want)
		r, err := eventlog.Verify(t.Context(), log, id)
		if err != nil || r.Err != nil || r.End.Seq != want.Seq || r.Folded < snapshotEvery || r.Snapshots != 2 {
			t.Errorf("verify: %+v, %v", r, err)
		}
		seen := map[rotunda.UserID]bool{}
		for after := uint64(0); ; {
			events, err := two.Record(t.Context(), id, after)
			if err != nil {
				t.Fatal(err)
			}
			if len(events) == 0 {
				break
			}
			for _, e := range events {
				if e.Seq <= after {
					t.Fatalf("event %d after %d", e.Seq, after)
				}
				if after = e.Seq; e.Type == room.EventRemoved {
					seen[e.User] = true
				}
			}
		}
		if want := (events - 1) / 100; len(seen) != want {
			t.Errorf("the record has %d removals, want %d", len(seen), want)
		}
		if _, err := two.Record(t.Context(), "nosuchroom00", 0); !errors.Is(err, ErrUnknownRoom) {
			t.Errorf("record of an unknown room: %v", err)
		}

		// Who comes back from before what is folded gets a snapshot; from after that, every change.
		early, stop := two.collect(id, 10)
		defer stop()
		if got, want := early(), fmt.Sprintf("[state@%d]", want.Seq); got != want {
			t.Errorf("from 10: %s, want %s", got, want)
		}
		late, stopLate := two.collect(id, want.Seq-300)
		defer stopLate()
		if got := late(); strings.Count(got, "@") != 300 {
			t.Errorf("from 300 before the end: %s", got)
		}
	})
}

func wantSame(t *testing.T, got, want *room.State) {
	t.Helper()
	a, err := got.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("state\n%s\nwant\n%s", a, b)
	}
}

// bent is a log whose snapshots can be damaged.
type bent struct {
	eventlog.Log
	damage func(i int) bool
}

func (b *bent) Snapshots(ctx context.Context, id rotunda.RoomID) ([]eventlog.Snapshot, error) {
	all, err := b.Log.Snapshots(ctx, id)
	for i := range all {
		if b.damage(i) {
			all[i].Data = append([]byte{}, all[i].Data...)
			all[i].Data[len(all[i].Data)/2] ^= 4
		}
	}
	return all, err
}

// One damaged snapshot costs nothing; two of them are said, and the room is refused, not made up.
func TestDamagedSnapshots(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		one := start(t, log, "n1")
		synctest.Wait()
		id := one.busy(2*snapshotEvery + 50)
		want := one.get(id)
		for _, broken := range []int{0, 1} {
			n := start(t, &bent{log, func(i int) bool { return i == broken }}, "n2")
			wantSame(t, n.get(id), want)
		}
		n := start(t, &bent{log, func(int) bool { return true }}, "n3")
		if _, err := n.Get(t.Context(), id); !errors.Is(err, eventlog.ErrBroken) || !errors.Is(err, ErrUnavailable) {
			t.Errorf("both snapshots damaged: %v, want ErrBroken", err)
		}
		r, err := eventlog.Verify(t.Context(), n.cfg.Log, id)
		if err != nil || r.Err == nil || !strings.Contains(r.Err.Error(), "snapshot") {
			t.Errorf("verify: %+v, %v", r, err)
		}
	})
}

// A follower that was cut off while others folded the room goes on with a snapshot.
func TestFoldedWhileAway(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		slow := &faulty{Log: log}
		one, two := start(t, log, "n1"), start(t, slow, "n2")
		synctest.Wait()
		id := one.create("Talk")
		followed, stop := two.collect(id, 0)
		defer stop()
		followed()
		slow.setAway(true)
		one.do(id, ada, room.Publish{Node: "n1"})
		synctest.Wait() // its follower has the second event in hand, and waits
		for i := range 2*snapshotEvery + 50 {
			one.do(id, ada, room.Publish{Node: "n1"})
			if i%50 == 0 {
				synctest.Wait() // for a snapshot that is due
			}
		}
		synctest.Wait()
		slow.setAway(false)
		time.Sleep(2 * commandMax)
		end := one.get(id).Seq
		if s := two.get(id); s.Seq != end {
			t.Errorf("at %d, want %d", s.Seq, end)
		}
		if got, want := followed(), fmt.Sprintf(" state@%d]", end); !strings.HasSuffix(got, want) || strings.Count(got, "@") > 5 {
			t.Errorf("followed %s, want a few changes and %s", got, want)
		}
	})
}

// A log that was rolled back while a node was down is refused by that node, and by name.
func TestWitness(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		path := filepath.Join(t.TempDir(), "witness")
		n := startWith(t, Config{Log: log, Node: "n1", Witness: path})
		id, other := n.create("Talk"), n.create("Other")
		n.do(id, bob, room.Request{})
		n.do(other, bob, room.Request{})
		time.Sleep(2 * witnessEvery)
		n.stop()

		// The store comes back without the last event of one room.
		old := new(eventlog.Memory)
		for _, r := range []rotunda.RoomID{id, other} {
			copyChain(t, old, log, r, map[rotunda.RoomID]uint64{id: 1, other: 2}[r])
		}
		again := startWith(t, Config{Log: old, Node: "n1", Witness: path})
		synctest.Wait()
		if _, err := again.Get(t.Context(), id); !errors.Is(err, eventlog.ErrBroken) {
			t.Errorf("rolled back: %v, want ErrBroken", err)
		}
		again.refused(id, cyd, room.Request{}, eventlog.ErrBroken)
		again.do(other, cyd, room.Request{})
		again.stop()
		if s := again.said.String(); !strings.Contains(s, "these rooms are refused") || !strings.Contains(s, string(id)) {
			t.Errorf("nothing is said of it:\n%s", s)
		}
		if _, end, _ := old.Read(t.Context(), id, eventlog.Position{}, 1); end.Seq != 1 {
			t.Errorf("the broken room went on to %v", end)
		}

		// It goes on differently from where it was cut off.
		stranger := start(t, old, "n2")
		stranger.do(id, cyd, room.Request{})
		third := startWith(t, Config{Log: old, Node: "n1", Witness: path})
		synctest.Wait()
		if _, err := third.Get(t.Context(), id); !errors.Is(err, eventlog.ErrBroken) {
			t.Errorf("two histories: %v, want ErrBroken", err)
		}
		third.stop()
	})
}

// copyChain copies a room's entries up to a number.
func copyChain(t *testing.T, to, from eventlog.Log, id rotunda.RoomID, upTo uint64) {
	t.Helper()
	entries, _, err := from.Read(t.Context(), id, eventlog.Position{}, eventlog.ReadMax)
	if err != nil {
		t.Fatal(err)
	}
	var at eventlog.Position
	for _, e := range entries {
		if e.Seq > upTo {
			break
		}
		if at, err = to.Append(t.Context(), id, eventlog.Batch{After: at, Records: []eventlog.Record{e.Record}, Summary: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
}

func headOf(t *testing.T, log eventlog.Reader, id rotunda.RoomID) eventlog.Position {
	t.Helper()
	p, err := log.Head(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Rooms that have been over for long leave the directory of every node; their record stays.
func TestRetired(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		var later atomic.Int64 // what the clock is put forward by
		now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
		one, two := startWith(t, Config{Log: log, Node: "n1", Now: now}), startWith(t, Config{Log: log, Node: "n2", Now: now})
		synctest.Wait()
		id, _ := one.create("Talk"), one.create("Another")
		one.do(id, ada, room.End{})
		kept := one.create("Where somebody was banned from all of Ada's rooms")
		one.do(kept, ada, room.Remove{User: "eve", Ban: true, Everywhere: true})
		one.do(kept, ada, room.End{})
		synctest.Wait()
		one.series(`rotunda_rooms{state="ended"} 2`)
		later.Store(int64(retiredAfter - time.Hour))
		time.Sleep(2 * tidyEvery)
		if rooms := two.Rooms(); len(rooms) != 3 {
			t.Errorf("rooms before the time: %+v", rooms)
		}
		later.Store(int64(retiredAfter + retireSpread))
		time.Sleep(2 * tidyEvery)
		for _, n := range []*node{one, two} {
			for _, r := range n.Rooms() {
				if r.ID == id {
					t.Errorf("%s: still in the directory: %+v", n.cfg.Node, r)
				}
			}
		}
		if !slices.ContainsFunc(two.Rooms(), func(s Summary) bool { return s.ID == kept && len(s.Barred) == 1 }) {
			t.Error("a room that others' bans are read from has left the directory")
		}
		if s := two.get(id); s.Phase != room.Ended {
			t.Errorf("state %s", s.Phase)
		}
		if events, err := two.Record(t.Context(), id, 0); err != nil || len(events) < 2 {
			t.Errorf("record: %v, %v", events, err)
		}
	})
}
