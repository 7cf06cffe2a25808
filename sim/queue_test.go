package sim

import (
	"testing"
	"time"
)

// Whatever the order in which events are asked for, they come by time, and of one time in the order asked for.
func TestQueue(t *testing.T) {
	d := dice{5}
	var q queue
	left := 0
	var last event
	for range 20_000 {
		if left == 0 || d.n(5) < 3 {
			q.push(event{at: last.at + time.Duration(d.n(50))})
			left++
			continue
		}
		e := q.pop()
		left--
		if e.at < last.at || e.at == last.at && e.order < last.order {
			t.Fatalf("%v, number %d, after %v, number %d", e.at, e.order, last.at, last.order)
		}
		last = e
	}
}

// The table of distances is whole, the same in both directions and within what the Earth allows, and no detour over a third
// region is half as long as the direct way.
func TestDistances(t *testing.T) {
	names := map[string]bool{}
	for i, p := range Places {
		if err := p.Region.Valid(); err != nil || names[string(p.Region)] || names[p.Azure] || continent(i) < 0 {
			t.Errorf("%+v: %v, or twice", p, err)
		}
		names[string(p.Region)], names[p.Azure] = true, true
		if len(roundTrips[i]) != i {
			t.Fatalf("%s has %d distances, want %d", p.Region, len(roundTrips[i]), i)
		}
		for j := range i {
			direct := OneWay(i, j)
			if direct < 2*time.Millisecond || direct > 200*time.Millisecond || direct != OneWay(j, i) {
				t.Errorf("%s to %s: %v", p.Region, Places[j].Region, direct)
			}
			for k := range Places {
				if k != i && k != j && 2*(OneWay(i, k)+OneWay(k, j)) < direct {
					t.Errorf("%s to %s: %v, and over %s less than half", p.Region, Places[j].Region, direct, Places[k].Region)
				}
			}
		}
	}
}
