package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"rotunda"
	"rotunda/control/room"
	"rotunda/node/rtc"
	"rotunda/node/vigil"
)

const (
	// pingMax is how long a node may take to say that it lives.
	pingMax = 400 * time.Millisecond
	// deafMax is how long nothing may come from a node that lives before another one is tried: its program may have lost its
	// home, which the mesh mends by itself.
	deafMax = 5 * time.Second
	// uselessMax is how long a session that is to follow another may take to come up, and then how long it may bring nothing: a node
	// greets who connects with the newest packet.
	uselessMax = 3 * time.Second
	// lostMax is how long a listener without a session goes on trying.
	lostMax = 30 * time.Second
)

// errNobody says that no other node has the room now.
var errNobody = errors.New("no other node answers")

// errEnded says that the room is over.
var errEnded = errors.New("the room has ended")

// hearing is one listening session at one node, and the room's event feed beside it.
type hearing struct {
	at     *client
	title  string // of the room, when the session was opened
	player *rtc.Player
	came   chan rtc.Received // never closed
	since  time.Time
	stop   context.CancelFunc // of the feeds
	feeds  sync.WaitGroup
}

// news is what the event feeds tell who owns the sessions. Of each only the newest counts; none is ever closed.
type news struct {
	views chan room.View
	moves chan []string
	lost  chan string // the node whose event feed has broken off
	edges chan []edge // that could be gone to, anew
}

func newNews() news {
	return news{make(chan room.View, 1), make(chan []string, 1), make(chan string, 1), make(chan []edge, 1)}
}

// newest puts v into c in the place of what waits there. There is one sender at a time for each session.
func newest[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	select {
	case c <- v:
	default: // another session was as quick
	}
}

// follow reads the room's event feed at this node for news until ctx ends, the room does, or the person is refused.
func (c *client) follow(ctx context.Context, id rotunda.RoomID, n news) {
	here := c.at(c.base)
	here.move = func(bases []string) { newest(n.moves, bases) }
	for ctx.Err() == nil {
		more, err := here.feed(ctx, id, func(v room.View) (bool, error) {
			newest(n.views, v)
			return v.State != room.Ended, nil
		})
		var refusal *apiError
		if !more || errors.As(err, &refusal) && refusal.Status < 500 {
			return
		}
		newest(n.lost, here.base)
		select {
		case <-ctx.Done():
		case <-time.After(feedRetryWait):
		}
	}
}

