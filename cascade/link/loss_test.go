package link

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"rotunda"
	"rotunda/metrics"
)

// What the measure says of a link that loses a share of its datagrams, run after run as the chain says, after some seconds.
func TestDepthFollowsLoss(t *testing.T) {
	for _, c := range []struct {
		share, run float64 // of losses; mean run, 1/(1-share) when independent
		rate       int     // datagrams a second
		want       []int   // any of
	}{
		{0, 0, 50, []int{0}},
		{.0005, 0, 50, []int{0, 1}}, // two losses near each other look like many
		{.01, 0, 50, []int{1}},
		{.01, 0, 2000, []int{1}},
		{.06, 0, 50, []int{2}},
		{.1, 0, 50, []int{2}},
		{.1, 0, 2000, []int{2}},
		{.1, 3, 50, []int{3}},
		{.06, 3, 500, []int{3}},
		{1, 0, 20, []int{3}},
	} {
		t.Run(fmt.Sprintf("%g %g %d", c.share, c.run, c.rate), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			var l loss
			now, sent, lost, was := time.Unix(0, 0), uint64(0), uint64(0), false
			seen := map[int]int{}
			for tick := range 1200 { // two minutes
				for range c.rate / 10 {
					p := c.share
					if c.run > 0 && was {
						p = 1 - 1/c.run
					} else if c.run > 0 {
						p = c.share / (1 - c.share) / c.run
					}
					sent++
					if was = rng.Float64() < p; was {
						lost++
					}
				}
				now = now.Add(100 * time.Millisecond)
				l.sample(now, sent, lost)
				if tick >= 300 {
					seen[l.copies]++
				}
			}
			good := 0
			for _, d := range c.want {
				good += seen[d]
			}
			if good < 900*9/10 {
				t.Errorf("copies, and for how many of 900 samples: %v, want %v; ratio %v, burst %v", seen, c.want, l.ratio(), l.burst())
			}
		})
	}
}

// Loss is answered within a second or two, and once it is over the copies end within two minutes.
func TestDepthRisesAndEnds(t *testing.T) {
	var l loss
	now, sent, lost := time.Unix(0, 0), uint64(0), uint64(0)
	step := func(gone uint64) {
		now, sent, lost = now.Add(200*time.Millisecond), sent+10, lost+gone
		l.sample(now, sent, lost)
	}
	for range 50 {
		step(0)
	}
	for i := 0; l.copies == 0; i++ {
		if step(1); i > 5 {
			t.Fatalf("%d samples of one in ten, and no copies", i)
		}
	}
	for range 100 {
		step(1)
	}
	if l.copies != 2 {
		t.Errorf("%d copies at one in ten in equal distance, want 2", l.copies)
	}
	for i := 0; l.copies > 0; i++ {
		if step(0); i > 600 {
			t.Fatalf("after two minutes without loss still %d copies: %v", l.copies, l.ratio())
		}
	}
	lost -= 3 // QUIC took it back
	step(0)
	if l.ratio() < 0 || l.ratio() > .01 {
		t.Errorf("ratio %v after losses that were none", l.ratio())
	}
}

// Copies go in their windows, each once, early ones first, not when it is too late, and not of what was overwritten.
func TestAgain(t *testing.T) {
	ms := func(n int) time.Time { return time.Unix(0, 0).Add(time.Duration(n) * time.Millisecond) }
	two := copyWindows[2]
	r := newRing(nil)
	f := &rotunda.Frame{Payload: []byte{1}}
	send := func(at int) {
		f.Seq++
		r.push(ms(at), 1, f)
		if _, n := r.fill(ms(at), nil, 1000); n != 1 {
			t.Fatalf("%d frames at %d ms", n, at)
		}
	}
	again := func(at, want int) {
		t.Helper()
		if _, n := r.again(ms(at), nil, 1000, two); n != want {
			t.Errorf("%d copies at %d ms, want %d", n, at, want)
		}
	}
	send(0)
	again(10, 0)
	if due := r.due(two); !due.Equal(ms(23)) {
		t.Errorf("due at %v, want 23 ms", due)
	}
	send(20)
	again(20, 1) // the first one of 0
	again(20, 0)
	if due := r.due(two); !due.Equal(ms(43)) {
		t.Errorf("due at %v, want 43 ms", due)
	}
	again(40, 1) // the first one of 20
	again(58, 1) // the second one of 0
	again(95, 0) // too late for the second one of 20
	if due := r.due(two); !due.IsZero() {
		t.Errorf("due at %v, want never", due)
	}
	for i := range ringSize + 10 {
		send(100 + i/1000)
	}
	if _, n := r.again(ms(120), nil, 1<<20, two); n != ringSize {
		t.Errorf("%d copies of a ring that was overwritten, want %d", n, ringSize)
	}
}

func TestAgainAllocatesNothing(t *testing.T) {
	r, b, f, now := newRing(nil), make([]byte, 0, 1200), &rotunda.Frame{Payload: make([]byte, 100)}, time.Unix(0, 0)
	var l loss
	var g budget
	copies := 0
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(20 * time.Millisecond)
		f.Seq++
		r.push(now, 1, f)
		out, _ := r.fill(now, b, 1200)
		r.ask(now, missed{1, f.Seq})
		out, _ = r.answer(out, 1200)
		_, m := r.again(now, out, 1200, copyWindows[3])
		copies += m
		r.due(copyWindows[3])
		l.sample(now, uint64(f.Seq), uint64(f.Seq)/20)
		g.update(now, flow{window: 10000, rtt: time.Millisecond, bytes: 100 * uint64(f.Seq), pkts: uint64(f.Seq)})
		g.spend(100, false)
		r.waits()
		r.fills(1200)
	}); n != 0 {
		t.Errorf("%v allocations per frame, want none", n)
	}
	if copies < 2900 {
		t.Errorf("%d copies of 1000 frames, want three each", copies)
	}
}

