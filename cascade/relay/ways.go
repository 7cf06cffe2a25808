package relay

import (
	"cmp"
	"slices"

	"rotunda"
	"rotunda/cascade/wire"
)

// settle ends the pulls that nobody holds, and forgets a stream that nobody takes. While somebody here takes a stream and has
// no way of its own, any will do.
func (c *Core) settle(s *Stream) {
	if !s.local || len(s.own) > 0 {
		s.ups = slices.DeleteFunc(s.ups, func(u *upstream) bool {
			held := s.local && slices.Contains(s.own, u) || slices.ContainsFunc(s.subs, func(b sub) bool { return b.by == u })
			if !held {
				c.release(u)
			}
			return !held
		})
	}
	if !s.Wanted() && !s.published {
		c.forgetHistory(s)
		delete(c.streams, s.Key)
	}
}

// serve finds the pull for a subscriber that named path: one through the same next hop, else its own while there are fewer
// than WaysMax, else any that is short enough, else its own in the place of the longest. That loses nobody, for it is
// shorter. A subscriber that comes makes pulls of fewer hops than it has left, and one that goes makes none: so what one of
// them sets off comes to an end.
func (c *Core) serve(s *Stream, path []rotunda.NodeID) *upstream {
	same, short, longest := -1, -1, 0
	for i, u := range s.ups {
		if u.path[0] == path[0] {
			same = i
		}
		if short < 0 && len(u.path) <= len(path) {
			short = i
		}
		if len(u.path) > len(s.ups[longest].path) {
			longest = i
		}
	}
	switch {
	case same >= 0 && len(s.ups[same].path) <= len(path):
		return s.ups[same]
	case same < 0 && len(s.ups) < WaysMax:
		u := &upstream{stream: s, path: path}
		s.ups = append(s.ups, u)
		c.ask(u)
		return u
	case short >= 0:
		return s.ups[short]
	case same >= 0:
		longest = same
	}
	was, u := s.ups[longest], &upstream{stream: s, path: path}
	s.ups[longest] = u
	s.hand(was, u)
	switch {
	case was.old != nil && !was.proven:
		u.old, was.old = was.old, nil
		c.release(was)
	case was.in.Port != 0:
		if was.old != nil {
			c.release(was.old)
			was.old = nil
		}
		u.old = was
	}
	c.ask(u)
	return u
}

// hand gives to another pull all who hold u.
func (s *Stream) hand(from, to *upstream) {
	for i := range s.subs {
		if s.subs[i].by == from {
			s.subs[i].by = to
		}
	}
	for i := range s.own {
		if s.own[i] == from {
			s.own[i] = to
		}
	}
}

// choose makes the ways wanted here those of the stream, with one that is short enough for all subscribers among them, and
// as long as there is room those that subscribers hold.
func (c *Core) choose(s *Stream, paths [][]rotunda.NodeID) {
	least := rotunda.HopsMax + 1
	for _, b := range s.subs {
		least = min(least, len(b.path))
	}
	short := func(u *upstream) bool { return len(u.path) <= least }
	if i := slices.IndexFunc(s.ups, short); i >= 0 && len(s.subs) > 0 && !slices.ContainsFunc(paths, func(p []rotunda.NodeID) bool { return len(p) <= least }) {
		keep := s.ups[i].path
		paths = slices.DeleteFunc(paths, func(p []rotunda.NodeID) bool { return p[0] == keep[0] })
		paths = append([][]rotunda.NodeID{keep}, paths[:min(len(paths), WaysMax-1)]...)
	}
	wanted := len(paths)
	for _, b := range s.subs {
		if len(paths) < WaysMax && !slices.ContainsFunc(paths, func(p []rotunda.NodeID) bool { return p[0] == b.by.path[0] }) {
			paths = append(paths, b.by.path)
		}
	}
	c.change(s, paths)
	s.own = slices.Clone(s.ups[:wanted])
	for i, b := range s.subs {
		if !slices.Contains(s.ups, b.by) {
			s.subs[i].by = s.ups[slices.IndexFunc(s.ups, func(u *upstream) bool { return len(u.path) <= len(b.path) })]
		}
	}
}