// open opens a session at base, within that time. It refuses with errEnded where the room is over.
func (l *listener) open(ctx context.Context, base string, within time.Duration) (*hearing, error) {
	at := l.client.at(base)
	dctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	v, err := at.room(dctx, l.room)
	switch {
	case err != nil:
		return nil, err
	case v.State == room.Ended:
		return nil, errEnded
	}
	h := &hearing{at: at, title: v.Title, came: make(chan rtc.Received, receivedMax), since: time.Now()}
	h.player, err = rtc.DialPlayer(dctx, rtc.ClientConfig{URL: at.base + at.roomPath(l.room, "/whep"), Token: at.token, Logger: l.log}, func(r rtc.Received) {
		r.Payload = bytes.Clone(r.Payload) // it is kept past this call
		select {
		case h.came <- r:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	h.at = at.at(originOf(h.player.NodeURL())) // which may have been sent on
	fctx, stop := context.WithCancel(ctx)
	h.stop = stop
	h.feeds.Go(func() { h.at.follow(fctx, l.room, l.news) }) // without it there are no names, and audio all the same
	h.feeds.Go(func() { h.at.relist(fctx, l.room, l.news) })
	return h, nil
}

// close takes leave of the node and frees the session.
func (h *hearing) close() {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	h.stop()
	_ = h.player.Close(ctx) // the node notices
	h.feeds.Wait()
}

// alive reports whether the node answers at once.
func (c *client) alive(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingMax)
	defer cancel()
	return c.call(ctx, http.MethodGet, "/v1/ping", nil, nil) == nil
}

// opened is the outcome of a try to open a session.
type opened struct {
	base string
	h    *hearing
	err  error
}

// final reports whether another try, here or elsewhere, would end the same way.
func final(err error) bool {
	var media *rtc.HTTPError
	var api *apiError
	switch {
	case errors.Is(err, errEnded):
		return true
	case errors.As(err, &media):
		return media.Status >= 400 && media.Status < 500
	case errors.As(err, &api):
		return api.Status >= 400 && api.Status < 500
	}
	return false
}

// want is why another session is wanted.
type want string

const (
	content want = ""
	silent  want = "silent" // nothing comes from the node: should it be heard again first, it is stayed with
	lost    want = "lost"   // the node is gone, or of no use
	moved   want = "moved"  // the route has gone on, and its node is the one
)

// continuity keeps a listener at a node that lives: it owns the session that is heard and the one that is to follow it. It
// belongs to one goroutine; open and alive run on others and answer through opened and checked.
type continuity struct {
	l        *listener
	cur      *hearing
	sentry   *sentry  // over cur
	next     *hearing // open; nothing has come through it yet
	done     <-chan struct{}
	wanted   want
	bad      map[string]time.Time // nodes that have failed since a session was heard, and until when they are left alone
	opening  bool
	checking bool
	tries    int
	retryAt  time.Time
	lostAt   time.Time // since when there is no session; zero: there is one
	openings chan opened
	checked  chan bool
	leaving  sync.WaitGroup
}

func newContinuity(l *listener, first *hearing) *continuity {
	return &continuity{
		l: l, cur: first, sentry: watchOver(first.player), done: first.player.Done(), bad: map[string]time.Time{},
		openings: make(chan opened, 1), checked: make(chan bool, 1),
	}
}

// coming is where the successor's packets come; nil where there is none.
func (c *continuity) coming() <-chan rtc.Received {
	if c.next == nil {
		return nil
	}
	return c.next.came
}

// leave ends a session without waiting for its goodbyes.
func (c *continuity) leave(h *hearing) { c.leaving.Go(h.close) }

// end ends everything and waits.
func (c *continuity) end() {
	if c.opening {
		if o := <-c.openings; o.h != nil {
			c.leave(o.h)
		}
	}
	if c.checking {
		<-c.checked
	}
	for _, h := range []*hearing{c.cur, c.next} {
		if h != nil {
			c.leave(h)
		}
	}
	c.leaving.Wait()
}

// turn makes the successor the session that is heard: something has come through it.
func (c *continuity) turn() {
	c.leave(c.cur)
	c.cur, c.next, c.done = c.next, nil, c.next.player.Done()
	c.sentry = watchOver(c.cur.player)
	c.wanted, c.tries, c.lostAt, c.bad = content, 0, time.Time{}, map[string]time.Time{}
	c.l.route.move([]string{c.cur.at.base})
	c.l.ear.over()
	c.l.sessions++
}

// gone notes that the session that was heard has ended.
func (c *continuity) gone(now time.Time) {
	c.done, c.lostAt = nil, now
	c.want(lost)
}

// want asks for another session, unless one is wanted already; what is worse than silence counts from then on.
func (c *continuity) want(why want) {
	if c.wanted == content || c.wanted == silent {
		c.wanted = why
	}
}

// stay ends the search for another node: the silent one is heard again.
func (c *continuity) stay() {
	if c.wanted != silent {
		return
	}
	c.wanted = content
	if c.next != nil {
		c.leave(c.next)
		c.next = nil
	}
}

// step does what is due: it looks after a node that has gone quiet, and opens the session that is wanted.
func (c *continuity) step(ctx context.Context, now time.Time) error {
	if !c.lostAt.IsZero() && now.Sub(c.lostAt) > lostMax {
		return errLost
	}
	switch c.sentry.look(now) {
	case vigil.Silent:
		c.l.log.Warn("the node has fallen silent: asking others", "node", c.l.served(c.cur))
		c.want(silent)
	case vigil.Back:
		c.stay()
	}
	if now.Sub(c.l.ear.heard(c.cur.since)) > deafMax {
		c.want(lost)
	}
	if c.next != nil && now.Sub(c.next.since) > uselessMax {
		c.leave(c.next)
		c.failed(c.next.at.base, now, nil)
		c.next = nil
	}
	if c.wanted != content && c.next == nil && !c.opening && !now.Before(c.retryAt) {
		c.open(ctx, now)
	}
	return nil
}

// open opens a session at the route's node where that is wanted, else at another one than the present, which may be the last way out.
func (c *continuity) open(ctx context.Context, now time.Time) {
	c.opening = true
	l, base, here := c.l, "", c.cur.at.base
	if c.wanted == moved {
		base = l.route.base()
	}
	nodes := slices.DeleteFunc(candidates(l.edges), func(n vigil.Node) bool { return n.Base != here && now.Before(c.bad[n.Base]) })
	ended := !c.lostAt.IsZero()
	go func() {
		if base == "" {
			base = l.client.another(ctx, l.room, nodes, here)
		}
		if base == "" && ended {
			base = here // it may be starting again
		}
		if base == "" {
			c.openings <- opened{err: errNobody}
			return
		}
		h, err := l.open(ctx, base, uselessMax)
		c.openings <- opened{base, h, err}
	}()
}

// check asks the node whether it lives, unless that is under way.
func (c *continuity) check(ctx context.Context) {
	if c.checking || c.wanted != content {
		return
	}
	c.checking = true
	at := c.cur.at
	go func() { c.checked <- at.alive(ctx) }()
}

// answered takes the outcome of a try to open a session.
func (c *continuity) answered(o opened, now time.Time) error {
	c.opening = false
	switch {
	case o.err == nil && c.wanted == content: // it is stayed
		c.leave(o.h)
		return nil
	case o.err == nil:
		c.next = o.h
		return nil
	case final(o.err) && !c.lostAt.IsZero():
		return o.err
	}
	c.failed(o.base, now, o.err)
	return nil
}

// failed notes a node that was of no use: others are tried meanwhile. Where there is none, or the route's is wanted, there is a pause.
func (c *continuity) failed(base string, now time.Time, err error) {
	c.l.route.failed(base)
	c.tries++
	again := now.Add(pause(c.tries, err))
	c.bad[base] = again
	c.retryAt = now
	if base == "" || base == c.cur.at.base || c.wanted == moved {
		c.retryAt = again
	}
}
