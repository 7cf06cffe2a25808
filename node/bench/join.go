package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"rotunda/node/whip/resource"
)

// How long a join may take, and how a check is repeated (RFC 8445 §14.3, faster: a listener has one pair at a time).
const (
	joinMax      = 30 * time.Second // with all its waiting for a server that is busy
	connectMax   = 10 * time.Second // from the answer to audio
	checkFirst   = 100 * time.Millisecond
	checksMax    = 4 // for one candidate: 100, 200, 400, 800 ms
	deferralsMax = 20
	waitMax      = 10 * time.Second // of what a server asks for
	goodbyeMax   = 5 * time.Second
)

// stage is how far a join that failed had come.
type stage string

// The stages.
const (
	answering stage = "answer"    // the endpoint refused, or did not answer in a way that can be used
	checking  stage = "ice"       // no candidate answered
	shaking   stage = "dtls"      // the handshake failed
	hearing   stage = "no_audio"  // connected, but no packet came
	missed    stage = "too_late"  // had no turn, or no answer, before listening began
	stopping  stage = "cancelled" // the load was stopped
)

// joinError says how far a join had come.
type joinError struct {
	at  stage
	err error
}

func (e *joinError) Error() string { return string(e.at) + ": " + e.err.Error() }
func (e *joinError) Unwrap() error { return e.err }

// joins are all joins of a load.
type joins struct {
	crowd *crowd

	mu       sync.Mutex // guards what follows
	took     histogram
	joined   int
	failed   map[stage]int
	examples map[stage]string // the first error of each
	deferred int
}

// run has all listeners join, at most Concurrency at once and Ramp a second. It returns when all have or have failed, or
// JoinWithin is over, or ctx has ended.
func (j *joins) run(stopped context.Context) {
	cfg := j.crowd.cfg
	ctx, cancel := context.WithTimeout(stopped, cfg.JoinWithin)
	defer cancel()
	limit := rate.Inf
	if cfg.Ramp > 0 {
		limit = rate.Limit(cfg.Ramp)
	}
	pace := rate.NewLimiter(limit, 1)
	next := make(chan int) // closed here
	var workers sync.WaitGroup
	for range min(cfg.Concurrency, cfg.Listeners) {
		workers.Go(func() {
			for i := range next {
				j.one(ctx, stopped, i)
			}
		})
	}
	turns := 0
	for ; turns < cfg.Listeners && pace.Wait(ctx) == nil; turns++ {
		select {
		case next <- turns:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	workers.Wait()
	if left := cfg.Listeners - turns; left > 0 {
		j.fail(j.end(stopped), fmt.Errorf("no turn within %v", cfg.JoinWithin), left)
	}
}

// end is why a join ended that was neither answered nor refused.
func (j *joins) end(stopped context.Context) stage {
	if stopped.Err() != nil {
		return stopping
	}
	return missed
}

// fail counts failures.
func (j *joins) fail(at stage, err error, n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed[at] += n
	if j.examples[at] == "" {
		j.examples[at] = err.Error()
	}
}

// one joins a listener and notes what came of it.
func (j *joins) one(phase, stopped context.Context, i int) {
	ctx, cancel := context.WithTimeout(phase, joinMax)
	defer cancel()
	took, err := j.crowd.join(ctx, i, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.deferred++
	})
	if err == nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.joined++
		j.took.add(took)
		return
	}
	at := answering
	if e := (*joinError)(nil); errors.As(err, &e) {
		at = e.at
	}
	if phase.Err() != nil {
		at = j.end(stopped)
	}
	j.fail(at, err, 1)
}

