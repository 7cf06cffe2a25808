package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/fence"
	"rotunda/control/room"
)

// locksMax is how many rooms' locks are kept beyond those of rooms that are in the directory or followed.
const locksMax = 1024

// locks are what this node knows of fenced rooms: how to open them, or that they are none of its business.
type locks struct {
	mu     sync.Mutex // guards what follows
	inside map[rotunda.RoomID]*fence.Lock
	made   map[rotunda.RoomID]bool          // of those inside: by this node, and not met in the log yet
	away   map[rotunda.RoomID]rotunda.Fence // in the directory, and not for this node
}

func newLocks() *locks {
	return &locks{
		inside: map[rotunda.RoomID]*fence.Lock{}, made: map[rotunda.RoomID]bool{}, away: map[rotunda.RoomID]rotunda.Fence{},
	}
}

// Outside is the error of who asks for a room whose fence this node stands outside of, or cannot read for want of its
// region's key.
type Outside = fence.Outside

// ErrNoFence: this node has no key of its region, so it makes no fenced rooms.
var ErrNoFence = fence.ErrNoKey

// Fence returns a room's fence as far as this node knows; known is false where it does not know whether there is one.
func (c *Control) Fence(id rotunda.RoomID) (f rotunda.Fence, known bool) {
	if !id.Fenced() {
		return nil, true
	}
	c.locks.mu.Lock()
	defer c.locks.mu.Unlock()
	if l := c.locks.inside[id]; l != nil {
		return l.Fence(), true
	}
	f, known = c.locks.away[id]
	return f, known
}

// Regions lists the regions that a room may be kept in: those that ever had a node with a key. It costs a read of the log. Errors:
// ErrNoFence, ErrUnavailable.
func (c *Control) Regions(ctx context.Context) ([]rotunda.Region, error) {
	ctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	regions, err := c.cfg.Fence.Regions(ctx)
	if errors.Is(err, ErrNoFence) {
		return nil, err
	}
	if err != nil {
		return nil, translate("", err)
	}
	return regions, nil
}

// Enter reports whether this node may have to do with a room: nil, or *Outside. It says nothing about whether there is one.
// For a room of which it knows nothing yet it reads the log.
func (c *Control) Enter(ctx context.Context, id rotunda.RoomID) error {
	if !id.Fenced() {
		return nil
	}
	c.locks.mu.Lock()
	inside, away := c.locks.inside[id], c.locks.away[id]
	c.locks.mu.Unlock()
	switch {
	case inside != nil:
		return nil
	case away != nil:
		return &Outside{Fence: away}
	}
	_, err := c.Get(ctx, id)
	var outside *Outside
	if errors.As(err, &outside) {
		return outside
	}
	return nil
}

// make makes the lock of a new room.
func (l *locks) make(ctx context.Context, ring *fence.Ring, id rotunda.RoomID, f rotunda.Fence, region rotunda.Region) error {
	if ring == nil {
		return fence.ErrNoKey
	}
	if !f.Holds(region) {
		return fmt.Errorf("regions: %w: this node stands in %s, which is not among them", room.ErrInvalid, region)
	}
	l.mu.Lock()
	before := l.inside[id]
	l.mu.Unlock()
	if before != nil { // of an attempt under the same key
		return nil
	}
	made, err := ring.Make(ctx, id, f)
	switch {
	case errors.Is(err, rotunda.ErrBadID), errors.Is(err, fence.ErrUnknownRegion):
		return fmt.Errorf("regions: %w: %v", room.ErrInvalid, err)
	case err != nil:
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inside[id], l.made[id] = made, true
	return nil
}

// kept says that a room that this node has made is in the log, and its lock with it.
func (l *locks) kept(id rotunda.RoomID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.made, id)
}

// lock returns a room's lock. Where it is not known, the envelope has to have a header. A lock that was met in the log is the
// room's for ever: public keys being public, a node outside could else write one of its own making, for a fence of its own
// liking, and have those inside seal with it. The error is *Outside, or wraps eventlog.ErrBroken.
func (c *Control) lock(id rotunda.RoomID, envelope []byte) (*fence.Lock, error) {
	if known, err := c.locks.known(id, envelope); known != nil || err != nil {
		return known, err
	}
	c.locks.mu.Lock()
	known, away := c.locks.inside[id], c.locks.away[id]
	c.locks.mu.Unlock()
	if known == nil && away != nil {
		return nil, &Outside{Fence: away}
	}
	found, err := c.cfg.Fence.Lock(id, envelope)
	var outside *Outside
	if errors.As(err, &outside) {
		return nil, outside
	}
	if err != nil {
		return nil, fmt.Errorf("room %s: %w: %w", id, err, eventlog.ErrBroken)
	}
	c.locks.mu.Lock()
	defer c.locks.mu.Unlock()
	switch now := c.locks.inside[id]; {
	case now == known:
		c.locks.inside[id] = found
		delete(c.locks.made, id)
	case now != nil && !now.Same(envelope): // another call was faster, with another envelope
		return nil, errOtherLock(id)
	}
	return found, nil
}

