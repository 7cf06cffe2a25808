package sim

import (
	"cmp"
	"slices"
	"time"
)

// This file is a model of the listeners of a region that is lost. Their clients' rule (reliability.md, F2):
//
//   - A client knows edgesMax nodes, of which those of other regions are elsewhere, spread over the nodes of the nearest
//     regions; that is what GET /v1/edges answers.
//   - Silence of clientSilence makes it ask all of them at once, for at most clientAsk, and go to the first that answers.
//   - A join takes joinTrips round trips: TCP, TLS, offer and answer, then ICE and DTLS (two), and half of one for the packet.
//   - A node lets joinsEach people in one after another, in the order in which they come.
const (
	edgesElsewhere = 3
	clientSilence  = 300 * time.Millisecond
	clientAsk      = 300 * time.Millisecond
	joinTrips      = 6.5
	// joinEach is goals.md's 500 joins a second and core, on nodes of two cores.
	joinEach = time.Millisecond
	// lastMile is a client's own way to its region, in one direction: 5 to 30 ms.
	lastMileMin, lastMileMax = 5 * time.Millisecond, 30 * time.Millisecond
)

// rehomed is how long the listeners of a lost region were without sound.
type rehomed struct {
	Listeners int
	gaps      []time.Duration // sorted
	nodesUsed int
	mostAt    int // at one node
}

func (r *rehomed) at(q float64) time.Duration {
	if len(r.gaps) == 0 {
		return 0
	}
	return r.gaps[min(int(q*float64(len(r.gaps))), len(r.gaps)-1)]
}

// rehome has every listener of a region that is lost now look for another node.
func (w *World) rehome(place int) *rehomed {
	type join struct {
		at   time.Duration // the request is at the node
		node int
		gap  time.Duration // what is left after it has been let in
	}
	near := w.nearest(place)
	r := &rehomed{}
	var joins []join
	for _, n := range w.nodes {
		if n.place != place {
			continue
		}
		for range w.large.listeners[n.index] {
			r.Listeners++
			mile := w.dice.time(lastMileMin, lastMileMax)
			best, trip := -1, time.Duration(1<<62)
			for range edgesElsewhere {
				m := near[w.dice.n(len(near))]
				if t := 2 * (mile + w.way(n.index, m)); t < trip {
					best, trip = m, t
				}
			}
			// The frames stop at once; the client's look at its own clock comes at any time within a packet.
			begin := clientSilence + w.dice.time(0, 20*time.Millisecond) + min(trip, clientAsk)
			rest := time.Duration(joinTrips * float64(trip))
			joins = append(joins, join{at: begin + rest/2, node: best, gap: rest - rest/2})
		}
	}
	slices.SortStableFunc(joins, func(a, b join) int { return cmp.Compare(a.at, b.at) })
	free, used := make([]time.Duration, len(w.nodes)), make([]int, len(w.nodes))
	for _, j := range joins {
		in := max(j.at, free[j.node]) + joinEach
		free[j.node] = in
		used[j.node]++
		r.gaps = append(r.gaps, in+j.gap)
	}
	slices.Sort(r.gaps)
	for _, k := range used {
		r.mostAt = max(r.mostAt, k)
		if k > 0 {
			r.nodesUsed++
		}
	}
	return r
}

// nearest lists the nodes of the regions next to a place: those of the nearest two.
func (w *World) nearest(place int) []int {
	var places []int
	for _, n := range w.nodes {
		if n.place != place && !slices.Contains(places, n.place) {
			places = append(places, n.place)
		}
	}
	slices.SortFunc(places, func(a, b int) int {
		return cmp.Or(cmp.Compare(OneWay(place, a), OneWay(place, b)), cmp.Compare(a, b))
	})
	places = places[:min(len(places), 2)]
	var near []int
	for _, n := range w.nodes {
		if slices.Contains(places, n.place) {
			near = append(near, n.index)
		}
	}
	return near
}
