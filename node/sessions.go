package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"rotunda"
	"rotunda/control"
	"rotunda/control/api"
	"rotunda/control/room"
	"rotunda/node/egress"
	"rotunda/node/rtc"
	"rotunda/node/whip"
)

// open opens a media session for who has asked by WHIP or WHEP: the one door for audio, in and out.
func (n *Node) open(ctx context.Context, q whip.Request) (whip.Session, string, error) {
	select {
	case <-n.ready:
	default:
		return nil, "", fmt.Errorf("%w: the node is starting", whip.ErrBusy)
	}
	if _, draining := n.drain.deadline(); draining {
		return nil, "", n.sentOn(errDraining, q)
	}
	r := n.rooms.hold(q.Room)
	s, answer, err := n.openIn(ctx, r, q)
	if err != nil {
		n.rooms.release(r)
		return nil, "", n.sentOn(mediaError(err), q)
	}
	n.logger.Info("media session opened", "kind", q.Kind, "room", q.Room, "user", q.Claims.User, "session", s.ID(), "request", api.RequestID(ctx))
	return s, answer, nil
}

// whyMax is how much of a refusal's reason is logged: some have words of who asked in them.
const whyMax = 200

// refused logs that somebody was not let in, or not near another's session.
func (n *Node) refused(door *api.API, r *http.Request, q whip.Refusal) {
	address, untold, told := door.RefusalTold(r)
	if !told {
		return
	}
	n.logger.Info("media session refused", "kind", q.Kind, "room", q.Room, "user", q.User, "status", q.Status, "why", q.Why[:min(len(q.Why), whyMax)],
		"address", address, "request", api.RequestID(r.Context()), "untold", untold)
}

// errDraining refuses who asks a node that is being emptied.
var errDraining = fmt.Errorf("%w: the node is being emptied", whip.ErrBusy)

// sentOn makes of a refusal for want of room the way to a node that has some, if there is one.
func (n *Node) sentOn(err error, q whip.Request) error {
	if !errors.Is(err, whip.ErrBusy) {
		return err
	}
	base := n.elsewhere(rand.Int(), q.Room)
	if base == "" {
		return err
	}
	return &whip.Redirect{URL: base + "/v1/rooms/" + string(q.Room) + "/" + string(q.Kind), Why: err}
}

// openIn opens the session in r, which the session gives back when it is over.
func (n *Node) openIn(ctx context.Context, r *roomServer, q whip.Request) (whip.Session, string, error) {
	state, err := r.current(ctx)
	switch {
	case err != nil:
		return nil, "", err
	case state.Phase != room.Live:
		return nil, "", room.ErrNotLive
	case n.control.Barred(state.Host, q.Claims.User):
		return nil, "", room.ErrBanned
	}
	if err := state.Admitted(q.Claims.User, r.crowd.sinceWhen(q.Claims.User)); err != nil {
		return nil, "", err
	}
	if q.Kind == whip.Publish {
		return n.openMic(ctx, r, q)
	}
	return n.openPlayer(ctx, r, q)
}

// mediaError translates what the parts below say into what package whip answers.
func mediaError(err error) error {
	switch {
	case errors.Is(err, rtc.ErrOffer), errors.Is(err, egress.ErrOffer):
		return fmt.Errorf("%w: %v", whip.ErrOffer, err)
	case errors.Is(err, rtc.ErrBusy), errors.Is(err, rtc.ErrClosed), errors.Is(err, egress.ErrBusy), errors.Is(err, egress.ErrClosed):
		return fmt.Errorf("%w: %v", whip.ErrBusy, err)
	}
	return err
}

// openPlayer opens a session that takes audio.
func (n *Node) openPlayer(ctx context.Context, r *roomServer, q whip.Request) (whip.Session, string, error) {
	s, answer, err := n.listeners.Play(ctx, r.fan, q.Offer)
	if err != nil {
		return nil, "", err
	}
	p := newPlayer(q.Claims.User, q.Claims.Name, s)
	if err := r.join(p); err != nil {
		s.Close()
		return nil, "", err
	}
	n.sessions.listeners.Add(1)
	n.holders.add(s, q.Claims)
	s.AfterDone(func() {
		n.sessions.listeners.Add(-1)
		n.holders.remove(s)
		r.leave(p)
		n.rooms.release(r)
		n.logger.Info("media session over", "kind", q.Kind, "room", r.id, "user", p.user, "session", s.ID())
	})
	return s, answer, nil
}

