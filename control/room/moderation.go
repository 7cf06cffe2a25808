package room

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"rotunda"
)

// Bounds of moderation.
const (
	warningsMax   = 100   // of one person, as far as the policy counts
	warnedMax     = 256   // people whose warnings are remembered, the latest ones
	ReportsMax    = 1_000 // reports from a room
	ReportedMax   = 5     // reports from one person in a room
	ReportNoteMax = 2_000 // characters
)

// Warning is what a person has been warned of.
type Warning struct {
	Count  int // so far
	By     rotunda.UserID
	At     time.Time // the latest
	Reason string    // of the latest
	Public bool      // the latest was said before everybody
}

// Warn tells User to stop. With the policy's last warning its sanction follows in the same step.
type Warn struct {
	User   rotunda.UserID
	Reason string
	Public bool // before everybody; otherwise User, the host and the co-hosts know
}

// Unban lets User in again. Bans of other rooms stand.
type Unban struct{ User rotunda.UserID }

// Report calls the operator's attention to a person or the room. Nobody in the room learns of it, the host neither.
type Report struct {
	User   rotunda.UserID // empty: the room
	Reason string
	Note   string
}

func (Warn) Name() string   { return "warn" }
func (Unban) Name() string  { return "unban" }
func (Report) Name() string { return "report" }

func (c Warn) subject(*State, Actor) rotunda.UserID   { return c.User }
func (c Unban) subject(*State, Actor) rotunda.UserID  { return c.User }
func (c Report) subject(*State, Actor) rotunda.UserID { return c.User }

func (c Warn) decide(d *draft) error {
	reason, err := text("reason", c.Reason, NoteMax, true)
	switch {
	case err != nil:
		return err
	case reason == "":
		return fmt.Errorf("reason: %w: 1 to %d characters", ErrInvalid, NoteMax)
	case c.User == "":
		return fmt.Errorf("user: %w: nobody named", ErrInvalid)
	case c.User == d.actor.User, c.User == d.Host:
		return fmt.Errorf("%s: neither oneself nor the host: %w", c.User, ErrConflict)
	case d.Banned(c.User):
		return fmt.Errorf("%s is banned: %w", c.User, ErrConflict)
	}
	n := d.warnings[c.User].Count + 1
	d.emit(Event{Type: EventWarned, User: c.User, Reason: reason, Public: c.Public, Count: n})
	policy := d.Details.Policy
	if policy.WarningsMax == 0 || n < policy.WarningsMax {
		return nil
	}
	p, on := d.stage[c.User]
	switch {
	case policy.Sanction != SanctionMute || !on:
		ban := policy.Sanction == SanctionBan && d.bans() < BansMax
		d.emit(Event{Type: EventRemoved, User: c.User, Ban: ban, Reason: reason})
	case !p.Muted:
		d.emit(Event{Type: EventMuted, User: c.User, Reason: reason})
	}
	return nil
}

func (c Unban) decide(d *draft) error {
	if d.Banned(c.User) {
		d.emit(Event{Type: EventUnbanned, User: c.User})
	}
	return nil
}

func (c Report) decide(d *draft) error {
	reason, err := text("reason", c.Reason, NoteMax, true)
	if err != nil {
		return err
	}
	note, err := text("note", c.Note, ReportNoteMax, true)
	switch {
	case err != nil:
		return err
	case reason == "":
		return fmt.Errorf("reason: %w: 1 to %d characters", ErrInvalid, NoteMax)
	case d.reporters[d.actor.User] >= ReportedMax, d.reports >= ReportsMax:
		return fmt.Errorf("%d reports of one person, %d of all: %w", ReportedMax, ReportsMax, ErrFull)
	}
	d.emit(Event{Type: EventReported, User: c.User, Reason: reason, Note: note})
	return nil
}

func (s *State) applyWarned(e Event) {
	put(&s.warnings, e.User, Warning{Count: s.warnings[e.User].Count + 1, By: e.By, At: e.At, Reason: e.Reason, Public: e.Public})
	if len(s.warnings) <= warnedMax {
		return
	}
	u, _ := first(s.warnings, func(_ rotunda.UserID, w Warning) (int64, bool) { return w.At.UnixMilli(), true })
	delete(s.warnings, u)
}

func (s *State) applyReported(e Event) {
	s.reports++
	put(&s.reporters, e.By, s.reporters[e.By]+1)
}

// Warned returns what u has been warned of; its Count is 0 where there is nothing.
func (s *State) Warned(u rotunda.UserID) Warning { return s.warnings[u] }

// Bar is one person's ban from all rooms of one host.
type Bar struct {
	User rotunda.UserID `json:"user" doc:"Who." example:"g_7h2k9m4p"`
	Host rotunda.UserID `json:"host" doc:"Whose rooms." example:"g_2c5v8b1n"`
}

// bars lists the bans for all rooms of a host that were made in this one, by person.
func (s *State) bars() []Bar {
	var out []Bar // never more than barsMax bytes as JSON
	for _, u := range slices.Sorted(maps.Keys(s.removed)) {
		if r := s.removed[u]; r.Bar != "" {
			out = append(out, Bar{User: u, Host: r.Bar})
		}
	}
	return out
}

// barred is how many bytes the list of bars takes in JSON, with one more of u by host.
func (s *State) barred(u, host rotunda.UserID) int {
	n := len(u) + len(host)
	for _, b := range s.bars() {
		n += len(b.User) + len(b.Host)
	}
	return n + (len(s.bars())+1)*len(`{"user":"","host":""},`)
}
