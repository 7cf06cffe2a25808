package plan_test

import (
	"fmt"
	"testing"

	"rotunda"
	"rotunda/cascade/plan"
)

// mesh is a mesh of so many nodes in so many regions, the first of which has a tenth of all.
func mesh(nodes, regions int) []rotunda.Member {
	var world []rotunda.Member
	for i := range nodes {
		region := i % regions
		if i%10 == 0 {
			region = 0
		}
		m := member(fmt.Sprintf("n%d", i), fmt.Sprintf("r%d", region), rotunda.Alive)
		m.Coordinate.Vec[0], m.Coordinate.Vec[1] = float64(region%6)*.03, float64(region/6)*.02
		world = append(world, m)
	}
	return world
}

// In a mesh of 2,000 nodes in 30 regions, one of them with 250, where every node takes the stream by two ways, none sends
// more than 64 copies of it, wherever it begins; and regions of any size keep to that up to 500 nodes.
func TestFanOut(t *testing.T) {
	world := mesh(2000, 30)
	most := 0
	for i, origin := range []rotunda.NodeID{"n0", "n1", "n7", "n13"} {
		for id, n := range treesOf(world, rotunda.RoomID(fmt.Sprint("room", i)), origin).takers() {
			if most = max(most, n); n > 64 {
				t.Errorf("from %s: %s sends %d copies, want at most 64", origin, id, n)
			}
		}
	}
	t.Logf("2,000 nodes: at most %d copies", most)
	for _, size := range []int{2, 15, 16, 17, 33, 100, 257, 500} {
		most := 0
		for id, n := range treesOf(mesh(size, 1), "room", "n0").takers() {
			if most = max(most, n); n > 64 {
				t.Errorf("%d nodes: %s sends %d copies, want at most 64", size, id, n)
			}
		}
		t.Logf("%d nodes in one region: at most %d copies", size, most)
	}
}

// When a member goes, nodes change whom they pull from only where it had a place: a leaf's going moves nobody else, a
// relay's of the second rank those whom it served, with whom its successor gets, and a first's or second's going those who
// hang on these two, and what a relay that rises leaves behind. Each relay of the second rank serves about SmallRegion: so
// the bound is 6·SmallRegion of a region's 2·n choices, and on average about four.
func TestFewMove(t *testing.T) {
	const n = 100
	world := mesh(n, 1)
	for i := range world {
		world[i].Region = "eu"
	}
	world = append(world, member("us-1", "us", rotunda.Alive), member("us-2", "us", rotunda.Alive), member("ap-1", "ap", rotunda.Alive))
	before := treesOf(world, "k3v9", "us-1")
	sum, worst := 0, 0
	for i := range n {
		gone := world[i].ID
		without := append(append([]rotunda.Member(nil), world[:i]...), world[i+1:]...)
		moved := 0
		for id, paths := range treesOf(without, "k3v9", "us-1") {
			for way := range paths {
				if id != gone && before[id][way][0] != paths[way][0] {
					moved++
				}
			}
		}
		sum, worst = sum+moved, max(worst, moved)
		if moved > 6*plan.SmallRegion {
			t.Errorf("%s goes: %d choices move, want at most %d", gone, moved, 6*plan.SmallRegion)
		}
	}
	t.Logf("of %d choices %d move at the most, %.1f on average", 2*n, worst, float64(sum)/n)
	if mean := float64(sum) / n; mean > 8 {
		t.Errorf("%.1f choices move on average, want at most 8", mean)
	}
}
