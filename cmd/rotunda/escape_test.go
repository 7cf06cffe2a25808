package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"rotunda/node/rtc"
	"rotunda/node/vigil"
)

// answering is a node that answers what it is asked about rooms, or does not.
func answering(t *testing.T, status int) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status == 0 {
			<-r.Context().Done()
			return
		}
		w.WriteHeader(status)
		fmt.Fprint(w, `{}`)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// The first node that has the room is gone to; one that does not answer holds up nobody.
func TestAnotherNode(t *testing.T) {
	t.Parallel()
	c := &client{http: &http.Client{}}
	silent, without, has := answering(t, 0), answering(t, http.StatusNotFound), answering(t, http.StatusOK)
	nodes := func(bases ...string) (all []vigil.Node) {
		for _, b := range bases {
			all = append(all, vigil.Node{Base: b})
		}
		return all
	}
	for range 10 { // in whatever order they are asked
		began := time.Now()
		if got := c.another(t.Context(), "r", nodes("http://here", silent, without, has), "http://here"); got != has {
			t.Fatalf("gone to %q, want %q", got, has)
		}
		if took := time.Since(began); took >= askMax {
			t.Errorf("it took %v: the node that does not answer was waited for", took)
		}
	}
	if got := c.another(t.Context(), "r", nodes(has, silent, without), has); got != "" {
		t.Errorf("gone to %q, want to nobody: only the node that is left has the room", got)
	}
}

// counted is a session that has received as much as it is told.
type counted struct {
	bytes uint64
	done  chan struct{}
}

func (c *counted) Came() uint64          { return c.bytes }
func (c *counted) Done() <-chan struct{} { return c.done }

// A sentry tells a node that shows signs of life from one of the release before, which sends a speaker a report a second.
func TestSentry(t *testing.T) {
	for _, c := range []struct {
		name  string
		every time.Duration // what comes
		shows bool
		says  vigil.Verdict // after half a second of nothing
	}{
		{"signs of life", 140 * time.Millisecond, true, vigil.Silent},
		{"audio", 20 * time.Millisecond, true, vigil.Silent},
		{"a report a second", time.Second, false, ""},
	} {
		session, now := &counted{}, time.Unix(1000, 0)
		s := watchOver(session)
		pass := func(d time.Duration, comes bool) (said vigil.Verdict) {
			for at := lookEvery; at <= d; at += lookEvery {
				if now = now.Add(lookEvery); comes && at/c.every != (at-lookEvery)/c.every || comes && c.every < lookEvery {
					session.bytes++
				}
				if v := s.look(now); v != "" {
					said = v
				}
			}
			return said
		}
		pass(3*time.Second, true)
		if s.shows != c.shows {
			t.Errorf("%s: shows that it lives: %v", c.name, s.shows)
		}
		if !c.shows {
			continue
		}
		if said := pass(500*time.Millisecond, false); said != c.says {
			t.Errorf("%s, then nothing: says %q, want %q", c.name, said, c.says)
		}
		if said := pass(300*time.Millisecond, true); said != vigil.Back {
			t.Errorf("%s: heard again: says %q", c.name, said)
		}
	}
}

// What is worse than silence stays the reason, and only silence is forgiven.
func TestWant(t *testing.T) {
	c := &continuity{}
	for _, step := range []struct {
		do   func()
		want want
	}{
		{func() { c.want(silent) }, silent},
		{c.stay, content},
		{func() { c.want(silent) }, silent},
		{func() { c.want(lost) }, lost},
		{c.stay, lost},
		{func() { c.want(silent) }, lost},
	} {
		if step.do(); c.wanted != step.want {
			t.Errorf("wanted: %q, want %q", c.wanted, step.want)
		}
	}
}

// A node that asks for time is given it; after a failure others are tried at once, and the only one there is after a pause.
func TestFailed(t *testing.T) {
	now := time.Unix(1000, 0)
	c := &continuity{l: &listener{}, cur: &hearing{at: &client{base: "http://here"}}, bad: map[string]time.Time{}}
	c.failed("http://b", now, &rtc.HTTPError{Status: http.StatusServiceUnavailable, RetryAfter: 5 * time.Second})
	if wait := c.bad["http://b"].Sub(now); wait < 5*time.Second || !c.retryAt.Equal(now) {
		t.Errorf("it is left alone for %v, others are tried after %v", wait, c.retryAt.Sub(now))
	}
	c.failed("http://here", now, errors.New("nobody there"))
	if wait := c.retryAt.Sub(now); wait < 400*time.Millisecond || wait > time.Second {
		t.Errorf("the second failure is waited for %v", wait)
	}
	c.failed("", now, errNobody)
	if wait := c.retryAt.Sub(now); wait < 800*time.Millisecond {
		t.Errorf("the third is waited for %v", wait)
	}
}
