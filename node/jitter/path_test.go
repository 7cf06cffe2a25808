package jitter

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rotunda"
)

// path is a speaker's way to the mixer, in virtual time: a talk without pauses over a network.
type path struct {
	length  time.Duration
	ppm     float64                                              // how much the speaker's clock runs fast
	phase   time.Duration                                        // from the mixer's grid
	transit func(r *rand.Rand, sent time.Duration) time.Duration // negative: lost
}

// outcome is what the mixer got.
type outcome struct {
	b       *Buffer
	delays  []time.Duration // of each packet played: from when the quickest network would have brought it to when it is mixed
	at      []time.Duration // when
	madeUp  int             // pieces concealed or repaired
	silent  int             // windows that were silence after the first sound
	removed int             // ticks shortened, net
	order   bool            // packets came out in order
}

type delivery struct {
	sent, at time.Duration
	f        *rotunda.Frame
}

// run plays the path to its end. The stand-in for the mixer shortens and stretches by at most 10 ms each 60 ms.
func (p path) run() outcome {
	r := rand.New(rand.NewPCG(3, 4))
	var in []delivery
	sent := map[rotunda.Seq]time.Duration{}
	for i := 0; ; i++ {
		at := p.phase + time.Duration(float64(i)*float64(20*ms)/(1+p.ppm*1e-6))
		if at > p.length {
			break
		}
		sent[rotunda.Seq(i)] = at
		if d := p.transit(r, at); d >= 0 {
			in = append(in, delivery{at, at + d, fr(i, voice, 960)})
		}
	}
	slices.SortStableFunc(in, func(a, b delivery) int { return int(a.at - b.at) })
	o := outcome{b: New(), order: true}
	queued, last, adjusted := 0, -1, time.Duration(0)
	for at := time.Duration(0); at < p.length; at += 20 * ms {
		for len(in) > 0 && in[0].at <= at {
			o.b.Push(start.Add(in[0].at), in[0].f)
			in = in[1:]
		}
		for queued < 960 {
			it := o.b.Pop(start.Add(at), queued)
			if it.Kind == Silence {
				if last >= 0 {
					o.silent++
				}
				queued = 960
				break
			}
			queued += it.Offset
			if it.Kind == Play {
				seq := int(it.Payload[1]) | int(it.Payload[2])<<8
				o.order = o.order && seq > last
				last = seq
				o.delays = append(o.delays, at+time.Duration(queued)*time.Second/48000-sent[rotunda.Seq(seq)])
				o.at = append(o.at, at)
				if it.Adjust != 0 && at-adjusted >= 60*ms {
					take := max(-480, min(480, it.Adjust))
					adjusted, queued, o.removed = at, queued-take, o.removed+take
				}
			} else {
				o.madeUp++
			}
			queued += it.Ticks
		}
		queued -= 960
	}
	return o
}

// after returns the least and the greatest delay from a time on.
func (o outcome) after(from time.Duration) (lo, hi time.Duration) {
	i, _ := slices.BinarySearch(o.at, from)
	return slices.Min(o.delays[i:]), slices.Max(o.delays[i:])
}

func steady(time.Duration) func(*rand.Rand, time.Duration) time.Duration {
	return func(*rand.Rand, time.Duration) time.Duration { return 0 }
}

func TestRegularArrivalEndsAtTheMinimum(t *testing.T) {
	for phase := time.Duration(0); phase < 20*ms; phase += 1700 * time.Microsecond {
		o := path{length: 10 * time.Second, phase: phase, transit: steady(0)}.run()
		if _, hi := o.after(0); hi > 61*ms {
			t.Errorf("phase %v: delay up to %v at the start, want the target of 40 ms and at most a window", phase, hi)
		}
		lo, hi := o.after(5 * time.Second)
		if o.b.Target() != TargetMin || lo < 5*ms || hi > 35*ms {
			t.Errorf("phase %v: target %v, delay %v to %v after 5 s; want 20 ms, within a window of it", phase, o.b.Target(), lo, hi)
		}
		if o.madeUp > 4 { // the end of the talk
			t.Errorf("phase %v: %d pieces made up without any loss", phase, o.madeUp)
		}
	}
}

