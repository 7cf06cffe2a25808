package api

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"rotunda"
)

// moveAtOnce is how many readers are told to move at a time: a slow one takes up to writeMax.
const moveAtOnce = 32

// moveBody is the data of the event move.
type moveBody struct {
	Edges []edgeEntry `json:"edges"` // where to go on, the best first; never empty
}

// Move tells everybody who reads a room's events here to go on at another node: those who read now spread evenly over the time
// given, so that the others are not stormed, and those who come later at once. It returns when all have been told, or ctx
// ends; call it again when the mesh has changed. Where no other node takes sessions nobody is told anything.
func (a *API) Move(ctx context.Context, over time.Duration) {
	a.seats.mu.Lock()
	a.seats.moving = true
	var all []*outlet
	for s := range a.seats.open {
		if s.outlet != nil {
			all = append(all, s.outlet)
		}
	}
	a.seats.mu.Unlock()
	var g errgroup.Group
	g.SetLimit(moveAtOnce)
	defer func() { _ = g.Wait() }() // none returns an error
	began := time.Now()
	for i, o := range all {
		timer := time.NewTimer(time.Until(began.Add(over * time.Duration(i) / time.Duration(len(all)))))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		b := a.encodeMove(i, o.room)
		if b == nil {
			return
		}
		g.Go(func() error {
			_ = o.write(b) // a reader who is gone has moved already
			return nil
		})
	}
}

// Stay undoes Move: nobody who comes is sent away any more.
func (a *API) Stay() {
	a.seats.mu.Lock()
	defer a.seats.mu.Unlock()
	a.seats.moving = false
}

// seatAt gives a seat its outlet, and reports whether its reader is to be told to move.
func (s *seats) seatAt(t *seat, o *outlet) (move bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.outlet = o
	return s.moving
}

// encodeMove is the event move for the nth reader, without an id: it does not move the reader's place in the log. nil: there is
// no other node.
func (a *API) encodeMove(nth int, room rotunda.RoomID) []byte {
	edges := a.elsewhere(nth, room)
	if len(edges) == 0 {
		return nil
	}
	data, err := json.Marshal(moveBody{Edges: edges})
	if err != nil {
		return nil // texts and numbers always encode
	}
	return slices.Concat([]byte("event: move\ndata: "), data, []byte("\n\n"))
}

// Elsewhere is the address of another node that takes sessions of a room, for the nth who asks; "" where there is none.
func (a *API) Elsewhere(nth int, room rotunda.RoomID) string {
	if edges := a.elsewhere(nth, room); len(edges) > 0 {
		return edges[0].URL
	}
	return ""
}

// elsewhere lists the other nodes that take sessions of a room, best guess first; nodes that are equally near take turns.
func (a *API) elsewhere(nth int, room rotunda.RoomID) []edgeEntry {
	f, known := a.cfg.Control.Fence(room)
	if !known {
		return nil
	}
	return a.elsewhereIn(f, nth)
}

func (a *API) elsewhereIn(f rotunda.Fence, nth int) []edgeEntry {
	self, members := a.view()
	others := slices.DeleteFunc(slices.Clone(f.Within(members)), func(m rotunda.Member) bool { return m.ID == self.ID })
	edges := rankEdges(self, others)
	near := 0
	for near < len(edges) && edges[near].State == edges[0].State && nearness(self, edges[near]) == nearness(self, edges[0]) {
		near++
	}
	if near > 1 {
		turn := nth % near
		edges = slices.Concat(edges[turn:near], edges[:turn], edges[near:])
	}
	return entriesOf(edges)
}

// view is this node and all members, as gossip has them now.
func (a *API) view() (self rotunda.Member, members []rotunda.Member) {
	members, self = a.cfg.Mesh.Members(), a.cfg.Self
	for _, m := range members {
		if m.ID == self.ID {
			self = m
		}
	}
	return self, members
}

func entriesOf(members []rotunda.Member) []edgeEntry {
	entries := []edgeEntry{}
	for _, m := range members {
		entries = append(entries, edgeEntry{Node: m.ID, Region: m.Region, URL: m.Addresses.HTTP, Listeners: m.Load.Listeners})
	}
	return entries
}
