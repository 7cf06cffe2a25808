package sim

import (
	"time"

	"rotunda"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

// This file is a model of what is between nodes: ways that are long, lossy, slow or cut, and QUIC connections over them.
const (
	// beat is how often a node says that a link lives, and looks whether the others do; suspectAfter is the silence after
	// which other ways are looked for, deadAfter that after which the link ends. Package link is quicker: it looks every
	// 50 ms, and every 20 where frames flow.
	beat         = 100 * time.Millisecond
	suspectAfter = 200 * time.Millisecond
	deadAfter    = 5 * time.Second
	// dialMax bounds one try to reach a peer: package cascade.
	dialMax = 4 * time.Second
	// copyCost is what a node takes to send one more copy of a frame. goals.md: at most 5 µs a frame and hop.
	copyCost = 5 * time.Microsecond
	// hopCost is what a node takes from a frame's arrival to its first copy. goals.md: 3 ms p99 at 500 listeners; this is a
	// scheduler that is busy, not one that is free.
	hopCost = 300 * time.Microsecond
)

// network is the state of the ways. Pairs are numbered from·nodes + to.
type network struct {
	nodes int
	base  time.Duration
	cut   map[int]int     // how many faults cut a way
	lossy map[int]float64 // share of the packets that a way loses
	slow  map[int]time.Duration
}

func (t *network) pair(from, to int) int { return from*t.nodes + to }

// open reports whether packets get from one node to another at all, as far as the way goes.
func (t *network) open(from, to int) bool { return len(t.cut) == 0 || t.cut[t.pair(from, to)] == 0 }

// passes reports whether one packet gets from a to b.
func (w *World) passes(a, b int) bool {
	return w.net.open(a, b) && w.nodes[b].up && (len(w.net.lossy) == 0 || !w.dice.is(w.net.lossy[w.net.pair(a, b)]))
}

// answers reports whether b answers a's question, both ways being open.
func (w *World) answers(a, b int) bool {
	return w.nodes[b].well() && w.net.open(a, b) && w.net.open(b, a)
}

// way is how long one packet takes from a to b: the distance, and a queue that is short nearly always.
func (w *World) way(a, b int) time.Duration {
	far := OneWay(w.nodes[a].place, w.nodes[b].place)
	return far + w.dice.exponential(w.net.base/2+200*time.Microsecond+far/100) + w.net.slow[w.net.pair(a, b)]
}

// payload is that of all frames: nobody listens to them here.
var payload = []byte{0}

// packet is one frame as its origin made it; all copies share it and none changes it.
type packet struct {
	frame rotunda.Frame
	room  int
	from  int // the origin
	sent  time.Duration
	// program: it is a frame of a mix, not of a microphone
	program bool
}

// end is one node's end of a link.
type end struct {
	peer    int
	port    relay.Port
	other   *end
	open    bool
	suspect bool          // the table has been told so
	unheard bool          // the peer says that it hears nothing
	heard   time.Duration // the peer was heard last
	idle    time.Duration // something went over it last
	queue   []wire.Message
	pumping bool
}

// sendFrame puts one copy of a packet on its way over a link.
func (w *World) sendFrame(n *node, e *end, alias wire.Alias, p *packet, hops uint8, copies int) {
	w.checkFence(n, e.peer, p)
	if w.large != nil {
		w.large.copied(w, n.index, e.peer, p)
	}
	if !w.passes(n.index, e.peer) {
		return
	}
	at := w.now + hopCost + time.Duration(copies)*copyCost + w.way(n.index, e.peer)
	w.queue.push(event{at: at, frame: p, node: int32(e.peer), port: e.other.port, alias: alias, hops: hops})
}

// arrive gives a frame to the node where its time has come. A node that hangs has no buffer for it.
func (w *World) arrive(e *event) {
	n := w.nodes[e.node]
	if end := n.ports[e.port]; end != nil && n.well() {
		end.heard = w.now
		w.frames++
		n.frame(e)
	}
}

// control sends a message over a link, in order and as often as it takes.
func (w *World) control(n *node, e *end, m wire.Message) {
	if len(e.queue) >= controlMax {
		w.fail("%s has %d messages for %s", n.id, len(e.queue), w.nodes[e.peer].id)
		return
	}
	e.queue = append(e.queue, m)
	if !e.pumping {
		e.pumping = true
		w.after(w.way(n.index, e.peer), func() { w.pump(n, e) })
	}
}

// controlMax is how many messages may wait on one link: what one node asks another when it loses all its other ways.
const controlMax = 4096

// pump delivers what waits on a link: lost packets are sent again after a round trip, as QUIC does.
func (w *World) pump(n *node, e *end) {
	if !e.open || len(e.queue) == 0 {
		e.pumping, e.queue = false, nil
		return
	}
	if !n.well() || !w.passes(n.index, e.peer) {
		w.after(2*w.way(n.index, e.peer)+10*time.Millisecond, func() { w.pump(n, e) })
		return
	}
	m, peer := e.queue[0], w.nodes[e.peer]
	e.queue = e.queue[1:]
	e.pumping = len(e.queue) > 0
	if e.pumping {
		w.after(copyCost, func() { w.pump(n, e) })
	}
	if other := e.other; other.open {
		other.heard = w.now
		peer.whenWell(func() { peer.receive(other, m) })
	}
}

// dial brings up a link from n to a peer.
func (w *World) dial(n *node, peer int) {
	if n.links[peer] != nil || n.dialling[peer] {
		return
	}
	n.dialling[peer] = true
	life, p := n.life, w.nodes[peer]
	trip := w.way(n.index, peer) + w.way(peer, n.index)
	w.note(tagDial, uint64(n.index), uint64(peer))
	done := func() {
		if n.life != life || !n.up {
			return
		}
		delete(n.dialling, peer)
		switch {
		case n.links[peer] != nil: // it was faster to reach us
		case w.answers(n.index, peer):
			w.connect(n, p)
		default:
			n.unreachable(peer)
		}
	}
	if w.answers(n.index, peer) {
		w.after(trip, func() { n.whenWell(done) })
	} else {
		w.after(dialMax, func() { n.whenWell(done) })
	}
}

// connect makes two nodes neighbours. Of two links between them the newer stays: both ends know it at once here, which is
// what the rule of package cascade comes to.
func (w *World) connect(a, b *node) {
	if old := b.links[a.index]; old != nil {
		b.drop(old, false)
	}
	a.lastPort++
	b.lastPort++
	x := &end{peer: b.index, port: a.lastPort, open: true, heard: w.now + 2*OneWay(a.place, b.place), idle: w.now}
	y := &end{peer: a.index, port: b.lastPort, open: true, heard: x.heard, idle: w.now}
	x.other, y.other = y, x
	a.adopt(x)
	b.adopt(y)
}

// closeFar tells the other end of a link that it is over, if anything gets there; else that end finds out by the silence.
func (w *World) closeFar(n *node, e *end) {
	other, peer := e.other, w.nodes[e.peer]
	if !w.net.open(n.index, e.peer) {
		return
	}
	w.after(w.way(n.index, e.peer), func() {
		peer.whenWell(func() {
			if other.open {
				peer.drop(other, true)
			}
		})
	})
}

// Tags of what goes into the hash.
const (
	tagDial uint64 = iota + 1
	tagUp
	tagDown
	tagMessage
	tagFrame
	tagDrop
	tagPlan
	tagView
	tagEvent
	tagProgram
	tagSuspect
)
