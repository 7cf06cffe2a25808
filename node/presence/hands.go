package presence

import (
	"time"

	"rotunda"
)

const (
	// HandsEvery is how often it is looked whether those who wait for an answer are still there.
	HandsEvery = 10 * time.Second
	// handsTimes HandsEvery is how long somebody has to be away for their hand to come down: a reload of the page, or a change
	// of the network, is no absence.
	handsTimes = 3
)

// Hands decides whose raised hand comes down, or whose invitation is taken back, because they have left: those who were
// nowhere in the mesh whenever it was looked, for long enough. While anybody cannot be asked, nobody is away: what cannot
// be reached may have them. A Hands remembers no more people than it was last told of. The zero value is ready.
type Hands struct {
	people map[rotunda.UserID]hand
	last   time.Time // when it was looked
}

type hand struct {
	raised time.Time
	node   rotunda.NodeID // where they were last; empty: never seen
	away   time.Time      // since; zero: not known to be
}

// Raised is somebody who waits for an answer, or whose answer is waited for, since At.
type Raised struct {
	User rotunda.UserID
	At   time.Time
}

// Look takes what was found at now: where those are who wait, and whether all were asked and have answered. every is how
// often that is done. It returns who has left, in the order of waiting, again and again until they wait no more.
//
// A person who has not been found is not away while the node that had them is suspect or dead, or while any node is if none
// is known to have had them: cut off looks the same from here. A dead node is forgotten after ten minutes.
func (h *Hands) Look(now time.Time, every time.Duration, waiting []Raised, found map[rotunda.UserID]rotunda.NodeID, complete bool, members []rotunda.Member) []rotunda.UserID {
	standing, doubt := map[rotunda.NodeID]rotunda.MemberState{}, false
	for _, m := range members {
		standing[m.ID] = m.State
		doubt = doubt || doubtful(m.State)
	}
	unseen := now.Sub(h.last) > handsTimes*every // nobody knows what was meanwhile
	h.last = now
	people := map[rotunda.UserID]hand{}
	var left []rotunda.UserID
	for _, w := range waiting {
		one := h.people[w.User]
		if unseen || !one.raised.Equal(w.At) {
			one.away = time.Time{}
		}
		one.raised = w.At
		node, here := found[w.User]
		switch {
		case here:
			one.node, one.away = node, time.Time{}
		case !complete, one.node == "" && doubt, one.node != "" && doubtful(standing[one.node]):
			one.away = time.Time{}
		case one.away.IsZero():
			one.away = now
		case now.Sub(one.away) >= handsTimes*every:
			left = append(left, w.User)
		}
		people[w.User] = one
	}
	h.people = people
	return left
}

// doubtful is a state in which a node may be well and only not be reached.
func doubtful(s rotunda.MemberState) bool { return s == rotunda.Suspect || s == rotunda.Dead }
