package cascade_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/cascade"
)

// inbox is what one node heard of floods.
type inbox struct {
	mu    sync.Mutex // guards count, last
	count map[string]int
	last  time.Time
}

func (w *world) inbox(id rotunda.NodeID) *inbox {
	in := &inbox{count: map[string]int{}}
	w.nodes[id].OnFlood(1, func(_ rotunda.NodeID, payload []byte) {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.count[string(payload)]++
		in.last = time.Now()
	})
	return in
}

func (in *inbox) of(payload string) (int, time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.count[payload], in.last
}

// Nodes without any link hear a flood once, within a handshake (two and a half round trips) and what two lost packets in a row cost;
// nodes with links within the one-way time. A node that was cut off hears what it has missed when it is back.
func TestFloodReachesEverybodyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.loss = 0.02
		w.add("us", 3)
		w.add("eu", 3)
		w.add("ap", 2)
		defer w.close()
		in := map[rotunda.NodeID]*inbox{}
		for _, id := range w.order {
			in[id] = w.inbox(id)
		}
		w.settle(10 * time.Second)
		const origin = "us-1"
		say := func(payload string, within time.Duration, but ...rotunda.NodeID) {
			began := time.Now()
			if err := w.nodes[origin].Flood(1, []byte(payload)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(within)
			for id, box := range in {
				n, last := box.of(payload)
				want := 1
				if id == origin || len(but) > 0 && id == but[0] {
					want = 0
				}
				if n != want {
					t.Errorf("%s heard %q %d times, want %d", id, payload, n, want)
				} else if n == 1 {
					t.Logf("%s heard %q after %v", id, payload, last.Sub(began))
				}
			}
		}
		say("cold", 2*time.Second)
		say("warm", 3*far) // one way, or two where the direct one is lost
		time.Sleep(2 * time.Second)
		w.crash("ap-2")
		say("cut off", 5*time.Second, "ap-2")
		w.revive("ap-2")
		deadline := time.Now().Add(55 * time.Second)
		for n := 0; n == 0 && time.Now().Before(deadline); n, _ = in["ap-2"].of("cut off") {
			time.Sleep(time.Second)
			w.nodes[origin].Flood(1, []byte(time.Now().String())) // any reason for a link
		}
		if n, _ := in["ap-2"].of("cut off"); n != 1 {
			t.Errorf("ap-2 heard what it had missed %d times after it was back, want once", n)
		}
		if err := w.nodes[origin].Flood(1, nil); err != cascade.ErrTooLong {
			t.Errorf("an empty flood: %v, want ErrTooLong", err)
		}
		if err := w.nodes[origin].Flood(1, make([]byte, cascade.FloodMax+1)); err != cascade.ErrTooLong {
			t.Errorf("a flood that is too long: %v, want ErrTooLong", err)
		}
		refused := 0
		for i := range 1000 {
			if w.nodes[origin].Flood(1, fmt.Append(nil, "storm ", i)) == cascade.ErrTooMany {
				refused++
			}
		}
		if refused < 800 {
			t.Errorf("%d of 1000 floods at once are refused, want most", refused)
		}
	})
}

