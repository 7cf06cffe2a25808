package plan_test

import (
	"fmt"
	"testing"

	"rotunda"
	"rotunda/cascade/plan"
)

// Worlds of many sizes: whoever begins, each member is reached, and nobody brings up more links than the regions and the
// members of its own.
func TestReachEverybody(t *testing.T) {
	for _, size := range []struct{ regions, nodes int }{{1, 1}, {1, 40}, {3, 1}, {3, 10}, {3, 12}, {10, 20}, {30, 40}} {
		var world []rotunda.Member
		region := map[rotunda.NodeID]rotunda.Region{}
		for i := range size.regions * size.nodes {
			m := member(fmt.Sprintf("n-%d", i), fmt.Sprintf("r-%d", i%size.regions), rotunda.Alive)
			world = append(world, m)
			region[m.ID] = m.Region
		}
		for name := range 5 {
			origin := world[name*7%len(world)].ID
			seen := map[rotunda.NodeID]bool{origin: true}
			type step struct {
				node rotunda.NodeID
				from rotunda.Region
			}
			for todo := []step{{origin, ""}}; len(todo) > 0; todo = todo[1:] {
				at := todo[0]
				reach := plan.Reach(plan.Request{Self: at.node, Members: world}, fmt.Sprint("message-", name), at.from)
				if limit := max(plan.SmallMesh, 2*size.regions+size.nodes); len(reach) > limit {
					t.Errorf("%v: %s reaches %d members, more than %d", size, at.node, len(reach), limit)
				}
				for _, n := range reach {
					if n == at.node {
						t.Errorf("%v: %s reaches itself", size, n)
					}
					if !seen[n] {
						seen[n] = true
						todo = append(todo, step{n, region[at.node]})
					}
				}
			}
			if len(seen) != len(world) {
				t.Errorf("%v, message %d from %s: %d of %d members are reached", size, name, origin, len(seen), len(world))
			}
		}
	}
}

// Who is gone, or did not answer lately, is not waited for; who does not know itself reaches nobody.
func TestReachTheLiving(t *testing.T) {
	world := []rotunda.Member{member("a", "us", rotunda.Alive), member("b", "us", rotunda.Dead), member("c", "eu", rotunda.Suspect), member("d", "eu", rotunda.Alive)}
	got := plan.Reach(plan.Request{Self: "a", Members: world, Avoid: func(n rotunda.NodeID) bool { return n == "d" }}, "m", "")
	if len(got) != 1 || got[0] != "c" {
		t.Errorf("reaches %v, want c alone", got)
	}
	if got := plan.Reach(plan.Request{Self: "x", Members: world}, "m", ""); got != nil {
		t.Errorf("an unknown node reaches %v", got)
	}
	if got := plan.Reach(plan.Request{Self: "d", Members: world}, "m", "eu"); got != nil {
		t.Errorf("from its own region: reaches %v", got)
	}
}
