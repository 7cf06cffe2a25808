package room

import (
	"slices"
	"time"
)

// How quickly requests to speak are answered is judged by the latest ones.
const (
	answersMax = 8
	answerMax  = 4 * time.Hour // what took longer counts as this: the host was elsewhere
)

// pace is how quickly those who ask to speak have come to their turn of late. It is part of the state, and so the same on
// all nodes and after a snapshot.
type pace struct {
	Took  []time.Duration `json:"took,omitempty"` // the latest answers, the oldest first; never changed in place
	Since time.Time       `json:"since,omitzero"` // whoever is first in the queue waits for an answer since
}

// Wait is how many wait for the stage, and what is known of how long that takes.
type Wait struct {
	Waiting     int        `json:"waiting" doc:"How many ask to speak." example:"3"`
	EachSeconds *Seconds   `json:"eachSeconds" doc:"How long each of them takes to come to an answer, in seconds: the mean of the last eight answers; in rotation the mean of the last eight turns, or the turn's length before there was one. null: nothing is known yet." example:"80"`
	Since       *time.Time `json:"since" doc:"Since when the first in line waits for an answer. null: nobody waits."`
	NextAt      *time.Time `json:"nextAt" doc:"In rotation, when the present turn ends and the next one begins. null: not known."`
}

// Wait says how many wait for the stage, and what is known of how long that takes.
func (s *State) Wait() Wait {
	w := Wait{Waiting: len(s.queue)}
	each, known := s.pace.each()
	if r := s.Rotation; r.Turn > 0 {
		w.NextAt = unlessZero(r.Until)
		if !known {
			each, known = r.Turn.Duration(), true
		}
	}
	if known {
		whole := seconds(each + time.Second/2)
		w.EachSeconds = &whole
	}
	if w.Waiting > 0 {
		w.Since = unlessZero(s.pace.Since)
	}
	return w
}

// Expected is how long the one at a place of the queue, from 1, may still wait; ok is false where nothing is known. Where
// turns are taken, it is what is left of this one and the turns of those before. Else nobody can know when a host answers
// next, however long ago the last answer was: each place takes what answers took of late, or as long as the first in line
// waits already, where that is longer.
func (w Wait) Expected(now time.Time, place int) (d time.Duration, ok bool) {
	if w.EachSeconds == nil || place < 1 {
		return 0, false
	}
	each := w.EachSeconds.Duration()
	if w.NextAt != nil {
		return max(0, w.NextAt.Sub(now)) + time.Duration(place-1)*each, true
	}
	if w.Since != nil {
		each = max(each, min(now.Sub(*w.Since), answerMax))
	}
	return time.Duration(place) * each, true
}

// each is the mean of what the latest answers took.
func (p pace) each() (d time.Duration, known bool) {
	if len(p.Took) == 0 {
		return 0, false
	}
	for _, t := range p.Took {
		d += t
	}
	return d / time.Duration(len(p.Took)), true
}

func (p *pace) took(d time.Duration) {
	from := max(0, len(p.Took)+1-answersMax)
	p.Took = append(slices.Clone(p.Took[from:]), min(max(0, d), answerMax))
}

// applyAsked puts a person into the queue.
func (s *State) applyAsked(e Event) {
	if len(s.queue) == 0 {
		s.pace.Since = e.At
	}
	s.asked++
	put(&s.queue, e.User, Ask{User: e.User, Name: e.Name, At: e.At, Order: s.asked, Note: e.Note})
}

// answer takes e.User out of the queue because their request has an answer: a place on stage, or none. Where turns are taken,
// it is turns that say how quickly the queue moves.
func (s *State) answer(e Event) {
	if _, asked := s.queue[e.User]; !asked {
		return
	}
	if s.Rotation.Turn == 0 {
		s.pace.took(e.At.Sub(s.pace.Since))
	}
	s.pace.Since = e.At
	delete(s.queue, e.User)
}

// repace forgets how quickly the queue moved, because from e on it moves in another way.
func (s *State) repace(e Event) { s.pace = pace{Since: e.At} }
