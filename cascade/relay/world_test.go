package relay_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"rotunda"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

// fatal is a test of either kind.
type fatal interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

// world is several tables whose links are queues: the whole cascade without clock or sockets. Every node may choose any
// path at any time, so their views of the members may be as different as can be.
type world struct {
	t     fatal
	nodes []rotunda.NodeID
	cores map[rotunda.NodeID]*relay.Core
	ports map[[2]rotunda.NodeID]relay.Port // ours, by whose and to whom
	peers map[rotunda.NodeID]map[relay.Port]rotunda.NodeID
	queue map[[2]rotunda.NodeID][]wire.Message // from, to
	next  relay.Port
	wants map[rotunda.NodeID]bool
	plans map[rotunda.NodeID]bool // path broke, or none was taken yet
	dials [][2]rotunda.NodeID
}

const worldOrigin rotunda.NodeID = "n0"

func newWorld(t fatal, n int) *world {
	w := &world{
		t: t, cores: map[rotunda.NodeID]*relay.Core{}, ports: map[[2]rotunda.NodeID]relay.Port{},
		peers: map[rotunda.NodeID]map[relay.Port]rotunda.NodeID{}, queue: map[[2]rotunda.NodeID][]wire.Message{},
		wants: map[rotunda.NodeID]bool{}, plans: map[rotunda.NodeID]bool{},
	}
	for i := range n {
		id := rotunda.NodeID(fmt.Sprintf("n%d", i))
		w.nodes = append(w.nodes, id)
		w.cores[id] = relay.New(id)
		w.peers[id] = map[relay.Port]rotunda.NodeID{}
	}
	w.cores[worldOrigin].Publish(program)
	return w
}

func (w *world) do(at rotunda.NodeID, actions []relay.Action) {
	for _, a := range actions {
		switch a.Kind {
		case relay.Send:
			if to, ok := w.peers[at][a.Port]; ok {
				l := [2]rotunda.NodeID{at, to}
				w.queue[l] = append(w.queue[l], a.Message)
			}
		case relay.Dial:
			w.dials = append(w.dials, [2]rotunda.NodeID{at, a.Node})
		case relay.Replan:
			w.plans[at] = true
		}
	}
	if err := w.cores[at].CheckInvariants(); err != nil {
		w.t.Fatalf("%s: %v", at, err)
	}
}

func (w *world) linkUp(a, b rotunda.NodeID) {
	if _, ok := w.ports[[2]rotunda.NodeID{a, b}]; ok {
		return
	}
	for _, l := range [][2]rotunda.NodeID{{a, b}, {b, a}} {
		w.next++
		w.ports[l] = w.next
		w.peers[l[0]][w.next] = l[1]
	}
	w.do(a, w.cores[a].LinkUp(w.ports[[2]rotunda.NodeID{a, b}], b))
	w.do(b, w.cores[b].LinkUp(w.ports[[2]rotunda.NodeID{b, a}], a))
}

func (w *world) linkDown(a, b rotunda.NodeID) {
	for _, l := range [][2]rotunda.NodeID{{a, b}, {b, a}} {
		p, ok := w.ports[l]
		if !ok {
			return
		}
		delete(w.ports, l)
		delete(w.peers[l[0]], p)
		delete(w.queue, l)
		w.do(l[0], w.cores[l[0]].LinkDown(p))
	}
}

// deliver hands over the oldest message of one link, or makes a link that was asked for.
func (w *world) deliver(l [2]rotunda.NodeID) {
	m := w.queue[l][0]
	w.queue[l] = w.queue[l][1:]
	actions, err := w.cores[l[1]].Receive(w.ports[[2]rotunda.NodeID{l[1], l[0]}], m)
	if err != nil {
		w.t.Fatal(err)
	}
	w.do(l[1], actions)
}

func (w *world) full() [][2]rotunda.NodeID {
	var ls [][2]rotunda.NodeID
	for l, q := range w.queue {
		if len(q) > 0 {
			ls = append(ls, l)
		}
	}
	slices.SortFunc(ls, func(a, b [2]rotunda.NodeID) int { return slices.Compare(a[:], b[:]) })
	return ls
}

func (w *world) drain() {
	for n := 0; ; n++ {
		if n > 100_000 {
			w.t.Fatal("messages without end")
		}
		if ls := w.full(); len(ls) > 0 {
			w.deliver(ls[0])
			continue
		}
		if len(w.dials) == 0 {
			return
		}
		d := w.dials[0]
		w.dials = w.dials[1:]
		w.linkUp(d[0], d[1])
	}
}