// join takes a listener from the request to its first audio packet and returns how long that took.
func (c *crowd) join(ctx context.Context, i int, deferred func()) (time.Duration, error) {
	began := c.now()
	l := &c.listeners[i]
	l.session = newSession()
	opened, err := c.request(ctx, offerOf(l.session.ufrag, l.session.pwd, c.identity.fingerprint), deferred)
	if err != nil {
		return 0, &joinError{answering, err}
	}
	l.session.resource = opened.Resource
	if l.session.remote, err = parseAnswer(opened.Answer, hostOf(opened.Endpoint)); err != nil {
		return 0, &joinError{answering, err}
	}
	ctx, cancel := context.WithTimeout(ctx, connectMax)
	defer cancel()
	j := &joining{check: newCheck(), paths: make(chan struct{}, 1), first: make(chan time.Duration, 1)}
	if err := c.connect(ctx, i, j); err != nil {
		return 0, err
	}
	defer l.joining.Store(nil)
	k, end, err := c.identity.handshake(ctx, j.wire, l.session.remote)
	if err != nil {
		return 0, &joinError{shaking, err}
	}
	defer end()
	l.keys.Store(k)
	select {
	case first := <-j.first:
		return first - began, nil
	case <-ctx.Done():
		return 0, &joinError{hearing, ctx.Err()}
	}
}

// request posts the offer; a server that is busy is asked again when it says so (RFC 9110 §10.2.3).
func (c *crowd) request(ctx context.Context, offer string, deferred func()) (resource.Opened, error) {
	for n := 0; ; n++ {
		opened, err := c.http.Open(ctx, offer)
		var refusal *resource.Error
		if !errors.As(err, &refusal) || refusal.RetryAfter == 0 || n == deferralsMax ||
			refusal.Status != http.StatusServiceUnavailable && refusal.Status != http.StatusTooManyRequests {
			return opened, err
		}
		deferred()
		select {
		case <-ctx.Done():
			return opened, fmt.Errorf("%w; and then %w", err, ctx.Err())
		case <-time.After(min(refusal.RetryAfter, waitMax)):
		}
	}
}

// connect opens the listener's socket and finds a candidate that answers. The socket stays the listener's whatever comes.
func (c *crowd) connect(ctx context.Context, i int, j *joining) error {
	l := &c.listeners[i]
	first := l.session.remote.candidates[0]
	fd, err := c.sockets.open(first)
	if err != nil {
		return &joinError{checking, err}
	}
	l.fd = fd
	j.wire = newWire(first, func(b []byte) error { return c.sockets.write(fd, b) })
	l.joining.Store(j)
	l.open.Store(true)
	if err := c.sockets.watch(fd, i); err != nil {
		return &joinError{checking, err}
	}
	check, err := l.session.check(j.check)
	if err != nil {
		return &joinError{checking, err}
	}
	for _, to := range l.session.remote.candidates {
		if to != first {
			if err := c.sockets.connect(fd, to); err != nil {
				continue
			}
			j.wire.to = to
		}
		wait := checkFirst
		for range checksMax {
			_ = c.sockets.write(fd, check) // refused: so is the answer missing
			select {
			case <-j.paths:
				return nil
			case <-ctx.Done():
				return &joinError{checking, ctx.Err()}
			case <-time.After(wait):
			}
			wait *= 2
		}
	}
	return &joinError{checking, fmt.Errorf("no answer from %v", l.session.remote.candidates)}
}

// leave says goodbye for all who have a session, and returns how many of the goodbyes failed.
func (c *crowd) leave(ctx context.Context) (failed int) {
	next := make(chan string) // closed here
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range c.cfg.Concurrency {
		workers.Go(func() {
			for resource := range next {
				ctx, cancel := context.WithTimeout(ctx, goodbyeMax)
				err := c.http.Delete(ctx, resource)
				cancel()
				if err != nil {
					mu.Lock()
					failed++
					mu.Unlock()
				}
			}
		})
	}
	for i := range c.listeners {
		if r := c.listeners[i].session.resource; r != "" {
			next <- r
		}
	}
	close(next)
	workers.Wait()
	return failed
}

// hostOf is where an endpoint is, where its URL says so by number.
func hostOf(endpoint string) netip.Addr {
	u, err := url.Parse(endpoint)
	if err != nil {
		return netip.Addr{}
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	return ip.Unmap()
}
