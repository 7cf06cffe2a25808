package gossip

import (
	"context"
	"time"

	"github.com/hashicorp/memberlist"

	"rotunda"
)

const (
	// couriers is how many streams carry hellos at once: one that leads nowhere takes streamTimeout.
	couriers = 4
	// askEvery is the pause before a certificate is asked for again.
	askEvery = 5 * time.Second
	// The record is told again when the load has changed, at most every loadEvery; when the coordinate has, at most every
	// placeEvery; and every sealEvery anyway.
	loadEvery  = 2 * time.Second
	placeEvery = 15 * time.Second
	sealEvery  = time.Minute
)

// loop owns everything that is not an answer to memberlist.
func (g *Gossip) loop(ctx context.Context, ml *memberlist.Memberlist) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-g.hellos:
			g.meet(ml, h)
		case <-g.wake:
			g.introduce(ml)
			g.refresh(ml, time.Now())
			g.ask(ml, time.Now())
		case <-tick.C:
			now := time.Now()
			g.forget(now)
			g.refresh(ml, now)
			g.ask(ml, now)
			g.count()
		}
	}
}

// deliver does what may take a while.
func (g *Gossip) deliver(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case job := <-g.jobs:
			job()
		}
	}
}

// later hands work to the couriers; when they are busy it is not done, and comes up again.
func (g *Gossip) later(job func()) bool {
	select {
	case g.jobs <- job:
		return true
	default:
		return false
	}
}

// meet takes a node's certificates, and believes its record if that was waiting for them.
func (g *Gossip) meet(ml *memberlist.Memberlist, h hello) {
	id, key, err := g.verifyChain(h.chain)
	if err != nil || id.ID != h.from || id.ID == g.self.ID {
		g.dropped(dropForged)
		return
	}
	g.mu.Lock()
	e := g.entries[id.ID]
	if e == nil && len(g.entries) < membersMax {
		e = &entry{} // its record comes with the next exchange
		g.entries[id.ID] = e
	}
	if e != nil {
		e.chain, e.key, e.region, e.recheck = h.chain, key, id.Region, false
		if !e.believed && e.raw != nil {
			r, err := parseRecord(e.raw, id.ID)
			if err == nil {
				err = e.believe(r, e.raw)
			}
			if err != nil {
				e.raw = nil
				g.dropped(dropForged)
			}
		}
	}
	g.mu.Unlock()
	token(g.changed)
	if h.answer && !g.send(ml, h.from, false) { // not heard of yet: its own record is still on the way
		g.mu.Lock()
		if e := g.entries[h.from]; e != nil {
			e.owed = true
		}
		g.mu.Unlock()
	}
}

// send gives this node's certificates to a member. It goes by the own list: the nodes that memberlist's hands out may change
// under the reader.
func (g *Gossip) send(ml *memberlist.Memberlist, to rotunda.NodeID, answer bool) bool {
	g.mu.Lock()
	e := g.entries[to]
	known := e != nil && e.joined && !e.gone
	b := append([]byte(nil), g.hello...)
	var n memberlist.Node
	if known {
		n = memberlist.Node{Name: string(to), Addr: e.address.Addr().AsSlice(), Port: e.address.Port()}
	}
	g.mu.Unlock()
	if !known {
		return false
	}
	if answer {
		b[1] = 1
	}
	return g.later(func() {
		if err := ml.SendReliable(&n, b); err != nil {
			g.log.Debug("certificate not delivered", "to", to, "err", err)
		}
	})
}

// ask asks those for their certificates whose records are waiting for them, and answers those who asked too early.
func (g *Gossip) ask(ml *memberlist.Memberlist, now time.Time) {
	var ids, owed []rotunda.NodeID
	g.mu.Lock()
	for id, e := range g.entries {
		if e.owed {
			owed = append(owed, id)
		}
		waits := !e.gone && (e.raw != nil && e.key == nil || e.recheck)
		if waits && now.Sub(e.asked) >= askEvery {
			ids = append(ids, id)
		}
	}
	g.mu.Unlock()
	for _, id := range owed {
		if g.send(ml, id, false) {
			g.mu.Lock()
			if e := g.entries[id]; e != nil {
				e.owed = false
			}
			g.mu.Unlock()
		}
	}
	for _, id := range ids {
		if g.send(ml, id, true) {
			g.mu.Lock()
			if e := g.entries[id]; e != nil {
				e.asked = now
			}
			g.mu.Unlock()
		}
	}
}

// refresh signs and spreads this node's record when there is something new in it.
func (g *Gossip) refresh(ml *memberlist.Memberlist, now time.Time) {
	place := ours(g.vivaldi.GetCoordinate())
	g.mu.Lock()
	age := now.Sub(g.sealAt)
	due := g.self.State != g.told.State || age >= sealEvery ||
		g.self.Load != g.told.Load && age >= loadEvery || place != g.told.Coordinate && age >= placeEvery
	g.mu.Unlock()
	if !due {
		return
	}
	if err := g.reseal(now); err != nil {
		g.log.Error("own record not signed", "err", err)
		return
	}
	g.later(func() {
		if err := ml.UpdateNode(streamTimeout); err != nil {
			g.log.Debug("own record not spread yet", "err", err)
		}
	})
}

// goodbye has the others know that this node leaves and did not die.
func (g *Gossip) goodbye(ml *memberlist.Memberlist) error {
	g.mu.Lock()
	g.self.State = rotunda.Left
	g.mu.Unlock()
	if err := g.reseal(time.Now()); err != nil {
		return err
	}
	if err := ml.UpdateNode(leaveMax); err != nil {
		return err
	}
	return ml.Leave(leaveMax)
}

// reseal makes the own record anew.
func (g *Gossip) reseal(now time.Time) error {
	place := ours(g.vivaldi.GetCoordinate())
	g.mu.Lock()
	defer g.mu.Unlock()
	g.self.Coordinate = place
	g.signed = max(now.UnixMilli(), g.signed+1)
	sealed, err := record{member: g.self, signed: g.signed}.seal(g.key)
	if err != nil {
		return err
	}
	g.sealed, g.sealAt, g.told = sealed, now, g.self
	return nil
}

// forget drops those who are gone for long.
func (g *Gossip) forget(now time.Time) {
	var gone []rotunda.NodeID
	g.mu.Lock()
	for id, e := range g.entries {
		if e.gone && now.Sub(e.goneAt) > keepGone {
			delete(g.entries, id)
			gone = append(gone, id)
		}
	}
	g.mu.Unlock()
	for _, id := range gone {
		g.vivaldi.ForgetNode(string(id))
	}
	if len(gone) > 0 {
		token(g.changed)
	}
}

// count publishes rotunda_members; a series that has nobody left goes to zero.
func (g *Gossip) count() {
	n := map[[2]string]int{}
	for _, m := range g.Members() {
		n[[2]string{string(m.Region), string(m.State)}]++
	}
	g.mu.Lock()
	last := g.gauges
	g.gauges = n
	g.mu.Unlock()
	for k := range last {
		if n[k] == 0 {
			g.metrics.Members(k[0], k[1]).Set(0)
		}
	}
	for k, v := range n {
		g.metrics.Members(k[0], k[1]).Set(float64(v))
	}
}
