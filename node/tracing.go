package node

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"rotunda"
	"rotunda/cascade"
	"rotunda/control"
	"rotunda/control/room"
	"rotunda/node/egress"
	"rotunda/node/presence"
	"rotunda/node/trace"
)

const (
	// traceFor bounds one trace, and tracePages how often its nodes are asked: some hundred of them.
	traceFor   = 8 * time.Second
	tracePages = 64
	// settleFor is how long a node that had no part in the room may take to find its way to those that have.
	settleFor = time.Second
)

// joinAnswers makes one answer of several, to whichever question it was.
func joinAnswers(question []byte, parts [][]byte) (answer []byte, ok bool) {
	if len(question) > 0 && question[0] == trace.Kind {
		return trace.Join(question, parts)
	}
	return presence.Join(question, parts)
}

// passing is what this node says of a room that it only hands on.
func (n *Node) passing(id rotunda.RoomID, question []byte) []byte {
	if _, err := trace.Asked(question); err != nil {
		return nil
	}
	part := trace.Part{Node: n.cfg.ID, Region: n.cfg.Region, Streams: streamsOf(n.mesh.Trace(id))}
	return trace.Own(part).Encode()
}

// traced is what this node says of its part in the room.
func (r *roomServer) traced() trace.Part {
	p := trace.Part{Node: r.node, Region: r.region, Streams: streamsOf(r.mesh.Trace(r.id))}
	var rtts []time.Duration
	var lost float64
	reports := 0
	players := *r.audience.players.Load()
	p.Listeners = len(players)
	for _, one := range players {
		s, ok := one.session.(*egress.Session)
		if !ok {
			continue // plain HTTP reports nothing
		}
		if said, ok := s.Reception(); ok {
			lost += said.Lost
			reports++
			if said.RoundTrip > 0 {
				rtts = append(rtts, said.RoundTrip)
			}
		}
	}
	if reports > 0 {
		p.Lost = lost / float64(reports)
	}
	if len(rtts) > 0 {
		slices.Sort(rtts)
		p.RTT = milliseconds(rtts[len(rtts)/2])
	}
	return p
}

// streamsOf leaves out what carries no frames: the tree of who is there.
func streamsOf(all []cascade.Carried) []trace.Stream {
	streams := []trace.Stream{}
	for _, c := range all {
		if c.Stream.Track == rotunda.Program && c.Stream.Epoch == 0 {
			continue
		}
		s := trace.Stream{
			Track: c.Stream.Track, Origin: c.Origin, Epoch: c.Stream.Epoch, Local: c.Local, Outs: c.Outs,
			Age: milliseconds(c.Age), Oldest: milliseconds(c.Oldest),
		}
		for _, w := range c.Ways {
			s.Ways = append(s.Ways, trace.Way{
				Path: w.Path, RTT: milliseconds(w.RTT), Heard: w.Heard, Lost: share(w.Lost), Frames: w.Frames, First: share(w.First),
			})
		}
		streams = append(streams, s)
	}
	return streams
}

// milliseconds and share leave out digits that mean nothing, and cost room in an answer.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond).Microseconds()) / 1000
}

func share(f float64) float64 { return float64(int(f*1e5+.5)) / 1e5 }

// Trace asks all nodes that have a part in a room. It takes part for that long itself.
func (rs *rooms) Trace(ctx context.Context, id rotunda.RoomID) (trace.Room, error) {
	ctx, cancel := context.WithTimeout(ctx, traceFor)
	defer cancel()
	r := rs.hold(id)
	defer rs.release(r)
	state, err := r.current(ctx)
	if err != nil {
		return trace.Room{}, err
	}
	out := describe(state)
	if state.Phase != room.Live {
		out.Complete = true
		return out, nil
	}
	r.settled(ctx)
	var after rotunda.NodeID
	all := map[rotunda.NodeID]trace.Part{r.node: r.traced()}
	out.Complete = true
	for range tracePages {
		answer, complete := r.ask(ctx, trace.Question(after))
		page, err := trace.Decode(answer)
		out.Complete = out.Complete && complete && err == nil
		for _, p := range page.Parts {
			all[p.Node], after = p, p.Node
		}
		if err != nil || !page.More {
			break
		}
	}
	for _, p := range all {
		out.Nodes = append(out.Nodes, p)
	}
	slices.SortFunc(out.Nodes, func(a, b trace.Part) int { return cmp.Compare(a.Node, b.Node) })
	out.At = time.Now().UTC()
	return out, nil
}

// settled waits until a node that has just taken part has a way to the others.
func (r *roomServer) settled(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleFor)
	defer cancel()
	for {
		_, sum, changed := r.crowd.newest()
		if sum != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func describe(s *room.State) trace.Room {
	out := trace.Room{
		Room: s.ID, Title: s.Details.Title, State: string(s.Phase), At: time.Now().UTC(), Home: s.Home, Epoch: s.Epoch, Standby: s.Standby.Node,
		Stage: []trace.Voice{}, Nodes: []trace.Part{},
	}
	for _, p := range s.Stage() {
		out.Stage = append(out.Stage, trace.Voice{User: p.User, Name: p.Name, Role: p.Role, Muted: p.Muted, Live: p.Live, Node: p.Node, Epoch: p.Epoch})
	}
	return out
}

// traceRoom answers an operator.
func (n *Node) traceRoom(w http.ResponseWriter, q *http.Request) {
	select {
	case <-n.ready:
	default:
		fail(w, http.StatusServiceUnavailable, errors.New("starting: the control log does not answer yet"))
		return
	}
	id := rotunda.RoomID(q.PathValue("room"))
	if err := id.Valid(); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	switch t, err := n.rooms.Trace(q.Context(), id); {
	case errors.Is(err, control.ErrUnknownRoom):
		fail(w, http.StatusNotFound, err)
	case err != nil:
		fail(w, http.StatusServiceUnavailable, err)
	default:
		answer(w, http.StatusOK, t)
	}
}
