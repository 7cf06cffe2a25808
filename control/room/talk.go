package room

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"rotunda"
)

// SpeakingEvery is the least time between two reports of talk time: it is the log that they would fill.
const SpeakingEvery = 20 * time.Second

// speakingMax bounds what one report may say of one person.
const speakingMax = 15 * 60 // seconds

// Talk is how much of the room's time a person has had.
type Talk struct {
	User  rotunda.UserID
	Spoke time.Duration // heard talking, whole seconds, as the home has reported
	Turns int           // in rotation
	Held  time.Duration // the length of those turns that are over
}

// Speaking says how long people have been heard talking since the last report of the room's home, in whole seconds; the
// home keeps the rest for the next one. A report that comes too early is refused: the home adds to it and tries later.
type Speaking struct {
	Node rotunda.NodeID
	Talk map[rotunda.UserID]Seconds
}

func (Speaking) Name() string                         { return "speaking" }
func (Speaking) subject(*State, Actor) rotunda.UserID { return "" }

func (c Speaking) decide(d *draft) error {
	if err := c.Node.Valid(); err != nil {
		return fmt.Errorf("node: %w: %v", ErrInvalid, err)
	}
	talk := map[rotunda.UserID]Seconds{}
	for u, n := range c.Talk {
		if n < 0 || n > speakingMax {
			return fmt.Errorf("talk: %w: 0 to %d seconds each", ErrInvalid, speakingMax)
		}
		if _, known := d.voices[u]; known && n > 0 {
			talk[u] = n
		}
	}
	switch {
	case len(c.Talk) > 2*StageMax: // people may have come and gone between two reports
		return fmt.Errorf("talk: %w: at most %d people", ErrInvalid, 2*StageMax)
	case d.Phase != Live:
		return ErrNotLive
	case c.Node != d.Home:
		return fmt.Errorf("%s is not the room's home: %w", c.Node, ErrConflict)
	case len(talk) == 0:
		return nil
	case d.now.Before(d.spokeAt.Add(SpeakingEvery)):
		return fmt.Errorf("less than %v after the last report: %w", SpeakingEvery, ErrConflict)
	}
	d.emit(Event{Type: EventSpoke, Talk: talk})
	return nil
}

func (s *State) applySpoke(e Event) {
	s.spokeAt = e.At
	for u, n := range e.Talk {
		s.talked(u, func(t *Talk) { t.Spoke += max(0, n.Duration()) })
	}
}

// talked changes what is counted for u, if u was ever on stage.
func (s *State) talked(u rotunda.UserID, count func(*Talk)) {
	if v, ok := s.voices[u]; ok {
		count(&v.talk)
		s.voices[u] = v
	}
}

// Talk lists who has had how much of the room's time, the most first: fairness figures.
func (s *State) Talk() []Talk {
	var out []Talk
	for u, v := range s.voices {
		if t := v.talk; t.Spoke > 0 || t.Turns > 0 {
			t.User = u
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b Talk) int {
		return cmp.Or(cmp.Compare(b.Spoke, a.Spoke), cmp.Compare(b.Held, a.Held), cmp.Compare(a.User, b.User))
	})
	return out
}

// forgetVoices keeps the list of people who were on stage within its bound: who left first goes first. Whoever is
// forgotten and comes back begins above the highest epoch that a forgotten one had, so that nobody takes their new
// microphone for an old one.
func (s *State) forgetVoices() {
	if len(s.voices) <= voicesMax {
		return
	}
	u, ok := first(s.voices, func(u rotunda.UserID, v voice) (int64, bool) {
		_, on := s.stage[u]
		return int64(v.left), !on
	})
	if ok {
		s.epochFloor = max(s.epochFloor, s.voices[u].epoch)
		delete(s.voices, u)
	}
}
