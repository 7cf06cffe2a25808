package cascade

import (
	"context"
	"fmt"
	"slices"

	"rotunda"
	"rotunda/cascade/link"
	"rotunda/cascade/nodecert"
)

// QuestionMax and FetchedMax are the longest question of a Fetch and the longest answer to it, in octets.
const (
	QuestionMax = link.QuestionMax
	FetchedMax  = link.FetchedMax
)

// Fetch asks one node a question of 1 to QuestionMax octets and returns what its OnFetch answers, empty where it has nothing to
// say; it returns when ctx ends at the latest. It is for what is asked seldom and may be long: it costs a handshake.
func (m *Mesh) Fetch(ctx context.Context, node rotunda.NodeID, question []byte) ([]byte, error) {
	m.mu.Lock()
	members := m.members
	m.mu.Unlock()
	i := slices.IndexFunc(members, func(n rotunda.Member) bool { return n.ID == node })
	if i < 0 || node == m.cfg.Self.ID {
		return nil, fmt.Errorf("%s is no other member", node)
	}
	n := members[i]
	return m.endpoint.Fetch(ctx, n.Addresses.Cascade, nodecert.Identity{Region: n.Region, ID: n.ID}, question)
}

// OnFetch has f answer what other nodes ask by Fetch: at most FetchedMax octets, empty where there is nothing to say. from has
// proved to be that node. f may be called concurrently, by a few at once; it must return soon after ctx ends.
func (m *Mesh) OnFetch(f func(ctx context.Context, from rotunda.NodeID, question []byte) []byte) {
	m.onFetch.Store(&f)
}

func (m *Mesh) answerFetch(ctx context.Context, from nodecert.Identity, question []byte) []byte {
	if f := m.onFetch.Load(); f != nil {
		return (*f)(ctx, from.ID, question)
	}
	return nil
}
