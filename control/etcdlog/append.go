package etcdlog

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"rotunda"
	"rotunda/control/eventlog"
)

// Append implements eventlog.Log.
func (l *Log) Append(ctx context.Context, room rotunda.RoomID, b eventlog.Batch) (eventlog.Position, error) {
	if err := b.Check(); err != nil {
		return eventlog.Position{}, err
	}
	if err := room.Valid(); err != nil {
		return eventlog.Position{}, fmt.Errorf("%w: %w", eventlog.ErrTooLarge, err)
	}
	if err := ctx.Err(); err != nil {
		return eventlog.Position{}, fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
	}
	if err := l.reachable(ctx); err != nil {
		return eventlog.Position{}, fmt.Errorf("room %s: %w", room, err)
	}
	entries, end := b.Entries(room)
	puts := make([]clientv3.Op, 0, len(entries)+2)
	for _, e := range entries {
		puts = append(puts, clientv3.OpPut(entryKey(room, e.Seq), string(encodeEntry(e))))
	}
	head := appendPosition(nil, end)
	puts = append(puts, clientv3.OpPut(headKey(room), string(head)), clientv3.OpPut(summaryKey(room), string(append(head, b.Summary...))))

	isHead := clientv3.Compare(clientv3.Value(headKey(room)), "=", string(appendPosition(nil, b.After)))
	if b.After == (eventlog.Position{}) {
		isHead = clientv3.Compare(clientv3.CreateRevision(headKey(room)), "=", 0)
	}
	isFree := clientv3.Compare(clientv3.CreateRevision(entryKey(room, b.After.Seq+1)), "=", 0)
	resp, err := l.client.Txn(clientv3.WithRequireLeader(ctx)).If(isHead, isFree).Then(puts...).Commit()
	if err != nil {
		return eventlog.Position{}, fmt.Errorf("room %s: %w", room, appendError(err))
	}
	if !resp.Succeeded {
		return eventlog.Position{}, fmt.Errorf("room %s: not after %v: %w", room, b.After, eventlog.ErrConflict)
	}
	return end, nil
}

// appendError tells "it did not happen" from "nobody knows". Only what etcd refuses before it proposes did certainly not
// happen; all else, lost connections and time-outs above all, may have.
func appendError(err error) error {
	for _, refused := range []error{
		rpctypes.ErrNoLeader, rpctypes.ErrNoSpace, rpctypes.ErrTooManyRequests, rpctypes.ErrPermissionDenied,
		rpctypes.ErrUserEmpty, rpctypes.ErrAuthFailed, rpctypes.ErrInvalidAuthToken,
	} {
		if errors.Is(err, refused) || rpctypes.Error(err) == refused {
			return fmt.Errorf("%w: %v", eventlog.ErrUnavailable, err)
		}
	}
	if rpctypes.Error(err) == rpctypes.ErrRequestTooLarge {
		return fmt.Errorf("%w: %v", eventlog.ErrTooLarge, err)
	}
	return fmt.Errorf("%w: %v", eventlog.ErrUnknown, err)
}
