package room

import (
	"time"

	"rotunda"
)

// Why a node ended a room: Event.Reason of EventEnded.
const (
	EndedEmpty       = "nobody on stage"
	EndedUnstarted   = "not started"
	EndedHostRemoved = "host removed"
)

// UnstartedMax is how long after its time a scheduled room waits to be started.
const UnstartedMax = 24 * time.Hour

// dueMax bounds how much one Tick does. It is more than can be due at once.
const dueMax = 16

// Tick does what is due at the time it is decided. Nothing in a room happens by itself: nodes say Tick at the Deadline,
// and the log lets one of them be first.
type Tick struct{}

func (Tick) Name() string                         { return "tick" }
func (Tick) subject(*State, Actor) rotunda.UserID { return "" }

// Deadline is when Tick will have something to do if nothing else happens before; zero: never.
func (s *State) Deadline() time.Time {
	switch s.Phase {
	case Scheduled:
		return s.Details.StartsAt.Add(UnstartedMax)
	case Live:
		return earlier(s.hostDue(), s.turnDue())
	}
	return time.Time{}
}

// earlier is the earlier of two times that are not zero, or the other one.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (Tick) decide(d *draft) error {
	for range dueMax {
		due := d.Deadline()
		if due.IsZero() || due.After(d.now) {
			return nil
		}
		switch {
		case d.Phase == Scheduled:
			d.emitAsNode(Event{Type: EventEnded, Reason: EndedUnstarted})
		case due.Equal(d.hostDue()):
			d.passOn()
		default:
			d.turnOn()
		}
		d.settle()
	}
	return nil
}

// settle adds what follows from the events so far whatever the time: a former host who is back has the room again, the
// next in the queue has a turn. In a settled state it does nothing.
func (d *draft) settle() {
	d.restore()
	d.nextTurn()
}

// emitAsNode adds an event that nobody asked for: it follows from the others, or from the time.
func (d *draft) emitAsNode(e Event) {
	by := d.actor
	d.actor = Actor{System: true}
	d.emit(e)
	d.actor = by
}
