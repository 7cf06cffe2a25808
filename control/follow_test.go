package control

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control/room"
)

// collect follows a room and returns what has arrived so far whenever it is asked.
func (n *node) collect(id rotunda.RoomID, after uint64) (seen func() string, stop func()) {
	n.t.Helper()
	ctx, cancel := context.WithCancel(n.t.Context())
	var out []string
	ended := make(chan error, 1)
	go func() {
		ended <- n.Follow(ctx, id, after, func(c Change) error {
			switch {
			case c.Event.Type == "" && c.Before == nil:
				out = append(out, fmt.Sprintf("state@%d", c.State.Seq))
			case c.Event.Seq != c.State.Seq || c.Before.Seq+1 != c.State.Seq:
				out = append(out, fmt.Sprintf("MISMATCH %d %d %d", c.Before.Seq, c.Event.Seq, c.State.Seq))
			default:
				out = append(out, fmt.Sprintf("%s@%d", c.Event.Type, c.State.Seq))
			}
			return nil
		})
	}()
	return func() string { synctest.Wait(); return fmt.Sprint(out) }, func() {
		n.t.Helper()
		cancel()
		if err := <-ended; err != nil {
			n.t.Errorf("follow ended with %v", err)
		}
	}
}

func TestFollow(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		one, two := start(t, log, "n1"), start(t, log, "n2")
		id := one.create("Talk")
		one.do(id, bob, room.Request{})
		fresh, stop := two.collect(id, 0)
		defer stop()
		resumed, stopResumed := two.collect(id, 1)
		defer stopResumed()
		ahead, stopAhead := two.collect(id, 99)
		defer stopAhead()
		if got := fresh(); got != "[state@2]" {
			t.Errorf("from 0: %s", got)
		}
		one.do(id, ada, room.Approve{User: "bob"})
		if got := fresh(); got != "[state@2 approved@3]" {
			t.Errorf("from 0: %s", got)
		}
		if got := resumed(); got != "[requested@2 approved@3]" {
			t.Errorf("from 1: %s", got)
		}
		if got := ahead(); got != "[state@2 approved@3]" {
			t.Errorf("from a sequence number that was never reached: %s", got)
		}
		if err := two.Follow(t.Context(), "nosuchroom00", 0, nil); !errors.Is(err, ErrUnknownRoom) {
			t.Errorf("unknown room: %v", err)
		}
		mine := errors.New("mine")
		if err := two.Follow(t.Context(), id, 0, func(Change) error { return mine }); !errors.Is(err, mine) {
			t.Errorf("the function's own error: %v", err)
		}
	})
}

// Who is slow, or comes back late, misses nothing however much has happened, and holds up nobody.
func TestFollowSlowly(t *testing.T) {
	const changes = 3*recentMax + 5
	bubble(t, func(t *testing.T, log *faulty) {
		n := start(t, log, "n1")
		id := n.create("Talk")
		enter := make(chan struct{})
		var slow []uint64
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- n.Follow(ctx, id, 0, func(c Change) error {
				if len(slow) == 1 {
					<-enter // stuck in the first change
				}
				slow = append(slow, c.State.Seq)
				return nil
			})
		}()
		fast, stop := n.collect(id, 0)
		defer stop()
		synctest.Wait()
		for range changes {
			n.do(id, ada, room.Publish{Node: "n1"})
		}
		fast()
		if s := n.get(id); s.Seq != changes+1 {
			t.Fatalf("seq %d, want %d", s.Seq, changes+1)
		}
		close(enter)
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for i, seq := range slow {
			if seq != uint64(i+1) {
				t.Fatalf("change %d was %d", i+1, seq)
			}
		}
		if len(slow) != changes+1 {
			t.Errorf("%d changes, want %d", len(slow), changes+1)
		}
		late, stopLate := n.collect(id, changes-recentMax-10) // older than what the follower keeps
		defer stopLate()
		want := ""
		for seq := changes - recentMax - 9; seq <= changes+1; seq++ {
			want += fmt.Sprintf(" published@%d", seq)
		}
		if got := late(); got != "["+want[1:]+"]" {
			t.Errorf("came back late: %s, want %s", got, want)
		}
	})
}

// One follower of the log serves everybody on the node, and ends some time after the last of them.
func TestFollowersAreShared(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		n := start(t, log, "n1")
		id := n.create("Talk")
		var stops []func()
		for range 10 {
			_, stop := n.collect(id, 0)
			stops = append(stops, stop)
		}
		synctest.Wait()
		if f := log.follows.Load(); f != 1 {
			t.Errorf("%d followers of the log for ten of the room", f)
		}
		for _, stop := range stops {
			stop()
		}
		time.Sleep(idleMax / 2)
		reads := log.reads.Load()
		n.get(id) // still warm
		if again := log.reads.Load(); again != reads {
			t.Error("a room that was just in use was read again")
		}
		time.Sleep(idleMax + 2*time.Second)
		if f := log.follows.Load(); f != 0 {
			t.Errorf("%d followers of a room that nobody uses", f)
		}
		if s := n.get(id); s.Seq != 1 {
			t.Errorf("read again: %+v", s)
		}
	})
}

// Rooms that do not exist, and rooms that cannot be loaded, leave nothing behind.
func TestNothingIsLeftOfUnknownRooms(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		n := start(t, log, "n1")
		synctest.Wait()
		for i := range 50 {
			if _, err := n.Get(t.Context(), rotunda.RoomID(fmt.Sprintf("room%d", i))); !errors.Is(err, ErrUnknownRoom) {
				t.Errorf("get: %v", err)
			}
		}
		log.setAway(true)
		for i := range 5 {
			if _, err := n.Get(t.Context(), rotunda.RoomID(fmt.Sprintf("room%d", i))); !errors.Is(err, ErrUnavailable) {
				t.Errorf("get: %v", err)
			}
		}
		synctest.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(n.rooms) != 0 || len(n.pending) != 0 {
			t.Errorf("%d rooms, %d pending", len(n.rooms), len(n.pending))
		}
	})
}

// More rooms than a node keeps warm: those that nobody uses go.
func TestIdleRoomsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		n := start(t, log, "n1")
		synctest.Wait()
		used, stop := n.collect(n.create("In use"), 0)
		defer stop()
		used()
		for i := range idleRoomsMax + 50 {
			n.get(n.create(fmt.Sprint("Room ", i)))
		}
		time.Sleep(2 * time.Second)
		if f := log.follows.Load(); f != idleRoomsMax+1 {
			t.Errorf("%d rooms followed, want %d and the one in use", f, idleRoomsMax)
		}
	})
}

// Without Run, and after it, nothing hangs.
func TestNotRunning(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		n := &node{Control: New(Config{Log: log, Node: "n1"}), t: t}
		id := n.create("Talk") // needs no follower
		if d := took(func() { n.refused(id, bob, room.Request{}, ErrUnavailable) }); d > commandMax {
			t.Errorf("waited for %v", d)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		followed := make(chan error, 1)
		go func() { followed <- n.Follow(t.Context(), id, 0, func(Change) error { return nil }) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := <-followed; !errors.Is(err, ErrUnavailable) {
			t.Errorf("Follow after Run has ended: %v, want ErrUnavailable", err)
		}
		n.refused(id, bob, room.Request{}, ErrUnavailable)
	})
}
