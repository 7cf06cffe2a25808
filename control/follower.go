package control

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// retryWait is how long to wait before asking a log again that did not answer.
const retryWait = 100 * time.Millisecond

// follower keeps one room up to date for everybody on this node who has to do with it.
type follower struct {
	id     rotunda.RoomID
	loaded chan struct{} // closed by the follower's goroutine: state is there, or err says why not
	done   chan struct{} // closed by the follower's goroutine when it ends

	// guarded by Control.mu
	users     int
	idleSince time.Time
	dropped   bool
	ticked    time.Time          // when this node last did what was due
	audited   time.Time          // when this node last compared the log with its copy
	cancel    context.CancelFunc // nil before Run has started it

	witness *witness
	decode  func(eventlog.Entry) (room.Event, error)

	mu       sync.Mutex // guards the rest
	state    *room.State
	at       eventlog.Position
	copy     tail
	snapshot uint64        // number of the latest snapshot in the log that this node knows of
	lent     bool          // state is another node's word, and the log has not confirmed it yet
	err      error         // final, where loading failed
	recent   []Change      // the latest changes, the last one leads to state
	changed  chan struct{} // closed and replaced with every change
}

func (c *Control) newFollower(id rotunda.RoomID, w *witness) *follower {
	decode := func(e eventlog.Entry) (room.Event, error) { return c.decode(id, e) }
	return &follower{id: id, witness: w, decode: decode, loaded: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{})}
}

// current is the newest state and its position in the log.
func (f *follower) current() (*room.State, eventlog.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state, f.at
}

// adopt takes entries that may be known already. It ends at the first that does not continue what is known.
func (f *follower) adopt(entries []eventlog.Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := false
	defer func() {
		if changed {
			f.tell()
		}
	}()
	for _, e := range entries {
		if e.Seq <= f.at.Seq {
			continue
		}
		next, err := f.at.Next(f.id, e)
		if err != nil {
			return err
		}
		event, err := f.decode(e)
		if err != nil {
			return err
		}
		change := step(f.state, event)
		f.copy.add(f.at, e)
		f.at, f.state, f.lent, changed = next, change.State, false, true
		if len(f.recent) == recentMax {
			f.recent = append(f.recent[:0:0], f.recent[1:]...) // readers hold slices of the old one
		}
		f.recent = append(f.recent, change)
	}
	return nil
}

// tell says that there is something new. The caller holds f.mu.
func (f *follower) tell() {
	if !f.lent { // this node vouches for what it has from the log
		f.witness.note(f.id, f.at)
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// jump goes to what was read anew, where that is ahead. Whoever follows gets a snapshot.
func (f *follower) jump(o opened) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o.at.Seq <= f.at.Seq && f.state != nil {
		return
	}
	f.state, f.at, f.copy, f.snapshot, f.lent, f.recent = o.state, o.at, o.copy, o.snapshot, o.lender != "", nil
	f.tell()
}

// step is the change that e makes of s.
func step(s *room.State, e room.Event) Change {
	next := s.Clone()
	next.Apply(e)
	return Change{State: next, Event: e, Before: s}
}

// decode reads an event. What does not parse was written by a newer version and is passed on as an event of unknown type.
func decode(entry eventlog.Entry) room.Event {
	var e room.Event
	if err := json.Unmarshal(entry.Data, &e); err != nil || e.Type == "" {
		e = room.Event{Type: "unknown"}
	}
	e.Seq, e.ID = entry.Seq, entry.ID
	return e
}

// since returns the changes after seq that are known; gap says that older ones than those kept are missing. wait is closed with
// the next change.
func (f *follower) since(seq uint64) (changes []Change, gap bool, wait <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if seq >= f.state.Seq {
		return nil, false, f.changed
	}
	missing := f.state.Seq - seq
	if missing > uint64(len(f.recent)) {
		return nil, true, f.changed
	}
	return f.recent[uint64(len(f.recent))-missing:], false, f.changed
}

// acquire returns the follower of a room, loaded. The caller releases it.
func (c *Control) acquire(ctx context.Context, id rotunda.RoomID) (*follower, error) {
	if err := id.Valid(); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnknownRoom, err)
	}
	c.mu.Lock()
	f := c.rooms[id]
	if f == nil {
		f = c.newFollower(id, c.witness)
		c.rooms[id] = f
		nudge(c.followed)
		c.pending = append(c.pending, f)
		select {
		case c.wake <- struct{}{}:
		default: // there is a token
		}
	}
	f.users++
	c.mu.Unlock()

	select {
	case <-f.loaded:
	case <-ctx.Done():
		c.release(f)
		return nil, fmt.Errorf("room %s: %w: %w", id, ErrUnavailable, ctx.Err())
	}
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if err != nil {
		c.release(f)
		return nil, err
	}
	return f, nil
}

// release gives a follower back.
func (c *Control) release(f *follower) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.users--; f.users > 0 {
		return
	}
	f.idleSince = time.Now()
	select {
	case <-f.loaded:
	default:
		c.drop(f) // nobody waits for it any more
	}
}

// drop ends a follower. The caller holds c.mu.
func (c *Control) drop(f *follower) {
	f.dropped = true
	if c.rooms[f.id] == f {
		delete(c.rooms, f.id)
	}
	if f.cancel != nil {
		f.cancel()
		return
	}
	for i, p := range c.pending {
		if p == f {
			c.pending = append(c.pending[:i], c.pending[i+1:]...)
			return
		}
	}
}

// supervise starts followers and ends those that nobody has used for a while.
func (c *Control) supervise(ctx context.Context, g *errgroup.Group) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			c.sweep(time.Now())
			if f := c.toAudit(time.Now()); f != nil {
				g.Go(func() error {
					c.audit(ctx, f)
					return nil
				})
			}
		case <-c.wake:
			for _, f := range c.takePending(ctx) {
				g.Go(func() error {
					c.follow(f.ctx, f.follower)
					return nil
				})
			}
		}
	}
}

type starting struct {
	*follower
	ctx context.Context
}

func (c *Control) takePending(ctx context.Context) []starting {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []starting
	for _, f := range c.pending {
		fctx, cancel := context.WithCancel(ctx)
		f.cancel = cancel
		out = append(out, starting{f, fctx})
	}
	c.pending = nil
	return out
}

// sweep ends idle followers. While the log is away it keeps them: their state is the last there is.
func (c *Control) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.available {
		return
	}
	idle := 0
	for _, f := range c.rooms {
		if f.users > 0 {
			continue
		}
		if idle++; idle > idleRoomsMax || now.Sub(f.idleSince) > idleMax {
			c.drop(f)
		}
	}
}

// forget takes a follower that ends out of the table.
func (c *Control) forget(f *follower) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(f)
}
