// Package eventlogtest is the contract of eventlog.Log as tests: every implementation passes the same ones.
package eventlogtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
)

// patience is how long a test waits for what must happen. It is reached only where the test fails.
const patience = time.Minute

var rooms atomic.Int64 // several tests may share one log, so every room is a new one

// Room returns the id of a room that no other test uses.
func Room() rotunda.RoomID { return rotunda.RoomID(fmt.Sprintf("room-%d", rooms.Add(1))) }

// Records makes n records with these texts.
func Records(texts ...string) []eventlog.Record {
	var out []eventlog.Record
	for _, s := range texts {
		out = append(out, eventlog.Record{ID: "id-" + s, Data: []byte(s)})
	}
	return out
}

// Run checks log against the contract. The log may have other rooms and other users.
func Run(t *testing.T, log eventlog.Log) {
	for name, test := range map[string]func(*testing.T, eventlog.Log){
		"AppendRead":    appendRead,
		"Conflict":      conflict,
		"Bounds":        bounds,
		"UnknownRoom":   unknownRoom,
		"Broken":        broken,
		"Pages":         pages,
		"Race":          race,
		"Follow":        follow,
		"FollowResumes": followResumes,
		"FollowEnds":    followEnds,
		"Watch":         watch,
		"Away":          away,
		"Fold":          fold,
		"FoldRace":      foldRace,
		"Snapshots":     snapshots,
		"Retire":        retire,
	} {
		t.Run(name, func(t *testing.T) { test(t, log) })
	}
}

// MustAppend appends texts after a position.
func MustAppend(t testing.TB, log eventlog.Log, room rotunda.RoomID, after eventlog.Position, texts ...string) eventlog.Position {
	t.Helper()
	p, err := log.Append(t.Context(), room, eventlog.Batch{After: after, Records: Records(texts...), Summary: []byte("at " + texts[len(texts)-1])})
	if err != nil {
		t.Fatalf("append %q after %v: %v", texts, after, err)
	}
	return p
}

// WantRead reads everything after a position and compares the data; the chain has to hold.
func WantRead(t testing.TB, log eventlog.Log, room rotunda.RoomID, after eventlog.Position, want ...string) {
	t.Helper()
	entries, end, err := log.Read(t.Context(), room, after, eventlog.ReadMax)
	if err != nil {
		t.Fatalf("read after %v: %v", after, err)
	}
	at := after
	var got []string
	for _, e := range entries {
		if at, err = at.Next(room, e); err != nil {
			t.Fatal(err)
		}
		if e.ID != "id-"+string(e.Data) {
			t.Errorf("entry %d has the id %q and the data %q", e.Seq, e.ID, e.Data)
		}
		got = append(got, string(e.Data))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read after %v: %q, want %q", after, got, want)
	}
	if at != end {
		t.Errorf("read up to %v of %v", at, end)
	}
}

func appendRead(t *testing.T, log eventlog.Log) {
	room := Room()
	one := MustAppend(t, log, room, eventlog.Position{}, "a")
	three := MustAppend(t, log, room, one, "b", "c")
	if one.Seq != 1 || three.Seq != 3 {
		t.Errorf("positions %v and %v, want 1 and 3", one, three)
	}
	WantRead(t, log, room, eventlog.Position{}, "a", "b", "c")
	WantRead(t, log, room, one, "b", "c")
	WantRead(t, log, room, three)
}

func conflict(t *testing.T, log eventlog.Log) {
	room := Room()
	one := MustAppend(t, log, room, eventlog.Position{}, "a")
	two := MustAppend(t, log, room, one, "b")
	otherHash := two
	otherHash.Hash[0] ^= 1
	for _, after := range []eventlog.Position{{}, one, otherHash, {Seq: 3, Hash: two.Hash}, {Seq: 2}} {
		if _, err := log.Append(t.Context(), room, eventlog.Batch{After: after, Records: Records("x")}); !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("append after %v: %v, want ErrConflict", after, err)
		}
	}
	if _, err := log.Append(t.Context(), Room(), eventlog.Batch{After: one, Records: Records("x")}); !errors.Is(err, eventlog.ErrConflict) {
		t.Errorf("append to a new room after %v: %v, want ErrConflict", one, err)
	}
	WantRead(t, log, room, eventlog.Position{}, "a", "b")
}

