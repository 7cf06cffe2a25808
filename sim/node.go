package sim

import (
	"slices"
	"time"

	"rotunda"
	"rotunda/cascade/plan"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

// The pauses and holds of package cascade's schedule.
const (
	retryFirst  = 50 * time.Millisecond
	retryMax    = 2 * time.Second
	calm        = 5 * time.Second
	replanEvery = 50 // beats
	avoidRelay  = 10 * time.Second
	idleMax     = 30 * time.Second
	holdFirst   = 10 * time.Second
	holdMax     = time.Minute
)

// node is one node: the real routing table, and a model of the shell around it.
type node struct {
	w     *World
	index int
	id    rotunda.NodeID
	place int

	up, hung, draining bool
	life               int           // counts the starts
	backlog            []func()      // what came while it hung
	skew               time.Duration // of its wall clock
	beats              int

	core     *relay.Core
	ports    map[relay.Port]*end
	links    map[int]*end // by peer
	ends     []*end       // the same, in the order they came
	lastPort relay.Port   // never used again, not by another life either
	dialling map[int]bool
	holds    map[int]*hold
	wants    map[relay.Key]*want
	passed   map[*relay.Stream]*once
	promises []promise // what others have asked this node for

	view      []entry
	rumours   []rumour
	lookAgain bool // the view has changed

	served       []*served     // by room
	reachesSince time.Duration // the log can be asked since; never: it cannot
}

const never = time.Duration(1<<63 - 1)

// promise is a subscription of another node, and the hops that it said were left from here.
type promise struct {
	out  relay.Out
	hops int
}

// hold keeps streams off a peer whose link failed.
type hold struct {
	length      time.Duration
	upAt, avoid time.Duration
}

// want is this node's interest in a stream.
type want struct {
	key      relay.Key
	origin   int
	stream   *relay.Stream
	due      uint64 // counts the plans asked for: only the last one is made
	failures int
	hitless  bool // two ways
	detour   bool // the other way is taken where one is to do
	failedAt time.Duration
	through  map[rotunda.NodeID]int
	avoid    map[rotunda.NodeID]time.Duration
}

func newNode(w *World, index int, id rotunda.NodeID, place int) *node {
	return &node{w: w, index: index, id: id, place: place}
}

// well reports whether the node does anything.
func (n *node) well() bool { return n.up && !n.hung }

// whenWell does f now, or when the node hangs no more; a node that is down forgets it.
func (n *node) whenWell(f func()) {
	switch {
	case !n.up:
	case n.hung:
		n.backlog = append(n.backlog, f)
	default:
		f()
	}
}

// boot starts the node with nothing but its certificates and the list of members.
func (n *node) boot() {
	w := n.w
	n.up, n.hung, n.backlog, n.draining = true, false, nil, false
	n.life++
	n.core = relay.New(n.id)
	n.ports, n.links, n.ends = map[relay.Port]*end{}, map[int]*end{}, nil
	n.dialling, n.holds = map[int]bool{}, map[int]*hold{}
	n.wants, n.passed, n.promises = map[relay.Key]*want{}, map[*relay.Stream]*once{}, nil
	n.view, n.rumours = make([]entry, w.net.nodes), nil
	for i := range n.view {
		n.view[i] = entry{state: rotunda.Alive}
	}
	n.reachesSince = never
	n.served = nil
	for _, l := range w.rooms {
		n.served = append(n.served, newServed(n, l))
	}
	life := n.life
	w.after(w.dice.time(0, beat), func() { n.beat(life) })
}

// beat is what a node does ten times a second.
func (n *node) beat(life int) {
	w := n.w
	if n.life != life || !n.up {
		return
	}
	w.after(beat, func() { n.beat(life) })
	if n.hung {
		return
	}
	n.beats++
	for _, e := range slices.Clone(n.ends) {
		switch {
		case !e.open:
		case w.now-e.heard > deadAfter, !e.other.open && w.answers(n.index, e.peer): // or the peer has begun anew, and says so
			n.drop(e, true)
			w.closeFar(n, e)
		case n.beats%10 == 0 && !n.core.Busy(e.port) && w.now-e.idle > idleMax:
			n.drop(e, false)
			w.closeFar(n, e)
		default:
			if n.beats%10 == 0 && n.core.Busy(e.port) {
				e.idle = w.now
			}
			n.attend(e)
		}
	}
	if n.beats%10 == 0 {
		n.do(n.core.Tidy())
		n.trespass()
	}
	n.gossip()
	if n.lookAgain {
		n.lookAgain = false
		for _, want := range n.sortedWants() {
			if want.origin != n.index && want.stream.Path() == nil {
				n.plan(want)
			}
		}
	}
	if n.beats%replanEvery == n.index%replanEvery {
		for _, want := range n.sortedWants() {
			if want.origin != n.index && w.now-want.failedAt > calm {
				n.plan(want)
			}
		}
	}
	n.follow()
}

// attend keeps a link alive, and says whether the peer is heard: that goes into the table, and to the peer.
func (n *node) attend(e *end) {
	w := n.w
	deaf := w.now-e.heard > suspectAfter
	if w.passes(n.index, e.peer) {
		e.other.heard = max(e.other.heard, w.now+OneWay(n.place, w.nodes[e.peer].place))
		e.other.unheard = deaf
	}
	if is := deaf || e.unheard; is != e.suspect {
		e.suspect = is
		w.note(tagSuspect, uint64(n.index), uint64(e.peer))
		n.do(n.core.Suspect(e.port, is))
	}
}

func (n *node) sortedWants() []*want {
	all := make([]*want, 0, len(n.wants))
	for _, x := range n.wants {
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b *want) int { return compareKeys(a.key, b.key) })
	return all
}

