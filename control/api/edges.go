package api

import (
	"cmp"
	"math"
	"slices"
	"time"

	"rotunda"
)

// edgesMax is how many nodes a client is given to try: it times the first few and takes the fastest.
const edgesMax = 8

// distanceStep is the grain of distances: below it the coordinates (and the clients' ears) cannot tell two nodes apart, and
// load decides.
const distanceStep = 5 * time.Millisecond

// rankEdges lists the members that can take a new session, best guess first: those of self's own region, then by distance
// from self, then by load. Draining members are left out; suspects come last, because they may only be slow.
func rankEdges(self rotunda.Member, members []rotunda.Member) []rotunda.Member {
	var edges []rotunda.Member
	for _, m := range members {
		if m.Addresses.HTTP != "" && (m.State == rotunda.Alive || m.State == rotunda.Suspect) {
			edges = append(edges, m)
		}
	}
	near := func(m rotunda.Member) int64 {
		if m.Region == self.Region {
			return -1
		}
		return int64(distance(self.Coordinate, m.Coordinate) / distanceStep)
	}
	slices.SortFunc(edges, func(a, b rotunda.Member) int {
		return cmp.Or(
			compareBool(a.State == rotunda.Suspect, b.State == rotunda.Suspect),
			cmp.Compare(near(a), near(b)), cmp.Compare(a.Load.CPU, b.Load.CPU),
			cmp.Compare(a.Load.Listeners, b.Load.Listeners), cmp.Compare(a.ID, b.ID))
	})
	return edges[:min(len(edges), edgesMax)]
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

// distance estimates the round trip between two coordinates (Vivaldi with height and adjustment, as serf computes it).
// Coordinates come from other nodes: what is not a number counts as very far.
func distance(a, b rotunda.Coordinate) time.Duration {
	var sum float64
	for i := range a.Vec {
		d := a.Vec[i] - b.Vec[i]
		sum += d * d
	}
	raw := math.Sqrt(sum) + a.Height + b.Height
	if adjusted := raw + a.Adjustment + b.Adjustment; adjusted > 0 {
		raw = adjusted
	}
	const far = 10 * time.Second
	if !(raw >= 0 && raw < far.Seconds()) {
		return far
	}
	return time.Duration(raw * float64(time.Second))
}
