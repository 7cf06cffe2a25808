package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"rotunda"
	"rotunda/cascade/plan"
)

// trees is what all members of a world choose that share one view.
type trees map[rotunda.NodeID][2][]rotunda.NodeID

func treesOf(world []rotunda.Member, room rotunda.RoomID, origin rotunda.NodeID) trees {
	all := trees{}
	for _, m := range world {
		if m.State.Up() && m.ID != origin {
			primary, backup := plan.Paths(plan.Request{Self: m.ID, Members: world, Room: room, Origin: origin})
			all[m.ID] = [2][]rotunda.NodeID{primary, backup}
		}
	}
	return all
}

// takers counts to how many nodes each sends the stream when everybody takes it: a node pulls by its own two ways and by no
// others, because those who pull through it ask for what it has (package relay).
func (ts trees) takers() map[rotunda.NodeID]int {
	from := map[rotunda.NodeID]map[rotunda.NodeID]bool{}
	for self, paths := range ts {
		for _, path := range paths {
			if len(path) > 0 {
				if from[path[0]] == nil {
					from[path[0]] = map[rotunda.NodeID]bool{}
				}
				from[path[0]][self] = true
			}
		}
	}
	n := map[rotunda.NodeID]int{}
	for id, to := range from {
		n[id] = len(to)
	}
	return n
}

func regionsOf(world []rotunda.Member) map[rotunda.NodeID]rotunda.Region {
	of := map[rotunda.NodeID]rotunda.Region{}
	for _, m := range world {
		of[m.ID] = m.Region
	}
	return of
}

func population(world []rotunda.Member, except rotunda.NodeID) map[rotunda.Region]int {
	n := map[rotunda.Region]int{}
	for _, m := range world {
		if m.State.Up() && m.ID != except {
			n[m.Region]++
		}
	}
	return n
}

func drawWorld(t *rapid.T) []rotunda.Member {
	states := []rotunda.MemberState{rotunda.Alive, rotunda.Alive, rotunda.Alive, rotunda.Draining, rotunda.Suspect, rotunda.Left, rotunda.Dead}
	regions := rapid.IntRange(1, 6).Draw(t, "regions")
	var world []rotunda.Member
	for i := range rapid.OneOf(rapid.IntRange(1, 30), rapid.IntRange(30, 200)).Draw(t, "nodes") {
		m := member(fmt.Sprintf("n%d", i), fmt.Sprintf("r%d", rapid.IntRange(0, regions-1).Draw(t, "region")), rapid.SampledFrom(states).Draw(t, "state"))
		m.Coordinate.Vec[0] = float64(rapid.IntRange(0, 200).Draw(t, "x")) / 1000
		world = append(world, m)
	}
	return world
}

// In any world where all agree: everyone up is served, no path loops, the two share no node but the origin and no link
// between regions, a second one is there wherever the members allow it, whom a path goes through pulls along the rest of it,
// and of the room one copy crosses to a region by each of the two trees, by two different links.
func TestPathsOfAnyWorld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		world := drawWorld(t)
		room := rotunda.RoomID(rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "room"))
		origin := rapid.SampledFrom(world).Draw(t, "origin")
		ts := treesOf(world, room, origin.ID)
		if !origin.State.Up() {
			for self, paths := range ts {
				if paths[0] != nil || paths[1] != nil {
					t.Fatalf("%s to %s (%s): %v, want none", self, origin.ID, origin.State, paths)
				}
			}
			return
		}
		leaving := map[rotunda.NodeID]bool{}
		for _, m := range world {
			leaving[m.ID] = m.State == rotunda.Draining
		}
		stay := slices.DeleteFunc(slices.Clone(world), func(m rotunda.Member) bool { return leaving[m.ID] })
		of, others := regionsOf(world), population(stay, origin.ID)
		for self, paths := range ts {
			checkPath(t, ts, self, origin.ID, paths[0], 3)
			if wantBackup := possible(others) && !leaving[self]; (paths[1] != nil) != wantBackup {
				t.Fatalf("%s: backup %v, want one: %t", self, paths[1], wantBackup)
			}
			if paths[1] != nil && slices.ContainsFunc(paths[1][:len(paths[1])-1], func(n rotunda.NodeID) bool { return leaving[n] }) {
				t.Fatalf("%s: backup %v goes through a node that is being drained", self, paths[1])
			}
			if paths[1] != nil {
				checkPath(t, ts, self, origin.ID, paths[1], 4)
				checkDisjoint(t, paths)
			}
		}
		checkCrossings(t, ts, of, leaving, origin.ID)
	})
}

// possible reports whether a node has a second way: through anybody else but the origin.
func possible(others map[rotunda.Region]int) bool {
	n := 0
	for _, k := range others {
		n += k
	}
	return n > 1
}

func checkPath(t *rapid.T, ts trees, self, origin rotunda.NodeID, path []rotunda.NodeID, lenMax int) {
	if len(path) == 0 || len(path) > lenMax || path[len(path)-1] != origin || slices.Contains(path, self) {
		t.Fatalf("%s to %s: path %v", self, origin, path)
	}
	for i, n := range path[:len(path)-1] {
		if slices.Contains(path[:i], n) {
			t.Fatalf("%s to %s: path %v comes back", self, origin, path)
		}
		if !slices.Equal(ts[n][0], path[i+1:]) && !slices.Equal(ts[n][1], path[i+1:]) {
			t.Fatalf("%s to %s along %v: %s itself goes %v, which is another copy", self, origin, path, n, ts[n])
		}
	}
}

func staying(populated map[rotunda.Region]bool) (n int) {
	for _, is := range populated {
		if is {
			n++
		}
	}
	return n
}

func checkDisjoint(t *rapid.T, paths [2][]rotunda.NodeID) {
	for _, n := range paths[0][:len(paths[0])-1] {
		if slices.Contains(paths[1][:len(paths[1])-1], n) {
			t.Fatalf("%v and %v share %s", paths[0], paths[1], n)
		}
	}
	if slices.Equal(paths[0], paths[1]) {
		t.Fatalf("twice %v", paths[0])
	}
}

// checkCrossings counts the links between regions that each tree uses.
func checkCrossings(t *rapid.T, ts trees, of map[rotunda.NodeID]rotunda.Region, leaving map[rotunda.NodeID]bool, origin rotunda.NodeID) {
	crossings := map[rotunda.Region]map[[2]rotunda.NodeID]bool{}
	for self, paths := range ts {
		for _, path := range paths {
			if len(path) > 0 && of[path[0]] != of[self] {
				if crossings[of[self]] == nil {
					crossings[of[self]] = map[[2]rotunda.NodeID]bool{}
				}
				crossings[of[self]][[2]rotunda.NodeID{path[0], self}] = true
			}
		}
	}
	populated := map[rotunda.Region]bool{of[origin]: true}
	for self := range ts {
		populated[of[self]] = populated[of[self]] || !leaving[self] // by who may be a detour
	}
	for region, links := range crossings {
		from := map[rotunda.Region]int{}
		for l := range links {
			from[of[l[0]]]++
		}
		most := 2
		if region == of[origin] {
			most = 1 // a node that is alone there with the origin has its second way around
		}
		if len(links) > most || staying(populated) > 2 && slices.Max(slices.Collect(maps.Values(from))) > 1 {
			t.Fatalf("copies cross to %s (the origin is in %s) by %v, want at most %d, each from another region", region, of[origin], links, most)
		}
	}
}
