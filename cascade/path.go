package cascade

// OnPath has f called with whether the stream has a working way to here: one that has brought a frame and has neither
// broken since nor been silent for 0.1 s, heartbeats and all. It is called soon with what is so now, and then at each change, never twice at a time, as long as the subscription
// lives. False means that nothing can come at present, not that nobody speaks: a pause keeps its way. It does not say
// whose fault that is; the origin may be gone, or this node may be cut off. A stream of which this node is the origin works.
//
// f must not block, nor close the subscription.
func (s *Subscription) OnPath(f func(working bool)) {
	m := s.m
	m.mu.Lock()
	w := m.wants[s.key]
	m.mu.Unlock()
	if w == nil {
		return // closed
	}
	s.mu.Lock()
	s.onPath, s.told = f, false
	s.mu.Unlock()
	m.mu.Lock()
	m.judged[w] = struct{}{}
	m.mu.Unlock()
	token(m.wake)
}

// judge finds out anew whether w has a working way, and has those who asked told. Called with m.mu held.
func (m *Mesh) judge(w *want) {
	working := w.key.Origin == m.cfg.Self.ID || m.core.Live(w.stream)
	if working != w.working {
		w.working = working
		m.judged[w] = struct{}{}
		token(m.wake)
	}
}

// tellPaths says what judge found, outside all locks but the subscription's own.
func (m *Mesh) tellPaths() {
	type news struct {
		subs    []*Subscription
		working bool
	}
	var all []news
	m.mu.Lock()
	for w := range m.judged {
		all = append(all, news{w.subs, w.working})
	}
	clear(m.judged)
	m.mu.Unlock()
	for _, n := range all {
		for _, s := range n.subs {
			s.pathed(n.working)
		}
	}
}

func (s *Subscription) pathed(working bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.onPath != nil && (!s.told || s.working != working) {
		s.told, s.working = true, working
		s.onPath(working)
	}
}