// change goes over to other ways. Pulls for them that exist stay; of those that are wanted no more, one goes on for each new
// one until that is proven.
func (c *Core) change(s *Stream, ways [][]rotunda.NodeID) {
	var next, rest []*upstream
	for _, u := range s.ups {
		rest = append(rest, u)
		if u.old != nil {
			rest = append(rest, u.old)
			u.old = nil
		}
	}
	for _, way := range ways {
		u := &upstream{stream: s, path: way}
		if i := slices.IndexFunc(rest, func(u *upstream) bool { return slices.Equal(u.path, way) }); i >= 0 {
			u = rest[i]
			rest = slices.Delete(rest, i, i+1)
		}
		next = append(next, u)
	}
	// Those that work are the better ones to keep, and where there is a choice the one over the same first hop.
	slices.SortStableFunc(rest, func(a, b *upstream) int { return cmp.Compare(rank(a), rank(b)) })
	for _, o := range rest {
		i := slices.IndexFunc(next, func(u *upstream) bool { return !u.proven && u.old == nil && u.path[0] == o.path[0] })
		if i < 0 {
			i = slices.IndexFunc(next, func(u *upstream) bool { return !u.proven && u.old == nil })
		}
		if i >= 0 && o.in.Port != 0 {
			next[i].old = o
		} else {
			c.release(o)
		}
	}
	before := s.ups
	s.ups = next
	for _, u := range next {
		if u.in.Port == 0 && !slices.Contains(before, u) {
			c.ask(u)
		}
	}
}

// rank orders pulls by how much is known of them: 0 works, 1 has been asked for, 2 waits for its link.
func rank(u *upstream) int {
	switch {
	case u.proven:
		return 0
	case u.in.Port != 0:
		return 1
	}
	return 2
}

// release ends one pull and the one that it was to replace; the caller takes it out of the stream.
func (c *Core) release(u *upstream) {
	if u.old != nil {
		c.release(u.old)
		u.old = nil
	}
	if u.stream.lead == u {
		u.stream.lead = nil
	}
	if u.in.Port != 0 {
		delete(c.ups, u.in)
		c.send(u.in.Port, wire.Unsubscribe{Alias: u.in.Alias})
	}
}

// ask sends the subscribe of u, or has the link brought up for it.
func (c *Core) ask(u *upstream) {
	p, ok := c.links[u.path[0]]
	if !ok {
		c.do(Action{Kind: Dial, Node: u.path[0]})
		return
	}
	c.alias++
	if !c.alias.Valid() {
		panic("relay: a thousand million aliases") // at one a millisecond, twelve days of nothing else
	}
	u.in = Out{p, c.alias}
	c.ups[u.in] = u
	c.send(p, wire.Subscribe{Alias: c.alias, Stream: u.stream.Key.Stream, Path: u.path[1:]})
	if w := &u.stream.window; w.started {
		u.after = w.newest
		c.resume(u, w.newest)
	} else if u.resume {
		c.resume(u, u.from)
	}
}

// resume asks for the frames since a number once more, which this node or one below has seen last by another way.
func (c *Core) resume(u *upstream, from rotunda.Seq) {
	if !u.resume || from < u.from {
		u.resume, u.from = true, from
	}
	if u.in.Port != 0 {
		c.send(u.in.Port, wire.Resume{Alias: u.in.Alias, From: u.from})
	}
}

// Greeted says that the peer at port p has said which messages it takes: a Resume before that was for nothing.
func (c *Core) Greeted(p Port) []Action {
	for _, o := range sortedOuts(c.ups, p) {
		if u := c.ups[o]; u.resume { // a frame may have been faster than the greeting
			c.send(p, wire.Resume{Alias: o.Alias, From: u.from})
		}
	}
	return c.take()
}

