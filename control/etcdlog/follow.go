package etcdlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"rotunda"
	"rotunda/control/eventlog"
)

// ask calls a function that only reads until it answers, ctx ends or the log is closed.
func ask[T any](ctx context.Context, l *Log, read func(context.Context) (T, error)) (answer T, err error) {
	if err := ctx.Err(); err != nil {
		return answer, fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
	}
	for {
		actx, cancel := context.WithTimeout(ctx, askMax)
		answer, err = hedge(actx, l.servers(), read)
		cancel()
		if err == nil {
			return answer, nil
		}
		if stop := l.pause(ctx, retryWait); stop != nil {
			return answer, fmt.Errorf("%w: %v: %w", eventlog.ErrUnavailable, err, stop)
		}
	}
}

// servers is how many servers the client asks in turn.
func (l *Log) servers() int {
	if l.server != nil {
		return 1
	}
	return len(l.client.Endpoints())
}

// hedge asks one server, and the next each time that none has answered for hedgeAfter: one that hangs costs that, and not all
// of askMax. The first answer counts. It returns when all calls have ended.
func hedge[T any](ctx context.Context, servers int, read func(context.Context) (T, error)) (answer T, err error) {
	if servers <= 1 {
		return read(ctx)
	}
	type result struct {
		answer T
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan result, servers) // has room for all
	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel()
	late := time.NewTicker(hedgeAfter)
	defer late.Stop()
	call := func() {
		a, err := read(ctx)
		results <- result{a, err}
	}
	calls.Go(call)
	for asked, failed := 1, 0; failed < asked; {
		select {
		case r := <-results:
			if r.err == nil {
				return r.answer, nil
			}
			failed++
			err = r.err
		case <-late.C:
			if asked < servers {
				asked++
				calls.Go(call)
			}
		}
	}
	return answer, err
}

// look implements source: one transaction that only reads.
func (l *Log) look(ctx context.Context, spans ...span) (rows [][]row, revision int64, err error) {
	ops := make([]clientv3.Op, len(spans))
	for i, s := range spans {
		var options []clientv3.OpOption
		if s.below != "" {
			options = append(options, clientv3.WithRange(s.below), clientv3.WithLimit(int64(s.limit)))
		}
		if s.last {
			options = append(options, clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
		}
		if s.keysOnly {
			options = append(options, clientv3.WithKeysOnly())
		}
		ops[i] = clientv3.OpGet(s.from, options...)
	}
	resp, err := ask(ctx, l, func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return l.client.Txn(ctx).Then(ops...).Commit()
	})
	if err != nil {
		return nil, 0, err
	}
	rows = make([][]row, len(spans))
	for i, answer := range resp.Responses {
		for _, kv := range answer.GetResponseRange().Kvs {
			rows[i] = append(rows[i], row{key: string(kv.Key), value: kv.Value, changed: kv.ModRevision})
		}
	}
	return rows, resp.Header.Revision, nil
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
					if seq, err := entrySeq(room, string(ev.Kv.Key)); err != nil || seq > after.Seq {
						return fmt.Errorf("key %.100q is gone", ev.Kv.Key)
					}
					continue // folded
				}
				s := slots(room, []row{{key: string(ev.Kv.Key), value: ev.Kv.Value}})[0]
				if s.Seq == 0 || s.Unreadable {
					return fmt.Errorf("key %.100q: %w", s.Key, errFormat)
				}
				if err := pass(s.Entry); err != nil {
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
