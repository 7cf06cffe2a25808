package eventlogtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
)

// Chain appends n entries with the texts 1 to n and returns the positions, the zero one first.
func Chain(t testing.TB, log eventlog.Log, room rotunda.RoomID, n int) []eventlog.Position {
	t.Helper()
	at := []eventlog.Position{{}}
	for len(at) <= n {
		b := eventlog.Batch{After: at[len(at)-1], Summary: []byte("summary")}
		for range min(eventlog.BatchMax, n+1-len(at)) {
			b.Records = append(b.Records, Records(fmt.Sprint(len(at)+len(b.Records)))...)
		}
		entries, _ := b.Entries(room)
		if _, err := log.Append(t.Context(), room, b); err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			at = append(at, eventlog.Position{Seq: e.Seq, Hash: e.Hash(room)})
		}
	}
	return at
}

// Tens says of every tenth entry of a Chain that it is to be kept.
func Tens(e eventlog.Entry) bool { return strings.HasSuffix(string(e.Data), "0") }

// Folded makes a chain of n entries with snapshots at two numbers, folded up to the first of them.
func Folded(t testing.TB, log eventlog.Log, room rotunda.RoomID, n, older, newer int) []eventlog.Position {
	t.Helper()
	at := Chain(t, log, room, n)
	for _, seq := range []int{older, newer} {
		MustPutSnapshot(t, log, room, at[seq])
	}
	if err := log.Prune(t.Context(), room, Tens); err != nil {
		t.Fatal(err)
	}
	return at
}

// MustPutSnapshot puts a snapshot at a position.
func MustPutSnapshot(t testing.TB, log eventlog.Log, room rotunda.RoomID, at eventlog.Position) {
	t.Helper()
	if err := log.PutSnapshot(t.Context(), room, eventlog.NewSnapshot(room, at, fmt.Appendf(nil, "state at %d", at.Seq))); err != nil {
		t.Fatalf("snapshot at %v: %v", at, err)
	}
}

func fold(t *testing.T, log eventlog.Log) {
	const n, older, newer = 700, 350, 600
	room := Room()
	at := Folded(t, log, room, n, older, newer)
	for _, p := range []eventlog.Position{{}, at[1], at[200], at[older-1]} {
		if _, _, err := log.Read(t.Context(), room, p, 1); !errors.Is(err, eventlog.ErrPruned) {
			t.Errorf("read after %v, which is folded: %v, want ErrPruned", p, err)
		}
		if err := log.Follow(t.Context(), room, p, nil); !errors.Is(err, eventlog.ErrPruned) {
			t.Errorf("follow after %v, which is folded: %v, want ErrPruned", p, err)
		}
		other := p
		other.Hash[7] ^= 1
		if _, _, err := log.Read(t.Context(), room, other, 1); p.Seq > 0 && !errors.Is(err, eventlog.ErrBroken) {
			t.Errorf("read after %v, which was never there: %v, want ErrBroken", other, err)
		}
	}
	for _, seq := range []int{older, older + 1, newer} {
		entries, end, err := log.Read(t.Context(), room, at[seq], 50)
		if err != nil || len(entries) != 50 || entries[0].Seq != uint64(seq+1) || end != at[n] {
			t.Errorf("read after %d: %d entries up to %v, %v", seq, len(entries), end, err)
		}
		other := at[seq]
		other.Hash[7] ^= 1
		if _, _, err := log.Read(t.Context(), room, other, 1); !errors.Is(err, eventlog.ErrBroken) {
			t.Errorf("read after %v, which was never there: %v, want ErrBroken", other, err)
		}
	}
	r, err := eventlog.Verify(t.Context(), log, room)
	if err != nil || r.Err != nil || r.End != at[n] || r.Folded != older || r.Kept != older/10 || r.Snapshots != 2 {
		t.Errorf("verify: %+v, %v", r, err)
	}
	if h, err := log.Head(t.Context(), room); err != nil || h != at[n] {
		t.Errorf("head %v, %v", h, err)
	}
	next, stop := following(t, log, room, at[n-1])
	defer stop()
	next("700")
	end := MustAppend(t, log, room, at[n], "more")
	next("more")
	MustPutSnapshot(t, log, room, end)
	if err := log.Prune(t.Context(), room, Tens); err != nil {
		t.Fatal(err)
	}
	MustAppend(t, log, room, end, "still more") // a follower does not notice that it is folded behind it
	next("still more")
	snapshots, err := log.Snapshots(t.Context(), room)
	if err != nil || len(snapshots) != 2 || snapshots[0].At != end || snapshots[1].At != at[newer] || string(snapshots[1].Data) != "state at 600" {
		t.Errorf("snapshots %v, %v", snapshots, err)
	}
	for _, s := range snapshots {
		if !s.Sound(room) || s.Sound("other") {
			t.Errorf("snapshot at %v", s.At)
		}
	}
}

