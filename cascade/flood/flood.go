// Package flood decides what becomes of small messages that are for every node of the mesh: each node hands a message on
// to all its neighbours the first time it sees it. It is a table and nothing else: links and clocks belong to the caller.
//
// The invariants: a message is news to a node at most once while it is remembered, crosses at most rotunda.HopsMax+1 links,
// and no neighbour makes a node take more than the rate of its kind allows; all that is remembered is bounded in number,
// octets and time.
//
// A Core is not safe for concurrent use.
package flood

import (
	"crypto/sha256"
	"time"

	"rotunda"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

// Limits.
const (
	// SeenMax is how many messages are remembered, so that they are not taken twice.
	SeenMax = 8192
	// RecentMax messages of RecentBytes octets together, none older than RecentFor, are kept whole, for neighbours who were
	// not there when they came by.
	RecentMax   = 128
	RecentBytes = 512 << 10
	RecentFor   = time.Minute
	// Burst messages at once and Rate a second come from one neighbour at most; OwnBurst and OwnRate from this node. What
	// all nodes begin together has to stay below Rate, or the neighbours lose some of it.
	Burst    = 2 * RecentMax
	Rate     = 100
	OwnBurst = 128
	OwnRate  = 25
)

// Drop says why a message goes no further.
type Drop string

// The reasons, which are values of the label reason of rotunda_cascade_dropped_total.
const (
	DropDuplicate Drop = "duplicate"
	DropRate      Drop = "queue_full" // more than the neighbour may send
)

type hash [sha256.Size]byte

// Core is what one node remembers of floods.
type Core struct {
	seen   map[hash]struct{}
	order  []hash // of seen, a ring once it is full
	oldest int    // index in order

	recent []kept // oldest first
	bytes  int    // of the payloads in recent

	rates map[relay.Port]*bucket
	own   bucket
}

type kept struct {
	at time.Time
	m  wire.Flood
}

// New makes an empty table.
func New() *Core { return &Core{seen: map[hash]struct{}{}, rates: map[relay.Port]*bucket{}} }

// Start makes a message of this node's own and reports whether it may be sent: not if it was before, or if there have been
// too many.
func (c *Core) Start(now time.Time, kind uint8, payload []byte) (m wire.Flood, ok bool) {
	m = wire.Flood{Kind: kind, Payload: payload}
	if !c.own.take(now, OwnRate, OwnBurst) || !c.note(now, m) {
		return m, false
	}
	return m, true
}

// Arrive takes a message from a neighbour. If there is no reason to drop it, it is news; next is what to hand on to the
// other neighbours, unless it has come too far.
func (c *Core) Arrive(now time.Time, from relay.Port, m wire.Flood) (next wire.Flood, further bool, d Drop) {
	b := c.rates[from]
	if b == nil {
		b = &bucket{}
		c.rates[from] = b
	}
	if !b.take(now, Rate, Burst) {
		return m, false, DropRate
	}
	next = m
	next.Hops++
	if !c.note(now, next) {
		return m, false, DropDuplicate
	}
	return next, next.Hops <= rotunda.HopsMax, ""
}

// Gone forgets a neighbour.
func (c *Core) Gone(p relay.Port) { delete(c.rates, p) }

// Recent lists the messages to tell a neighbour that has just come, the oldest first.
func (c *Core) Recent(now time.Time) []wire.Flood {
	c.expire(now)
	var ms []wire.Flood
	for _, k := range c.recent {
		if k.m.Hops <= rotunda.HopsMax {
			ms = append(ms, k.m)
		}
	}
	return ms
}

// note remembers m and reports whether it is new.
func (c *Core) note(now time.Time, m wire.Flood) bool {
	h := hash(sha256.Sum256(append([]byte{m.Kind}, m.Payload...)))
	if _, ok := c.seen[h]; ok {
		return false
	}
	c.seen[h] = struct{}{}
	if len(c.order) < SeenMax {
		c.order = append(c.order, h)
	} else {
		delete(c.seen, c.order[c.oldest])
		c.order[c.oldest] = h
		c.oldest = (c.oldest + 1) % SeenMax
	}
	c.recent = append(c.recent, kept{now, m})
	c.bytes += len(m.Payload)
	c.expire(now)
	return true
}

// expire keeps what is kept whole within its bounds.
func (c *Core) expire(now time.Time) {
	n := 0
	for n < len(c.recent) && (len(c.recent)-n > RecentMax || c.bytes > RecentBytes || now.Sub(c.recent[n].at) > RecentFor) {
		c.bytes -= len(c.recent[n].m.Payload)
		n++
	}
	if n > 0 {
		c.recent = append([]kept(nil), c.recent[n:]...)
	}
}

// bucket is a token bucket. The zero value is full.
type bucket struct {
	spent float64
	at    time.Time
}

// take takes a token, of which perSecond come back up to burst, and reports whether there was one.
func (b *bucket) take(now time.Time, perSecond, burst float64) bool {
	if now.After(b.at) {
		b.spent = max(0, b.spent-perSecond*now.Sub(b.at).Seconds())
		b.at = now
	}
	if b.spent+1 > burst {
		return false
	}
	b.spent++
	return true
}
