package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"rotunda/node/rtc"
	"rotunda/node/vigil"
)

const (
	// besideMax is how long both sessions are spoken into when one takes the place of another: the node of the old one ends it
	// when the new one is heard, and the node of the new one ends that where the log does not take it.
	besideMax = 4 * time.Second
)

// errNotTaken says that a session was opened and the room's log did not take it.
var errNotTaken = errors.New("the microphone was not taken")

// mouth is a speaker's way into the mesh: a microphone session that another one takes the place of when its node dies or is
// drained. While both live the same packets go into both, so that nothing is missing at the change. Live speech is not kept: what is said while there is no session is lost. It is a microphone.
type mouth struct {
	p       *speaker
	news    news
	route   route  // owned by keep
	edges   []edge // the same
	leaving sync.WaitGroup

	mu   sync.Mutex // guards what follows
	pub  *rtc.Publisher
	next *rtc.Publisher // is taking pub's place; nil: none is
}

func newMouth(ctx context.Context, p *speaker, first *rtc.Publisher) *mouth {
	v := &mouth{p: p, news: newNews(), pub: first, route: route{origins([]string{first.NodeURL()})}}
	if edges, err := p.edges(ctx, p.room); err == nil { // without an answer there is one node
		v.edges = edges
		v.route.learn(basesOf(edges))
	}
	return v
}

func (v *mouth) session() *rtc.Publisher {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.pub
}

// Write sends a packet, unless there is no session at present.
func (v *mouth) Write(opus []byte, duration time.Duration, level uint8, speech bool) error {
	for _, pub := range v.sessions() {
		if pub == nil {
			continue
		}
		if err := pub.Write(opus, duration, level, speech); err != nil && !errors.Is(err, rtc.ErrDone) {
			return err
		}
	}
	return nil
}

// Skip lets time pass without a packet.
func (v *mouth) Skip(duration time.Duration) {
	for _, pub := range v.sessions() {
		if pub != nil {
			pub.Skip(duration)
		}
	}
}

func (v *mouth) sessions() [2]*rtc.Publisher {
	v.mu.Lock()
	defer v.mu.Unlock()
	return [...]*rtc.Publisher{v.pub, v.next}
}

func (v *mouth) set(pub, next *rtc.Publisher) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pub, v.next = pub, next
}

// turn has next take the place of the present session, and reports whether it did: the node of the old one ends it when the new
// one is heard, and where the log does not take the new one, that ends first. Either way nothing is open then but one.
func (v *mouth) turn(ctx context.Context, next *rtc.Publisher) bool {
	old := v.session()
	v.set(old, next)
	limit := time.NewTimer(besideMax)
	defer limit.Stop()
	select {
	case <-old.Done():
	case <-next.Done():
		v.set(old, nil)
		v.leave(next)
		return false
	case <-limit.C:
	case <-ctx.Done():
	}
	v.set(next, nil)
	v.leave(old)
	return true
}

// say says a sound, through one session after another.
func (v *mouth) say(ctx context.Context, s sound) (said time.Duration, err error) {
	kctx, stop := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		if err := v.keep(kctx); err != nil {
			stop(err)
		}
	}()
	said, err = say(kctx, s, v)
	cause := context.Cause(kctx)
	stop(context.Canceled)
	<-kept
	if err == nil && ctx.Err() == nil && cause != nil {
		err = cause
	}
	return said, err
}

// keep replaces the session when that is due, until ctx ends. Its error is that nobody lets the speaker in any more.
func (v *mouth) keep(ctx context.Context) error {
	var over *sentry
	for {
		at := v.p.at(v.route.base())
		if session := v.session(); over == nil || over.over != session { // a false alarm is remembered
			over = watchOver(session)
		}
		fctx, stop := context.WithCancel(ctx)
		var feeds sync.WaitGroup
		feeds.Go(func() { at.follow(fctx, v.p.room, v.news) })
		feeds.Go(func() { at.relist(fctx, v.p.room, v.news) })
		why, what := v.hold(ctx, at, over)
		stop()
		feeds.Wait()
		if why == content {
			return nil
		}
		v.p.log.Warn(what+": going on at another", "node", at.base)
		if err := v.replace(ctx, why, over); err != nil {
			return err
		}
	}
}

// hold waits until the session has to be replaced, and says why; content when ctx has ended.
func (v *mouth) hold(ctx context.Context, at *client, over *sentry) (why want, what string) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	session := v.session()
	for {
		select {
		case <-ctx.Done():
			return content, ""
		case <-v.news.views:
		case v.edges = <-v.news.edges:
			v.route.learn(basesOf(v.edges))
		case bases := <-v.news.moves:
			if v.route.move(bases) {
				return moved, "the node is being emptied"
			}
		case <-session.Done():
			return lost, "the media connection was lost"
		case <-v.news.lost:
			if !at.alive(ctx) && ctx.Err() == nil {
				return lost, "the node does not answer"
			}
		case now := <-look.C:
			switch {
			case over.look(now) != vigil.Silent:
			case over.shows:
				return silent, "the node has fallen silent"
			case !at.alive(ctx) && ctx.Err() == nil: // it has been listened to for too short a time, or is of the release before
				return lost, "the node does not answer"
			}
		}
	}
}

// replace opens a session at another node, and lets go of the old one. A node that was only silent is stayed with if it is heard again
// before that.
func (v *mouth) replace(ctx context.Context, why want, over *sentry) error {
	began, here := time.Now(), v.route.base()
	if why == moved {
		here = "" // the route has gone on
	}
	bad := map[string]time.Time{}
	for n := 1; ; n++ {
		tctx, stop := context.WithCancel(ctx)
		back := func() bool { return false }
		if why == silent {
			back = over.untilBack(tctx, stop)
		}
		pub, base, err := v.another(tctx, here, bad)
		stop()
		stayed := back()
		switch {
		case ctx.Err() != nil && err != nil, stayed && err != nil:
			return nil
		case err == nil && v.turn(ctx, pub):
			v.route.move([]string{base})
			v.p.log.Info("speaking", "room", v.p.room, "node", pub.NodeURL())
			return nil
		case err == nil:
			err = errNotTaken
		case final(err):
			return fmt.Errorf("the stage is closed: %w", err)
		case (why != silent || over.ended()) && time.Since(began) > lostMax:
			return fmt.Errorf("%w: %w", errLost, err)
		}
		v.route.failed(base)
		wait := pause(n, err)
		bad[base] = time.Now().Add(wait)
		if base != "" && base != here && why != moved {
			wait = 0 // others are tried meanwhile
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// another opens a session at a node that has the room and is not here; at the route's where here is "". What cannot be reached at all
// may still be found here.
func (v *mouth) another(ctx context.Context, here string, bad map[string]time.Time) (pub *rtc.Publisher, base string, err error) {
	base = v.route.base()
	if here != "" {
		now := time.Now()
		nodes := slices.DeleteFunc(candidates(v.edges), func(n vigil.Node) bool { return n.Base != here && now.Before(bad[n.Base]) })
		if base = v.p.client.another(ctx, v.p.room, nodes, here); base == "" {
			base = here
		}
	}
	tctx, cancel := context.WithTimeout(ctx, besideMax)
	defer cancel()
	pub, err = (&speaker{client: v.p.at(base), room: v.p.room, log: v.p.log}).publish(tctx)
	return pub, base, err
}

// leave takes leave of a session without waiting for it.
func (v *mouth) leave(pub *rtc.Publisher) {
	v.leaving.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		_ = pub.Close(ctx) // the node notices
	})
}
