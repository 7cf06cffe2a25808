package node

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rotunda"
	"rotunda/control"
	"rotunda/control/room"
	"rotunda/metrics"
	"rotunda/node/duty"
)

// enforceFor is how long after a decision packets of the person are looked for: whatever was under way has arrived then.
const enforceFor = time.Second

// enforcement measures from decisions that take somebody's voice, or their place, to the last packet of theirs that this node
// forwarded. The media path asks with one atomic load whether anything is measured.
type enforcement struct {
	metrics *metrics.Set
	watches atomic.Pointer[[]*watch] // replaced, never changed; nil: none

	mu   sync.Mutex // held while watches is replaced; guards seen
	seen []decision // the latest that were measured here
}

// decision is that something is taken from somebody: one event of the log, or fact before it was there, and one of those that
// it is about.
type decision struct {
	event string // its id
	user  rotunda.UserID
}

// seenMax bounds what is remembered of the decisions measured: while the log is away one is heard of as a fact, and once
// more when it is in the log.
const seenMax = 1024

// watch is one decision being measured.
type watch struct {
	user    rotunda.UserID
	ssrc    rotunda.SSRC
	decided time.Time
	until   time.Time

	n     atomic.Int64               // packets forwarded since
	times [forwardedMax]atomic.Int64 // when the latest of them were, ns since 1970
}

// forwardedMax is of how many packets of a person a measurement knows the time: a second of a voice that comes twice, in the
// program and by itself, and more.
const forwardedMax = 128

// forwarded notes a packet.
func (w *watch) forwarded(now time.Time) { w.times[(w.n.Add(1)-1)%forwardedMax].Store(now.UnixNano()) }

// last is when the last packet was forwarded, of those before a time (zero: of all), in ns since 1970; 0: there was none.
func (w *watch) last(before time.Time) (last int64) {
	for i := range min(w.n.Load(), forwardedMax) {
		if at := w.times[i].Load(); at > last && (before.IsZero() || at < before.UnixNano()) {
			last = at
		}
	}
	return last
}

// news reports whether a decision has not been measured here, and remembers that it is now.
func (e *enforcement) news(d decision) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d.event == "" {
		return true
	}
	if slices.Contains(e.seen, d) {
		return false
	}
	if len(e.seen) == seenMax {
		e.seen = slices.Delete(e.seen, 0, 1)
	}
	e.seen = append(e.seen, d)
	return true
}

// begin measures a decision from now on.
func (e *enforcement) begin(w *watch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []*watch
	if old := e.watches.Load(); old != nil {
		list = *old
	}
	list = append(slices.Clip(list), w)
	e.watches.Store(&list)
}

// mixed notes a program packet that goes to listeners.
func (e *enforcement) mixed(now time.Time, sources *rotunda.Sources) {
	list := e.watches.Load()
	if list == nil {
		return
	}
	for _, w := range *list {
		for i := range sources.Len() {
			if sources.At(i) == w.ssrc {
				w.forwarded(now)
			}
		}
	}
}

// voice notes a packet of a speaker's own stream that goes to somebody.
func (e *enforcement) voice(now time.Time, ssrc rotunda.SSRC) {
	list := e.watches.Load()
	if list == nil {
		return
	}
	for _, w := range *list {
		if w.ssrc == ssrc {
			w.forwarded(now)
		}
	}
}

// settle ends the measurements whose time is over.
func (e *enforcement) settle(now time.Time) { e.finish(now, "", time.Time{}) }

// finish ends the measurements whose time is over, and those of who may be heard again since a time: what is forwarded of them
// from then on is meant. The mixer may have learnt that before this node did, so packets may have come already.
func (e *enforcement) finish(now time.Time, again rotunda.UserID, since time.Time) {
	if e.watches.Load() == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.watches.Load() == nil { // another has finished the last one
		return
	}
	var going []*watch
	for _, w := range *e.watches.Load() {
		if now.Before(w.until) && w.user != again {
			going = append(going, w)
			continue
		}
		meant := time.Time{}
		if w.user == again {
			meant = since
		}
		e.metrics.Enforcement.Observe(max(0, float64(w.last(meant)-w.decided.UnixNano())/1e9))
	}
	if len(going) == 0 {
		e.watches.Store(nil)
		return
	}
	e.watches.Store(&going)
}

