package node

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/room"
)

// trail is what a node carried of one stream, in the order in which it did.
type trail struct {
	stream rotunda.StreamID
	origin rotunda.NodeID
	at     *Node

	mu     sync.Mutex // guards what follows
	frames []carried
}

type carried struct {
	seq     rotunda.Seq
	sources rotunda.Sources
}

// newest is the number of the latest frame, and how many there were.
func (t *trail) newest() (seq rotunda.Seq, count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.frames {
		seq = max(seq, f.seq)
	}
	return seq, len(t.frames)
}

// since lists the frames that this node carried after the first count of them.
func (t *trail) since(count int) []carried {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.frames[count:])
}

func (c carried) holds(ssrc rotunda.SSRC) bool {
	for i := range c.sources.Len() {
		if c.sources.At(i) == ssrc {
			return true
		}
	}
	return false
}

// enforcing looks at how decisions take effect on the nodes of a mesh in which people speak and listen.
type enforcing struct {
	*testMesh
	id       string
	serving  []*Node // those with people
	keeper   *Node   // of the log; nil while it is down
	speakers []*person
	ears     []*ear
}

// part lists the nodes that have to do with a stream from origin: on a busy machine the keeper of the log may have taken over the room.
func (e *enforcing) part(origin rotunda.NodeID) []*Node {
	if e.keeper != nil && e.keeper.cfg.ID == origin {
		return append(slices.Clip(e.serving), e.keeper)
	}
	return e.serving
}

// placed is the room's state with a home that is up.
func (e *enforcing) placed() (state *room.State) {
	e.t.Helper()
	e.eventually("the room has a home that is up", func() bool {
		s, err := e.serving[0].control.Get(e.t.Context(), rotunda.RoomID(e.id))
		must(e.t, err)
		state = s
		return slices.ContainsFunc(e.part(s.Home), func(n *Node) bool { return n.cfg.ID == s.Home })
	})
	return state
}

// follow notes what the nodes carry of a stream until the test, or stop, ends it.
func (e *enforcing) follow(s rotunda.StreamID, origin rotunda.NodeID) (trails []*trail, stop func()) {
	e.t.Helper()
	var ends []func()
	for _, n := range e.part(origin) {
		t := &trail{stream: s, origin: origin, at: n}
		sub, err := n.mesh.Subscribe(s, origin, func(f *rotunda.Frame) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.frames = append(t.frames, carried{f.Seq, f.Sources})
		})
		must(e.t, err)
		trails, ends = append(trails, t), append(ends, sub.Close)
	}
	return trails, func() {
		for _, end := range ends {
			end()
		}
	}
}

// learned is what had been carried when it was first seen that a node knows that somebody is muted: by all nodes, for a frame
// that one of them carries later may have been under way to it.
type learned struct {
	count  int                            // by this trail
	newest map[rotunda.NodeID]rotunda.Seq // of its stream, by each node
}

// marks waits until the room's state says on each node that somebody is muted, and says for each trail what had been carried by its
// node then. With the room's lock held the state is there when what it asks for is done.
func (e *enforcing) marks(p *person, trails []*trail) map[*trail]learned {
	e.t.Helper()
	marks := map[*trail]learned{}
	nodes := map[*Node]bool{}
	for _, t := range trails {
		nodes[t.at] = true
	}
	for n := range nodes {
		e.eventually(fmt.Sprintf("%s knows that %s is muted", n.cfg.ID, p.User), func() bool {
			r := n.rooms.peek(rotunda.RoomID(e.id))
			if r != nil { // else it was the home, and has nothing to do with the room any more
				r.mu.Lock()
				knows := r.state != nil && r.state.Muted(rotunda.UserID(p.User))
				r.mu.Unlock()
				if !knows {
					return false
				}
			}
			for _, t := range trails {
				if t.at != n {
					continue
				}
				l := learned{newest: map[rotunda.NodeID]rotunda.Seq{}}
				_, l.count = t.newest()
				for _, o := range trails {
					if o.stream == t.stream {
						l.newest[o.at.cfg.ID], _ = o.newest()
					}
				}
				marks[t] = l
			}
			return true
		})
	}
	return marks
}

