package cascade

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"rotunda"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

// NoteMax is the longest note, in octets.
const NoteMax = wire.NoteMax

// sumEvery is how often a node makes sums and hands them on: a change is at the origin after so many hops' times this at
// most, and comes down without waiting.
const sumEvery = 300 * time.Millisecond

// tree is this node's place in a stream's tree as far as notes go. Each node tells the next one towards the origin the sum
// of what it says itself and what it was told from below; the origin's sum goes down to all. All fields are guarded by
// Mesh.mu; the notes themselves are never changed.
type tree struct {
	own      []byte        // what this node says; empty: nothing
	reporter *Subscription // who said it
	parts    map[relay.Out][]byte
	stale    bool // own or parts have changed since the last sum

	sum    []byte    // the last one that was handed up
	sentTo relay.Out // whom to; no Port: to nobody

	down    []byte // the newest one for everybody
	version uint64 // of down; 0: there is none
	told    map[relay.Out]uint64
}

// Report says what this node has to say to the origin of the stream: part of a sum, at most NoteMax octets, in the place of
// what it said before; empty: nothing. The last subscription of a stream that reports speaks for the node. The part must
// not be changed after the call.
func (s *Subscription) Report(part []byte) {
	if len(part) > NoteMax {
		part = nil
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if w := s.m.wants[s.key]; w != nil && slices.Contains(w.subs, s) {
		s.m.tree(s.key).report(s, part)
	}
}

func (t *tree) report(s *Subscription, part []byte) {
	t.stale = t.stale || !bytes.Equal(t.own, part)
	t.own, t.reporter = part, s
}

// OnSum has f called with the sum over the whole tree of the stream, a few times a second while it changes, as long as the
// subscription lives. f must not block, nor change the sum, nor close the subscription.
func (s *Subscription) OnSum(f func(sum []byte)) {
	s.mu.Lock()
	s.onSum = f
	s.mu.Unlock()
	s.m.mu.Lock()
	t := s.m.trees[s.key]
	var sum []byte
	if t != nil {
		sum = t.down
	}
	s.m.mu.Unlock()
	if sum != nil {
		s.summed(sum)
	}
}

func (s *Subscription) summed(sum []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.onSum != nil {
		s.onSum(sum)
	}
}

// OnSum is Subscription's, on the node where the tree begins. f may still be called while Close runs.
func (p *Publication) OnSum(f func(sum []byte)) { p.onSum.Store(&f) }

// Silence says which microphones of a room this node carries no more, from whomever and to whomever: until it is called
// again for the room. An empty list lets go of the room.
func (m *Mesh) Silence(room rotunda.RoomID, users []rotunda.UserID) {
	var tracks []rotunda.Track
	for _, u := range users {
		tracks = append(tracks, rotunda.Mic(u))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.core.Silence(room, tracks)
}

// tree finds or makes the entry of a stream. Called with m.mu held.
func (m *Mesh) tree(k relay.Key) *tree {
	t := m.trees[k]
	if t == nil {
		t = &tree{parts: map[relay.Out][]byte{}, told: map[relay.Out]uint64{}}
		m.trees[k] = t
		select {
		case m.planted <- struct{}{}:
		default: // sumUp has not looked since the last one
		}
	}
	return t
}

// rising takes a note from below.
func (m *Mesh) rising(port relay.Port, msg wire.Up) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.core.Below(port, msg.Alias)
	if s == nil || m.cfg.Sum == nil {
		return // crossed with an unsubscribe
	}
	t, from := m.tree(s.Key), relay.Out{Port: port, Alias: msg.Alias}
	if bytes.Equal(t.parts[from], msg.Payload) {
		return
	}
	t.stale = true
	if len(msg.Payload) == 0 {
		delete(t.parts, from)
		return
	}
	t.parts[from] = msg.Payload
}

// falling takes a note from above.
func (m *Mesh) falling(port relay.Port, msg wire.Down) {
	m.mu.Lock()
	s := m.core.Above(port, msg.Alias)
	if s == nil {
		m.mu.Unlock()
		return
	}
	subs := m.fall(m.tree(s.Key), s, msg.Payload)
	m.mu.Unlock()
	for _, sub := range subs {
		sub.summed(msg.Payload)
	}
}

// fall makes sum the newest for everybody below and returns who takes it here. Called with m.mu held.
func (m *Mesh) fall(t *tree, s *relay.Stream, sum []byte) []*Subscription {
	if t.version > 0 && bytes.Equal(t.down, sum) {
		return nil
	}
	t.down = sum
	t.version++
	m.tell(t, s)
	if w := m.takers[s]; w != nil {
		return w.subs
	}
	return nil
}

// tell sends the newest note to those below who do not have it. Called with m.mu held.
func (m *Mesh) tell(t *tree, s *relay.Stream) {
	if t.version == 0 {
		return
	}
	for _, o := range s.Outs() {
		if l := m.ports[o.Port]; l != nil && t.told[o] != t.version && l.Down(wire.Down{Alias: o.Alias, Payload: t.down}) {
			t.told[o] = t.version
		}
	}
}

// sumUp makes the sums and hands them on, from time to time.
func (m *Mesh) sumUp(ctx context.Context) error {
	if m.cfg.Sum == nil {
		return nil
	}
	tick := time.NewTicker(sumEvery)
	defer tick.Stop()
	for {
		var due <-chan time.Time // never, as long as there are no trees
		if m.wooded() {
			due = tick.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.planted:
			continue
		case <-due:
		}
		for k, parts := range m.staleTrees() {
			m.handUp(k, m.cfg.Sum(parts))
		}
	}
}

func (m *Mesh) wooded() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.trees) > 0
}

