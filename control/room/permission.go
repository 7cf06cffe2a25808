package room

import (
	"slices"

	"rotunda"
)

// Right is one cell of the permission table.
type Right string

// The rights.
const (
	Never Right = "–"
	Own   Right = "own"   // on oneself
	Below Right = "below" // on oneself and on people of a lower role
	Any   Right = "yes"   // on anybody, or on the room
)

// Permission is one row of the permission table: who may give a command. A higher role is not assumed to have the
// rights of a lower one; the row says so.
type Permission struct {
	Command  string
	Listener Right // everybody who is not on stage
	Speaker  Right
	Cohost   Right
	Host     Right
	System   Right // the node itself
	Note     string
}

// The one table of who may do what. Notes are conditions on the state or the argument, which Decide checks besides.
var permissions = []Permission{
	//  command      listener speaker cohost host  system  note
	{"create", Any, Any, Any, Any, Never, "the creator becomes host"},
	{"start", Never, Never, Never, Any, Any, "while scheduled"},
	{"end", Never, Never, Never, Any, Any, "for good"},
	{"edit", Never, Never, Any, Any, Never, "title, description, rules, mode, tags, language, policy"},
	{"request", Own, Own, Own, Own, Never, "where the policy lets people ask; once"},
	{"withdraw", Own, Own, Own, Own, Never, ""},
	{"approve", Never, Never, Any, Any, Never, "somebody who asked; arrives on stage muted"},
	{"deny", Never, Never, Any, Any, Never, "somebody who asked"},
	{"role", Own, Own, Below, Any, Never, "oneself only downwards; others to a role below one's own; the host may hand over"},
	{"mute", Own, Own, Below, Any, Any, ""},
	{"unmute", Own, Own, Own, Own, Never, "nobody opens another's microphone"},
	{"mute_all", Never, Never, Any, Any, Any, "everybody of a lower role"},
	{"remove", Never, Never, Below, Below, Any, "never oneself, never the host"},
	{"publish", Never, Own, Own, Own, Never, "while live"},
	{"unpublish", Own, Own, Own, Own, Any, ""},
	{"restart", Never, Never, Never, Never, Any, "a node came back without its sessions"},
	{"claim", Own, Own, Own, Own, Never, "an operator's grant in the token; counts once"},
}

// Permissions returns the table, one row per command, for documentation and tests.
func Permissions() []Permission { return slices.Clone(permissions) }

// right looks up the cell of one command and actor. The role is what counts after the token's limit.
func right(command string, role rotunda.Role, system bool) Right {
	for _, p := range permissions {
		if p.Command != command {
			continue
		}
		switch {
		case system:
			return p.System
		case role == rotunda.Host:
			return p.Host
		case role == rotunda.Cohost:
			return p.Cohost
		case role == rotunda.Speaker:
			return p.Speaker
		}
		return p.Listener
	}
	panic("room: command without a row in the permission table: " + command)
}

// effective is the role that counts for a: what the room gave, limited by what the token allows.
func (s *State) effective(a Actor) rotunda.Role {
	r := s.Role(a.User)
	if a.Role != rotunda.NoRole && a.Role.Rank() < r.Rank() {
		return a.Role
	}
	return r
}

// allowed asks the table whether a may give cmd in this state.
func (s *State) allowed(a Actor, cmd Command) bool {
	role, target := s.effective(a), cmd.subject(a)
	switch right(cmd.Name(), role, a.System) {
	case Any:
		return true
	case Own:
		return target == a.User
	case Below:
		return target == a.User || s.Role(target).Rank() < role.Rank()
	case Never:
		return false
	default:
		panic("room: unknown right")
	}
}
