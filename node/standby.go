package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"rotunda"
	"rotunda/control"
	"rotunda/control/room"
	"rotunda/node/duty"
)

const (
	// watchEvery is how often a standby looks whether home's program still comes.
	watchEvery = 25 * time.Millisecond
	// afterMax is how long an old program is kept beside the new one, until that is heard.
	afterMax = time.Second
	// heldMax is how long a home that stood still waits for a sign of another one, where the log does not answer.
	heldMax = 300 * time.Millisecond
	// hushMax is how long a new home writes nothing while nobody speaks: its first frames are made before the speakers' have
	// come, and the old home's, if there is one, hold them.
	hushMax = 200 * time.Millisecond
	// claimWait is between two attempts to tell the log of a takeover.
	claimWait, claimWaitMax = 100 * time.Millisecond, 2 * time.Second
	// vouchWaitMax is the longest wait between two attempts to tell the log of somebody else's takeover.
	vouchWaitMax = 8 * time.Second
)

// pullOther watches the other one's stream: a standby home's, and a home that stood still the standby's. Called with h.mu held.
func (h *home) pullOther() {
	want := h.other
	if active := h.active.Load(); !h.mixing || active && (!h.holding() || want != nil && want.Stream.Epoch < h.stream.Epoch) {
		want = nil
	}
	old := h.watching
	if old != nil && want != nil && old.Pull == *want {
		return
	}
	h.watching = nil
	if old != nil {
		old.sub.Close()
	}
	if want == nil {
		return
	}
	h.mixMu.Lock()
	h.watch.Begin(time.Now())
	h.mixMu.Unlock()
	sink := h.homesFrame
	if h.active.Load() {
		sink = h.standbysFrame
	}
	sub, err := h.mesh.Subscribe(want.Stream, want.Origin, sink, h.pulls.ways...)
	if err != nil {
		h.logger.Error("the other home of a room cannot be watched", "stream", want.Stream.String(), "origin", want.Origin, "error", err)
		return
	}
	sub.OnPath(func(working bool) {
		h.mixMu.Lock()
		defer h.mixMu.Unlock()
		h.watch.Path(working)
	})
	h.watching = &pulled{Pull: *want, sub: sub}
}

// homesFrame is the sink of the stream that a standby watches.
func (h *home) homesFrame(f *rotunda.Frame) {
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	h.watch.Frame(time.Now(), f.Sources.Len() > 0)
}

// standbysFrame is the sink of the stream that a home watches: whoever writes it has taken over.
func (h *home) standbysFrame(*rotunda.Frame) { h.yield() }

func (h *home) holding() bool {
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	return !h.held.IsZero()
}

// begin makes a standby the home, if it is not.
func (h *home) begin() {
	if !h.activate(time.Now()) {
		return
	}
	select {
	case h.begun <- struct{}{}:
	default:
	}
}

func (h *home) activate(now time.Time) (changed bool) {
	h.mixMu.Lock()
	changed = !h.active.Swap(true)
	if changed {
		h.mixer.Pause()
		h.due, h.heard = time.Time{}, now.Add(hushMax)
	}
	h.mixMu.Unlock()
	if changed {
		h.mu.Lock()
		h.pullOther()
		h.mu.Unlock()
	}
	return changed
}

// stopped reports whether the program that this standby watches comes no more.
func (h *home) stopped(now time.Time) bool {
	h.mu.Lock()
	watching := h.watching != nil
	h.mu.Unlock()
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	return watching && h.watch.Stopped(now)
}

// step does what is due and returns when to come again. It is called by run alone.
func (h *home) step(now time.Time) (next time.Time) {
	if !h.active.Load() {
		if !h.stopped(now) {
			return now.Add(watchEvery)
		}
		if h.activate(now) {
			h.took()
		}
	}
	switch held, changed := h.hold(now); {
	case changed:
		h.mu.Lock()
		h.pullOther()
		h.mu.Unlock()
		if held {
			h.doubt(h)
		}
		return now
	case held:
		return now.Add(rotunda.FrameDuration)
	}
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	h.due = h.tick()
	return h.due
}

// hold reports whether nothing may be written now, and whether that is new. This process may have stood still, and somebody
// else may be home meanwhile: first it has to hear from the log or, for a while, nothing from the standby. What had come before
// is dropped.
func (h *home) hold(now time.Time) (held, changed bool) {
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	switch {
	case h.over:
		return true, false
	case !h.held.IsZero() && now.Before(h.held):
		return true, false
	case !h.held.IsZero():
		h.held, h.due = time.Time{}, time.Time{}
		h.mixer.Pause()
		return false, true
	case !h.due.IsZero() && now.Sub(h.due) > duty.StallMax:
		h.held = now.Add(heldMax)
		return true, true
	}
	return false, false
}

// trust ends hold: the log says that this is home still.
func (h *home) trust() {
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	if !h.held.IsZero() {
		h.held = time.Now()
	}
}

// yield ends the writing: somebody else is home.
func (h *home) yield() {
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	h.over = true
}

func (h *home) yielded() bool {
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	return h.over || !h.held.IsZero()
}

// worth reports whether a frame is to be written. Called with mixMu held.
func (h *home) worth(now time.Time, f *rotunda.Frame) bool {
	if h.over {
		return false
	}
	if f.Sources.Len() == 0 && now.Before(h.heard) {
		return false
	}
	h.heard = time.Time{}
	return true
}

// outdone is told, on the media path, that listeners here hear a program of that epoch.
func (r *roomServer) outdone(epoch rotunda.Epoch) {
	r.bg.start(func(context.Context) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.home != nil && r.home.active.Load() && r.home.stream.Epoch < epoch {
			r.logger.Info("somebody else is home of the room", "room", r.id, "epoch", epoch)
			r.home.yield()
		}
		r.vouch()
	})
}

