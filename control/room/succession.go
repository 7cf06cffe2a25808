package room

import (
	"cmp"
	"slices"
	"time"

	"rotunda"
)

// Why the host's role passed on: Event.Reason of EventSucceeded.
const (
	SuccessionAway     = "away"     // the host was away for longer than the policy's hold
	SuccessionReturned = "returned" // a host who had been away is back in time
	SuccessionRemoved  = "removed"  // the operator removed the host
)

// former is a host who lost the room by being away and gets it back on coming back in time.
type former struct {
	user  rotunda.UserID
	until time.Time
}

// line is everybody on stage but the host, in the order in which they would follow: the co-hosts by time of appointment,
// then the speakers by how long they have spoken, how long they have been on stage, and at last by id.
func (s *State) line() []Participant {
	var out []Participant
	for u, p := range s.stage {
		if u != s.Host {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Participant) int {
		return cmp.Or(
			cmp.Compare(b.Role.Rank(), a.Role.Rank()),
			cmp.Compare(a.Appointed, b.Appointed),
			cmp.Compare(s.voices[b.User].talk.Spoke, s.voices[a.User].talk.Spoke),
			a.Since.Compare(b.Since),
			cmp.Compare(a.User, b.User),
		)
	})
	return out
}

// heir is who would be host if the present one went now: the first in line who is there.
func (s *State) heir() (u rotunda.UserID, ok bool) {
	for _, p := range s.line() {
		if p.Here() {
			return p.User, true
		}
	}
	return "", false
}

// demoted is what the host becomes when next takes over: a co-host where there is a place for one.
func (s *State) demoted(next rotunda.UserID) rotunda.Role {
	if s.cohosts(next) < s.Details.Policy.CohostsMax {
		return rotunda.Cohost
	}
	return rotunda.Speaker
}

// cohosts counts the co-hosts other than u.
func (s *State) cohosts(u rotunda.UserID) int {
	n := 0
	for _, p := range s.stage {
		if p.Role == rotunda.Cohost && p.User != u {
			n++
		}
	}
	return n
}

// succeed makes next, who is on stage, the host.
func (d *draft) succeed(next rotunda.UserID, reason string) {
	d.emitAsNode(Event{Type: EventSucceeded, User: next, Role: rotunda.Host, Former: d.demoted(next), Reason: reason})
	d.follow()
}

func (s *State) applySucceeded(e Event) {
	before := s.stage[s.Host]
	if before.User == e.User || !s.stage[e.User].Role.OnStage() {
		return // no log of ours says so; whatever another one says, there is one host
	}
	away := s.awayFrom()
	s.promote(e)
	switch e.Reason {
	case SuccessionAway:
		until := away.Add(s.Details.Policy.ReturnMax.Duration())
		kept := slices.DeleteFunc(slices.Clone(s.formers), func(f former) bool { return f.until.Before(e.At) || f.user == e.User })
		s.formers = append(kept, former{before.User, until})
	case SuccessionReturned:
		// Those who lost the room after the one who is back have no claim to it any more.
		if i := slices.IndexFunc(s.formers, func(f former) bool { return f.user == e.User }); i >= 0 {
			s.formers = s.formers[:i:i]
		}
	default:
		s.disown(e.User)
	}
}

// promote makes e.User, who is on stage, the host, and the host before what e says.
func (s *State) promote(e Event) {
	if s.Host == e.User {
		return
	}
	s.change(s.Host, func(p *Participant) {
		p.Role, p.Appointed = cmp.Or(e.Former, rotunda.Cohost), 0
		if p.Role == rotunda.Cohost {
			p.Appointed = e.Seq
		}
	})
	s.Host, s.HostSince, s.HeldSince = e.User, e.At, time.Time{}
	s.change(e.User, func(p *Participant) {
		p.Role, p.Appointed = rotunda.Host, 0
		if !p.Away.IsZero() {
			p.Away = e.At // the hold begins with the time in office
		}
	})
	s.endTurn(e.User, e.At)
}

// disown takes u's claim to the room away: others have decided since, or u has left the stage.
func (s *State) disown(u rotunda.UserID) {
	if slices.ContainsFunc(s.formers, func(f former) bool { return f.user == u }) {
		s.formers = slices.DeleteFunc(slices.Clone(s.formers), func(f former) bool { return f.user == u })
	}
}

// awayFrom is since when the host counts as away or, for one of whom nobody has heard, will count; zero: is there.
func (s *State) awayFrom() time.Time {
	p := s.stage[s.Host]
	switch {
	case p.Here():
		return time.Time{}
	case !p.Away.IsZero():
		return later(p.Away, s.StartedAt)
	}
	return later(s.HostSince, s.StartedAt).Add(ArriveMax)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// restore gives the room back to the first former host who is there in time, and to an heir where it is held.
func (d *draft) restore() {
	if d.Phase != Live {
		return
	}
	for _, f := range d.formers {
		if d.stage[f.user].Here() && !d.now.After(f.until) {
			d.succeed(f.user, SuccessionReturned)
			break
		}
	}
	if d.HeldSince.IsZero() {
		return
	}
	if next, ok := d.heir(); ok {
		d.succeed(next, SuccessionAway)
	}
}

// HeldUntil is when the room ends unless somebody comes who can be its host; zero where the host is there or may still
// come back.
func (s *State) HeldUntil() time.Time {
	if s.HeldSince.IsZero() || s.Phase != Live {
		return time.Time{}
	}
	return s.HeldSince.Add(s.Details.Policy.HoldMax.Duration())
}

// hostDue is when something is to be done about a host who is away: zero where there is nothing.
func (s *State) hostDue() time.Time {
	from := s.awayFrom()
	switch {
	case s.Phase != Live || from.IsZero():
		return time.Time{}
	case !s.HeldSince.IsZero():
		return s.HeldUntil()
	case !s.stage[s.Host].heardOf():
		return from
	}
	return from.Add(s.Details.Policy.HostHold.Duration())
}

// passOn does what hostDue waited for.
func (d *draft) passOn() {
	switch next, ok := d.heir(); {
	case !d.HeldSince.IsZero():
		d.emitAsNode(Event{Type: EventEnded, Reason: EndedEmpty})
	case !d.stage[d.Host].heardOf():
		d.emitAsNode(Event{Type: EventAbsent, User: d.Host})
	case ok:
		d.succeed(next, SuccessionAway)
	default:
		d.emitAsNode(Event{Type: EventHeld})
	}
}
