package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
	"rotunda/metrics"
)

// faulty is a log that can be cut off and whose answers can be lost.
type faulty struct {
	eventlog.Log
	follows atomic.Int32 // running
	reads   atomic.Int32 // in all

	mu     sync.Mutex
	back   chan struct{}                                                                            // not nil: away; closed when it is back
	append func(ctx context.Context, id rotunda.RoomID, b eventlog.Batch) (handled bool, err error) // nil: pass on
}

func (f *faulty) setAway(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if away {
		f.back = make(chan struct{})
		return
	}
	close(f.back)
	f.back = nil
}

// wait waits until the log is back or ctx ends.
func (f *faulty) wait(ctx context.Context) error {
	f.mu.Lock()
	back := f.back
	f.mu.Unlock()
	if back == nil {
		return nil
	}
	select {
	case <-back:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, ctx.Err())
	}
}

func (f *faulty) Append(ctx context.Context, id rotunda.RoomID, b eventlog.Batch) (eventlog.Position, error) {
	if err := f.wait(ctx); err != nil {
		return eventlog.Position{}, err
	}
	f.mu.Lock()
	fault := f.append
	f.mu.Unlock()
	if fault != nil {
		if handled, err := fault(ctx, id, b); handled {
			return eventlog.Position{}, err
		}
	}
	return f.Log.Append(ctx, id, b)
}

func (f *faulty) onAppend(fault func(context.Context, rotunda.RoomID, eventlog.Batch) (bool, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.append = fault
}

func (f *faulty) Read(ctx context.Context, id rotunda.RoomID, after eventlog.Position, limit int) ([]eventlog.Entry, eventlog.Position, error) {
	f.reads.Add(1)
	if err := f.wait(ctx); err != nil {
		return nil, eventlog.Position{}, err
	}
	return f.Log.Read(ctx, id, after, limit)
}

func (f *faulty) Ping(ctx context.Context) error { return f.wait(ctx) }

func (f *faulty) Follow(ctx context.Context, id rotunda.RoomID, after eventlog.Position, fn func(eventlog.Entry) error) error {
	f.follows.Add(1)
	defer f.follows.Add(-1)
	return f.Log.Follow(ctx, id, after, func(e eventlog.Entry) error {
		if err := f.wait(ctx); err != nil {
			return ctx.Err()
		}
		return fn(e)
	})
}

var (
	ada = room.Actor{User: "ada", Name: "Ada"}
	bob = room.Actor{User: "bob", Name: "Bob"}
	cyd = room.Actor{User: "cyd", Name: "Cyd"}
)

// node is a running Control.
type node struct {
	*Control
	t       *testing.T
	metrics *metrics.Set
	said    *bytes.Buffer // what was logged; look only when nothing runs
	stop    func()        // ends it, and returns when it has ended
}

// start runs a control over log until the test ends.
func start(t *testing.T, log eventlog.Log, name rotunda.NodeID) *node {
	t.Helper()
	return startWith(t, Config{Log: log, Node: name})
}

// startWith runs a control until stop is called, or the test ends.
func startWith(t *testing.T, cfg Config) *node {
	t.Helper()
	n := &node{t: t, metrics: metrics.New("test", ""), said: &bytes.Buffer{}}
	if cfg.Rand == nil {
		cfg.Rand = rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", cfg.Node))))
	}
	cfg.Metrics, cfg.Logger = n.metrics, slog.New(slog.NewTextHandler(n.said, nil))
	n.Control = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: Run returned %v", cfg.Node, err)
		}
	})
	t.Cleanup(n.stop)
	return n
}

// roomID is short for the ids that logs are called with.
type roomID = rotunda.RoomID

// swap is a log that can be exchanged for another one while it runs, as when a store is put back from a backup.
type swap struct {
	eventlog.Log
	mu      sync.Mutex // guards the rest
	cancels []context.CancelFunc
}

func (s *swap) now() eventlog.Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Log
}

// to exchanges the log; who follows or watches the old one is cut off.
func (s *swap) to(log eventlog.Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Log = log
	for _, cancel := range s.cancels {
		cancel()
	}
	s.cancels = nil
}

func (s *swap) Append(ctx context.Context, id roomID, b eventlog.Batch) (eventlog.Position, error) {
	return s.now().Append(ctx, id, b)
}

func (s *swap) Read(ctx context.Context, id roomID, after eventlog.Position, limit int) ([]eventlog.Entry, eventlog.Position, error) {
	return s.now().Read(ctx, id, after, limit)
}

func (s *swap) Head(ctx context.Context, id roomID) (eventlog.Position, error) {
	return s.now().Head(ctx, id)
}

func (s *swap) Snapshots(ctx context.Context, id roomID) ([]eventlog.Snapshot, error) {
	return s.now().Snapshots(ctx, id)
}

func (s *swap) Follow(ctx context.Context, id roomID, after eventlog.Position, fn func(eventlog.Entry) error) error {
	s.mu.Lock()
	ctx, cancel := context.WithCancel(ctx)
	s.cancels = append(s.cancels, cancel)
	log := s.Log
	s.mu.Unlock()
	return log.Follow(ctx, id, after, fn)
}

func (s *swap) Watch(ctx context.Context, fn func(bool, []eventlog.Head) error) error {
	s.mu.Lock()
	ctx, cancel := context.WithCancel(ctx)
	s.cancels = append(s.cancels, cancel)
	log := s.Log
	s.mu.Unlock()
	return log.Watch(ctx, fn)
}

func (n *node) create(title string) rotunda.RoomID {
	n.t.Helper()
	id, _, err := n.Create(n.t.Context(), ada, room.Create{Title: title})
	if err != nil {
		n.t.Fatalf("create: %v", err)
	}
	return id
}

func (n *node) do(id rotunda.RoomID, a room.Actor, cmd room.Command) *room.State {
	n.t.Helper()
	s, err := n.Do(n.t.Context(), id, a, cmd)
	if err != nil {
		n.t.Fatalf("%s %s: %v", a.User, cmd.Name(), err)
	}
	return s
}

func (n *node) refused(id rotunda.RoomID, a room.Actor, cmd room.Command, want error) {
	n.t.Helper()
	if _, err := n.Do(n.t.Context(), id, a, cmd); !errors.Is(err, want) {
		n.t.Errorf("%s %s: %v, want %v", a.User, cmd.Name(), err, want)
	}
}

func (n *node) get(id rotunda.RoomID) *room.State {
	n.t.Helper()
	s, err := n.Get(n.t.Context(), id)
	if err != nil {
		n.t.Fatalf("get: %v", err)
	}
	return s
}

// series wants a line in the metrics.
func (n *node) series(want string) {
	n.t.Helper()
	w := httptest.NewRecorder()
	n.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, _ := io.ReadAll(w.Body)
	if !strings.Contains(string(body), want+"\n") {
		n.t.Errorf("/metrics lacks %s", want)
	}
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, test func(t *testing.T, log *faulty)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, &faulty{Log: new(eventlog.Memory)}) })
}

// took measures f in virtual time.
func took(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}
