package api

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"

	"rotunda"
)

// edgesMax is how many nodes a client is given to try: it times the first few and takes the fastest.
const edgesMax = 8

// edgesElsewhere is how many of them stand in other regions than self's, where there are as many: a region may be lost as a
// whole, and a client that only knows nodes of that one would have nowhere to go.
const edgesElsewhere = 3

// distanceStep is the grain of distances: below it the coordinates (and the clients' ears) cannot tell two nodes apart, and
// load decides.
const distanceStep = 5 * time.Millisecond

// busyCPU is the share of its processors from which on a node is asked only where there is no other: newcomers cost the most,
// and those who listen already come first.
const busyCPU = 0.85

// rankEdges lists the members that can take a new session, best guess first: those of self's own region, then by distance
// from self, then by load. Draining members are left out; busy ones come after all others, and suspects last, because they may
// only be slow.
func rankEdges(self rotunda.Member, members []rotunda.Member) []rotunda.Member {
	var edges []rotunda.Member
	for _, m := range members {
		if takes(m) {
			edges = append(edges, m)
		}
	}
	slices.SortFunc(edges, func(a, b rotunda.Member) int {
		return cmp.Or(
			compareBool(a.State == rotunda.Suspect, b.State == rotunda.Suspect), compareBool(a.Load.CPU >= busyCPU, b.Load.CPU >= busyCPU),
			cmp.Compare(nearness(self, a), nearness(self, b)), cmp.Compare(a.Load.CPU, b.Load.CPU),
			cmp.Compare(a.Load.Listeners, b.Load.Listeners), cmp.Compare(a.ID, b.ID))
	})
	return withElsewhere(self, edges)
}

// takes reports whether a member may be named to who looks for a node.
func takes(m rotunda.Member) bool {
	return m.Addresses.HTTP != "" && (m.State == rotunda.Alive || m.State == rotunda.Suspect)
}

// withElsewhere cuts ranked members to edgesMax, the last of them from other regions where the first would all be from self's. Each
// node names others of those that are about as near, by rendezvous hash: the people of a lost region must not all go to the same.
func withElsewhere(self rotunda.Member, ranked []rotunda.Member) []rotunda.Member {
	own := func(m rotunda.Member) bool { return m.Region == self.Region }
	edges := ranked[:min(len(ranked), edgesMax)]
	away := slices.DeleteFunc(slices.Clone(ranked), own)
	there := len(slices.DeleteFunc(slices.Clone(edges), own))
	missing := min(edgesElsewhere, len(away)) - there
	if missing <= 0 {
		return edges
	}
	away = away[there:]
	near := 1
	for near < len(away) && (near < missing || nearness(self, away[near]) == nearness(self, away[0]) && away[near].State == away[0].State) {
		near++
	}
	slices.SortFunc(away[:near], func(a, b rotunda.Member) int { return cmp.Compare(affinity(self.ID, b.ID), affinity(self.ID, a.ID)) })
	return slices.Concat(edges[:len(edges)-missing], away[:missing])
}

// affinity is the rendezvous score of two nodes.
func affinity(self, other rotunda.NodeID) uint64 {
	h := fnv.New64a()
	h.Write([]byte(self))
	h.Write([]byte{0})
	h.Write([]byte(other))
	x := h.Sum64()
	return (x ^ x>>31) * 0x94d049bb133111eb // FNV alone hardly moves the high bits for names that differ in their last character
}

// nearness orders members by how far they are: -1 for self's own region, then in steps of distanceStep.
func nearness(self, m rotunda.Member) int64 {
	if m.Region == self.Region {
		return -1
	}
	return int64(self.Coordinate.Distance(m.Coordinate) / distanceStep)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
