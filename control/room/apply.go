package room

import (
	"maps"
	"slices"

	"rotunda"
)

// Apply makes e part of the state. It never refuses: what is in the log has happened. Events of an unknown type, from a
// newer version, are counted and change nothing else.
func (s *State) Apply(e Event) {
	s.Seq = e.Seq
	switch e.Type {
	case EventCreated:
		s.applyCreated(e)
	case EventStarted:
		s.Phase, s.StartedAt = Live, e.At
	case EventEnded:
		s.applyEnded(e)
	case EventEdited:
		if e.Details != nil {
			s.Details = *e.Details
		}
	case EventRequested:
		s.asked++
		put(&s.queue, e.User, Ask{User: e.User, Name: e.Name, At: e.At, Order: s.asked, Note: e.Note})
	case EventWithdrawn:
		delete(s.queue, e.User)
	case EventApproved:
		s.enter(e, rotunda.Speaker)
	case EventDenied:
		delete(s.queue, e.User)
		s.spend(e.User, rotunda.Host)
	case EventRole, EventClaimed:
		s.applyRole(e)
	case EventMuted, EventUnmuted:
		s.change(e.User, func(p *Participant) { p.Muted = e.Type == EventMuted })
	case EventMutedAll:
		for _, u := range e.Users {
			s.change(u, func(p *Participant) { p.Muted = true })
		}
	case EventRemoved:
		s.applyRemoved(e)
	case EventPublished:
		s.applyPublished(e)
	case EventUnpublished:
		s.change(e.User, func(p *Participant) { p.Live = p.Live && p.Epoch != e.Epoch })
	case EventHomed:
		s.Home, s.Epoch = e.Node, e.Epoch
	}
}

func (s *State) applyCreated(e Event) {
	if e.Details != nil {
		s.Details = *e.Details
	}
	s.Phase, s.CreatedAt, s.Home, s.Epoch = Scheduled, e.At, e.Node, 1
	if s.Details.StartsAt.IsZero() {
		s.Phase, s.StartedAt = Live, e.At
	}
	s.enter(e, rotunda.Host)
}

func (s *State) applyEnded(e Event) {
	s.Phase, s.EndedAt = Ended, e.At
	s.queue = nil
	for u := range s.stage {
		s.change(u, func(p *Participant) { p.Live = false })
	}
}

// applyRole also counts what the change uses up: a grant that was claimed, and every grant of somebody whom another person
// took down.
func (s *State) applyRole(e Event) {
	before := s.Role(e.User)
	switch {
	case e.Type == EventClaimed:
		s.spend(e.User, e.Role)
	case e.Role.Rank() < before.Rank() && e.By != e.User:
		s.spend(e.User, rotunda.Host)
	case e.Role.Rank() < before.Rank():
		s.spend(e.User, before)
	}
	if !e.Role.OnStage() {
		delete(s.stage, e.User)
		return
	}
	s.enter(e, e.Role)
}

func (s *State) applyRemoved(e Event) {
	delete(s.stage, e.User)
	delete(s.queue, e.User)
	s.spend(e.User, rotunda.Host)
	put(&s.removed, e.User, Removal{By: e.By, At: e.At, Ban: e.Ban || s.removed[e.User].Ban, Reason: e.Reason})
	s.forgetRemovals()
}

// forgetRemovals keeps the list of people who were removed but may come back within its bound: the oldest go. Bans stay.
func (s *State) forgetRemovals() {
	n := 0
	var oldest rotunda.UserID
	for _, u := range slices.Sorted(maps.Keys(s.removed)) {
		r := s.removed[u]
		if r.Ban {
			continue
		}
		if n++; n == 1 || r.At.Before(s.removed[oldest].At) {
			oldest = u
		}
	}
	if n > removalMax {
		delete(s.removed, oldest)
	}
}

func (s *State) applyPublished(e Event) {
	v := s.voices[e.User]
	v.epoch = e.Epoch
	put(&s.voices, e.User, v)
	s.change(e.User, func(p *Participant) { p.Live, p.Node, p.Epoch = true, e.Node, e.Epoch })
}

// enter puts e.User on stage, muted, or gives them another role there. A new host makes the old one a co-host.
func (s *State) enter(e Event, role rotunda.Role) {
	delete(s.queue, e.User)
	v := s.voices[e.User]
	if v.ssrc == 0 {
		v.ssrc = e.SSRC
		put(&s.voices, e.User, v)
	}
	p, ok := s.stage[e.User]
	if !ok {
		p = Participant{User: e.User, Name: e.Name, Muted: true, SSRC: v.ssrc, Epoch: v.epoch, Since: e.At}
	}
	p.Role = role
	put(&s.stage, e.User, p)
	if role == rotunda.Host {
		if s.Host != e.User {
			s.change(s.Host, func(p *Participant) { p.Role = rotunda.Cohost })
		}
		s.Host = e.User
	}
}

// change edits the participant u where there is one.
func (s *State) change(u rotunda.UserID, edit func(*Participant)) {
	if p, ok := s.stage[u]; ok {
		edit(&p)
		s.stage[u] = p
	}
}

// spend makes grants for u up to role count no more.
func (s *State) spend(u rotunda.UserID, role rotunda.Role) {
	if role.Rank() > s.spent[u].Rank() {
		put(&s.spent, u, role)
	}
}

// put is a map assignment that makes the map.
func put[V any](m *map[rotunda.UserID]V, u rotunda.UserID, v V) {
	if *m == nil {
		*m = map[rotunda.UserID]V{}
	}
	(*m)[u] = v
}
