package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"rotunda/node/rtc"
)

// pulseEvery is how often a speaker asks their node whether it lives, and pulsesMissed after how many answers in a row that did
// not come they go to another: nothing that comes back from a node tells a speaker that it hears.
const (
	pulseEvery   = 500 * time.Millisecond
	pulsesMissed = 2
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
	route   route // owned by keep
	leaving sync.WaitGroup

	mu   sync.Mutex // guards what follows
	pub  *rtc.Publisher
	next *rtc.Publisher // is taking pub's place; nil: none is
}

func newMouth(ctx context.Context, p *speaker, first *rtc.Publisher) *mouth {
	v := &mouth{p: p, news: newNews(), pub: first, route: route{origins([]string{first.NodeURL()})}}
	if edges, err := p.edges(ctx, p.room); err == nil { // without an answer there is one node
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
	pulse := time.NewTicker(pulseEvery)
	defer pulse.Stop()
	for {
		at := v.p.at(v.route.base())
		fctx, stop := context.WithCancel(ctx)
		var feed sync.WaitGroup
		feed.Go(func() { at.follow(fctx, v.p.room, v.news) })
		why := v.hold(ctx, at, pulse.C)
		stop()
		feed.Wait()
		if why == "" {
			return nil
		}
		v.p.log.Warn(why+": going on at another", "node", at.base)
		if err := v.replace(ctx); err != nil {
			return err
		}
	}
}

// hold waits until the session has to be replaced, and says why; "" when ctx has ended.
func (v *mouth) hold(ctx context.Context, at *client, pulse <-chan time.Time) (why string) {
	session := v.session()
	missed := 0
	for {
		select {
		case <-ctx.Done():
			return ""
		case <-v.news.views:
			continue
		case bases := <-v.news.moves:
			if v.route.move(bases) {
				return "the node is being emptied"
			}
			continue
		case <-session.Done():
			v.route.failed(at.base)
			return "the media connection was lost"
		case <-v.news.lost:
		case <-pulse:
		}
		if at.alive(ctx) {
			missed = 0
		} else if missed++; missed >= pulsesMissed && ctx.Err() == nil {
			v.route.failed(at.base)
			return "the node does not answer"
		}
	}
}

// replace opens a session at the route's node, or at one after it, and lets go of the old one.
func (v *mouth) replace(ctx context.Context) error {
	for began, wait := time.Now(), retryFirst; ; wait = min(2*wait, retryMax) {
		base := v.route.base()
		here := &speaker{client: v.p.at(base), room: v.p.room, log: v.p.log}
		pub, err := here.publish(ctx)
		switch {
		case ctx.Err() != nil && err != nil:
			return nil
		case err == nil && v.turn(ctx, pub):
			v.p.log.Info("speaking", "room", v.p.room, "node", pub.NodeURL())
			return nil
		case err == nil:
			err = errNotTaken
		case final(err):
			return fmt.Errorf("the stage is closed: %w", err)
		case time.Since(began) > lostMax:
			return fmt.Errorf("%w: %w", errLost, err)
		}
		v.route.failed(base)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// leave takes leave of a session without waiting for it.
func (v *mouth) leave(pub *rtc.Publisher) {
	v.leaving.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		_ = pub.Close(ctx) // the node notices
	})
}
