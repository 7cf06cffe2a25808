package control

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"rotunda"
	"rotunda/control/room"
)

const (
	// dueEvery is how often a node looks whether something is due in the rooms that it follows.
	dueEvery = 200 * time.Millisecond
	// dueLate and dueSpread are how much later than the room's home the other nodes act, so that usually one does: dueLate and
	// a part of dueSpread that differs from node to node.
	dueLate   = 500 * time.Millisecond
	dueSpread = 5 * time.Second
	// dueAgain is how long after a try a node tries again.
	dueAgain = time.Second
	// dueMax is how many rooms a node does this for at the same time.
	dueMax = 16
	// visitEvery is how often a node looks at a room that it does not follow, since perhaps nobody does, whether something is
	// due; earlier where it knows when something will be. visitsMax is how many it looks at every visitPause.
	visitEvery = 5 * time.Minute
	visitsMax  = 8
	visitPause = 10 * time.Second
)

// keepTime says Tick in the rooms that this node follows when something is due there, until ctx ends. The log lets one node
// be first; the others find nothing to do.
func (c *Control) keepTime(ctx context.Context, g *errgroup.Group) error {
	tick := time.NewTicker(dueEvery)
	defer tick.Stop()
	places := make(chan struct{}, dueMax)
	for {
		var look <-chan time.Time // never, as long as no room is followed
		if c.follows() {
			look = tick.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.followed:
			continue
		case <-look:
		}
		for _, id := range c.due() {
			select {
			case places <- struct{}{}:
			default:
				continue // looked at again in a moment
			}
			g.Go(func() error {
				defer func() { <-places }()
				if _, err := c.Do(ctx, id, room.Actor{System: true}, room.Tick{}); err != nil && ctx.Err() == nil {
					c.cfg.Logger.Warn("what is due in a room is not done", "room", id, "error", err)
				}
				return nil
			})
		}
	}
}

func (c *Control) follows() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.rooms) > 0
}

// due lists the followed rooms in which it is this node's turn to say Tick, and remembers that it was.
func (c *Control) due() []rotunda.RoomID {
	now := c.cfg.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.available {
		return nil
	}
	var out []rotunda.RoomID
	for id, f := range c.rooms {
		at := f.deadline()
		if at.IsZero() || f.ticked.After(now.Add(-dueAgain)) {
			continue
		}
		if f.home() != c.cfg.Node {
			at = at.Add(dueLate + c.share(id, dueSpread))
		}
		if !now.Before(at) {
			f.ticked = now
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// deadline is that of the newest state; zero where there is none yet.
func (f *follower) deadline() time.Time {
	if s, _ := f.current(); s != nil {
		return s.Deadline()
	}
	return time.Time{}
}

// home is that of the newest state; empty where there is none yet.
func (f *follower) home() rotunda.NodeID {
	if s, _ := f.current(); s != nil {
		return s.Home
	}
	return ""
}

// visit looks now and then at rooms that are not over and that this node does not follow, until ctx ends: whoever followed
// them may be dead, and a room must not stay without a host because nobody is left to notice.
func (c *Control) visit(ctx context.Context) error {
	tick := time.NewTicker(visitPause)
	defer tick.Stop()
	next := map[rotunda.RoomID]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for _, id := range c.toVisit(next) {
			now := c.cfg.Now()
			next[id] = now.Add(visitEvery)
			s, err := c.Get(ctx, id) // and it is followed for a while, in which keepTime sees to it
			if err != nil {
				continue
			}
			if due := s.Deadline(); due.After(now) && due.Before(next[id]) {
				next[id] = due
			}
		}
	}
}

// toVisit chooses the rooms whose time has come longest ago. It forgets those that are over.
func (c *Control) toVisit(next map[rotunda.RoomID]time.Time) []rotunda.RoomID {
	now := c.cfg.Now()
	open := map[rotunda.RoomID]bool{}
	for _, s := range c.Rooms() {
		if s.State == room.Ended {
			continue
		}
		open[s.ID] = true
		if _, known := next[s.ID]; !known {
			next[s.ID] = now.Add(c.share(s.ID, visitEvery)) // the nodes begin at different rooms
		}
	}
	maps.DeleteFunc(next, func(id rotunda.RoomID, _ time.Time) bool { return !open[id] })
	var out []rotunda.RoomID
	c.mu.Lock()
	for id, at := range next {
		if c.rooms[id] == nil && !now.Before(at) && c.available {
			out = append(out, id)
		}
	}
	c.mu.Unlock()
	slices.SortFunc(out, func(a, b rotunda.RoomID) int { return cmp.Or(next[a].Compare(next[b]), cmp.Compare(a, b)) })
	return out[:min(len(out), visitsMax)]
}
