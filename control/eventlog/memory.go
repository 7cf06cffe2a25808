package eventlog

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"rotunda"
)

// Memory is a Log in memory, for tests: no disk, no clock, usable in virtual time, and it can be damaged. The zero Memory is
// empty and ready.
type Memory struct {
	mu      sync.Mutex // guards the rest
	rooms   map[rotunda.RoomID]*chain
	changed chan struct{} // closed and replaced with every append; nil: nobody waits
}

type chain struct {
	base      Position // before the first of slots
	slots     []Slot   // ascending by key; replaced, never changed
	head      Head
	retired   bool
	segments  []Segment  // up to base
	snapshots []Snapshot // the latest first
}

// Append implements Log.
func (m *Memory) Append(ctx context.Context, room rotunda.RoomID, b Batch) (Position, error) {
	if err := ctx.Err(); err != nil {
		return Position{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if err := b.Check(); err != nil {
		return Position{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.rooms[room]
	if c == nil {
		c = &chain{head: Head{Room: room}}
	}
	if c.head.Position != b.After {
		return Position{}, fmt.Errorf("room %s: after %v, the log is at %v: %w", room, b.After, c.head.Position, ErrConflict)
	}
	if _, taken := c.slot(b.After.Seq + 1); taken {
		return Position{}, fmt.Errorf("room %s: there is an entry after %v: %w", room, b.After, ErrConflict)
	}
	entries, end := b.Entries(room)
	slots := slices.Clone(c.slots)
	for _, e := range entries {
		e.Data = slices.Clone(e.Data)
		slots = append(slots, slotOf(e))
	}
	c.setSlots(slots)
	c.head, c.retired = Head{Room: room, Position: end, Summary: slices.Clone(b.Summary)}, false
	if m.rooms == nil {
		m.rooms = map[rotunda.RoomID]*chain{}
	}
	m.rooms[room] = c
	m.tell()
	return end, nil
}

// tell wakes whoever waits for a change. The caller holds m.mu.
func (m *Memory) tell() {
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// Read implements Log.
func (m *Memory) Read(ctx context.Context, room rotunda.RoomID, after Position, limit int) ([]Entry, Position, error) {
	if err := ctx.Err(); err != nil {
		return nil, Position{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	entries, end, _, err := m.after(room, after, max(1, min(limit, ReadMax)))
	if err != nil {
		return nil, Position{}, err
	}
	return entries, end, nil
}

// after returns the entries after a position, at most limit, and a channel that is closed when there may be more.
func (m *Memory) after(room rotunda.RoomID, after Position, limit int) (entries []Entry, end Position, more <-chan struct{}, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	c := m.rooms[room]
	if c == nil {
		c = &chain{}
	}
	if after.Seq > c.head.Position.Seq {
		return nil, end, nil, fmt.Errorf("room %s: the log ends at %v, before %v: %w", room, c.head.Position, after, ErrBroken)
	}
	if after.Seq < c.base.Seq {
		if after.Seq > 0 && !c.has(room, after) {
			return nil, end, nil, fmt.Errorf("room %s: entry %d is not the one that was there: %w", room, after.Seq, ErrBroken)
		}
		return nil, end, nil, fmt.Errorf("room %s: entries %d to %d: %w", room, after.Seq+1, c.base.Seq, ErrPruned)
	}
	first := slices.IndexFunc(c.slots, func(s Slot) bool { return s.Key >= slotKey(max(after.Seq, 1)) })
	if first < 0 {
		first = len(c.slots)
	}
	entries, err = Page(room, after, limit, c.base, c.head.Position, c.slots[first:min(len(c.slots), first+limit+2)])
	return entries, c.head.Position, m.changed, err
}

// has reports whether p is a position of the folded part.
func (c *chain) has(room rotunda.RoomID, p Position) bool {
	for _, s := range c.segments {
		if has, covered := s.Has(room, p); covered {
			return has
		}
	}
	return p == Position{}
}

// slotKey orders slots by their numbers.
func slotKey(seq uint64) string { return fmt.Sprintf("%016x", seq) }

func slotOf(e Entry) Slot { return Slot{Key: slotKey(e.Seq), Seq: e.Seq, Entry: e} }

// slot returns what is under a number.
func (c *chain) slot(seq uint64) (Slot, bool) {
	i, ok := slices.BinarySearchFunc(c.slots, slotKey(seq), func(s Slot, key string) int { return cmp.Compare(s.Key, key) })
	if !ok {
		return Slot{}, false
	}
	return c.slots[i], true
}

// setSlots puts them in order.
func (c *chain) setSlots(slots []Slot) {
	slices.SortFunc(slots, func(a, b Slot) int { return cmp.Compare(a.Key, b.Key) })
	c.slots = slots
}

// Follow implements Log.
func (m *Memory) Follow(ctx context.Context, room rotunda.RoomID, after Position, fn func(Entry) error) error {
	for {
		entries, end, more, err := m.after(room, after, ReadMax)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if after, err = after.Next(room, e); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := fn(e); err != nil {
				return err
			}
		}
		if after.Seq < end.Seq {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
}

// Watch implements Log.
func (m *Memory) Watch(ctx context.Context, fn func(reset bool, heads []Head) error) error {
	seen := map[rotunda.RoomID]Position{}
	for reset := true; ; reset = false {
		heads, more := m.heads(seen)
		if reset || len(heads) > 0 {
			if err := fn(reset, heads); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
}

// heads returns the heads that are not as in seen, by room, and brings seen up to date.
func (m *Memory) heads(seen map[rotunda.RoomID]Position) ([]Head, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Head
	for _, room := range slices.Sorted(maps.Keys(m.rooms)) {
		c := m.rooms[room]
		before, known := seen[room]
		switch {
		case c.retired && known:
			delete(seen, room)
			out = append(out, Head{Room: room, Retired: true})
		case !c.retired && before != c.head.Position:
			seen[room] = c.head.Position
			out = append(out, c.head)
		}
	}
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return out, m.changed
}

// Ping implements Log.
func (m *Memory) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}
