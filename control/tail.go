package control

import (
	"context"
	"fmt"
	"slices"

	"rotunda/control/eventlog"
)

// Bounds of a node's own copy of a room's latest entries.
const (
	copyMax      = 2 * snapshotEvery
	copyBytesMax = 1 << 20
)

// tail is the end of a room's chain: what a node can put back where the log has lost it, and where it looks whether a
// command has been carried out before. The zero tail is empty.
type tail struct {
	from    eventlog.Position // before the first
	entries []eventlog.Entry  // never changed, only appended to and cut
	bytes   int
	odd     bool // among those that were cut off is one that is not understood

	plain func(eventlog.Entry) (eventlog.Entry, error) // of a fenced room; nil: the entries are
}

// add takes the entry that follows at.
func (t *tail) add(at eventlog.Position, e eventlog.Entry) {
	if len(t.entries) == 0 {
		t.from = at
	}
	t.entries = append(t.entries, e)
	t.bytes += len(e.Data)
	for len(t.entries) > copyMax || t.bytes > copyBytesMax && len(t.entries) > 1 {
		t.bytes -= len(t.entries[0].Data)
		t.odd = t.odd || !t.knows(t.entries[0])
		t.from = eventlog.Position{Seq: t.entries[0].Seq, Hash: t.entries[1].Prev}
		t.entries = t.entries[1:]
	}
}

// understood reports whether this version knows all that the entries say, those that were cut off included.
func (t *tail) understood() bool {
	return !t.odd && !slices.ContainsFunc(t.entries, func(e eventlog.Entry) bool { return !t.knows(e) })
}

func (t *tail) knows(e eventlog.Entry) bool {
	if t.plain == nil {
		return understood(e)
	}
	e, err := t.plain(e)
	return err == nil && understood(e)
}

// has reports whether an entry has that id.
func (t *tail) has(id string) bool {
	return slices.ContainsFunc(t.entries, func(e eventlog.Entry) bool { return e.ID == id })
}

// after returns the entries after a position, where it is one of the tail.
func (t *tail) after(p eventlog.Position) ([]eventlog.Entry, bool) {
	for i, e := range t.entries {
		if e.Seq == p.Seq+1 && e.Prev == p.Hash {
			return t.entries[i:], true
		}
	}
	return nil, false
}

// meetBroken is what a follower does about a log that does not continue what this node has seen: nothing of it is believed
// and the last state stands. Where the log has merely lost its end, and this node has what is missing, it is put back. It
// returns nil where that was done.
//
// What is not mended: a log that goes on differently from where it was cut off (two histories: somebody has to choose), a log
// that has lost more than this node's copy, and entries in the middle that were changed or are gone.
func (c *Control) meetBroken(ctx context.Context, f *follower, found error) error {
	_, at := f.current()
	c.cfg.Logger.Error("room's log is broken: keeping the last state", "room", f.id, "seq", at.Seq, "hash", at.Hash, "error", found)
	n, err := c.mend(ctx, f)
	if err != nil {
		c.cfg.Logger.Error("room's log is not mended", "room", f.id, "error", err)
		return found
	}
	c.cfg.Logger.Warn("room's log had lost its end: put back from this node's copy", "room", f.id, "entries", n)
	return nil
}

// mend appends what the log has lost and this node has, and returns how much. It is an ordinary append after the place where
// the log ends: if anybody was faster, with the same or with something else, nothing happens.
func (c *Control) mend(ctx context.Context, f *follower) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	head, err := c.cfg.Log.Head(ctx, f.id)
	if err != nil {
		return 0, err
	}
	f.mu.Lock()
	missing, ok := f.copy.after(head)
	f.mu.Unlock()
	if !ok {
		return 0, fmt.Errorf("the log ends at %v, which is not in this node's copy", head)
	}
	if entries, _, err := c.cfg.Log.Read(ctx, f.id, head, 1); err != nil || len(entries) > 0 {
		return 0, fmt.Errorf("the log is not whole up to its end at %v: %w", head, err)
	}
	s, _ := f.current()
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