// check looks at what was carried after that: where a stream begins nothing of the person; elsewhere nothing that began later than its
// origin knew. The mixer lets go of what it holds of their sound, so no frame is excused.
func (e *enforcing) check(p *person, ssrc rotunda.SSRC, trails []*trail, marks map[*trail]learned) {
	e.t.Helper()
	for _, t := range trails {
		began := marks[t].newest[t.origin] // at the latest when this node knew
		if t.stream.Track == rotunda.Program {
			i := slices.IndexFunc(trails, func(o *trail) bool { return o.stream == t.stream && o.at.cfg.ID == t.origin })
			began = marks[trails[i]].newest[t.origin] // what home mixed before it knew may be heard
		}
		for _, f := range t.since(marks[t].count) {
			theirs := t.stream.Track == rotunda.Mic(rotunda.UserID(p.User)) || f.holds(ssrc)
			if theirs && (t.at.cfg.ID == t.origin || f.seq > began) {
				e.t.Errorf("%s carried frame %d of %s from %s, with the sound of %s, after it knew that they are muted; frame %d was the last before that", t.at.cfg.ID, f.seq, t.stream, t.origin, p.User, began)
			}
		}
	}
}

// open lets everybody be heard again.
func (e *enforcing) open() {
	e.t.Helper()
	for _, p := range e.speakers {
		p.do("DELETE", "/rooms/"+e.id+"/participants/"+p.User+"/mute", nil, nil, http.StatusOK)
	}
	e.hear("everybody is heard", len(e.speakers))
}

func (e *enforcing) hear(what string, n int) {
	e.t.Helper()
	for _, ear := range e.ears {
		e.eventually(what, func() bool {
			ear.mu.Lock()
			defer ear.mu.Unlock()
			return ear.sources.Len() == n
		})
	}
}

// agree reports whether the nodes with people know that everybody may be heard, and whose program it is: what they know afterwards is
// the next decision, and not the one before.
func (e *enforcing) agree(epoch rotunda.Epoch) bool {
	for _, n := range e.serving {
		r := n.rooms.peek(rotunda.RoomID(e.id))
		r.mu.Lock()
		s := r.state
		r.mu.Unlock()
		if s.Epoch != epoch || slices.ContainsFunc(e.speakers, func(p *person) bool { return s.Muted(rotunda.UserID(p.User)) }) {
			return false
		}
	}
	return true
}

// mute has all but one muted at the same time, and checks that each is silent where that is known.
func (e *enforcing) mute(but int) {
	e.t.Helper()
	state := e.placed()
	trails, stop := e.follow(rotunda.StreamID{Room: state.ID, Track: rotunda.Program, Epoch: state.Epoch}, state.Home)
	defer stop()
	for _, s := range state.Stage() {
		mic, stop := e.follow(rotunda.StreamID{Room: state.ID, Track: rotunda.Mic(s.User), Epoch: s.Epoch}, s.Node)
		defer stop()
		trails = append(trails, mic...)
	}
	moved := false
	e.eventually("every stream comes to every node", func() bool {
		moved = e.placed().Epoch != state.Epoch
		return moved || e.agree(state.Epoch) && !slices.ContainsFunc(trails, func(t *trail) bool { _, n := t.newest(); return n == 0 })
	})
	if moved { // another node has taken over: its program it is that people hear
		stop()
		e.mute(but)
		return
	}
	refused := func() (n float64) {
		for i := range e.nodes {
			if slices.Contains(e.serving, e.nodes[i]) {
				n += e.counted(i, `rotunda_ingest_dropped_total{reason="muted"}`)
			}
		}
		return n
	}
	before := refused()
	muted := slices.Delete(slices.Clone(e.speakers), but, but+1)
	var wg sync.WaitGroup
	for _, p := range muted {
		wg.Go(func() { p.do("POST", "/rooms/"+e.id+"/participants/"+p.User+"/mute", nil, nil, http.StatusOK) })
	}
	marks := map[*person]map[*trail]learned{}
	for _, p := range muted {
		var of []*trail
		for _, t := range trails {
			if t.stream.Track == rotunda.Program || t.stream.Track == rotunda.Mic(rotunda.UserID(p.User)) {
				of = append(of, t)
			}
		}
		marks[p] = e.marks(p, of)
	}
	wg.Wait()
	e.hear("only one is heard", 1)
	var played []int
	for _, ear := range e.ears {
		played = append(played, ear.count())
	}
	e.eventually("they go on speaking, and the room goes on", func() bool {
		if refused() < before+float64(10*len(muted)) {
			return false
		}
		for i, ear := range e.ears {
			if ear.count() < played[i]+25 {
				return false
			}
		}
		return true
	})
	for _, p := range muted {
		var of []*trail
		for t := range marks[p] {
			of = append(of, t)
		}
		e.check(p, state.SSRC(rotunda.UserID(p.User)), of, marks[p])
	}
}

