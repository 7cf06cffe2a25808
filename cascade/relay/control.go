package relay

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"rotunda"
	"rotunda/cascade/wire"
)

// ErrProtocol is wrapped by Receive for a message that no correct node sends: the link is to be closed.
var ErrProtocol = errors.New("protocol violation")

// LinkUp says that port p is now the link to node. Pulls that wait for it are asked for. The node must have no other port.
func (c *Core) LinkUp(p Port, node rotunda.NodeID) []Action {
	if _, ok := c.links[node]; ok || p == 0 {
		panic(fmt.Sprintf("relay: second port %d to %s", p, node))
	}
	c.ports[p], c.links[node] = node, p
	for _, u := range c.waiting(node) {
		c.ask(u)
	}
	return c.take()
}

// LinkDown says that port p is no more: its subscriptions are forgotten and its pulls break.
func (c *Core) LinkDown(p Port) []Action {
	node, ok := c.ports[p]
	if !ok {
		return nil
	}
	delete(c.ports, p)
	delete(c.links, node)
	for _, o := range sortedOuts(c.downs, p) {
		c.unsubscribe(o)
	}
	delete(c.held, p)
	delete(c.suspect, p)
	for _, o := range sortedOuts(c.ups, p) {
		if u, ok := c.ups[o]; ok {
			delete(c.ups, o)
			c.broke(u, wire.Unreachable, node)
		}
	}
	return c.take()
}

// Unreachable says that the link to node, asked for by a Dial, could not be made.
func (c *Core) Unreachable(node rotunda.NodeID) []Action {
	for _, u := range c.waiting(node) {
		c.broke(u, wire.Unreachable, node)
	}
	return c.take()
}

// Receive takes a control message from port p. An error wraps ErrProtocol.
func (c *Core) Receive(p Port, m wire.Message) ([]Action, error) {
	peer, ok := c.ports[p]
	if !ok {
		return nil, nil // crossed with the link's end
	}
	switch m := m.(type) {
	case wire.Subscribe:
		if err := c.subscribe(p, peer, m); err != nil {
			return nil, err
		}
	case wire.Unsubscribe:
		c.unsubscribe(Out{p, m.Alias})
	case wire.Gone:
		if u, ok := c.ups[Out{p, m.Alias}]; ok {
			delete(c.ups, u.in)
			c.broke(u, m.Reason, m.Node)
		}
	case wire.Resume:
		c.replay(Out{p, m.Alias}, m.From)
	default:
		return nil, fmt.Errorf("%w: unexpected %T", ErrProtocol, m)
	}
	return c.take(), nil
}

func (c *Core) subscribe(p Port, peer rotunda.NodeID, m wire.Subscribe) error {
	o := Out{p, m.Alias}
	if _, ok := c.downs[o]; ok {
		return fmt.Errorf("%w: alias %d used twice", ErrProtocol, m.Alias)
	}
	k := Key{m.Stream, c.self}
	if n := len(m.Path); n > 0 {
		k.Origin = m.Path[n-1]
	}
	if circular(m.Path, c.self, peer) {
		c.send(p, wire.Gone{Alias: m.Alias, Reason: wire.Looped, Node: c.self})
		return nil
	}
	var s *Stream
	if c.held[p] < DownsMax {
		s = c.stream(k)
	}
	if s == nil {
		c.send(p, wire.Gone{Alias: m.Alias, Reason: wire.Refused, Node: c.self})
		return nil
	}
	before := s.Wanted()
	b := sub{path: m.Path}
	if k.Origin != c.self {
		b.by = c.serve(s, m.Path)
	}
	s.outs, s.subs = append(s.outs, o), append(s.subs, b)
	c.downs[o] = s
	c.held[p]++
	c.wanted(s, before)
	return nil
}

// replay has the frames from a number on sent to o once more, resumesMax times a subscription, and asks for those that have
// not been here either.
func (c *Core) replay(o Out, from rotunda.Seq) {
	s, ok := c.downs[o]
	if !ok {
		return // crossed with its end
	}
	b := &s.subs[slices.Index(s.outs, o)]
	if b.resumed >= resumesMax {
		return
	}
	b.resumed++
	c.do(Action{Kind: Replay, Port: o.Port, Alias: o.Alias, Key: s.Key, From: from})
	for _, u := range s.ups {
		if !s.remembers(from) && (!u.resume || from < u.from) {
			c.resume(u, from)
		}
	}
}

// circular reports whether a path from peer through self comes back to either or to itself.
func circular(path []rotunda.NodeID, self, peer rotunda.NodeID) bool {
	for i, n := range path {
		if n == self || n == peer || slices.Contains(path[:i], n) {
			return true
		}
	}
	return false
}

