package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"rotunda"
	"rotunda/cascade/relay"
	"rotunda/control/room"
)

// Large says what one large room is measured in. The zero value of a field is the figure that goals.md names.
type Large struct {
	Seed      uint64
	Nodes     int // 2,000
	Regions   int // 30
	Listeners int // 1,000,000
}

// Phases of a large world: everybody arrives, all is measured, a region is lost, and what follows is measured.
const (
	largeArrive  = 2 * time.Second
	largeSettle  = 8 * time.Second
	largeMeasure = 10 * time.Second
	largeAfter   = 10 * time.Second
)

// large is what a large world counts. Ages are in bins of a millisecond.
type large struct {
	measuring bool
	listeners []int // by node
	sent      uint64
	crossed   [RegionsMax][RegionsMax]uint64 // copies of program frames, by where from and to
	hops      map[int]int                    // nodes by the links that a frame crosses to them, of the last frame each
	ages      histogram
	excess    histogram
	distance  histogram
	regions   [RegionsMax]histogram
	home      int

	first, last rotunda.Seq // of the frames that are counted when a region is lost
	got         []int       // by node: of these
	late        []int       // by node: later than lateAfter
	at          []time.Duration
	silence     []time.Duration // by node: the longest time between two frames
	counting    bool
	dead        int // region; -1: none
	rehomed     *rehomed
}

// lateAfter is how much later than by the direct way a frame may come and still be played: goals.md's audible gap.
const lateAfter = 200 * time.Millisecond

// histogram counts in bins of a millisecond.
type histogram struct {
	bins  [1000]uint64
	total uint64
}

func (h *histogram) add(d time.Duration, weight int) {
	h.bins[min(int(max(0, d)/time.Millisecond), len(h.bins)-1)] += uint64(weight)
	h.total += uint64(weight)
}

// at is the quantile q, rounded up to the bin's end.
func (h *histogram) at(q float64) time.Duration {
	need, sum := uint64(q*float64(h.total)), uint64(0)
	for i, n := range h.bins {
		if sum += n; sum > need || sum == h.total {
			return time.Duration(i+1) * time.Millisecond
		}
	}
	return 0
}

// curve is the share of what is counted up to each millisecond.
func (h *histogram) curve(upTo int) (points [][2]float64) {
	sum := uint64(0)
	for i := range min(upTo, len(h.bins)) {
		sum += h.bins[i]
		points = append(points, [2]float64{float64(i + 1), float64(sum) / float64(max(1, h.total))})
	}
	return points
}

// copied counts one copy of a frame on its way.
func (l *large) copied(w *World, from, to int, p *packet) {
	if l.measuring && p.program {
		l.crossed[w.nodes[from].place][w.nodes[to].place]++
	}
}

// arrived counts a program frame at a node's listeners.
func (l *large) arrived(w *World, n *node, p *packet, hops uint8) {
	if !p.program {
		return
	}
	age, direct := w.now-p.sent, OneWay(w.nodes[l.home].place, n.place)
	if n.index == l.home {
		age, direct = 0, 0
	}
	if l.measuring {
		weight := l.listeners[n.index]
		l.ages.add(age, weight)
		l.excess.add(age-direct, weight)
		l.distance.add(direct, weight)
		l.regions[n.place].add(age, weight)
		l.hops[n.index] = int(hops)
	}
	if l.counting {
		if l.at[n.index] > 0 {
			l.silence[n.index] = max(l.silence[n.index], w.now-l.at[n.index])
		}
		l.at[n.index] = w.now
		if p.frame.Seq >= l.first && p.frame.Seq <= l.last {
			l.got[n.index]++
			if age-direct > lateAfter {
				l.late[n.index]++
			}
		}
	}
}

