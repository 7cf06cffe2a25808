package jitter

import (
	"fmt"
	"testing"
	"time"

	"rotunda"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const (
	ms    = time.Millisecond
	voice = 20 // -dBov
	hush  = 90
)

func fr(seq int, level uint8, ticks int) *rotunda.Frame {
	toc := byte(9 << 3)
	if ticks == 2880 {
		toc = 11 << 3
	}
	return &rotunda.Frame{Seq: rotunda.Seq(seq), Timestamp: uint32(seq) * uint32(ticks), Level: level, Payload: []byte{toc, byte(seq), byte(seq >> 8)}}
}

// show is an item in a word: p7 plays packet 7, r8 repairs the one before 8, c conceals, - is silence.
func show(it Item) string {
	switch it.Kind {
	case Play:
		return fmt.Sprintf("p%d", it.Payload[1])
	case Repair:
		return fmt.Sprintf("r%d", it.Payload[1])
	case Conceal:
		return "c"
	}
	return "-"
}

// window pops one window of 20 ms and shows what it is made of.
func window(b *Buffer, at time.Duration, queued *int) (out string) {
	for *queued < rotunda.FrameTicks {
		it := b.Pop(start.Add(at), *queued)
		out += show(it)
		if it.Kind == Silence {
			*queued = rotunda.FrameTicks
			break
		}
		*queued += it.Offset + it.Ticks
	}
	*queued -= rotunda.FrameTicks
	return out
}

// A script of arrivals, and what each window of 20 ms is made of, from 0 on. With the initial target of 40 ms and everything on
// time, packet n of 20 ms arrives at 20n ms and is played in window n+2.
func TestPlayout(t *testing.T) {
	type push struct {
		at   time.Duration
		f    *rotunda.Frame
		drop Drop
	}
	on := func(seq int) push { return push{time.Duration(seq) * 20 * ms, fr(seq, voice, 960), None} }
	late := func(seq int, by time.Duration, d Drop) push {
		return push{time.Duration(seq)*20*ms + by, fr(seq, voice, 960), d}
	}
	quiet := func(p push) push { p.f.Level = hush; return p }
	for _, c := range []struct {
		name  string
		in    []push
		plays string
	}{
		{"in order", []push{on(0), on(1), on(2), on(3)}, "- - p0 p1 p2 p3"},
		{"reordered in time", []push{on(0), late(1, 25*ms, None), on(2), on(3)}, "- - p0 p1 p2 p3"},
		{"twice", []push{on(0), late(0, ms, Duplicate), on(1)}, "- - p0 p1"},
		{"lost: repaired from the next", []push{on(0), on(2), on(3)}, "- - p0 r2 p2 p3"},
		{"two lost: made up, then repaired", []push{on(0), on(1), on(4), on(5)}, "- - p0 p1 c r4 p4 p5"},
		{"late: made up, then played after all", []push{on(0), late(1, 60*ms, None), late(2, 60*ms, None), late(3, 60*ms, None)}, "- - p0 c p1 p2 p3"},
		{"too late: made up, then lost", []push{on(0), on(2), late(1, 61*ms, Late), on(3)}, "- - p0 r2 p2 p3"},
		{"the end of a voice fades, then nothing", []push{on(0), on(1)}, "- - p0 p1 c c c c - - -"},
		{"the end of a quiet voice is nothing at once", []push{on(0), quiet(on(1))}, "- - p0 p1 - - -"},
		{"silence between", []push{on(0), quiet(on(1)), {200 * ms, &rotunda.Frame{Seq: 2, Timestamp: 9600, Level: voice, Payload: []byte{9 << 3, 2, 0}}, None}},
			"- - p0 p1 - - - - - - - - p2"},
		{"one lost before silence", []push{on(0), on(1), {200 * ms, &rotunda.Frame{Seq: 3, Timestamp: 9600, Level: voice, Payload: []byte{9 << 3, 3, 0}}, None}},
			"- - p0 p1 c c c c - - - - p3"},
		{"60 ms packets", []push{{0, fr(0, voice, 2880), None}, {60 * ms, fr(1, voice, 2880), None}, {180 * ms, fr(3, voice, 2880), None}},
			"- - p0   p1   c c  p3"},
		{"no opus", []push{{0, &rotunda.Frame{Payload: nil}, Late}, {0, &rotunda.Frame{Payload: []byte{9<<3 | 3, 0}}, Late}}, "- -"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, in, queued, got := New(), c.in, 0, ""
			for i := 0; len(got) < len(c.plays); i++ {
				at := time.Duration(i) * 20 * ms
				for len(in) > 0 && in[0].at <= at {
					if d := b.Push(start.Add(in[0].at), in[0].f); d != in[0].drop {
						t.Fatalf("Push of %d at %v = %q, want %q", in[0].f.Seq, in[0].at, d, in[0].drop)
					}
					in = in[1:]
				}
				if got += window(b, at, &queued); len(got) < len(c.plays) {
					got += " "
				}
			}
			if got != c.plays {
				t.Errorf("windows of 20 ms: %q, want %q", got, c.plays)
			}
		})
	}
}
