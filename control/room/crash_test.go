package room

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"rotunda"
)

// crashes is how many hosts TestHostCrashes drops.
const crashes, crashesShort = 10_000, 1_000

// tickLate is how much later than the deadline a node's tick may come.
const tickLate = 200 * time.Millisecond

// world is one room and who is really connected where.
type world struct {
	t     *testing.T
	d     dice
	s     *State
	now   time.Time
	at    map[rotunda.UserID]rotunda.NodeID // empty: nowhere
	down  time.Time                         // the host is away since; zero: is there
	taken int                               // how often the role passed on
}

// Ten thousand hosts drop out, with their node or alone, for a moment or for good, while others come and go: there is
// exactly one host after every event, no room is without a present one beyond the hold where anybody could follow, and a
// room without anybody ends when the policy says.
func TestHostCrashes(t *testing.T) {
	given := crashes
	if testing.Short() {
		given = crashesShort
	}
	left, taken := given, 0
	for seed := uint64(0); left > 0; seed++ {
		w := newWorld(t, seed)
		for range 40 {
			if w.s.Phase == Ended || left == 0 {
				break
			}
			if w.crash() {
				left--
			}
			for range w.d(6) {
				w.pass(time.Duration(w.d(25_000)) * time.Millisecond)
				w.comeOrGo()
			}
			w.pass(time.Duration(w.d(600)) * time.Second)
			w.arrive(w.s.Host)
		}
		if w.s.Phase != Ended { // everybody leaves
			for _, u := range people {
				w.leave(u)
			}
			w.pass(w.s.Details.Policy.HostHold.Duration() + w.s.Details.Policy.HoldMax.Duration() + 2*tickLate)
			if w.s.Phase != Ended {
				t.Fatalf("seed %d: a room with nobody on stage is %s, held since %v at %v", seed, w.s.Phase, w.s.HeldSince, w.now)
			}
		}
		taken += w.taken
	}
	if taken < given/4 {
		t.Errorf("the role passed on %d times only", taken)
	}
	t.Logf("%d crashes, the role passed on %d times", given, taken)
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, d: rand.New(rand.NewPCG(seed, 3)).IntN, s: New(rotunda.RoomID(fmt.Sprint("room-", seed))),
		now: time.Unix(1_700_000_000, 0), at: map[rotunda.UserID]rotunda.NodeID{},
	}
	w.do(who("ada"), Create{Title: "Crashes", Node: "n1"})
	for i, u := range people {
		role := oneOf(w.d, rotunda.Speaker, rotunda.Cohost)
		if i > 3 { // there are four places for co-hosts, and one is the dropped host's
			role = rotunda.Speaker
		}
		if i > 0 {
			w.do(Actor{User: u, Name: string(u), Role: role, Grant: true}, Claim{})
		}
		w.arrive(u)
	}
	return w
}

// do gives a command and checks every event of it.
func (w *world) do(a Actor, cmd Command) {
	w.t.Helper()
	events, err := w.s.Decide(w.now, a, cmd)
	if err != nil && w.s.Phase != Ended {
		w.t.Fatalf("%s: %T%+v: %v", w.s.ID, cmd, cmd, err)
	}
	for _, e := range events {
		w.s.Apply(e)
		if e.Type == EventSucceeded {
			w.taken++
		}
		if err := w.s.CheckInvariants(); err != nil {
			w.t.Fatalf("%s: after %+v: %v", w.s.ID, e, err)
		}
	}
	w.watch()
}

// watch checks that nobody who could be host has waited for too long.
func (w *world) watch() {
	w.t.Helper()
	if w.s.Phase != Live || w.at[w.s.Host] != "" {
		w.down = time.Time{}
		return
	}
	if w.down.IsZero() {
		w.down = w.now
	}
	for u, node := range w.at {
		if node != "" && w.s.Role(u).OnStage() && w.now.Sub(w.down) > w.s.Details.Policy.HostHold.Duration()+tickLate {
			w.t.Fatalf("%s: no present host for %v, and %s could be", w.s.ID, w.now.Sub(w.down), u)
		}
	}
}

// pass lets time pass; some node ticks soon after every deadline.
func (w *world) pass(span time.Duration) {
	w.t.Helper()
	until := w.now.Add(span)
	for due := w.s.Deadline(); !due.IsZero() && !due.After(until); due = w.s.Deadline() {
		w.now = later(w.now, due).Add(time.Duration(w.d(int(tickLate/time.Millisecond))) * time.Millisecond)
		w.do(Actor{System: true}, Tick{})
	}
	w.now = later(w.now, until)
	w.watch()
}

func (w *world) arrive(u rotunda.UserID) {
	if w.at[u] == "" && w.s.Role(u).OnStage() && w.s.Phase == Live {
		w.at[u] = w.d.node()
		w.do(Actor{System: true}, Present{u, w.at[u]})
	}
}

func (w *world) leave(u rotunda.UserID) {
	if node := w.at[u]; node != "" {
		w.at[u] = ""
		w.do(Actor{System: true}, Absent{u, node})
	}
}

// crash takes the host away: the phone, or the node with everybody there. It reports whether the host was there.
func (w *world) crash() bool {
	node := w.at[w.s.Host]
	if node == "" {
		return false
	}
	if w.d(2) == 0 {
		w.leave(w.s.Host)
		return true
	}
	for u, at := range w.at {
		if at == node {
			w.at[u] = ""
		}
	}
	w.do(Actor{System: true}, oneOf[Command](w.d, Lost{node}, Restart{node}))
	return true
}

// comeOrGo is what the others do meanwhile.
func (w *world) comeOrGo() {
	u := w.d.user()
	switch w.d(4) {
	case 0:
		w.leave(u)
	case 1, 2:
		w.arrive(u)
	case 3:
		if w.at[u] != "" && w.s.CanSpeak(u) {
			w.do(who(string(u)), Publish{w.at[u]})
		}
	}
}
