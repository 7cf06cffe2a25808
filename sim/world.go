// Package sim runs the mesh's own cores — plan, relay, room, duty, edge — for many nodes in one world: one goroutine, one
// queue of events, virtual time, and all chance from one seed. It answers two questions. Small worlds with every fault at
// once (Run) look for what no test of one package finds; a large one (Scale) shows on paper what no machine here can hold.
//
// What is the product's is imported; what is a model is in this package, and says so: gossip, links, the log's agreement,
// clients, the mixer's schedule. A model keeps the shells' rules (package cascade's pauses, holds and limits).
//
// The invariant: a world is a pure function of its configuration. The same seed gives the same events in the same order,
// and so the same hash, on every machine. Nothing here is safe for concurrent use; worlds share nothing.
package sim

import (
	"fmt"
	"hash/fnv"
	"time"

	"rotunda"
	"rotunda/cascade/plan"
	"rotunda/cascade/wire"
)

// Config says what world is made. The zero value of a field lets the seed decide.
type Config struct {
	Seed      uint64
	Nodes     int  // at most NodesMax
	Regions   int  // at most RegionsMax, and at most as many as nodes
	Listeners int  // people who only listen
	Faults    bool // nodes, links and clocks fail

	broken broken
}

// NodesMax bounds a world: one that is larger does not fit in a usual memory.
const NodesMax = 4000

// Result is what became of a world.
type Result struct {
	Seed    uint64        `json:"seed"`
	Hash    string        `json:"hash"` // of everything that happened, in order
	Nodes   int           `json:"nodes"`
	Regions int           `json:"regions"`
	Events  uint64        `json:"events"`
	Frames  uint64        `json:"frames"` // that arrived at a node, first or not
	Played  uint64        `json:"played"` // that became a packet for a node's listeners
	Homes   int           `json:"homes"`  // incarnations of programs: more than rooms, where a home died or moved
	Faults  int           `json:"faults"`
	Took    time.Duration `json:"virtual_ns"`
	Broken  string        `json:"broken,omitempty"` // the invariant that did not hold, and when; empty: all held
	Story   []string      `json:"story,omitempty"`  // what happened on the way there: faults, homes, commands
}

// broken are the rules that a test breaks on purpose, in the model around the cores, to see that a world finds out. Each
// field takes the place of the right thing; nil is the right thing.
type broken struct {
	paths      func(w *World, n *node, primary, backup []rotunda.NodeID) (p, b []rotunda.NodeID) // what a node asks for
	subscribe  func(w *World, n *node, m wire.Subscribe) wire.Subscribe                          // what a node understands of it
	duplicates bool                                                                              // frames that were here before go on
	homeStays  bool                                                                              // a home goes on though the log has another
	gateOpen   bool                                                                              // a microphone passes though it is shut
	skipEvent  bool                                                                              // a node leaves an event of the log out
	oldEpochs  bool                                                                              // an edge takes the program of any epoch
	unknown    bool                                                                              // nobody tells the log of an epoch that it does not know
	sameEpoch  bool                                                                              // a standby writes with home's epoch
	takesDeath bool                                                                              // who is said to be dead does not say no
	givesUp    bool                                                                              // a node plans each of its ways once
	openWays   bool                                                                              // the planner knows no fence
	serveAll   bool                                                                              // who stands outside a fence, or knows none, plans and serves as elsewhere
	openSeal   bool                                                                              // a room's content is read outside its fence
	anyStandby bool                                                                              // home names a standby outside the fence
	deafHome   bool                                                                              // home leaves the first of its speakers out of the program
}

// Phases of a small world.
const (
	calmBefore = 2 * time.Second  // no faults: everybody finds each other
	faultsFor  = 8 * time.Second  // faults begin and end
	calmAfter  = 10 * time.Second // what may take its time to mend: gossip, links, pauses between tries
	listenFor  = 2 * time.Second  // by now everybody hears everybody
)

// start is the wall clock of all worlds at their beginning.
var start = time.Unix(1_800_000_000, 0)

// storyMax bounds what a result tells; the latest things are kept.
const storyMax = 200

// World is one mesh with its people, at one time.
type World struct {
	cfg    Config
	dice   dice
	now    time.Duration
	queue  queue
	nodes  []*node
	index  map[rotunda.NodeID]int
	rooms  []*roomLog
	people []*person
	net    network
	// members is what every node's view is written into when it plans: the same members, each time with other states.
	members []rotunda.Member
	homes   map[homeKey]int // which node has published a program

	hash    uint64
	events  uint64
	frames  uint64
	played  uint64
	faults  int
	story   []string
	failure string
	large   *large // what a large world counts; nil in a small one
}

