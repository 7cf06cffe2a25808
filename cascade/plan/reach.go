package plan

import (
	"cmp"
	"slices"

	"rotunda"
)

// Limits of Reach.
const (
	// SmallMesh is up to how many members one node reaches all of them by itself.
	SmallMesh = 32
	// RegionMax is how many members of its own region one node brings up links to.
	RegionMax = 128
	// doorsMax is through how many members a message enters another region.
	doorsMax = 2
)

// Reach lists the members that this node brings up links to for a message that is for all, apart from those that it has
// links to: they get it anyway. In a small mesh who begins reaches everybody. In a larger one it reaches its own region and
// two members of every other, chosen by rendezvous hash over name, which says what the message is; those do the same
// for their regions. from is the region that the message came from, "" on the node where it began.
func Reach(r Request, name string, from rotunda.Region) []rotunda.NodeID {
	self, known := find(r.Members, r.Self)
	if !known || from == self.Region {
		return nil
	}
	regions, up := map[rotunda.Region][]rotunda.NodeID{}, 0
	for _, m := range r.Members {
		if m.ID == r.Self || !m.State.Up() {
			continue
		}
		up++
		if r.Avoid == nil || !r.Avoid(m.ID) {
			regions[m.Region] = append(regions[m.Region], m.ID)
		}
	}
	var reach []rotunda.NodeID
	for region, ids := range regions {
		slices.SortFunc(ids, func(a, b rotunda.NodeID) int {
			return cmp.Or(cmp.Compare(weight(rotunda.RoomID(name), b), weight(rotunda.RoomID(name), a)), cmp.Compare(a, b))
		})
		switch {
		case region == self.Region:
			ids = ids[:min(len(ids), RegionMax)]
		case from != "":
			ids = nil
		case up > SmallMesh:
			ids = ids[:min(len(ids), doorsMax)]
		}
		reach = append(reach, ids...)
	}
	slices.Sort(reach)
	return reach
}
