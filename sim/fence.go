package sim

import (
	"fmt"
	"slices"

	"rotunda"
	"rotunda/cascade/wire"
)

// This file is about rooms that stay in some regions: the model of package cascade's rule who gets nothing of them, and of the
// seal on their log, and what must hold.

// fenced draws whether a room has a fence, and which: half of them do where there is more than one region. It has dice of its
// own, so that a world is the same but for that.
func (w *World) fenced(i int) (rotunda.RoomID, rotunda.Fence) {
	letters := fmt.Sprintf("room-%d", i+1)
	d := dice{w.cfg.Seed<<8 + uint64(i)}
	var regions []rotunda.Region
	seen := map[rotunda.Region]bool{}
	for _, m := range w.members {
		if !seen[m.Region] {
			seen[m.Region] = true
			regions = append(regions, m.Region)
		}
	}
	if len(regions) < 2 || d.n(2) == 0 {
		return rotunda.RoomID(letters), nil
	}
	var fence rotunda.Fence
	for _, j := range d.some(d.between((len(regions)+1)/2, len(regions)-1), len(regions)) {
		fence = append(fence, regions[j])
	}
	slices.Sort(fence)
	return rotunda.FencedID(letters), fence
}

// within reports whether the node stands inside.
func (n *node) within(f rotunda.Fence) bool { return f.Holds(n.w.members[n.index].Region) }

// inside is a node where a room may be joined, from any number on.
func (w *World) inside(l *roomLog, i int) int {
	for !w.nodes[i].within(l.fence) {
		i = (i + 1) % len(w.nodes)
	}
	return i
}

// room is the number of a room.
func (w *World) room(id rotunda.RoomID) int {
	return slices.IndexFunc(w.rooms, func(l *roomLog) bool { return l.id == id })
}

// fence is what the node knows of a room's regions: from the directory, which is read together with the room.
func (n *node) fence(id rotunda.RoomID) (f rotunda.Fence, known bool) {
	if !id.Fenced() {
		return nil, true
	}
	s := n.served[n.w.room(id)]
	return s.log.fence, s.state.Seq > 0 || !n.within(s.log.fence)
}

// refused is package cascade's rule: who stands outside, or names a way that leads there, gets nothing; and nobody who does not
// know yet where the fence is gives anything.
func (n *node) refused(e *end, m wire.Subscribe) bool {
	f, known := n.fence(m.Stream.Room)
	if n.w.cfg.broken.serveAll || known && len(f) == 0 {
		return false
	}
	outside := !n.within(f) || !n.w.nodes[e.peer].within(f)
	for _, id := range m.Path {
		outside = outside || !n.w.nodes[n.w.index[id]].within(f)
	}
	reason := wire.Refused
	switch {
	case outside:
	case !known:
		reason = wire.Unreachable
	default:
		return false
	}
	n.w.control(n, e, wire.Gone{Alias: m.Alias, Reason: reason, Node: n.id})
	return true
}

// trespass has a node that stands outside ask a neighbour for a fenced room's program all the same, as a node would that has
// another idea of the fence, or none.
func (n *node) trespass() {
	for _, l := range n.w.rooms {
		e := n.links[n.w.index[l.state.Home]]
		if e == nil || n.within(l.fence) {
			continue
		}
		program := rotunda.StreamID{Room: l.id, Track: rotunda.Program, Epoch: l.state.Epoch}
		n.w.control(n, e, wire.Subscribe{Alias: trespassAlias + wire.Alias(n.beats), Stream: program})
	}
}

// trespassAlias is above all aliases that a table gives out in a small world.
const trespassAlias = 1 << 20

// checkFence is called with every frame that goes over a link.
func (w *World) checkFence(n *node, peer int, p *packet) {
	if l := w.rooms[p.room]; !n.within(l.fence) || !w.nodes[peer].within(l.fence) {
		w.fail("a frame of %s goes from %s to %s, out of the fence %v", l.id, n.id, w.nodes[peer].id, l.fence)
	}
}

// checkWayInside looks at a way that a node is about to ask for.
func (w *World) checkWayInside(n *node, f rotunda.Fence, path []rotunda.NodeID) {
	for _, id := range path {
		if !n.within(f) || !w.nodes[w.index[id]].within(f) {
			w.fail("%s: path %v leads out of the fence %v", n.id, path, f)
		}
	}
}

// checkHomesInside looks at who mixes a room by its log, now or soon.
func (w *World) checkHomesInside(l *roomLog) {
	for _, id := range []rotunda.NodeID{l.state.Home, l.state.Standby.Node} {
		if id != "" && !w.nodes[w.index[id]].within(l.fence) {
			w.fail("%s is home or stands by outside the fence %v of %s", id, l.fence, l.id)
		}
	}
}

// checkSealed: who stands outside holds nothing of what was said and decided in a room.
func (w *World) checkSealed(n *node) {
	for _, s := range n.served {
		if !n.within(s.log.fence) && s.state.Seq > 0 {
			w.fail("%s holds the content of %s outside the fence %v", n.id, s.log.id, s.log.fence)
		}
	}
}
