package sim

import (
	"fmt"
	"time"

	"rotunda"
	"rotunda/control/room"
)

// This file is a model of people and their clients: they join, talk, are muted and removed, and move to another node when
// theirs is silent.
const (
	clientLook  = 250 * time.Millisecond // how often a client looks whether its node is there and its session as it should be
	clientMoves = time.Second            // silence after which it goes to another node
	directEvery = 600 * time.Millisecond // how often somebody in a room does something
)

// person is one person in one room.
type person struct {
	w       *World
	user    rotunda.UserID
	room    int
	speaks  bool
	gone    bool // removed from the room
	node    int
	life    int           // of the node, when they came
	silent  time.Duration // since when the node is; 0: it is not
	pending bool          // a command is under way
	seq     uint64        // counts what they do, so that old answers do not count
}

// settleIn opens the rooms and brings the people in.
func (w *World) settleIn() {
	rooms := w.dice.between(1, 2)
	for i := range rooms {
		id, fence := w.fenced(i)
		l := &roomLog{id: id, fence: fence, index: i, denied: map[rotunda.UserID]time.Duration{}, audible: map[rotunda.UserID]bool{}}
		l.state = room.New(l.id)
		w.rooms = append(w.rooms, l)
		for _, n := range w.nodes {
			n.served = append(n.served, newServed(n, l))
		}
		speakers, listeners := w.dice.between(1, 3), w.dice.between(1, 5)
		if w.cfg.Listeners > 0 {
			listeners = max(1, w.cfg.Listeners/rooms)
		}
		for j := range speakers + listeners {
			u := rotunda.UserID(fmt.Sprintf("speaker-%d-%d", i+1, j+1))
			if j >= speakers {
				u = rotunda.UserID(fmt.Sprintf("listener-%d-%d", i+1, j+1-speakers))
			}
			w.people = append(w.people, &person{w: w, user: u, room: i, speaks: j < speakers, node: w.inside(l, w.dice.n(len(w.nodes))), life: 1})
		}
	}
	for i, p := range w.people {
		first := i == 0 || w.people[i-1].room != p.room
		w.after(w.dice.time(0, 300*time.Millisecond), func() { p.enter(first) })
	}
	w.after(calmBefore, w.direct)
}

// enter brings a person in: the host opens the room, the others come when there is one.
func (p *person) enter(host bool) {
	w := p.w
	n, l := w.nodes[p.node], w.rooms[p.room]
	if !host && l.state.Seq == 0 {
		w.after(100*time.Millisecond, func() { p.enter(false) })
		return
	}
	var cmd room.Command = room.Claim{}
	a := room.Actor{User: p.user, Name: string(p.user), Role: rotunda.Speaker, Grant: true}
	if host {
		a, cmd = room.Actor{User: p.user, Name: string(p.user)}, room.Create{Title: "A room", Node: n.id, Fence: l.fence}
	}
	joined := func(ok bool) {
		if !ok {
			w.after(200*time.Millisecond, func() { p.enter(host) })
			return
		}
		p.join()
		p.look()
		if p.speaks {
			p.talk()
		}
	}
	if p.speaks {
		w.command(n, l, a, cmd, joined)
	} else {
		joined(true)
	}
}

// join begins a session that takes audio.
func (p *person) join() {
	s := p.w.nodes[p.node].served[p.room]
	s.players = append(s.players, p.user)
	s.reconcile()
	if p.speaks {
		p.w.command(s.n, s.log, room.Actor{System: true}, room.Present{User: p.user, Node: s.n.id}, nil)
	}
}

// leave ends a person's sessions where they are, as far as the node still has them.
func (p *person) leave() {
	n := p.w.nodes[p.node]
	if !n.up || n.life != p.life {
		return
	}
	s, user, speaks := n.served[p.room], p.user, p.speaks
	n.whenWell(func() {
		for i, u := range s.players {
			if u == user {
				s.players = append(s.players[:i:i], s.players[i+1:]...)
				break
			}
		}
		if m := s.mics[user]; m != nil {
			if m.stream != nil {
				n.core.Unpublish(m.stream.Key.Stream)
			}
			delete(s.mics, user)
		}
		s.reconcile()
		if speaks {
			n.w.command(n, s.log, room.Actor{System: true}, room.Absent{User: user, Node: n.id}, nil)
		}
	})
}

