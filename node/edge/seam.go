package edge

import (
	"bytes"
	"time"

	"rotunda"
)

const (
	// seamWait is how long a new session's frames are compared with the old one's before they are placed by their times.
	seamWait = 250 * time.Millisecond
	// seamHeld bounds the frames of a new session that wait meanwhile, and those of the old one that they are compared with: 320 ms.
	seamHeld = 16
	// seamStall is how long an old session may bring nothing while the new one waits for it.
	seamStall = 3 * rotunda.FrameDuration
	// seamForget is how long nothing may have come for the next session to begin afresh: longer than a silent sender's 400 ms.
	seamForget = 600 * time.Millisecond
	// clocksMax is by how much two origins' clocks may seem to differ; beyond it the times of arrival are gone by.
	clocksMax = 250 * time.Millisecond
	// speakingMin is how long a packet is that is worth comparing, in bytes: those of silence are all alike.
	speakingMin = 8
)

// Seam lets the frames of one speaker's sessions, one after another, count as one stream. Somebody who changes over to another
// node sends to both for a while: the old session's frames are passed on until the new one's are known to go on where they
// end. A sender that gives both sessions the same packets is matched by them, frame for frame. Others are matched by when the
// sound entered the mesh, to within half a frame. Nothing is passed twice, and frames of the old session that overlap the new
// one's are dropped.
//
// It is pure and not safe for concurrent use. Frame allocates nothing while one session is heard.
type Seam struct {
	// Pass gets each frame of the one stream, valid until it returns; Fresh is called before the first frame of a session that
	// cannot be joined to what was heard before; Joined when a session's frames have taken the place of another's. They must
	// not call back. Joined may be nil.
	Pass   func(*rotunda.Frame)
	Fresh  func()
	Joined func()

	cur, old source
	from     rotunda.Seq // the first number of cur since it took old's place
	any      bool
	newest   mark // of what was passed, numbered as it was passed
	step     uint32
	out      rotunda.Frame

	next  rotunda.Epoch // expected; 0: none
	since time.Time     // when its first frame came; zero: none has
	wait  []sample      // its frames
	past  []sample      // of cur since next was expected, numbered as they were passed
}

// source is one session and what is added to the numbers of its frames.
type source struct {
	epoch rotunda.Epoch
	seq   rotunda.Seq
	ts    uint32
}

// mark is one frame without its payload.
type mark struct {
	seq    rotunda.Seq
	ts     uint32
	origin int64
	at     time.Time
}

type sample struct {
	mark
	level   uint8
	payload []byte
}

// Expect says that the session of that epoch is to take the place of the present one. Where there is none, it is the first.
func (s *Seam) Expect(epoch rotunda.Epoch) {
	switch {
	case s.cur.epoch == 0:
		s.cur.epoch = epoch
	case epoch > s.cur.epoch && epoch > s.next:
		s.next, s.since, s.wait, s.past = epoch, time.Time{}, nil, nil
	}
}

// Frame takes a frame of the session of that epoch, which arrived now.
func (s *Seam) Frame(now time.Time, epoch rotunda.Epoch, f *rotunda.Frame) {
	switch {
	case epoch == s.cur.epoch && s.before(f, s.cur): // the old session had it
	case epoch == s.cur.epoch:
		s.pass(now, f)
		if s.next != 0 {
			s.past = keep(s.past, sample{mark: s.newest, payload: bytes.Clone(f.Payload)})
			s.join(now)
		}
	case epoch == s.next:
		if s.since.IsZero() {
			s.since = now
		}
		s.wait = keep(s.wait, sample{mark{f.Seq, f.Timestamp, f.Origin, now}, f.Level, bytes.Clone(f.Payload)})
		s.join(now)
	case epoch == s.old.epoch && s.before(f, s.old): // overtaken
		s.emit(f, s.old)
	}
}

// before reports whether a frame belongs before the first one of the present session.
func (s *Seam) before(f *rotunda.Frame, by source) bool { return int64(f.Seq+by.seq-s.from) < 0 }

// keep appends to a list of seamHeld at most: the oldest goes.
func keep(list []sample, h sample) []sample {
	if len(list) == seamHeld {
		list = append(list[:0], list[1:]...)
	}
	return append(list, h)
}

// emit passes a frame on as one of the stream.
func (s *Seam) emit(f *rotunda.Frame, by source) {
	s.out = *f
	s.out.Seq += by.seq
	s.out.Timestamp += by.ts
	s.Pass(&s.out)
}

// pass emits a frame of the present session.
func (s *Seam) pass(now time.Time, f *rotunda.Frame) {
	m := mark{f.Seq + s.cur.seq, f.Timestamp + s.cur.ts, f.Origin, now}
	if !s.any || m.seq > s.newest.seq {
		if step := m.ts - s.newest.ts; s.any && m.seq == s.newest.seq+1 && step <= 3*rotunda.FrameTicks && step%rotunda.FrameTicks == 0 {
			s.step = step
		}
		s.newest, s.any = m, true
	}
	s.emit(f, s.cur)
}

