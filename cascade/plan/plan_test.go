package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"rotunda"
	"rotunda/cascade/plan"
)

func member(id, region string, state rotunda.MemberState) rotunda.Member {
	return rotunda.Member{ID: rotunda.NodeID(id), Region: rotunda.Region(region), State: state}
}

// Who ranks where depends on the hash: the table names ranks, rank finds the members.
func TestPaths(t *testing.T) {
	world := []rotunda.Member{
		member("us-1", "us", rotunda.Alive), member("us-2", "us", rotunda.Alive), member("us-3", "us", rotunda.Alive),
		member("eu-1", "eu", rotunda.Alive), member("eu-2", "eu", rotunda.Alive), member("eu-3", "eu", rotunda.Alive),
		member("ap-1", "ap", rotunda.Alive),
		member("sa-1", "sa", rotunda.Draining), member("sa-2", "sa", rotunda.Alive), member("sa-3", "sa", rotunda.Dead),
	}
	eu, us := ranks(world, "us-1", "eu"), ranks(world, "us-1", "us")
	for _, c := range []struct {
		name            string
		self, origin    rotunda.NodeID
		regions         string // left out: all
		avoid           []rotunda.NodeID
		primary, backup rotunda.NodeID // hops, with blanks between them
	}{
		{"a leaf", eu[2], "us-1", "us eu ap", nil, eu[0] + " us-1", eu[1] + " ap-1 us-1"},
		{"the first", eu[0], "us-1", "us eu ap", nil, "us-1", eu[1] + " ap-1 us-1"},
		{"the second", eu[1], "us-1", "us eu ap", nil, eu[0] + " us-1", "ap-1 us-1"},
		{"alone in the region", "ap-1", "us-1", "us eu ap", nil, "us-1", eu[0] + " us-1"},
		{"a leaf, two regions", eu[2], "us-1", "us eu", nil, eu[0] + " us-1", eu[1] + " " + us[0] + " us-1"},
		{"the second, two regions", eu[1], "us-1", "us eu", nil, eu[0] + " us-1", us[0] + " us-1"},
		{"alone, two regions", "ap-1", "us-1", "us ap", nil, "us-1", us[0] + " us-1"},
		{"alone, and so is the origin", "ap-1", "us-1", "us ap", []rotunda.NodeID{"us-2", "us-3"}, "us-1", ""},
		{"a leaf, the origin alone", eu[2], "us-1", "us eu", []rotunda.NodeID{"us-2", "us-3"}, eu[0] + " us-1", eu[1] + " us-1"},
		{"the second, the origin alone", eu[1], "us-1", "us eu", []rotunda.NodeID{"us-2", "us-3"}, eu[0] + " us-1", "us-1"},
		{"in the origin's region", us[1], "us-1", "", nil, "us-1", us[0] + " us-1"},
		{"the second of the origin's region", us[0], "us-1", "", nil, "us-1", us[1] + " us-1"},
		{"alone with the origin, other regions", us[0], "us-1", "us ap", []rotunda.NodeID{us[1]}, "us-1", "ap-1 us-1"},
		{"alone with the origin", us[0], "us-1", "us", []rotunda.NodeID{us[1]}, "us-1", ""},
		{"first does not answer", eu[2], "us-1", "us eu ap", eu[:1], eu[1] + " us-1", "ap-1 us-1"},
		{"second does not answer", eu[2], "us-1", "us eu ap", eu[1:2], eu[0] + " us-1", "ap-1 us-1"},
		{"who does not answer asks itself", eu[0], "us-1", "us eu ap", eu[:1], "us-1", eu[1] + " ap-1 us-1"},
		{"a draining node is the last", "sa-1", "us-1", "us sa ap", nil, "sa-2 us-1", ""},
		{"origin to avoid is asked all the same", "ap-1", "us-1", "us ap", []rotunda.NodeID{"us-1"}, "us-1", us[0] + " us-1"},
		{"origin is dead", "ap-1", "sa-3", "", nil, "", ""},
		{"origin is unknown", "ap-1", "mars-1", "", nil, "", ""},
		{"origin is self", "ap-1", "ap-1", "", nil, "", ""},
		{"self not in view yet", "new-1", "us-1", "", nil, "us-1", ""},
	} {
		members := slices.DeleteFunc(slices.Clone(world), func(m rotunda.Member) bool {
			return c.regions != "" && !strings.Contains(c.regions, string(m.Region))
		})
		primary, backup := plan.Paths(plan.Request{
			Self: c.self, Members: members, Room: "k3v9", Origin: c.origin,
			Avoid: func(n rotunda.NodeID) bool { return slices.Contains(c.avoid, n) },
		})
		if got := join(primary); got != c.primary {
			t.Errorf("%s: primary %q, want %q", c.name, got, c.primary)
		}
		if got := join(backup); got != c.backup {
			t.Errorf("%s: backup %q, want %q", c.name, got, c.backup)
		}
	}
}

