package relay_test

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rotunda"
	"rotunda/cascade/plan"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

// flight is a copy of a frame on its way.
type flight struct {
	at    time.Duration
	to    rotunda.NodeID
	port  relay.Port
	alias wire.Alias
	frame rotunda.Frame
}

type flights []flight

func (q flights) Len() int           { return len(q) }
func (q flights) Less(i, j int) bool { return q[i].at < q[j].at }
func (q flights) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *flights) Push(x any)        { *q = append(*q, x.(flight)) }
func (q *flights) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// planned is a mesh in which all take the program of the first node by the ways of package plan. Nobody notices anything:
// what is left when a node dies is what is there.
type planned struct {
	members []rotunda.Member
	tables  *world
	queue   flights
	heard   map[rotunda.NodeID][]time.Duration // when each frame came first
}

func newPlanned(t fatal, room rotunda.RoomID, breakRule bool) *planned {
	p := &planned{heard: map[rotunda.NodeID][]time.Duration{}}
	for i := range 9 {
		p.members = append(p.members, rotunda.Member{ID: rotunda.NodeID(fmt.Sprintf("n%d", i)), Region: rotunda.Region(fmt.Sprintf("r%d", i%3)), State: rotunda.Alive})
	}
	p.tables = newWorld(t, len(p.members))
	for _, m := range p.members[1:] {
		primary, backup := plan.Paths(plan.Request{Self: m.ID, Members: p.members, Room: room, Origin: worldOrigin})
		if breakRule && len(primary) > 1 {
			backup = append([]rotunda.NodeID{primary[0]}, backup[1:]...) // through the primary's relay
		}
		_, actions := p.tables.cores[m.ID].Want(key(worldOrigin), primary, backup)
		p.tables.do(m.ID, actions)
	}
	p.tables.drain()
	return p
}

func (p *planned) region(id rotunda.NodeID) rotunda.Region {
	return p.members[slices.IndexFunc(p.members, func(m rotunda.Member) bool { return m.ID == id })].Region
}

func (p *planned) send(now time.Duration, from rotunda.NodeID, outs []relay.Out, f rotunda.Frame) {
	for _, o := range outs {
		to := p.tables.peers[from][o.Port]
		way := time.Millisecond
		if p.region(from) != p.region(to) {
			way = 40 * time.Millisecond
		}
		heap.Push(&p.queue, flight{now + way, to, p.tables.ports[[2]rotunda.NodeID{to, from}], o.Alias, f})
	}
}

// run has the origin speak for so many frames while a node dies, and returns how many of them others lack and the longest
// pause between two of them.
func (p *planned) run(frames int, victim rotunda.NodeID, dies time.Duration) (lost int, pause time.Duration) {
	origin := p.tables.cores[worldOrigin].Publish(program)
	for seq := range frames {
		now := time.Duration(seq) * rotunda.FrameDuration
		p.deliver(now, victim, dies)
		p.send(now, worldOrigin, origin.Outs(), rotunda.Frame{Seq: rotunda.Seq(seq)})
	}
	p.deliver(time.Hour, victim, dies)
	for _, m := range p.members[1:] {
		at := p.heard[m.ID]
		if m.ID == victim {
			continue
		}
		lost += frames - len(at)
		slices.SortFunc(at, func(a, b time.Duration) int { return cmp.Compare(a, b) })
		for i := 1; i < len(at); i++ {
			pause = max(pause, at[i]-at[i-1])
		}
	}
	return lost, pause
}

func (p *planned) deliver(until time.Duration, victim rotunda.NodeID, dies time.Duration) {
	for len(p.queue) > 0 && p.queue[0].at <= until {
		f := heap.Pop(&p.queue).(flight)
		if f.to == victim && f.at >= dies {
			continue
		}
		s, drop := p.tables.cores[f.to].Arrive(f.port, f.alias, &f.frame)
		if s != nil && s.Unsettled() {
			p.tables.do(f.to, p.tables.cores[f.to].Settle(s))
		}
		if drop == "" {
			p.heard[f.to] = append(p.heard[f.to], f.at)
			p.send(f.at, f.to, s.Outs(), f.frame)
		}
	}
}

// A thousand times: whichever node but the origin dies at whatever instant, and though nobody notices, no other node lacks
// a frame, and none waits longer for one than the second way is longer (40 ms and a hop or two).
func TestAnyNodeDies(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	pauses := map[time.Duration]int{}
	for i := range 1000 {
		p := newPlanned(t, rotunda.RoomID(fmt.Sprint("room", i)), false)
		victim := p.members[1+rng.IntN(len(p.members)-1)].ID
		lost, pause := p.run(50, victim, time.Duration(rng.Int64N(int64(time.Second))))
		pauses[pause.Round(5*time.Millisecond)]++
		if lost != 0 || pause > rotunda.FrameDuration+44*time.Millisecond {
			t.Fatalf("world %d: %s dies: %d frames lost, %v without any", i, victim, lost, pause)
		}
	}
	t.Log("pauses:", pauses)
}

// The same with a rule broken, a backup through the primary's relay: somebody lacks frames, so the test would see it.
func TestAnyNodeDiesSeesASharedRelay(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	for i := range 100 {
		p := newPlanned(t, rotunda.RoomID(fmt.Sprint("room", i)), true)
		if lost, _ := p.run(50, p.members[1+rng.IntN(len(p.members)-1)].ID, 300*time.Millisecond); lost > 0 {
			return
		}
	}
	t.Error("both ways of every node go through one relay, and nobody lost a frame in 100 worlds")
}
