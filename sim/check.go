package sim

import (
	"cmp"
	"slices"
	"time"

	"rotunda"
	"rotunda/cascade/relay"
)

// This file is what must hold. It knows the rules, and not how the cores keep them.

// once remembers which numbers were here, of the latest ones.
type once struct {
	begun  bool
	newest uint64
	seen   [512 / 64]uint64
}

// first notes a number and reports whether it is new; what is too old to know counts as new.
func (o *once) first(x uint64) bool {
	const size = 512
	switch {
	case !o.begun:
		o.begun, o.newest = true, x
	case x > o.newest:
		if x-o.newest >= size {
			o.seen = [size / 64]uint64{}
		} else {
			for s := o.newest + 1; s <= x; s++ {
				o.seen[s%size/64] &^= 1 << (s % 64)
			}
		}
		o.newest = x
	case o.newest-x >= size:
		return true
	case o.seen[x%size/64]&(1<<(x%64)) != 0:
		return false
	}
	o.seen[x%size/64] |= 1 << (x % 64)
	return true
}

// compareKeys orders streams.
func compareKeys(a, b relay.Key) int {
	return cmp.Or(
		cmp.Compare(a.Stream.Room, b.Stream.Room), cmp.Compare(a.Stream.Track, b.Stream.Track),
		cmp.Compare(a.Stream.Epoch, b.Stream.Epoch), cmp.Compare(a.Origin, b.Origin),
	)
}

// streamsMax is how many streams the table of a node in a small world may hold: two epochs of everything.
func (w *World) streamsMax() int { return 4*len(w.people) + 8*len(w.rooms) + 8 }

// check looks at a node's table after every step that may have changed it.
func (n *node) check() {
	if n.w.large != nil && n.w.events%64 != 0 {
		return // a table is as large there as in a small world, but there are thousands of nodes
	}
	if err := n.core.CheckInvariants(); err != nil {
		n.w.fail("%s: %v", n.id, err)
	}
	if st := n.core.Stats(); st.Streams > n.w.streamsMax() || st.Out > n.w.streamsMax()*len(n.w.nodes) {
		n.w.fail("%s: the table holds %+v", n.id, st)
	}
	n.checkPromises()
}

// checkPromises: what a node has been asked for with so many hops left, it pulls along no longer way. Else two nodes whose
// views differ could pull from each other.
func (n *node) checkPromises() {
	n.promises = slices.DeleteFunc(n.promises, func(p promise) bool {
		s := n.core.Below(p.out.Port, p.out.Alias)
		if s == nil {
			return true
		}
		if way := s.Shortest(); s.Key.Origin != n.id && (way == nil || len(way) > p.hops) {
			n.w.fail("%s serves %v with %d hops left and pulls it by %v", n.id, s.Key, p.hops, way)
		}
		return false
	})
}

// checkPaths looks at what a node is about to ask for.
func (w *World) checkPaths(n *node, x *want, primary, backup []rotunda.NodeID) {
	fence := w.rooms[w.room(x.key.Stream.Room)].fence
	for _, path := range [][]rotunda.NodeID{primary, backup} {
		w.checkWayInside(n, fence, path)
		if len(path) == 0 {
			continue
		}
		if path[len(path)-1] != x.key.Origin || slices.Contains(path, n.id) || len(path) > rotunda.HopsMax {
			w.fail("%s: path %v to %s", n.id, path, x.key.Origin)
		}
		for i, id := range path {
			if slices.Contains(path[:i], id) {
				w.fail("%s: path %v goes through %s twice", n.id, path, id)
			}
		}
	}
	for _, id := range backup {
		if id != x.key.Origin && slices.Contains(primary, id) {
			w.fail("%s: both ways to %s go through %s: %v and %v", n.id, x.key.Origin, id, primary, backup)
		}
	}
	if len(backup) == 1 && len(primary) == 1 {
		w.fail("%s: both ways to %s are the same link", n.id, x.key.Origin)
	}
}

// homeKey is one incarnation of a room's program.
type homeKey struct {
	room  int
	epoch rotunda.Epoch
}