// A window of 10 kB and 100 ms: what was sent within a round trip and the peer's delay is in flight, and no more goes than
// QUIC sends at once.
func TestBudget(t *testing.T) {
	now, f := time.Unix(0, 0), flow{window: 10000, rtt: 100 * time.Millisecond}
	var b budget
	b.update(now, flow{window: 10000})
	b.spend(20000, false)
	if b.full() {
		t.Error("a link whose round trip nobody knows is full")
	}
	b = budget{}
	sent := 0
	send := func() {
		b.spend(970, false)
		sent++
		f.bytes, f.pkts = f.bytes+970+packetOverhead, f.pkts+1
		now = now.Add(time.Millisecond)
		b.update(now, f)
	}
	for b.update(now, f); !b.full(); {
		send()
	}
	if sent != 10 {
		t.Errorf("%d packets of 1000 octets before it is full, want 10", sent)
	}
	if now = now.Add(80 * time.Millisecond); true {
		if b.update(now, f); !b.full() {
			t.Error("room before anything can have been acknowledged")
		}
	}
	if now = now.Add(60 * time.Millisecond); true {
		if b.update(now, f); b.full() || b.left() < .99 {
			t.Errorf("%v of the window left after a round trip, want all of it", b.left())
		}
	}
	for range 3 { // nothing leaves
		b.spend(1000, false)
	}
	if b.update(now, f); !b.full() {
		t.Errorf("%v octets wait inside QUIC, and more may follow", b.queued)
	}
	now = now.Add(200 * time.Millisecond)
	f.bytes, f.pkts = f.bytes+3*1030, f.pkts+3
	if b.update(now, f); b.full() {
		t.Errorf("%v octets wait after all have left", b.queued)
	}
	b.spend(1000, true)
	if b.update(now, f); !b.full() {
		t.Error("QUIC takes no more, and the budget does not know")
	}
}

// Copies leave room to frames, and more lanes are wanted before frames have to wait; the lane that is used least is the best.
func TestLanesShare(t *testing.T) {
	var s lanes
	now := time.Unix(0, 0)
	for _, window := range []uint64{10000, 20000} {
		s.all = append(s.all, &lane{})
		s.all[len(s.all)-1].budget.update(now, flow{window: window, rtt: 100 * time.Millisecond})
	}
	var at [2]int // packets after which lanes are strained, and copies stop
	for n := 1; !s.best().budget.full(); n++ {
		s.best().budget.spend(1000-packetOverhead, false)
		for _, l := range s.all {
			l.budget.queued = 0
		}
		if at[0] == 0 && s.strained() {
			at[0] = n
		}
		if at[1] == 0 && !s.repeats() {
			at[1] = n
		}
	}
	if at != [2]int{19, 27} {
		t.Errorf("of 30 packets lanes were strained after %d and copies held back after %d, want 19 and 27", at[0], at[1])
	}
	if a, b := s.all[0].budget.flying, s.all[1].budget.flying; a != 10000 || b != 20000 {
		t.Errorf("%v and %v octets on lanes that take 10000 and 20000", a, b)
	}
}

// Lanes are asked for when frames would wait, some at a time, of a peer that knows them, and not right after one that could
// not be had.
func TestLanesAreAskedFor(t *testing.T) {
	w := writer{l: &Link{wanted: make(chan struct{}, dialsMax)}, lanes: lanes{open: metrics.Discard().CascadeLanes.With("out")}}
	now := time.Unix(0, 0)
	asked := func() bool {
		w.press(now)
		select {
		case <-w.l.wanted:
			return true
		default:
			return false
		}
	}
	w.lanes.add(now, &quic.Conn{})
	now = now.Add(time.Second)
	later := func(d time.Duration) func() { return func() { now = now.Add(d) } }
	for _, s := range []struct {
		revision uint32
		then     func()
		want     bool
	}{
		{0, nil, false},
		{2, nil, false},
		{3, nil, true},
		{3, nil, false},
		{3, later(growEvery), true},
		{3, later(growEvery), true},
		{3, later(growEvery), true},
		{3, later(time.Second), false}, // enough are being dialled
		{3, func() { w.lanes.dialled(now, &quic.Conn{}) }, true},
		{3, func() { w.lanes.dialled(now, nil); now = now.Add(growEvery) }, false},
		{3, later(growAgain), true},
		{3, func() {
			for len(w.lanes.all)+w.lanes.pending < lanesMax {
				w.lanes.add(now, &quic.Conn{})
			}
			w.lanes.dialled(now, &quic.Conn{})
			now = now.Add(time.Second)
		}, false},
	} {
		if s.then != nil {
			s.then()
		}
		w.l.revision.Store(s.revision)
		if got := asked(); got != s.want {
			t.Errorf("revision %d, %d lanes and %d to come, %v: asked %t, want %t", s.revision, len(w.lanes.all), w.lanes.pending, now, got, s.want)
		}
	}
}
