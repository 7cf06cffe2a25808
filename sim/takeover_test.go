package sim

import (
	"testing"
	"time"

	"rotunda"
	"rotunda/control/room"
	"rotunda/node/duty"
)

// backMax is how long a program may be away when its home dies, beside the ways from home to the standby and from there to who
// listens, which are up to 170 ms each here: goals.md.
const backMax = 500 * time.Millisecond

// The home dies while somebody talks elsewhere: everybody else hears the standby soon, and nothing of the old epoch afterwards
// (which every world checks).
func TestHomeDies(t *testing.T) {
	looked := 0
	var worst time.Duration
	for seed := range uint64(60) {
		w := newWorld(Config{Seed: seed + 1, Nodes: 9, Regions: 3})
		w.settleIn()
		w.run(calmBefore + 4*time.Second)
		l := w.rooms[0]
		home := w.index[l.state.Home]
		elsewhere := false
		for _, p := range w.people {
			elsewhere = elsewhere || p.room == 0 && p.speaks && p.node != home && l.state.Audible(p.user)
		}
		if !elsewhere || l.state.Standby.Node == "" {
			continue
		}
		looked++
		before, died, standby := l.state.Epoch, w.now, w.nodes[w.index[l.state.Standby.Node]]
		var listening []*node
		for _, n := range w.nodes {
			if n.index != home && len(n.served[0].duties.Listen) > 0 {
				listening = append(listening, n)
			}
		}
		w.crash(home)
		heard := map[int]time.Duration{}
		for w.now < died+2*time.Second && w.failure == "" {
			w.run(w.now + 5*time.Millisecond)
			for _, n := range w.nodes {
				if s := n.served[0]; heard[n.index] == 0 && s.epoch > before {
					heard[n.index] = w.now - died
				}
			}
		}
		for _, n := range listening {
			// Links notice a beat later here than package link's do.
			most := backMax + beat + OneWay(w.nodes[home].place, standby.place) + OneWay(standby.place, n.place)
			if at := heard[n.index]; at == 0 || at > most {
				t.Errorf("seed %d: %s hears the standby %v after the home died, want at most %v", seed+1, n.id, at, most)
			}
			worst = max(worst, heard[n.index])
		}
		if w.failure != "" {
			t.Errorf("seed %d: %s", seed+1, w.failure)
		}
	}
	if looked < 20 {
		t.Errorf("only %d worlds had somebody who talks elsewhere", looked)
	}
	t.Logf("%d worlds, at most %v", looked, worst)
}

// A standby that was replaced while it was cut off has taken over, and dies before it can say so: whoever heard it hears home
// again all the same, because somebody who heard it tells the log.
func TestReplacedStandbyDiesUnheardOf(t *testing.T) {
	const worlds = 100
	for _, rule := range []broken{{}, {unknown: true}} {
		looked, deaf := 0, 0
		for seed := range uint64(worlds) {
			w := newWorld(Config{Seed: seed + 1, Nodes: 9, Regions: 3, broken: rule})
			w.settleIn()
			w.run(calmBefore + 4*time.Second)
			heard, back := w.standbyDiesUnheardOf()
			if w.failure != "" {
				t.Errorf("seed %d: %s", seed+1, w.failure)
			}
			if !heard {
				continue // nobody listened, or nobody spoke on the side that was cut off
			}
			if looked++; !back {
				deaf++
			}
		}
		t.Logf("without the rule %t: of %d who heard the standby, %d do not hear home", rule.unknown, looked, deaf)
		if looked < worlds/3 || !rule.unknown && deaf > 0 || rule.unknown && deaf < looked/4 { // some homes move soon for other reasons
			t.Errorf("without the rule %t: of %d who heard the standby %d do not hear home", rule.unknown, looked, deaf)
		}
	}
}

// backSoon is within what time the log has an epoch above one that it did not know, once those who heard it reach it.
const backSoon = duty.VouchAfter + 1500*time.Millisecond

// standbyDiesUnheardOf cuts the first room's standby off together with a node that listens, has home name another one, ends the
// standby, and puts the other node back. heard is whether that node heard a program that the log does not know of, back is
// whether the log has a newer one soon, and the node hears it.
func (w *World) standbyDiesUnheardOf() (heard, back bool) {
	l := w.rooms[0]
	was, home := l.state.Standby, l.state.Home
	if was.Node == "" {
		return false, false
	}
	standby, side := w.index[was.Node], make([]bool, len(w.nodes))
	ear, other := (*served)(nil), rotunda.NodeID("")
	for _, n := range w.nodes {
		switch s := n.served[0]; {
		case n.id == was.Node, n.id == home, !n.within(l.fence):
		case ear == nil && len(s.players) > 0:
			ear = s
		default:
			other = n.id
		}
	}
	if ear == nil {
		return false, false
	}
	side[standby], side[ear.n.index] = true, true
	if other == "" { // nobody else is inside the fence
		return false, false
	}
	w.part(side, 1)
	w.run(w.now + time.Second)
	leader := w.leader()
	if leader < 0 || side[leader] || !w.append(l, leader, start.Add(w.now), room.Actor{System: true}, room.StandBy{Node: other, By: home}) {
		return false, false
	}
	w.crash(standby)
	heard = ear.epoch == was.Epoch && l.state.Epoch < was.Epoch
	w.part(side, -1)
	w.run(w.now + backSoon)
	if l.state.Epoch <= was.Epoch {
		return heard, false
	}
	w.run(w.now + backMax + 3*time.Second)                      // links that were cut come up again, and homes move for other reasons
	return heard && len(ear.players) > 0, ear.epoch > was.Epoch // who has left listens no more
}
