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
	if d.invited[u].Open && d.place() == nil {
		return Accept{}.decide(d) // both sides want it
	}
	if err := d.mayAsk(u); err != nil {
		return err
	}
	if len(d.queue) >= QueueMax {
		return fmt.Errorf("%d requests wait: %w", QueueMax, ErrFull)
	}
	d.emit(Event{Type: EventRequested, User: u, Name: clean(d.actor.Name), Note: note})
	return nil
}

// mayAsk says why u may not ask to speak.
func (s *State) mayAsk(u rotunda.UserID) error {
	_, invited := s.invited[u]
	switch _, listed := slices.BinarySearch(s.Details.Askers, u); s.Details.Policy.Requests {
	case Everyone:
		return nil
	case Listed:
		if !listed {
			return fmt.Errorf("only those on a list may ask: %w", ErrForbidden)
		}
	case Invited:
		if !invited {
			return fmt.Errorf("only the invited may ask: %w", ErrForbidden)
		}
	default:
		return fmt.Errorf("requests are closed: %w", ErrForbidden)
	}
	return nil
}

func (c Withdraw) decide(d *draft) error {
	u := c.subject(d.State, d.actor)
	if _, asked := d.queue[u]; asked {
		d.emit(Event{Type: EventWithdrawn, User: u})
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
	switch c.Role {
	case rotunda.Cohost:
		if err := d.placeForCohost(c.User); err != nil {
			return err
		}
	case rotunda.Host:
		if p := d.stage[c.User]; !p.Away.IsZero() {
			return fmt.Errorf("%s is not there: %w", c.User, ErrConflict)
		}
		e.Former = d.demoted(c.User)
	}
	d.emit(e)
	d.follow()
	return nil
}

// placeForCohost reports whether u may be one more co-host.
func (s *State) placeForCohost(u rotunda.UserID) error {
	if n := s.Details.Policy.CohostsMax; s.cohosts(u) >= n {
		return fmt.Errorf("%d co-hosts: %w", n, ErrFull)
	}
	return nil
}

// follow moves the room's home to where the host's microphone is.
func (d *draft) follow() {
	if p := d.stage[d.Host]; p.Live && p.Node != d.Home && d.Phase == Live {
		d.emit(Event{Type: EventHomed, Node: p.Node, Epoch: d.nextEpoch()})
	}
}

func (c Mute) decide(d *draft) error {
	reason, err := text("reason", c.Reason, NoteMax, true)
	if err != nil {
		return err
	}
	p, ok := d.stage[c.User]
	if !ok {
		return fmt.Errorf("%s is not on stage: %w", c.User, ErrConflict)
	}
	if !p.Muted {
		d.emit(Event{Type: EventMuted, User: c.User, Reason: reason})
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
	case !p.Muted:
		return nil
	}
	if err := d.takeFloor(c.User); err != nil {
		return err
	}
	d.emit(Event{Type: EventUnmuted, User: c.User})
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
	before := d.removed[c.User]
	e := Event{Type: EventRemoved, User: c.User, Ban: c.Ban || c.Everywhere, Bar: before.Bar, Reason: reason}
	if c.Everywhere && e.Bar == "" {
		e.Bar = d.Host
	}
	switch {
	case c.User == "":
		return fmt.Errorf("user: %w: nobody named", ErrInvalid)
	case c.User == d.actor.User, c.User == d.Host && !d.actor.System:
		return fmt.Errorf("%s: neither oneself nor the host: %w", c.User, ErrConflict)
	case c.Everywhere && !d.actor.System && d.effective(d.actor) != rotunda.Host:
		return fmt.Errorf("from all rooms of the host: %w", ErrForbidden)
	case before.Ban && e.Bar == before.Bar:
		return nil
	case e.Ban && !before.Ban && d.bans() >= BansMax:
		return fmt.Errorf("%d people are banned: %w", BansMax, ErrFull)
	case e.Bar != before.Bar && d.barred(c.User, e.Bar) > barsMax:
		return fmt.Errorf("%d people are banned from all rooms of the host: %w", len(d.bars()), ErrFull)
	}
	if c.User == d.Host {
		next := d.line()
		if len(next) == 0 {
			d.emit(Event{Type: EventEnded, Reason: EndedHostRemoved})
			return nil
		}
		heir, there := d.heir()
		if !there {
			heir = next[0].User
		}
		d.succeed(heir, SuccessionRemoved)
	}
	d.emit(e)
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
	moves := d.stage[u].Live // to another node, say: that is no entry
	d.emit(Event{Type: EventPublished, User: u, Node: c.Node, Epoch: d.MicEpoch(u) + 1})
	if d.Details.Policy.MuteOnEntry && !moves && !d.Muted(u) {
		d.emitAsNode(Event{Type: EventMuted, User: u})
	}
	d.follow()
	return nil
}

func (c Unpublish) decide(d *draft) error {
	u := c.subject(d.State, d.actor)
	if p := d.stage[u]; p.Live && p.Epoch == c.Epoch {
		d.emit(Event{Type: EventUnpublished, User: u, Epoch: c.Epoch})
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
	e := Event{Type: EventClaimed, User: u, Name: clean(d.actor.Name), Role: role, SSRC: d.ssrc(u)}
	switch role {
	case rotunda.Cohost:
		if err := d.placeForCohost(u); err != nil {
			return err
		}
	case rotunda.Host:
		e.Former = d.demoted(u)
	}
	d.emit(e)
	d.follow()
	return nil
}