func TestTargetFollowsJitter(t *testing.T) {
	for _, c := range []struct {
		spread, lo, hi time.Duration
	}{{4 * ms, 20 * ms, 25 * ms}, {30 * ms, 40 * ms, 55 * ms}, {60 * ms, 70 * ms, 85 * ms}, {400 * ms, 200 * ms, 200 * ms}} {
		o := path{length: 30 * time.Second, transit: func(r *rand.Rand, _ time.Duration) time.Duration {
			return 50*ms + time.Duration(r.Float64()*float64(c.spread))
		}}.run()
		if got := o.b.Target(); got < c.lo || got > c.hi {
			t.Errorf("jitter up to %v: target %v, want %v to %v", c.spread, got, c.lo, c.hi)
		}
		if limit := len(o.delays) / 100; c.spread < 200*ms && o.madeUp > limit {
			t.Errorf("jitter up to %v: %d pieces made up of %d", c.spread, o.madeUp, len(o.delays))
		}
		if !o.order {
			t.Errorf("jitter up to %v: played out of order", c.spread)
		}
	}
}

// A spike each second of 25 packets is learnt; when it is over the delay comes down again.
func TestTargetComesDownAgain(t *testing.T) {
	o := path{length: 60 * time.Second, transit: func(_ *rand.Rand, sent time.Duration) time.Duration {
		if sent < 20*time.Second && sent%(500*ms) < 20*ms {
			return 80 * ms
		}
		return 0
	}}.run()
	if o.madeUp > 20 {
		t.Errorf("%d pieces made up, want the first spikes only", o.madeUp)
	}
	if _, hi := o.after(50 * time.Second); o.b.Target() != TargetMin || hi > 35*ms {
		t.Errorf("half a minute after the last spike: target %v, delay %v", o.b.Target(), hi)
	}
}

// A clock 200 ppm off moves by 60 ms in five minutes of talk without a pause: the delay stays, nothing is lost.
func TestDrift(t *testing.T) {
	for _, ppm := range []float64{200, -200} {
		o := path{length: 5 * time.Minute, ppm: ppm, transit: steady(0)}.run()
		lo, hi := o.after(10 * time.Second)
		// Sent times are true time: the delay is what a listener feels.
		if lo < 0 || hi > 45*ms {
			t.Errorf("%+.0f ppm: delay %v to %v", ppm, lo, hi)
		}
		if st := o.b.Stats(); o.madeUp > 8 || st.Discarded > 0 || st.Late > 0 || o.silent > 1 {
			t.Errorf("%+.0f ppm: %d pieces made up, %d windows silent, %+v", ppm, o.madeUp, o.silent, st)
		}
	}
}

// A stall of 300 ms: what is older than staleMax is discarded, and the delay is back soon after.
func TestStall(t *testing.T) {
	o := path{length: 10 * time.Second, transit: func(_ *rand.Rand, sent time.Duration) time.Duration {
		if sent > 4*time.Second && sent < 4300*ms {
			return 4300*ms - sent
		}
		return 0
	}}.run()
	if _, hi := o.after(4 * time.Second); hi > staleMax+TargetMin+20*ms {
		t.Errorf("delay up to %v after the stall", hi)
	}
	if _, hi := o.after(6 * time.Second); hi > 40*ms {
		t.Errorf("delay still %v after 1.7 s", hi)
	}
}

// The path changes to one that is 60 ms longer, and back.
func TestPathChange(t *testing.T) {
	o := path{length: 40 * time.Second, transit: func(_ *rand.Rand, sent time.Duration) time.Duration {
		if sent > 10*time.Second && sent < 20*time.Second {
			return 80 * ms
		}
		return 20 * ms
	}}.run()
	if _, hi := o.after(39 * time.Second); hi > 60*ms {
		t.Errorf("delay %v long after the path is short again, want 20 ms and 20 to 40", hi)
	}
	if o.madeUp > 12 {
		t.Errorf("%d pieces made up", o.madeUp)
	}
}

