package control

import (
	"context"
	"errors"
	"fmt"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// recordMax is how many events of the record one call returns, and a few more.
const recordMax = 200

// keeps is recorded for the log of a room. What cannot be read is kept.
func (c *Control) keeps(id rotunda.RoomID) func(eventlog.Entry) bool {
	return func(entry eventlog.Entry) bool {
		e, err := c.decode(id, entry)
		return err != nil || recorded(e)
	}
}

// recorded reports whether an event belongs to the moderation record: what somebody has done to somebody else, who
// was host, and the room's beginning, end, rules and ways to the stage. It stays in the log when all else is folded.
func recorded(e room.Event) bool {
	switch e.Type {
	case room.EventCreated, room.EventStarted, room.EventEnded, room.EventEdited, room.EventLocked, room.EventUnlocked,
		room.EventSucceeded, room.EventReported, room.EventRefreshed, room.EventRotationStarted, room.EventRotationStopped,
		room.EventLinkOpened, room.EventLinkClosed:
		return true
	}
	return e.Ban || len(e.Users) > 0 || e.User != "" && e.By != "" && e.User != e.By
}

// Record returns events of a room's moderation record after a sequence number, in their order: some, and none after the
// last. Errors: ErrUnknownRoom, ErrUnavailable.
func (c *Control) Record(ctx context.Context, id rotunda.RoomID, after uint64) ([]room.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	if err := id.Valid(); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnknownRoom, err)
	}
	for range foldedMax {
		events, err := c.record(ctx, id, after)
		if errors.Is(err, eventlog.ErrPruned) {
			continue // folded just now
		}
		if err != nil && !errors.Is(err, ErrUnknownRoom) {
			err = translate(id, err)
		}
		return events, err
	}
	return nil, fmt.Errorf("room %s: folded faster than it is read: %w", id, ErrUnavailable)
}

func (c *Control) record(ctx context.Context, id rotunda.RoomID, after uint64) (out []room.Event, err error) {
	take := func(entry eventlog.Entry) error {
		e, err := c.decode(id, entry)
		if err == nil && e.Seq > after && recorded(e) {
			out = append(out, e)
		}
		return err
	}
	var at eventlog.Position
	for {
		segments, err := c.cfg.Log.Segments(ctx, id, at.Seq)
		if err != nil {
			return nil, err
		}
		if len(segments) == 0 {
			break
		}
		for _, s := range segments {
			for _, e := range s.Kept {
				if err := take(e); err != nil {
					return nil, err
				}
			}
			if at, err = s.End(id); err != nil {
				return nil, err
			}
		}
		if len(out) >= recordMax {
			return out, nil
		}
	}
	for {
		entries, end, err := c.cfg.Log.Read(ctx, id, at, eventlog.ReadMax)
		if err != nil {
			return nil, err
		}
		if end.Seq == 0 {
			return nil, fmt.Errorf("room %s: %w", id, ErrUnknownRoom)
		}
		for _, e := range entries {
			if err := take(e); err != nil {
				return nil, err
			}
			if at, err = at.Next(id, e); err != nil {
				return nil, err
			}
		}
		if len(out) >= recordMax || at.Seq >= end.Seq {
			return out, nil
		}
	}
}