// adopt puts a new link into the table.
func (n *node) adopt(e *end) {
	n.w.note(tagUp, uint64(n.index), uint64(e.peer))
	n.ports[e.port], n.links[e.peer] = e, e
	n.ends = append(n.ends, e)
	h := n.hold(e.peer)
	h.upAt = n.w.now
	n.do(n.core.LinkUp(e.port, n.w.nodes[e.peer].id))
}

// drop takes a link out of the table; a failed one keeps streams off the peer for a while.
func (n *node) drop(e *end, failed bool) {
	n.w.note(tagDown, uint64(n.index), uint64(e.peer))
	e.open = false
	delete(n.ports, e.port)
	delete(n.links, e.peer)
	n.ends = slices.DeleteFunc(n.ends, func(x *end) bool { return x == e })
	if failed {
		n.failed(e.peer, true)
	}
	n.do(n.core.LinkDown(e.port))
}

func (n *node) unreachable(peer int) {
	n.failed(peer, false)
	n.do(n.core.Unreachable(n.w.nodes[peer].id))
}

func (n *node) hold(peer int) *hold {
	h := n.holds[peer]
	if h == nil {
		h = &hold{}
		n.holds[peer] = h
	}
	return h
}

// failed is package cascade's rule for peers that come and go.
func (n *node) failed(peer int, linked bool) {
	h, now := n.hold(peer), n.w.now
	switch {
	case linked && now-h.upAt > holdMax, h.length == 0, now-h.avoid > holdMax:
		h.length = holdFirst
	case now > h.avoid:
		h.length = min(2*h.length, holdMax)
	}
	h.avoid = now + h.length
}

// receive takes a control message.
func (n *node) receive(e *end, m wire.Message) {
	if !e.open {
		return
	}
	asked, ok := m.(wire.Subscribe)
	if ok && n.w.cfg.broken.subscribe != nil {
		m = n.w.cfg.broken.subscribe(n.w, n, asked)
	}
	n.w.note(tagMessage, uint64(n.index), uint64(e.peer))
	if ok && n.refused(e, asked) {
		return
	}
	if ok {
		n.promises = append(n.promises, promise{relay.Out{Port: e.port, Alias: asked.Alias}, len(asked.Path)})
	}
	actions, err := n.core.Receive(e.port, m)
	if err != nil {
		n.w.fail("%s: %s sent %+v: %v", n.id, n.w.nodes[e.peer].id, m, err)
	}
	n.do(actions)
}

// do carries out what the table decided, and checks the table.
func (n *node) do(actions []relay.Action) {
	for _, a := range actions {
		switch a.Kind {
		case relay.Send:
			if e := n.ports[a.Port]; e != nil {
				n.w.control(n, e, a.Message)
			}
		case relay.Dial:
			n.w.dial(n, n.w.index[a.Node])
		case relay.Replan:
			if x := n.wants[a.Key]; x != nil {
				n.broke(x, a)
			}
		case relay.Wanted:
			for _, s := range n.served {
				s.wantedChanged(a.Key)
			}
		case relay.Replay:
			n.replay(a)
		default:
			panic("sim: unknown action")
		}
	}
	n.check()
}

// replay sends frames that were here once more.
func (n *node) replay(a relay.Action) {
	e := n.ports[a.Port]
	if e == nil {
		return
	}
	copies := 0
	for f := range n.core.From(a.Key, a.From) {
		p := &packet{frame: *f, room: n.w.room(a.Key.Stream.Room), from: n.w.index[a.Key.Origin], program: a.Key.Stream.Track == rotunda.Program}
		p.sent = time.Duration(f.Origin-rotunda.Micros(start)) * time.Microsecond // but for the skew of the origin's clock
		p.frame.Payload = payload
		n.w.sendFrame(n, e, a.Alias, p, f.Hops, copies)
		copies++
	}
}

