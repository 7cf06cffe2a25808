package sim

import (
	"slices"
	"time"

	"rotunda"
	"rotunda/cascade/relay"
	"rotunda/control/room"
	"rotunda/node/duty"
)

// This file is a model of package node's home and standby: when a program is written, by whom, and who stops. What a frame
// holds is only whose voice; who stands by and when a program has stopped is the product's (package duty).
const (
	// talkHold is for how long a speaker counts as talking after a frame: what the mixer's jitter buffer hides.
	talkHold = 60 * time.Millisecond
	// silenceEvery is how often a mixer writes a frame while nobody talks.
	silenceEvery = 400 * time.Millisecond
	// The rules of package node: how long an old home goes on beside the new one, how long one that stood still waits for a
	// sign of another, how long a new one writes no silence.
	afterMax = time.Second
	heldMax  = 300 * time.Millisecond
	hushMax  = 200 * time.Millisecond
	// claimWait is between two attempts to tell the log of a takeover.
	claimWait = 500 * time.Millisecond
)

// home is a room's mixer or, until it is active, its standby.
type home struct {
	id      rotunda.StreamID
	stream  *relay.Stream
	seq     rotunda.Seq
	mixing  bool // somebody takes the stream
	active  bool
	over    bool // somebody else is home
	ended   bool // it is taken out of the mesh
	watch   duty.Watch
	due     time.Duration // of the next frame; 0: the first
	held    time.Duration // nothing is written before; 0: not so
	hushed  time.Duration // no silence is written before
	wrote   time.Duration
	higher  time.Duration // since when the log has a higher epoch; 0: it has not
	talking map[rotunda.UserID]time.Duration
}

// clock is the node's clock as packages take it: it does not jump, whatever the wall clock does.
func (n *node) clock() time.Time { return start.Add(n.w.now) }

// mix makes this node the room's home or standby, or no more.
func (s *served) mix() {
	n, d := s.n, s.duties
	stream, mixes := d.Mixes()
	mixes = mixes && s.ready
	if n.w.cfg.broken.sameEpoch {
		stream.Epoch = d.Program.Epoch
	}
	if old := s.home; old != nil && (!mixes || old.id != stream) {
		s.home = nil
		s.retire(old)
	}
	if mixes && s.home == nil {
		h := &home{id: stream, stream: n.core.Publish(stream), talking: map[rotunda.UserID]time.Duration{}, active: d.Home}
		h.watch.Begin(n.clock())
		h.mixing = h.stream.Wanted() || n.w.cfg.broken.sameEpoch
		s.home = h
		s.tick(h)
	}
	if s.home != nil && d.Home {
		s.begin(s.home)
	}
}

// begin makes a standby the home, if it is not.
func (s *served) begin(h *home) (changed bool) {
	if h.active {
		return false
	}
	h.active, h.due, h.hushed = true, 0, s.n.w.now+hushMax
	return true
}

// retire ends a home that the log does not want any more; while its program is taken it goes on until the new one is heard.
func (s *served) retire(h *home) {
	n := s.n
	if !h.active || h.over || h.held > 0 || s.duties.Program.Epoch <= h.id.Epoch || !h.stream.Wanted() {
		s.end(h)
		return
	}
	s.retired = append(s.retired, h)
	life := n.life
	n.w.after(afterMax, func() {
		n.whenWell(func() {
			if n.life == life {
				s.end(h)
			}
		})
	})
}

// end takes a home out of the mesh.
func (s *served) end(h *home) {
	if h.ended || s.n.w.cfg.broken.homeStays {
		return
	}
	h.ended = true
	s.n.core.Unpublish(h.id)
	if i := slices.Index(s.retired, h); i >= 0 {
		s.retired = slices.Delete(s.retired, i, i+1)
		s.pull()
	}
}

// outdone is told that a program of that epoch is heard here: older ones stop.
func (s *served) outdone(epoch rotunda.Epoch) {
	if s.n.w.cfg.broken.homeStays {
		return
	}
	for _, h := range slices.Clone(s.retired) {
		if h.id.Epoch < epoch {
			s.end(h)
		}
	}
	if h := s.home; h != nil && h.active && h.id.Epoch < epoch {
		h.over = true
	}
}