// broke takes the pull u, which is out of the index, out of its stream, because of node. An older pull that still goes on
// takes its place. Subscribers that no pull can serve within the hops they named are told; whoever takes the stream here is
// asked for other ways.
func (c *Core) broke(u *upstream, why wire.Reason, node rotunda.NodeID) {
	s := u.stream
	if s.lead == u {
		s.lead = nil
	}
	for _, x := range s.ups {
		if x.old == u {
			x.old = nil
			return
		}
	}
	i, mine, old := slices.Index(s.ups, u), slices.Contains(s.own, u), u.old
	u.old = nil
	if old != nil && !slices.ContainsFunc(s.ups, func(x *upstream) bool { return x != u && x.path[0] == old.path[0] }) {
		s.ups[i] = old
		s.hand(u, old)
	} else {
		s.ups = slices.Delete(s.ups, i, i+1)
		s.own = slices.DeleteFunc(s.own, func(x *upstream) bool { return x == u })
		if old != nil {
			c.goOn(s, old)
		}
	}
	c.turnAway(s, why, node, func(x *upstream) bool { return slices.Contains(s.ups, x) })
	if s.local && (mine || len(s.ups) == 0) {
		c.do(Action{Kind: Replan, Key: s.Key, Via: u.path[0], Node: node, Reason: why})
	}
	c.settle(s)
}

// goOn keeps the pull o until another one is proven, if there is one that is not.
func (c *Core) goOn(s *Stream, o *upstream) {
	for _, u := range s.ups {
		if !u.proven && u.old == nil {
			u.old = o
			return
		}
	}
	c.release(o)
}

// turnAway gives subscribers whose pull is not good another one, and ends the subscriptions for which there is none.
func (c *Core) turnAway(s *Stream, why wire.Reason, node rotunda.NodeID, good func(*upstream) bool) {
	for i := len(s.outs) - 1; i >= 0; i-- {
		b := &s.subs[i]
		fits := func(u *upstream) bool { return good(u) && len(u.path) <= len(b.path) }
		if fits(b.by) {
			continue
		}
		if j := slices.IndexFunc(s.ups, fits); j >= 0 {
			b.by = s.ups[j]
			continue
		}
		c.send(s.outs[i].Port, wire.Gone{Alias: s.outs[i].Alias, Reason: why, Node: node})
		c.forget(s, i)
	}
}

// Suspect says whether nothing has come through port p lately, or nothing has arrived at its peer. Takers that no other way
// serves are told to look for one; a pull that is wanted here stays, and may recover.
func (c *Core) Suspect(p Port, is bool) []Action {
	node, ok := c.ports[p]
	if !ok || c.suspect[p] == is {
		return nil
	}
	if !is {
		delete(c.suspect, p)
		return nil
	}
	c.suspect[p] = true
	for _, o := range sortedOuts(c.ups, p) {
		u, ok := c.ups[o]
		if !ok || !slices.Contains(u.stream.ups, u) {
			continue
		}
		s := u.stream
		c.turnAway(s, wire.Unreachable, node, c.healthy)
		if s.local && !slices.ContainsFunc(s.ups, c.healthy) {
			c.do(Action{Kind: Replan, Key: s.Key, Via: node, Node: node, Reason: wire.Unreachable})
		}
		c.settle(s)
	}
	return c.take()
}

// Live reports whether a pull of the stream has brought a frame, has not broken since and is not suspect.
func (c *Core) Live(s *Stream) bool {
	live := func(u *upstream) bool { return u != nil && u.heard && !c.suspect[u.in.Port] }
	return slices.ContainsFunc(s.ups, func(u *upstream) bool { return live(u) || live(u.old) })
}

// healthy reports whether a pull, or the one that it is to replace, may be bringing frames.
func (c *Core) healthy(u *upstream) bool {
	return u.in.Port != 0 && !c.suspect[u.in.Port] || u.old != nil && c.healthy(u.old)
}
