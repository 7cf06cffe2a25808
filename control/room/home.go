package room

import (
	"fmt"

	"rotunda"
)

// Standby is the node that takes the program over when home's stops arriving. It has its epoch beforehand, so that it needs
// nobody's word: whoever hears that epoch takes nothing older. The log learns of it afterwards (TakeHome).
//
// The rule about epochs of the program: each is given once, to one node, and every one that is given is above all before.
type Standby struct {
	Node  rotunda.NodeID `json:"node"`
	Epoch rotunda.Epoch  `json:"epoch"` // of the program that it begins when it takes over
}

// StandBy names the node that stands by, and gives it an epoch; an empty Node: nobody. Only the home, By, may say so.
type StandBy struct {
	Node rotunda.NodeID
	By   rotunda.NodeID
}

// TakeHome says that Node has begun to mix the program with Epoch because home's did not arrive any more. The standby becomes
// home. A node that was the standby and is no more has been heard with that epoch all the same, perhaps by many: then the home
// that there is gets a higher one, so that it is heard by them again.
type TakeHome struct {
	Node  rotunda.NodeID
	Epoch rotunda.Epoch
}

// HandOver makes the standby the home. Only the home, By, may say so: it is going to stop.
type HandOver struct{ By rotunda.NodeID }

func (StandBy) Name() string  { return "stand_by" }
func (TakeHome) Name() string { return "take_home" }
func (HandOver) Name() string { return "hand_over" }

func (StandBy) subject(*State, Actor) rotunda.UserID  { return "" }
func (TakeHome) subject(*State, Actor) rotunda.UserID { return "" }
func (HandOver) subject(*State, Actor) rotunda.UserID { return "" }

// nextEpoch is one that nobody was given.
func (s *State) nextEpoch() rotunda.Epoch { return s.given + 1 }

func (c StandBy) decide(d *draft) error {
	if c.Node != "" {
		if err := c.Node.Valid(); err != nil {
			return fmt.Errorf("node: %w: %v", ErrInvalid, err)
		}
	}
	switch {
	case d.Phase != Live:
		return ErrNotLive
	case c.By != d.Home:
		return fmt.Errorf("%s is home, not %s: %w", d.Home, c.By, ErrConflict)
	case c.Node == d.Home:
		return fmt.Errorf("%s is home already: %w", c.Node, ErrConflict)
	case c.Node == d.Standby.Node:
		return nil
	case c.Node == "":
		d.emit(Event{Type: EventStandby})
	default:
		d.emit(Event{Type: EventStandby, Node: c.Node, Epoch: d.nextEpoch()})
	}
	return nil
}

func (c TakeHome) decide(d *draft) error {
	if err := c.Node.Valid(); err != nil {
		return fmt.Errorf("node: %w: %v", ErrInvalid, err)
	}
	switch {
	case d.Phase != Live:
		return ErrNotLive
	case c.Epoch > d.given:
		return fmt.Errorf("epoch %d was given to nobody: %w", c.Epoch, ErrConflict)
	case c.Epoch <= d.Epoch:
		return nil // it is so, or over
	case d.Standby == Standby{c.Node, c.Epoch}:
		d.emit(Event{Type: EventHomed, Node: c.Node, Epoch: c.Epoch})
	default:
		d.emit(Event{Type: EventHomed, Node: d.Home, Epoch: d.nextEpoch()})
	}
	return nil
}

func (c HandOver) decide(d *draft) error {
	switch {
	case d.Phase != Live:
		return ErrNotLive
	case c.By != d.Home:
		return nil // done
	case d.Standby.Node == "":
		return fmt.Errorf("nobody stands by: %w", ErrConflict)
	}
	d.emit(Event{Type: EventHomed, Node: d.Standby.Node, Epoch: d.Standby.Epoch})
	return nil
}

// standDown is for a standby that is dead or has forgotten what it was: home names another. It may have taken over unseen by
// the log, and those who have heard it take nothing older: home gets a higher epoch, so that they hear it again.
func (d *draft) standDown(node rotunda.NodeID) {
	if d.Standby.Node != node {
		return
	}
	d.emit(Event{Type: EventStandby})
	if d.Phase == Live && d.Home != node {
		d.emit(Event{Type: EventHomed, Node: d.Home, Epoch: d.nextEpoch()})
	}
}

// applyHomed also ends a standby whose epoch is not above the new one: it could not take over with it.
func (s *State) applyHomed(e Event) {
	s.Home, s.Epoch = e.Node, e.Epoch
	s.given = max(s.given, e.Epoch)
	if s.Standby.Node == e.Node || s.Standby.Epoch <= e.Epoch {
		s.Standby = Standby{}
	}
}

func (s *State) applyStandby(e Event) {
	s.given = max(s.given, e.Epoch)
	s.Standby = Standby{e.Node, e.Epoch}
	if e.Node == s.Home || e.Epoch <= s.Epoch {
		s.Standby = Standby{} // written by somebody who knew of no standby: of no use
	}
}
