package room

import (
	"fmt"
	"maps"
	"slices"

	"rotunda"
)

func (c Request) decide(d *draft) error {
	note, err := text("note", c.Note, NoteMax, true)
	if err != nil {
		return err
	}
	u := d.actor.User
	if d.actor.Role == rotunda.Listener {
		return fmt.Errorf("with a token for a listener: %w", ErrForbidden)
	}
	if d.Role(u).OnStage() {
		return fmt.Errorf("already on stage: %w", ErrConflict)
	}
	if _, asked := d.queue[u]; asked {
		return nil
	}
	if d.Details.Policy.Requests != Everyone {
		return fmt.Errorf("requests are closed: %w", ErrForbidden)
	}
	if len(d.queue) >= QueueMax {
		return fmt.Errorf("%d requests wait: %w", QueueMax, ErrFull)
	}
	d.emit(Event{Type: EventRequested, User: u, Name: clean(d.actor.Name), Note: note})
	return nil
}

func (Withdraw) decide(d *draft) error {
	if _, asked := d.queue[d.actor.User]; asked {
		d.emit(Event{Type: EventWithdrawn, User: d.actor.User})
	}
	return nil
}

func (c Approve) decide(d *draft) error {
	if d.Role(c.User).OnStage() {
		return nil
	}
	ask, asked := d.queue[c.User]
	if !asked {
		return fmt.Errorf("%s has not asked: %w", c.User, ErrConflict)
	}
	if err := d.place(); err != nil {
		return err
	}
	d.emit(Event{Type: EventApproved, User: c.User, Name: ask.Name, SSRC: d.ssrc(c.User)})
	return nil
}

func (c Deny) decide(d *draft) error {
	reason, err := text("reason", c.Reason, NoteMax, true)
	if err != nil {
		return err
	}
	if _, asked := d.queue[c.User]; asked {
		d.emit(Event{Type: EventDenied, User: c.User, Reason: reason})
	}
	return nil
}

// place reports whether one more person fits on stage.
func (s *State) place() error {
	if n := s.Details.Policy.SpeakersMax; len(s.stage) >= n {
		return fmt.Errorf("%d people are on stage: %w", n, ErrFull)
	}
	return nil
}

func (c SetRole) decide(d *draft) error {
	if c.Role.Rank() == 0 {
		return fmt.Errorf("role: %w: host, cohost, speaker or listener", ErrInvalid)
	}
	mine, before := d.effective(d.actor).Rank(), d.Role(c.User)
	if c.User == d.actor.User {
		mine = before.Rank() // downwards from where one is, whatever the token says
	}
	handover := c.Role == rotunda.Host && d.effective(d.actor) == rotunda.Host
	switch {
	case c.Role == before:
		return nil
	case c.Role.Rank() >= mine && !handover:
		return fmt.Errorf("%s to %s: %w", c.User, c.Role, ErrForbidden)
	case before == rotunda.Host:
		return fmt.Errorf("the host hands over or ends the room first: %w", ErrConflict)
	}
	ask, asked := d.queue[c.User]
	if !before.OnStage() {
		if !asked {
			return fmt.Errorf("%s has not asked: %w", c.User, ErrConflict)
		}
		if err := d.place(); err != nil {
			return err
		}
	}
	e := Event{Type: EventRole, User: c.User, Role: c.Role}
	if c.Role.OnStage() {
		e.Name, e.SSRC = ask.Name, d.ssrc(c.User)
	}
	d.emit(e)
	d.follow()
	return nil
}

// follow moves the room's home to where the host's microphone is.
func (d *draft) follow() {
	if p := d.stage[d.Host]; p.Live && p.Node != d.Home && d.Phase == Live {
		d.emit(Event{Type: EventHomed, Node: p.Node, Epoch: d.Epoch + 1})
	}
}

func (c Mute) decide(d *draft) error {
	p, ok := d.stage[c.User]
	if !ok {
		return fmt.Errorf("%s is not on stage: %w", c.User, ErrConflict)
	}
	if !p.Muted {
		d.emit(Event{Type: EventMuted, User: c.User})
	}
	return nil
}

