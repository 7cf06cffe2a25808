package node

import (
	"context"
	"crypto/ecdh"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/fence"
)

// publishWait is between two attempts to tell the log the key of this node's region.
const publishWait = 2 * time.Second

// openFences returns what this node opens fenced rooms with.
func (n *Node) openFences(log eventlog.Log) (*fence.Ring, error) {
	return fence.New(fence.Config{
		Region: n.cfg.Region, Keys: n.regions.Keys, Proof: n.regions.Proof, Log: log,
		Prove: func(proof []byte) (rotunda.Region, *ecdh.PublicKey, error) {
			return n.identity.Load().ProveRegion(proof, time.Now())
		},
	})
}

// publishRegion has the log know the key of this node's region, so that rooms can be fenced to it from anywhere.
func (n *Node) publishRegion(ctx context.Context, ring *fence.Ring) error {
	for {
		err := ring.Publish(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		n.logger.Warn("the key of this node's region is not in the log yet", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(publishWait):
		}
	}
}

// fence is what this node knows of a room's fence.
func (n *Node) fence(id rotunda.RoomID) (f rotunda.Fence, known bool) {
	c := n.fences.Load()
	if c == nil {
		return nil, !id.Fenced()
	}
	return c.Fence(id)
}
