package control

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"rotunda"
	"rotunda/control/disk"
	"rotunda/control/room"
)

// outage is what a Control knows of decisions that are not in the log yet.
type outage struct {
	c    *Control
	cfg  *Outage       // nil: there are none
	box  *disk.Box     // nil: the folder cannot be used
	wake chan struct{} // capacity 1, a token when run has not looked since there is more to compare; never closed

	mu        sync.Mutex // guards what follows
	awayUntil time.Time
	rooms     map[rotunda.RoomID]*overlay
	own       int // facts of this node
	all       int
	settled   map[string]struct{} // facts that are in the log or are nothing there; the latest ones
	order     []string            // of settled, the oldest first
}

// overlay is what lies over one room's log.
type overlay struct {
	users   int           // lenses
	facts   []*held       // replaced or longer, never changed in place
	gone    []*held       // settled, a while ago at most: they lie over states of before still; as facts
	version uint64        // grows with every change of facts
	changed chan struct{} // closed and replaced with every change

	// the latest answer of over
	base *room.State
	at   uint64 // version
	over *room.State
}

// held is a fact and what is known about it here.
type held struct {
	Fact           // never changed
	own     bool   // never changed
	version uint64 // of the overlay, when it came; never changed

	heard   time.Time // guarded by outage.mu
	settled uint64    // of gone: the state of this number has it, or it is nothing there; never changed then
	dropped time.Time // of gone; never changed then
	sent    time.Time // by this node; guarded by outage.mu
}

// settledKeep is how long a fact that the log has is laid over states of before all the same.
const settledKeep = time.Minute

// settledMax is how many settled facts are remembered, so that late copies of them are nothing new.
const settledMax = 2 * factsMax

func newOutage(c *Control) *outage {
	o := &outage{c: c, cfg: c.cfg.Outage, wake: make(chan struct{}, 1), rooms: map[rotunda.RoomID]*overlay{}, settled: map[string]struct{}{}}
	if o.cfg == nil {
		return o
	}
	b, facts, err := openBox(c.cfg.Disk, o.cfg.Dir)
	if err != nil {
		c.cfg.Logger.Error("decisions of before that were to be appended to the log", "error", err)
	}
	o.box = b
	for _, f := range facts {
		o.add(f, true)
		c.cfg.Logger.Info("a decision of before waits for the log", "room", f.Room, "node", f.Node)
	}
	return o
}

// away reports whether a decision had better not wait for the log.
func (o *outage) away() bool {
	if !o.c.Available() {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return time.Now().Before(o.awayUntil)
}

func (o *outage) setAway() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.awayUntil = time.Now().Add(awayFor)
}

func (o *outage) pending(id rotunda.RoomID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.rooms[id]
	return r != nil && slices.ContainsFunc(r.facts, func(h *held) bool { return h.Logged == 0 })
}

// of lists the room's facts.
func (o *outage) of(id rotunda.RoomID) []Fact {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.rooms[id]
	if r == nil {
		return nil
	}
	facts := make([]Fact, len(r.facts))
	for i, h := range r.facts {
		facts[i] = h.Fact
	}
	return facts
}

// eventsOf lists what of the facts may not be in the log.
func eventsOf(facts []Fact) []room.Event {
	var events []room.Event
	for _, f := range facts {
		if f.Logged == 0 {
			events = append(events, f.Events...)
		}
	}
	return events
}

// add takes a fact in; one that is known already changes nothing. It reports whether it is known now.
func (o *outage) add(f Fact, own bool) bool {
	now := time.Now()
	if s := o.c.peek(f.Room); s != nil && f.adopted(s) {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, settled := o.settled[f.ID]; settled {
		return true
	}
	if r := o.rooms[f.Room]; r != nil {
		if i := slices.IndexFunc(r.facts, func(h *held) bool { return h.ID == f.ID }); i >= 0 {
			r.facts[i].heard = now
			return true
		}
	}
	if own && o.own >= factsOwnMax || !own && o.all-o.own >= factsMax {
		return false
	}
	if r := o.rooms[f.Room]; r != nil && len(r.facts) >= factsRoomMax {
		return false
	}
	r := o.overlay(f.Room)
	o.count(own, 1)
	r.change(append(r.facts, &held{Fact: f, own: own, version: r.version + 1, heard: now, sent: now}))
	return true
}

func (o *outage) count(own bool, n int) {
	o.all += n
	if own {
		o.own += n
	}
}

// waits reports whether there are rooms over whose log something lies, or may soon.
func (o *outage) waits() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.rooms) > 0
}