func join(path []rotunda.NodeID) rotunda.NodeID {
	return rotunda.NodeID(strings.Trim(fmt.Sprint(path), "[]"))
}

// ranks lists a region's members but the origin in the order in which they are chosen.
func ranks(world []rotunda.Member, origin rotunda.NodeID, region rotunda.Region) []rotunda.NodeID {
	var out []rotunda.NodeID
	for {
		n := plan.Relay(plan.Request{Members: world, Room: "k3v9", Origin: origin, Avoid: func(n rotunda.NodeID) bool { return slices.Contains(out, n) }}, region)
		if n == "" {
			return out
		}
		out = append(out, n)
	}
}

// Of three regions that the detour could go through, the near one is taken: 80 + 90 ms against 300 + 250; and where none
// knows its place, all nodes of the region still choose the same.
func TestDetourIsShort(t *testing.T) {
	at := func(id, region string, x, y float64) rotunda.Member {
		m := member(id, region, rotunda.Alive)
		m.Coordinate.Vec[0], m.Coordinate.Vec[1] = x, y
		return m
	}
	world := []rotunda.Member{
		at("us-1", "us", 0, 0), at("eu-1", "eu", .09, .03), at("eu-2", "eu", .09, .03), at("eu-3", "eu", .09, .03),
		at("ca-1", "ca", .02, .02), at("au-1", "au", .1, -.25), at("jp-1", "jp", -.15, .2),
	}
	for i := range 50 {
		room := rotunda.RoomID(fmt.Sprint("room", i))
		if got := detours(world, room); len(got) != 1 || !got["ca-1"] {
			t.Fatalf("%s: detours %v, want ca-1 alone", room, got)
		}
	}
	for i := range world {
		world[i].Coordinate.Error = 1.5
	}
	all := map[rotunda.NodeID]bool{}
	for i := range 50 {
		got := detours(world, rotunda.RoomID(fmt.Sprint("room", i)))
		if len(got) != 1 {
			t.Fatalf("room%d: detours %v, want one", i, got)
		}
		maps.Copy(all, got)
	}
	if len(all) != 3 {
		t.Errorf("50 rooms' detours go through %v, want all three regions", all)
	}
}

func detours(world []rotunda.Member, room rotunda.RoomID) map[rotunda.NodeID]bool {
	got := map[rotunda.NodeID]bool{}
	for _, self := range []rotunda.NodeID{"eu-1", "eu-2", "eu-3"} {
		_, backup := plan.Paths(plan.Request{Self: self, Members: world, Room: room, Origin: "us-1"})
		got[backup[len(backup)-2]] = true
	}
	return got
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

func BenchmarkPaths(b *testing.B) {
	for _, nodes := range []int{100, 2000} {
		var world []rotunda.Member
		for i := range nodes {
			world = append(world, member(fmt.Sprintf("node-%d", i), fmt.Sprintf("region-%d", i%30), rotunda.Alive))
		}
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				plan.Paths(plan.Request{Self: "node-1", Members: world, Room: "k3v9", Origin: "node-0"})
			}
		})
	}
}
