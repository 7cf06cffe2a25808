package room

import (
	"fmt"
	"time"

	"rotunda"
)

// Lock lets nobody new in. Whoever is in the room stays, and may come back.
type Lock struct{}

// Unlock lets people in again.
type Unlock struct{}

// Refresh tells everybody anew what the room is about.
type Refresh struct {
	Joined int // how many have come since the last time, as the node knows
}

// Refreshed is the latest Refresh.
type Refreshed struct {
	At     time.Time
	By     rotunda.UserID
	Joined int
}

func (Lock) Name() string    { return "lock" }
func (Unlock) Name() string  { return "unlock" }
func (Refresh) Name() string { return "refresh" }

func (Lock) subject(*State, Actor) rotunda.UserID    { return "" }
func (Unlock) subject(*State, Actor) rotunda.UserID  { return "" }
func (Refresh) subject(*State, Actor) rotunda.UserID { return "" }

// ErrLocked is the ErrForbidden of a room that lets nobody new in.
var ErrLocked = fmt.Errorf("the room is locked: %w", ErrForbidden)

// Locked reports whether the room lets nobody new in.
func (s *State) Locked() bool { return !s.LockedAt.IsZero() }

// Admitted says whether u may have a session of any kind: nil, ErrBanned, ErrEnded or ErrLocked. since is from when the
// caller knows that u has been in this room without a break; zero: u comes anew. A locked room admits who was in it when it
// was locked or had asked to speak by then, who is on stage or is invited, and nobody else: whoever asks from outside has
// knocked, and comes in when the host lets them. u is empty for somebody without a token.
func (s *State) Admitted(u rotunda.UserID, since time.Time) error {
	switch {
	case s.Banned(u):
		return ErrBanned
	case s.Phase == Ended:
		return ErrEnded
	case !s.Locked(), !since.IsZero() && !since.After(s.LockedAt):
		return nil
	}
	if r, asked := s.queue[u]; asked && !r.At.After(s.LockedAt) || s.Role(u).OnStage() || s.invited[u].Open {
		return nil
	}
	return ErrLocked
}

// MayReact reports whether u may send reactions now.
func (s *State) MayReact(u rotunda.UserID) bool {
	if s.Phase != Live || s.Banned(u) {
		return false
	}
	switch s.Details.Policy.Reactions {
	case ReactStage:
		return s.Role(u).OnStage()
	case ReactNobody:
		return false
	}
	return true
}

func (Lock) decide(d *draft) error {
	if !d.Locked() {
		d.emit(Event{Type: EventLocked})
	}
	return nil
}

func (Unlock) decide(d *draft) error {
	if d.Locked() {
		d.emit(Event{Type: EventUnlocked})
	}
	return nil
}

func (c Refresh) decide(d *draft) error {
	switch {
	case c.Joined < 0:
		return fmt.Errorf("joined: %w: from 0", ErrInvalid)
	case d.Phase != Live:
		return ErrNotLive
	}
	d.emit(Event{Type: EventRefreshed, Joined: c.Joined})
	return nil
}
