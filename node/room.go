package node

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"rotunda"
	"rotunda/cascade"
	"rotunda/control"
	"rotunda/control/people"
	"rotunda/control/room"
	"rotunda/metrics"
	"rotunda/node/duty"
	"rotunda/node/egress"
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
	region  rotunda.Region
	control *control.Control
	mesh    *cascade.Mesh
	choose  func(room.Hitless) []cascade.Option
	ways    []cascade.Option // of the program, and of what is mixed into it; set with the first state
	bg      *background
	metrics *metrics.Set
	logger  *slog.Logger

	audience *audience
	fan      *egress.Room // of the audience
	crowd    *crowd
	enforced *enforcement
	profile  func(rotunda.UserID) (people.Profile, bool)
	known    chan struct{} // closed when state is there or gone is set

	mu      sync.Mutex // guards what follows
	state   *room.State
	gone    error // the room cannot be followed: it does not exist
	mics    map[rotunda.UserID]*mic
	old     []*mic                      // whose place another session is taking
	listen  []*pulled                   // the program and what may follow it, for the listeners here
	stage   pulls                       // the other speakers, for the speakers here
	home    *home                       // nil where this node neither mixes nor stands by
	taken   rotunda.Epoch               // with which this node mixes though the log does not say so; 0: none
	vouches bool                        // vouch is under way
	awaits  bool                        // somebody waits for the program, to change over to it
	voices  map[rotunda.UserID]struct{} // who had a microphone session since this node follows the room
	silent  []rotunda.UserID            // those of them whom this node does not carry now

	handsEvery time.Duration

	keep func() (release func()) // holds this server

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
	r.bg.start(func(context.Context) { r.lowerHands(ctx) })
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
	was := r.state
	r.advance(c.State)
	r.enforce(was, c)
	r.countTurn(c)
}

// countTurn counts a turn that is over, where this node is the room's home: one node's figures are enough.
func (r *roomServer) countTurn(c control.Change) {
	if c.Before == nil || c.State.Home != r.node || time.Since(c.Event.At) > historyAge {
		return
	}
	if ratio, end, ok := room.TurnOver(c.Before, c.Event); ok {
		r.metrics.Turns.With(string(end)).Observe(ratio)
	}
}

