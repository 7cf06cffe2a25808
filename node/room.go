package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"rotunda"
	"rotunda/cascade"
	"rotunda/control"
	"rotunda/control/room"
	"rotunda/metrics"
	"rotunda/node/duty"
)

// roomServer is this node's part in one room. It follows the room's log, holds the sessions that people have here, and
// after every change of either does what package duty says: opens and shuts gates, pulls streams and lets go of them,
// mixes or stops mixing.
//
// Locks: mu serialises decisions and is never taken by the media path, whose functions (mic.packet, audience.frame,
// audience.voice, home) have locks of their own.
type roomServer struct {
	id      rotunda.RoomID
	node    rotunda.NodeID
	control *control.Control
	mesh    *cascade.Mesh
	bg      *background
	metrics *metrics.Set
	logger  *slog.Logger

	audience *audience
	crowd    *crowd
	enforced *enforcement
	known    chan struct{} // closed when state is there or gone is set

	mu     sync.Mutex // guards what follows
	state  *room.State
	gone   error // the room cannot be followed: it does not exist
	mics   map[rotunda.UserID]*mic
	listen *pulled                     // the program, for the listeners here; nil where nobody listens
	stage  pulls                       // the other speakers, for the speakers here
	home   *home                       // nil where this node does not mix
	voices map[rotunda.UserID]struct{} // who had a microphone session since this node follows the room
	silent []rotunda.UserID            // those of them whom this node does not carry now

	refs int           // guarded by rooms.mu
	stop chan struct{} // closed when refs is back at 0
}

// run follows the room until nobody holds it or ctx ends, and then takes everything down.
func (r *roomServer) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer r.takeDown()
	r.bg.start(func(context.Context) {
		select {
		case <-r.stop:
			cancel()
		case <-ctx.Done():
		}
	})
	r.bg.start(func(context.Context) { r.attend(ctx) })
	var after uint64
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := r.control.Follow(ctx, r.id, after, func(c control.Change) error {
			after, wait = c.State.Seq, 100*time.Millisecond
			r.change(c)
			return nil
		})
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, control.ErrUnknownRoom) {
			r.setGone(err)
			return
		}
		r.logger.Warn("the room's log cannot be followed; the last state stands", "room", r.id, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (r *roomServer) setGone(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == nil && r.gone == nil {
		r.gone = err
		close(r.known)
	}
}

// current waits for the room's state.
func (r *roomServer) current(ctx context.Context) (*room.State, error) {
	select {
	case <-ctx.Done():
		return nil, control.ErrUnavailable
	case <-r.known:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state, r.gone
}

// change is what Follow calls.
func (r *roomServer) change(c control.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(c.State)
	r.enforce(c)
}

// advance takes a newer state; an older one changes nothing. One of the same number may be another all the same: decisions
// may have come that are not in the log yet.
func (r *roomServer) advance(s *room.State) {
	if r.state == nil {
		close(r.known)
	} else if s.Seq < r.state.Seq {
		return
	}
	r.state = s
}

// reconcile does what the log and the sessions ask.
func (r *roomServer) reconcile() {
	view := audible(r.state)
	r.silence(view)
	local := duty.Local{Node: r.node, Players: r.audience.users()}
	for _, m := range r.mics {
		local.Mics = append(local.Mics, duty.Mic{User: m.user, Epoch: m.epoch})
	}
	d := duty.Of(view, local)

	for user, gate := range d.Mics {
		if err := r.mics[user].apply(gate, r.mesh.Publish); err != nil {
			r.logger.Error("a microphone cannot be published", "room", r.id, "user", user, "error", err)
		}
	}
	for _, over := range d.Over {
		r.mics[over.User].end()
		delete(r.mics, over.User)
	}
	for _, p := range *r.audience.players.Load() {
		p.setHearing(view.Hears(p.user))
	}
	r.pullProgram(d.Listen)
	r.stage.set(d.Stage)
	r.mix(d)
	if view.Live {
		r.crowd.place(view.Home)
	} else {
		r.crowd.place("")
	}
}

// audible is a room's state as far as package duty looks at it.
func audible(s *room.State) duty.Room {
	v := duty.Room{ID: s.ID, Live: s.Phase == room.Live, Home: s.Home, Epoch: s.Epoch}
	for _, p := range s.Stage() {
		if p.Live && s.CanSpeak(p.User) {
			v.Speakers = append(v.Speakers, duty.Speaker{User: p.User, SSRC: p.SSRC, Node: p.Node, Epoch: p.Epoch, Muted: p.Muted})
		}
	}
	return v
}

// pullProgram subscribes to the program that is wanted, if any, before it lets go of another one: the listeners' Program
// follows epochs, so an overlap is not heard and a gap would be.
func (r *roomServer) pullProgram(want *duty.Pull) {
	old := r.listen
	switch {
	case want == nil:
		r.listen = nil
	case old != nil && old.Pull == *want:
		return
	default:
		epoch := want.Stream.Epoch
		sub, err := r.mesh.Subscribe(want.Stream, want.Origin, func(f *rotunda.Frame) { r.audience.frame(epoch, f) })
		if err != nil {
			r.logger.Error("the program cannot be pulled", "room", r.id, "origin", want.Origin, "error", err)
			return
		}
		r.listen = &pulled{Pull: *want, sub: sub}
	}
	if old != nil {
		old.sub.Close()
	}
}

func voiceOf(p duty.Pull) voice {
	user, _ := p.Stream.Track.Speaker()
	return voice{user: user, ssrc: p.SSRC, epoch: p.Stream.Epoch}
}

// mix makes this node the room's home, or no more.
func (r *roomServer) mix(d duty.Duties) {
	if r.home != nil && (!d.Home || r.home.stream != d.Program) {
		r.home.close()
		r.home = nil
	}
	if d.Home && r.home == nil {
		h, err := openHome(r.bg, r.mesh, d.Program, r.metrics, r.logger)
		switch {
		case errors.Is(err, errStopping):
			return
		case err != nil:
			r.logger.Error("the program cannot be published", "room", r.id, "error", err)
			return
		}
		r.logger.Info("home of the room", "room", r.id, "epoch", d.Program.Epoch)
		r.home = h
		r.bg.start(func(ctx context.Context) { r.reportTalk(ctx, h) })
	}
	if r.home != nil {
		r.home.setSources(d.Mix)
	}
}

// takeDown ends everything that the room holds on this node.
func (r *roomServer) takeDown() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.mics {
		m.end()
	}
	for _, p := range *r.audience.players.Load() {
		p.session.Close()
	}
	r.pullProgram(nil)
	r.stage.set(nil)
	r.crowd.place("")
	r.mesh.Silence(r.id, nil)
	if r.home != nil {
		r.home.close()
		r.home = nil
	}
}
