package sim

import (
	"math"

	"rotunda"
)

// settle gives regions their places in network space, by the rule that nodes use (Vivaldi, Dabek et al., 2004): each pulls
// the others to the distance that was measured. A model of what the nodes' coordinates come to after a while; it draws
// nothing, so it is the same in every world of the same regions.
func settle(places []int) map[int]rotunda.Coordinate {
	at := map[int]rotunda.Coordinate{}
	d := dice{1}
	for _, p := range places {
		c := rotunda.Coordinate{Error: 0.1}
		for i := range c.Vec {
			c.Vec[i] = 0.05 * (d.unit() - 0.5)
		}
		at[p] = c
	}
	const rounds, force = 200, 0.05
	for range rounds {
		for _, a := range places {
			for _, b := range places {
				if a == b {
					continue
				}
				x, y := at[a], at[b]
				away := 0.0
				for i := range x.Vec {
					away += (x.Vec[i] - y.Vec[i]) * (x.Vec[i] - y.Vec[i])
				}
				away = max(math.Sqrt(away), 1e-6)
				push := force * (2*OneWay(a, b).Seconds() - away) / away
				for i := range x.Vec {
					x.Vec[i] += push * (x.Vec[i] - y.Vec[i])
				}
				at[a] = x
			}
		}
	}
	return at
}
