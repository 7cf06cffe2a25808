package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
)

const (
	// auditEvery is how often a node compares the log of a room that it follows with its own copy: whoever follows reads only
	// what is new, and would not meet what is damaged before that.
	auditEvery = time.Minute
	// auditMax is how long that, and mending, may take.
	auditMax = 10 * time.Second
)

// meetBroken is what a follower does about a log that does not continue what this node has seen: nothing of it is believed
// and the last state stands. It returns nil where the log was mended from this node's copy.
func (c *Control) meetBroken(ctx context.Context, f *follower, found error) error {
	_, at := f.current()
	c.cfg.Logger.Error("room's log is broken: keeping the last state", "room", f.id, "seq", at.Seq, "hash", at.Hash, "error", found)
	if _, err := c.mend(ctx, f); err != nil {
		return found
	}
	return nil
}

// mend compares a room's log with this node's copy, puts right what is damaged and puts back an end that is lost. It returns
// what that was. Each step happens only if nothing has changed meanwhile: if anybody was faster, with the same or with
// something else, it does nothing.
//
// What is not mended is refused: a log with another history (somebody has to choose), and what this node's copy does not have.
func (c *Control) mend(ctx context.Context, f *follower) (names []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, auditMax)
	defer cancel()
	if err := c.vouch(ctx, f); err != nil { // what is not this node's own knowledge puts nothing right
		return nil, err
	}
	own, at := f.copied()
	if seen, ok := c.witness.position(f.id); ok && seen != at {
		return nil, fmt.Errorf("room %s: this node's copy ends at %v, it has seen %v: %w", f.id, at, seen, eventlog.ErrConflict)
	}
	r, err := c.cfg.Log.Mend(ctx, f.id, own, c.keeps(f.id))
	if err == nil {
		names = r.Names()
		var n int
		if n, err = c.putBack(ctx, f); n > 0 {
			names = append(names, fmt.Sprintf("the last %d entries", n))
		}
	}
	if err == nil {
		var fresh bool
		if fresh, err = c.freshSnapshot(ctx, f); fresh {
			names = append(names, "a snapshot")
		}
	}
	if len(names) > 0 {
		c.cfg.Metrics.LogMended.Inc()
		c.cfg.Logger.Warn("room's log was damaged: mended from this node's copy", "room", f.id, "what", names)
	}
	if errors.Is(err, eventlog.ErrBroken) {
		c.cfg.Metrics.LogDamaged.Inc()
		c.cfg.Logger.Error("room's log is damaged and not mended", "room", f.id, "error", err)
	}
	return names, err
}

// copied is the end of the chain as this node has it.
func (f *follower) copied() (eventlog.Copy, eventlog.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.copy.entries) == 0 {
		return eventlog.Copy{From: f.at}, f.at
	}
	return eventlog.Copy{From: f.copy.from, Entries: f.copy.entries}, f.at
}

// putBack appends what the log has lost of its end and this node has, and returns how many entries that were. It is an ordinary
// append after the place where the log ends.
func (c *Control) putBack(ctx context.Context, f *follower) (n int, err error) {
	head, err := c.cfg.Log.Head(ctx, f.id)
	if err != nil {
		return 0, err
	}
	s, at := f.current()
	if head.Seq >= at.Seq {
		return 0, nil
	}
	f.mu.Lock()
	missing, ok := f.copy.after(head)
	f.mu.Unlock()
	if !ok {
		return 0, fmt.Errorf("room %s: the log ends at %v, which is not in this node's copy: %w", f.id, head, eventlog.ErrBroken)
	}
	if entries, _, err := c.cfg.Log.Read(ctx, f.id, head, 1); err != nil || len(entries) > 0 {
		return 0, fmt.Errorf("room %s: the log is not whole up to its end at %v: %w", f.id, head, err)
	}
	b := eventlog.Batch{After: head}
	if b.Summary, err = c.summary(s); err != nil {
		return 0, err
	}
	for len(missing) > 0 {
		b.Records = nil
		for bytes := 0; len(b.Records) < min(len(missing), eventlog.BatchMax); {
			e := missing[len(b.Records)]
			if bytes += len(e.Data); bytes > eventlog.BytesMax {
				break
			}
			b.Records = append(b.Records, e.Record)
		}
		if b.After, err = c.cfg.Log.Append(ctx, f.id, b); err != nil {
			return n, err
		}
		n, missing = n+len(b.Records), missing[len(b.Records):]
	}
	return n, nil
}

// freshSnapshot makes a snapshot in the place of one that is damaged, if anything has happened since the latest sound one.
func (c *Control) freshSnapshot(ctx context.Context, f *follower) (bool, error) {
	kept, err := c.cfg.Log.Snapshots(ctx, f.id)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	state, at, copied := f.state, f.at, f.copy
	f.mu.Unlock()
	damaged := false
	for _, s := range kept {
		if !s.Sound(f.id) {
			damaged = true
		} else if s.At.Seq >= at.Seq {
			return false, nil
		}
	}
	if !damaged || !copied.understood() {
		return false, nil
	}
	data, err := c.pack(state)
	if err != nil {
		return false, err
	}
	return true, c.cfg.Log.PutSnapshot(ctx, f.id, eventlog.NewSnapshot(f.id, at, data))
}

// toAudit chooses the followed room that has not been compared for longest, if it is time; nil: none.
func (c *Control) toAudit(now time.Time) (next *follower) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.available || c.auditing {
		return nil
	}
	for _, f := range c.rooms {
		select {
		case <-f.loaded:
		default:
			continue
		}
		if f.audited.IsZero() {
			f.audited = now.Add(-c.share(f.id, auditEvery)) // the nodes begin at different times
		}
		if now.Sub(f.audited) >= auditEvery && (next == nil || f.audited.Before(next.audited)) {
			next = f
		}
	}
	if next != nil {
		next.audited, c.auditing = now, true
	}
	return next
}

// audit compares one room's log with this node's copy.
func (c *Control) audit(ctx context.Context, f *follower) {
	_, err := c.mend(ctx, f) // which says what there is to say of the log
	if err != nil && !errors.Is(err, eventlog.ErrBroken) && ctx.Err() == nil {
		c.cfg.Logger.Info("room's log is not compared with this node's copy, this time", "room", f.id, "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.auditing = false
}

// Mend compares a room's log with this node's copy at once, as every node does of itself now and then with the rooms that it
// follows, and returns what it put right. ErrUnknownRoom where this node has no copy. The error wraps eventlog.ErrBroken where
// damage is left.
func (c *Control) Mend(ctx context.Context, id rotunda.RoomID) ([]string, error) {
	c.mu.Lock()
	f := c.rooms[id]
	c.mu.Unlock()
	if f == nil || c.peek(id) == nil {
		return nil, fmt.Errorf("room %s: this node has no copy of it: %w", id, ErrUnknownRoom)
	}
	return c.mend(ctx, f)
}
