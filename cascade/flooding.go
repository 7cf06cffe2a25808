package cascade

import (
	"strconv"
	"time"

	"rotunda"
	"rotunda/cascade/flood"
	"rotunda/cascade/plan"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

// FloodMax is the longest payload of a flood, in octets.
const FloodMax = wire.FloodMax

// Flood sends payload to every node of the mesh that has a link to another or can be dialled; each of them hands it to its
// OnFlood of that kind, once. This node does not hear it. It never blocks. Payloads that are the same are one message: who
// wants to say something again says it differently. The payload must not be changed after the call.
//
// Nodes that cannot be reached now hear it if they are back within a minute.
func (m *Mesh) Flood(kind uint8, payload []byte) error {
	if len(payload) < 1 || len(payload) > FloodMax {
		return ErrTooLong
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	msg, ok := m.floods.Start(now, kind, payload)
	if !ok {
		return ErrTooMany
	}
	m.handOn(msg, 0, "", now)
	return nil
}

// OnFlood has f called with every message of a kind that other nodes flood. from is the neighbour that handed it on, not
// who began: what counts has to be proved by the payload, which f must not change. f is called on the goroutine that reads
// the link and must not block. Messages of a
// kind that nobody asks for are handed on all the same.
func (m *Mesh) OnFlood(kind uint8, f func(from rotunda.NodeID, payload []byte)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard[kind] = f
}

// flooded takes a message that came through a port.
func (m *Mesh) flooded(port relay.Port, msg wire.Flood, now time.Time) {
	m.mu.Lock()
	l := m.ports[port]
	if l == nil { // crossed with the link's end
		m.mu.Unlock()
		return
	}
	next, further, drop := m.floods.Arrive(now, port, msg)
	if drop == "" && further {
		m.handOn(next, port, l.Peer.Region, now)
	}
	f := m.heard[msg.Kind]
	m.mu.Unlock()
	switch {
	case drop == flood.DropDuplicate: // the rule, not the exception: all neighbours bring it
	case drop != "":
		m.dropped(string(drop))
	case f != nil:
		f(l.Peer.ID, msg.Payload)
	}
}

// handOn sends a message to all neighbours but the one it came from, and has links brought up to others. Called with m.mu
// held.
func (m *Mesh) handOn(msg wire.Flood, from relay.Port, region rotunda.Region, now time.Time) {
	for port, l := range m.ports {
		if port != from {
			l.Flood(msg) // who is too slow, or has not said hello yet, is told later or not at all
		}
	}
	for _, id := range plan.Reach(plan.Request{
		Self: m.cfg.Self.ID, Members: m.members,
		Avoid: func(n rotunda.NodeID) bool { return m.peers[n] != nil && now.Before(m.peers[n].avoid) },
	}, strconv.Itoa(int(msg.Kind)), region) {
		if p := m.peer(id); p.link == nil {
			p.wanted = true
			token(m.wake)
		}
	}
}

// greet tells a neighbour that has just come what the mesh has heard lately, and asks it for what it could not be asked before.
func (m *Mesh) greet(port relay.Port, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.ports[port]
	if l == nil {
		return
	}
	for _, msg := range m.floods.Recent(now) {
		l.Flood(msg)
	}
	m.do(m.core.Greeted(port))
}