func bounds(t *testing.T, log eventlog.Log) {
	room := Room()
	big := make([]byte, eventlog.DataMax+1)
	fits := eventlog.Batch{Summary: big[:eventlog.SummaryMax]}
	for i := range eventlog.BatchMax { // the largest batch there is
		fits.Records = append(fits.Records, eventlog.Record{ID: fmt.Sprintf("%064d", i), Data: big[:eventlog.DataMax/4]})
	}
	fits.Records[0].Data = big[:eventlog.DataMax]
	var tooMany eventlog.Batch
	for range eventlog.BytesMax/eventlog.DataMax + 1 {
		tooMany.Records = append(tooMany.Records, eventlog.Record{Data: big[:eventlog.DataMax]})
	}
	for name, b := range map[string]eventlog.Batch{
		"no records":     {},
		"large record":   {Records: []eventlog.Record{{ID: "x", Data: big}}},
		"long id":        {Records: []eventlog.Record{{ID: string(big[:eventlog.IDMax+1])}}},
		"large summary":  {Records: Records("x"), Summary: big[:eventlog.SummaryMax+1]},
		"large batch":    {Records: make([]eventlog.Record, eventlog.BatchMax+1)},
		"too many bytes": tooMany,
	} {
		if _, err := log.Append(t.Context(), room, b); !errors.Is(err, eventlog.ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", name, err)
		}
	}
	if _, err := log.Append(t.Context(), room, fits); err != nil {
		t.Errorf("the largest batch allowed: %v", err)
	}
	entries, _, err := log.Read(t.Context(), room, eventlog.Position{}, eventlog.ReadMax)
	if err != nil || len(entries) != eventlog.BatchMax || len(entries[0].Data) != eventlog.DataMax {
		t.Errorf("read %d entries, %v", len(entries), err)
	}
}

func unknownRoom(t *testing.T, log eventlog.Log) {
	entries, end, err := log.Read(t.Context(), Room(), eventlog.Position{}, 10)
	if err != nil || len(entries) != 0 || end != (eventlog.Position{}) {
		t.Errorf("read of a room that does not exist: %v, %v, %v", entries, end, err)
	}
}

