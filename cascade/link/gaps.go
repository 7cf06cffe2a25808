package link

import (
	"sync"
	"time"

	"rotunda"
	"rotunda/cascade/wire"
)

const (
	// askWithin is the longest round trip at which it is worth asking for a frame: that one is missing is seen 20 ms after
	// its time, when the next one comes, and 40 ms later a copy is still of use.
	askWithin = 40 * time.Millisecond
	// gapsStreams is for how many streams of a link gaps are watched; of those that meet in one place, the last heard is.
	gapsStreams = 256
	// gapAge is how many frames behind the newest one are asked for.
	gapAge = 2
	// askShare is how many frames are asked for at most, for each that comes.
	askShare = .25
)

// missed is a frame that has not come.
type missed struct {
	alias wire.Alias
	seq   rotunda.Seq
}

// gaps finds the frames that are missing and have not been asked for. It is a pure core of constant size; the zero value is
// ready.
type gaps struct {
	streams [gapsStreams]struct {
		missed        // the newest
		seen   uint64 // bit i: the frame i before it has come, or has been asked for
		look   bool   // there may be gaps
	}
	looks  [gapsStreams]uint8 // where that is so
	n      int
	credit float64
	out    [wire.MissingMax]missed
}

// frame says that a frame has come.
func (g *gaps) frame(a wire.Alias, seq rotunda.Seq) {
	g.credit = min(g.credit+askShare, wire.MissingMax)
	i := uint8(a % gapsStreams)
	s := &g.streams[i]
	switch {
	case s.alias != a || seq > s.seq+63 || seq+63 < s.seq: // or its numbers begin anew
		s.missed, s.seen = missed{a, seq}, ^uint64(0)
	case seq <= s.seq:
		s.seen |= 1 << (s.seq - seq)
	default:
		s.seen, s.seq = s.seen<<(seq-s.seq)|1, seq
		if !s.look {
			s.look, g.looks[g.n] = true, i
			g.n++
		}
	}
}

// missing returns what to ask for, at the end of a datagram: its copies may have filled what its frames have shown. It is
// valid until the next call.
func (g *gaps) missing() []missed {
	out := g.out[:0]
	for _, i := range g.looks[:g.n] {
		s := &g.streams[i]
		s.look = false
		for k := rotunda.Seq(1); k <= gapAge; k++ {
			if s.seen>>k&1 == 0 && g.credit >= 1 && len(out) < cap(out) {
				g.credit--
				s.seen |= 1 << k
				out = append(out, missed{s.alias, s.seq - k})
			}
		}
	}
	g.n = 0
	return out
}

// questions are the frames that the writer is to ask for.
type questions struct {
	wake chan struct{} // capacity 1; a token when there are some. Never closed

	mu   sync.Mutex // guards what follows
	list [wire.MissingMax]missed
	n    int
}

// put adds to them; what is beyond a datagram is left to the copies.
func (q *questions) put(list []missed) {
	q.mu.Lock()
	q.n += copy(q.list[q.n:], list)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take appends a datagram with all of them to b and returns how many they are.
func (q *questions) take(b []byte) (_ []byte, n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b = wire.AppendMissingHeader(b)
	for _, m := range q.list[:q.n] {
		b = wire.AppendMissing(b, m.alias, m.seq)
	}
	n, q.n = q.n, 0
	return b, n
}

// asksFor reports whether a peer of that revision may be asked for frames, and would answer in time; rtt is 0 when unknown.
func asksFor(revision uint32, rtt time.Duration) bool {
	return revision >= wire.SinceMissing && rtt > 0 && rtt <= askWithin
}

// hearFrames reads the frames of a datagram.
func (l *Link) hearFrames(b []byte, f *rotunda.Frame, h Handler) (n int, err error) {
	l.frame.Lock()
	for err == nil && len(b) > 0 {
		var a wire.Alias
		if a, b, err = wire.ParseFrame(b, f); err == nil {
			n++
			l.gaps.frame(a, f.Seq)
			h.Frame(a, f)
		}
	}
	if list := l.gaps.missing(); len(list) > 0 && !l.e.plain && asksFor(l.revision.Load(), l.RTT()) {
		l.questions.put(list)
	}
	l.frame.Unlock()
	return n, err
}

// hearMissing has the frames go again that a datagram asks for.
func (l *Link) hearMissing(b []byte) error {
	now := time.Now()
	for n := 0; len(b) > 0; n++ {
		a, seq, rest, err := wire.ParseMissing(b)
		if err == nil && n == wire.MissingMax {
			err = wire.ErrMalformed
		}
		if err != nil {
			return err
		}
		b = rest
		l.ring.ask(now, missed{a, seq})
	}
	return nil
}
