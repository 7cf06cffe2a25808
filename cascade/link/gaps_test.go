package link

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rotunda"
	"rotunda/cascade/wire"
)

// A frame is missing once the next one of its stream has come, and is asked for once; not when a copy came with it, not
// when it is old, and not when its stream begins anew.
func TestGaps(t *testing.T) {
	var g gaps
	const a, other = wire.Alias(7), wire.Alias(7 + gapsStreams)
	for i, s := range []struct {
		alias wire.Alias
		seqs  []rotunda.Seq
		want  []missed
	}{
		{a, []rotunda.Seq{10, 11, 12}, nil},
		{a, []rotunda.Seq{14}, []missed{{a, 13}}},
		{a, []rotunda.Seq{15}, nil},
		{a, []rotunda.Seq{17, 16}, nil},
		{a, []rotunda.Seq{18, 13}, nil},
		{a, []rotunda.Seq{23}, []missed{{a, 22}, {a, 21}}},
		{a, []rotunda.Seq{24}, nil},
		{a, []rotunda.Seq{1000}, nil},
		{a, []rotunda.Seq{1}, nil},
		{a, []rotunda.Seq{3}, []missed{{a, 2}}},
		{other, []rotunda.Seq{9}, nil}, // in the same place
		{a, []rotunda.Seq{5}, nil},
	} {
		g.credit = wire.MissingMax
		for _, seq := range s.seqs {
			g.frame(s.alias, seq)
		}
		if got := g.missing(); !slices.Equal(got, s.want) {
			t.Errorf("step %d: missing %v, want %v", i, got, s.want)
		}
	}
}

// Whatever comes, no more than a quarter as many frames are asked for, none twice while it is new, and nothing is allocated.
func TestGapsAreBounded(t *testing.T) {
	var g gaps
	rng := rand.New(rand.NewPCG(1, 1))
	asked, frames := 0, 0
	if n := testing.AllocsPerRun(20000, func() {
		for range rng.IntN(4) {
			frames++
			g.frame(wire.Alias(rng.IntN(300)+1), rotunda.Seq(rng.IntN(40)))
		}
		asked += len(g.missing())
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if asked > frames/4+wire.MissingMax {
		t.Errorf("%d frames asked for when %d came", asked, frames)
	}
}

// A frame goes once more for being asked for, if it went lately.
func TestAskedFrames(t *testing.T) {
	ms := func(n int) time.Time { return time.Unix(0, 0).Add(time.Duration(n) * time.Millisecond) }
	r := newRing(nil)
	for seq := range rotunda.Seq(10) {
		at := ms(20 * int(seq))
		r.push(at, 1, &rotunda.Frame{Seq: seq, Payload: []byte{1}})
		r.fill(at, nil, 1000)
	}
	r.push(ms(180), 1, &rotunda.Frame{Seq: 10, Payload: []byte{1}}) // waits
	for _, s := range []struct {
		m    missed
		want int
	}{
		{missed{1, 8}, 1},
		{missed{1, 8}, 0}, // again
		{missed{1, 6}, 1}, // 60 ms ago
		{missed{1, 5}, 0}, // older
		{missed{2, 7}, 0}, // another stream
		{missed{1, 10}, 0},
		{missed{1, 99}, 0},
	} {
		r.ask(ms(180), s.m)
		if _, n := r.answer(nil, 1000); n != s.want {
			t.Errorf("%v: %d frames, want %d", s.m, n, s.want)
		}
	}
	r.ask(ms(180), missed{1, 7})
	if _, n := r.answer(nil, 3); n != 0 || !r.asked() {
		t.Errorf("%d frames in 3 octets; waits: %t", n, r.asked())
	}
	for i := range ringSize {
		r.push(ms(181), 1, &rotunda.Frame{Seq: rotunda.Seq(100 + i), Payload: []byte{1}})
	}
	if _, n := r.answer(nil, 1000); n != 0 || r.asked() {
		t.Errorf("%d frames that were overwritten; waits: %t", n, r.asked())
	}
}

// A full list of questions is one datagram, and a longer one is malformed.
func TestQuestions(t *testing.T) {
	q := questions{wake: make(chan struct{}, 1)}
	q.put(make([]missed, wire.MissingMax-1))
	q.put([]missed{{1, 1}, {2, 2}})
	if _, n := q.take(nil); n != wire.MissingMax {
		t.Errorf("%d questions, want %d", n, wire.MissingMax)
	}
	l := &Link{ring: newRing(nil)}
	var b []byte
	for range wire.MissingMax {
		b = wire.AppendMissing(b, 1, 1)
	}
	if err := l.hearMissing(b); err != nil {
		t.Error(err)
	}
	if l.hearMissing(wire.AppendMissing(b, 1, 1)) == nil {
		t.Error("a question for more frames than one may ask for was heard")
	}
}

// Only a near peer that knows the question is asked.
func TestWhoIsAsked(t *testing.T) {
	for _, c := range []struct {
		revision uint32
		rtt      time.Duration
		want     bool
	}{
		{0, time.Millisecond, false},
		{3, time.Millisecond, false},
		{4, 0, false},
		{4, time.Millisecond, true},
		{9, askWithin, true},
		{4, askWithin + 1, false},
	} {
		if got := asksFor(c.revision, c.rtt); got != c.want {
			t.Errorf("revision %d, %v: asked %t, want %t", c.revision, c.rtt, got, c.want)
		}
	}
}