// want takes a stream from now on. hitless: by two ways.
func (n *node) want(k relay.Key, hitless bool) {
	if x := n.wants[k]; x != nil {
		if x.hitless != hitless && x.origin != n.index {
			x.hitless = hitless
			n.plan(x)
		}
		return
	}
	s, actions := n.core.Want(k, nil, nil)
	if s == nil {
		n.w.fail("%s: the table is full", n.id)
		return
	}
	x := &want{key: k, origin: n.w.index[k.Origin], stream: s, hitless: hitless}
	n.wants[k] = x
	n.do(actions)
	if x.origin != n.index {
		n.plan(x)
	}
}

// unwant lets go of a stream.
func (n *node) unwant(k relay.Key) {
	if n.wants[k] == nil {
		return
	}
	delete(n.wants, k)
	n.do(n.core.Unwant(k))
}

// planIn has a plan made after a while, in the place of others that were to be made.
func (n *node) planIn(x *want, d time.Duration) {
	x.due++
	due, life := x.due, n.life
	n.w.after(d, func() {
		n.whenWell(func() {
			if n.life == life && n.wants[x.key] == x && x.due == due {
				n.plan(x)
			}
		})
	})
}

// plan asks for a stream along the ways that are best now.
func (n *node) plan(x *want) {
	w := n.w
	if x.due++; w.cfg.broken.givesUp && x.due > 1 {
		return
	}
	primary, backup := plan.Paths(w.request(n, x.key.Stream.Room, x.origin, func(id rotunda.NodeID) bool {
		h := n.holds[w.index[id]]
		e := n.links[w.index[id]]
		return w.now < x.avoid[id] || h != nil && w.now < h.avoid || e != nil && e.suspect
	}))
	if w.cfg.broken.paths != nil {
		primary, backup = w.cfg.broken.paths(w, n, primary, backup)
	}
	w.checkPaths(n, x, primary, backup)
	w.note(tagPlan, uint64(n.index), uint64(len(primary)), uint64(len(backup)))
	switch {
	case primary == nil:
		if x.stream.Path() == nil {
			n.planIn(x, retryMax)
		}
		return
	case x.hitless:
	case x.detour && backup != nil:
		primary, backup = backup, nil
	default:
		backup = nil
	}
	_, actions := n.core.Want(x.key, primary, backup)
	n.do(actions)
}

// broke notes that a way failed and has another planned: at once the first time.
func (n *node) broke(x *want, a relay.Action) {
	now := n.w.now
	if now-x.failedAt > calm {
		x.failures = 0
		clear(x.through)
	}
	x.failedAt = now
	if x.through == nil {
		x.through, x.avoid = map[rotunda.NodeID]int{}, map[rotunda.NodeID]time.Duration{}
	}
	switch {
	case a.Node == x.key.Origin:
		x.detour = !x.detour
		if x.through[a.Via]++; a.Via != x.key.Origin && (a.Reason != wire.Unreachable || x.through[a.Via] >= 2) {
			x.avoid[a.Via] = now + avoidRelay
		}
	case a.Node != a.Via || a.Reason != wire.Unreachable:
		x.avoid[a.Node] = now + avoidRelay
	}
	var pause time.Duration
	if x.failures > 0 {
		pause = min(retryFirst<<min(x.failures-1, 10), retryMax)
		pause = pause*3/4 + n.w.dice.time(0, pause/2)
	}
	x.failures++
	n.planIn(x, pause)
}

// frame takes a frame from a link.
func (n *node) frame(e *event) {
	f := e.frame.frame
	f.Hops = e.hops
	s, drop := n.core.Arrive(e.port, e.alias, &f)
	if s != nil && s.Unsettled() {
		n.do(n.core.Settle(s))
	}
	if drop == relay.DropDuplicate && n.w.cfg.broken.duplicates {
		drop = ""
	}
	if drop != "" {
		n.w.note(tagDrop, uint64(n.index), uint64(f.Seq))
		return
	}
	n.w.note(tagFrame, uint64(n.index), uint64(f.Seq), uint64(f.Hops))
	n.forward(s, e.frame, f.Hops)
}

// forward gives a frame to all who take the stream.
func (n *node) forward(s *relay.Stream, p *packet, hops uint8) {
	seen := n.passed[s]
	if seen == nil {
		seen = &once{}
		n.passed[s] = seen
	}
	if !seen.first(uint64(p.frame.Seq)) {
		n.w.fail("%s passes frame %d of %v on twice", n.id, p.frame.Seq, s.Key)
	}
	if hops > rotunda.HopsMax {
		n.w.fail("frame %d of %v has crossed %d links", p.frame.Seq, s.Key, hops)
	}
	for i, o := range s.Outs() {
		if e := n.ports[o.Port]; e != nil {
			n.w.sendFrame(n, e, o.Alias, p, hops, i)
		}
	}
	if x := n.wants[s.Key]; x != nil {
		if n.w.large != nil {
			n.w.large.arrived(n.w, n, p, hops)
		}
		n.take(x, p)
	}
}
