package etcdlog

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"rotunda"
	"rotunda/control/eventlog"
)

const (
	// mendMax is how many entries that are not folded a room may have to be compared with a copy, and how many segments: more
	// than there are of any that folding works for.
	mendMax = 20_000
	// mendOps and mendBytes bound one transaction: etcd takes 128 operations and 1.5 MiB.
	mendOps   = 50
	mendBytes = 1 << 20
)

// Mend implements eventlog.Log.
func (l *Log) Mend(ctx context.Context, room rotunda.RoomID, from eventlog.Copy, keep func(eventlog.Entry) bool) (eventlog.Repair, error) {
	if err := room.Valid(); err != nil {
		return eventlog.Repair{}, nil // there is no such room
	}
	stored, changed, err := l.stored(ctx, room)
	if err != nil {
		return eventlog.Repair{}, err
	}
	r, err := stored.Mend(room, from, keep)
	if err != nil || len(r.Names()) == 0 {
		return r, err
	}
	if err := l.reachable(ctx); err != nil {
		return eventlog.Repair{}, fmt.Errorf("room %s: %w", room, err)
	}
	// Head and base come last: until then a transaction that fails has taken nothing away.
	var all []change
	put := func(key string, value []byte) {
		all = append(all, change{key, clientv3.OpPut(key, string(value)), len(value)})
	}
	for _, s := range r.Segments {
		put(segmentKey(room, s.From.Seq), encodeSegment(s))
	}
	for _, e := range r.Put {
		put(entryKey(room, e.Seq), encodeEntry(e))
	}
	for _, s := range r.Drop {
		all = append(all, change{s.Key, clientv3.OpDelete(s.Key), 0})
	}
	if r.Base != nil {
		put(baseKey(room), appendPosition(nil, *r.Base))
	}
	if r.Head != nil {
		put(headKey(room), appendPosition(nil, *r.Head))
	}
	return r, l.change(ctx, room, all, changed)
}

// stored is all that there is of a room but its snapshots, and the revisions in which the keys were written.
func (l *Log) stored(ctx context.Context, room rotunda.RoomID) (s eventlog.Stored, changed map[string]int64, err error) {
	rows, _, err := l.look(ctx, span{from: headKey(room)}, span{from: baseKey(room)},
		span{from: entryPrefix(room), below: end(entryPrefix(room)), limit: mendMax},
		span{from: segmentPrefix(room), below: end(segmentPrefix(room)), limit: mendMax})
	if err != nil {
		return s, nil, fmt.Errorf("room %s: %w", room, err)
	}
	if len(rows[2]) == mendMax || len(rows[3]) == mendMax {
		return s, nil, broken(room, "%d entries that are not folded, %d segments: too many to look at", len(rows[2]), len(rows[3]))
	}
	changed = map[string]int64{}
	for _, some := range rows {
		for _, r := range some {
			changed[r.key] = r.changed
		}
	}
	s.Head, s.Base = mark(rows[0]), mark(rows[1])
	s.Entries = slots(room, rows[2])
	for _, r := range rows[3] {
		f := eventlog.FoldedSlot{Key: r.key}
		seq, err := seqOf(segmentPrefix(room), r.key)
		f.Seq, f.Unreadable = seq, err != nil
		if f.Segment, err = decodeSegment(r.value); err != nil {
			f.Unreadable = true
		}
		s.Segments = append(s.Segments, f)
	}
	return s, changed, nil
}

// mark reads the value of a head or a base.
func mark(rows []row) (m eventlog.Mark) {
	if len(rows) == 0 {
		return m
	}
	p, rest, err := cutPosition(rows[0].value)
	if err != nil || len(rest) > 0 {
		return eventlog.Mark{Unreadable: true}
	}
	return eventlog.Mark{Position: p}
}

// change is what is to be done to a key.
type change struct {
	key  string
	op   clientv3.Op
	size int
}

// change makes changes, in as few transactions as etcd takes, each where its keys, and the room's head and base, were last
// written in the revisions that before says; a key that it does not know must not be there.
func (l *Log) change(ctx context.Context, room rotunda.RoomID, all []change, before map[string]int64) error {
	for len(all) > 0 {
		keys := []string{headKey(room), baseKey(room)}
		var ops []clientv3.Op
		for size := 0; len(ops) < min(len(all), mendOps); {
			c := all[len(ops)]
			if size += c.size; size > mendBytes && len(ops) > 0 {
				break
			}
			keys, ops = append(keys, c.key), append(ops, c.op)
		}
		var same []clientv3.Cmp
		for _, key := range keys {
			same = append(same, clientv3.Compare(clientv3.ModRevision(key), "=", before[key]))
		}
		resp, err := l.client.Txn(clientv3.WithRequireLeader(ctx)).If(same...).Then(ops...).Commit()
		if err != nil {
			return fmt.Errorf("room %s: mending: %w", room, appendError(err))
		}
		if !resp.Succeeded {
			return fmt.Errorf("room %s: changed while it was mended: %w", room, eventlog.ErrConflict)
		}
		all = all[len(ops):]
	}
	return nil
}