func errOtherLock(id rotunda.RoomID) error {
	return fmt.Errorf("room %s: another lock than before: %w", id, eventlog.ErrBroken)
}

// known returns the lock of a room that this node has, if it is the envelope's; nil where it has none, or one that it has made
// in vain, because another node was faster to make the room. The error wraps eventlog.ErrBroken.
func (l *locks) known(id rotunda.RoomID, envelope []byte) (*fence.Lock, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.inside[id]
	if k == nil {
		return nil, nil
	}
	_, header := fence.Regions(envelope)
	switch {
	case !header:
		return k, nil
	case k.Same(envelope):
		delete(l.made, id)
		return k, nil
	case l.made[id]:
		return nil, nil
	}
	return nil, errOtherLock(id)
}

// unseal returns the content of what the log, or another node, has of a room: as it is where the room has no fence.
func (c *Control) unseal(id rotunda.RoomID, k fence.Kind, place uint64, data []byte) ([]byte, error) {
	if !id.Fenced() {
		return data, nil
	}
	l, err := c.lock(id, data)
	if err != nil {
		return nil, err
	}
	content, err := l.Open(k, place, data)
	if err != nil {
		return nil, fmt.Errorf("room %s at %d: %w: %w", id, place, err, eventlog.ErrBroken)
	}
	return content, nil
}

// seal is the reverse of unseal. The room's lock must be known: whoever has its state has it.
func (c *Control) seal(id rotunda.RoomID, k fence.Kind, place uint64, content []byte) ([]byte, error) {
	if !id.Fenced() {
		return content, nil
	}
	c.locks.mu.Lock()
	l := c.locks.inside[id]
	c.locks.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("room %s: %w", id, fence.ErrNoKey)
	}
	withHeader := k == fence.Snapshot || k == fence.Summary || k == fence.Event && place == 1
	return l.Seal(k, place, content, withHeader), nil
}

// plain is an entry with its content in place of its envelope. It is for reading: its hash is another one.
func (c *Control) plain(id rotunda.RoomID, e eventlog.Entry) (eventlog.Entry, error) {
	data, err := c.unseal(id, fence.Event, e.Seq, e.Data)
	e.Data = data
	return e, err
}

// decode reads an event of a room's log.
func (c *Control) decode(id rotunda.RoomID, e eventlog.Entry) (room.Event, error) {
	e, err := c.plain(id, e)
	if err != nil {
		return room.Event{}, err
	}
	return decode(e), nil
}

// recordOf makes a record of an event.
func (c *Control) recordOf(id rotunda.RoomID, e room.Event) (eventlog.Record, error) {
	data, err := json.Marshal(e)
	if err == nil {
		data, err = c.seal(id, fence.Event, e.Seq, data)
	}
	if err != nil {
		return eventlog.Record{}, fmt.Errorf("room %s: event %s: %w", id, e.ID, err)
	}
	return eventlog.Record{ID: e.ID, Data: data}, nil
}

// summary is what the directory keeps of a room.
func (c *Control) summary(s *room.State) ([]byte, error) {
	b, err := json.Marshal(s.Summary())
	if err != nil {
		return nil, err
	}
	return c.seal(s.ID, fence.Summary, 0, b)
}

// readSummary is the reverse of summary.
func (c *Control) readSummary(id rotunda.RoomID, b []byte) (s Summary, err error) {
	if b, err = c.unseal(id, fence.Summary, 0, b); err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

// setAway remembers which rooms of the directory are none of this node's; with reset there are no others.
func (l *locks) setAway(reset bool, away map[rotunda.RoomID]rotunda.Fence, retired []rotunda.RoomID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reset {
		clear(l.away)
	}
	maps.Copy(l.away, away)
	for _, id := range retired {
		delete(l.away, id)
	}
}

// tidy forgets locks that nobody needs, where there are many. Whoever opens such a room finds its lock in the log again.
func (l *locks) tidy(needed func(rotunda.RoomID) bool) {
	l.mu.Lock()
	ids := slices.Collect(maps.Keys(l.inside))
	l.mu.Unlock()
	if len(ids) <= locksMax {
		return
	}
	ids = slices.DeleteFunc(ids, needed)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids[:max(0, len(ids)-locksMax)] {
		delete(l.inside, id)
		delete(l.made, id)
	}
}

// needsLock reports whether a room is in the directory or followed.
func (c *Control) needsLock(id rotunda.RoomID) bool {
	c.mu.Lock()
	_, followed := c.rooms[id]
	c.mu.Unlock()
	c.directory.mu.Lock()
	defer c.directory.mu.Unlock()
	_, listed := c.directory.rooms[id]
	return followed || listed
}
