package relay

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"rotunda"
	"rotunda/cascade/wire"
)

const (
	// historySize is how many frames of a stream a node keeps to send them once more: a second, three times what passes
	// until a dead neighbour is noticed and its way replaced.
	historySize = 50
	// historyAge is how much older than the newest they may be, by the origin's clock: after a pause the frames before it
	// are of no use.
	historyAge = 2 * time.Second
	// historyPayload is what a slot can hold at first: the usual frame.
	historyPayload = 120
	// HistoriesMax is of how many streams a node keeps frames, at 12 KB each; the others lose some when a way breaks that
	// is their only one.
	HistoriesMax = 8192
	// idleMax is for how many calls of Tidy a stream that nobody takes keeps its frames: its taker may be on the way back.
	idleMax = 3
	// quietMax is for how many calls of Tidy an old pull goes on beside one that was asked for and has brought nothing: a node
	// that cannot serve it would have said so by now, so nobody speaks. A standby's stream is silent for as long as its home
	// lives, and a node that is being drained would never be let go of.
	quietMax = 3
)

// history is the newest frames of a stream.
type history struct {
	frames [historySize]rotunda.Frame
	n      int // how many there are
	next   int // where the next one goes
}

// Keep notes a frame of a stream that this node publishes, for who asks for it once more; frames that arrive are noted by
// Arrive. It allocates when the stream's first frame passes and nothing afterwards.
func (c *Core) Keep(s *Stream, f *rotunda.Frame) {
	if s.history == nil {
		if c.kept >= HistoriesMax || !s.Wanted() || s.Key.Origin == c.self && len(s.outs) == 0 {
			return
		}
		c.kept++
		s.history = &history{}
		block := make([]byte, historySize*historyPayload)
		for i := range s.history.frames {
			s.history.frames[i].Payload = block[i*historyPayload : i*historyPayload : (i+1)*historyPayload]
		}
	}
	h := s.history
	slot := &h.frames[h.next]
	payload := append(slot.Payload[:0], f.Payload...)
	*slot = *f
	slot.Payload = payload
	h.next = (h.next + 1) % historySize
	h.n = min(h.n+1, historySize)
}

// From lists the frames of k from number seq on, oldest first, or where there are none the newest: that they come says that
// the way works. They are valid until the next call to the Core.
func (c *Core) From(k Key, seq rotunda.Seq) iter.Seq[*rotunda.Frame] {
	return func(yield func(*rotunda.Frame) bool) {
		s := c.streams[k]
		if s == nil || s.history == nil || s.silenced {
			return
		}
		h := s.history
		newest := h.newest()
		seq := min(seq, newest.Seq)
		for i := range h.n {
			f := &h.frames[(h.next+historySize-h.n+i)%historySize]
			if f.Seq < seq || newest.Origin-f.Origin > historyAge.Microseconds() {
				continue
			}
			if !yield(f) {
				return
			}
		}
	}
}

// newest is the frame of the highest number; they may have come in any order.
func (h *history) newest() *rotunda.Frame {
	newest := &h.frames[0]
	for i := range h.n {
		if h.frames[i].Seq > newest.Seq {
			newest = &h.frames[i]
		}
	}
	return newest
}

// remembers reports whether the frames after number seq are all there that have passed here or before.
func (s *Stream) remembers(seq rotunda.Seq) bool {
	if s.history == nil {
		return false
	}
	for i := range s.history.n {
		if s.history.frames[i].Seq <= seq+1 {
			return true
		}
	}
	return false
}

// Tidy lets go of what has waited for too long: frames that nobody has asked for in a while, and old pulls whose successor
// was asked for and is not proven, since nothing is said in the stream. It is called once a second.
func (c *Core) Tidy() []Action {
	for _, s := range c.streams {
		if s.history == nil || s.Wanted() {
			s.idle = 0
		} else if s.idle++; s.idle >= idleMax {
			c.forgetHistory(s)
		}
		for _, u := range s.ups {
			if u.old == nil || u.in.Port == 0 || c.suspect[u.in.Port] {
				u.waited = 0
			} else if u.waited++; u.waited > quietMax {
				c.release(u.old)
				u.old, u.waited = nil, 0
			}
		}
	}
	slices.SortFunc(c.actions, func(a, b Action) int { // whatever the map's order was
		return cmp.Compare(a.Message.(wire.Unsubscribe).Alias, b.Message.(wire.Unsubscribe).Alias)
	})
	return c.take()
}

func (c *Core) forgetHistory(s *Stream) {
	if s.history != nil {
		s.history = nil
		c.kept--
	}
}