// sumOf adds numbers, which is what these tests say to each other.
func sumOf(parts [][]byte) []byte {
	var n uint64
	for _, p := range parts {
		if len(p) == 8 {
			n += binary.BigEndian.Uint64(p)
		}
	}
	return number(n)
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// total is the newest sum that one node was told.
type total struct {
	mu    sync.Mutex
	n     uint64
	calls int
}

func (s *total) take(sum []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n = 0
	if len(sum) == 8 {
		s.n = binary.BigEndian.Uint64(sum)
	}
	s.calls++
}

func (s *total) now() (uint64, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n, s.calls
}

// Every node says how many it has; all know the sum soon, whoever comes, goes or dies, and a thousand changes cost a few
// messages; by one way and by two, where nobody counts twice.
func TestSumsOverTheTree(t *testing.T) {
	t.Run("one way", func(t *testing.T) { sumsOverTheTree(t) })
	t.Run("two ways", func(t *testing.T) { sumsOverTheTree(t, cascade.Hitless) })
}

func sumsOverTheTree(t *testing.T, options ...cascade.Option) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4)
		w.add("us", 2)
		w.add("eu", 4)
		w.add("ap", 2)
		defer w.close()
		w.settle(10 * time.Second)
		sp := w.speak("us-1", program)
		defer sp.end()
		home := &total{}
		sp.pub.OnSum(home.take)
		ears, totals := map[rotunda.NodeID]*heard{}, map[rotunda.NodeID]*total{}
		for _, id := range w.order {
			ears[id], totals[id] = w.listen(id, program, "us-1", options...), &total{}
			ears[id].sub.OnSum(totals[id].take)
			ears[id].sub.Report(number(1))
		}
		defer func() {
			for _, h := range ears {
				h.sub.Close()
			}
		}()
		agree := func(what string, want uint64, within time.Duration) {
			t.Helper()
			time.Sleep(within)
			for id, s := range totals {
				if n, _ := s.now(); n != want && ears[id] != nil {
					t.Errorf("%s: %s knows of %d, want %d", what, id, n, want)
				}
			}
			if n, _ := home.now(); n != want {
				t.Errorf("%s: the origin knows of %d, want %d", what, n, want)
			}
		}
		// From an edge over its relay to the origin: two ticks of 300 ms and, at the origin, one more; then down.
		const settled = 1200 * time.Millisecond
		agree("all there", 8, 7*time.Second) // paths found and moved to the relay
		_, calls := home.now()
		for n := range uint64(1000) {
			ears["eu-1"].sub.Report(number(n))
			time.Sleep(time.Millisecond)
		}
		if _, now := home.now(); now-calls > 5 {
			t.Errorf("a thousand changes in a second made %d sums at the origin, want 2 to 4", now-calls)
		}
		agree("eu-1 has 999", 999+7, settled)
		ears["ap-1"].sub.Report(nil)
		agree("ap-1 has none", 999+6, settled)
		ears["ap-2"].sub.Close()
		delete(ears, "ap-2")
		agree("ap-2 has gone", 999+5, settled)
		w.crash("eu-1")
		ears["eu-1"].sub.Close()
		delete(ears, "eu-1")
		agree("eu-1 is dead", 5, settled+8*time.Second)
	})
}

// What is silenced goes no further: not from the node where it comes from, not over a relay, not to those who listen there.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.add("us", 1)
		w.add("eu", 2)
		defer w.close()
		w.settle(10 * time.Second)
		mic := rotunda.StreamID{Room: "k3v9", Track: rotunda.Mic("bob"), Epoch: 1}
		sp := w.speak("us-1", mic)
		a, b := w.listen("eu-1", mic, "us-1"), w.listen("eu-2", mic, "us-1")
		other := w.speak("us-1", program)
		c := w.listen("eu-1", program, "us-1")
		time.Sleep(8 * time.Second)
		took := func() (int, int) {
			a.reset()
			b.reset()
			time.Sleep(time.Second)
			return len(a.now().count), len(b.now().count)
		}
		if x, y := took(); x < 49 || y < 49 {
			t.Fatalf("%d and %d frames a second, want 50", x, y)
		}
		for _, id := range []rotunda.NodeID{"eu-1", "eu-2"} { // both ends of the relay; the origin does not know
			w.nodes[id].Silence("k3v9", []rotunda.UserID{"bob"})
		}
		if x, y := took(); x+y != 0 {
			t.Errorf("%d and %d frames of somebody who is silenced", x, y)
		}
		if n := w.nodes["eu-1"].value(t, `rotunda_cascade_dropped_total{reason="silenced"}`) + w.nodes["eu-2"].value(t, `rotunda_cascade_dropped_total{reason="silenced"}`); n < 50 {
			t.Errorf("%v frames dropped as silenced, want 50 or more", n)
		}
		c.reset()
		time.Sleep(time.Second)
		if n := len(c.now().count); n < 49 {
			t.Errorf("%d frames a second of the program, want 50", n)
		}
		a.sub.Close() // a new subscription to what is silenced is silent too
		a = w.listen("eu-1", mic, "us-1")
		if x, _ := took(); x != 0 {
			t.Errorf("%d frames on a new subscription", x)
		}
		for _, id := range []rotunda.NodeID{"eu-1", "eu-2"} {
			w.nodes[id].Silence("k3v9", nil)
		}
		if x, y := took(); x < 49 || y < 49 {
			t.Errorf("%d and %d frames a second after the silence, want 50", x, y)
		}
		w.nodes["us-1"].Silence("k3v9", []rotunda.UserID{"bob"})
		time.Sleep(100 * time.Millisecond)
		if x, y := took(); x+y != 0 {
			t.Errorf("%d and %d frames past a silenced origin", x, y)
		}
		for _, h := range []*heard{a, b, c} {
			h.sub.Close()
		}
		sp.end()
		other.end()
	})
}
