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
	{"edit", Never, Never, Any, Any, Never, "title, description, rules, mode, tags, language, who may ask, policy"},
	{"refresh", Never, Never, Any, Any, Never, "tells everybody anew; while live"},
	{"lock", Never, Never, Any, Any, Any, "nobody new comes in; who is in stays"},
	{"unlock", Never, Never, Any, Any, Never, ""},
	{"request", Own, Own, Own, Own, Never, "where the policy lets people ask; once; of somebody invited: accept"},
	{"withdraw", Own, Own, Own, Own, Any, "a node: of somebody who has left"},
	{"approve", Never, Never, Any, Any, Never, "somebody who asked; arrives on stage muted"},
	{"deny", Never, Never, Any, Any, Never, "somebody who asked"},
	{"invite", Never, Never, Any, Any, Never, "somebody who is not on stage; of somebody who asked: approve"},
	{"accept", Own, Own, Own, Own, Never, "an invitation; arrives on stage muted"},
	{"decline", Own, Own, Any, Any, Any, "an invitation; host and co-hosts take it back, a node that of somebody who has left"},
	{"link_open", Never, Never, Any, Any, Never, "the link for speakers; takes the place of the one before"},
	{"link_close", Never, Never, Any, Any, Any, ""},
	{"link_take", Own, Own, Own, Own, Never, "with its key; brings an invitation, while whoever made the link may invite"},
	{"role", Own, Own, Below, Any, Never, "oneself only downwards; others to a role below one's own; the host may hand over"},
	{"mute", Own, Own, Below, Any, Any, ""},
	{"unmute", Own, Own, Own, Own, Never, "nobody opens another's microphone; under a floor lock one at a time"},
	{"mute_all", Never, Never, Any, Any, Any, "everybody of a lower role"},
	{"warn", Never, Never, Below, Below, Any, "never oneself, never the host; too many bring the policy's sanction"},
	{"remove", Never, Never, Below, Below, Any, "never oneself; the host by the node only; from all rooms of the host by the host only"},
	{"unban", Never, Never, Any, Any, Any, ""},
	{"report", Any, Any, Any, Any, Never, "to the operator; nobody in the room learns of it; also after the end"},
	{"pin", Never, Own, Own, Own, Never, "a speaker's waits for approval"},
	{"pin_approve", Never, Never, Any, Any, Never, ""},
	{"pin_move", Never, Never, Any, Any, Never, ""},
	{"unpin", Own, Own, Any, Any, Any, "one's own, shown or not"},
	{"rotate", Never, Never, Any, Any, Never, "while live"},
	{"rotation_next", Never, Never, Any, Any, Never, "ends the present turn"},
	{"rotation_extend", Never, Never, Any, Any, Never, "the present turn"},
	{"rotation_stop", Never, Never, Any, Any, Never, "whoever has a turn stays on stage"},
	{"publish", Never, Own, Own, Own, Never, "while live"},
	{"unpublish", Own, Own, Own, Own, Any, ""},
	{"claim", Own, Own, Own, Own, Never, "an operator's grant in the token; counts once"},
	{"present", Never, Never, Never, Never, Any, "a person on stage is connected to a node"},
	{"absent", Never, Never, Never, Never, Any, "and is no longer"},
	{"restart", Never, Never, Never, Never, Any, "a node came back without its sessions"},
	{"lost", Never, Never, Never, Never, Any, "a node is dead"},
	{"stand_by", Never, Never, Never, Never, Any, "who takes over from the room's home; by the home"},
	{"take_home", Never, Never, Never, Never, Any, "the home was silent; by the standby"},
	{"hand_over", Never, Never, Never, Never, Any, "to the standby; by the home"},
	{"speaking", Never, Never, Never, Never, Any, "talk time, by the room's home"},
	{"tick", Never, Never, Never, Never, Any, "what is due"},
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
	role, target := s.effective(a), cmd.subject(s, a)
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
