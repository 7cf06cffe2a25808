package control

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control/room"
)

// told follows a room after a sequence number and notes, for each change, whether somebody is muted in it. With hold it waits
// in the change after that until let is closed.
type told struct {
	mu    sync.Mutex // guards what follows
	muted []bool
	seqs  []uint64
	hold  bool
	held  bool // it waits
	let   chan struct{}
}

func (n *node) tell(id roomID, after uint64, who rotunda.UserID) *told {
	w := &told{let: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Follow(ctx, id, after, func(c Change) error {
			w.mu.Lock()
			w.muted, w.seqs = append(w.muted, c.State.Muted(who)), append(w.seqs, c.State.Seq)
			wait := w.hold && !w.held
			w.held = w.held || wait
			w.mu.Unlock()
			if wait {
				<-w.let
			}
			return nil
		})
	}()
	n.t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return w
}

// Whoever was told that somebody is muted, by a decision that was not in the log, is not told otherwise by what the log has from
// before it, however late they read that: neither a follower that was busy while the decision came into the log, nor one that
// begins again where it was.
func TestTheLogIsReadLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, b, c := m.three()
		id := stage(a.node)
		w := b.tell(id, 0, "bob")
		for _, n := range []*meshNode{a, b, c} {
			n.get(id)
		}
		away(a, b)
		before := c.get(id).Seq
		a.do(id, ada, room.Mute{User: "bob"})
		c.do(id, ada, room.Edit{Title: new("Another")}) // which has not heard of it
		time.Sleep(2 * m.delay)
		synctest.Wait()
		w.mu.Lock()
		if n := len(w.muted); !w.muted[n-1] || w.seqs[n-1] != before {
			t.Fatalf("muted %v at %v: the decision is not told", w.muted, w.seqs)
		}
		since := len(w.muted)
		w.hold = true
		w.mu.Unlock()
		a.do(id, ada, room.Mute{User: "cyd"}) // and b's follower is busy with it
		time.Sleep(2 * m.delay)
		synctest.Wait()
		back(a, b)
		if s := b.peek(id); !s.Muted("bob") || s.Seq < before+3 || len(b.outage.of(id)) > 0 {
			t.Fatalf("the log has not all that was decided: %d, %v", s.Seq, b.outage.of(id))
		}
		again := b.tell(id, before, "bob")
		close(w.let)
		synctest.Wait()
		for name, late := range map[string]*told{"busy": w, "again": again} {
			from := 0
			if late == w {
				from = since
			}
			late.mu.Lock()
			for i, muted := range late.muted[from:] {
				if !muted {
					t.Errorf("%s: at %d bob is told to be unmuted, after it was known that he is not; %v at %v", name, late.seqs[from+i], late.muted, late.seqs)
				}
			}
			if last := late.seqs[len(late.seqs)-1]; last < before+3 {
				t.Errorf("%s: told up to %d", name, last)
			}
			late.mu.Unlock()
		}
		// It does not outlive the decision: he may speak again.
		a.do(id, bob, room.Unmute{User: "bob"})
		synctest.Wait()
		if s := b.get(id); s.Muted("bob") {
			t.Error("bob is muted though he has unmuted himself")
		}
		for _, late := range []*told{w, again} {
			late.mu.Lock()
			if late.muted[len(late.muted)-1] {
				t.Error("bob is told to be muted though he has unmuted himself")
			}
			late.mu.Unlock()
		}
		time.Sleep(2 * settledKeep)
		for _, n := range []*meshNode{a, b, c} {
			n.outage.mu.Lock()
			for _, r := range n.outage.rooms {
				if len(r.gone) > 0 {
					t.Errorf("%s: %d facts are kept for ever", n.cfg.Node, len(r.gone))
				}
			}
			n.outage.mu.Unlock()
		}
	})
}