func (c Unmute) decide(d *draft) error {
	p, ok := d.stage[c.User]
	switch {
	case !ok:
		return fmt.Errorf("%s is not on stage: %w", c.User, ErrConflict)
	case !d.effective(d.actor).OnStage():
		return fmt.Errorf("with a token for a listener: %w", ErrForbidden)
	case p.Muted:
		d.emit(Event{Type: EventUnmuted, User: c.User})
	}
	return nil
}

func (MuteAll) decide(d *draft) error {
	mine := d.effective(d.actor).Rank()
	if d.actor.System {
		mine = rotunda.Host.Rank() + 1
	}
	var users []rotunda.UserID
	for _, u := range slices.Sorted(maps.Keys(d.stage)) {
		if p := d.stage[u]; !p.Muted && p.Role.Rank() < mine {
			users = append(users, u)
		}
	}
	if len(users) > 0 {
		d.emit(Event{Type: EventMutedAll, Users: users})
	}
	return nil
}

func (c Remove) decide(d *draft) error {
	reason, err := text("reason", c.Reason, NoteMax, true)
	if err != nil {
		return err
	}
	switch {
	case c.User == "":
		return fmt.Errorf("user: %w: nobody named", ErrInvalid)
	case c.User == d.actor.User, c.User == d.Host:
		return fmt.Errorf("%s: neither oneself nor the host: %w", c.User, ErrConflict)
	case d.Banned(c.User):
		return nil
	case c.Ban && d.bans() >= BansMax:
		return fmt.Errorf("%d people are banned: %w", BansMax, ErrFull)
	}
	d.emit(Event{Type: EventRemoved, User: c.User, Ban: c.Ban, Reason: reason})
	return nil
}

func (s *State) bans() int {
	n := 0
	for _, r := range s.removed {
		if r.Ban {
			n++
		}
	}
	return n
}

func (c Publish) decide(d *draft) error {
	if err := c.Node.Valid(); err != nil {
		return fmt.Errorf("node: %w: %v", ErrInvalid, err)
	}
	if d.Phase != Live {
		return ErrNotLive
	}
	u := d.actor.User
	d.emit(Event{Type: EventPublished, User: u, Node: c.Node, Epoch: d.MicEpoch(u) + 1})
	d.follow()
	return nil
}

func (c Unpublish) decide(d *draft) error {
	u := c.subject(d.actor)
	if p := d.stage[u]; p.Live && p.Epoch == c.Epoch {
		d.emit(Event{Type: EventUnpublished, User: u, Epoch: c.Epoch})
	}
	return nil
}

func (c Restart) decide(d *draft) error {
	if err := c.Node.Valid(); err != nil {
		return fmt.Errorf("node: %w: %v", ErrInvalid, err)
	}
	for _, p := range d.Stage() {
		if p.Live && p.Node == c.Node {
			d.emit(Event{Type: EventUnpublished, User: p.User, Epoch: p.Epoch})
		}
	}
	if d.Phase == Live && d.Home == c.Node {
		d.emit(Event{Type: EventHomed, Node: c.Node, Epoch: d.Epoch + 1})
	}
	return nil
}

func (Claim) decide(d *draft) error { return d.claim() }

// claim takes up an operator's grant: a token that names the room and a role on stage gives that role once. A claim of the
// host's role takes the room over: the operator's word stands above the room's.
func (d *draft) claim() error {
	u, role := d.actor.User, d.actor.Role
	switch {
	case !d.actor.Grant || !role.OnStage():
		return fmt.Errorf("the token grants no role here: %w", ErrForbidden)
	case role.Rank() <= d.Role(u).Rank():
		return nil
	case d.Spent(u, role):
		return fmt.Errorf("the grant was used or taken back: %w", ErrForbidden)
	}
	if !d.Role(u).OnStage() {
		if err := d.place(); err != nil {
			return err
		}
	}
	d.emit(Event{Type: EventClaimed, User: u, Name: clean(d.actor.Name), Role: role, SSRC: d.ssrc(u)})
	d.follow()
	return nil
}