// overlay finds or makes the entry of a room. The caller holds o.mu.
func (o *outage) overlay(id rotunda.RoomID) *overlay {
	r := o.rooms[id]
	if r == nil {
		r = &overlay{changed: make(chan struct{})}
		o.rooms[id] = r
		nudge(o.wake)
	}
	return r
}

// lies lists the facts that lie over a state of the log. The caller holds o.mu.
func (r *overlay) lies(s *room.State) (over []*held) {
	for _, h := range r.facts {
		if h.Logged == 0 || h.Logged > s.Seq {
			over = append(over, h)
		}
	}
	for _, h := range r.gone {
		if s.Seq < h.settled {
			over = append(over, h)
		}
	}
	return over
}

// change replaces the facts and tells who waits. The caller holds o.mu.
func (r *overlay) change(facts []*held) {
	r.facts, r.base, r.over = facts, nil, nil
	r.version++
	close(r.changed)
	r.changed = make(chan struct{})
}

// drop forgets facts that are in the room's log, as of a state of that number, or are nothing there. Who reads the log later than
// this node's newest state, because they were busy or begin again, gets them over what was before for a while: nobody who
// was told of a decision is told otherwise by older news.
func (o *outage) drop(id rotunda.RoomID, facts []Fact, seq uint64) {
	gone := map[string]bool{}
	for _, f := range facts {
		gone[f.ID] = true
	}
	var mine []string
	o.mu.Lock()
	if r := o.rooms[id]; r != nil {
		var keep []*held
		for _, h := range r.facts {
			if !gone[h.ID] {
				keep = append(keep, h)
				continue
			}
			o.count(h.own, -1)
			o.settle1(h.ID)
			past := &held{Fact: h.Fact, version: h.version, settled: seq, dropped: time.Now()}
			r.gone = append(slices.Clip(r.gone[max(0, len(r.gone)+1-factsRoomMax):]), past)
			if h.own {
				mine = append(mine, h.ID)
			}
		}
		if len(keep) != len(r.facts) {
			r.change(keep)
		}
		o.forget(id, r)
	}
	o.mu.Unlock()
	for _, name := range mine {
		if o.box == nil {
			continue
		}
		if err := o.box.Drop(name); err != nil {
			o.c.cfg.Logger.Warn("a decision that is in the log stays on the disk", "error", err)
		}
	}
}

// settle1 remembers that a fact is settled. The caller holds o.mu.
func (o *outage) settle1(id string) {
	o.settled[id] = struct{}{}
	o.order = append(o.order, id)
	if len(o.order) > settledMax {
		delete(o.settled, o.order[0])
		o.order = append([]string(nil), o.order[1:]...)
	}
}

// forget lets go of an entry that nobody needs. The caller holds o.mu.
func (o *outage) forget(id rotunda.RoomID, r *overlay) {
	if r.users == 0 && len(r.facts) == 0 && len(r.gone) == 0 {
		delete(o.rooms, id)
	}
}

// over is a state with the decisions that are not in the log yet: s itself where there are none.
func (o *outage) over(id rotunda.RoomID, s *room.State) *room.State {
	over, _ := o.overAt(id, s)
	return over
}

func (o *outage) overAt(id rotunda.RoomID, s *room.State) (*room.State, uint64) {
	o.mu.Lock()
	r := o.rooms[id]
	if r == nil {
		defer o.mu.Unlock()
		return s, 0
	}
	if r.base == s && r.at == r.version {
		defer o.mu.Unlock()
		return r.over, r.at
	}
	facts, version := r.lies(s), r.version
	o.mu.Unlock()
	if len(facts) == 0 {
		return s, version
	}
	var events []room.Event
	for _, h := range facts {
		events = append(events, h.Events...)
	}
	over := s.Overlay(events)
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.version == version {
		if r.base == s {
			return r.over, version // somebody else was faster: all shall have the same
		}
		r.base, r.at, r.over = s, version, over
	}
	return over, version
}

// sendAgain lists facts of this node that the others may have missed, a few at a time.
func (o *outage) sendAgain(now time.Time) []Fact {
	var again []Fact
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.rooms {
		for _, h := range r.facts {
			if h.own && now.Sub(h.sent) >= spreadEvery && len(again) < spreadAtOnce {
				h.sent = now
				again = append(again, h.Fact)
			}
		}
	}
	return again
}

