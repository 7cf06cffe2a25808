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

// appendMax is how long one append waits for its answer: a command can find out what became of the first one and try
// again within commandMax.
const appendMax = commandMax / 3

func (c *Control) create(ctx context.Context, a room.Actor, cmd room.Create) (*room.State, error) {
	ctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	if cmd.Node == "" {
		cmd.Node = c.cfg.Node
	}
	for try := range attemptsMax {
		once := onceID(ctx, "", a, cmd, try)
		id, err := c.random.letters(12)
		if err != nil {
			return nil, err
		}
		if once != "" {
			id = once[:12] // so that the same room is found again
		}
		s := room.New(rotunda.RoomID(id))
		if len(cmd.Fence) > 0 {
			s.ID = rotunda.FencedID(id)
			if err := c.locks.make(ctx, c.cfg.Fence, s.ID, cmd.Fence, c.cfg.Region); err != nil {
				return nil, translate(s.ID, err)
			}
		}
		events, err := s.Decide(c.cfg.Now(), a, cmd)
		if err != nil {
			return nil, err
		}
		events = requested(ctx, events)
		b, next, err := c.batch(s, eventlog.Position{}, events, once)
		if err != nil {
			return nil, err
		}
		err = c.commit(ctx, s.ID, b)
		if errors.Is(err, eventlog.ErrConflict) {
			if before, err := c.created(ctx, s.ID, once); before != nil || err != nil {
				return before, err
			}
			continue // the id is taken
		}
		if err != nil {
			return nil, translate(s.ID, err)
		}
		c.locks.kept(s.ID)
		c.told(s, events)
		c.directory.note(c, next.Summary())
		return next, nil
	}
	return nil, errContended
}

// created returns the room that was made under the same key before, if that is the one.
func (c *Control) created(ctx context.Context, id rotunda.RoomID, once string) (*room.State, error) {
	if once == "" {
		return nil, nil
	}
	f, err := c.acquire(ctx, id)
	if err != nil {
		return nil, err
	}
	defer c.release(f)
	entries, _, err := c.cfg.Log.Read(ctx, id, eventlog.Position{}, 1)
	if err != nil && !errors.Is(err, eventlog.ErrPruned) {
		return nil, translate(id, err)
	}
	if err == nil && entries[0].ID != eventID(once, 0) {
		return nil, nil
	}
	s, _ := f.current() // one that is so old that it is folded: 60 bits of its id agree
	return s, nil
}

func (c *Control) do(ctx context.Context, id rotunda.RoomID, a room.Actor, cmd room.Command) (*room.State, error) {
	ctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	if _, creating := cmd.(room.Create); creating {
		return nil, fmt.Errorf("create: %w: a new room has no id yet", room.ErrInvalid)
	}
	f, err := c.acquire(ctx, id)
	if err != nil {
		return nil, err
	}
	defer c.release(f)
	once := onceID(ctx, id, a, cmd, 0)
	if once != "" {
		if err := c.refresh(ctx, f); err != nil {
			return nil, err
		}
	}
	fresh := once != "" // the state has been read from the log since the command came in
	for range attemptsMax {
		s, at, done := f.look(once)
		if done {
			return s, nil
		}
		events, err := s.Decide(c.cfg.Now(), a, cmd)
		if err != nil || len(events) == 0 {
			// Nothing to append, so nothing proves that the state was the newest. Look before saying so.
			if fresh || errors.Is(err, room.ErrInvalid) {
				return s, err
			}
			if away := c.refresh(ctx, f); away != nil {
				return nil, away
			}
			fresh = true
			continue
		}
		events = requested(ctx, events)
		b, next, err := c.batch(s, at, events, once)
		if err != nil {
			return nil, err
		}
		switch err := c.commit(ctx, id, b); {
		case err == nil:
			entries, _ := b.Entries(id)
			f.adopt(entries)
			c.told(s, events)
			c.directory.note(c, next.Summary())
			c.wantSnapshot(f)
			s, _ := f.current()
			return s, nil
		case !errors.Is(err, eventlog.ErrConflict):
			return nil, translate(id, err)
		}
		if err := c.refresh(ctx, f); err != nil {
			return nil, err
		}
		fresh = true
	}
	return nil, errContended
}

// look is current, and whether the command with the id once (none: empty) is among the latest entries that lead to it.
func (f *follower) look(once string) (s *room.State, at eventlog.Position, done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state, f.at, once != "" && f.copy.has(eventID(once, 0))
}

// eventID is the id of a command's event number i.
func eventID(command string, i int) string { return fmt.Sprintf("%s-%d", command, i) }

// batch gives the events their ids and makes the append of them, and the state that it leads to. The command's id is once,
// or where that is empty a new one.
func (c *Control) batch(s *room.State, at eventlog.Position, events []room.Event, once string) (eventlog.Batch, *room.State, error) {
	b, next, id := eventlog.Batch{After: at}, s.Clone(), once
	if id == "" {
		var err error
		if id, err = c.random.letters(20); err != nil { // 100 bits
			return b, nil, err
		}
	}
	for i, e := range events {
		e.ID = eventID(id, i)
		r, err := c.recordOf(s.ID, e)
		if err != nil {
			return b, nil, err
		}
		b.Records = append(b.Records, r)
		next.Apply(e)
	}
	var err error
	b.Summary, err = c.summary(next)
	return b, next, err
}

// commit appends b and does not return before it is known whether b is in the log, or ctx ends (ErrUnknown). After
// ErrConflict nothing of b is or will be in the log: the chain has moved past the place where it belonged.
func (c *Control) commit(ctx context.Context, id rotunda.RoomID, b eventlog.Batch) error {
	unknown := false
	for {
		actx, cancel := context.WithTimeout(ctx, appendMax)
		_, err := c.cfg.Log.Append(actx, id, b)
		cancel()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, eventlog.ErrUnknown):
			unknown = true
		case !unknown:
			if !errors.Is(err, eventlog.ErrUnavailable) {
				return err
			}
		case errors.Is(err, eventlog.ErrConflict):
			kept, rerr := c.kept(ctx, id, b)
			if rerr == nil && kept {
				return nil
			}
			if rerr == nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			if unknown {
				return fmt.Errorf("room %s: %w", id, eventlog.ErrUnknown)
			}
			return err
		case <-time.After(retryWait):
		}
	}
}

// kept looks whether b, whose outcome was unknown, is in the log: then its first record stands where it belongs.
func (c *Control) kept(ctx context.Context, id rotunda.RoomID, b eventlog.Batch) (bool, error) {
	entries, _, err := c.cfg.Log.Read(ctx, id, b.After, 1)
	if err != nil {
		return false, err
	}
	return len(entries) == 1 && entries[0].ID == b.Records[0].ID, nil
}

// translate says in this package's words what the log answered.
func translate(id rotunda.RoomID, err error) error {
	switch {
	case errors.Is(err, eventlog.ErrUnknown):
		return fmt.Errorf("room %s: %w", id, ErrUnknownOutcome)
	case errors.Is(err, eventlog.ErrUnavailable), errors.Is(err, eventlog.ErrBroken):
		return fmt.Errorf("room %s: %w: %w", id, ErrUnavailable, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("room %s: %w: %w", id, ErrUnavailable, err)
	}
	return fmt.Errorf("room %s: %w", id, err)
}