// restricted lists what a change of the room takes from people who still had it before, and when that was decided. A decision
// that the log was too slow for is told as a fact, and may be in the log as well, under another name or the same: who hears of
// it a second time, or of both at once, has nothing more to take.
func restricted(before *room.State, c control.Change) map[decision]time.Time {
	what := map[decision]time.Time{}
	if before == nil {
		return what
	}
	type loss struct {
		kind room.EventType
		user rotunda.UserID
	}
	lost := map[loss]bool{}
	for _, e := range append(slices.Clip(c.Facts), c.Event) {
		users := []rotunda.UserID{e.User}
		takes := func(rotunda.UserID) bool { return false }
		switch e.Type {
		case room.EventMutedAll:
			users, takes = e.Users, func(u rotunda.UserID) bool { return !before.Muted(u) }
		case room.EventMuted:
			takes = func(u rotunda.UserID) bool { return !before.Muted(u) }
		case room.EventRole:
			takes = func(u rotunda.UserID) bool { return !e.Role.OnStage() && before.Role(u).OnStage() }
		case room.EventRemoved:
			takes = func(u rotunda.UserID) bool {
				r, removed := before.Removed(u)
				return !removed || !r.Ban && r.At.Add(enforceFor).Before(e.At)
			}
		}
		kind := e.Type
		if kind == room.EventMutedAll {
			kind = room.EventMuted
		}
		for _, u := range users {
			if l := (loss{kind, u}); takes(u) && !lost[l] {
				what[decision{e.ID, u}], lost[l] = e.At, true
			}
		}
	}
	return what
}

// expel ends the sessions of people who are refused or were just removed, and everybody's when the room is over. Called with
// r.mu held.
func (r *roomServer) expel(c control.Change) {
	gone := map[rotunda.UserID]bool{}
	now := time.Now()
	for _, e := range append(slices.Clip(c.Facts), c.Event) {
		if e.Type != room.EventRemoved {
			continue
		}
		gone[e.User] = true
		if ssrc := r.state.SSRC(e.User); ssrc != 0 && now.Sub(e.At) < historyAge {
			r.audience.tape.withhold(now, ssrc)
		}
	}
	for _, p := range *r.audience.players.Load() {
		if r.state.Phase == room.Ended || gone[p.user] || p.user != "" && r.state.Banned(p.user) {
			p.session.Close()
		}
	}
}

// historyAge is how old a decision is that is not measured: it is read again, not enforced.
const historyAge = time.Minute

// enforce carries out a change of the state before and measures what it takes away from people, where this node has to do with
// them. Called with r.mu held.
func (r *roomServer) enforce(was *room.State, c control.Change) {
	var before []*watch
	mics := map[rotunda.UserID]*mic{}
	players := r.audience.users()
	for d, decided := range restricted(was, c) {
		m := r.mics[d.user]
		if (m != nil || len(players) > 0) && time.Since(decided) < historyAge && r.enforced.news(d) {
			before = append(before, &watch{user: d.user, ssrc: c.State.SSRC(d.user), decided: decided})
			mics[d.user] = m
		}
	}
	if c.Event.Type == room.EventUnmuted {
		r.enforced.finish(time.Now(), c.Event.User, c.Event.At)
	}
	r.reconcile()
	r.expel(c)
	now := time.Now()
	for _, w := range before {
		if slices.Contains(players, w.user) && r.state.Banned(w.user) {
			w.forwarded(now) // their own session heard something until now
		}
		if m := mics[w.user]; m != nil {
			w.forwarded(m.lastForwarded())
		}
		w.until = now.Add(enforceFor)
		r.enforced.begin(w)
	}
}

// silence has this node carry nothing of people who were heard here and may not be any more, whoever sends it. Called with
// r.mu held.
func (r *roomServer) silence(view duty.Room) {
	audible := map[rotunda.UserID]bool{}
	for _, s := range view.Speakers {
		r.voices[s.User] = struct{}{}
		if !s.Muted {
			audible[s.User] = true
		}
	}
	var silent []rotunda.UserID
	for u := range r.voices {
		if !audible[u] {
			silent = append(silent, u)
		}
	}
	slices.Sort(silent)
	if !slices.Equal(silent, r.silent) {
		r.silent = silent
		r.mesh.Silence(r.id, silent)
	}
}
