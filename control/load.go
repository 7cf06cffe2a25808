package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// foldedMax is how often a room that is folded faster than it is read is read again.
const foldedMax = 3

// follow is the goroutine of a follower: it loads the room and then takes what comes until ctx ends.
func (c *Control) follow(ctx context.Context, f *follower) {
	defer close(f.done)
	defer c.forget(f)
	if err := c.load(ctx, f); err != nil {
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
		c.forget(f)
		close(f.loaded)
		return
	}
	close(f.loaded)
	for ctx.Err() == nil {
		err := c.vouch(ctx, f)
		if err == nil {
			_, at := f.current()
			err = c.cfg.Log.Follow(ctx, f.id, at, func(e eventlog.Entry) error { return f.adopt([]eventlog.Entry{e}) })
		}
		if ctx.Err() != nil {
			return
		}
		wait := retryWait
		switch {
		case errors.Is(err, eventlog.ErrPruned):
			err = c.reload(ctx, f)
		case errors.Is(err, eventlog.ErrBroken):
			err = c.meetBroken(ctx, f, err)
		}
		if errors.Is(err, eventlog.ErrBroken) {
			wait = brokenWait
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// load reads the room for the first time. While the log is away another node's word counts, as that node's own state does: what
// the log goes on with is held against it like against any state. Without one it waits.
func (c *Control) load(ctx context.Context, f *follower) error {
	for {
		o, err := c.find(ctx, f.id)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("room %s: %w: %w", f.id, ErrUnavailable, ctx.Err())
		case errors.Is(err, eventlog.ErrUnavailable):
			select {
			case <-ctx.Done():
			case <-time.After(retryWait):
			}
			continue
		case errors.As(err, new(*Outside)):
			return fmt.Errorf("room %s: %w", f.id, err)
		case err != nil:
			if errors.Is(err, eventlog.ErrBroken) {
				c.cfg.Metrics.LogDamaged.Inc()
			}
			c.cfg.Logger.Error("room's log cannot be read", "room", f.id, "error", err)
			return translate(f.id, err)
		case o.at.Seq == 0:
			return fmt.Errorf("room %s: %w", f.id, ErrUnknownRoom)
		case o.lender != "":
			c.cfg.Logger.Info("the log is away: room as another node knows it", "room", f.id, "node", o.lender, "seq", o.at.Seq)
		}
		f.jump(o)
		return nil
	}
}

// find reads a room from the log and, where that does not answer, from another node: from there first if the log is known to be
// away. Errors are those of the log.
func (c *Control) find(ctx context.Context, id rotunda.RoomID) (opened, error) {
	away := !c.Available()
	if away {
		if o, err := c.borrow(ctx, id); err == nil {
			return o, nil
		}
	}
	rctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	o, err := c.open(rctx, id)
	if err == nil {
		err = c.confirm(rctx, id, o)
	}
	if errors.Is(err, eventlog.ErrUnavailable) && !away {
		if lent, failed := c.borrow(ctx, id); failed == nil {
			return lent, nil
		}
	}
	return o, err
}

// reload brings a follower to a chain that was folded where it stands.
func (c *Control) reload(ctx context.Context, f *follower) error {
	rctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	o, err := c.open(rctx, f.id)
	if err == nil {
		f.jump(o)
	}
	return err
}

// confirm refuses a log that does not contain what this node has seen of the room, be it before a restart.
func (c *Control) confirm(ctx context.Context, id rotunda.RoomID, o opened) error {
	seen, ok := c.witness.position(id)
	if !ok {
		return nil
	}
	if seen.Seq > o.at.Seq {
		return fmt.Errorf("room %s: the log ends at %v, this node has seen %v: %w", id, o.at, seen, eventlog.ErrBroken)
	}
	_, _, err := c.cfg.Log.Read(ctx, id, seen, 1)
	if errors.Is(err, eventlog.ErrPruned) {
		return nil // and it is one of the chain
	}
	return err
}

// opened is a room as it was read from the log.
type opened struct {
	state    *room.State
	at       eventlog.Position
	copy     tail
	snapshot uint64         // number of the latest snapshot
	lender   rotunda.NodeID // whose word it is; empty: the log's
}

// open reads a room. It begins with the older of its two snapshots, or with the first entry where there are fewer, so that
// some hundreds of entries are at hand for whoever comes back; and with the newer one where the older is of no use.
func (c *Control) open(ctx context.Context, id rotunda.RoomID) (opened, error) {
	for range foldedMax {
		snapshots, err := c.cfg.Log.Snapshots(ctx, id)
		if err != nil {
			return opened{}, err
		}
		if len(snapshots) < eventlog.SnapshotsMax {
			o, err := c.fold(ctx, opened{state: room.New(id), copy: c.newTail(id)})
			if len(snapshots) > 0 {
				o.snapshot = snapshots[0].At.Seq
			}
			if err == nil || !errors.Is(err, eventlog.ErrPruned) {
				return o, err
			}
		}
		var failed error
		for i := len(snapshots) - 1; i >= 0; i-- {
			o, err := c.openAt(ctx, id, snapshots[i])
			if err == nil {
				o.snapshot = snapshots[0].At.Seq
				return o, nil
			}
			if !errors.Is(err, eventlog.ErrBroken) && !errors.Is(err, eventlog.ErrPruned) {
				return opened{}, err
			}
			c.cfg.Logger.Error("room's snapshot is of no use", "room", id, "seq", snapshots[i].At.Seq, "error", err)
			failed = err
		}
		if failed != nil {
			return opened{}, failed
		}
		// It was folded for the first time just now, or has no snapshot any more.
	}
	return opened{}, fmt.Errorf("room %s: folded, and no snapshot: %w", id, eventlog.ErrBroken)
}

// newTail is an empty tail for a room.
func (c *Control) newTail(id rotunda.RoomID) (t tail) {
	if id.Fenced() {
		t.plain = func(e eventlog.Entry) (eventlog.Entry, error) { return c.plain(id, e) }
	}
	return t
}

// openAt reads a room from a snapshot on.
func (c *Control) openAt(ctx context.Context, id rotunda.RoomID, s eventlog.Snapshot) (opened, error) {
	if !s.Sound(id) {
		return opened{}, fmt.Errorf("room %s: snapshot at %d is damaged: %w", id, s.At.Seq, eventlog.ErrBroken)
	}
	state, err := c.unpack(id, s)
	if errors.As(err, new(*Outside)) {
		return opened{}, err
	}
	if err == nil && (state.ID != id || state.Seq != s.At.Seq) {
		err = fmt.Errorf("it is of %s at %d", state.ID, state.Seq)
	}
	if err != nil {
		return opened{}, fmt.Errorf("room %s: snapshot at %d: %w: %w", id, s.At.Seq, err, eventlog.ErrBroken)
	}
	return c.fold(ctx, opened{state: state, at: s.At, copy: c.newTail(id)})
}

// fold applies what the log has after o.
func (c *Control) fold(ctx context.Context, o opened) (opened, error) {
	for {
		entries, end, err := c.cfg.Log.Read(ctx, o.state.ID, o.at, eventlog.ReadMax)
		if err != nil {
			return o, err
		}
		for _, e := range entries {
			next, err := o.at.Next(o.state.ID, e)
			if err != nil {
				return o, err
			}
			event, err := c.decode(o.state.ID, e)
			if err != nil {
				return o, err
			}
			o.copy.add(o.at, e)
			o.state.Apply(event)
			o.at = next
		}
		if o.at.Seq >= end.Seq {
			return o, nil
		}
	}
}

// refresh brings a follower up to what the log has now.
func (c *Control) refresh(ctx context.Context, f *follower) error {
	for {
		_, at := f.current()
		entries, end, err := c.cfg.Log.Read(ctx, f.id, at, eventlog.ReadMax)
		switch {
		case errors.Is(err, eventlog.ErrPruned):
			err = c.reload(ctx, f)
		case err == nil:
			err = f.adopt(entries)
		}
		if err != nil {
			return translate(f.id, err)
		}
		if _, at = f.current(); at.Seq >= end.Seq {
			return nil
		}
	}
}