// vouch tells the log of an epoch that is heard here and that nobody has by the log, in case that whose it is cannot any more.
// Called with r.mu held.
func (r *roomServer) vouch() {
	if r.vouches || !r.unknown() {
		return
	}
	r.vouches = r.bg.start(func(ctx context.Context) {
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.vouches = false
		}()
		for wait := duty.VouchAfter + rand.N(duty.VouchSpread); ; wait = min(2*wait, vouchWaitMax) {
			select {
			case <-ctx.Done():
				return
			case <-r.stop:
				return
			case <-time.After(wait):
			}
			r.mu.Lock()
			unknown := r.unknown()
			r.mu.Unlock()
			if !unknown {
				return
			}
			epoch, origin := r.audience.last()
			r.logger.Warn("a program is heard that the log does not know of", "room", r.id, "home", origin, "epoch", epoch)
			_, err := r.control.Do(ctx, r.id, room.Actor{System: true}, room.TakeHome{Node: origin, Epoch: epoch})
			if errors.Is(err, room.ErrConflict) || errors.Is(err, control.ErrUnknownRoom) {
				return
			}
		}
	})
}

// unknown reports whether what is heard here is unknown to the log, as far as that has been read. Called with r.mu held.
func (r *roomServer) unknown() bool {
	epoch, _ := r.audience.last()
	return r.state != nil && audible(r.state).Unknown(epoch)
}

// retire ends a home that the log does not want any more. While its program is taken it goes on until the new one is heard.
// Called with r.mu held.
func (r *roomServer) retire(h *home, d duty.Duties) {
	next := duty.Pull{Stream: d.Program, Origin: r.state.Home}
	lingers := d.Program != rotunda.StreamID{} && d.Program.Epoch > h.stream.Epoch && h.active.Load() && h.pub.Wanted() && !h.yielded()
	if !lingers || !r.bg.start(func(ctx context.Context) {
		defer h.close()
		r.listenFor(ctx, next, afterMax)
	}) {
		h.close()
	}
}

// listenFor waits for a frame of a stream, at most for a while.
func (r *roomServer) listenFor(ctx context.Context, p duty.Pull, atMost time.Duration) {
	heard := make(chan struct{}, 1)
	sub, err := r.mesh.Subscribe(p.Stream, p.Origin, func(*rotunda.Frame) {
		select {
		case heard <- struct{}{}:
		default:
		}
	}, r.ways...)
	if err != nil {
		return // the mesh is full: nobody hears the new home here either
	}
	defer sub.Close()
	select {
	case <-heard:
	case <-time.After(atMost):
	case <-r.stop:
	case <-ctx.Done():
	}
}

// doubt asks the log whether h is home still.
func (r *roomServer) doubt(h *home) {
	r.bg.start(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, afterMax)
		defer cancel()
		s, err := r.control.Newest(ctx, r.id)
		switch {
		case err != nil: // the log is away: heldMax
		case s.Epoch <= h.stream.Epoch: // lower: the log does not know yet that this node has taken over
			h.trust()
		default:
			r.logger.Info("somebody else is home of the room", "room", r.id, "home", s.Home, "epoch", s.Epoch)
			h.yield()
		}
	})
}

// claim is told that this node's standby has begun to mix with epoch. It tells the log, until that has an epoch as high.
func (r *roomServer) claim(epoch rotunda.Epoch) {
	r.bg.start(func(ctx context.Context) {
		defer r.keep()()
		r.mu.Lock()
		r.taken = epoch
		r.mu.Unlock()
		r.logger.Warn("home is silent: this node takes over", "room", r.id, "epoch", epoch)
		for wait := claimWait; ; wait = min(2*wait, claimWaitMax) {
			s, err := r.control.Do(ctx, r.id, room.Actor{System: true}, room.TakeHome{Node: r.node, Epoch: epoch})
			if err == nil && s.Epoch >= epoch || errors.Is(err, room.ErrConflict) || errors.Is(err, control.ErrUnknownRoom) {
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.taken == epoch {
			r.taken = 0
		}
		if r.state != nil {
			r.reconcile()
		}
	})
}

// standbyNews is the command that names another standby, if this node is home and there is a better one.
func (r *roomServer) standbyNews(members []rotunda.Member) (cmd room.StandBy, needed bool) {
	if r.state.Home != r.node {
		return cmd, false
	}
	c := duty.Choice{Room: r.id, Home: r.node, Now: r.state.Standby.Node, Members: r.state.Fence.Within(members)}
	for _, p := range r.state.Stage() {
		if p.Live {
			c.Speak = append(c.Speak, p.Node)
		}
		c.Attend = append(c.Attend, p.Nodes...)
	}
	cmd = room.StandBy{Node: duty.Choose(c), By: r.node}
	return cmd, cmd.Node != r.state.Standby.Node
}

// handOver gives the rooms that are mixed here to those who stand by, until ctx ends. A room without a standby keeps its home.
func (rs *rooms) handOver(ctx context.Context) {
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for {
		for _, id := range rs.homeOf() {
			_, err := rs.control.Do(ctx, id, room.Actor{System: true}, room.HandOver{By: rs.node})
			if err != nil && ctx.Err() == nil {
				rs.logger.Debug("a room is not handed over yet", "room", id, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// homeOf lists the rooms whose program is made on this node.
func (rs *rooms) homeOf() []rotunda.RoomID {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var list []rotunda.RoomID
	for id, home := range rs.homes {
		if home {
			list = append(list, id)
		}
	}
	return list
}
