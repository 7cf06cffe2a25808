package room

import (
	"cmp"
	"fmt"
	"slices"

	"rotunda"
)

// ErrFloorTaken is the ErrConflict of somebody who wants to speak while another has the floor.
var ErrFloorTaken = fmt.Errorf("somebody else has the floor: %w", ErrConflict)

// Floor is who has the one open microphone of a room with a floor lock; empty: nobody, or there is no lock.
func (s *State) Floor() rotunda.UserID {
	if !s.Details.Policy.FloorLock {
		return ""
	}
	for u, p := range s.stage {
		if !p.Muted {
			return u // the only one
		}
	}
	return ""
}

// takeFloor shuts the microphone of whoever has the floor, so that u may open theirs. The floor is taken from nobody but
// somebody without a microphone session, somebody of a lower role, and anybody whom u's turn has come after.
func (d *draft) takeFloor(u rotunda.UserID) error {
	holder := d.Floor()
	if holder == "" || holder == u {
		return nil
	}
	h := d.stage[holder]
	if h.Live && h.Role.Rank() >= d.Role(u).Rank() && d.Rotation.User != u {
		return fmt.Errorf("%s: %w", holder, ErrFloorTaken)
	}
	d.emit(Event{Type: EventMuted, User: holder})
	return nil
}

// clearFloor shuts all open microphones but one, before a floor lock begins. It stays with whoever has a turn, then with
// the highest role, then with who has been on stage longest.
func (d *draft) clearFloor() {
	open := slices.DeleteFunc(d.Stage(), func(p Participant) bool { return p.Muted })
	if len(open) < 2 {
		return
	}
	first := func(a, b Participant) int {
		switch d.Rotation.User {
		case a.User:
			return -1
		case b.User:
			return 1
		}
		return cmp.Or(cmp.Compare(b.Role.Rank(), a.Role.Rank()), a.Since.Compare(b.Since), cmp.Compare(a.User, b.User))
	}
	keep := slices.MinFunc(open, first).User
	var users []rotunda.UserID
	for _, p := range open {
		if p.User != keep {
			users = append(users, p.User)
		}
	}
	d.emitAsNode(Event{Type: EventMutedAll, Users: users})
}
