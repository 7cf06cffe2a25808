package room

import (
	"fmt"
	"hash/fnv"
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
	if len(d.events) > 0 {
		d.settle()
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
	case !d.actor.System && (d.actor.Barred || d.Banned(d.actor.User)):
		return fmt.Errorf("%s: %w", cmd.Name(), ErrBanned)
	case d.Phase == Ended && !settled(cmd):
		return fmt.Errorf("%s: %w", cmd.Name(), ErrEnded)
	}
	if u := cmd.subject(d.State, d.actor); u != "" {
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

// settled commands make sense in a room that is over: most of them are carried out by its end already.
func settled(cmd Command) bool {
	switch cmd.(type) {
	case End, Unpublish, Withdraw, Present, Absent, Lost, Tick, Report, Unban:
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
	if d.ID.Fenced() != (len(c.Fence) > 0) {
		return fmt.Errorf("regions: %w: a room with them, and no other, has an id that says so", ErrInvalid)
	}
	if len(c.Fence) > 0 {
		if err := c.Fence.Valid(); err != nil {
			return fmt.Errorf("regions: %w: %v", ErrInvalid, err)
		}
	}
	if !c.Hitless.valid() {
		return fmt.Errorf("hitless: %w: program or off", ErrInvalid)
	}
	mode := c.Mode
	if mode == "" {
		mode = Discussion
	}
	details, err := Details{
		Title: c.Title, Description: c.Description, Rules: c.Rules, Mode: mode, Tags: c.Tags, Language: c.Language,
		StartsAt: at(c.StartsAt), Askers: c.Askers, Policy: mode.usual().with(c.Policy),
	}.checked()
	if err != nil {
		return err
	}
	d.emit(Event{
		Type: EventCreated, User: d.actor.User, Name: clean(d.actor.Name), SSRC: d.ssrc(d.actor.User), Role: rotunda.Host,
		Node: c.Node, Epoch: 1, Details: &details, Fence: c.Fence, Hitless: c.Hitless,
	})
	d.rotate("")
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
		d.rotate("")
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
		next.Policy = next.Mode.preset(next.Policy)
	}
	set(&next.Askers, c.Askers)
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
	if n := d.cohosts(""); next.Policy.CohostsMax < n && next.Policy.CohostsMax != d.Details.Policy.CohostsMax {
		return fmt.Errorf("policy.cohostsMax %d with %d co-hosts: %w", next.Policy.CohostsMax, n, ErrConflict)
	}
	before := d.Details.Mode
	if len(next.changed(d.Details)) > 0 {
		if next.Policy.FloorLock {
			d.clearFloor()
		}
		d.emit(Event{Type: EventEdited, Details: &next})
		d.rotate(before)
	}
	return nil
}
