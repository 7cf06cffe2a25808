package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"rotunda"
)

// No way of a fenced room leaves the fence, whatever the world looks like: neither a hop of the primary or the backup, nor one
// that begins outside; and whoever is inside has a way where the origin is up and inside.
func TestNoWayLeavesTheFence(t *testing.T) {
	states := []rotunda.MemberState{rotunda.Alive, rotunda.Alive, rotunda.Alive, rotunda.Draining, rotunda.Suspect, rotunda.Dead}
	ways, backups := 0, 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		regions := 1 + r.IntN(6)
		var members []rotunda.Member
		where := map[rotunda.NodeID]rotunda.Member{}
		for i := range 1 + r.IntN(40) {
			m := rotunda.Member{ID: rotunda.NodeID(fmt.Sprintf("n%d", i)), Region: rotunda.Region(fmt.Sprintf("r%d", r.IntN(regions))), State: states[r.IntN(len(states))]}
			m.Coordinate.Vec[0], m.Coordinate.Height = r.Float64()/5, 0.001
			members = append(members, m)
			where[m.ID] = m
		}
		var fence rotunda.Fence
		for i := range 1 + r.IntN(regions) {
			fence = append(fence, rotunda.Region(fmt.Sprintf("r%d", i)))
		}
		for range 20 {
			q := Request{
				Self: members[r.IntN(len(members))].ID, Origin: members[r.IntN(len(members))].ID, Room: "in-k3v9", Members: slices.Clone(members), Fence: fence,
				Avoid: func(rotunda.NodeID) bool { return r.IntN(5) == 0 },
			}
			self, origin := where[q.Self], where[q.Origin]
			primary, backup := Paths(q)
			if !fence.Holds(self.Region) && len(primary)+len(backup) > 0 {
				t.Fatalf("seed %d: %s in %s is outside of %v and gets %v, %v", seed, q.Self, self.Region, fence, primary, backup)
			}
			for _, id := range slices.Concat(primary, backup) {
				if !fence.Holds(where[id].Region) {
					t.Fatalf("seed %d: %v, %v of %s lead through %s in %s, outside of %v", seed, primary, backup, q.Self, id, where[id].Region, fence)
				}
			}
			able := fence.Holds(self.Region) && fence.Holds(origin.Region) && origin.State.Up() && q.Self != q.Origin
			if able != (len(primary) > 0) {
				t.Fatalf("seed %d: from %s to %s within %v: %v", seed, q.Self, q.Origin, fence, primary)
			}
			if able {
				ways++
			}
			if len(backup) > 0 {
				backups++
			}
		}
	}
	if ways < 1000 || backups < 1000 {
		t.Errorf("%d ways and %d second ones: these worlds test nothing", ways, backups)
	}
}
