package edge

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rotunda"
)

// said is one frame as a seam passes it on: which of the sender's packets it is, and its place in the stream.
type said struct {
	what int
	seq  rotunda.Seq
	ts   uint32
}

// hearing runs two sessions of one sender into a seam: packet i is spoken at 20·i ms and arrives through each with its delay.
type hearing struct {
	t      testing.TB
	seam   Seam
	heard  []said
	fresh  int
	joined int
}

func newHearing(t testing.TB) *hearing {
	h := &hearing{t: t}
	h.seam = Seam{
		Pass: func(f *rotunda.Frame) {
			h.heard = append(h.heard, said{int(binary.BigEndian.Uint32(f.Payload)), f.Seq, f.Timestamp})
		},
		Fresh:  func() { h.fresh++ },
		Joined: func() { h.joined++ },
	}
	return h
}

// session is a way from the sender to the seam.
type session struct {
	epoch    rotunda.Epoch
	first    int // packet
	last     int
	delay    time.Duration // after which it arrives
	entered  time.Duration // by which the clock of its node is ahead
	ts       uint32        // of packet 0
	encoding byte          // of the packets: sessions of one encoding have the same ones
}

func (h *hearing) run(sessions ...session) {
	type event struct {
		at time.Time
		s  session
		i  int
	}
	start := time.Unix(1e9, 0)
	var events []event
	for _, s := range sessions {
		for i := s.first; i <= s.last; i++ {
			events = append(events, event{start.Add(time.Duration(i)*rotunda.FrameDuration + s.delay), s, i})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	for _, e := range events {
		payload := append(binary.BigEndian.AppendUint32(nil, uint32(e.i)), e.s.encoding, 2, 3, 4, 5)
		h.seam.Frame(e.at, e.s.epoch, &rotunda.Frame{
			Seq: rotunda.Seq(1 + e.i - e.s.first), Timestamp: e.s.ts + uint32(e.i)*rotunda.FrameTicks,
			Origin: rotunda.Micros(start.Add(time.Duration(e.i)*rotunda.FrameDuration + e.s.entered)), Payload: payload,
		})
	}
}

// whole checks that every packet up to last was passed once, numbered without a hole.
func (h *hearing) whole(last int) {
	h.t.Helper()
	slices.SortFunc(h.heard, func(a, b said) int { return int(a.seq) - int(b.seq) })
	if len(h.heard) != last+1 || h.fresh != 0 {
		h.t.Fatalf("%d frames of %d were passed, %d beginnings", len(h.heard), last+1, h.fresh)
	}
	for i, s := range h.heard {
		if s.what != i || s.seq != h.heard[0].seq+rotunda.Seq(i) || s.ts-h.heard[0].ts != uint32(i)*rotunda.FrameTicks {
			h.t.Fatalf("frame %d is %+v: all %+v", i, s, h.heard)
		}
	}
}

// A sender who gives two sessions the same packets is heard without a hole or a repetition, however the ways and clocks differ.
func TestSeamOfSamePackets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := func(name string, from, to int) time.Duration {
			return time.Duration(rapid.IntRange(from, to).Draw(t, name)) * time.Millisecond
		}
		h := newHearing(nil)
		h.seam.Expect(1)
		h.seam.Expect(2)
		h.run(session{epoch: 1, last: 80, delay: ms("old delay", 0, 150), ts: rapid.Uint32().Draw(t, "old ts")},
			session{epoch: 2, first: 40, last: 120, delay: ms("new delay", 0, 150), entered: ms("clocks", -2000, 2000), ts: rapid.Uint32().Draw(t, "new ts")})
		slices.SortFunc(h.heard, func(a, b said) int { return int(a.seq) - int(b.seq) })
		if len(h.heard) != 121 || h.fresh != 0 || h.joined != 1 {
			t.Fatalf("%d of 121 frames, %d beginnings, %d joints", len(h.heard), h.fresh, h.joined)
		}
		for i, s := range h.heard {
			if s.what != i || s.seq != h.heard[0].seq+rotunda.Seq(i) || s.ts-h.heard[0].ts != uint32(i)*rotunda.FrameTicks {
				t.Fatalf("frame %d is %+v", i, s)
			}
		}
	})
}

// One whose sessions are encoded apart is placed by time.
func TestSeamOfOtherPackets(t *testing.T) {
	for _, c := range []struct {
		name     string
		old, new session
	}{
		{"ways of one length", session{last: 80, delay: 30 * time.Millisecond}, session{delay: 30 * time.Millisecond}},
		{"a longer way", session{last: 80, delay: 10 * time.Millisecond}, session{delay: 90 * time.Millisecond}},
		{"a shorter way", session{last: 80, delay: 90 * time.Millisecond}, session{delay: 10 * time.Millisecond}},
		{"the clocks differ a little", session{last: 80, delay: 30 * time.Millisecond}, session{delay: 40 * time.Millisecond, entered: 9 * time.Millisecond}},
		{"clocks that mean nothing", session{last: 80, delay: 30 * time.Millisecond}, session{delay: 30 * time.Millisecond, entered: 100 * 365 * 24 * time.Hour}},
		{"the old one ends at once", session{last: 41, delay: 30 * time.Millisecond}, session{delay: 30 * time.Millisecond}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHearing(t)
			h.seam.Expect(1)
			h.seam.Expect(2)
			c.old.epoch, c.old.ts = 1, 77
			c.new.epoch, c.new.first, c.new.last, c.new.ts, c.new.encoding = 2, 40, 120, 1<<32-500, 9
			h.run(c.old, c.new)
			h.whole(120)
		})
	}
}

func TestSeamWithoutAJoint(t *testing.T) {
	t.Run("a session that never comes takes nothing", func(t *testing.T) {
		h := newHearing(t)
		h.seam.Expect(1)
		h.seam.Expect(2)
		h.run(session{epoch: 1, last: 100})
		h.whole(100)
	})
	t.Run("one that was not expected is not heard", func(t *testing.T) {
		h := newHearing(t)
		h.seam.Expect(2)
		h.seam.Expect(1)
		h.run(session{epoch: 2, last: 100}, session{epoch: 1, last: 100}, session{epoch: 3, last: 100})
		h.whole(100)
	})
	t.Run("after a pause it begins anew", func(t *testing.T) {
		h := newHearing(t)
		h.seam.Expect(1)
		h.run(session{epoch: 1, last: 10})
		h.seam.Expect(2)
		h.run(session{epoch: 2, first: 60, last: 70, ts: 5})
		if h.fresh != 1 || len(h.heard) != 22 || h.heard[11].seq != 1 || h.heard[11].ts != 5+60*rotunda.FrameTicks {
			t.Errorf("%d beginnings, heard %+v", h.fresh, h.heard)
		}
	})
}

func TestSeamAllocatesNothing(t *testing.T) {
	s := Seam{Pass: func(*rotunda.Frame) {}}
	s.Expect(1)
	f := &rotunda.Frame{Payload: make([]byte, 80)}
	now := time.Unix(1e9, 0)
	if n := testing.AllocsPerRun(100, func() {
		f.Seq++
		s.Frame(now, 1, f)
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
