package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"rotunda"
	"rotunda/node/rtc"
	"rotunda/node/vigil"
)

const (
	// lookEvery is how often a session is looked after.
	lookEvery = 50 * time.Millisecond
	// askMax is how long a node may take to say that it has a room.
	askMax = 500 * time.Millisecond
	// relistEvery is how often the nodes that could be gone to are listed anew; each client adds up to a third of its own.
	relistEvery = 36 * time.Second
)

// receiver is a media session of which one can tell whether anything comes.
type receiver interface {
	Came() (bytes uint64)
	Done() <-chan struct{}
}

// sentry watches one session by package vigil.
type sentry struct {
	*vigil.Watch
	over receiver
	came uint64

	since time.Time // when the looks of this second began
	finds int       // that came upon something in it
	shows bool      // the node shows that it lives
}

// lively is how many looks of a second come upon something of a node that shows that it lives: it sends seven signs a second. To
// speakers, nodes of the release before this one send a report a second.
const lively = 4

func watchOver(s receiver) *sentry { return &sentry{Watch: vigil.NewWatch(rand.Float64()), over: s} }

// look says what follows from what has come since the last look.
func (s *sentry) look(now time.Time) vigil.Verdict {
	bytes := s.over.Came()
	came := bytes != s.came
	s.came = bytes
	if now.Sub(s.since) > time.Second {
		s.since, s.finds = now, 0
	}
	if came {
		s.finds++
	}
	s.shows = s.shows || s.finds >= lively
	return s.Look(now, came)
}

// ended reports whether the session is over.
func (s *sentry) ended() bool {
	select {
	case <-s.over.Done():
		return true
	default:
		return false
	}
}

// untilBack looks on, until ctx ends, for the silent session to be heard again, and calls found then; back waits for the end of that and
// reports whether it was.
func (s *sentry) untilBack(ctx context.Context, found func()) (back func() bool) {
	was := make(chan bool, 1)
	go func() {
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		for {
			select {
			case <-ctx.Done():
				was <- false
				return
			case now := <-look.C:
				if s.look(now) == vigil.Back {
					found()
					was <- true
					return
				}
			}
		}
	}()
	return func() bool { return <-was }
}

// candidates are the nodes of a list, as package vigil takes them.
func candidates(edges []edge) (nodes []vigil.Node) {
	for _, e := range edges {
		if base := originOf(e.URL); base != "" {
			nodes = append(nodes, vigil.Node{Base: base, Region: e.Region})
		}
	}
	return nodes
}

// another is a node that has the room and could take base's place: the first that says so; "" where none does.
func (c *client) another(ctx context.Context, id rotunda.RoomID, nodes []vigil.Node, base string) string {
	for bases := range slices.Chunk(vigil.Order(nodes, base, rand.Float64), vigil.AskMax) {
		if first := c.first(ctx, id, bases); first != "" {
			return first
		}
	}
	return ""
}

// first asks nodes at once whether they have a room, and is the first that does. One that has not had it fetches it for who asks next.
func (c *client) first(ctx context.Context, id rotunda.RoomID, bases []string) string {
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	answers := make(chan string, len(bases))
	for _, base := range bases {
		asking.Go(func() {
			if _, err := c.at(base).room(ctx, id); err != nil {
				base = ""
			}
			answers <- base
		})
	}
	for range bases {
		if base := <-answers; base != "" {
			return base
		}
	}
	return ""
}

// pause is how long to wait before try n after a failure: at least as long as the node asks for.
func pause(n int, err error) time.Duration {
	wait := vigil.Wait(n, rand.Float64())
	var refusal *rtc.HTTPError
	if errors.As(err, &refusal) {
		wait = max(wait, min(refusal.RetryAfter, time.Minute))
	}
	return wait
}

// relist asks the node for all that could be gone to, now and then, until ctx ends: a dead one cannot be asked.
func (c *client) relist(ctx context.Context, id rotunda.RoomID, n news) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(relistEvery + rand.N(relistEvery/3)):
		}
		if edges, err := c.edges(ctx, id); err == nil {
			newest(n.edges, edges)
		}
	}
}