// unsubscribe forgets the subscription o; an unknown one has crossed with our gone.
func (c *Core) unsubscribe(o Out) {
	s, ok := c.downs[o]
	if !ok {
		return
	}
	c.forget(s, slices.Index(s.outs, o))
	c.wanted(s, true)
	c.settle(s)
}

func (c *Core) forget(s *Stream, i int) {
	delete(c.downs, s.outs[i])
	c.held[s.outs[i].Port]--
	s.outs = slices.Delete(s.outs, i, i+1)
	s.subs = slices.Delete(s.subs, i, i+1)
}

// waiting lists the pulls that wait for a link to node, in an order that does not depend on the map.
func (c *Core) waiting(node rotunda.NodeID) []*upstream {
	var us []*upstream
	for _, s := range c.streams {
		for _, u := range s.ups {
			if u.in.Port == 0 && u.path[0] == node {
				us = append(us, u)
			}
		}
	}
	slices.SortFunc(us, func(a, b *upstream) int { return compare(a.stream.Key, b.stream.Key) })
	return us
}

func compare(a, b Key) int {
	return cmp.Or(
		cmp.Compare(a.Stream.Room, b.Stream.Room), cmp.Compare(a.Stream.Track, b.Stream.Track),
		cmp.Compare(a.Stream.Epoch, b.Stream.Epoch), cmp.Compare(a.Origin, b.Origin),
	)
}

func sortedOuts[V any](m map[Out]V, p Port) []Out {
	var outs []Out
	for o := range m {
		if o.Port == p {
			outs = append(outs, o)
		}
	}
	slices.SortFunc(outs, func(a, b Out) int { return cmp.Compare(a.Alias, b.Alias) })
	return outs
}

// CheckInvariants reports the first thing in the table that contradicts another. Tests and simulations call it after every
// step.
func (c *Core) CheckInvariants() error {
	pulls, downs, kept := 0, 0, 0
	for k, s := range c.streams {
		switch {
		case s.Key != k:
			return fmt.Errorf("stream %v filed under %v", s.Key, k)
		case !s.Wanted() && !s.published:
			return fmt.Errorf("%v is kept for nobody", k)
		case !s.Wanted() && len(s.ups) > 0:
			return fmt.Errorf("%v is pulled for nobody", k)
		case len(s.ups) > WaysMax:
			return fmt.Errorf("%v is pulled by %d ways", k, len(s.ups))
		case len(s.ups) == 2 && s.ups[0].path[0] == s.ups[1].path[0]:
			return fmt.Errorf("%v is pulled twice through %s", k, s.ups[0].path[0])
		case k.Origin == c.self && len(s.ups) > 0:
			return fmt.Errorf("%v is pulled by its own origin", k)
		case len(s.outs) != len(s.subs):
			return fmt.Errorf("%v has %d outs and %d subscribers", k, len(s.outs), len(s.subs))
		}
		downs += len(s.outs)
		for i, o := range s.outs {
			if c.downs[o] != s {
				return fmt.Errorf("%v: out %v not in the index", k, o)
			}
			if b := s.subs[i]; k.Origin != c.self && (!slices.Contains(s.ups, b.by) || len(b.by.path) > len(b.path)) {
				return fmt.Errorf("%v: out %v asked for %v and is served by %v", k, o, b.path, b.by.path)
			}
		}
		if s.history != nil {
			kept++
		}
		for _, u := range s.ups {
			n, err := c.checkPull(s, u)
			if err != nil {
				return err
			}
			pulls += n
		}
	}
	if pulls != len(c.ups) || downs != len(c.downs) || kept != c.kept {
		return fmt.Errorf("index holds %d pulls and %d subscriptions, the streams %d and %d; %d of %d histories", len(c.ups), len(c.downs), pulls, downs, kept, c.kept)
	}
	return nil
}

// checkPull counts u and the pull that it is to replace in the index.
func (c *Core) checkPull(s *Stream, u *upstream) (pulls int, err error) {
	for _, x := range []*upstream{u, u.old} {
		switch {
		case x == nil:
		case x.stream != s || x.in.Port != 0 && c.ups[x.in] != x:
			return 0, fmt.Errorf("%v: pull %v not in the index", s.Key, x.in)
		case x != u && (x.old != nil || x.in.Port == 0):
			return 0, fmt.Errorf("%v: pull %v goes on, and has old ones or was never asked for", s.Key, x.in)
		case x.in.Port != 0:
			pulls++
		}
	}
	return pulls, nil
}
