package room

import (
	"cmp"
	"fmt"
	"time"

	"rotunda"
)

// InvitationsMax is how many invitations a room remembers. Answered ones make way for new ones, the oldest first.
const InvitationsMax = 256

// Invitation says that a person was asked to come on stage. Nobody is put there without having said yes.
type Invitation struct {
	By   rotunda.UserID
	At   time.Time
	Open bool // not answered, nor taken back
}

// Invite asks User to come on stage. Whoever has asked to speak has said yes already: for them it is Approve.
type Invite struct{ User rotunda.UserID }

// Accept takes the invitation up: User comes on stage, muted.
type Accept struct {
	User rotunda.UserID // empty: the actor
}

// Decline does not take the invitation up; the host and co-hosts take it back with it, and a node that of somebody who has
// left.
type Decline struct {
	User rotunda.UserID // empty: the actor
}

func (Invite) Name() string  { return "invite" }
func (Accept) Name() string  { return "accept" }
func (Decline) Name() string { return "decline" }

func (c Invite) subject(*State, Actor) rotunda.UserID      { return c.User }
func (c Accept) subject(_ *State, a Actor) rotunda.UserID  { return cmp.Or(c.User, a.User) }
func (c Decline) subject(_ *State, a Actor) rotunda.UserID { return cmp.Or(c.User, a.User) }

func (c Invite) decide(d *draft) error {
	if _, asked := d.queue[c.User]; asked {
		return Approve(c).decide(d)
	}
	switch {
	case c.User == "":
		return fmt.Errorf("user: %w: nobody named", ErrInvalid)
	case d.Role(c.User).OnStage():
		return fmt.Errorf("%s is on stage: %w", c.User, ErrConflict)
	case d.Banned(c.User):
		return fmt.Errorf("%s is banned: %w", c.User, ErrConflict)
	case d.invited[c.User].Open:
		return nil
	case d.open() >= InvitationsMax:
		return fmt.Errorf("%d invitations wait: %w", InvitationsMax, ErrFull)
	}
	d.emit(Event{Type: EventInvited, User: c.User})
	return nil
}

func (c Accept) decide(d *draft) error {
	u := c.subject(d.State, d.actor)
	switch {
	case d.Role(u).OnStage():
		return nil
	case d.actor.Role == rotunda.Listener:
		return fmt.Errorf("with a token for a listener: %w", ErrForbidden)
	case !d.invited[u].Open:
		return fmt.Errorf("%s is not invited: %w", u, ErrConflict)
	}
	if err := d.place(); err != nil {
		return err
	}
	d.emit(Event{Type: EventAccepted, User: u, Name: clean(d.actor.Name), SSRC: d.ssrc(u)})
	return nil
}

func (c Decline) decide(d *draft) error {
	if u := c.subject(d.State, d.actor); d.invited[u].Open {
		d.emit(Event{Type: EventDeclined, User: u})
	}
	return nil
}

// open counts the invitations that wait for an answer.
func (s *State) open() int {
	n := 0
	for _, i := range s.invited {
		if i.Open {
			n++
		}
	}
	return n
}

// Invitations returns those that wait for an answer.
func (s *State) Invitations() map[rotunda.UserID]Invitation {
	open := map[rotunda.UserID]Invitation{}
	for u, i := range s.invited {
		if i.Open {
			open[u] = i
		}
	}
	return open
}

func (s *State) applyInvited(e Event) {
	put(&s.invited, e.User, Invitation{By: e.By, At: e.At, Open: true})
	if len(s.invited) <= InvitationsMax {
		return
	}
	u, _ := first(s.invited, func(_ rotunda.UserID, i Invitation) (int64, bool) { return i.At.UnixMilli(), !i.Open })
	delete(s.invited, u)
}

// answered closes u's invitation, which is remembered: it allows to ask where only the invited may.
func (s *State) answered(u rotunda.UserID) {
	if i, ok := s.invited[u]; ok {
		i.Open = false
		s.invited[u] = i
	}
}
