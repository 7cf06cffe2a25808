package etcdlog

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"rotunda"
	"rotunda/control/eventlog"
)

// Segments implements eventlog.Reader.
func (r reader) Segments(ctx context.Context, room rotunda.RoomID, from uint64) ([]eventlog.Segment, error) {
	if err := room.Valid(); err != nil {
		return nil, nil // there is no such room
	}
	rows, _, err := r.source.look(ctx, span{from: segmentKey(room, from), below: end(segmentPrefix(room)), limit: eventlog.SegmentsMax})
	if err != nil {
		return nil, fmt.Errorf("room %s: %w", room, err)
	}
	var out []eventlog.Segment
	for _, row := range rows[0] {
		s, err := segmentOf(room, row)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// segmentOf reads a segment from its key and value and checks it by itself.
func segmentOf(room rotunda.RoomID, r row) (eventlog.Segment, error) {
	seq, err := seqOf(segmentPrefix(room), r.key)
	if err != nil {
		return eventlog.Segment{}, broken(room, "%v", err)
	}
	s, err := decodeSegment(r.value)
	if err == nil && s.From.Seq != seq {
		err = fmt.Errorf("is one from %d", s.From.Seq)
	}
	if err != nil {
		return s, broken(room, "segment from %d: %v", seq, err)
	}
	_, err = s.End(room)
	return s, err
}

// Snapshots implements eventlog.Reader.
func (r reader) Snapshots(ctx context.Context, room rotunda.RoomID) ([]eventlog.Snapshot, error) {
	snapshots, _, err := r.snapshots(ctx, room)
	return snapshots, err
}

// snapshots also returns their rows. One that cannot be read is not sound.
func (r reader) snapshots(ctx context.Context, room rotunda.RoomID) (out []eventlog.Snapshot, rows []row, err error) {
	if err := room.Valid(); err != nil {
		return nil, nil, nil // there is no such room
	}
	found, _, err := r.source.look(ctx, span{from: snapshotPrefix(room), below: end(snapshotPrefix(room)), limit: eventlog.SnapshotsMax, last: true})
	if err != nil {
		return nil, nil, fmt.Errorf("room %s: %w", room, err)
	}
	for _, row := range found[0] {
		seq, err := seqOf(snapshotPrefix(room), row.key)
		if err != nil {
			return nil, nil, broken(room, "%v", err)
		}
		s, err := decodeSnapshot(row.value)
		if err != nil || s.At.Seq != seq {
			s = eventlog.Snapshot{At: eventlog.Position{Seq: seq}} // without a sum
		}
		out = append(out, s)
	}
	return out, found[0], nil
}

// PutSnapshot implements eventlog.Log.
func (l *Log) PutSnapshot(ctx context.Context, room rotunda.RoomID, s eventlog.Snapshot) error {
	if err := s.Check(); err != nil {
		return err
	}
	if _, _, err := l.Read(ctx, room, s.At, 1); err != nil && !errors.Is(err, eventlog.ErrPruned) {
		return err
	}
	if !s.Sound(room) {
		return broken(room, "snapshot at %v is not sound", s.At)
	}
	before, rows, err := l.snapshots(ctx, room)
	if err != nil {
		return err
	}
	same := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(snapshotKey(room, s.At.Seq)), "=", 0)}
	then := []clientv3.Op{clientv3.OpPut(snapshotKey(room, s.At.Seq), string(encodeSnapshot(s)))}
	kept := false
	for i, b := range before {
		if b.At.Seq >= s.At.Seq && b.Sound(room) {
			return nil
		}
		same = append(same, clientv3.Compare(clientv3.ModRevision(rows[i].key), "=", rows[i].changed))
		switch {
		case b.At.Seq == s.At.Seq: // damaged: put over it
			same = same[1:]
		case b.Sound(room) && !kept:
			kept = true
		default:
			then = append(then, clientv3.OpDelete(rows[i].key))
		}
	}
	if err := l.reachable(ctx); err != nil {
		return fmt.Errorf("room %s: %w", room, err)
	}
	if _, err := l.client.Txn(clientv3.WithRequireLeader(ctx)).If(same...).Then(then...).Commit(); err != nil {
		return fmt.Errorf("room %s: snapshot: %w", room, appendError(err))
	}
	return nil // or somebody else was faster, with another one
}

// Prune implements eventlog.Log.
func (l *Log) Prune(ctx context.Context, room rotunda.RoomID, keep func(eventlog.Entry) bool) error {
	snapshots, err := l.Snapshots(ctx, room)
	if err != nil || len(snapshots) < eventlog.SnapshotsMax {
		return err
	}
	for _, s := range snapshots {
		if !s.Sound(room) {
			return nil // the entries may be needed
		}
	}
	to := snapshots[len(snapshots)-1].At
	for {
		rows, _, err := l.look(ctx, span{from: headKey(room)}, span{from: baseKey(room)})
		if err != nil {
			return fmt.Errorf("room %s: %w", room, err)
		}
		_, base, err := ends(room, rows[0], rows[1])
		if err != nil || base.Seq >= to.Seq {
			return err
		}
		if err := l.fold(ctx, room, base, to, keep); err != nil {
			return err
		}
	}
}

// fold makes one segment of entries between base and to.
func (l *Log) fold(ctx context.Context, room rotunda.RoomID, base, to eventlog.Position, keep func(eventlog.Entry) bool) error {
	entries, _, err := l.Read(ctx, room, base, int(min(to.Seq-base.Seq, eventlog.ReadMax)))
	if errors.Is(err, eventlog.ErrPruned) {
		return nil // somebody else is at it
	}
	if err != nil {
		return err
	}
	s, after, err := eventlog.Fold(room, base, entries, keep)
	if err != nil {
		return err
	}
	if after.Seq == to.Seq && after != to {
		return broken(room, "the snapshot at %v is not of this chain, which has %v", to, after)
	}
	isBase := clientv3.Compare(clientv3.Value(baseKey(room)), "=", string(appendPosition(nil, base)))
	if base == (eventlog.Position{}) {
		isBase = clientv3.Compare(clientv3.CreateRevision(baseKey(room)), "=", 0)
	}
	if err := l.reachable(ctx); err != nil {
		return fmt.Errorf("room %s: %w", room, err)
	}
	_, err = l.client.Txn(clientv3.WithRequireLeader(ctx)).If(isBase).Then(
		clientv3.OpPut(baseKey(room), string(appendPosition(nil, after))),
		clientv3.OpPut(segmentKey(room, base.Seq), string(encodeSegment(s))),
		clientv3.OpDelete(entryKey(room, base.Seq+1), clientv3.WithRange(entryKey(room, after.Seq+1))),
	).Commit()
	if err != nil {
		return fmt.Errorf("room %s: folding: %w", room, appendError(err))
	}
	return nil
}

// Retire implements eventlog.Log.
func (l *Log) Retire(ctx context.Context, room rotunda.RoomID, at eventlog.Position) error {
	if err := l.reachable(ctx); err != nil {
		return fmt.Errorf("room %s: %w", room, err)
	}
	resp, err := l.client.Txn(clientv3.WithRequireLeader(ctx)).
		If(clientv3.Compare(clientv3.Value(headKey(room)), "=", string(appendPosition(nil, at)))).
		Then(clientv3.OpDelete(summaryKey(room))).Commit()
	if err != nil {
		return fmt.Errorf("room %s: %w", room, appendError(err))
	}
	if !resp.Succeeded {
		return fmt.Errorf("room %s: not at %v: %w", room, at, eventlog.ErrConflict)
	}
	return nil
}
