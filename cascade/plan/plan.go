// Package plan computes the ways of a stream from this node's own view of the members: the nodes that a subscription goes
// through, the origin last. There are two, a primary and a backup, that share no node but the origin.
//
// The rule, in every region but the origin's: the members are ranked by rendezvous hash (Thaler and Ravishankar, 1998) of
// room and node. The first pulls from the origin and serves the region's primaries; the second pulls from a node of a third
// region (the detour) and serves its backups. Where a region is larger than SmallRegion, relays of a second rank stand
// between these two and the rest, some for each tree, never for both. In the origin's region the origin itself is the
// first. So with three regions or more no link between two regions carries both copies; with two, the detour is a node of
// the origin's region.
//
// Nodes with the same view choose the same without talking, and a node that comes or goes moves few others: see ADR 10.
//
// The invariant: a path never holds its own start, never a node twice, and always ends at the origin. Views of two nodes
// may differ; that costs a copy more for a while and never a loop, because routing is by source (see package relay).
//
// All functions are pure and may be called concurrently.
package plan

import (
	"cmp"
	"math"
	"slices"
	"time"

	"rotunda"
)

// Limits of the trees.
const (
	// SmallRegion is up to how many members of a region are served by its first and second alone, and for how many others a
	// relay of the second rank is there.
	SmallRegion = 16
	// detourStep is how exactly the length of a detour counts: those that differ by less are chosen from by hash, so that
	// an estimate that wanders moves nothing.
	detourStep = 20 * time.Millisecond
	// errorMax is the Coordinate.Error from which on a coordinate says nothing.
	errorMax = 1
)

// Request is one question to Paths.
type Request struct {
	Self    rotunda.NodeID
	Members []rotunda.Member // this node's view, in any order
	Room    rotunda.RoomID
	Origin  rotunda.NodeID
	// Avoid reports nodes that shall not be relays now, because they did not answer lately. Nil: none.
	Avoid func(rotunda.NodeID) bool
	// Fence is the regions that the room's ways may lead through; empty: all. Members elsewhere are as if they were not there,
	// r.Self too.
	Fence rotunda.Fence
}

// Paths returns the hops from r.Self to r.Origin by two ways: one to three nodes, and one to four, the origin last. They
// share no node but the origin. primary is nil when the origin is not among the members that are up, or is r.Self; backup
// is nil where the members allow no second way, and on a node that is being drained.
func Paths(r Request) (primary, backup []rotunda.NodeID) {
	if len(r.Fence) > 0 { // the one place where a fence counts: all that follows sees members inside only
		r.Members = r.Fence.Within(r.Members)
		if _, inside := find(r.Members, r.Self); !inside {
			return nil, nil
		}
	}
	origin, known := find(r.Members, r.Origin)
	if !known || !origin.State.Up() || r.Self == r.Origin {
		return nil, nil
	}
	self, known := find(r.Members, r.Self)
	if !known || !self.State.Up() {
		return []rotunda.NodeID{r.Origin}, nil
	}
	t := r.tree(self.Region, origin)
	if self.State == rotunda.Draining { // no place in the tree, and nobody's for long
		return t.primary(r.Self), nil
	}
	return t.primary(r.Self), t.backup(&r, origin, self.Region)
}

// Relay returns the member of region that pulls r.Room's streams for the whole region; "" when nobody there can. Members
// that are draining or suspect are asked only where there is no better one, and r.Self is never one to avoid.
func Relay(r Request, region rotunda.Region) rotunda.NodeID {
	if ms := r.ranked(region); len(ms) > 0 {
		return ms[0].ID
	}
	return ""
}

// tree is who serves whom in one region.
type tree struct {
	origin        rotunda.NodeID
	first, second rotunda.NodeID      // of the primaries and of the backups; the first is the origin in its own region. "": nobody
	upper         [2][]rotunda.NodeID // relays of the second rank: for primaries, for backups
	spare         rotunda.NodeID      // ranks third
	at            rotunda.Coordinate  // of the second, else of the first
}

// Indexes of tree.upper.
const (
	forPrimary = 0
	forBackup  = 1
)

// ranked is a member with its score for the room.
type ranked struct {
	*rotunda.Member
	score uint64
}

// ranked returns the members of a region that may be relays, best first, without the origin. One that is being drained is among
// them only where there is no other, and then alone: as the way in, which a region needs, and not for the second way, which it can
// go without for a while.
func (r *Request) ranked(region rotunda.Region) []ranked {
	var ms []ranked
	for i := range r.Members { // a Member is large: it is not copied
		if m := &r.Members[i]; m.Region == region && r.eligible(m) {
			ms = append(ms, ranked{m, weight(r.Room, m.ID)})
		}
	}
	slices.SortFunc(ms, func(a, b ranked) int { return a.compare(b) })
	stay := slices.DeleteFunc(slices.Clone(ms), func(m ranked) bool { return m.State == rotunda.Draining })
	if len(stay) == 0 {
		return ms[:min(1, len(ms))]
	}
	return stay
}

func (r *Request) eligible(m *rotunda.Member) bool {
	return m.State.Up() && m.ID != r.Origin && (m.ID == r.Self || r.Avoid == nil || !r.Avoid(m.ID))
}

// compare is negative when a is the better relay.
func (a ranked) compare(b ranked) int {
	return cmp.Or(cmp.Compare(tier(b), tier(a)), cmp.Compare(b.score, a.score), cmp.Compare(b.ID, a.ID))
}

