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
	for _, o := range sortedOuts(c.ups, p) {
		if u, ok := c.ups[o]; ok {
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
	s.outs, s.depths = append(s.outs, o), append(s.depths, len(m.Path))
	c.downs[o] = s
	c.held[p]++
	c.wanted(s, before)
	if len(m.Path) > 0 && (len(s.ups) == 0 || len(s.Path()) > len(m.Path)) {
		c.repath(s, m.Path)
	}
	return nil
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
	c.letGo(s)
}

func (c *Core) forget(s *Stream, i int) {
	delete(c.downs, s.outs[i])
	c.held[s.outs[i].Port]--
	s.outs = slices.Delete(s.outs, i, i+1)
	s.depths = slices.Delete(s.depths, i, i+1)
}

// broke takes the pull u out of its stream, because of node. Subscribers that the pull left (an older one, if any) cannot
// serve within the hops they named are told; whoever takes the stream here is asked for another path.
func (c *Core) broke(u *upstream, why wire.Reason, node rotunda.NodeID) {
	s := u.stream
	if u.in.Port != 0 {
		delete(c.ups, u.in)
	}
	s.ups = slices.DeleteFunc(s.ups, func(x *upstream) bool { return x == u })
	for i := len(s.outs) - 1; i >= 0; i-- {
		if len(s.ups) == 0 || len(s.Path()) > s.depths[i] {
			c.send(s.outs[i].Port, wire.Gone{Alias: s.outs[i].Alias, Reason: why, Node: node})
			c.forget(s, i)
		}
	}
	if s.local {
		c.do(Action{Kind: Replan, Key: s.Key, Via: u.path[0], Node: node, Reason: why})
	}
	c.letGo(s)
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
	pulls, downs := 0, 0
	for k, s := range c.streams {
		switch {
		case s.Key != k:
			return fmt.Errorf("stream %v filed under %v", s.Key, k)
		case !s.Wanted() && !s.published:
			return fmt.Errorf("%v is kept for nobody", k)
		case !s.Wanted() && len(s.ups) > 0:
			return fmt.Errorf("%v is pulled for nobody", k)
		case len(s.ups) > 2:
			return fmt.Errorf("%v is pulled %d times", k, len(s.ups))
		case k.Origin == c.self && len(s.ups) > 0:
			return fmt.Errorf("%v is pulled by its own origin", k)
		case len(s.outs) != len(s.depths):
			return fmt.Errorf("%v has %d outs and %d depths", k, len(s.outs), len(s.depths))
		}
		downs += len(s.outs)
		for i, o := range s.outs {
			if c.downs[o] != s {
				return fmt.Errorf("%v: out %v not in the index", k, o)
			}
			if k.Origin != c.self && (len(s.ups) == 0 || len(s.Path()) > s.depths[i]) {
				return fmt.Errorf("%v: out %v asked for %d hops, the path is %v", k, o, s.depths[i], s.Path())
			}
		}
		for _, u := range s.ups {
			if u.stream != s || u.in.Port != 0 && c.ups[u.in] != u {
				return fmt.Errorf("%v: pull %v not in the index", k, u.in)
			}
			if u.in.Port != 0 {
				pulls++
			}
		}
	}
	if pulls != len(c.ups) || downs != len(c.downs) {
		return fmt.Errorf("index holds %d pulls and %d subscriptions, the streams %d and %d", len(c.ups), len(c.downs), pulls, downs)
	}
	return nil
}