// newLarge makes the world of one large room: its host where the home is, three speakers far away, and listeners at every
// node.
func newLarge(cfg Large) (*World, *large) {
	w := newWorld(Config{Seed: cfg.Seed, Nodes: cfg.Nodes, Regions: cfg.Regions})
	l := &large{
		listeners: make([]int, cfg.Nodes), hops: map[int]int{}, got: make([]int, cfg.Nodes), late: make([]int, cfg.Nodes), at: make([]time.Duration, cfg.Nodes),
		silence: make([]time.Duration, cfg.Nodes), dead: -1,
	}
	w.large = l
	log := &roomLog{id: "large", denied: map[rotunda.UserID]time.Duration{}, audible: map[rotunda.UserID]bool{}, state: room.New("large")}
	w.rooms = append(w.rooms, log)
	at := start
	decide := func(a room.Actor, cmd room.Command) {
		if !w.append(log, 0, at, a, cmd) {
			w.fail("%s is refused to %s", cmd.Name(), a.User)
		}
	}
	stage := []int{0, 11 % cfg.Regions, 25 % cfg.Regions, 7 % cfg.Regions} // Virginia, Frankfurt, Tokyo, São Paulo
	for _, n := range w.nodes {
		n.served = append(n.served, newServed(n, log))
	}
	for i, index := range stage {
		u := rotunda.UserID(fmt.Sprintf("speaker-%d", i+1))
		n := w.nodes[index]
		if i == 0 {
			decide(room.Actor{User: u, Name: "Host"}, room.Create{Title: "A large room", Node: n.id})
		} else {
			decide(room.Actor{User: u, Name: "Speaker", Role: rotunda.Speaker, Grant: true}, room.Claim{})
		}
		decide(room.Actor{User: u}, room.Publish{Node: n.id})
		decide(room.Actor{User: u}, room.Unmute{User: u})
		p := &person{w: w, user: u, speaks: true, node: index, life: 1}
		w.people = append(w.people, p)
	}
	for i, n := range w.nodes {
		l.listeners[i] = cfg.Listeners/cfg.Nodes + min(1, max(0, cfg.Listeners%cfg.Nodes-i))
		w.after(w.dice.time(0, largeArrive), func() {
			n.served[0].players = append(n.served[0].players, "listeners")
			n.served[0].apply(len(log.events))
			n.served[0].reconcile()
		})
	}
	for _, p := range w.people {
		w.after(largeArrive, func() {
			s := w.nodes[p.node].served[0]
			s.players = append(s.players, p.user)
			s.mics[p.user] = &mic{epoch: log.state.MicEpoch(p.user)}
			s.reconcile()
			p.talk()
		})
	}
	return w, l
}

// loss is the region whose end would hurt others most: the one that sends most copies to other regions, home's apart.
func (l *large) loss(w *World) int {
	worst, most := -1, uint64(0)
	for from := range l.crossed {
		sum := uint64(1)
		for to := range l.crossed {
			if to != from {
				sum += l.crossed[from][to]
			}
		}
		there := slices.ContainsFunc(w.people, func(p *person) bool { return w.nodes[p.node].place == from })
		if !there && sum > most && slices.ContainsFunc(w.nodes, func(n *node) bool { return n.place == from }) {
			worst, most = from, sum
		}
	}
	return worst
}

// begin opens the counts of what a node misses.
func (l *large) begin(w *World) {
	seq := w.nodes[l.home].served[0].home.seq
	l.first, l.last = seq+1, seq+rotunda.Seq((largeAfter-2*time.Second)/rotunda.FrameDuration)
	l.counting = true
}

// fanOut lists what the nodes send: the subscriptions that each serves, of all streams of the room, the most first.
func (w *World) fanOut() []int {
	var out []int
	for _, n := range w.nodes {
		out = append(out, n.core.Stats().Out)
	}
	slices.SortFunc(out, func(a, b int) int { return cmp.Compare(b, a) })
	return out
}

// programKey is the large room's program.
func (w *World) programKey() relay.Key {
	s := w.rooms[0].state
	return relay.Key{Stream: rotunda.StreamID{Room: s.ID, Track: rotunda.Program, Epoch: s.Epoch}, Origin: s.Home}
}
