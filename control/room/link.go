package room

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"time"

	"rotunda"
)

// Bounds of the key in a link for speakers, in characters. The shortest has the 120 bits that nobody guesses.
const (
	LinkKeyMin = 20
	LinkKeyMax = 64
)

// SpeakerLink is the room's link for speakers: whoever has its key is invited by whoever made it. There is at most one, and
// a new one takes the old one's place. The room remembers no key, only what proves one.
type SpeakerLink struct {
	By    rotunda.UserID
	At    time.Time
	Proof string // empty: there is none
}

// OpenLink makes Key that of the link for speakers.
type OpenLink struct{ Key string }

// CloseLink makes the link for speakers worthless. Those who came by it keep what they have.
type CloseLink struct{}

// TakeLink invites the actor, who has the key. They come on stage when they accept, as with any invitation.
type TakeLink struct{ Key string }

func (OpenLink) Name() string  { return "link_open" }
func (CloseLink) Name() string { return "link_close" }
func (TakeLink) Name() string  { return "link_take" }

func (OpenLink) subject(*State, Actor) rotunda.UserID     { return "" }
func (CloseLink) subject(*State, Actor) rotunda.UserID    { return "" }
func (TakeLink) subject(_ *State, a Actor) rotunda.UserID { return a.User }

// proof is what the log keeps of a key: whoever reads the log cannot use the link.
func proof(key string) string {
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (c OpenLink) decide(d *draft) error {
	if len(c.Key) < LinkKeyMin || len(c.Key) > LinkKeyMax {
		return fmt.Errorf("key: %w: %d to %d characters", ErrInvalid, LinkKeyMin, LinkKeyMax)
	}
	if p := proof(c.Key); d.Link.Proof != p {
		d.emit(Event{Type: EventLinkOpened, Note: p})
	}
	return nil
}

func (CloseLink) decide(d *draft) error {
	if d.Link.Proof != "" {
		d.emit(Event{Type: EventLinkClosed})
	}
	return nil
}

func (c TakeLink) decide(d *draft) error {
	u, maker := d.actor.User, d.Link.By
	switch {
	case d.Role(u).OnStage():
		return nil
	case d.actor.Role == rotunda.Listener:
		return fmt.Errorf("with a token for a listener: %w", ErrForbidden)
	case d.Link.Proof == "" || subtle.ConstantTimeCompare([]byte(d.Link.Proof), []byte(proof(c.Key))) != 1:
		return fmt.Errorf("no such link: %w", ErrForbidden)
	case d.Role(maker).Rank() < rotunda.Cohost.Rank(): // what they gave away ends with what they may give
		return fmt.Errorf("the link is of somebody who may not invite any more: %w", ErrForbidden)
	}
	by := d.actor
	d.actor = Actor{User: maker}
	defer func() { d.actor = by }()
	return Invite{User: u}.decide(d)
}
