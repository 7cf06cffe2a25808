package control

import (
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
