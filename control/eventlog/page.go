package eventlog

import (
	"fmt"

	"rotunda"
)

// Page makes the entries after a position, at most limit, of what a store has from that position's own record on, which lies
// between base, where the folded part ends, and end. It wraps ErrBroken where that contradicts what the caller knows, or itself.
func Page(room rotunda.RoomID, after Position, limit int, base, end Position, slots []Slot) ([]Entry, error) {
	broken := func(format string, args ...any) ([]Entry, error) {
		return nil, fmt.Errorf("room %s: %s: %w", room, fmt.Sprintf(format, args...), ErrBroken)
	}
	if after.Seq == base.Seq && after != base {
		return broken("entry %d is not the one that was there", after.Seq)
	}
	if after.Seq > base.Seq && len(slots) == 0 {
		return broken("entry %d is gone", after.Seq)
	}
	var entries []Entry
	at := after
	for _, s := range slots {
		if s.Seq == 0 || s.Unreadable {
			return broken("key %.100q is not in the format of this version", s.Key)
		}
		if s.Seq == after.Seq {
			if s.Entry.Hash(room) != after.Hash {
				return broken("entry %d is not the one that was there", s.Seq)
			}
			continue
		}
		next, err := at.Next(room, s.Entry)
		if err != nil {
			return nil, err
		}
		if len(entries) == limit {
			break // the last entry of the page is the one that this one follows
		}
		at, entries = next, append(entries, s.Entry)
	}
	if at.Seq > end.Seq || at.Seq == end.Seq && at != end || len(entries) < limit && at != end {
		return broken("the entries end at %v, the head says %v", at, end)
	}
	return entries, nil
}