// review forgets facts that the log has, as far as this node has seen it, and lists the rooms whose facts this node is to
// append: those with facts of its own if the log is here, and those that it follows if their nodes have not done it (late).
func (o *outage) review(now time.Time, here, late bool) []rotunda.RoomID {
	var todo []rotunda.RoomID
	o.mu.Lock()
	ids := make([]rotunda.RoomID, 0, len(o.rooms))
	for id := range o.rooms {
		ids = append(ids, id)
	}
	o.mu.Unlock()
	for _, id := range ids {
		s := o.c.peek(id)
		var gone []Fact
		own, open := false, false
		o.mu.Lock()
		if r := o.rooms[id]; r != nil {
			r.gone = slices.DeleteFunc(slices.Clone(r.gone), func(h *held) bool { return now.Sub(h.dropped) > settledKeep })
			o.forget(id, r)
			for _, h := range r.facts {
				switch {
				case s != nil && (h.adopted(s) || s.Phase == room.Ended), s == nil && here && !h.own && now.Sub(h.heard) > otherMax:
					gone = append(gone, h.Fact)
				default:
					own, open = own || h.own, open || h.Logged == 0
				}
			}
		}
		o.mu.Unlock()
		if len(gone) > 0 {
			var seq uint64 // nobody follows the room: nobody is told anything
			if s != nil {
				seq = s.Seq
			}
			o.drop(id, gone, seq)
		}
		if here && open && (own || late && s != nil) {
			todo = append(todo, id)
		}
	}
	slices.SortFunc(todo, func(a, b rotunda.RoomID) int { return cmp.Compare(a, b) })
	return todo
}

// peek is the newest state of a room that is followed already; nil: it is not.
func (c *Control) peek(id rotunda.RoomID) *room.State {
	c.mu.Lock()
	f := c.rooms[id]
	c.mu.Unlock()
	if f == nil {
		return nil
	}
	select {
	case <-f.loaded:
		s, _ := f.current()
		return s
	default:
		return nil
	}
}

// lens is how one follower of a room sees the decisions that are not in the log yet. It is owned by the follower.
type lens struct {
	o       *outage
	id      rotunda.RoomID
	entry   *overlay
	version uint64      // of the facts that the follower knows
	base    *room.State // of the log, told last
	last    *room.State // what it was told as; nil: nothing yet
}

// lens begins; who has one closes it.
func (o *outage) lens(id rotunda.RoomID) *lens {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := &lens{o: o, id: id, entry: o.overlay(id)}
	l.entry.users++
	return l
}

func (l *lens) close() {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	l.entry.users--
	l.o.forget(l.id, l.entry)
}

// change is a change of the log as it is to be told.
func (l *lens) change(c Change) Change {
	facts := l.since(c.State)
	over, version := l.o.overAt(l.id, c.State)
	if c.Before != nil && c.Before == l.base {
		c.Before = l.last
	} else if c.Before != nil {
		c.Before = l.o.over(l.id, c.Before)
	}
	l.base, l.last, l.version = c.State, over, version
	c.State, c.Facts = over, facts
	return c
}

// news is the change that decisions which are not in the log have made since the last one, if any; s is the log's newest
// state. wait is closed with the next.
func (l *lens) news(s *room.State) (c Change, changed bool, wait <-chan struct{}) {
	l.o.mu.Lock()
	version, wait := l.entry.version, l.entry.changed
	l.o.mu.Unlock()
	if version == l.version {
		return Change{}, false, wait
	}
	facts, before := l.since(s), l.last
	over, version := l.o.overAt(l.id, s)
	l.base, l.last, l.version = s, over, version
	changed = over != before && !(before == nil && over == s) // who resumes has seen the log's own state
	return Change{State: over, Facts: facts}, changed, wait
}

// since lists what has been decided without the log and was not told yet; s is the state that is told with it.
func (l *lens) since(s *room.State) []room.Event {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	var events []room.Event
	for _, h := range l.entry.facts {
		if h.version > l.version {
			events = append(events, h.Events...)
		}
	}
	for _, h := range l.entry.gone {
		if h.version > l.version && s.Seq < h.settled {
			events = append(events, h.Events...)
		}
	}
	return events
}
