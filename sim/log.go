package sim

import (
	"slices"
	"time"

	"rotunda"
	"rotunda/control/room"
)

// This file is a model of the control log: some nodes keep it, it takes an append where a majority of them answers each
// other, and it orders all appends. What is decided and what follows from it is the product's (package room).

// replicasMax is how many nodes keep the log.
const replicasMax = 3

// roomLog is the log of one room.
type roomLog struct {
	id     rotunda.RoomID
	fence  rotunda.Fence // as the directory has it, which everybody reads
	index  int
	state  *room.State // the fold of all events
	events []room.Event
	// denied says since when people who were audible are not.
	denied  map[rotunda.UserID]time.Duration
	audible map[rotunda.UserID]bool
}

func (l *roomLog) encoded(w *World, s *room.State) string {
	b, err := s.Encode()
	if err != nil {
		w.fail("%s: %v", l.id, err)
	}
	return string(b)
}

// leader is the node that orders appends now; -1: no majority answers each other.
func (w *World) leader() int {
	replicas := min(replicasMax, len(w.nodes))
	for r := range replicas {
		if !w.nodes[r].well() {
			continue
		}
		votes := 1
		for other := range replicas {
			if other != r && w.answers(r, other) {
				votes++
			}
		}
		if 2*votes > replicas {
			return r
		}
	}
	return -1
}

// reaches reports whether n can ask the log now.
func (w *World) reaches(n *node) (leader int, ok bool) {
	leader = w.leader()
	return leader, leader >= 0 && n.well() && (leader == n.index || w.answers(n.index, leader))
}

// command has n decide something. A conflict is decided again until there is none, so what counts is the state when the
// append gets through. then is called on the node, with what came of it; not if the node has died in between.
func (w *World) command(n *node, l *roomLog, a room.Actor, cmd room.Command, then func(ok bool)) {
	life := n.life
	answer := func(d time.Duration, ok bool) {
		w.after(d, func() {
			n.whenWell(func() {
				if n.life == life && then != nil {
					then(ok)
				}
			})
		})
	}
	leader, ok := w.reaches(n)
	if !ok {
		answer(time.Second, false)
		return
	}
	majority := time.Duration(0)
	if others := min(replicasMax, len(w.nodes)); others > 1 {
		majority = 2 * w.way(leader, (leader+1)%others)
	}
	w.after(w.way(n.index, leader)+majority, func() {
		now, ok := w.reaches(n)
		if !ok || now != leader {
			answer(time.Second, false)
			return
		}
		back, ok := w.way(leader, n.index), w.append(l, leader, start.Add(w.now+n.skew), a, cmd)
		n.fetch(l.index, back) // who is answered knows what came of it
		answer(back, ok)
	})
}

// append decides and keeps; false: refused.
func (w *World) append(l *roomLog, leader int, at time.Time, a room.Actor, cmd room.Command) bool {
	events, err := l.state.Decide(at, a, cmd)
	if err != nil {
		w.note(tagEvent, uint64(len(cmd.Name())))
		return false
	}
	for _, e := range events {
		l.state.Apply(e)
		l.events = append(l.events, e)
		w.tell("%s: %s %s %s", l.id, e.Type, e.User, e.Node)
		if err := l.state.CheckInvariants(); err != nil {
			w.fail("%s: after %s %s: %v", l.id, e.Type, e.User, err)
		}
		w.checkHomesInside(l)
	}
	if len(l.events) > eventsMax {
		w.fail("%s: %d events", l.id, len(l.events))
	}
	for _, p := range w.people {
		if p.room == l.index {
			l.note(w.now, p.user)
		}
	}
	if len(events) > 0 {
		for _, n := range w.nodes {
			if n.index == leader {
				n.served[l.index].apply(len(l.events))
			} else if w.answers(leader, n.index) {
				n.fetch(l.index, w.way(leader, n.index))
			}
		}
	}
	return true
}

// eventsMax is more events than a small world has reason for: a loop of commands is a broken bound.
const eventsMax = 5000

func (l *roomLog) note(now time.Duration, u rotunda.UserID) {
	switch is := l.state.Audible(u); {
	case is:
		l.audible[u] = true
		delete(l.denied, u)
	case l.audible[u]:
		l.audible[u] = false
		l.denied[u] = now
	}
}

// fetch has what the log holds now applied a while later.
func (n *node) fetch(index int, d time.Duration) {
	life, to := n.life, len(n.w.rooms[index].events)
	n.w.after(d, func() {
		n.whenWell(func() {
			if n.life == life {
				n.served[index].apply(to)
			}
		})
	})
}

// follow is the part of a node's beat that is about the log.
func (n *node) follow() {
	w := n.w
	leader, ok := w.reaches(n)
	switch {
	case !ok:
		n.reachesSince = never
	case n.reachesSince == never:
		n.reachesSince = w.now
	}
	for i, s := range n.served {
		if ok && n.beats%5 == 0 && s.applied < len(w.rooms[i].events) {
			n.fetch(i, w.way(n.index, leader)+w.way(leader, n.index))
		}
		if n.beats%10 == n.index%10 {
			s.look()
		}
	}
}

// look says what time or gossip has brought: something is due, a node is dead.
func (s *served) look() {
	n, w := s.n, s.n.w
	if s.state.Seq == 0 || s.state.Phase != room.Live {
		return
	}
	system := room.Actor{System: true}
	if due := s.state.Deadline(); !due.IsZero() && due.Before(start.Add(w.now+n.skew)) {
		w.command(n, s.log, system, room.Tick{}, nil)
	}
	s.standby()
	holds := []rotunda.NodeID{s.state.Home, s.state.Standby.Node}
	for _, p := range s.state.Stage() {
		if p.Live {
			holds = append(holds, p.Node)
		}
		holds = append(holds, p.Nodes...)
	}
	slices.Sort(holds)
	for _, id := range slices.Compact(holds) {
		if i, ok := w.index[id]; ok && i != n.index && n.view[i].state == rotunda.Dead {
			w.command(n, s.log, system, room.Lost{Node: id}, nil)
		}
	}
}
