package room

import (
	"cmp"
	"time"

	"rotunda"
)

// Apply makes e part of the state. It never refuses: what is in the log has happened. Events of an unknown type, from a
// newer version, are counted and change nothing else.
func (s *State) Apply(e Event) {
	s.Seq = e.Seq
	if e.Fact {
		s.adopt(e.ID)
	}
	switch e.Type {
	case EventCreated:
		s.applyCreated(e)
	case EventStarted:
		s.Phase, s.StartedAt = Live, e.At
	case EventEnded:
		s.applyEnded(e)
	case EventEdited:
		s.applyEdited(e)
	case EventRefreshed:
		s.Refreshed = Refreshed{At: e.At, By: e.By, Joined: e.Joined}
	case EventLocked:
		s.LockedAt = e.At
	case EventUnlocked:
		s.LockedAt = time.Time{}
	case EventLinkOpened:
		s.Link = SpeakerLink{By: e.By, At: e.At, Proof: e.Note}
	case EventLinkClosed:
		s.Link = SpeakerLink{}
	case EventReported:
		s.applyReported(e)
	case EventPinProposed, EventPinned:
		s.applyPin(e)
	case EventPinMoved:
		s.applyPinMoved(e)
	case EventUnpinned:
		s.applyUnpinned(e)
	case EventRotationStarted:
		s.applyRotationStarted(e)
	case EventRotationStopped:
		s.endTurn(s.Rotation.User, e.At)
		s.Rotation = Rotation{}
		s.repace(e)
	case EventTurn:
		s.applyTurn(e)
	case EventTurnWarned:
		s.Rotation.Warned = true
	case EventTurnExtended:
		s.Rotation.Until, s.Rotation.Warned = e.Until, false
	case EventTurnEnded:
		s.leave(e)
	default:
		s.applyPeople(e)
	}
}

// applyPeople is Apply for what is about one person or several.
func (s *State) applyPeople(e Event) {
	switch e.Type {
	case EventRequested:
		s.applyAsked(e)
	case EventWithdrawn:
		delete(s.queue, e.User)
	case EventApproved, EventAccepted:
		s.enter(e, rotunda.Speaker)
	case EventDenied:
		s.answer(e)
		delete(s.invited, e.User)
		s.spend(e.User, rotunda.Host)
	case EventInvited:
		s.applyInvited(e)
	case EventDeclined:
		s.answered(e.User)
	case EventRole, EventClaimed:
		s.applyRole(e)
	case EventSucceeded:
		s.applySucceeded(e)
	case EventMuted, EventUnmuted:
		s.change(e.User, func(p *Participant) { p.Muted = e.Type == EventMuted })
	case EventMutedAll:
		for _, u := range e.Users {
			s.change(u, func(p *Participant) { p.Muted = true })
		}
	case EventWarned:
		s.applyWarned(e)
	case EventRemoved:
		s.applyRemoved(e)
	case EventUnbanned:
		delete(s.removed, e.User)
	case EventPublished:
		s.applyPublished(e)
	case EventUnpublished:
		s.change(e.User, func(p *Participant) { p.Live = p.Live && p.Epoch != e.Epoch })
	case EventHomed:
		s.applyHomed(e)
	case EventStandby:
		s.applyStandby(e)
	case EventPresent:
		s.applyPresent(e.User, e.Node)
	case EventAbsent:
		s.applyAbsent(e.User, e)
	case EventGone:
		s.applyGone(e)
	case EventHeld:
		s.HeldSince = e.At
	case EventSpoke:
		s.applySpoke(e)
	}
}

func (s *State) applyCreated(e Event) {
	if e.Details != nil {
		s.Details = *e.Details
	}
	s.Details.Policy = s.Details.Policy.filled()
	s.Phase, s.CreatedAt, s.Home, s.Epoch, s.given = Scheduled, e.At, e.Node, 1, 1
	if s.Details.StartsAt.IsZero() {
		s.Phase, s.StartedAt = Live, e.At
	}
	s.Fence, s.Hitless = e.Fence, e.Hitless
	s.RulesVersion = 1
	s.enter(e, rotunda.Host)
}

