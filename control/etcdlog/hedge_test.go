package etcdlog

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A server that hangs costs a reader hedgeAfter, however many others there are; one that answers in time is the only one asked.
func TestHedge(t *testing.T) {
	hangs := func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	fails := func(context.Context) (int, error) { return 0, errors.New("no leader") }
	answers := func(context.Context) (int, error) { return 7, nil }
	slow := func(context.Context) (int, error) { time.Sleep(hedgeAfter / 2); return 7, nil }
	for name, c := range map[string]struct {
		servers []func(context.Context) (int, error)
		took    time.Duration
		asked   int32
		fails   bool
	}{
		"in time":             {[]func(context.Context) (int, error){slow, hangs, hangs}, hedgeAfter / 2, 1, false},
		"the first hangs":     {[]func(context.Context) (int, error){hangs, answers, hangs}, hedgeAfter, 2, false},
		"two hang":            {[]func(context.Context) (int, error){hangs, hangs, answers}, 2 * hedgeAfter, 3, false},
		"the first fails":     {[]func(context.Context) (int, error){fails, answers, answers}, 0, 1, true}, // asked again by who calls
		"one hangs, one no":   {[]func(context.Context) (int, error){hangs, fails, answers}, 2 * hedgeAfter, 3, false},
		"alone, there is one": {[]func(context.Context) (int, error){hangs}, askMax, 1, true},
		"all hang":            {[]func(context.Context) (int, error){hangs, hangs, hangs}, askMax, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), askMax)
				defer cancel()
				var asked atomic.Int32
				began := time.Now()
				got, err := hedge(ctx, len(c.servers), func(ctx context.Context) (int, error) { return c.servers[asked.Add(1)-1](ctx) })
				if took := time.Since(began); took != c.took || asked.Load() != c.asked || (err != nil) != c.fails || err == nil && got != 7 {
					t.Errorf("%d, %v after %v, %d asked; want %v and %d", got, err, took, asked.Load(), c.took, c.asked)
				}
			})
		})
	}
}
