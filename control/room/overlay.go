package room

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrGrants is the refusal of a command that gives something to somebody while the log is away: only what takes away may
// be decided without it.
var ErrGrants = errors.New("needs the room's log")

// adoptedMax is how many facts a state remembers to have in its log.
const adoptedMax = 512

// Restrict is Decide while the log is away: for commands that take something away from people or shut the room. Every
// other one is refused with ErrGrants. Nothing that follows from the decision and would give something happens: no next
// turn, no grant that is taken up. The events are facts: the caller gives them ids and signs them.
func (s *State) Restrict(now time.Time, a Actor, cmd Command) ([]Event, error) {
	if !Restricts(cmd) {
		return nil, fmt.Errorf("%s: %w", cmd.Name(), ErrGrants)
	}
	if c, ok := cmd.(Remove); ok && a.System && c.User == s.Host {
		return nil, fmt.Errorf("%s: the host's role passes on by the log only: %w", cmd.Name(), ErrGrants)
	}
	a.Grant = false
	d := &draft{State: s, now: now.UTC().Truncate(time.Millisecond), actor: a}
	if err := d.admit(cmd); err != nil {
		return nil, err
	}
	if err := cmd.decide(d); err != nil {
		return nil, fmt.Errorf("%s: %w", cmd.Name(), err)
	}
	for i := range d.events {
		d.events[i].Fact = true
	}
	return d.events, nil
}

// Adopt returns what of the facts still has to be appended to the room's log, with its sequence numbers. A fact that the
// log has, that is so already, or that no longer can be (its room is over, its person is the host by now: the host is muted
// but never removed) is left out. Facts are taken by time and id, so that their order does not matter, and each one counts
// once however often it is heard. Facts only ever take away.
func (s *State) Adopt(facts []Event) []Event {
	d := &draft{State: s}
	sorted := slices.Clone(facts)
	slices.SortStableFunc(sorted, func(a, b Event) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	for _, e := range sorted {
		if e.ID == "" || slices.Contains(d.adopted, e.ID) || d.Phase == Ended || d.Seq == 0 {
			continue
		}
		fact := Event{ID: e.ID, At: e.At, By: e.By, Type: e.Type, User: e.User, Reason: e.Reason, Fact: true}
		if !d.restricts(e, &fact) {
			continue
		}
		if len(d.events) == 0 {
			d.State = d.State.Clone()
		}
		fact.Seq = d.Seq + 1
		d.Apply(fact)
		d.events = append(d.events, fact)
	}
	return d.events
}

// restricts reports whether e takes anything away in this state, and makes fact say what.
func (s *State) restricts(e Event, fact *Event) bool {
	switch e.Type {
	case EventMuted:
		return !s.Muted(e.User)
	case EventMutedAll:
		for _, u := range e.Users {
			if !s.Muted(u) && !slices.Contains(fact.Users, u) {
				fact.Users = append(fact.Users, u)
			}
		}
		return len(fact.Users) > 0
	case EventDenied:
		_, asked := s.queue[e.User]
		return asked
	case EventLocked:
		return !s.Locked()
	case EventRemoved:
		if e.User == "" || e.User == s.Host || e.User.Valid() != nil {
			return false
		}
		r, removed := s.removed[e.User]
		fact.Ban = e.Ban && (r.Ban || s.bans() < BansMax)
		if fact.Ban && (r.Bar != "" || s.barred(e.User, e.Bar) <= barsMax) {
			fact.Bar = cmp.Or(r.Bar, e.Bar)
		}
		known := removed && !r.At.Before(e.At) || r.Ban // removed since, or refused anyway
		return !known || fact.Ban && !r.Ban || fact.Bar != r.Bar
	}
	return false
}

// Overlay returns the state as it stands with the facts that are not in its log: the same on every node that knows the
// same facts. Its Seq is that of the log. It is s itself where the facts change nothing.
func (s *State) Overlay(facts []Event) *State {
	events := s.Adopt(facts)
	if len(events) == 0 {
		return s
	}
	over := s.Clone()
	for _, e := range events {
		over.Apply(e)
	}
	over.Seq = s.Seq
	return over
}

// adopt remembers that a fact is in the log.
func (s *State) adopt(id string) {
	from := max(0, len(s.adopted)+1-adoptedMax)
	s.adopted = append(slices.Clone(s.adopted[from:]), id)
}

// Adopted reports whether the fact of that id is among the last that came into the log.
func (s *State) Adopted(id string) bool { return slices.Contains(s.adopted, id) }

// Restricts reports whether cmd only takes away, so that Restrict decides it while the log is away.
func Restricts(cmd Command) bool {
	switch cmd.(type) {
	case Mute, MuteAll, Lock, Deny, Remove:
		return true
	}
	return false
}
