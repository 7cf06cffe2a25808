// Package ask decides how a question about a stream gets to everybody who takes it, and how one answer comes back: the
// question goes along the stream's tree to the origin, which asks those below it, and they theirs; each node joins what
// they answer to its own part and hands that up; the origin's answer goes down to who asked. It is a table and nothing
// else: links, clocks and what questions mean belong to the caller, who does what the returned actions say, in their order.
//
// The invariants: whoever asks is told once, by the time that was given at the latest; an answer is complete only if every
// node that was below when the question came by has answered, completely and in time; a question is asked once, however
// many ask it at the same time; and all that is remembered is bounded in number, octets and time.
//
// A stream's tree may have more than one way to a node, for a while or always: who is asked by a second one in the same round
// says that there is nothing more. A round that this node has forgotten is answered twice, so joining must not mind a part that
// comes again.
//
// A Core is not safe for concurrent use.
package ask

import (
	"slices"
	"time"

	"rotunda"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

// Limits.
const (
	// RoundFor is how long an origin waits for those below it.
	RoundFor = time.Second
	// Slack is what every hop keeps for itself of the time that it has, besides the round trip.
	Slack = 50 * time.Millisecond
	// KeptFor is how long an answer is good for those who ask the same.
	KeptFor = time.Second
	// StreamMax rounds about one stream go on at its origin at once, those after them wait; RoundsMax at a node; PortMax
	// that one neighbour has begun.
	StreamMax = 4
	RoundsMax = 256
	PortMax   = 64
	// ErrandsMax questions are carried or kept with their answers, each for WaitersMax who asked.
	ErrandsMax = 256
	WaitersMax = 1024
	// JoinAt parts are joined before the others are there: no more than twice as many are held of a round.
	JoinAt = 32
	// SeenFor is how long a round is known, and SeenMax how many are.
	SeenFor = 2 * RoundFor
	SeenMax = 4096
	// RetryEvery is how often the way to the origin is looked for while there is none.
	RetryEvery = 50 * time.Millisecond
)

// Waiter is who is to be told an answer: somebody on this node, or one below it.
type Waiter struct {
	Local uint32 // the caller's number of somebody here; 0: the node at Out
	Out   relay.Out
	ID    uint32 // by which Out knows the question
}

// Peer is a neighbour that takes questions.
type Peer struct {
	Out relay.Out
	RTT time.Duration
}

// Around is what is around this node in the tree of a stream now.
type Around struct {
	Up   Peer // towards the origin; no Port: there is no way now, or none yet
	Deaf bool // there is one, and it takes no questions
	Down []Peer
	All  bool // Down is everybody below: no other takes the stream
}

// Kind says which fields of an Action count.
type Kind uint8

// The kinds of action.
const (
	Send   Kind = iota + 1 // send Message to Out
	Own                    // answer Question about Key for this node, and call Part with the zero Out
	Join                   // make one answer to Question of Parts, and call Joined
	Tell                   // tell the Local waiter
	Resume                 // call Core.Resume for Key
)

// Action is one thing for the caller to do.
type Action struct {
	Kind     Kind
	Out      relay.Out
	Message  wire.Message
	Round    uint32
	Key      relay.Key
	Question []byte
	Parts    [][]byte
	Local    uint32
	Answer   []byte
	Complete bool
}

// Core is what one node remembers of questions.
type Core struct {
	self    rotunda.NodeID
	id      uint32 // last one given out, of errands and rounds
	errands map[name]*errand
	carried map[uint32]*errand // by id, those that went up
	rounds  map[uint32]*round
	begun   map[relay.Key]int     // rounds of this node's own
	held    map[relay.Port]int    // rounds that a neighbour has begun
	seen    map[origins]time.Time // rounds that this node was asked in, and when
	actions []Action
}

// name is a question about a stream.
type name struct {
	key      relay.Key
	question string
}

// origins is a round as the stream's origin names it.
type origins struct {
	key   relay.Key
	round uint32
}

// errand is a question on its way to the origin, or at it. Until it is carried it waits.
type errand struct {
	name
	id      uint32
	waiters []Waiter
	until   time.Time
	tried   time.Time
	sentTo  relay.Out // carried there; no Port: not carried up
	begun   bool      // this node is the origin, and asks those below
	done    time.Time // zero: there is no answer
	answer  []byte
	whole   bool // the answer is complete
}

func (e *errand) waits() bool { return e.done.IsZero() && e.sentTo.Port == 0 && !e.begun }

// New makes the table of node self, which counts from first: not from where it did in its life before.
func New(self rotunda.NodeID, first uint32) *Core {
	return &Core{
		self: self, id: first, seen: map[origins]time.Time{}, errands: map[name]*errand{}, carried: map[uint32]*errand{}, rounds: map[uint32]*round{}, begun: map[relay.Key]int{},
		held: map[relay.Port]int{},
	}
}

// Ask takes a question about k of somebody who is told the answer by until.
func (c *Core) Ask(now time.Time, k relay.Key, a Around, w Waiter, question []byte, until time.Time) []Action {
	n := name{k, string(question)}
	e := c.errands[n]
	if e != nil && !e.done.IsZero() {
		if now.Sub(e.done) <= KeptFor {
			c.tell(e.name, w, e.answer, e.whole)
			return c.take()
		}
		delete(c.errands, n)
		e = nil
	}
	if e == nil && c.roomForErrand(now) {
		c.id++
		e = &errand{name: n, id: c.id, until: until}
		c.errands[n] = e
	}
	if e == nil || len(e.waiters) >= WaitersMax {
		c.tell(n, w, nil, false)
		return c.take()
	}
	e.waiters = append(e.waiters, w)
	c.carryOn(now, e, a)
	return c.take()
}

// roomForErrand forgets what is kept, the oldest first, if it has to.
func (c *Core) roomForErrand(now time.Time) bool {
	if len(c.errands) < ErrandsMax {
		return true
	}
	var oldest *errand
	for _, e := range c.errands {
		if !e.done.IsZero() && (oldest == nil || e.done.Before(oldest.done) || e.done.Equal(oldest.done) && e.id < oldest.id) {
			oldest = e
		}
	}
	if oldest == nil {
		return false
	}
	delete(c.errands, oldest.name)
	return true
}

// Resume carries on what has waited for a way to k's origin or, there, for its turn.
func (c *Core) Resume(now time.Time, k relay.Key, a Around) []Action {
	for _, e := range c.sorted(func(e *errand) bool { return e.key == k && e.waits() }) {
		c.carryOn(now, e, a)
	}
	return c.take()
}

func (c *Core) carryOn(now time.Time, e *errand, a Around) {
	if !e.waits() {
		return
	}
	e.tried = now
	switch {
	case e.key.Origin == c.self:
		if c.begun[e.key] < StreamMax && len(c.rounds) < RoundsMax {
			e.begun = true
			c.begun[e.key]++
			until := now.Add(RoundFor)
			if e.until.Before(until) {
				until = e.until
			}
			c.begin(now, &round{name: e.name, errand: e, until: until}, a)
		}
	case a.Deaf:
		c.done(now, e, nil, false)
	case a.Up.Out.Port != 0:
		wait, ok := left(now, e.until, a.Up)
		if !ok {
			c.done(now, e, nil, false)
			return
		}
		e.sentTo = a.Up.Out
		c.carried[e.id] = e
		c.send(a.Up.Out, wire.Ask{Alias: a.Up.Out.Alias, ID: e.id, Wait: wait, Payload: []byte(e.question)})
	}
}

// left is how long a neighbour may take if the answer has to be here at until; ok is false if that is no time at all.
func left(now, until time.Time, p Peer) (ms uint16, ok bool) {
	wait := (until.Sub(now) - p.RTT - Slack).Milliseconds()
	return uint16(min(wait, 1<<16-1)), wait > 0
}

// Answered takes the answer that comes down from from to a question that was carried there.
func (c *Core) Answered(now time.Time, id uint32, from relay.Out, payload []byte, complete bool) []Action {
	if e := c.carried[id]; e != nil && e.sentTo == from {
		c.done(now, e, payload, complete)
	}
	return c.take()
}

// done tells everybody who waits for e, and keeps the answer for a while.
func (c *Core) done(now time.Time, e *errand, answer []byte, complete bool) {
	delete(c.carried, e.id)
	e.done, e.answer, e.whole = now, answer, complete
	for _, w := range e.waiters {
		c.tell(e.name, w, answer, complete)
	}
	e.waiters = nil
}

func (c *Core) tell(n name, w Waiter, answer []byte, complete bool) {
	if w.Local != 0 {
		c.do(Action{Kind: Tell, Key: n.key, Local: w.Local, Answer: answer, Complete: complete})
		return
	}
	c.send(w.Out, wire.Answer{Down: true, Alias: w.Out.Alias, ID: w.ID, Complete: complete, Payload: answer})
}

// Gone says that port p is no more: nothing comes from there, and nobody waits there.
func (c *Core) Gone(now time.Time, p relay.Port) []Action {
	for _, r := range c.open() {
		if r.errand == nil && r.parent.Out.Port == p {
			c.end(r)
			continue
		}
		before := len(r.waiting)
		for o := range r.waiting {
			if o.Port == p {
				delete(r.waiting, o)
			}
		}
		if len(r.waiting) != before {
			r.complete = false
			c.gather(now, r)
		}
	}
	for _, e := range c.sorted(func(e *errand) bool { return e.done.IsZero() }) {
		e.waiters = slices.DeleteFunc(e.waiters, func(w Waiter) bool { return w.Local == 0 && w.Out.Port == p })
		if e.sentTo.Port == p { // once more, another way
			delete(c.carried, e.id)
			e.sentTo = relay.Out{}
		}
	}
	return c.take()
}

// Expire ends what has waited long enough, and has what waits for a way tried again.
func (c *Core) Expire(now time.Time) []Action {
	for _, r := range c.open() {
		stuck := r.joining && !now.Before(r.until.Add(Slack))
		if stuck {
			r.joining, r.parts = false, nil
		}
		if stuck || len(r.waiting) > 0 && !now.Before(r.until) {
			clear(r.waiting)
			r.complete = false
			c.gather(now, r)
		}
	}
	c.forget(now)
	again := map[relay.Key]bool{}
	for _, e := range c.sorted(func(*errand) bool { return true }) {
		switch {
		case !e.done.IsZero():
			if now.Sub(e.done) > KeptFor {
				delete(c.errands, e.name)
			}
		case !e.begun && !now.Before(e.until):
			c.done(now, e, nil, false)
		case e.waits() && now.Sub(e.tried) >= RetryEvery && !again[e.key]:
			again[e.key] = true
			c.do(Action{Kind: Resume, Key: e.key})
		}
	}
	return c.take()
}

// forget lets go of the rounds that are over.
func (c *Core) forget(now time.Time) {
	for o, at := range c.seen {
		if now.Sub(at) > SeenFor {
			delete(c.seen, o)
		}
	}
}

// NextTimeout is when Expire will have something to do if nothing happens before; zero: never.
func (c *Core) NextTimeout() (next time.Time) {
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, r := range c.rounds {
		if len(r.waiting) > 0 {
			sooner(r.until)
		} else {
			sooner(r.until.Add(Slack)) // it is joining
		}
	}
	for _, e := range c.errands {
		switch {
		case !e.done.IsZero():
			sooner(e.done.Add(KeptFor + time.Nanosecond))
		case e.waits():
			sooner(e.tried.Add(RetryEvery))
			sooner(e.until)
		case !e.begun:
			sooner(e.until)
		}
	}
	return next
}

// sorted lists the errands that keep accepts, in the order in which they came.
func (c *Core) sorted(keep func(*errand) bool) []*errand {
	var some []*errand
	for _, e := range c.errands {
		if keep(e) {
			some = append(some, e)
		}
	}
	slices.SortFunc(some, func(a, b *errand) int { return int(int32(a.id - b.id)) })
	return some
}

// open lists the rounds, in the order in which they began.
func (c *Core) open() []*round {
	var all []*round
	for _, r := range c.rounds {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *round) int { return int(int32(a.id - b.id)) })
	return all
}

func (c *Core) do(a Action) { c.actions = append(c.actions, a) }

func (c *Core) send(o relay.Out, m wire.Message) { c.do(Action{Kind: Send, Out: o, Message: m}) }

// take returns the actions that have gathered.
func (c *Core) take() []Action {
	a := c.actions
	c.actions = nil
	return a
}
