package plan_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"rotunda"
	"rotunda/cascade/plan"
)

func member(id, region string, state rotunda.MemberState) rotunda.Member {
	return rotunda.Member{ID: rotunda.NodeID(id), Region: rotunda.Region(region), State: state}
}

func TestPath(t *testing.T) {
	world := []rotunda.Member{
		member("us-1", "us", rotunda.Alive), member("us-2", "us", rotunda.Alive),
		member("eu-1", "eu", rotunda.Alive), member("eu-2", "eu", rotunda.Alive), member("eu-3", "eu", rotunda.Alive),
		member("ap-1", "ap", rotunda.Alive),
		member("sa-1", "sa", rotunda.Draining), member("sa-2", "sa", rotunda.Alive), member("sa-3", "sa", rotunda.Dead),
	}
	relay := plan.Relay(plan.Request{Members: world, Room: "k3v9"}, "eu")
	var edge rotunda.NodeID = "eu-1"
	if relay == edge {
		edge = "eu-2"
	}
	next := plan.Relay(plan.Request{Members: world, Room: "k3v9", Avoid: func(n rotunda.NodeID) bool { return n == relay }}, "eu")
	if relay == "" || next == "" || next == relay {
		t.Fatalf("relay %q, without it %q: want two different nodes", relay, next)
	}
	for _, c := range []struct {
		name         string
		self, origin rotunda.NodeID
		avoid        []rotunda.NodeID
		want         []rotunda.NodeID
	}{
		{"edge through its region's relay", edge, "us-1", nil, []rotunda.NodeID{relay, "us-1"}},
		{"the relay itself goes straight", relay, "us-1", nil, []rotunda.NodeID{"us-1"}},
		{"alone in the region", "ap-1", "us-1", nil, []rotunda.NodeID{"us-1"}},
		{"in the origin's region", "us-2", "us-1", nil, []rotunda.NodeID{"us-1"}},
		{"relay does not answer", edge, "us-1", []rotunda.NodeID{relay}, viaUnlessSelf(next, edge, "us-1")},
		{"a draining node is no relay", "sa-1", "us-1", nil, []rotunda.NodeID{"sa-2", "us-1"}},
		{"a draining node where there is no better one", "sa-1", "us-1", []rotunda.NodeID{"sa-2"}, []rotunda.NodeID{"us-1"}},
		{"origin to avoid is asked all the same", "ap-1", "us-1", []rotunda.NodeID{"us-1"}, []rotunda.NodeID{"us-1"}},
		{"origin is dead", "ap-1", "sa-3", nil, nil},
		{"origin is unknown", "ap-1", "mars-1", nil, nil},
		{"origin is self", "ap-1", "ap-1", nil, nil},
		{"self not in view yet", "new-1", "us-1", nil, []rotunda.NodeID{"us-1"}},
	} {
		got := plan.Path(plan.Request{
			Self: c.self, Members: world, Room: "k3v9", Origin: c.origin,
			Avoid: func(n rotunda.NodeID) bool { return slices.Contains(c.avoid, n) },
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: path %v, want %v", c.name, got, c.want)
		}
	}
}

func viaUnlessSelf(relay, self, origin rotunda.NodeID) []rotunda.NodeID {
	if relay == self {
		return []rotunda.NodeID{origin}
	}
	return []rotunda.NodeID{relay, origin}
}

// The hash is part of the protocol: all nodes of a region must choose alike, in every version.
func TestRelayIsStable(t *testing.T) {
	var world []rotunda.Member
	for i := range 5 {
		world = append(world, member(fmt.Sprintf("eu-%d", i), "eu", rotunda.Alive))
	}
	var got []rotunda.NodeID
	for _, room := range []rotunda.RoomID{"a", "b", "c", "d", "k3v9", "K3V9", "room-1", "room-2"} {
		got = append(got, plan.Relay(plan.Request{Members: world, Room: room}, "eu"))
	}
	want := []rotunda.NodeID{"eu-0", "eu-3", "eu-3", "eu-2", "eu-2", "eu-1", "eu-0", "eu-3"}
	if !slices.Equal(got, want) {
		t.Errorf("relays %q, want %q", got, want)
	}
}

func TestRoomsSpreadAndFewMove(t *testing.T) {
	const nodes, rooms = 10, 10_000
	var world []rotunda.Member
	for i := range nodes {
		world = append(world, member(fmt.Sprintf("eu-%d", i), "eu", rotunda.Alive))
	}
	held := map[rotunda.NodeID]int{}
	moved := 0
	for i := range rooms {
		room := rotunda.RoomID(fmt.Sprintf("room%d", i))
		before := plan.Relay(plan.Request{Members: world, Room: room}, "eu")
		after := plan.Relay(plan.Request{Members: world[1:], Room: room}, "eu")
		held[before]++
		if before != after {
			moved++
			if before != "eu-0" {
				t.Fatalf("%s moved from %s to %s though only eu-0 went", room, before, after)
			}
		}
	}
	for n, k := range held {
		if k < rooms/nodes*8/10 || k > rooms/nodes*12/10 {
			t.Errorf("%s relays %d of %d rooms, want within a fifth of %d", n, k, rooms, rooms/nodes)
		}
	}
	if moved != held["eu-0"] {
		t.Errorf("%d rooms moved, want the %d of the node that went", moved, held["eu-0"])
	}
}

// In any world where all agree: everyone up is served, no path loops, and a region with edges pulls one copy of the room.
func TestOneCopyCrosses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		states := []rotunda.MemberState{rotunda.Alive, rotunda.Alive, rotunda.Alive, rotunda.Draining, rotunda.Suspect, rotunda.Left, rotunda.Dead}
		var world []rotunda.Member
		for i := range rapid.IntRange(1, 30).Draw(t, "nodes") {
			region := fmt.Sprintf("r%d", rapid.IntRange(0, 4).Draw(t, "region"))
			world = append(world, member(fmt.Sprintf("n%d", i), region, rapid.SampledFrom(states).Draw(t, "state")))
		}
		room := rotunda.RoomID(rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "room"))
		origin := rapid.SampledFrom(world).Draw(t, "origin")
		crossing := map[rotunda.Region]map[rotunda.NodeID]bool{}
		for _, m := range world {
			path := plan.Path(plan.Request{Self: m.ID, Members: world, Room: room, Origin: origin.ID})
			if !origin.State.Up() || m.ID == origin.ID {
				if path != nil {
					t.Fatalf("%s to %s (%s): path %v, want none", m.ID, origin.ID, origin.State, path)
				}
				continue
			}
			if !m.State.Up() {
				continue
			}
			if len(path) == 0 || len(path) > 2 || path[len(path)-1] != origin.ID || slices.Contains(path, m.ID) {
				t.Fatalf("%s to %s: path %v", m.ID, origin.ID, path)
			}
			hop := m.ID // the node of m's region that pulls from the origin
			if len(path) == 2 {
				hop = path[0]
			}
			if crossing[m.Region] == nil {
				crossing[m.Region] = map[rotunda.NodeID]bool{}
			}
			crossing[m.Region][hop] = true
		}
		delete(crossing, origin.Region)
		for region, hops := range crossing {
			if len(hops) != 1 {
				t.Fatalf("region %s pulls through %v, want one node", region, hops)
			}
		}
	})
}

func BenchmarkPath(b *testing.B) {
	var world []rotunda.Member
	for i := range 100 {
		world = append(world, member(fmt.Sprintf("node-%d", i), fmt.Sprintf("region-%d", i%5), rotunda.Alive))
	}
	b.ReportAllocs()
	for b.Loop() {
		plan.Path(plan.Request{Self: "node-1", Members: world, Room: "k3v9", Origin: "node-0"})
	}
}
