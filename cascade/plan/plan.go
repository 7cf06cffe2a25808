// Package plan computes the path of a stream from this node's own view of the members: the nodes that a subscription
// goes through, the origin last.
//
// The rule: edge → its region's relay for the room → origin; straight to the origin from the origin's own region. The
// relay is the winner of a rendezvous hash (Thaler and Ravishankar, 1998) over the region's members, so nodes with the same
// view choose the same one without talking, and a node that comes or goes moves only the rooms that it wins or held.
//
// The invariant: a path never holds its own start, never a node twice, and always ends at the origin. Views of two nodes
// may differ; that costs a second copy for a while and never a loop, because routing is by source (see package relay).
//
// All functions are pure and may be called concurrently.
package plan

import (
	"slices"

	"rotunda"
)

// Request is one question to Path.
type Request struct {
	Self    rotunda.NodeID
	Members []rotunda.Member // this node's view, in any order
	Room    rotunda.RoomID
	Origin  rotunda.NodeID
	// Avoid reports nodes that shall not be relays now, because they did not answer lately. Nil: none.
	Avoid func(rotunda.NodeID) bool
}

// Path returns the hops from r.Self to r.Origin: one or two nodes, the origin last. It is nil when the origin is not
// among the members that are up, or is r.Self.
func Path(r Request) []rotunda.NodeID {
	self, ok := find(r.Members, r.Self)
	origin, known := find(r.Members, r.Origin)
	if !known || !origin.State.Up() || r.Self == r.Origin {
		return nil
	}
	if !ok || self.Region == origin.Region {
		return []rotunda.NodeID{r.Origin}
	}
	if relay := Relay(r, self.Region); relay != r.Self && relay != "" {
		return []rotunda.NodeID{relay, r.Origin}
	}
	return []rotunda.NodeID{r.Origin}
}

// Relay returns the member of region that pulls r.Room's streams for the whole region; "" when nobody there can. Members
// that are draining or suspect are asked only where there is no better one, and r.Self is never one to avoid.
func Relay(r Request, region rotunda.Region) rotunda.NodeID {
	var best rotunda.NodeID
	var bestTier int
	var bestScore uint64
	for _, m := range r.Members {
		if m.Region != region || !m.State.Up() || m.ID == r.Origin {
			continue
		}
		if m.ID != r.Self && r.Avoid != nil && r.Avoid(m.ID) {
			continue
		}
		tier := 0
		if m.State == rotunda.Alive {
			tier = 1
		}
		score := weight(r.Room, m.ID)
		better := tier > bestTier || tier == bestTier && (score > bestScore || score == bestScore && m.ID > best)
		if best == "" || better {
			best, bestTier, bestScore = m.ID, tier, score
		}
	}
	return best
}

func find(members []rotunda.Member, id rotunda.NodeID) (rotunda.Member, bool) {
	i := slices.IndexFunc(members, func(m rotunda.Member) bool { return m.ID == id })
	if i < 0 {
		return rotunda.Member{}, false
	}
	return members[i], true
}

// weight is the rendezvous score of a node for a room: FNV-1a over both names, finished with the mixer of splitmix64,
// since FNV alone hardly moves the high bits for names that differ in their last character. The same on every node and in
// every version: a change would move every room.
func weight(room rotunda.RoomID, node rotunda.NodeID) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := range len(room) {
		h = (h ^ uint64(room[i])) * prime
	}
	h = (h ^ '/') * prime // a byte that neither name holds
	for i := range len(node) {
		h = (h ^ uint64(node[i])) * prime
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