// tick is the mixer's clock.
func (s *served) tick(h *home) {
	n, w := s.n, s.n.w
	life := n.life
	w.after(rotunda.FrameDuration, func() {
		if h.ended || n.life != life || !n.up {
			return
		}
		s.tick(h)
		if n.hung || !h.mixing {
			h.due = 0
			if n.hung && h.active {
				h.held = w.now + heldMax // it will have stood still
			}
			return
		}
		if !h.active && s.home == h && h.watch.Stopped(n.clock()) && s.duties.Watch != nil {
			s.begin(h)
			s.claim(h.id.Epoch)
		}
		if h.active && !h.over {
			s.write(h)
		}
	})
}

// write makes the frame that is due, if it is worth one.
func (s *served) write(h *home) {
	n, w := s.n, s.n.w
	if h.held > 0 {
		if w.now < h.held || s.state.Epoch > h.id.Epoch {
			return
		}
		h.held = 0
	}
	f := rotunda.Frame{
		Seq: h.seq + 1, Timestamp: uint32(w.now / rotunda.FrameDuration * rotunda.FrameTicks), Origin: rotunda.Micros(start.Add(w.now + n.skew)), Payload: payload,
	}
	for _, u := range sortedUsers(h.talking) {
		if w.now-h.talking[u] < talkHold {
			f.Sources.Add(s.state.SSRC(u))
		}
	}
	if f.Sources.Len() == 0 && (w.now < h.hushed || w.now-h.wrote < silenceEvery) {
		return
	}
	h.hushed, h.wrote = 0, w.now
	h.seq++
	w.checkHome(n, s.log.index, h)
	n.core.Keep(h.stream, &f)
	n.forward(h.stream, &packet{frame: f, room: s.log.index, from: n.index, sent: w.now, program: true}, 0)
}

// claim tells the log of a takeover, until it knows.
func (s *served) claim(epoch rotunda.Epoch) {
	n, w := s.n, s.n.w
	if s.taken != epoch {
		s.taken = epoch
		w.tell("%s takes over %s with epoch %d", n.id, s.log.id, epoch)
		s.reconcile()
	}
	w.command(n, s.log, room.Actor{System: true}, room.TakeHome{Node: n.id, Epoch: epoch}, func(ok bool) {
		switch {
		case n.served[s.log.index] != s || s.taken != epoch:
		case s.state.Epoch >= epoch || ok:
			s.taken = 0
			s.reconcile()
		default:
			life := n.life
			w.after(claimWait, func() {
				n.whenWell(func() {
					if n.life == life && s.taken == epoch {
						s.claim(epoch)
					}
				})
			})
		}
	})
}

// vouch tells the log of an epoch that is heard here and that nobody has by the log.
func (s *served) vouch() {
	n, w := s.n, s.n.w
	unknown := func() bool {
		return duty.Room{Live: s.state.Phase == room.Live, Epoch: s.state.Epoch, Next: s.state.Standby.Epoch}.Unknown(s.epoch)
	}
	if s.vouches || w.cfg.broken.unknown || !unknown() {
		return
	}
	s.vouches = true
	life := n.life
	w.after(duty.VouchAfter, func() {
		n.whenWell(func() {
			if n.life != life {
				return
			}
			s.vouches = false
			if unknown() {
				w.tell("%s vouches for epoch %d of %s", n.id, s.epoch, s.log.id)
				w.command(n, s.log, room.Actor{System: true}, room.TakeHome{Node: s.origin, Epoch: s.epoch}, func(bool) { s.vouch() })
			}
		})
	})
}

// standby has home name who shall stand by, where there is a better one.
func (s *served) standby() {
	n, w := s.n, s.n.w
	if s.state.Home != n.id || !s.ready {
		return
	}
	w.request(n, s.log.id, n.index, nil)
	c := duty.Choice{Room: s.log.id, Home: n.id, Now: s.state.Standby.Node, Members: s.state.Fence.Within(w.members)}
	if w.cfg.broken.anyStandby {
		c.Members = w.members
	}
	for _, p := range s.state.Stage() {
		if p.Live {
			c.Speak = append(c.Speak, p.Node)
		}
		c.Attend = append(c.Attend, p.Nodes...)
	}
	if id := duty.Choose(c); id != s.state.Standby.Node {
		w.command(n, s.log, room.Actor{System: true}, room.StandBy{Node: id, By: n.id}, nil)
	}
}
