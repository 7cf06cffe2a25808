package etcdlog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"rotunda"
	"rotunda/control/eventlog"
)

var (
	errCut   = errors.New("the watch was cut off")
	errCheck = errors.New("time to look again")
)

// headsMax is how many heads one read asks for: with SummaryMax each it stays far below what one answer may weigh.
const headsMax = 256

// Watch implements eventlog.Log.
func (l *Log) Watch(ctx context.Context, fn func(reset bool, heads []eventlog.Head) error) error {
	known := map[rotunda.RoomID]eventlog.Position{}
	for whole := true; ; {
		revision, err := l.list(ctx, whole, known, fn)
		if err == nil {
			err = l.watch(ctx, watching{summaryPrefix, revision + 1, listEvery}, func(events []*clientv3.Event) error {
				var heads []eventlog.Head
				for _, ev := range events {
					if ev.Type == clientv3.EventTypeDelete {
						room := rotunda.RoomID(strings.TrimPrefix(string(ev.Kv.Key), summaryPrefix))
						delete(known, room)
						heads = append(heads, eventlog.Head{Room: room, Retired: true})
						continue
					}
					heads = l.note(heads, known, ev.Kv)
				}
				return call(fn, false, heads)
			})
		}
		var mine own
		switch {
		case errors.As(err, &mine):
			return mine.error
		case ctx.Err() != nil:
			return ctx.Err()
		}
		whole = !errors.Is(err, errCheck) // a look that finds nothing new is nobody's business
		if err := l.pause(ctx, retryWait); err != nil {
			return closedAsUnavailable(err)
		}
	}
}

// list reads all heads and returns a revision of etcd that none of them is older than. It tells fn of all, with reset, or else
// of those that are not as in known.
func (l *Log) list(ctx context.Context, whole bool, known map[rotunda.RoomID]eventlog.Position, fn func(bool, []eventlog.Head) error) (revision int64, err error) {
	if whole {
		clear(known)
	}
	for from, more := summaryPrefix, true; more; whole = false {
		resp, err := ask(ctx, l, func(ctx context.Context) (*clientv3.GetResponse, error) {
			return l.client.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(summaryPrefix)), clientv3.WithLimit(headsMax))
		})
		if err != nil {
			return 0, err
		}
		if revision == 0 {
			revision = resp.Header.Revision
		}
		var heads []eventlog.Head
		for _, kv := range resp.Kvs {
			heads = l.note(heads, known, kv)
			from = string(kv.Key) + "\x00"
		}
		more = resp.More
		if err := call(fn, whole, heads); err != nil {
			return 0, err
		}
	}
	return revision, nil
}

func call(fn func(bool, []eventlog.Head) error, reset bool, heads []eventlog.Head) error {
	if !reset && len(heads) == 0 {
		return nil
	}
	if err := fn(reset, heads); err != nil {
		return own{err}
	}
	return nil
}

// note adds the head that kv holds to heads, unless it is known.
func (l *Log) note(heads []eventlog.Head, known map[rotunda.RoomID]eventlog.Position, kv *mvccpb.KeyValue) []eventlog.Head {
	room := rotunda.RoomID(strings.TrimPrefix(string(kv.Key), summaryPrefix))
	at, summary, err := cutPosition(kv.Value)
	if err == nil {
		err = room.Valid()
	}
	if err != nil {
		l.logger.Warn("control log holds a summary that cannot be read", "key", fmt.Sprintf("%.100q", kv.Key), "error", err)
		return heads
	}
	if before := known[room]; before == at || before.Seq > at.Seq {
		return heads
	}
	known[room] = at
	return append(heads, eventlog.Head{Room: room, Position: at, Summary: summary})
}