// Run makes a small world and lets it run to its end or to the first invariant that does not hold.
func Run(cfg Config) Result {
	w := newWorld(cfg)
	w.settleIn()
	if cfg.Faults {
		w.planFaults()
	}
	w.run(calmBefore + faultsFor + calmAfter)
	if w.failure == "" {
		w.beginListening()
		w.run(w.now + listenFor)
		w.checkLiveness()
	}
	return w.result()
}

func newWorld(cfg Config) *World {
	w := &World{cfg: cfg, dice: dice{cfg.Seed}, index: map[rotunda.NodeID]int{}, homes: map[homeKey]int{}, hash: fnv.New64a().Sum64()}
	regions := cfg.Regions
	if regions == 0 {
		regions = w.dice.between(1, 4)
	}
	nodes := cfg.Nodes
	if nodes == 0 {
		nodes = max(regions, w.dice.between(3, 12))
	}
	regions = min(regions, nodes, RegionsMax)
	places := w.dice.some(regions, RegionsMax)
	if cfg.Regions == RegionsMax {
		for i := range places {
			places[i] = i
		}
	}
	w.net = network{nodes: nodes, base: w.dice.time(0, time.Millisecond)}
	at := settle(places)
	for i := range nodes {
		place := places[i%regions]
		n := newNode(w, i, rotunda.NodeID(fmt.Sprintf("%s-%d", Places[place].Region, i/regions+1)), place)
		w.nodes = append(w.nodes, n)
		w.index[n.id] = i
		w.members = append(w.members, rotunda.Member{ID: n.id, Region: Places[place].Region, State: rotunda.Alive, Coordinate: at[place]})
	}
	for _, n := range w.nodes {
		n.boot()
	}
	return w
}

// at has f done after a while.
func (w *World) after(d time.Duration, f func()) { w.queue.push(event{at: w.now + d, do: f}) }

// run lets time pass until end, or until an invariant is broken.
func (w *World) run(end time.Duration) {
	for len(w.queue.events) > 0 && w.failure == "" {
		if w.queue.events[0].at > end {
			break
		}
		e := w.queue.pop()
		w.now = e.at
		w.events++
		if e.do != nil {
			e.do()
		} else {
			w.arrive(&e)
		}
		if len(w.queue.events) > w.queueMax() {
			w.fail("%d events wait", len(w.queue.events))
		}
	}
	w.now = max(w.now, end)
}

// queueMax is more than anything in a healthy world asks for: a storm of messages is a broken bound.
func (w *World) queueMax() int { return 2000*len(w.nodes) + 100_000 }

// fail ends the world: an invariant does not hold.
func (w *World) fail(format string, a ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf("after %.3f s: %s", w.now.Seconds(), fmt.Sprintf(format, a...))
	}
}

// tell adds a line to the story, and to the hash.
func (w *World) tell(format string, a ...any) {
	line := fmt.Sprintf("%8.3f  %s", w.now.Seconds(), fmt.Sprintf(format, a...))
	for i := range len(line) {
		w.hash = (w.hash ^ uint64(line[i])) * fnvPrime
	}
	if len(w.story) == storyMax {
		w.story = append(w.story[:0], w.story[1:]...)
	}
	w.story = append(w.story, line)
}

const fnvPrime = 1099511628211

// note adds what happened to the hash (FNV-1a over words).
func (w *World) note(words ...uint64) {
	w.hash = (w.hash ^ uint64(w.now)) * fnvPrime
	for _, x := range words {
		w.hash = (w.hash ^ x) * fnvPrime
		w.hash ^= w.hash >> 29 // FNV alone moves little to the right
	}
}

func (w *World) result() Result {
	r := Result{
		Seed: w.cfg.Seed, Hash: fmt.Sprintf("%016x", w.hash), Nodes: len(w.nodes), Regions: w.regions(), Events: w.events, Frames: w.frames,
		Played: w.played, Homes: len(w.homes), Faults: w.faults, Took: w.now, Broken: w.failure,
	}
	if r.Broken != "" {
		r.Story = w.story
	}
	return r
}

func (w *World) regions() int {
	seen := map[rotunda.Region]bool{}
	for _, m := range w.members {
		seen[m.Region] = true
	}
	return len(seen)
}

// request is n's question to the planner, from its own view.
func (w *World) request(n *node, room rotunda.RoomID, origin int, avoid func(rotunda.NodeID) bool) plan.Request {
	fence, _ := n.fence(room)
	if w.cfg.broken.openWays {
		fence = nil
	}
	for i, e := range n.view {
		w.members[i].State = e.state
	}
	return plan.Request{Self: n.id, Members: w.members, Room: room, Origin: w.nodes[origin].id, Avoid: avoid, Fence: fence}
}
