package etcdlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"rotunda"
	"rotunda/control/eventlog"
)

// Read implements eventlog.Log.
func (l *Log) Read(ctx context.Context, room rotunda.RoomID, after eventlog.Position, limit int) ([]eventlog.Entry, eventlog.Position, error) {
	p, err := l.read(ctx, room, after, limit)
	return p.entries, p.end, err
}

// page is what one read found.
type page struct {
	entries  []eventlog.Entry
	end      eventlog.Position // of the chain
	revision int64             // of etcd, at which this was so
}

// read asks until somebody answers or ctx ends, and checks the answer.
func (l *Log) read(ctx context.Context, room rotunda.RoomID, after eventlog.Position, limit int) (page, error) {
	if err := room.Valid(); err != nil {
		return page{}, nil // there is no such room
	}
	limit = max(1, min(limit, eventlog.ReadMax))
	first := entryKey(room, max(after.Seq, 1)) // with the one that must be there, to see whether it still is
	ops := []clientv3.Op{
		clientv3.OpGet(headKey(room)),
		clientv3.OpGet(first, clientv3.WithRange(clientv3.GetPrefixRangeEnd(entryPrefix(room))), clientv3.WithLimit(int64(limit+1))),
	}
	var resp *clientv3.TxnResponse
	err := l.ask(ctx, func(ctx context.Context) (err error) {
		resp, err = l.client.Txn(ctx).Then(ops...).Commit()
		return err
	})
	if err != nil {
		return page{}, fmt.Errorf("room %s: %w", room, err)
	}
	p, err := check(room, after, limit, resp.Responses)
	p.revision = resp.Header.Revision
	return p, err
}

// ask calls a function that only reads until it answers, ctx ends or the log is closed.
func (l *Log) ask(ctx context.Context, read func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
	}
	for {
		actx, cancel := context.WithTimeout(ctx, askMax)
		err := read(actx)
		cancel()
		if err == nil {
			return nil
		}
		if stop := l.pause(ctx, retryWait); stop != nil {
			return fmt.Errorf("%w: %v: %w", eventlog.ErrUnavailable, err, stop)
		}
	}
}

// check makes a page of what etcd answered, or says how it contradicts what the caller knows or itself.
func check(room rotunda.RoomID, after eventlog.Position, limit int, answers []*etcdserverpb.ResponseOp) (page, error) {
	var p page
	broken := func(format string, args ...any) (page, error) {
		return page{}, fmt.Errorf("room %s: %s: %w", room, fmt.Sprintf(format, args...), eventlog.ErrBroken)
	}
	if heads := answers[0].GetResponseRange().Kvs; len(heads) > 0 {
		end, rest, err := cutPosition(heads[0].Value)
		if err != nil || len(rest) > 0 {
			return broken("head of %d bytes", len(heads[0].Value))
		}
		p.end = end
	}
	if p.end.Seq < after.Seq {
		return broken("the log ends at %v, before %v", p.end, after)
	}
	at := after
	for _, kv := range answers[1].GetResponseRange().Kvs {
		e, err := entryOf(room, kv)
		if err != nil {
			return broken("%v", err)
		}
		if e.Seq == after.Seq {
			if e.Hash(room) != after.Hash {
				return broken("entry %d is not the one that was there", e.Seq)
			}
			at.Seq = e.Seq
			continue
		}
		if len(p.entries) == limit {
			break
		}
		if at, err = at.Next(room, e); err != nil {
			return page{}, err
		}
		p.entries = append(p.entries, e)
	}
	if at.Seq > p.end.Seq || len(p.entries) < limit && at != p.end {
		return broken("the entries end at %v, the head says %v", at, p.end)
	}
	if after.Seq > 0 && len(answers[1].GetResponseRange().Kvs) == 0 {
		return broken("entry %d is gone", after.Seq)
	}
	return p, nil
}

func entryOf(room rotunda.RoomID, kv *mvccpb.KeyValue) (eventlog.Entry, error) {
	seq, err := entrySeq(room, kv.Key)
	if err != nil {
		return eventlog.Entry{}, err
	}
	e, err := decodeEntry(seq, kv.Value)
	if err != nil {
		return e, fmt.Errorf("entry %d: %w", seq, err)
	}
	return e, nil
}

// Ping implements eventlog.Log: a read that needs the leader's word.
func (l *Log) Ping(ctx context.Context) error {
	return l.ask(ctx, func(ctx context.Context) error {
		_, err := l.client.Get(ctx, prefix+"ping")
		return err
	})
}

// Follow implements eventlog.Log.
func (l *Log) Follow(ctx context.Context, room rotunda.RoomID, after eventlog.Position, fn func(eventlog.Entry) error) error {
	pass := func(e eventlog.Entry) error {
		next, err := after.Next(room, e)
		if err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return own{err}
		}
		after = next
		return ctx.Err()
	}
	for {
		p, err := l.read(ctx, room, after, eventlog.ReadMax)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		for _, e := range p.entries {
			if err := pass(e); err != nil {
				return unwrapOwn(err)
			}
		}
		if after.Seq < p.end.Seq {
			continue
		}
		err = l.watch(ctx, watching{entryPrefix(room), p.revision + 1, checkEvery}, func(events []*clientv3.Event) error {
			for _, ev := range events {
				if ev.Type == clientv3.EventTypeDelete {
					return fmt.Errorf("key %.100q is gone", ev.Kv.Key)
				}
				e, err := entryOf(room, ev.Kv)
				if err != nil {
					return err
				}
				if err := pass(e); err != nil {
					return err
				}
			}
			return nil
		})
		var mine own
		if errors.As(err, &mine) {
			return mine.error
		}
		// The watch was cut off, or says what does not follow: reading decides what is so.
		if err := l.pause(ctx, retryWait); err != nil {
			return closedAsUnavailable(err)
		}
	}
}

// own marks an error of the caller's function.
type own struct{ error }

func unwrapOwn(err error) error {
	var mine own
	if errors.As(err, &mine) {
		return mine.error
	}
	return err
}

func closedAsUnavailable(err error) error {
	if errors.Is(err, errClosed) {
		return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
	}
	return err
}

// watching says what to watch.
type watching struct {
	below string        // prefix of the keys
	from  int64         // revision of etcd
	every time.Duration // how long until it is time to look whether the log is still the same
}

// watch calls fn with changes. It always ends with an error: the watch's, fn's, ctx's, or errCheck when it is time to look.
func (l *Log) watch(ctx context.Context, w watching, fn func([]*clientv3.Event) error) error {
	wctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	changes := l.client.Watch(wctx, w.below, clientv3.WithPrefix(), clientv3.WithRev(w.from))
	check := time.NewTimer(w.every)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.closed:
			return errClosed
		case <-check.C:
			return errCheck
		case resp, ok := <-changes:
			if !ok {
				return errCut
			}
			if err := resp.Err(); err != nil {
				return err
			}
			if err := fn(resp.Events); err != nil {
				return err
			}
		}
	}
}
