package sim

import (
	"time"
)

// planFaults draws what will go wrong: several things, most of them at the same time, all of them over by the end.
func (w *World) planFaults() {
	for range w.dice.between(3, 8) {
		begin := w.dice.time(calmBefore, calmBefore+faultsFor-time.Second)
		length := w.dice.time(200*time.Millisecond, calmBefore+faultsFor-begin)
		w.fault(begin, length)
	}
}

// fault draws one.
func (w *World) fault(begin, length time.Duration) {
	a := w.dice.n(len(w.nodes))
	b := (a + 1 + w.dice.n(max(1, len(w.nodes)-1))) % len(w.nodes)
	var on, off func()
	what := ""
	switch w.dice.n(10) {
	case 0, 1:
		what = "crash"
		on, off = func() { w.crash(a) }, func() { w.restart(a) }
	case 2:
		what = "hang"
		on, off = func() { w.nodes[a].hung = w.nodes[a].up }, func() { w.thaw(a) }
	case 3:
		what = "one way cut"
		on, off = func() { w.cut(a, b, 1) }, func() { w.cut(a, b, -1) }
	case 4:
		what = "partition"
		side := w.side()
		on, off = func() { w.part(side, 1) }, func() { w.part(side, -1) }
	case 5, 6:
		what = "loss"
		share := 0.01 + 0.2*w.dice.unit()
		on, off = func() { w.lose(a, share) }, func() { w.lose(a, -share) }
	case 7:
		what = "flapping"
		w.flap(begin, length, a, b)
		return
	case 8:
		what = "drain"
		on, off = func() { w.drain(a, true) }, func() { w.drain(a, false) }
	case 9:
		what = "clock"
		skew := w.dice.time(-5*time.Minute, 5*time.Minute)
		on, off = func() { w.nodes[a].skew += skew }, func() { w.nodes[a].skew -= skew / 2 }
	}
	w.faults++
	x, y := w.nodes[a].id, w.nodes[b].id
	w.after(begin-w.now, func() { w.tell("%s begins: %s (%s)", what, x, y); on() })
	w.after(begin-w.now+length, func() { w.tell("%s ends: %s (%s)", what, x, y); off() })
}

func (w *World) flap(begin, length time.Duration, a, b int) {
	w.faults++
	times := w.dice.between(2, 6)
	each := length / time.Duration(2*times)
	for i := range times {
		at := begin - w.now + 2*time.Duration(i)*each
		w.after(at, func() {
			w.tell("flapping: %s and %s part", w.nodes[a].id, w.nodes[b].id)
			w.cut(a, b, 1)
			w.cut(b, a, 1)
		})
		w.after(at+each, func() { w.cut(a, b, -1); w.cut(b, a, -1) })
	}
}

func (w *World) crash(i int) {
	n := w.nodes[i]
	n.up, n.hung, n.backlog = false, false, nil
	for _, e := range n.ends {
		e.open = false
	}
}

func (w *World) restart(i int) {
	n := w.nodes[i]
	if n.up {
		return
	}
	n.boot()
	for range 3 {
		if m := w.dice.n(len(w.nodes)); m != i && w.answers(i, m) {
			n.exchange(w.nodes[m])
		}
	}
	for r := range w.rooms {
		n.fetch(r, 100*time.Millisecond)
	}
}

// thaw ends a hang: everything that waited happens at once.
func (w *World) thaw(i int) {
	n := w.nodes[i]
	if !n.hung {
		return
	}
	n.hung, n.reachesSince = false, never
	waited := n.backlog
	n.backlog = nil
	for _, f := range waited {
		n.whenWell(f)
	}
}

func (w *World) cut(from, to, by int) {
	if w.net.cut == nil {
		w.net.cut = map[int]int{}
	}
	k := w.net.pair(from, to)
	if w.net.cut[k] += by; w.net.cut[k] == 0 {
		delete(w.net.cut, k)
	}
}

// side draws some of the nodes: whole regions as often as not.
func (w *World) side() []bool {
	in := make([]bool, len(w.nodes))
	if w.dice.n(2) == 0 {
		region := w.members[w.dice.n(len(w.members))].Region
		for i, m := range w.members {
			in[i] = m.Region == region
		}
		return in
	}
	for i := range in {
		in[i] = w.dice.n(2) == 0
	}
	return in
}

// part cuts all ways between those in and those out.
func (w *World) part(in []bool, by int) {
	for a := range in {
		for b := range in {
			if in[a] != in[b] {
				w.cut(a, b, by)
			}
		}
	}
}

// lose has all ways from a node lose packets, or no more.
func (w *World) lose(a int, share float64) {
	if w.net.lossy == nil {
		w.net.lossy = map[int]float64{}
	}
	for b := range w.nodes {
		k := w.net.pair(a, b)
		if w.net.lossy[k] += share; w.net.lossy[k] < 1e-9 {
			delete(w.net.lossy, k)
		}
	}
}

func (w *World) drain(i int, on bool) {
	n := w.nodes[i]
	if n.up {
		n.draining = on
		n.say(n.view[i].incarnation + 1)
	}
}