// What a reader has seen and the log does not have is never passed over in silence.
func broken(t *testing.T, log eventlog.Log) {
	room := Room()
	two := MustAppend(t, log, room, eventlog.Position{}, "a", "b")
	ahead, other := two, two
	ahead.Seq = 5
	other.Hash[3] ^= 8
	for _, after := range []eventlog.Position{ahead, other} {
		if _, _, err := log.Read(t.Context(), room, after, 10); !errors.Is(err, eventlog.ErrBroken) {
			t.Errorf("read after %v of %v: %v, want ErrBroken", after, two, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := log.Follow(ctx, room, after, func(e eventlog.Entry) error { return fmt.Errorf("was told %d", e.Seq) })
		cancel()
		if !errors.Is(err, eventlog.ErrBroken) {
			t.Errorf("follow after %v of %v: %v, want ErrBroken", after, two, err)
		}
	}
}

func pages(t *testing.T, log eventlog.Log) {
	room := Room()
	MustAppend(t, log, room, eventlog.Position{}, "a", "b", "c", "d", "e")
	var at eventlog.Position
	for _, want := range []int{2, 2, 1, 0} {
		entries, end, err := log.Read(t.Context(), room, at, 2)
		if err != nil || len(entries) != want || end.Seq != 5 {
			t.Fatalf("page after %v: %d entries up to %v, %v; want %d up to 5", at, len(entries), end, err, want)
		}
		for _, e := range entries {
			if at, err = at.Next(room, e); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Many append at once, each deciding again after a conflict: every record is kept once, in one chain.
func race(t *testing.T, log eventlog.Log) {
	const writers, each = 8, 5
	room := Room()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 0; i < each; {
				_, end, err := log.Read(t.Context(), room, eventlog.Position{}, 1)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = log.Append(t.Context(), room, eventlog.Batch{After: end, Records: Records(fmt.Sprintf("%d-%d", w, i))})
				switch {
				case err == nil:
					i++
				case !errors.Is(err, eventlog.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	entries, end, err := log.Read(t.Context(), room, eventlog.Position{}, eventlog.ReadMax)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		seen[string(e.Data)] = true
	}
	if len(entries) != writers*each || len(seen) != writers*each || end.Seq != writers*each {
		t.Errorf("%d entries, %d different, up to %v; want %d", len(entries), len(seen), end, writers*each)
	}
}

// following starts a follower and returns a function that waits for the next entry.
func following(t *testing.T, log eventlog.Log, room rotunda.RoomID, after eventlog.Position) (next func(want string), stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan eventlog.Entry, 1000)
	ended := make(chan error, 1)
	go func() {
		ended <- log.Follow(ctx, room, after, func(e eventlog.Entry) error {
			got <- e
			return nil
		})
	}()
	stop = func() {
		t.Helper()
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("follow ended with %v", err)
			}
		case <-time.After(patience):
			t.Error("follow does not end with its context")
		}
	}
	return func(want string) {
		t.Helper()
		select {
		case e := <-got:
			if string(e.Data) != want {
				t.Errorf("followed %q, want %q", e.Data, want)
			}
		case err := <-ended:
			ended <- err
			t.Fatalf("follow ended with %v, want %q", err, want)
		case <-time.After(patience):
			t.Fatalf("follow says nothing, want %q", want)
		}
	}, stop
}

func follow(t *testing.T, log eventlog.Log) {
	room := Room()
	next, stop := following(t, log, room, eventlog.Position{}) // before the room exists
	defer stop()
	one := MustAppend(t, log, room, eventlog.Position{}, "a")
	next("a")
	three := MustAppend(t, log, room, one, "b", "c")
	next("b")
	next("c")
	late, stopLate := following(t, log, room, one)
	defer stopLate()
	late("b")
	late("c")
	MustAppend(t, log, Room(), eventlog.Position{}, "elsewhere")
	MustAppend(t, log, room, three, "d")
	next("d")
	late("d")
}

// Who follows again from where they were misses nothing and hears nothing twice, whatever happens in between.
func followResumes(t *testing.T, log eventlog.Log) {
	const n = 60
	room := Room()
	written := make(chan struct{})
	go func() {
		defer close(written)
		var at eventlog.Position
		for i := range n {
			var err error
			if at, err = log.Append(t.Context(), room, eventlog.Batch{After: at, Records: Records(fmt.Sprint(i))}); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	enough := errors.New("enough")
	var at eventlog.Position
	for i := 0; i < n; {
		taken := 0
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := log.Follow(ctx, room, at, func(e eventlog.Entry) error {
			if string(e.Data) != fmt.Sprint(i) {
				return fmt.Errorf("followed %q, want %d", e.Data, i)
			}
			next, err := at.Next(room, e)
			if err != nil {
				return err
			}
			at = next
			i++
			if taken++; taken == 7 || i == n {
				return enough
			}
			return nil
		})
		cancel()
		if !errors.Is(err, enough) {
			t.Fatalf("after %d: %v", i, err)
		}
	}
	<-written
}

func followEnds(t *testing.T, log eventlog.Log) {
	room := Room()
	MustAppend(t, log, room, eventlog.Position{}, "a", "b")
	mine := errors.New("mine")
	calls := 0
	err := log.Follow(t.Context(), room, eventlog.Position{}, func(eventlog.Entry) error { calls++; return mine })
	if !errors.Is(err, mine) || calls != 1 {
		t.Errorf("follow returned %v after %d calls, want the function's own error after 1", err, calls)
	}
}

func watch(t *testing.T, log eventlog.Log) {
	before, later := Room(), Room()
	one := MustAppend(t, log, before, eventlog.Position{}, "a")
	ctx, cancel := context.WithCancel(t.Context())
	heads := make(chan eventlog.Head, 1000)
	ended := make(chan error, 1)
	go func() {
		first := true
		ended <- log.Watch(ctx, func(reset bool, changed []eventlog.Head) error {
			if reset != first {
				return fmt.Errorf("reset is %v", reset)
			}
			first = false
			for _, h := range changed {
				if h.Room == before || h.Room == later {
					heads <- h
				}
			}
			return nil
		})
	}()
	want := func(room rotunda.RoomID, p eventlog.Position, summary string) {
		t.Helper()
		select {
		case h := <-heads:
			if h.Room != room || h.Position != p || string(h.Summary) != summary {
				t.Errorf("head of %s at %v, %q; want %s at %v, %q", h.Room, h.Position, h.Summary, room, p, summary)
			}
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(patience):
			t.Fatalf("nothing about %s at %v", room, p)
		}
	}
	want(before, one, "at a")
	two := MustAppend(t, log, later, eventlog.Position{}, "b", "c")
	want(later, two, "at c")
	want(before, MustAppend(t, log, before, one, "d"), "at d")
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("watch ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("watch does not end with its context")
	}
}

// A caller whose time is up gets the right kind of error.
func away(t *testing.T, log eventlog.Log) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	room := Room()
	if _, err := log.Append(ctx, room, eventlog.Batch{Records: Records("x")}); !errors.Is(err, eventlog.ErrUnknown) && !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("append: %v, want ErrUnknown or ErrUnavailable", err)
	}
	if _, _, err := log.Read(ctx, room, eventlog.Position{}, 1); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("read: %v, want ErrUnavailable", err)
	}
	if err := log.Ping(ctx); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("ping: %v, want ErrUnavailable", err)
	}
	if err := log.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
}
