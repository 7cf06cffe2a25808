package cascade

import (
	"context"
	"errors"
	"time"

	"rotunda"
	"rotunda/cascade/link"
	"rotunda/cascade/nodecert"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

const (
	// dialMax bounds one try to reach a peer.
	dialMax = 4 * time.Second
	// A peer whose link failed is no relay for holdFirst, then twice as long each time, up to holdMax, so that a node
	// that comes and goes does not take streams along; after holdMax of good conduct it begins anew.
	holdFirst = 10 * time.Second
	holdMax   = time.Minute
	// crossingMax is how old a link may be for one from the other end to be taken for its twin, dialled at the same time; after
	// it, who dials has a reason to, and the newer link stays.
	crossingMax = 2 * dialMax
)

// peer is another node as far as links go. All fields are guarded by Mesh.mu. It has one link today; the table knows it as
// a port, so a bundle of links would be a change of this file alone.
type peer struct {
	id       rotunda.NodeID
	link     *link.Link
	port     relay.Port
	wanted   bool // something waits for a link
	renew    bool // the link that is up is to be replaced by another one
	replaced bool // while that happens
	dialling bool
	cancel   context.CancelFunc // of the dial under way
	upAt     time.Time
	downAt   time.Time
	busyAt   time.Time
	warm     time.Time // until then the link is kept, though it carries nothing
	hold     time.Duration
	avoid    time.Time // no relay until then
	suspect  bool      // nothing comes through the link, or nothing arrives
}

// peer finds or makes the entry of a node. Called with m.mu held.
func (m *Mesh) peer(id rotunda.NodeID) *peer {
	p := m.peers[id]
	if p == nil {
		p = &peer{id: id}
		m.peers[id] = p
	}
	return p
}

// dial connects to p and carries the link until it ends.
func (m *Mesh) dial(ctx, dctx context.Context, p *peer) {
	l, err := m.connect(dctx, p.id)
	if err == nil {
		m.carry(ctx, l)
		return
	}
	m.mu.Lock()
	p.dialling = false
	switch {
	case p.link == nil:
		m.hold(p, time.Now())
		m.do(m.core.Unreachable(p.id))
	case !m.endpoint.Believes(p.link): // and it could not be replaced
		p.link.Close(link.ErrNotMember)
	} // else it was faster to reach us
	m.mu.Unlock()
	m.log.Debug("peer not reached", "peer", p.id, "err", err)
}

func (m *Mesh) connect(ctx context.Context, id rotunda.NodeID) (*link.Link, error) {
	m.mu.Lock()
	members := m.members
	m.mu.Unlock()
	for _, n := range members {
		if n.ID == id {
			return m.endpoint.Dial(ctx, n.Addresses.Cascade, nodecert.Identity{Region: n.Region, ID: n.ID})
		}
	}
	return nil, errors.New("not a member")
}

// carry makes l the link to its peer, if none is better, and runs it until it ends.
func (m *Mesh) carry(ctx context.Context, l *link.Link) {
	h := m.adopt(l, time.Now())
	if h.port != 0 {
		m.log.Info("link up", "peer", l.Peer.ID, "region", l.Peer.Region, "dialled", l.Dialled)
	}
	err := l.Run(ctx, h)
	m.ended(l, h.port, err, time.Now())
}

// renew replaces the links to peers whose certificates the roots do not prove any more: by links to the same peers, which show what
// they have by now, or by none where that is no better.
func (m *Mesh) renew() {
	m.mu.Lock()
	for _, p := range m.peers {
		p.renew = p.link != nil && !m.endpoint.Believes(p.link)
	}
	m.mu.Unlock()
	token(m.wake)
}

// adopt puts l into the table. Of two links to one peer, dialled from both ends at once, the one that the node with the
// smaller id dialled stays, so both ends keep the same; else the newer, for then the peer has begun anew, or one end believes
// the older no more. The handler of a link that does not stay has port 0, which the table does not know.
func (m *Mesh) adopt(l *link.Link, now time.Time) portHandler {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peer(l.Peer.ID)
	mine := m.cfg.Self.ID < p.id
	if l.Dialled {
		p.dialling = false
	}
	if !m.endpoint.Believes(l) { // the roots have changed since its handshake
		l.Close(link.ErrNotMember)
		if p.link == nil {
			m.hold(p, now)
			m.do(m.core.Unreachable(p.id))
		}
		return portHandler{m, 0}
	}
	if p.link != nil {
		if p.link.Dialled != l.Dialled && l.Dialled != mine && now.Sub(p.upAt) < crossingMax && m.endpoint.Believes(p.link) {
			l.Close(link.ErrDuplicate)
			return portHandler{m, 0}
		}
		m.retire(p.link, l)
		p.replaced = true
		m.unlink(p, now)
	}
	if p.dialling && !l.Dialled && !mine {
		p.cancel()
	}
	m.port++
	p.link, p.port, p.upAt, p.busyAt = l, m.port, now, now
	m.ports[m.port] = l
	m.do(m.core.LinkUp(m.port, p.id))
	p.replaced = false
	return portHandler{m, m.port}
}

// retire ends old, in whose place l is. Where this end wanted another link, the other one has yet to take it, and ends old when it
// has: told of the end before that, it would look for other ways. One that does not is not waited for.
func (m *Mesh) retire(old, l *link.Link) {
	if l.Dialled && !m.endpoint.Believes(old) {
		time.AfterFunc(link.SilenceMax, func() { old.Close(link.ErrDuplicate) })
		return
	}
	old.Close(link.ErrDuplicate)
}

// unlink takes the peer's link out of the table. Called with m.mu held.
func (m *Mesh) unlink(p *peer, now time.Time) {
	delete(m.ports, p.port)
	port := p.port
	m.floods.Gone(port)
	m.doAsks(now, m.asking.core.Gone(now, port))
	p.link, p.port, p.downAt, p.suspect = nil, 0, now, false
	m.do(m.core.LinkDown(port))
}

// ended cleans up after l, which was port; 0 when it never was one.
func (m *Mesh) ended(l *link.Link, port relay.Port, err error, now time.Time) {
	m.mu.Lock()
	p := m.peers[l.Peer.ID]
	current := p != nil && port != 0 && p.port == port
	if current {
		if !errors.Is(err, link.ErrIdle) && !errors.Is(err, link.ErrDuplicate) {
			m.hold(p, now)
		}
		m.unlink(p, now)
	}
	m.mu.Unlock()
	if current {
		m.log.Info("link down", "peer", l.Peer.ID, "region", l.Peer.Region, "why", err)
	}
}

// hold keeps streams off a peer that failed for a while. Called with m.mu held.
func (m *Mesh) hold(p *peer, now time.Time) {
	switch {
	case p.link != nil && now.Sub(p.upAt) > holdMax, p.hold == 0, now.Sub(p.avoid) > holdMax:
		p.hold = holdFirst
	case now.After(p.avoid):
		p.hold = min(2*p.hold, holdMax)
	}
	p.avoid = now.Add(p.hold)
}

// portHandler takes what one link brings.
type portHandler struct {
	m    *Mesh
	port relay.Port
}

// Frame passes one frame on.
func (h portHandler) Frame(a wire.Alias, f *rotunda.Frame) {
	m := h.m
	var takers []*Subscription
	m.mu.Lock()
	s, drop := m.core.Arrive(h.port, a, f)
	if s != nil && s.Unsettled() {
		m.do(m.core.Settle(s))
	}
	if drop == "" {
		s.Aged(rotunda.Micros(time.Now()) - f.Origin)
		takers = m.forward(s, h.port, f)
		if w := m.takers[s]; w != nil && !w.working {
			m.judge(w)
		}
	}
	m.mu.Unlock()
	if drop != "" {
		m.dropped(string(drop))
	}
	for _, t := range takers {
		t.take(f)
	}
}

// Control hands a message to the table that it is for.
func (h portHandler) Control(msg wire.Message) error {
	switch msg := msg.(type) {
	case wire.Hello:
		h.m.greet(h.port, time.Now())
		return nil
	case wire.Flood:
		h.m.flooded(h.port, msg, time.Now())
		return nil
	case wire.Up:
		h.m.rising(h.port, msg)
		return nil
	case wire.Down:
		h.m.falling(h.port, msg)
		return nil
	case wire.Ask:
		h.m.asked(h.port, msg, time.Now())
		return nil
	case wire.Answer:
		h.m.answered(h.port, msg, time.Now())
		return nil
	}
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if l := h.m.ports[h.port]; l != nil {
		if pull, is := msg.(wire.Subscribe); is {
			if h.m.refused(l, pull) {
				return nil
			}
			l.SetBusy(true)
		}
	}
	actions, err := h.m.core.Receive(h.port, msg)
	h.m.do(actions)
	return err
}

// Suspect has other ways looked for around a peer that does not answer, long before its link ends.
func (h portHandler) Suspect(is bool) {
	m := h.m
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.ports[h.port]
	if l == nil { // crossed with the link's end
		return
	}
	m.peer(l.Peer.ID).suspect = is
	m.do(m.core.Suspect(h.port, is))
	for _, w := range m.wants {
		m.judge(w)
	}
}
