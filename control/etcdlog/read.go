package etcdlog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rotunda"
	"rotunda/control/eventlog"
)

// source is what holds the keys: an etcd, or the folder of one that does not run.
type source interface {
	// look reads several spans as they are at one revision.
	look(ctx context.Context, spans ...span) (rows [][]row, revision int64, err error)
}

// span is one key, or some keys of a range.
type span struct {
	from     string
	below    string // the end of the range, not included; empty: only the key from
	limit    int    // of a range
	last     bool   // the greatest keys of the range first
	keysOnly bool
}

type row struct {
	key     string
	value   []byte
	changed int64 // the revision in which the value was written
}

// reader is an eventlog.Reader over the keys. It checks everything that it returns.
type reader struct{ source source }

// Read implements eventlog.Reader.
func (r reader) Read(ctx context.Context, room rotunda.RoomID, after eventlog.Position, limit int) ([]eventlog.Entry, eventlog.Position, error) {
	p, err := r.read(ctx, room, after, limit)
	return p.entries, p.end, err
}

// page is what one read found.
type page struct {
	base     eventlog.Position // before the first entry that is not folded
	entries  []eventlog.Entry
	end      eventlog.Position // of the chain
	revision int64             // at which this was so
}

func (r reader) read(ctx context.Context, room rotunda.RoomID, after eventlog.Position, limit int) (page, error) {
	if err := room.Valid(); err != nil {
		return page{}, nil // there is no such room
	}
	limit = max(1, min(limit, eventlog.ReadMax))
	first := entryKey(room, max(after.Seq, 1)) // with the one that must be there, to see whether it still is
	rows, revision, err := r.source.look(ctx, span{from: headKey(room)}, span{from: baseKey(room)},
		span{from: first, below: end(entryPrefix(room)), limit: limit + 2}) // and the one after, which says what the last must be
	if err != nil {
		return page{}, fmt.Errorf("room %s: %w", room, err)
	}
	var p page
	if p.end, p.base, err = ends(room, rows[0], rows[1]); err != nil {
		return page{}, err
	}
	p.revision = revision
	switch {
	case p.end.Seq < after.Seq:
		return page{}, broken(room, "the log ends at %v, before %v", p.end, after)
	case after.Seq < p.base.Seq:
		return page{}, r.folded(ctx, room, after, p.base)
	}
	p.entries, err = eventlog.Page(room, after, limit, p.base, p.end, slots(room, rows[2]))
	return p, err
}

func broken(room rotunda.RoomID, format string, args ...any) error {
	return fmt.Errorf("room %s: %s: %w", room, fmt.Sprintf(format, args...), eventlog.ErrBroken)
}

// ends reads the values of a head and a base; a key that does not exist is the zero Position.
func ends(room rotunda.RoomID, head, base []row) (end, from eventlog.Position, err error) {
	for i, rows := range [][]row{head, base} {
		if len(rows) == 0 {
			continue
		}
		p, rest, err := cutPosition(rows[0].value)
		if err != nil || len(rest) > 0 {
			return end, from, broken(room, "key %.100q has %d bytes", rows[0].key, len(rows[0].value))
		}
		*[]*eventlog.Position{&end, &from}[i] = p
	}
	if from.Seq > end.Seq || from.Seq == end.Seq && from != end {
		return end, from, broken(room, "the log ends at %v and is folded up to %v", end, from)
	}
	return end, from, nil
}

// folded is the error of a read after a position that is before base: whether the chain has that position is in a segment.
func (r reader) folded(ctx context.Context, room rotunda.RoomID, after, base eventlog.Position) error {
	if after != (eventlog.Position{}) {
		rows, _, err := r.source.look(ctx, span{from: segmentPrefix(room), below: segmentKey(room, after.Seq+1), limit: 1, last: true})
		if err != nil {
			return fmt.Errorf("room %s: %w", room, err)
		}
		if len(rows[0]) == 0 {
			return broken(room, "what was folded before %d is gone", base.Seq)
		}
		s, err := segmentOf(room, rows[0][0])
		if err != nil {
			return err
		}
		if has, _ := s.Has(room, after); !has {
			return broken(room, "entry %d is not the one that was there", after.Seq)
		}
	}
	return fmt.Errorf("room %s: entries %d to %d: %w", room, after.Seq+1, base.Seq, eventlog.ErrPruned)
}

// slots are the records in rows.
func slots(room rotunda.RoomID, rows []row) []eventlog.Slot {
	out := make([]eventlog.Slot, len(rows))
	for i, r := range rows {
		s := eventlog.Slot{Key: r.key}
		s.Seq, _ = entrySeq(room, r.key) // else it is that of no record
		var err error
		s.Entry, err = decodeEntry(s.Seq, r.value)
		s.Unreadable = err != nil
		out[i] = s
	}
	return out
}

// Head implements eventlog.Reader.
func (r reader) Head(ctx context.Context, room rotunda.RoomID) (eventlog.Position, error) {
	if err := room.Valid(); err != nil {
		return eventlog.Position{}, nil // there is no such room
	}
	rows, _, err := r.source.look(ctx, span{from: headKey(room)})
	if err != nil {
		return eventlog.Position{}, fmt.Errorf("room %s: %w", room, err)
	}
	p, _, err := ends(room, rows[0], nil)
	return p, err
}

// Rooms implements eventlog.Reader. It finds rooms by any of the keys that each has once, so that one whose head is lost is
// not passed over.
func (r reader) Rooms(ctx context.Context, after rotunda.RoomID) ([]rotunda.RoomID, error) {
	prefixes := []string{headPrefix, summaryPrefix, basePrefix}
	var spans []span
	for _, prefix := range prefixes {
		spans = append(spans, span{from: prefix + string(after) + "\x00", below: end(prefix), limit: eventlog.RoomsMax, keysOnly: true})
	}
	rows, _, err := r.source.look(ctx, spans...)
	if err != nil {
		return nil, err
	}
	var found []rotunda.RoomID // each list has the first rooms, so their union begins with the first rooms of all
	for i, prefix := range prefixes {
		for _, row := range rows[i] {
			found = append(found, rotunda.RoomID(strings.TrimPrefix(row.key, prefix)))
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	return found[:min(len(found), eventlog.RoomsMax)], nil
}