// advance takes a newer state; an older one changes nothing. One of the same number may be another all the same: decisions
// may have come that are not in the log yet.
func (r *roomServer) advance(s *room.State) {
	if r.state == nil {
		r.ways = r.choose(s.Hitless)
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
	local := duty.Local{Node: r.node, Players: r.audience.users(), Taken: r.taken}
	for _, m := range r.mics {
		local.Mics = append(local.Mics, m.duty())
	}
	for _, m := range r.old {
		local.Mics = append(local.Mics, m.duty())
	}
	lingering := r.lingering(view)
	local.Lingers = len(lingering) > 0
	d := duty.Of(view, local)

	for user, gate := range d.Mics {
		if err := r.mics[user].apply(gate, r.mesh.Publish); err != nil {
			r.logger.Error("a microphone cannot be published", "room", r.id, "user", user, "error", err)
		}
	}
	r.replace(d)
	for _, p := range *r.audience.players.Load() {
		if !slices.Contains(lingering, p) {
			r.audience.set(p, view.Hears(p.user))
		}
	}
	r.pullProgram(d.Listen)
	r.stage.set(d.Stage)
	r.mix(d)
	if view.Live {
		r.crowd.place(view.Home)
	} else {
		r.crowd.place("")
	}
	r.vouch()
}

// lingering are those who left the stage and hear it until the program is here; then, or when that has taken too long, the
// room is reconciled again.
func (r *roomServer) lingering(view duty.Room) (who []*player) {
	now := time.Now()
	if !view.Live || r.audience.flows(now) {
		return nil
	}
	for _, p := range *r.audience.stage.Load() {
		if view.Hears(p.user) == duty.Mixed && p.lingers(now) {
			who = append(who, p)
		}
	}
	if len(who) > 0 && !r.awaits {
		r.awaits = r.bg.start(func(ctx context.Context) {
			r.audience.flow(ctx)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.awaits = false
			if ctx.Err() == nil {
				r.reconcile()
			}
		})
	}
	return who
}

// audible is a room's state as far as package duty looks at it.
func audible(s *room.State) duty.Room {
	v := duty.Room{ID: s.ID, Live: s.Phase == room.Live, Home: s.Home, Epoch: s.Epoch, Standby: s.Standby.Node, Next: s.Standby.Epoch}
	for _, p := range s.Stage() {
		if p.Live && s.CanSpeak(p.User) {
			v.Speakers = append(v.Speakers, duty.Speaker{User: p.User, SSRC: p.SSRC, Node: p.Node, Epoch: p.Epoch, Muted: p.Muted})
		}
	}
	return v
}

// pullProgram subscribes to what is wanted for the listeners here, and then lets go of what is not wanted any more: not before
// the new one is heard, or afterMax. The listeners' Program follows epochs, so an overlap is not heard and a gap would be.
func (r *roomServer) pullProgram(want []duty.Pull) {
	var have, old []*pulled
	for _, w := range want {
		if i := slices.IndexFunc(r.listen, func(p *pulled) bool { return p.Pull == w }); i >= 0 {
			have = append(have, r.listen[i])
			continue
		}
		sub, err := r.mesh.Subscribe(w.Stream, w.Origin, func(f *rotunda.Frame) { r.audience.frame(w, f) }, r.ways...)
		if err != nil {
			r.logger.Error("the program cannot be pulled", "room", r.id, "origin", w.Origin, "error", err)
			continue
		}
		have = append(have, &pulled{Pull: w, sub: sub})
	}
	for _, p := range r.listen {
		if !slices.Contains(have, p) {
			old = append(old, p)
		}
	}
	r.listen = have
	letGo := func() {
		for _, p := range old {
			p.sub.Close()
		}
	}
	if len(old) == 0 || len(want) == 0 || !r.bg.start(func(ctx context.Context) {
		r.audience.reach(ctx, want[0].Stream.Epoch, afterMax)
		letGo()
	}) {
		letGo()
	}
	if len(want) == 0 {
		r.audience.rest()
	}
}

func voiceOf(p duty.Pull) voice {
	user, _ := p.Stream.Track.Speaker()
	return voice{user: user, ssrc: p.SSRC, epoch: p.Stream.Epoch}
}

// mix makes this node the room's home or standby, or no more.
func (r *roomServer) mix(d duty.Duties) {
	stream, mixes := d.Mixes()
	if old := r.home; old != nil && (!mixes || old.stream != stream) {
		r.home = nil
		r.retire(old, d)
	}
	if mixes && r.home == nil {
		h, err := r.openHome(stream, d.Home)
		switch {
		case errors.Is(err, errStopping):
			return
		case err != nil:
			r.logger.Error("the program cannot be published", "room", r.id, "error", err)
			return
		}
		r.logger.Info("a part in mixing the room", "room", r.id, "home", d.Home, "epoch", stream.Epoch)
		r.home = h
		r.bg.start(func(ctx context.Context) { r.reportTalk(ctx, h) })
	}
	if r.home != nil {
		r.home.set(d.Mix, d.Watch)
		if d.Home {
			r.home.begin()
		}
	}
}

// takeDown ends everything that the room holds on this node.
func (r *roomServer) takeDown() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range append(slices.Collect(maps.Values(r.mics)), r.old...) {
		m.end()
	}
	for _, p := range *r.audience.players.Load() {
		p.session.Close()
	}
	r.pullProgram(nil)
	r.stage.set(nil)
	r.audience.tape.expire(time.Now(), true)
	r.crowd.place("")
	r.mesh.Silence(r.id, nil)
	if r.home != nil {
		r.home.close()
		r.home = nil
	}
}