func snapshots(t *testing.T, log eventlog.Log) {
	room := Room()
	at := Chain(t, log, room, 5)
	if err := log.Prune(t.Context(), room, Tens); err != nil {
		t.Error(err)
	}
	other := at[3]
	other.Hash[0] ^= 1
	forged := eventlog.NewSnapshot(room, at[3], []byte("x"))
	forged.Data = []byte("y")
	for name, s := range map[string]eventlog.Snapshot{
		"of another chain": eventlog.NewSnapshot(room, other, nil), "ahead": eventlog.NewSnapshot(room, eventlog.Position{Seq: 9}, nil), "damaged": forged,
	} {
		if err := log.PutSnapshot(t.Context(), room, s); !errors.Is(err, eventlog.ErrBroken) {
			t.Errorf("snapshot %s: %v, want ErrBroken", name, err)
		}
	}
	if err := log.PutSnapshot(t.Context(), room, eventlog.NewSnapshot(room, at[3], make([]byte, eventlog.SnapshotMax+1))); !errors.Is(err, eventlog.ErrTooLarge) {
		t.Errorf("large snapshot: %v, want ErrTooLarge", err)
	}
	if err := log.PutSnapshot(t.Context(), room, eventlog.NewSnapshot(room, at[2], make([]byte, eventlog.SnapshotMax))); err != nil {
		t.Errorf("the largest snapshot: %v", err)
	}
	MustPutSnapshot(t, log, room, at[4])
	MustPutSnapshot(t, log, room, at[3]) // late, so not needed
	MustPutSnapshot(t, log, room, at[4]) // again
	got, err := log.Snapshots(t.Context(), room)
	if err != nil || len(got) != 2 || got[0].At != at[4] || got[1].At != at[2] {
		t.Errorf("snapshots %v, %v", got, err)
	}
	if got, err := log.Snapshots(t.Context(), Room()); err != nil || len(got) != 0 {
		t.Errorf("snapshots of a room that does not exist: %v, %v", got, err)
	}
}

// Several nodes fold while others append: the chain stays whole, and everything is there once.
func foldRace(t *testing.T, log eventlog.Log) {
	room := Room()
	at := Chain(t, log, room, 300)
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for seq := 20 + w; seq < 300; seq += 20 {
				MustPutSnapshot(t, log, room, at[seq])
				if err := log.Prune(t.Context(), room, Tens); err != nil {
					t.Error(err)
				}
			}
		})
	}
	end := at[300]
	for i := range 50 {
		end = MustAppend(t, log, room, end, fmt.Sprint("more-", i))
	}
	wg.Wait()
	r, err := eventlog.Verify(t.Context(), log, room)
	if err != nil || r.Err != nil || r.End != end || r.Folded < 250 || r.Snapshots != 2 {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

func retire(t *testing.T, log eventlog.Log) {
	room := Room()
	two := MustAppend(t, log, room, eventlog.Position{}, "a", "b")
	ctx, cancel := context.WithCancel(t.Context())
	heads := make(chan eventlog.Head, 1000)
	ended := make(chan error, 1)
	go func() {
		ended <- log.Watch(ctx, func(_ bool, changed []eventlog.Head) error {
			for _, h := range changed {
				if h.Room == room {
					heads <- h
				}
			}
			return nil
		})
	}()
	defer func() { cancel(); <-ended }()
	want := func(p eventlog.Position, retired bool) {
		t.Helper()
		select {
		case h := <-heads:
			if h.Position != p || h.Retired != retired {
				t.Errorf("head %+v, want %v, retired %v", h, p, retired)
			}
		case <-time.After(patience):
			t.Fatalf("nothing about %v, retired %v", p, retired)
		}
	}
	want(two, false)
	if err := log.Retire(t.Context(), room, eventlog.Position{Seq: 1}); !errors.Is(err, eventlog.ErrConflict) {
		t.Errorf("retire elsewhere: %v, want ErrConflict", err)
	}
	for range 2 {
		if err := log.Retire(t.Context(), room, two); err != nil {
			t.Fatal(err)
		}
	}
	want(eventlog.Position{}, true)
	WantRead(t, log, room, eventlog.Position{}, "a", "b")
	var all []rotunda.RoomID
	for after := rotunda.RoomID(""); ; after = all[len(all)-1] {
		rooms, err := log.Rooms(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		if len(rooms) == 0 {
			break
		}
		all = append(all, rooms...)
	}
	if !slices.Contains(all, room) || !slices.IsSorted(all) {
		t.Errorf("rooms: %v lack %s", all, room)
	}
	want(MustAppend(t, log, room, two, "c"), false)
}
