package ask

import (
	"time"

	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

// round is a question to those below, and to this node.
type round struct {
	name
	id       uint32
	errand   *errand // whose it is; nil: parent's
	origins  uint32
	parent   Waiter
	until    time.Time
	waiting  map[relay.Out]struct{} // who has not answered; the zero Out: this node
	parts    [][]byte
	joining  bool
	complete bool
}

// Asked takes a question from above: the node at from asks.
func (c *Core) Asked(now time.Time, k relay.Key, a Around, from relay.Out, m wire.Ask) []Action {
	w, o := Waiter{Out: from, ID: m.ID}, origins{k, m.Round}
	at, known := c.seen[o]
	if known && now.Sub(at) <= SeenFor || k.Origin == c.self {
		c.answer(w, nil, true)
		return c.take()
	}
	if len(c.seen) >= SeenMax {
		c.forget(now)
	}
	if len(c.rounds) >= RoundsMax || c.held[from.Port] >= PortMax || len(c.seen) >= SeenMax {
		c.answer(w, nil, false)
		return c.take()
	}
	c.seen[o] = now
	c.held[from.Port]++
	wait := time.Duration(m.Wait) * time.Millisecond
	c.begin(now, &round{name: name{k, string(m.Payload)}, origins: m.Round, parent: w, until: now.Add(min(wait, RoundFor))}, a)
	return c.take()
}

// begin asks everybody below.
func (c *Core) begin(now time.Time, r *round, a Around) {
	c.id++
	r.id, r.waiting, r.complete = c.id, map[relay.Out]struct{}{{}: {}}, a.All
	c.rounds[r.id] = r
	if r.errand != nil {
		r.origins = r.id
	}
	for _, p := range a.Down {
		if p.Out.Port == r.parent.Out.Port {
			continue // it asks its own
		}
		wait, ok := left(now, r.until, p)
		if !ok {
			r.complete = false
			continue
		}
		r.waiting[p.Out] = struct{}{}
		c.send(p.Out, wire.Ask{Down: true, Alias: p.Out.Alias, ID: r.id, Round: r.origins, Wait: wait, Payload: []byte(r.question)})
	}
	c.do(Action{Kind: Own, Round: r.id, Key: r.key, Question: []byte(r.question)})
}

// Part takes what the node at from answers to a round, or this node where from is zero. Empty: there is nothing to say.
func (c *Core) Part(now time.Time, id uint32, from relay.Out, payload []byte, complete bool) []Action {
	r := c.rounds[id]
	if r == nil {
		return nil // too late
	}
	if _, waited := r.waiting[from]; !waited {
		return nil
	}
	delete(r.waiting, from)
	r.complete = r.complete && complete
	if len(payload) > 0 {
		r.parts = append(r.parts, payload)
	}
	c.gather(now, r)
	return c.take()
}

// Joined takes what was made of the parts of a Join; ok is false if one of them was none.
func (c *Core) Joined(now time.Time, id uint32, payload []byte, ok bool) []Action {
	r := c.rounds[id]
	if r == nil || !r.joining {
		return nil
	}
	r.joining = false
	r.complete = r.complete && ok
	if len(payload) > 0 {
		r.parts = append(r.parts, payload)
	}
	c.gather(now, r)
	return c.take()
}

// gather joins parts, and ends the round when there is nothing more to come.
func (c *Core) gather(now time.Time, r *round) {
	over := len(r.waiting) == 0
	switch {
	case r.joining:
	case len(r.parts) > 1 && (over || len(r.parts) >= JoinAt):
		r.joining = true
		c.do(Action{Kind: Join, Round: r.id, Question: []byte(r.question), Parts: r.parts})
		r.parts = nil
	case over:
		var answer []byte
		if len(r.parts) > 0 {
			answer = r.parts[0]
		}
		c.end(r)
		if r.errand != nil {
			c.done(now, r.errand, answer, r.complete)
			c.do(Action{Kind: Resume, Key: r.key})
		} else {
			c.answer(r.parent, answer, r.complete)
		}
	}
}

// end forgets a round.
func (c *Core) end(r *round) {
	delete(c.rounds, r.id)
	if r.errand != nil {
		less(c.begun, r.key)
	} else {
		less(c.held, r.parent.Out.Port)
	}
}

// answer hands an answer up.
func (c *Core) answer(w Waiter, answer []byte, complete bool) {
	c.send(w.Out, wire.Answer{Alias: w.Out.Alias, ID: w.ID, Complete: complete, Payload: answer})
}

func less[K comparable](m map[K]int, k K) {
	if m[k]--; m[k] <= 0 {
		delete(m, k)
	}
}
