package eventlog

import (
	"cmp"
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
		if c == nil || !c.reaches(room, s.At) || !s.Sound(room) {
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
			n := int(min(to-c.base.Seq, ReadMax))
			entries, err := Page(room, c.base, n, c.base, c.head.Position, c.slots[:min(len(c.slots), n+2)])
			if err != nil {
				return err
			}
			s, end, err := Fold(room, c.base, entries, keep)
			if err != nil {
				return err
			}
			c.slots = c.slots[len(s.Digests):]
			c.base, c.segments = end, append(c.segments, s)
		}
		return nil
	})
}

// reaches reports whether p is a position of the chain.
func (c *chain) reaches(room rotunda.RoomID, p Position) bool {
	switch {
	case p.Seq == c.base.Seq:
		return p == c.base
	case p.Seq < c.base.Seq:
		return c.has(room, p)
	}
	s, there := c.slot(p.Seq)
	return there && p.Seq <= c.head.Position.Seq && s.Entry.Hash(room) == p.Hash
}

// stored is what the chain has.
func (c *chain) stored() Stored {
	s := Stored{Head: Mark{Position: c.head.Position}, Base: Mark{Position: c.base}, Entries: slices.Clone(c.slots)}
	for _, g := range c.segments {
		s.Segments = append(s.Segments, FoldedSlot{Key: slotKey(g.From.Seq), Seq: g.From.Seq, Segment: g})
	}
	return s
}

// Damage changes what is stored of a room. Keys follow from numbers.
func (m *Memory) Damage(room rotunda.RoomID, change func(*Stored)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.rooms[room]
	s := c.stored()
	change(&s)
	c.head.Position, c.base = s.Head.Position, s.Base.Position
	for i := range s.Entries {
		s.Entries[i].Key = slotKey(s.Entries[i].Seq)
	}
	c.setSlots(s.Entries)
	c.segments = nil
	for _, g := range s.Segments {
		c.segments = append(c.segments, g.Segment)
	}
	m.tell()
}

// Mend implements Log.
func (m *Memory) Mend(ctx context.Context, room rotunda.RoomID, from Copy, keep func(Entry) bool) (r Repair, err error) {
	err = m.look(ctx, room, func(c *chain) error {
		if c == nil {
			return nil
		}
		if r, err = c.stored().Mend(room, from, keep); err != nil || len(r.Names()) == 0 {
			return err
		}
		slots := slices.DeleteFunc(slices.Clone(c.slots), func(s Slot) bool {
			return slices.ContainsFunc(r.Drop, func(d Slot) bool { return d.Key == s.Key }) ||
				slices.ContainsFunc(r.Put, func(e Entry) bool { return e.Seq == s.Seq })
		})
		for _, e := range r.Put {
			slots = append(slots, slotOf(e))
		}
		c.setSlots(slots)
		for _, s := range r.Segments {
			c.segments = slices.DeleteFunc(c.segments, func(g Segment) bool { return g.From.Seq == s.From.Seq })
			c.segments = append(c.segments, s)
		}
		slices.SortFunc(c.segments, func(a, b Segment) int { return cmp.Compare(a.From.Seq, b.From.Seq) })
		if r.Base != nil {
			c.base = *r.Base
		}
		if r.Head != nil {
			c.head.Position = *r.Head
		}
		m.tell()
		return nil
	})
	return r, err
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
