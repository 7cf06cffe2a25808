package node

import (
	"context"
	"path/filepath"
	"time"

	"rotunda"
	"rotunda/cascade/nodecert"
	"rotunda/control"
	"rotunda/node/presence"
)

// Kinds of messages that this program floods through the mesh.
const floodFact uint8 = 1

// factContext is what decisions without the log are sealed for.
const factContext = "rotunda fact 1"

// outage is how decisions that restrict get around while the control log is away: signed with the node's key, over the
// mesh's own links.
func (n *Node) outage() *control.Outage {
	return &control.Outage{
		Dir: filepath.Join(n.cfg.Data, "outbox"),
		Seal: func(message []byte) ([]byte, error) {
			return nodecert.Seal(n.identity.Load().Certificate, factContext, message)
		},
		Open: func(sealed []byte) (rotunda.NodeID, []byte, error) {
			who, message, err := nodecert.Open(n.identity.Load().Roots, time.Now(), factContext, sealed)
			return who.ID, message, err
		},
		Spread: func(sealed []byte) error { return n.mesh.Flood(floodFact, sealed) },
	}
}

// neighbours are the other nodes of the mesh, which lend rooms that this one does not know while the log is away.
func (n *Node) neighbours() *control.Neighbours {
	return &control.Neighbours{Members: n.mesh.Members, Ask: n.mesh.Fetch}
}

// lendRooms answers the others.
func (n *Node) lendRooms() {
	n.mesh.OnFetch(func(_ context.Context, _ rotunda.NodeID, question []byte) []byte { return n.control.Lend(question) })
}

// hearFacts takes in what other nodes have decided without the log.
func (n *Node) hearFacts() {
	n.mesh.OnFlood(floodFact, func(from rotunda.NodeID, sealed []byte) {
		if err := n.control.Heard(sealed); err != nil {
			n.logger.Warn("a decision without the log that is not believed", "from", from, "error", err)
		}
	})
}

// sumNotes is how notes about rooms add up on their way through the mesh.
func sumNotes(parts [][]byte) []byte {
	var sums []presence.Summary
	for _, p := range parts {
		if s, err := presence.Decode(p); err == nil { // another node's mistake costs that node's own count
			sums = append(sums, s)
		}
	}
	return presence.Merge(sums...).Encode()
}