// join lets the next session take the place of the present one, if that can be done now.
func (s *Seam) join(now time.Time) {
	if len(s.wait) == 0 {
		return
	}
	quiet := now.Sub(s.newest.at)
	if !s.any || quiet > seamForget {
		s.begin(now)
		return
	}
	if by, ok := s.matched(); ok {
		s.turn(now, by, 0)
		return
	}
	if now.Sub(s.since) < seamWait && quiet < seamStall {
		return
	}
	shift, step := s.byTime(), max(s.step, rotunda.FrameTicks)
	for i, h := range s.wait {
		late := int32(h.ts + shift - s.newest.ts - step) // behind where the present session's next frame would be
		switch {
		case late < -rotunda.FrameTicks/2: // it has been said
			continue
		case late > rotunda.FrameTicks/2 && i == 0 && quiet < seamStall && len(s.wait) < seamHeld:
			return // the old session has what comes before
		case late <= rotunda.FrameTicks/2:
			shift -= uint32(late)
		}
		s.turn(now, source{s.next, s.newest.seq + 1 - h.seq, shift}, i)
		return
	}
}

// begin starts with the next session as if nothing had been heard.
func (s *Seam) begin(now time.Time) {
	s.Fresh()
	s.any = false
	s.turn(now, source{epoch: s.next}, 0)
	s.old, s.from = source{}, 0
}

// turn goes over to the next session, from the i-th of the frames that wait. Those that were passed already are left out.
func (s *Seam) turn(now time.Time, to source, i int) {
	wait := s.wait[i:]
	s.old, s.cur = s.cur, to
	s.next, s.since, s.wait, s.past = 0, time.Time{}, nil, nil
	s.from = wait[0].seq + to.seq
	if s.any {
		s.from = max(s.from, s.newest.seq+1)
	}
	for _, h := range wait {
		if f := (rotunda.Frame{Seq: h.seq, Timestamp: h.ts, Origin: h.origin, Level: h.level, Payload: h.payload}); !s.before(&f, to) {
			s.pass(now, &f)
		}
	}
	if s.Joined != nil {
		s.Joined()
	}
}

// matched finds two packets in a row that both sessions have had, and what the new one's numbers are to be moved by. A steady
// sound may have the same packets again and again: of several places the one that fits the times best counts.
func (s *Seam) matched() (by source, ok bool) {
	best := int32(0)
	shift := s.byTime()
	for i := 1; i < len(s.wait); i++ {
		b, a := s.wait[i], s.wait[i-1]
		if b.seq != a.seq+1 || len(a.payload) < speakingMin || bytes.Equal(a.payload, b.payload) {
			continue
		}
		for j := 1; j < len(s.past); j++ {
			y, x := s.past[j], s.past[j-1]
			if y.seq != x.seq+1 || y.ts-x.ts != b.ts-a.ts || !bytes.Equal(y.payload, b.payload) || !bytes.Equal(x.payload, a.payload) {
				continue
			}
			off := int32(y.ts - b.ts - shift)
			if off < 0 {
				off = -off
			}
			if !ok || off < best {
				by, best, ok = source{s.next, y.seq - b.seq, y.ts - b.ts}, off, true
			}
		}
	}
	return by, ok
}

// byTime is what makes the new session's timestamps the stream's, by when the sound entered the mesh, or where the two
// origins' clocks differ by too much, by when it arrived here. Of each session the quickest frame counts.
func (s *Seam) byTime() uint32 {
	olds := s.past
	if len(olds) == 0 {
		olds = []sample{{mark: s.newest}}
	}
	o, n := olds[len(olds)-1].ts, s.wait[0].ts
	entered := quickest(s.wait, n, entering) - quickest(olds, o, entering)
	arrived := quickest(s.wait, n, arriving) - quickest(olds, o, arriving)
	if d := entered - arrived; d > clocksMax || d < -clocksMax {
		entered = arrived
	}
	return o + uint32(int32(entered*rotunda.ClockRate/time.Second)) - n
}

func entering(m mark) time.Duration { return time.Duration(m.origin) * time.Microsecond }

func arriving(m mark) time.Duration { return time.Duration(m.at.UnixNano()) }

// quickest is when the sound of the timestamp ts came at the earliest.
func quickest(list []sample, ts uint32, when func(mark) time.Duration) (least time.Duration) {
	for i, h := range list {
		at := when(h.mark) - time.Duration(int32(h.ts-ts))*time.Second/rotunda.ClockRate
		if i == 0 || at < least {
			least = at
		}
	}
	return least
}
