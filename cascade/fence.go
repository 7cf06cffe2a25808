package cascade

import (
	"slices"

	"rotunda"
	"rotunda/cascade/link"
	"rotunda/cascade/wire"
)

// fence is the regions that a room's streams stay in; known is false for a fenced room of which this node does not know them
// yet. Rooms without a fence cost a look at their id. Called with m.mu held.
func (m *Mesh) fence(room rotunda.RoomID) (f rotunda.Fence, known bool) {
	if !room.Fenced() {
		return nil, true
	}
	if m.cfg.Fence == nil {
		return nil, false
	}
	return m.cfg.Fence(room)
}

// refused tells a peer that it gets nothing of a fenced room, where it or a node of the way that it wants to have the stream
// by stands outside. Whoever is refused has no subscription, so no frame, note, question or answer goes to it or comes from
// it. Where the peer stands is what its certificate says; of the others, what gossip says, and whoever carries on with the way
// asks their certificates. Called with m.mu held.
func (m *Mesh) refused(l *link.Link, msg wire.Subscribe) bool {
	f, known := m.fence(msg.Stream.Room)
	if known && len(f) == 0 {
		return false
	}
	outside := !f.Holds(m.cfg.Self.Region) || !f.Holds(l.Peer.Region)
	for _, id := range msg.Path {
		i := slices.IndexFunc(m.members, func(n rotunda.Member) bool { return n.ID == id })
		known = known && i >= 0
		outside = outside || i >= 0 && !f.Holds(m.members[i].Region)
	}
	reason := wire.Refused
	switch {
	case outside:
		m.dropped("fenced")
	case !known: // and is asked again
		reason = wire.Unreachable
	default:
		return false
	}
	m.send(l, wire.Gone{Alias: msg.Alias, Reason: reason, Node: m.cfg.Self.ID})
	return true
}
