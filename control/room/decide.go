package room

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"rotunda"
)

// Decide returns the events that carrying out cmd takes, or why it is refused; it changes nothing. No events and no error
// means that all is already as the command wants it. The errors wrap ErrForbidden, ErrConflict or ErrInvalid. The caller
// gives the events ids and appends them after s.Seq.
func (s *State) Decide(now time.Time, a Actor, cmd Command) ([]Event, error) {
	d := &draft{State: s, now: now.UTC().Truncate(time.Millisecond), actor: a}
	if err := d.admit(cmd); err != nil {
		return nil, err
	}
	if err := cmd.decide(d); err != nil {
		return nil, fmt.Errorf("%s: %w", cmd.Name(), err)
	}
	return d.events, nil
}

// draft is a decision being made: the state as it will be after the events so far.
type draft struct {
	*State // Decide's own until the first event, a copy from then on
	now    time.Time
	actor  Actor
	events []Event
}

// emit adds an event and applies it to the draft's own copy of the state.
func (d *draft) emit(e Event) {
	if len(d.events) == 0 {
		d.State = d.State.Clone()
	}
	e.Seq, e.At = d.Seq+1, d.now
	if !d.actor.System {
		e.By = d.actor.User
	}
	d.Apply(e)
	d.events = append(d.events, e)
}

// admit does what is common to all commands: the actor is somebody, the room exists and is not over, nobody banned acts, a
// grant is taken up, and the permission table allows it.
func (d *draft) admit(cmd Command) error {
	if err := d.actor.valid(); err != nil {
		return err
	}
	_, creating := cmd.(Create)
	switch {
	case creating && d.Seq > 0:
		return fmt.Errorf("create: the room exists: %w", ErrConflict)
	case !creating && d.Seq == 0:
		return fmt.Errorf("%s: there is no such room: %w", cmd.Name(), ErrConflict)
	case creating:
		return nil
	case !d.actor.System && d.Banned(d.actor.User):
		return fmt.Errorf("%s: %w", cmd.Name(), ErrBanned)
	case d.Phase == Ended && !settled(cmd):
		return fmt.Errorf("%s: %w", cmd.Name(), ErrEnded)
	}
	if u := cmd.subject(d.actor); u != "" {
		if err := u.Valid(); err != nil {
			return fmt.Errorf("user: %w: %v", ErrInvalid, err)
		}
	}
	if _, explicit := cmd.(Claim); d.actor.Grant && !explicit && d.Phase != Ended {
		d.claim() // a grant that cannot be taken up leaves the actor as they are
	}
	if !d.allowed(d.actor, cmd) {
		return fmt.Errorf("%s as %s: %w", cmd.Name(), d.effective(d.actor), ErrForbidden)
	}
	return nil
}

// settled commands are carried out by the end of the room already.
func settled(cmd Command) bool {
	switch cmd.(type) {
	case End, Unpublish, Withdraw:
		return true
	}
	return false
}

func (a Actor) valid() error {
	if a.System {
		return nil
	}
	if err := a.User.Valid(); err != nil {
		return fmt.Errorf("actor: %w: %v", ErrInvalid, err)
	}
	if a.Role != rotunda.NoRole && a.Role.Rank() == 0 {
		return fmt.Errorf("actor: %w: unknown role %.20q", ErrInvalid, string(a.Role))
	}
	return nil
}

// ssrc is the wire identity of u: the one they have, or one from a hash of the id, moved on past those taken. It is never 0.
func (s *State) ssrc(u rotunda.UserID) rotunda.SSRC {
	if v := s.voices[u]; v.ssrc != 0 {
		return v.ssrc
	}
	h := fnv.New32a()
	h.Write([]byte(u))
	id := rotunda.SSRC(h.Sum32())
	taken := make(map[rotunda.SSRC]bool, len(s.voices)+1)
	taken[0] = true
	for _, v := range s.voices {
		taken[v.ssrc] = true
	}
	for taken[id] {
		id++
	}
	return id
}

func (c Create) decide(d *draft) error {
	if d.actor.Role != rotunda.NoRole && d.actor.Role != rotunda.Host {
		return fmt.Errorf("with a token for a %s: %w", d.actor.Role, ErrForbidden)
	}
	if right("create", rotunda.Listener, d.actor.System) != Any {
		return ErrForbidden
	}
	if err := c.Node.Valid(); err != nil {
		return fmt.Errorf("node: %w: %v", ErrInvalid, err)
	}
	mode := c.Mode
	if mode == "" {
		mode = Discussion
	}
	policy, _ := mode.usual()
	details, err := Details{
		Title: c.Title, Description: c.Description, Rules: c.Rules, Mode: mode, Tags: c.Tags, Language: c.Language,
		StartsAt: at(c.StartsAt), Policy: policy.with(c.Policy),
	}.checked()
	if err != nil {
		return err
	}
	d.emit(Event{
		Type: EventCreated, User: d.actor.User, Name: clean(d.actor.Name), SSRC: d.ssrc(d.actor.User), Role: rotunda.Host,
		Node: c.Node, Epoch: 1, Details: &details,
	})
	return nil
}

// at is a time as the log keeps it: UTC, whole seconds; zero for nil.
func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

func (Start) decide(d *draft) error {
	if d.Phase == Scheduled {
		d.emit(Event{Type: EventStarted})
	}
	return nil
}

func (c End) decide(d *draft) error {
	reason, err := text("reason", c.Reason, NoteMax, true)
	if err != nil {
		return err
	}
	if d.Phase != Ended {
		d.emit(Event{Type: EventEnded, Reason: reason})
	}
	return nil
}

func (c Edit) decide(d *draft) error {
	next := d.Details
	set(&next.Title, c.Title)
	set(&next.Description, c.Description)
	set(&next.Rules, c.Rules)
	set(&next.Tags, c.Tags)
	set(&next.Language, c.Language)
	if c.Mode != nil && *c.Mode != next.Mode {
		next.Mode = *c.Mode
		if usual, ok := next.Mode.usual(); ok {
			next.Policy.Requests = usual.Requests
		}
	}
	next.Policy = next.Policy.with(c.Policy)
	if c.StartsAt != nil {
		if d.Phase != Scheduled {
			return fmt.Errorf("startsAt of a room that has started: %w", ErrConflict)
		}
		if c.StartsAt.IsZero() {
			return fmt.Errorf("startsAt: %w: a time", ErrInvalid)
		}
		next.StartsAt = at(c.StartsAt)
	}
	next, err := next.checked()
	if err != nil {
		return err
	}
	if n := len(d.stage); next.Policy.SpeakersMax < n && next.Policy.SpeakersMax != d.Details.Policy.SpeakersMax {
		return fmt.Errorf("policy.speakersMax %d with %d on stage: %w", next.Policy.SpeakersMax, n, ErrConflict)
	}
	if !next.equal(d.Details) {
		d.emit(Event{Type: EventEdited, Details: &next})
	}
	return nil
}

func (d Details) equal(o Details) bool {
	return d.Title == o.Title && d.Description == o.Description && d.Rules == o.Rules && d.Mode == o.Mode &&
		slices.Equal(d.Tags, o.Tags) && d.Language == o.Language && d.StartsAt.Equal(o.StartsAt) && d.Policy == o.Policy
}

// set is an assignment where there is something to assign.
func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}
