package room

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"rotunda"
)

// Bounds of pins.
const (
	PinsMax      = 10  // in the list
	ProposalsMax = 20  // waiting
	ProposedMax  = 3   // waiting, of one person
	URLMax       = 500 // bytes
)

// PinID names a pin within its room.
type PinID string

// Pin is a link that the room shows, or that somebody proposes to show.
type Pin struct {
	ID       PinID
	User     rotunda.UserID // who proposed it
	Name     string
	URL      string
	Note     string
	At       time.Time
	Approved bool
	Place    int // among those that are shown, from 1; among the others, grows with every proposal
}

// ProposePin proposes a link. What the host and co-hosts propose is shown at once.
type ProposePin struct {
	URL  string
	Note string
}

// ApprovePin shows a proposed pin, last in the list.
type ApprovePin struct{ Pin PinID }

// MovePin moves a pin that is shown to another place in the list, from 1; a place past the end is the end.
type MovePin struct {
	Pin   PinID
	Place int
}

// Unpin takes a pin or a proposal away.
type Unpin struct{ Pin PinID }

func (ProposePin) Name() string { return "pin" }
func (ApprovePin) Name() string { return "pin_approve" }
func (MovePin) Name() string    { return "pin_move" }
func (Unpin) Name() string      { return "unpin" }

func (ProposePin) subject(_ *State, a Actor) rotunda.UserID { return a.User }
func (ApprovePin) subject(*State, Actor) rotunda.UserID     { return "" }
func (MovePin) subject(*State, Actor) rotunda.UserID        { return "" }
func (c Unpin) subject(s *State, _ Actor) rotunda.UserID    { return s.pins[c.Pin].User }

// Pins lists the pins that are shown, in order, and those that wait for approval, the oldest first.
func (s *State) Pins() (shown, waiting []Pin) {
	for _, p := range slices.SortedFunc(maps.Values(s.pins), func(a, b Pin) int { return cmp.Compare(a.Place, b.Place) }) {
		if p.Approved {
			shown = append(shown, p)
		} else {
			waiting = append(waiting, p)
		}
	}
	return shown, waiting
}

func (c ProposePin) decide(d *draft) error {
	link, err := webLink(c.URL)
	if err != nil {
		return err
	}
	note, err := text("note", c.Note, NoteMax, true)
	if err != nil {
		return err
	}
	shown, waiting := d.Pins()
	if slices.ContainsFunc(append(shown, waiting...), func(p Pin) bool { return p.URL == link && p.User == d.actor.User }) {
		return nil
	}
	e := Event{Type: EventPinProposed, Pin: PinID(fmt.Sprintf("p%d", d.pinned+1)), User: d.actor.User, Name: clean(d.actor.Name), URL: link, Note: note}
	if d.effective(d.actor).Rank() >= rotunda.Cohost.Rank() {
		e.Type = EventPinned
		if len(shown) >= PinsMax {
			return fmt.Errorf("%d pins: %w", PinsMax, ErrFull)
		}
	} else {
		mine := 0
		for _, p := range waiting {
			if p.User == d.actor.User {
				mine++
			}
		}
		if mine >= ProposedMax || len(waiting) >= ProposalsMax {
			return fmt.Errorf("%d proposals wait, %d of them one's own: %w", len(waiting), mine, ErrFull)
		}
	}
	d.emit(e)
	return nil
}

// webLink checks a link that people will be shown: absolute, http or https, a host, and nobody's password in it.
func webLink(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > URLMax {
		return "", fmt.Errorf("url: %w: 1 to %d bytes", ErrInvalid, URLMax)
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return "", fmt.Errorf("url: %w: an http or https link", ErrInvalid)
	}
	for _, r := range u.Host {
		if !printable(r) || r == ' ' {
			return "", fmt.Errorf("url: %w: character U+%04X in its host", ErrInvalid, r)
		}
	}
	if s = u.String(); len(s) > URLMax {
		return "", fmt.Errorf("url: %w: %d bytes with its characters escaped, at most %d", ErrInvalid, len(s), URLMax)
	}
	return s, nil
}

func (c ApprovePin) decide(d *draft) error {
	p, ok := d.pins[c.Pin]
	switch shown, _ := d.Pins(); {
	case !ok:
		return errNoPin
	case p.Approved:
		return nil
	case len(shown) >= PinsMax:
		return fmt.Errorf("%d pins: %w", PinsMax, ErrFull)
	}
	d.emit(Event{Type: EventPinned, Pin: c.Pin, User: p.User})
	return nil
}

var errNoPin = fmt.Errorf("there is no such pin: %w", ErrConflict)

func (c MovePin) decide(d *draft) error {
	shown, _ := d.Pins()
	p, ok := d.pins[c.Pin]
	switch {
	case !ok || !p.Approved:
		return errNoPin
	case c.Place < 1:
		return fmt.Errorf("place: %w: from 1", ErrInvalid)
	}
	if place := min(c.Place, len(shown)); place != p.Place {
		d.emit(Event{Type: EventPinMoved, Pin: c.Pin, Place: place})
	}
	return nil
}

func (c Unpin) decide(d *draft) error {
	if _, ok := d.pins[c.Pin]; ok {
		d.emit(Event{Type: EventUnpinned, Pin: c.Pin, User: d.pins[c.Pin].User})
	}
	return nil
}

func (s *State) applyPin(e Event) {
	p, known := s.pins[e.Pin]
	if !known {
		s.pinned++
		p = Pin{ID: e.Pin, User: e.User, Name: e.Name, URL: e.URL, Note: e.Note, At: e.At, Place: int(s.pinned)}
	}
	if e.Type == EventPinned && !p.Approved {
		shown, _ := s.Pins()
		p.Approved, p.Place = true, len(shown)+1
	}
	put(&s.pins, e.Pin, p)
}

func (s *State) applyPinMoved(e Event) {
	p, ok := s.pins[e.Pin]
	if !ok || !p.Approved {
		return
	}
	shown, _ := s.Pins()
	shown = slices.DeleteFunc(shown, func(q Pin) bool { return q.ID == e.Pin })
	s.renumber(slices.Insert(shown, min(max(e.Place, 1)-1, len(shown)), p))
}

func (s *State) applyUnpinned(e Event) {
	delete(s.pins, e.Pin)
	shown, _ := s.Pins()
	s.renumber(shown)
}

func (s *State) renumber(shown []Pin) {
	for i, p := range shown {
		p.Place = i + 1
		s.pins[p.ID] = p
	}
}
