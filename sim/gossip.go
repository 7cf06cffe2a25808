package sim

import (
	"time"

	"rotunda"
)

// This file is a model of gossip: SWIM (Das et al., 2002) with Lifeguard's rule that who is suspected may say no. Every
// node has a view of its own, which lags, and which is wrong for as long as news does not reach it.
const (
	gossipEvery  = 2  // beats
	gossipTo     = 3  // members that are told
	rumoursMax   = 64 // told at once
	rumourTimes  = 8  // that one is told
	probeEvery   = 10 // beats
	suspectFor   = 3 * time.Second
	exchangeEach = 30 // beats: two nodes compare all they know, also with members that are given up
)

// entry is what a node knows of a member.
type entry struct {
	incarnation uint32
	state       rotunda.MemberState // "": nothing
	since       time.Duration
}

// rank orders what is said of one incarnation: bad news wins.
func rank(s rotunda.MemberState) int {
	switch s {
	case rotunda.Alive, rotunda.Draining:
		return 1
	case rotunda.Suspect:
		return 2
	case rotunda.Dead, rotunda.Left:
		return 3
	}
	return 0
}

// rumour is news of a member that a node still tells.
type rumour struct {
	member, left int
}

// gossip is the part of a node's beat that is about members.
func (n *node) gossip() {
	w := n.w
	if n.beats%gossipEvery == n.index%gossipEvery && len(n.rumours) > 0 {
		n.spread()
	}
	if n.beats%probeEvery == n.index%probeEvery {
		n.probe()
		for i := range n.view {
			if e := n.view[i]; e.state == rotunda.Suspect && w.now-e.since >= suspectFor {
				n.learn(i, entry{e.incarnation, rotunda.Dead, 0})
			}
		}
	}
	if n.beats%exchangeEach == n.index%exchangeEach && len(w.nodes) > 1 {
		if m := w.dice.n(len(w.nodes)); m != n.index && w.answers(n.index, m) {
			n.exchange(w.nodes[m])
		}
	}
}

// spread tells some members the latest news.
func (n *node) spread() {
	w := n.w
	type news struct {
		member int
		entry
	}
	var told []news
	for i := range n.rumours {
		if len(told) < rumoursMax {
			r := &n.rumours[i]
			told = append(told, news{r.member, n.view[r.member]})
			r.left--
		}
	}
	keep := n.rumours[:0]
	for _, r := range n.rumours {
		if r.left > 0 {
			keep = append(keep, r)
		}
	}
	n.rumours = keep
	for range gossipTo {
		m := w.dice.n(len(w.nodes))
		if m == n.index || !w.passes(n.index, m) {
			continue // the dead are told too, as memberlist does: they may say no
		}
		to := w.nodes[m]
		w.after(w.way(n.index, m), func() {
			if !to.well() {
				return
			}
			for _, x := range told {
				to.learn(x.member, x.entry)
			}
		})
	}
}

// probe asks a member whether it is there, itself and through others.
func (n *node) probe() {
	w := n.w
	m := w.dice.n(len(w.nodes))
	if m == n.index || !n.view[m].state.Up() || w.answers(n.index, m) {
		return
	}
	for range 3 {
		if h := w.dice.n(len(w.nodes)); h != m && h != n.index && w.answers(n.index, h) && w.answers(h, m) {
			return
		}
	}
	if n.view[m].state != rotunda.Suspect {
		n.learn(m, entry{n.view[m].incarnation, rotunda.Suspect, 0})
	}
}

// exchange has two nodes tell each other everything. It also brings those back whom a partition has made dead.
func (n *node) exchange(m *node) {
	for i := range n.view {
		a, b := n.view[i], m.view[i]
		if a.incarnation != b.incarnation || a.state != b.state {
			m.learn(i, a)
			n.learn(i, b)
		}
	}
}

// learn takes news of a member. News of oneself that is wrong is refuted.
func (n *node) learn(i int, e entry) {
	have := n.view[i]
	if e.state == "" || e.incarnation < have.incarnation || e.incarnation == have.incarnation && rank(e.state) <= rank(have.state) {
		return
	}
	if i == n.index {
		if !n.w.cfg.broken.takesDeath {
			n.say(max(e.incarnation, have.incarnation) + 1)
		}
		return
	}
	n.see(i, e)
}

// say gives this node's own state a new incarnation.
func (n *node) say(incarnation uint32) {
	state := rotunda.Alive
	if n.draining {
		state = rotunda.Draining
	}
	n.see(n.index, entry{incarnation, state, 0})
}

// see writes into the view, and tells others.
func (n *node) see(i int, e entry) {
	e.since = n.w.now
	before := n.view[i].state
	n.view[i] = e
	n.rumours = append(n.rumours, rumour{i, rumourTimes})
	n.w.note(tagView, uint64(n.index), uint64(i), uint64(e.incarnation), uint64(rank(e.state)))
	n.lookAgain = n.lookAgain || before != e.state
}