// Five speakers on two nodes are muted over and over, by the log and then, without it, by facts. Each node that knows of a decision
// carries nothing of theirs from then on that was not under way; each node comes to know of each decision; and each is measured once.
// How long it takes is a figure (tools/figures); how long it may wait for the log and for the mesh, control.TestPatience and
// cascade.TestFloodReachesEverybodyOnce check in virtual time.
func TestDecisionsAreEnforcedWhereTheyAreKnown(t *testing.T) {
	m := startNodes(t, 3)
	ada := m.guest(1, "Ada")
	e := &enforcing{testMesh: m, id: ada.createRoom("Muted over and over"), serving: m.nodes[1:3], keeper: m.nodes[0], speakers: []*person{ada}}
	ada.sayTone(e.id, 300)
	for i := range 4 {
		p := m.guest(1+i%2, fmt.Sprint("Speaker ", i))
		p.do("POST", "/rooms/"+e.id+"/requests", nil, nil, http.StatusOK)
		ada.do("POST", "/rooms/"+e.id+"/requests/"+p.User+"/approve", nil, nil, http.StatusOK)
		p.onStage(e.id)
		p.sayTone(e.id, 500+200*float64(i))
		e.speakers = append(e.speakers, p)
	}
	e.ears = []*ear{m.guest(1, "Dan").listen(e.id, 1), m.guest(2, "Eve").listen(e.id, 1)}

	const rounds = 10
	for i := range rounds {
		e.open()
		e.mute(i % len(e.speakers))
	}
	e.open()
	e.keeper = nil
	m.stops[0]()
	e.mute(0)
	m.start(m.nodes[0].cfg)
	keeper := m.nodes[len(m.nodes)-1]
	select {
	case <-keeper.Ready():
	case <-time.After(patience):
		t.Fatal("the log does not come back")
	}
	m.eventually("what was decided without the log is in it", func() bool {
		s, err := keeper.control.Get(t.Context(), rotunda.RoomID(e.id))
		if err != nil {
			return false
		}
		return !slices.ContainsFunc(s.Stage(), func(p room.Participant) bool { return p.Muted == (string(p.User) == ada.User) })
	})
	m.eventually("every node has the log again", func() bool { return m.nodes[1].control.Available() && m.nodes[2].control.Available() })
	e.open()
	for _, node := range []int{1, 2} {
		const want = (rounds + 1) * 4
		m.eventually("every decision is measured", func() bool { return m.counted(node, "rotunda_enforcement_seconds_count") >= want })
		if n := m.counted(node, "rotunda_enforcement_seconds_count"); n != want {
			t.Errorf("node %d has measured %v decisions, want %d", node, n, want)
		}
	}
}