// look is what a client does from time to time.
func (p *person) look() {
	w := p.w
	w.after(clientLook, p.look)
	n := w.nodes[p.node]
	if n.well() && n.life == p.life {
		p.silent = 0
		if n.draining {
			p.move()
		} else if p.speaks && !p.gone {
			p.keepMic(n)
		}
		return
	}
	if p.silent == 0 {
		p.silent = w.now
	}
	if w.now-p.silent >= clientMoves || n.well() {
		p.move()
	}
}

// move goes to another node that takes people.
func (p *person) move() {
	w := p.w
	to := w.dice.n(len(w.nodes))
	if n := w.nodes[to]; !n.well() || n.draining || !n.within(w.rooms[p.room].fence) {
		return // and looks again
	}
	w.note(uint64(p.node), uint64(to))
	p.leave()
	p.node, p.life, p.silent, p.pending = to, w.nodes[to].life, 0, false
	p.seq++
	p.join()
}

// keepMic sees to it that the microphone's session is the current one, and open.
func (p *person) keepMic(n *node) {
	w, s := p.w, n.served[p.room]
	part, on := s.state.Participant(p.user)
	if _, removed := s.state.Removed(p.user); removed && !on {
		p.gone = true
		return
	}
	if p.pending || !on {
		return
	}
	seq := p.seq
	m := s.mics[p.user]
	switch {
	case m == nil || !part.Live || part.Node != n.id || part.Epoch != m.epoch:
		p.pending = true
		w.command(n, s.log, room.Actor{User: p.user}, room.Publish{Node: n.id}, func(ok bool) {
			if p.seq != seq {
				return
			}
			p.pending = false
			if ok {
				s.mics[p.user] = &mic{epoch: s.log.state.MicEpoch(p.user)}
				s.reconcile()
			}
		})
	case part.Muted && w.dice.n(4) == 0:
		p.pending = true
		w.command(n, s.log, room.Actor{User: p.user}, room.Unmute{User: p.user}, func(bool) {
			if p.seq == seq {
				p.pending = false
			}
		})
	}
}

// talk sends a packet every 20 ms; the node lets it pass or not.
func (p *person) talk() {
	w := p.w
	if p.gone {
		return
	}
	w.after(rotunda.FrameDuration, p.talk)
	n := w.nodes[p.node]
	if !n.well() || n.life != p.life {
		return
	}
	s := n.served[p.room]
	m := s.mics[p.user]
	if m == nil || m.stream == nil {
		return
	}
	gate, current := s.duties.Mics[p.user]
	if !current || !gate.Open && !w.cfg.broken.gateOpen {
		return
	}
	w.checkGrant(n, p.room, p.user, m.epoch)
	m.seq++
	f := rotunda.Frame{Seq: m.seq, Timestamp: uint32(w.now / rotunda.FrameDuration * rotunda.FrameTicks), Origin: rotunda.Micros(start.Add(w.now + n.skew)), Payload: payload}
	n.core.Keep(m.stream, &f)
	n.forward(m.stream, &packet{frame: f, room: p.room, from: n.index, sent: w.now}, 0)
}

// direct has somebody do something in a room, as long as there are faults.
func (w *World) direct() {
	if w.now > calmBefore+faultsFor {
		return
	}
	w.after(w.dice.time(directEvery/2, directEvery*3/2), w.direct)
	p, q := w.people[w.dice.n(len(w.people))], w.people[w.dice.n(len(w.people))]
	n := w.nodes[p.node]
	if p.room != q.room || !n.well() {
		return
	}
	l := w.rooms[p.room]
	a := room.Actor{User: l.state.Host}
	var cmd room.Command
	switch w.dice.n(8) {
	case 0, 1, 2:
		cmd = room.Mute{User: q.user}
	case 3:
		cmd = room.MuteAll{}
	case 4:
		cmd, a = room.Request{}, room.Actor{User: p.user, Name: string(p.user)}
	case 5:
		cmd = room.SetRole{User: q.user, Role: rotunda.Cohost}
	case 6:
		for _, q := range w.people { // the host's microphone brings the home with it
			if q.user == l.state.Host && w.nodes[q.node].well() {
				p = q
			}
		}
		p.move()
		return
	case 7:
		if w.dice.n(3) > 0 {
			return
		}
		cmd = room.Remove{User: q.user, Ban: w.dice.n(2) == 0}
	}
	w.command(n, l, a, cmd, nil)
}

// beginListening ends what is still to happen of itself: from now on everybody only talks and listens.
func (w *World) beginListening() { w.tell("all faults are over: who is heard now?") }
