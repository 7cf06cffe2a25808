package cascade

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"rotunda"
	"rotunda/cascade/link"
	"rotunda/cascade/plan"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

const (
	// retryFirst is the pause before the second try for a path, doubling; the first is made at once.
	retryFirst = 50 * time.Millisecond
	retryMax   = 2 * time.Second
	// calm is how long a path must have held for the pauses to begin anew.
	calm = 5 * time.Second
	// replanEvery is how often all paths are compared with what would be chosen now.
	replanEvery = 5 * time.Second
	// avoidRelay is how long a relay is not chosen for a stream that it did not get through.
	avoidRelay = 10 * time.Second
	// idleMax is how long a link that carries nothing stays.
	idleMax = 30 * time.Second
)

// planAt has w's path planned at the time at. Called with m.mu held.
func (m *Mesh) planAt(w *want, at time.Time) {
	w.due = at
	m.due[w] = struct{}{}
	token(m.wake)
}

// plan asks for w along the path that is best now; without one it tries again later. Called with m.mu held.
func (m *Mesh) plan(w *want, now time.Time) {
	delete(m.due, w)
	fence, known := m.fence(w.key.Stream.Room)
	if !known { // yet
		m.planAt(w, now.Add(retryFirst))
		return
	}
	q := plan.Request{
		Self: m.cfg.Self.ID, Members: m.members, Room: w.key.Stream.Room, Origin: w.key.Origin, Fence: fence,
		Avoid: func(n rotunda.NodeID) bool {
			p := m.peers[n]
			return now.Before(w.avoid[n]) || p != nil && (p.suspect || now.Before(p.avoid))
		},
	}
	primary, backup := plan.Paths(q)
	switch {
	case primary == nil:
		if w.stream.Path() == nil {
			m.planAt(w, now.Add(retryMax)) // or when the members change
		}
		return
	case w.hitless:
	case w.detour && backup != nil:
		primary, backup = backup, nil
	default:
		m.warm(q, primary, backup, now)
		backup = nil
	}
	_, actions := m.core.Want(w.key, primary, backup)
	m.do(actions)
}

// warm keeps links to where the ways begin that a stream with one way would have next: when that one breaks, a round trip is all
// that it takes to have what was missed. Called with m.mu held.
func (m *Mesh) warm(q plan.Request, primary, backup []rotunda.NodeID, now time.Time) {
	ways := [][]rotunda.NodeID{backup}
	if len(primary) > 1 {
		avoid := q.Avoid
		q.Avoid = func(n rotunda.NodeID) bool { return n == primary[0] || avoid(n) }
		next, _ := plan.Paths(q)
		ways = append(ways, next)
	}
	for _, way := range ways {
		if len(way) == 0 {
			continue
		}
		p := m.peer(way[0])
		p.warm = now.Add(2 * replanEvery)
		if p.link == nil && !now.Before(p.avoid) {
			p.wanted = true
			token(m.wake)
		}
	}
}

// broke notes that a way of w failed and has others planned, at once the first time. Called with m.mu held.
func (m *Mesh) broke(w *want, a relay.Action, now time.Time) {
	if p := m.peers[a.Via]; p != nil && p.replaced { // nothing is wrong with this way
		m.planAt(w, now)
		return
	}
	if now.Sub(w.failedAt) > calm {
		w.failures = 0
		clear(w.through)
	}
	w.failedAt = now
	if w.through == nil {
		w.through, w.avoid = map[rotunda.NodeID]int{}, map[rotunda.NodeID]time.Time{}
	}
	switch {
	case a.Node == w.key.Origin: // who cannot reach the origin, once, may be lucky the next time
		w.detour = !w.detour
		if w.through[a.Via]++; a.Via != w.key.Origin && (a.Reason != wire.Unreachable || w.through[a.Via] >= 2) {
			w.avoid[a.Via] = now.Add(avoidRelay)
		}
	case a.Node != a.Via || a.Reason != wire.Unreachable: // that a neighbour does not answer is noted with the peer
		w.avoid[a.Node] = now.Add(avoidRelay)
	}
	at := now
	if w.failures > 0 {
		pause := min(retryFirst<<min(w.failures-1, 10), retryMax)
		at = now.Add(pause*3/4 + rand.N(pause/2)) // spread, so that the edges of a region do not come back all at once
	}
	w.failures++
	m.planAt(w, at)
}

// schedule makes the plans that are due and dials the peers that are wanted; it owns what happens from time to time.
func (m *Mesh) schedule(ctx context.Context, g *errgroup.Group) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	m.look()
	for seconds := 1; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-m.gossip.Changed():
			m.look()
		case <-tick.C:
			m.tidy(time.Now())
			if seconds++; seconds%int(replanEvery/time.Second) == 0 {
				m.mu.Lock()
				m.replan(time.Now())
				m.mu.Unlock()
			}
		case <-m.wake:
		case <-timer.C:
		}
		m.tellPaths()
		now := time.Now()
		m.mu.Lock()
		for w := range m.due {
			if !w.due.After(now) {
				m.plan(w, now)
			}
		}
		var next time.Time
		for w := range m.due {
			if next.IsZero() || w.due.Before(next) {
				next = w.due
			}
		}
		for _, p := range m.peers {
			if (p.wanted && p.link == nil || p.renew) && !p.dialling {
				p.dialling, p.renew = true, false
				dctx, cancel := context.WithTimeout(ctx, dialMax)
				p.cancel = cancel
				g.Go(func() error { defer cancel(); m.dial(ctx, dctx, p); return nil })
			}
			p.wanted = false
		}
		m.mu.Unlock()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// replan moves streams whose path is not what would be chosen now; the old path goes on until the new one works. Called with
// m.mu held.
func (m *Mesh) replan(now time.Time) {
	for _, w := range m.wants {
		if w.key.Origin != m.cfg.Self.ID && now.Sub(w.failedAt) > calm {
			w.detour = false
			m.plan(w, now)
		}
	}
}

// tidy closes links that carry nothing, and counts.
func (m *Mesh) tidy(now time.Time) {
	rtt := map[rotunda.Region]time.Duration{}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, p := range m.peers {
		if p.link == nil {
			if !p.dialling && !p.wanted && now.After(p.avoid) && now.Sub(p.downAt) > holdMax {
				delete(m.peers, id)
			}
			continue
		}
		region := p.link.Peer.Region
		rtt[region] = max(rtt[region], p.link.RTT())
		busy := m.core.Busy(p.port)
		p.link.SetBusy(busy)
		if busy || now.Before(p.warm) {
			p.busyAt = now
		} else if p.link.Dialled && now.Sub(p.busyAt) > idleMax { // the other end does not know whether it is kept warm
			p.link.Close(link.ErrIdle)
		}
	}
	for region, t := range rtt {
		m.metrics.LinkRTT(string(region)).Set(t.Seconds())
	}
	s := m.core.Stats()
	m.metrics.CascadeSubscriptions.With("in").Set(float64(s.In))
	m.metrics.CascadeSubscriptions.With("out").Set(float64(s.Out))
	m.do(m.core.Tidy())
	c := m.core.Counts()
	m.metrics.CascadeCopies.Add(float64(c.Copies - m.counted.Copies))
	m.metrics.CascadeTaken.Add(float64(c.Taken - m.counted.Taken))
	m.metrics.CascadeRepaired.With("second_path").Add(float64(c.Repaired - m.counted.Repaired))
	m.counted = c
}
