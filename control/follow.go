package control

import (
	"context"
	"errors"
	"fmt"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// Follow calls fn with the changes of a room until ctx ends (and then returns nil) or fn fails (that error). With after == 0,
// or where the room has never reached after, the first Change is a snapshot; else the changes go on after that sequence
// number without a gap. Whoever is behind by more than the log keeps of single events gets a snapshot instead of them. fn is called from one goroutine; while it takes its time nobody else waits, and it misses nothing.
//
// Errors: ErrUnknownRoom; ErrUnavailable where the room cannot be loaded, or where changes that fn missed are no longer at
// hand and the log is away, or when Run ends. While the log is away Follow otherwise goes on waiting.
func (c *Control) Follow(ctx context.Context, id rotunda.RoomID, after uint64, fn func(Change) error) error {
	err := c.followRoom(ctx, id, after, fn)
	var own callerError
	switch {
	case errors.As(err, &own):
		return own.error
	case ctx.Err() != nil:
		return nil // being asked to stop is not an error
	}
	return err
}

// callerError marks an error of the caller's own function.
type callerError struct{ error }

func (c *Control) followRoom(ctx context.Context, id rotunda.RoomID, after uint64, fn func(Change) error) error {
	f, err := c.acquireSoon(ctx, id)
	if err != nil {
		return err
	}
	defer c.release(f)
	s, _ := f.current()
	if after > s.Seq { // from a node that was ahead of this one, or made up
		rctx, cancel := context.WithTimeout(ctx, commandMax)
		err := c.refresh(rctx, f)
		cancel()
		if err != nil {
			return err
		}
		s, _ = f.current()
	}
	at, over := after, c.outage.lens(id)
	defer over.close()
	if after == 0 || after > s.Seq {
		if err := fn(over.change(Change{State: s})); err != nil {
			return callerError{err}
		}
		at = s.Seq
	}
	for {
		changes, gap, wait := f.since(at)
		if gap {
			if at, err = c.replay(ctx, f, at, over, fn); err != nil {
				return err
			}
			continue
		}
		for _, change := range changes {
			if err := fn(over.change(change)); err != nil {
				return callerError{err}
			}
			at = change.State.Seq
		}
		if len(changes) > 0 {
			continue
		}
		s, _ = f.current()
		news, changed, waitNews := over.news(s)
		if changed {
			if err := fn(news); err != nil {
				return callerError{err}
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.done:
			return fmt.Errorf("room %s: no longer followed: %w", id, ErrUnavailable)
		case <-wait:
		case <-waitNews:
		}
	}
}

func (c *Control) acquireSoon(ctx context.Context, id rotunda.RoomID) (*follower, error) {
	ctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	return c.acquire(ctx, id)
}

// replay tells fn of the changes after seq that the follower no longer has, from the log, and returns the last one told. It
// folds the room from a snapshot before seq. Where the log has folded those changes itself, fn gets the state as a snapshot.
func (c *Control) replay(ctx context.Context, f *follower, seq uint64, over *lens, fn func(Change) error) (uint64, error) {
	rctx, cancel := context.WithTimeout(ctx, commandMax)
	s, at, err := c.before(rctx, f.id, seq)
	cancel()
	for err == nil {
		rctx, cancel := context.WithTimeout(ctx, commandMax)
		var entries []eventlog.Entry
		var end eventlog.Position
		entries, end, err = c.cfg.Log.Read(rctx, f.id, at, eventlog.ReadMax)
		cancel()
		if err != nil {
			break
		}
		for _, e := range entries {
			if at, err = at.Next(f.id, e); err != nil {
				return seq, translate(f.id, err)
			}
			event, err := c.decode(f.id, e)
			if err != nil {
				return seq, translate(f.id, err)
			}
			if e.Seq <= seq {
				s.Apply(event) // nobody has seen this state
				continue
			}
			change := step(s, event)
			if err := fn(over.change(change)); err != nil {
				return seq, callerError{err}
			}
			s, seq = change.State, e.Seq
		}
		if at.Seq >= end.Seq {
			return seq, nil
		}
	}
	if !errors.Is(err, eventlog.ErrPruned) {
		return seq, translate(f.id, err)
	}
	s, _ = f.current()
	if err := fn(over.change(Change{State: s})); err != nil {
		return seq, callerError{err}
	}
	return s.Seq, nil
}

// before returns the latest state at hand that is not after seq: that of a snapshot, or the one before the first event.
func (c *Control) before(ctx context.Context, id rotunda.RoomID, seq uint64) (*room.State, eventlog.Position, error) {
	snapshots, err := c.cfg.Log.Snapshots(ctx, id)
	if err != nil {
		return nil, eventlog.Position{}, err
	}
	for _, snapshot := range snapshots {
		if snapshot.At.Seq > seq || !snapshot.Sound(id) {
			continue
		}
		if s, err := c.unpack(id, snapshot); err == nil && s.ID == id && s.Seq == snapshot.At.Seq {
			return s, snapshot.At, nil
		}
	}
	return room.New(id), eventlog.Position{}, nil
}