func TestLossMakesRoomForRepair(t *testing.T) {
	o := path{length: 60 * time.Second, transit: func(r *rand.Rand, _ time.Duration) time.Duration {
		if r.Float64() < .05 {
			return -1
		}
		return 0
	}}.run()
	st := o.b.Stats()
	if st.Repaired < 100 || st.Concealed > st.Repaired/3 {
		t.Errorf("%d repaired and %d concealed of about 150", st.Repaired, st.Concealed)
	}
	if o.b.Target() != TargetMin+20*ms {
		t.Errorf("target %v, want one frame above the minimum", o.b.Target())
	}
}

func TestAnotherClockStartsAfresh(t *testing.T) {
	b := New()
	push := func(at time.Duration, seq int, ts uint32) Drop {
		f := fr(seq, voice, 960)
		f.Timestamp = ts
		return b.Push(start.Add(at), f)
	}
	push(0, 10000, 0)
	push(20*ms, 10001, 3_000_000_000) // the sender's clock jumps
	if b.Stats().Restarts != 1 || b.Target() != TargetStart {
		t.Errorf("a jump of the clock: %+v", b.Stats())
	}
	if d := push(40*ms, 1, 3_000_000_960); d != None || b.Stats().Restarts != 2 { // and its count
		t.Errorf("a jump of the count: %q, %+v", d, b.Stats())
	}
	if d := push(60*ms, 1+Slots+5, 3_000_000_960+960*(Slots+5)); d != None || b.Stats().Discarded == 0 {
		t.Errorf("beyond the buffer: %q, %+v", d, b.Stats())
	}
}

// Whatever arrives whenever: audio leaves in order and once, windows are filled in a bounded number of pieces, and nothing panics.
func TestOrderProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, last, seq, ts := New(), -1, 100, uint32(0)
		queued := 0
		for i := range rapid.IntRange(1, 150).Draw(t, "windows") {
			now := start.Add(time.Duration(i) * 20 * ms)
			for range rapid.IntRange(0, 4).Draw(t, "arrivals") {
				seq++
				ts += 960 * uint32(rapid.SampledFrom([]int{1, 1, 1, 1, 20}).Draw(t, "pause"))
				back := rapid.SampledFrom([]int{0, 0, 0, 1, 2, 40}).Draw(t, "reorder")
				f := fr(seq-back, uint8(rapid.IntRange(0, 127).Draw(t, "level")), 960)
				f.Timestamp = ts - uint32(back)*960
				b.Push(now, f)
			}
			for pieces := 0; queued < 960; pieces++ {
				it := b.Pop(now, queued)
				if pieces > 10 {
					t.Fatalf("window %d: %d pieces and no end", i, pieces)
				}
				if it.Kind == Silence {
					queued = 960
					break
				}
				if it.Ticks < 120 || it.Ticks > 2880 || it.Offset < 0 || it.Offset > 960 {
					t.Fatalf("window %d: %+v", i, it)
				}
				queued += it.Ticks + it.Offset
				if it.Kind == Play {
					got := int(it.Payload[1]) | int(it.Payload[2])<<8
					if got <= last {
						t.Fatalf("window %d: packet %d after %d", i, got, last)
					}
					last = got
				}
			}
			queued -= 960
		}
	})
}

func TestBufferAllocatesNothing(t *testing.T) {
	b, f, now := New(), fr(1, voice, 960), start
	if n := testing.AllocsPerRun(1000, func() {
		f.Seq++
		f.Timestamp += 960
		now = now.Add(20 * ms)
		b.Push(now, f)
		b.Pop(now, 0)
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkBuffer(bb *testing.B) {
	b, f, now := New(), fr(1, voice, 960), start
	f.Payload = append(f.Payload, make([]byte, 80)...)
	bb.ReportAllocs()
	for bb.Loop() {
		f.Seq++
		f.Timestamp += 960
		now = now.Add(20 * ms)
		b.Push(now, f)
		b.Pop(now, 0)
	}
}
