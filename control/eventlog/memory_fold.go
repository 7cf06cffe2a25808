package eventlog

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"rotunda"
)

// look calls fn with a room's chain, nil where there is none.
func (m *Memory) look(ctx context.Context, room rotunda.RoomID, fn func(*chain) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return fn(m.rooms[room])
}

// Rooms implements Reader.
func (m *Memory) Rooms(ctx context.Context, after rotunda.RoomID) (out []rotunda.RoomID, err error) {
	err = m.look(ctx, "", func(*chain) error {
		for _, room := range slices.Sorted(maps.Keys(m.rooms)) {
			if room > after && len(out) < RoomsMax {
				out = append(out, room)
			}
		}
		return nil
	})
	return out, err
}

// Head implements Reader.
func (m *Memory) Head(ctx context.Context, room rotunda.RoomID) (p Position, err error) {
	err = m.look(ctx, room, func(c *chain) error {
		if c != nil {
			p = c.head.Position
		}
		return nil
	})
	return p, err
}

// Segments implements Reader.
func (m *Memory) Segments(ctx context.Context, room rotunda.RoomID, from uint64) (out []Segment, err error) {
	err = m.look(ctx, room, func(c *chain) error {
		if c == nil {
			return nil
		}
		for _, s := range c.segments {
			if s.From.Seq >= from && len(out) < SegmentsMax {
				if _, err := s.End(room); err != nil {
					return err
				}
				out = append(out, s)
			}
		}
		return nil
	})
	return out, err
}

// Snapshots implements Reader.
func (m *Memory) Snapshots(ctx context.Context, room rotunda.RoomID) (out []Snapshot, err error) {
	err = m.look(ctx, room, func(c *chain) error {
		if c != nil {
			out = slices.Clone(c.snapshots)
		}
		return nil
	})
	return out, err
}

// PutSnapshot implements Log.
func (m *Memory) PutSnapshot(ctx context.Context, room rotunda.RoomID, s Snapshot) error {
	if err := s.Check(); err != nil {
		return err
	}
	return m.look(ctx, room, func(c *chain) error {
		if c == nil || !c.has(room, s.At) || !s.Sound(room) {
			return fmt.Errorf("room %s: snapshot at %v, not of this chain: %w", room, s.At, ErrBroken)
		}
		if len(c.snapshots) > 0 && c.snapshots[0].At.Seq >= s.At.Seq {
			return nil
		}
		s.Data = slices.Clone(s.Data)
		c.snapshots = append([]Snapshot{s}, c.snapshots...)
		c.snapshots = c.snapshots[:min(len(c.snapshots), SnapshotsMax)]
		return nil
	})
}

// Prune implements Log.
func (m *Memory) Prune(ctx context.Context, room rotunda.RoomID, keep func(Entry) bool) error {
	return m.look(ctx, room, func(c *chain) error {
		if c == nil || len(c.snapshots) < SnapshotsMax {
			return nil
		}
		for to := c.snapshots[SnapshotsMax-1].At.Seq; c.base.Seq < to; {
			n := min(to-c.base.Seq, ReadMax)
			s, end, err := Fold(room, c.base, c.entries[:n], keep)
			if err != nil {
				return err
			}
			c.entries = c.entries[len(s.Digests):]
			c.base, c.segments = end, append(c.segments, s)
		}
		return nil
	})
}

// Retire implements Log.
func (m *Memory) Retire(ctx context.Context, room rotunda.RoomID, end Position) error {
	return m.look(ctx, room, func(c *chain) error {
		if c == nil || c.head.Position != end {
			return fmt.Errorf("room %s: not at %v: %w", room, end, ErrConflict)
		}
		if !c.retired {
			c.retired = true
			m.tell()
		}
		return nil
	})
}
