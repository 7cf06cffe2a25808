package control

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// directory is the newest known summary of every room of the mesh.
type directory struct {
	changed chan struct{} // capacity 1, one token for one change or several; never closed

	mu    sync.Mutex // guards the rest
	rooms map[rotunda.RoomID]Summary
	count map[room.Phase]int
}

// Rooms lists all rooms of the mesh by id, as far as this node knows: those that ended within the last week too. The summaries are the caller's to
// read, not to change.
func (c *Control) Rooms() []Summary {
	d := &c.directory
	d.mu.Lock()
	out := make([]Summary, 0, len(d.rooms))
	for _, s := range d.rooms {
		out = append(out, s)
	}
	d.mu.Unlock()
	slices.SortFunc(out, func(a, b Summary) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Room is the summary of one room of the mesh, as far as this node knows it; ok is false where Rooms would not list it. It is the
// caller's to read, not to change.
func (c *Control) Room(id rotunda.RoomID) (s Summary, ok bool) {
	d := &c.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok = d.rooms[id]
	return s, ok
}

// RoomsChanged has a token when Rooms may return something new since the last one was taken. It is for one consumer; the
// channel is always the same and never closed.
func (c *Control) RoomsChanged() <-chan struct{} { return c.directory.changed }

// keepDirectory watches the heads of all rooms.
func (c *Control) keepDirectory(ctx context.Context) error {
	for {
		err := c.cfg.Log.Watch(ctx, func(reset bool, heads []eventlog.Head) error {
			c.directory.take(c, reset, heads)
			return nil
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.cfg.Logger.Warn("directory of rooms: watching again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryWait):
		}
	}
}

// take makes heads part of the directory; with reset there are no other rooms.
func (d *directory) take(c *Control, reset bool, heads []eventlog.Head) {
	summaries := make([]Summary, 0, len(heads))
	var retired []rotunda.RoomID
	away := map[rotunda.RoomID]rotunda.Fence{}
	for _, h := range heads {
		if h.Retired {
			retired = append(retired, h.Room)
			continue
		}
		s, err := c.readSummary(h.Room, h.Summary)
		var outside *Outside
		if errors.As(err, &outside) {
			away[h.Room] = outside.Fence
			continue
		}
		if err != nil {
			c.cfg.Logger.Warn("room without a readable summary", "room", h.Room, "error", err)
		}
		s.ID, s.Seq = h.Room, h.Position.Seq
		summaries = append(summaries, s)
	}
	c.locks.setAway(reset, away, retired)
	d.mu.Lock()
	old := d.rooms
	if reset || d.rooms == nil {
		d.rooms, d.count = make(map[rotunda.RoomID]Summary, len(heads)), map[room.Phase]int{}
	}
	for _, s := range summaries {
		if known, ok := old[s.ID]; ok && known.Seq > s.Seq {
			s = known // this node has appended since
		}
		d.put(s)
	}
	for _, id := range retired {
		if before, ok := d.rooms[id]; ok {
			d.count[before.State]--
			delete(d.rooms, id)
		}
	}
	d.mu.Unlock()
	d.tell(c)
}

// note is for what this node has appended itself: its own directory has it at once.
func (d *directory) note(c *Control, s Summary) {
	d.mu.Lock()
	if d.rooms == nil || d.rooms[s.ID].Seq >= s.Seq {
		d.mu.Unlock()
		return // the watch has not begun, or was faster
	}
	d.put(s)
	d.mu.Unlock()
	d.tell(c)
}

// put replaces one summary. The caller holds d.mu.
func (d *directory) put(s Summary) {
	if before, ok := d.rooms[s.ID]; ok {
		d.count[before.State]--
	}
	d.count[s.State]++
	d.rooms[s.ID] = s
}

func (d *directory) tell(c *Control) {
	d.mu.Lock()
	for _, p := range []room.Phase{room.Scheduled, room.Live, room.Ended} {
		c.cfg.Metrics.Rooms.With(string(p)).Set(float64(d.count[p]))
	}
	d.mu.Unlock()
	select {
	case d.changed <- struct{}{}:
	default: // there is a token
	}
}