// checkHome is called with every frame of a program: one epoch of it has one home, and who has heard of a higher one stops;
// for as long as the log's word takes to be heard, two overlap.
func (w *World) checkHome(n *node, room int, h *home) {
	epoch := h.id.Epoch
	k := homeKey{room, epoch}
	if other, ok := w.homes[k]; !ok {
		w.homes[k] = n.index
		w.tell("%s is home of %s, epoch %d", n.id, w.rooms[room].id, epoch)
	} else if other != n.index {
		w.fail("%s and %s are both home of %s in epoch %d", n.id, w.nodes[other].id, w.rooms[room].id, epoch)
	}
	s := n.served[room]
	switch {
	case s.state.Epoch <= epoch:
		h.higher = 0
	case h.higher == 0:
		h.higher = w.now
	case w.now-h.higher > afterMax+rotunda.FrameDuration:
		w.fail("%s goes on as home of %s in epoch %d though it knows of epoch %d", n.id, w.rooms[room].id, epoch, s.state.Epoch)
	}
	if s.epoch > epoch {
		w.fail("%s goes on as home of %s in epoch %d though it hears epoch %d", n.id, w.rooms[room].id, epoch, s.epoch)
	}
}

// grantLag is how late a node that reaches the log may be with what the log has taken away. goals.md: removal or mute is
// heard no more after 250 ms and the way; here with packets that are lost and a beat of 100 ms.
const grantLag = 1500 * time.Millisecond

// checkGrant is called with every frame of a microphone that a node lets through: the log lets that person speak, at that
// node, in that session; both as the node knows the log, and as it really is unless the node cannot know.
func (w *World) checkGrant(n *node, room int, u rotunda.UserID, epoch rotunda.Epoch) {
	s := n.served[room].state
	if p, ok := s.Participant(u); !ok || !s.Audible(u) || p.Node != n.id || p.Epoch != epoch || !p.Live {
		w.fail("%s forwards %s in session %d without a grant", n.id, u, epoch)
	}
	l := w.rooms[room]
	since, denied := l.denied[u]
	if denied && w.now-since > grantLag && n.reachesSince < w.now-grantLag {
		w.fail("%s still forwards %s, %v after the log took that away", n.id, u, w.now-since)
	}
}

// checkLiveness is called when everything has worked for long enough.
func (w *World) checkLiveness() {
	for _, n := range w.nodes {
		if !n.well() {
			w.fail("%s is not well at the end", n.id)
			return
		}
		for i, m := range w.nodes {
			if !n.view[i].state.Up() {
				w.fail("%s still takes %s for %s", n.id, m.id, n.view[i].state)
			}
		}
		w.checkCircles(n)
	}
	for _, l := range w.rooms {
		truth := l.encoded(w, l.state)
		for _, n := range w.nodes {
			s := n.served[l.index]
			if !n.within(l.fence) {
				continue
			}
			if s.state.Seq != l.state.Seq || l.encoded(w, s.state) != truth {
				w.fail("%s has %s at %d, other than the log at %d", n.id, l.id, s.state.Seq, l.state.Seq)
			}
		}
	}
	for _, p := range w.people {
		w.checkHears(p)
	}
}

// checkCircles follows the pulls of a node: each must come to its origin.
func (w *World) checkCircles(n *node) {
	for _, x := range n.sortedWants() {
		at, left := n, rotunda.HopsMax
		for at.index != x.origin {
			s := at.core.Find(x.key)
			if s == nil || len(s.Shortest()) == 0 || left == 0 {
				w.fail("%s: the pulls of %v lead to %s and not on", n.id, x.key, at.id)
				return
			}
			at = w.nodes[w.index[s.Shortest()[0]]]
			left--
		}
	}
}

// heardLately is how old what a listener has heard of a speaker may be.
const heardLately = 500 * time.Millisecond

// checkHears: a person hears everybody on stage who talks, but themselves.
func (w *World) checkHears(p *person) {
	l := w.rooms[p.room]
	s := w.nodes[p.node].served[p.room]
	if p.node < 0 || p.gone {
		return
	}
	for _, q := range w.people {
		if q.room != p.room || q == p || !q.speaks || q.gone {
			continue
		}
		if !l.state.Audible(q.user) {
			w.fail("%s is on stage of %s and still silent", q.user, l.id)
			return
		}
		heard, ok := s.heard[q.user]
		if p.speaks {
			heard, ok = s.stageHeard[q.user]
		}
		if !ok || w.now-heard > heardLately {
			w.fail("%s at %s does not hear %s at %s in %s (last %v)", p.user, w.nodes[p.node].id, q.user, w.nodes[q.node].id, l.id, heard)
			return
		}
	}
}