// path draws a path to the origin with no node twice.
func (w *world) path(t *rapid.T, from rotunda.NodeID) []rotunda.NodeID {
	rest := slices.DeleteFunc(slices.Clone(w.nodes), func(n rotunda.NodeID) bool { return n == from || n == worldOrigin })
	rest = rapid.Permutation(rest).Draw(t, "order")
	return append(rest[:rapid.IntRange(0, min(3, len(rest))).Draw(t, "hops")], worldOrigin)
}

func (w *world) want(t *rapid.T, n rotunda.NodeID) {
	w.wants[n] = true
	delete(w.plans, n)
	primary, backup := w.path(t, n), w.path(t, n)
	if backup[0] == primary[0] {
		backup = nil
	}
	_, actions := w.cores[n].Want(key(worldOrigin), primary, backup)
	w.do(n, actions)
}

// send lets one frame run from the origin and returns how often each node took it.
func (w *world) send(seq rotunda.Seq) map[rotunda.NodeID]int {
	got := map[rotunda.NodeID]int{}
	type hop struct {
		to    rotunda.NodeID
		port  relay.Port
		alias wire.Alias
		frame rotunda.Frame
	}
	var queue []hop
	forward := func(at rotunda.NodeID, outs []relay.Out, f rotunda.Frame) {
		for _, o := range outs {
			to := w.peers[at][o.Port]
			queue = append(queue, hop{to, w.ports[[2]rotunda.NodeID{to, at}], o.Alias, f})
		}
	}
	forward(worldOrigin, w.cores[worldOrigin].Publish(program).Outs(), rotunda.Frame{Seq: seq})
	for len(queue) > 0 {
		h := queue[0]
		queue = queue[1:]
		s, d := w.cores[h.to].Arrive(h.port, h.alias, &h.frame)
		if s != nil {
			if d == "" {
				if w.wants[h.to] {
					got[h.to]++
				}
				forward(h.to, s.Outs(), h.frame)
			}
			w.do(h.to, w.cores[h.to].Settle(s))
		}
	}
	return got
}

// Whatever the nodes believe and whatever happens to the links: when all messages have arrived, whoever wants the stream
// and was not told to look for another path gets each frame exactly once; when nobody wants it, nobody remembers it.
func TestAnyViewsAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.IntRange(2, 7).Draw(t, "nodes"))
		seq := rotunda.Seq(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			n := rapid.SampledFrom(w.nodes[1:]).Draw(t, "node")
			switch rapid.IntRange(0, 12).Draw(t, "step") {
			case 0, 1, 2:
				w.want(t, n)
			case 3:
				delete(w.wants, n)
				delete(w.plans, n)
				w.do(n, w.cores[n].Unwant(key(worldOrigin)))
			case 4:
				w.linkDown(n, rapid.SampledFrom(w.nodes).Draw(t, "peer"))
			case 5:
				if len(w.dials) > 0 {
					d := w.dials[0]
					w.dials = w.dials[1:]
					if _, ok := w.ports[d]; !ok && rapid.Bool().Draw(t, "fails") {
						w.do(d[0], w.cores[d[0]].Unreachable(d[1]))
					} else {
						w.linkUp(d[0], d[1])
					}
				}
			case 6:
				seq++
				w.send(seq)
			case 7:
				l := [2]rotunda.NodeID{n, rapid.SampledFrom(w.nodes).Draw(t, "peer")}
				if p, ok := w.ports[l]; ok {
					w.do(n, w.cores[n].Suspect(p, rapid.Bool().Draw(t, "suspect")))
				}
			case 8:
				for range rapid.IntRange(1, 4).Draw(t, "seconds") {
					w.do(n, w.cores[n].Tidy())
				}
			default:
				if ls := w.full(); len(ls) > 0 {
					w.deliver(rapid.SampledFrom(ls).Draw(t, "link"))
				}
			}
		}
		w.drain()
		for range 3 { // the first may settle changed paths
			seq++
			got := w.send(seq)
			w.drain()
			for _, n := range w.nodes[1:] {
				if w.wants[n] && !w.plans[n] && got[n] != 1 || !w.wants[n] && got[n] != 0 {
					t.Fatalf("%s (wants it: %t, looks for a path: %t) took frame %d %d times", n, w.wants[n], w.plans[n], seq, got[n])
				}
			}
		}
		for _, n := range w.nodes[1:] {
			w.do(n, w.cores[n].Unwant(key(worldOrigin)))
		}
		w.drain()
		for _, n := range w.nodes[1:] {
			if got := w.cores[n].Stats(); got != (relay.Stats{}) {
				t.Fatalf("%s remembers %+v though nobody wants anything", n, got)
			}
		}
	})
}
