package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"

	"rotunda"
	"rotunda/control"
	"rotunda/control/api"
	"rotunda/control/room"
	"rotunda/node/listen"
	"rotunda/node/whip"
)

// listenHTTP serves a room's program as endless Ogg Opus, to anything that plays a URL. Like every reading call of the API
// it asks for no token: who listens this way is nobody in particular.
func (n *Node) listenHTTP(w http.ResponseWriter, q *http.Request) {
	s, err := n.openStream(q.Context(), rotunda.RoomID(q.PathValue("room")))
	if errors.Is(err, api.ErrOverloaded) && !whip.SentOn(q) {
		if base := n.elsewhere(rand.Int(), rotunda.RoomID(q.PathValue("room"))); base != "" {
			http.Redirect(w, q, whip.Onwards(base, q), http.StatusTemporaryRedirect)
			return
		}
	}
	if err != nil {
		api.WriteProblem(w, q, err)
		return
	}
	s.Serve(q.Context(), w)
}

func (n *Node) openStream(ctx context.Context, id rotunda.RoomID) (*listen.Stream, error) {
	if err := id.Valid(); err != nil {
		return nil, control.ErrUnknownRoom
	}
	if _, draining := n.drain.deadline(); draining {
		return nil, fmt.Errorf("the node is being emptied: %w", api.ErrOverloaded)
	}
	if most := n.playersMax.Load(); n.sessions.http.Add(1) > most { // each has a connection and up to 64 packets
		n.sessions.http.Add(-1)
		return nil, fmt.Errorf("%d players already: %w", most, api.ErrOverloaded)
	}
	r := n.rooms.hold(id)
	s := listen.New(n.metrics)
	err := n.joinStream(ctx, r, s)
	if err != nil {
		n.rooms.release(r)
		n.sessions.http.Add(-1)
		return nil, err
	}
	return s, nil
}

// joinStream adds the stream to the room's audience until it ends.
func (n *Node) joinStream(ctx context.Context, r *roomServer, s *listen.Stream) error {
	state, err := r.current(ctx)
	if err != nil {
		return err
	}
	if state.Phase != room.Live {
		return room.ErrNotLive
	}
	p := newPlayer("", "", s)
	if err := r.join(p); err != nil {
		return err
	}
	r.audience.greet(p)
	if !n.bg.start(func(context.Context) {
		<-s.Done()
		n.sessions.http.Add(-1)
		r.leave(p)
		n.rooms.release(r)
	}) {
		s.Close()
	}
	return nil
}
