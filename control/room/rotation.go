package room

import (
	"fmt"
	"time"

	"rotunda"
)

// Bounds of a turn, in seconds.
const (
	turnMin   Seconds = 10
	turnMax   Seconds = 3600
	warnUsual Seconds = 10 // before the end, where nothing else is said; at most half a turn
)

// Rotation is how the people in the queue take turns, each in order and for the same time. Its zero value is none.
type Rotation struct {
	Turn   Seconds // how long a turn lasts; 0: no rotation
	Warn   Seconds // how long before its end the speaker is warned; 0: not
	User   rotunda.UserID
	Began  time.Time
	Until  time.Time
	Warned bool
}

// Rotate starts a rotation, or changes the length of the turns to come.
type Rotate struct {
	Turn Seconds  // 0: the policy's
	Warn *Seconds // nil: the usual
}

// NextTurn ends the present turn.
type NextTurn struct{}

// ExtendTurn makes the present turn longer.
type ExtendTurn struct{ By Seconds }

// StopRotation ends the rotation. Whoever has a turn stays on stage.
type StopRotation struct{}

func (Rotate) Name() string       { return "rotate" }
func (NextTurn) Name() string     { return "rotation_next" }
func (ExtendTurn) Name() string   { return "rotation_extend" }
func (StopRotation) Name() string { return "rotation_stop" }

func (Rotate) subject(*State, Actor) rotunda.UserID       { return "" }
func (NextTurn) subject(*State, Actor) rotunda.UserID     { return "" }
func (ExtendTurn) subject(*State, Actor) rotunda.UserID   { return "" }
func (StopRotation) subject(*State, Actor) rotunda.UserID { return "" }

func (c Rotate) decide(d *draft) error {
	turn := c.Turn
	if turn == 0 {
		turn = d.Details.Policy.Turn
	}
	if turn < turnMin || turn > turnMax {
		return fmt.Errorf("turn: %w: %d to %d seconds", ErrInvalid, turnMin, turnMax)
	}
	warn := min(warnUsual, turn/2)
	set(&warn, c.Warn)
	if warn < 0 || warn > turn/2 {
		return fmt.Errorf("warn: %w: 0 to %d seconds, half a turn", ErrInvalid, turn/2)
	}
	if d.Phase != Live {
		return ErrNotLive
	}
	if d.Rotation.Turn != turn || d.Rotation.Warn != warn {
		d.emit(Event{Type: EventRotationStarted, Turn: turn, Warn: warn})
	}
	return nil
}

func (NextTurn) decide(d *draft) error {
	if d.Rotation.User == "" {
		return fmt.Errorf("nobody has a turn: %w", ErrConflict)
	}
	d.emit(Event{Type: EventTurnEnded, User: d.Rotation.User})
	return nil
}

func (c ExtendTurn) decide(d *draft) error {
	r := d.Rotation
	switch {
	case c.By < 1 || c.By > turnMax:
		return fmt.Errorf("by: %w: 1 to %d seconds", ErrInvalid, turnMax)
	case r.User == "":
		return fmt.Errorf("nobody has a turn: %w", ErrConflict)
	case r.Until.Sub(r.Began)+c.By.Duration() > 4*turnMax.Duration():
		return fmt.Errorf("a turn of more than %v: %w", 4*turnMax.Duration(), ErrConflict)
	}
	d.emit(Event{Type: EventTurnExtended, User: r.User, Until: r.Until.Add(c.By.Duration())})
	return nil
}

func (StopRotation) decide(d *draft) error {
	if d.Rotation.Turn > 0 {
		d.emit(Event{Type: EventRotationStopped})
	}
	return nil
}

