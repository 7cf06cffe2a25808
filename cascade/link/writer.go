package link

import (
	"context"
	"slices"
	"time"

	"rotunda/cascade/wire"
	"rotunda/metrics"
)

const (
	// measureEvery is how often a link looks at what it loses.
	measureEvery = 100 * time.Millisecond
	// lookEvery is how often it asks its connections at most.
	lookEvery = time.Millisecond
	// fullFor is after what time a writer that was held back looks again.
	fullFor = 2 * time.Millisecond
	// bundleFor is the least time between two datagrams that are not full, where the link loses packets and is short of
	// congestion window.
	bundleFor = 5 * time.Millisecond
	// blockedMin is from when SendDatagram counts as having waited.
	blockedMin = time.Millisecond
)

// writer is the one sender of a link's datagrams, owned by its goroutine.
type writer struct {
	l                          *Link
	datagrams, frames, repeats *metrics.Counter
	repeated                   *metrics.Counter // octets
	asked, answered            *metrics.Counter // frames that were missing here, and at the peer

	buf      []byte
	last     time.Time // when a datagram left
	sent     uint64    // datagrams
	fresh    int       // frames since measured, copies apart
	many     bool      // there were at least two in bundleFor then
	looked   time.Time
	measured time.Time
	loss     loss
	lanes    lanes
}

// writeFrames sends frames as they come, and those that went before again when the link loses some. When QUIC's congestion
// window is full, first the copies are left out; then frames wait in the ring, and those that are late are lost.
func (l *Link) writeFrames(ctx context.Context) error {
	m := l.e.cfg.Metrics
	w := writer{
		l: l, datagrams: m.CascadeDatagrams.With("out"), frames: m.CascadeFrames.With("out"),
		asked: m.CascadeRerequested.With("out"), answered: m.CascadeRerequested.With("in"),
		repeats: m.CascadeRepeatedFrames, repeated: m.CascadeRepeatedBytes, buf: make([]byte, 0, wire.DatagramMax),
	}
	w.lanes.open = m.CascadeLanes.With("out")
	w.lanes.add(time.Now(), l.conn)
	defer w.lanes.close()
	quick := false
	tick := time.NewTicker(every(quick))
	defer tick.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if q := l.quick(); q != quick {
				quick = q
				tick.Reset(every(quick))
			}
			now := time.Now()
			w.look(now)
			w.lanes.shrink(now)
			pause := fresh
			if quick {
				pause = quickFresh
			}
			if now.Sub(w.last) >= pause || l.unheard.Load() > 0 {
				err = w.send(now, l.heartbeat(w.buf))
			}
		case conn := <-l.grown:
			w.lanes.dialled(time.Now(), conn)
			err = w.flush(true)
		case <-l.questions.wake:
			b, n := l.questions.take(w.buf)
			w.asked.Add(float64(n))
			err = w.send(time.Now(), b)
		case <-due.C:
			err = w.flush(true)
		case <-l.ring.wake:
			err = w.flush(false)
		}
		if err != nil {
			return err
		}
		if next := w.next(); !next.IsZero() {
			due.Reset(time.Until(next))
		}
	}
}

// flush sends the frames that wait, with copies of others where there is room; with alone, copies by themselves too.
func (w *writer) flush(alone bool) error {
	if !alone && !w.l.ring.asked() && w.gathers(time.Now()) {
		return nil
	}
	for {
		now := time.Now()
		w.look(now)
		if w.lanes.best().budget.full() {
			w.press(now)
			return nil
		}
		b, n := w.l.ring.fill(now, wire.AppendFramesHeader(w.buf), wire.DatagramMax)
		if n == 0 && !alone && !w.l.ring.asked() {
			return nil
		}
		answered, m, first := 0, 0, len(b)
		if w.lanes.repeats() {
			b, answered = w.l.ring.answer(b, wire.DatagramMax)
			first = len(b)
			b, m = w.l.ring.again(now, b, wire.DatagramMax, w.windows())
		}
		if w.loss.copies > 0 && w.lanes.strained() {
			w.press(now)
		}
		if n+answered+m == 0 {
			return nil
		}
		if err := w.send(now, b); err != nil {
			return err // DatagramMax fits any path, so it is never the size
		}
		w.fresh += n
		w.frames.Add(float64(n))
		w.answered.Add(float64(answered))
		w.repeats.Add(float64(m))
		w.repeated.Add(float64(len(b) - first))
	}
}

// gathers reports whether frames should wait for others to share their datagram.
func (w *writer) gathers(now time.Time) bool {
	return w.bundles() && now.Sub(w.last) < bundleFor && !w.l.ring.fills(wire.DatagramMax-1)
}

// bundles reports whether packets are dear, since each that is lost makes a congestion window smaller, whatever its size,
// and frames so many that some share one if they wait for each other.
func (w *writer) bundles() bool { return w.loss.copies > 0 && len(w.lanes.all) > 1 && w.many }

// send gives a datagram to the lane that takes most. SendDatagram waits while QUIC holds all the datagrams it can.
func (w *writer) send(now time.Time, b []byte) error {
	lane := w.lanes.best()
	for {
		err := lane.conn.SendDatagram(b)
		if err == nil {
			break
		}
		i := slices.Index(w.lanes.all, lane)
		if i == 0 {
			return err
		}
		w.lanes.remove(i)
		lane = w.lanes.best()
	}
	w.last = time.Now()
	lane.last = w.last
	lane.budget.spend(len(b), w.last.Sub(now) >= blockedMin)
	w.sent++
	w.datagrams.Inc()
	return nil
}

// look takes the connections' measures.
func (w *writer) look(now time.Time) {
	if now.Sub(w.looked) < lookEvery {
		return
	}
	w.looked = now
	lost := w.lanes.look(now)
	if passed := now.Sub(w.measured); passed >= measureEvery {
		w.many = time.Duration(w.fresh)*bundleFor >= 2*passed
		w.measured, w.fresh = now, 0
		// Not with QUIC's count of packets: that has acknowledgements in it, whose loss nobody notices.
		w.loss.sample(now, w.sent, lost)
	}
}

// next is when there is something to do that nobody wakes the writer for; zero when there is nothing.
func (w *writer) next() time.Time {
	now := time.Now()
	at := w.l.ring.due(w.windows())
	earliest := now
	switch {
	case w.lanes.best().budget.full():
		return now.Add(fullFor)
	case !w.lanes.repeats():
		earliest = now.Add(fullFor)
	case w.bundles():
		earliest = w.last.Add(bundleFor)
	}
	if w.bundles() && w.l.ring.waits() {
		at = w.last.Add(bundleFor)
	}
	if !at.IsZero() && at.Before(earliest) {
		at = earliest
	}
	return at
}

// windows says when the frames go again at present.
func (w *writer) windows() []window {
	if w.l.e.plain {
		return nil
	}
	return copyWindows[w.loss.copies]
}