func tier(m ranked) int {
	if m.State == rotunda.Alive {
		return 1
	}
	return 0
}

// tree gives the members of a region their places.
func (r *Request) tree(region rotunda.Region, origin *rotunda.Member) tree {
	ms := r.ranked(region)
	size := len(ms)
	t := tree{origin: r.Origin}
	if region == origin.Region {
		t.first, t.at = r.Origin, origin.Coordinate
		size++
	} else if len(ms) > 0 {
		t.first, t.at = ms[0].ID, ms[0].Coordinate
		ms = ms[1:]
	}
	if len(ms) > 0 && ms[0].State != rotunda.Draining {
		t.second, t.at = ms[0].ID, ms[0].Coordinate
		ms = ms[1:]
	}
	if len(ms) > 0 {
		t.spare = ms[0].ID
	}
	each := upperRelays(size)
	for _, m := range ms {
		// Which of the two trees a member may serve is its own, whoever else is there: one that goes changes nobody's side.
		if side := m.score & 1; len(t.upper[side]) < each {
			t.upper[side] = append(t.upper[side], m.ID)
		}
	}
	return t
}

// upperRelays is how many relays of the second rank each of the two trees of a region has: as many as leave SmallRegion
// members to each, until it is the first who would have more to serve.
func upperRelays(size int) int {
	if size <= SmallRegion {
		return 0
	}
	return int(math.Ceil(min(float64(size)/SmallRegion, math.Sqrt(float64(size)))))
}

// parent is the relay of the second rank that serves id on a side; "" where the top of the tree does so itself.
func (t tree) parent(side int, id rotunda.NodeID) (best rotunda.NodeID) {
	if id == t.second || slices.Contains(t.upper[side], id) {
		return ""
	}
	var score uint64
	for _, n := range t.upper[side] {
		if s := weight(rotunda.RoomID(id), n); best == "" || s > score || s == score && n > best {
			best, score = n, s
		}
	}
	return best
}

// path joins the hops that are there; the origin comes last.
func (t tree) path(hops ...rotunda.NodeID) []rotunda.NodeID {
	hops = slices.DeleteFunc(hops, func(n rotunda.NodeID) bool { return n == "" || n == t.origin })
	return append(hops, t.origin)
}

func (t tree) primary(self rotunda.NodeID) []rotunda.NodeID {
	switch self {
	case t.first:
		return t.path()
	case t.second:
		return t.path(t.first)
	}
	return t.path(t.parent(forPrimary, self), t.first)
}

func (t tree) backup(r *Request, origin *rotunda.Member, region rotunda.Region) []rotunda.NodeID {
	home := region == origin.Region
	switch {
	case home && r.Self == t.second: // its primary is the origin itself
		beside := t.spare
		if len(t.upper[forPrimary]) > 0 {
			beside = t.upper[forPrimary][0]
		}
		if beside == "" {
			beside = r.detour(origin, region, t.at)
		}
		if beside == "" {
			return nil
		}
		return t.path(beside)
	case home && t.second != "":
		return t.path(t.parent(forBackup, r.Self), t.second)
	}
	detour := r.detour(origin, region, t.at)
	switch {
	case t.second == "" && detour == "":
		return nil
	case t.second == "" || r.Self == t.second:
		return t.path(detour)
	}
	return t.path(t.parent(forBackup, r.Self), t.second, detour)
}

// detour is the node of a third region that a region's backup comes by: the first of the region that makes the way the
// shortest as far as that is known, and among those by hash. Without a third region it is the second of the origin's
// region; "" where there is none.
func (r *Request) detour(origin *rotunda.Member, region rotunda.Region, at rotunda.Coordinate) rotunda.NodeID {
	firsts := map[rotunda.Region]ranked{}
	for i := range r.Members {
		m := &r.Members[i]
		if m.Region == region || m.Region == origin.Region || m.State == rotunda.Draining || !r.eligible(m) {
			continue
		}
		a := ranked{m, weight(r.Room, m.ID)}
		if b, ok := firsts[m.Region]; !ok || a.compare(b) < 0 {
			firsts[m.Region] = a
		}
	}
	var best ranked
	var bestLength time.Duration
	name := rotunda.RoomID(string(r.Room) + "/" + string(region))
	for _, m := range firsts {
		length := (distance(origin.Coordinate, m.Coordinate) + distance(m.Coordinate, at)).Truncate(detourStep)
		m.score = weight(name, rotunda.NodeID(m.Region))
		if best.Member == nil {
			best, bestLength = m, length
			continue
		}
		better := cmp.Or(cmp.Compare(tier(best), tier(m)), cmp.Compare(length, bestLength), m.compare(best))
		if better < 0 {
			best, bestLength = m, length
		}
	}
	switch {
	case best.Member != nil:
		return best.ID
	case region != origin.Region:
		return r.tree(origin.Region, origin).second
	}
	return ""
}

// distance estimates the round trip between two nodes; what they do not know well yet counts as far.
func distance(a, b rotunda.Coordinate) time.Duration {
	if a.Error >= errorMax || b.Error >= errorMax {
		return rotunda.DistanceMax
	}
	return a.Distance(b)
}

func find(members []rotunda.Member, id rotunda.NodeID) (*rotunda.Member, bool) {
	for i := range members {
		if members[i].ID == id {
			return &members[i], true
		}
	}
	return nil, false
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