func (s *State) applyEnded(e Event) {
	s.Phase, s.EndedAt, s.Standby = Ended, e.At, Standby{}
	s.queue, s.invited, s.formers, s.HeldSince = nil, nil, nil, time.Time{}
	s.endTurn(s.Rotation.User, e.At)
	s.Rotation, s.pace = Rotation{}, pace{}
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
	s.disown(e.User)
	if !e.Role.OnStage() {
		s.leave(e)
		return
	}
	if e.Role != rotunda.Speaker {
		s.endTurn(e.User, e.At)
	}
	s.enter(e, e.Role)
	if e.Role == rotunda.Host {
		s.formers = nil // somebody has decided whose the room is
	}
}

func (s *State) applyRemoved(e Event) {
	if e.User == s.Host {
		return // no log of ours says so; whatever another one says, the room has a host
	}
	s.leave(e)
	delete(s.queue, e.User)
	delete(s.invited, e.User)
	s.spend(e.User, rotunda.Host)
	before := s.removed[e.User]
	put(&s.removed, e.User, Removal{By: e.By, At: e.At, Ban: e.Ban || before.Ban, Bar: cmp.Or(e.Bar, before.Bar)})
	s.forgetRemovals()
}

// forgetRemovals keeps the list of people who were removed but may come back within its bound: the oldest go. Bans stay.
func (s *State) forgetRemovals() {
	if len(s.removed)-s.bans() <= removalMax {
		return
	}
	u, _ := first(s.removed, func(_ rotunda.UserID, r Removal) (int64, bool) { return r.At.UnixMilli(), !r.Ban })
	delete(s.removed, u)
}

func (s *State) applyPublished(e Event) {
	v := s.voices[e.User]
	v.epoch = e.Epoch
	put(&s.voices, e.User, v)
	s.change(e.User, func(p *Participant) { p.Live, p.Node, p.Epoch = true, e.Node, e.Epoch })
	s.applyPresent(e.User, e.Node)
}

// enter puts e.User on stage, muted, or gives them another role there. A new host takes the place of the old one.
func (s *State) enter(e Event, role rotunda.Role) {
	s.answer(e)
	s.answered(e.User)
	v, known := s.voices[e.User]
	if !known {
		v = voice{epoch: s.epochFloor}
	}
	if v.ssrc == 0 {
		v.ssrc = e.SSRC
	}
	put(&s.voices, e.User, v)
	p, ok := s.stage[e.User]
	if !ok {
		p = Participant{User: e.User, Name: e.Name, Muted: true, SSRC: v.ssrc, Epoch: v.epoch, Since: e.At}
	}
	if role != rotunda.Host {
		p.Role, p.Appointed = role, 0
		if role == rotunda.Cohost {
			p.Appointed = e.Seq
		}
	}
	put(&s.stage, e.User, p)
	if role == rotunda.Host {
		s.promote(e)
	}
	s.forgetVoices()
}

// leave takes e.User off the stage.
func (s *State) leave(e Event) {
	s.endTurn(e.User, e.At)
	s.disown(e.User)
	if _, on := s.stage[e.User]; !on {
		return
	}
	delete(s.stage, e.User)
	if v, ok := s.voices[e.User]; ok {
		v.left = e.Seq
		s.voices[e.User] = v
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
	before, known := s.spent[u]
	switch {
	case !known && len(s.spent) >= spentMax:
		s.spentAll = true
	case role.Rank() > before.Rank():
		put(&s.spent, u, role)
	}
}

// put is a map assignment that makes the map.
func put[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}

// first is the key that comes first in an order, of those that the order takes in; ok is false where it takes in none. Keys
// at the same place are told apart by themselves, so that all nodes find the same.
func first[V any](m map[rotunda.UserID]V, order func(rotunda.UserID, V) (place int64, in bool)) (u rotunda.UserID, ok bool) {
	var least int64
	for k, v := range m {
		if place, in := order(k, v); in && (!ok || place < least || place == least && k < u) {
			u, least, ok = k, place, true
		}
	}
	return u, ok
}