// rotate starts the rotation that the room's mode asks for, or stops it where the mode is another one now.
func (d *draft) rotate(before Mode) {
	switch mode := d.Details.Mode; {
	case d.Phase != Live || mode == before:
	case mode == Rotating && d.Rotation.Turn == 0:
		turn := d.Details.Policy.Turn
		d.emit(Event{Type: EventRotationStarted, Turn: turn, Warn: min(warnUsual, turn/2)})
	case before == Rotating && d.Rotation.Turn > 0:
		d.emit(Event{Type: EventRotationStopped})
	}
}

// nextTurn gives the first in the queue a turn where nobody has one and there is a place on stage.
func (d *draft) nextTurn() {
	if d.Phase != Live || d.Rotation.Turn == 0 || d.Rotation.User != "" || len(d.queue) == 0 || d.place() != nil {
		return
	}
	next := d.Queue()[0]
	d.emitAsNode(Event{
		Type: EventTurn, User: next.User, Name: next.Name, SSRC: d.ssrc(next.User),
		Until: d.now.Add(d.Rotation.Turn.Duration()),
	})
}

// turnDue is when the speaker is to be warned or the turn is over; zero: nobody has a turn.
func (s *State) turnDue() time.Time {
	r := s.Rotation
	switch {
	case r.User == "":
		return time.Time{}
	case r.Warn > 0 && !r.Warned:
		return r.Until.Add(-r.Warn.Duration())
	}
	return r.Until
}

// turnOn does what turnDue waited for.
func (d *draft) turnOn() {
	r := d.Rotation
	if r.Until.After(d.now) {
		d.emitAsNode(Event{Type: EventTurnWarned, User: r.User})
		return
	}
	d.emitAsNode(Event{Type: EventTurnEnded, User: r.User})
}

func (s *State) applyRotationStarted(e Event) {
	if s.Rotation.Turn != e.Turn {
		s.repace(e)
	}
	s.Rotation.Turn, s.Rotation.Warn = e.Turn, e.Warn
}

func (s *State) applyTurn(e Event) {
	s.enter(e, rotunda.Speaker)
	s.Rotation.User, s.Rotation.Began, s.Rotation.Until, s.Rotation.Warned = e.User, e.At, e.Until, false
	s.talked(e.User, func(t *Talk) { t.Turns++ })
}

// endTurn closes the books on u's turn, if they have it. It does not take them off the stage.
func (s *State) endTurn(u rotunda.UserID, at time.Time) {
	r := &s.Rotation
	if r.User == "" || r.User != u {
		return
	}
	s.talked(u, func(t *Talk) { t.Held += max(0, at.Sub(r.Began)) })
	s.pace.took(at.Sub(r.Began))
	r.User, r.Began, r.Until, r.Warned = "", time.Time{}, time.Time{}, false
}

// TurnEnd is how a turn ended. The values are those of the label end of rotunda_turn_ratio.
type TurnEnd string

// The ways in which a turn ends.
const (
	TurnTime    TurnEnd = "time"    // its time was up
	TurnSkipped TurnEnd = "skipped" // by the host or a co-host
	TurnLeft    TurnEnd = "left"    // the speaker left the stage or got another role, or turns are no longer taken
)

// TurnOver says how long the turn lasted that e ended, over the time that it was given, extensions included, and how it
// ended; ok is false where e ended none. before is the state before e.
func TurnOver(before *State, e Event) (ratio float64, end TurnEnd, ok bool) {
	r := before.Rotation
	if r.User == "" || !r.Until.After(r.Began) {
		return 0, "", false
	}
	end = TurnLeft
	switch {
	case e.Type == EventTurnEnded && e.User == r.User && e.By == "":
		end = TurnTime
	case e.Type == EventTurnEnded && e.User == r.User:
		end = TurnSkipped
	default:
		after := before.Clone()
		after.Apply(e)
		if after.Rotation.User == r.User && after.Rotation.Began.Equal(r.Began) {
			return 0, "", false
		}
	}
	return max(0, float64(e.At.Sub(r.Began))/float64(r.Until.Sub(r.Began))), end, true
}
