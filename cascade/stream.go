package cascade

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rotunda"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

// Publication is a stream that this node is the origin of.
type Publication struct {
	m       *Mesh
	key     relay.Key
	stream  *relay.Stream // guarded by m.mu; nil once closed
	wanted  atomic.Bool
	changed chan struct{} // capacity 1; never closed
	onSum   atomic.Pointer[func(sum []byte)]
}

// Publish makes this node the origin of s. A stream is published once at a time: a second time is ErrPublished.
// Subscriptions made before, here or elsewhere, take effect at once.
func (m *Mesh) Publish(s rotunda.StreamID) (*Publication, error) {
	if err := s.Valid(); err != nil {
		return nil, err
	}
	p := &Publication{m: m, key: relay.Key{Stream: s, Origin: m.cfg.Self.ID}, changed: make(chan struct{}, 1)}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pubs[p.key] != nil {
		return nil, ErrPublished
	}
	if p.stream = m.core.Publish(s); p.stream == nil {
		return nil, ErrTooMany
	}
	p.wanted.Store(p.stream.Wanted())
	m.pubs[p.key] = p
	return p, nil
}

// Write sends one frame to all who take the stream. It never blocks, allocates nothing and copies what it keeps. It sets
// f.Hops to 0. A frame that the wire cannot carry (no payload, or one above rotunda.PayloadMax) is dropped and counted.
func (p *Publication) Write(f *rotunda.Frame) {
	f.Hops = 0
	if !wire.Encodable(f) {
		p.m.dropped("malformed")
		return
	}
	p.m.mu.Lock()
	if p.stream == nil {
		p.m.mu.Unlock()
		return
	}
	if p.stream.Silenced() {
		p.m.mu.Unlock()
		p.m.dropped(string(relay.DropSilenced))
		return
	}
	takers := p.m.forward(p.stream, f)
	p.m.mu.Unlock()
	for _, s := range takers {
		s.take(f)
	}
}

// Wanted reports whether anybody, here or elsewhere, takes the stream now.
func (p *Publication) Wanted() bool { return p.wanted.Load() }

// WantedChanged has a token after Wanted has changed, one for one change or several. It is never closed.
func (p *Publication) WantedChanged() <-chan struct{} { return p.changed }

// Close ends the publication; Write does nothing from then on. Subscriptions go on waiting for the next one.
func (p *Publication) Close() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.stream == nil {
		return
	}
	p.stream = nil
	delete(p.m.pubs, p.key)
	p.m.core.Unpublish(p.key.Stream)
}

// Subscription is one local interest in a stream.
type Subscription struct {
	m    *Mesh
	key  relay.Key
	sink func(*rotunda.Frame)

	mu     sync.Mutex // held while the sink runs; guards what follows
	closed bool
	onSum  func(sum []byte)
}

// want is the interest of all subscriptions of one stream on this node.
type want struct {
	key    relay.Key
	stream *relay.Stream
	subs   []*Subscription // replaced, never changed: frames on their way hold the old one

	due      time.Time // when to plan; meaningful while in Mesh.due
	failures int       // broken paths in a row
	failedAt time.Time
	through  map[rotunda.NodeID]int       // how often in a row the path broke behind a relay
	avoid    map[rotunda.NodeID]time.Time // relays that did not get through to this origin, and until when
}

// Subscribe takes stream s of node origin and calls sink with each frame until the subscription is closed. When the origin
// or the stream is not there (yet), or the path breaks, it goes on trying. Subscriptions of one stream share one pull.
//
// The sink is called on the goroutine that reads the link, or the publisher's where the origin is this node; never twice
// at a time; it must not block, and must not close its own subscription. The frame is valid during the call only and
// shared with others: it must not be changed.
func (m *Mesh) Subscribe(s rotunda.StreamID, origin rotunda.NodeID, sink func(*rotunda.Frame)) (*Subscription, error) {
	if err := s.Valid(); err != nil {
		return nil, err
	}
	if err := origin.Valid(); err != nil {
		return nil, err
	}
	sub := &Subscription{m: m, key: relay.Key{Stream: s, Origin: origin}, sink: sink}
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.wants[sub.key]
	if w == nil {
		stream, actions := m.core.Want(sub.key, nil)
		if stream == nil {
			return nil, ErrTooMany
		}
		w = &want{key: sub.key, stream: stream}
		m.wants[w.key], m.takers[stream] = w, w
		m.do(actions)
		if origin != m.cfg.Self.ID {
			m.planAt(w, time.Time{})
		}
	}
	w.subs = append(slices.Clip(w.subs), sub)
	return sub, nil
}

// take gives one frame to the sink.
func (s *Subscription) take(f *rotunda.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.sink(f)
	}
}

// Close ends the subscription; after it has returned the sink is not called again. The last one of a stream lets go of it.
func (s *Subscription) Close() {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return
	}
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.wants[s.key]
	w.subs = slices.DeleteFunc(slices.Clone(w.subs), func(x *Subscription) bool { return x == s })
	if t := m.trees[s.key]; t != nil && t.reporter == s {
		t.report(nil, nil)
	}
	if len(w.subs) == 0 {
		delete(m.wants, s.key)
		delete(m.takers, w.stream)
		delete(m.due, w)
		m.do(m.core.Unwant(s.key))
	}
}

// forward queues f for all peers that take the stream and returns who takes it here. Called with m.mu held.
func (m *Mesh) forward(s *relay.Stream, f *rotunda.Frame) []*Subscription {
	for _, o := range s.Outs() {
		if l := m.ports[o.Port]; l != nil {
			l.Send(o.Alias, f)
		}
	}
	if w := m.takers[s]; w != nil {
		return w.subs
	}
	return nil
}

func (m *Mesh) dropped(reason string) { m.metrics.CascadeDropped.With(reason).Inc() }

// do carries out what the table decided. Called with m.mu held; nothing in it blocks.
func (m *Mesh) do(actions []relay.Action) {
	for _, a := range actions {
		switch a.Kind {
		case relay.Send:
			if l := m.ports[a.Port]; l != nil {
				l.Control(a.Message)
			}
		case relay.Dial:
			m.peer(a.Node).wanted = true
			token(m.wake)
		case relay.Replan:
			if w := m.wants[a.Key]; w != nil {
				m.broke(w, a, time.Now())
			}
		case relay.Wanted:
			if p := m.pubs[a.Key]; p != nil {
				p.wanted.Store(p.stream.Wanted())
				token(p.changed)
			}
		default:
			panic("cascade: unknown action")
		}
	}
}