// staleTrees forgets what has gone and returns the parts of the sums that are to be made.
func (m *Mesh) staleTrees() map[relay.Key][][]byte {
	due := map[relay.Key][][]byte{}
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, t := range m.trees {
		s := m.core.Find(k)
		if s == nil {
			delete(m.trees, k)
			continue
		}
		m.prune(t, s)
		m.tell(t, s) // those who have come since
		up, linked := s.Up()
		if !t.stale && (t.sentTo == up || k.Origin == m.cfg.Self.ID) || !linked && k.Origin != m.cfg.Self.ID {
			continue
		}
		parts := make([][]byte, 0, len(t.parts)+1)
		if len(t.own) > 0 {
			parts = append(parts, t.own)
		}
		for _, o := range slices.SortedFunc(maps.Keys(t.parts), compareOuts) {
			parts = append(parts, t.parts[o])
		}
		t.stale = false
		due[k] = parts
	}
	return due
}

func compareOuts(a, b relay.Out) int {
	return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Alias, b.Alias))
}

// prune forgets those below who have gone. Called with m.mu held.
func (m *Mesh) prune(t *tree, s *relay.Stream) {
	gone := func(o relay.Out) bool { return m.core.Below(o.Port, o.Alias) != s }
	before := len(t.parts)
	maps.DeleteFunc(t.parts, func(o relay.Out, _ []byte) bool { return gone(o) })
	maps.DeleteFunc(t.told, func(o relay.Out, _ uint64) bool { return gone(o) })
	t.stale = t.stale || len(t.parts) != before
}

// handUp sends a sum towards the origin, or down from it.
func (m *Mesh) handUp(k relay.Key, sum []byte) {
	if len(sum) > NoteMax {
		sum = nil
	}
	m.mu.Lock()
	s, t := m.core.Find(k), m.trees[k]
	if s == nil || t == nil {
		m.mu.Unlock()
		return
	}
	if k.Origin == m.cfg.Self.ID {
		subs, pub := m.fall(t, s, sum), m.pubs[k]
		m.mu.Unlock()
		for _, sub := range subs {
			sub.summed(sum)
		}
		if pub != nil {
			if f := pub.onSum.Load(); f != nil {
				(*f)(sum)
			}
		}
		return
	}
	if up, ok := s.Up(); ok && (t.sentTo != up || !bytes.Equal(t.sum, sum)) {
		if l := m.ports[t.sentTo.Port]; l != nil && t.sentTo != up && m.core.Above(t.sentTo.Port, t.sentTo.Alias) == s {
			l.Up(wire.Up{Alias: t.sentTo.Alias}) // the other way says it from now on
		}
		if l := m.ports[up.Port]; l != nil && l.Up(wire.Up{Alias: up.Alias, Payload: sum}) {
			t.sum, t.sentTo = sum, up
		} else {
			t.stale = true // and once more
		}
	}
	m.mu.Unlock()
}
