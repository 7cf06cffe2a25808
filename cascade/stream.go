package cascade

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rotunda"
	"rotunda/cascade/link"
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
	p.m.core.Keep(p.stream, f)
	takers := p.m.forward(p.stream, 0, f)
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
	m       *Mesh
	key     relay.Key
	sink    func(*rotunda.Frame)
	hitless bool

	mu      sync.Mutex // held while the sink runs; guards what follows
	closed  bool
	onSum   func(sum []byte)
	onAsk   func(question []byte) []byte
	onPath  func(working bool)
	told    bool // onPath was called
	working bool // with this, the last time
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

	hitless bool // one of the subscriptions is
	detour  bool // the primary broke beyond its relay: the backup is the better one for now

	working bool // a way has brought a frame and has not broken since
}

// Option changes what a subscription is.
type Option uint8

// Hitless has the stream pulled by two ways that share no node but the origin, where the members allow it: whichever node
// on one of them dies, nothing is missing. It costs a second copy of every frame. Without it, a way that breaks is replaced
// by another, and what was missed meanwhile is sent once more.
const Hitless Option = 1

// Subscribe takes stream s of node origin and calls sink with each frame until the subscription is closed. When the origin
// or the stream is not there (yet), or the path breaks, it goes on trying. Subscriptions of one stream share one pull.
//
// The sink is called on the goroutine that reads the link, or the publisher's where the origin is this node; never twice
// at a time; it must not block, and must not close its own subscription. The frame is valid during the call only and
// shared with others: it must not be changed.
func (m *Mesh) Subscribe(s rotunda.StreamID, origin rotunda.NodeID, sink func(*rotunda.Frame), options ...Option) (*Subscription, error) {
	if err := s.Valid(); err != nil {
		return nil, err
	}
	if err := origin.Valid(); err != nil {
		return nil, err
	}
	sub := &Subscription{m: m, key: relay.Key{Stream: s, Origin: origin}, sink: sink, hitless: slices.Contains(options, Hitless)}
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.wants[sub.key]
	if w == nil {
		stream, actions := m.core.Want(sub.key, nil, nil)
		if stream == nil {
			return nil, ErrTooMany
		}
		w = &want{key: sub.key, stream: stream, working: origin == m.cfg.Self.ID}
		m.wants[w.key], m.takers[stream] = w, w
		m.do(actions)
		if origin != m.cfg.Self.ID {
			m.planAt(w, time.Time{})
		}
	}
	w.subs = append(slices.Clip(w.subs), sub)
	m.reconsider(w)
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
		delete(m.judged, w)
		m.do(m.core.Unwant(s.key))
		return
	}
	m.reconsider(w)
}

// reconsider has w's ways planned anew when it is hitless now and was not, or the other way about. Called with m.mu held.
func (m *Mesh) reconsider(w *want) {
	is := slices.ContainsFunc(w.subs, func(s *Subscription) bool { return s.hitless })
	if is != w.hitless && w.key.Origin != m.cfg.Self.ID {
		m.planAt(w, w.due)
	}
	w.hitless = is
}

// forward queues f for all peers that take the stream, but not for the one it came from, which takes it by this way as well
// as by another; and returns who takes it here. Called with m.mu held.
func (m *Mesh) forward(s *relay.Stream, from relay.Port, f *rotunda.Frame) []*Subscription {
	for _, o := range s.Outs() {
		if l := m.ports[o.Port]; l != nil && o.Port != from {
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
			m.send(m.ports[a.Port], a.Message)
		case relay.Replay:
			m.replay(a)
		case relay.Dial:
			m.peer(a.Node).wanted = true
			token(m.wake)
		case relay.Replan:
			if w := m.wants[a.Key]; w != nil {
				m.broke(w, a, time.Now())
				m.judge(w)
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

// send queues a message of the table, unless the peer does not know it. Called with m.mu held.
func (m *Mesh) send(l *link.Link, msg wire.Message) {
	if l == nil {
		return
	}
	switch msg.(type) {
	case wire.Subscribe:
		l.SetBusy(true)
	case wire.Resume:
		if !l.Resumes() {
			return // too old; or it has not said hello yet, and is asked then
		}
	}
	l.Control(msg)
}

// replay sends frames once more that a peer may have missed on another way. Called with m.mu held.
func (m *Mesh) replay(a relay.Action) {
	l, n := m.ports[a.Port], 0
	if l == nil {
		return
	}
	for f := range m.core.From(a.Key, a.From) {
		l.Send(a.Alias, f)
		if f.Seq > a.From {
			n++
		}
	}
	m.metrics.CascadeRepaired.With("replay").Add(float64(n))
}