// openMic opens a session that gives audio, if the log lets the person speak. The log gives the session its epoch once it is
// connected; until then, and while the log says muted, the gate is shut.
func (n *Node) openMic(ctx context.Context, r *roomServer, q whip.Request) (whip.Session, string, error) {
	actor, err := api.Actor(q.Claims, r.id)
	if err != nil {
		return nil, "", err
	}
	if q.Claims.Role != rotunda.NoRole && !q.Claims.Role.OnStage() {
		return nil, "", fmt.Errorf("a token for a %s opens no microphone: %w", q.Claims.Role, room.ErrForbidden)
	}
	// First what the log says, then the work: who may not speak costs no media session.
	state, err := r.current(ctx)
	if err != nil {
		return nil, "", err
	}
	if err := n.maySpeak(ctx, r, state, actor); err != nil {
		return nil, "", err
	}
	m := newMic(q.Claims.User, n.metrics)
	s, answer, err := n.media.Publish(ctx, q.Offer, m.packet)
	if err != nil {
		return nil, "", err
	}
	m.session = s
	n.sessions.speakers.Add(1)
	n.holders.add(s, q.Claims)
	n.bg.start(func(ctx context.Context) {
		select {
		case <-s.Connected():
			n.takeMic(ctx, r, m, actor)
		case <-s.Done():
		}
		<-s.Done()
		n.sessions.speakers.Add(-1)
		n.holders.remove(s)
		if m.epoch != 0 {
			r.hush(m)
			n.unpublish(ctx, r.id, m)
		}
		n.rooms.release(r)
		n.logger.Info("media session over", "kind", q.Kind, "room", r.id, "user", m.user, "session", s.ID())
	})
	return s, answer, nil
}

// takeMicMax is how long the log may take to give a session its epoch: the person speaks through their old one meanwhile.
const takeMicMax = 3 * time.Second

// takeMic has the log give a session that is connected its epoch, and so the place of the person's session before it, which has
// gone on until now. Who may not speak any more, or where the log does not answer, loses the new one.
func (n *Node) takeMic(ctx context.Context, r *roomServer, m *mic, actor room.Actor) {
	dctx, cancel := context.WithTimeout(ctx, takeMicMax)
	defer cancel()
	state, err := n.control.Do(dctx, r.id, actor, room.Publish{Node: n.cfg.ID})
	if err != nil {
		n.logger.Info("a microphone is not taken", "room", r.id, "user", m.user, "session", m.session.ID(), "error", err)
		m.session.Close()
		return
	}
	m.epoch = state.MicEpoch(m.user)
	r.speak(m, state)
}

// lookAgain is how many times a second, and at once, a node reads the log for people whom it would refuse a microphone.
const lookAgain = 100

// maySpeak says why the log, as of state, would not take a microphone of the actor's; nil where it would. Somebody who was let on
// stage at another node a moment ago may be faster here than that news: before they are refused the node looks, unless it is
// kept busy with that.
func (n *Node) maySpeak(ctx context.Context, r *roomServer, state *room.State, a room.Actor) error {
	try := func(s *room.State) error {
		if _, err := s.Decide(time.Now(), a, room.Publish{Node: n.cfg.ID}); err != nil {
			return fmt.Errorf("%s may not speak: %w", a.User, err)
		}
		return nil
	}
	err := try(state)
	if !errors.Is(err, room.ErrForbidden) || !n.looks.Allow() {
		return err
	}
	newest, failed := n.control.Newest(ctx, r.id)
	if failed != nil {
		return err // without the log it goes by what it knows
	}
	return try(newest)
}

// unpublish tells the log that a microphone session is over, until the log takes it, the room is over or the node stops.
func (n *Node) unpublish(ctx context.Context, id rotunda.RoomID, m *mic) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		_, err := n.control.Do(ctx, id, room.Actor{System: true}, room.Unpublish{User: m.user, Epoch: m.epoch})
		if err == nil || ctx.Err() != nil {
			return
		}
		if !errors.Is(err, control.ErrUnavailable) && !errors.Is(err, control.ErrUnknownOutcome) {
			n.logger.Debug("the end of a microphone session is not recorded", "room", id, "user", m.user, "error", err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// join adds a player to the room's audience.
func (r *roomServer) join(p *player) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.state.Admitted(p.user, r.crowd.sinceWhen(p.user)); err != nil { // since openIn asked
		return err
	}
	p.setHearing(audible(r.state).Hears(p.user))
	if r.audience.add(p) {
		r.reconcile()
	}
	return nil
}

func (r *roomServer) leave(p *player) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.audience.remove(p) {
		r.reconcile()
	}
}

// speak takes in a microphone that the log knows, as of state.
func (r *roomServer) speak(m *mic, state *room.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(r.control.Over(state)) // what was decided without the log meanwhile stands
	if old := r.mics[m.user]; old != nil && old.epoch < m.epoch {
		r.yield(old)
	} else if old != nil { // a newer one was quicker
		r.yield(m)
		m = old
	}
	r.mics[m.user] = m
	r.reconcile()
}

func (r *roomServer) hush(m *mic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(m)
}
