package room

import (
	"cmp"
	"time"

	"rotunda"
)

// Actor is who gives a command, as the node that took it has checked.
type Actor struct {
	User rotunda.UserID
	Name string
	// Role is the most that the actor's token allows; NoRole: no limit.
	Role rotunda.Role
	// Grant says that the token names this room and Role: an operator's grant of that role, which counts once.
	Grant bool
	// Barred says that the host of this room has banned the actor from all of their rooms (Summary.Barred).
	Barred bool
	// System is the node itself, on nobody's behalf; User is empty then.
	System bool
}

// Command is something that a person or a node wants done. The structs of this package are the only commands.
type Command interface {
	// Name is the command's name in Permissions and the value of the label command of rotunda_command_seconds.
	Name() string
	// subject is the person whom the command is about; empty: the room.
	subject(*State, Actor) rotunda.UserID
	decide(*draft) error
}

// Create makes a room, live at once or, with StartsAt, scheduled; the actor becomes its host, on stage and muted.
type Create struct {
	Title       string
	Description string
	Rules       string
	Mode        Mode // empty: Discussion
	Tags        []string
	Language    string
	StartsAt    *time.Time
	Askers      []rotunda.UserID
	Policy      PolicyEdit
	Node        rotunda.NodeID // the room's first home
	Fence       rotunda.Fence  // the regions that the room stays in, for ever; empty: no fence
	Hitless     Hitless        // for ever, too
}

// Start takes a scheduled room live.
type Start struct{}

// End ends the room for good.
type End struct{ Reason string }

// Edit changes what the room says of itself and its policy; nil fields stay as they are. A Mode brings its usual policy
// with it, in the same step, before Policy is applied.
type Edit struct {
	Title       *string
	Description *string
	Rules       *string
	Mode        *Mode
	Tags        *[]string
	Language    *string
	StartsAt    *time.Time // while scheduled only
	Askers      *[]rotunda.UserID
	Policy      PolicyEdit
}

// Request asks to speak. Asking again changes nothing.
type Request struct{ Note string }

// Withdraw takes User's request back. A node does so for somebody who has left.
type Withdraw struct {
	User rotunda.UserID // empty: the actor
}

// Approve puts User, who asked, on stage as a muted speaker.
type Approve struct{ User rotunda.UserID }

// Deny takes User's request off the queue.
type Deny struct {
	User   rotunda.UserID
	Reason string
}

// SetRole gives User, who is on stage or asked to be, another role. Listener is off the stage; oneself to Listener is
// stepping down; Host is handing the room over, and the host before becomes a co-host.
type SetRole struct {
	User rotunda.UserID
	Role rotunda.Role
}

// Mute shuts User's microphone.
type Mute struct {
	User   rotunda.UserID
	Reason string
}

// Unmute opens User's microphone: nobody's but the actor's own.
type Unmute struct{ User rotunda.UserID }

// MuteAll shuts the microphones of everybody of a lower role than the actor's.
type MuteAll struct{}

// Remove takes User off the stage, out of the queue and ends all their sessions; with Ban they are refused from then on.
// Everywhere, which only the host may say, bans them from all rooms of the host. A node, which acts for the operator, may
// remove the host too: the role passes on first, or the room ends.
type Remove struct {
	User       rotunda.UserID
	Ban        bool
	Everywhere bool // implies Ban
	Reason     string
}

// Publish says that the actor's mic session was opened at Node. The host's microphone brings the room's home with it.
type Publish struct{ Node rotunda.NodeID }

// Unpublish says that User's mic session of that Epoch is over. It changes nothing where there is a newer one.
type Unpublish struct {
	User  rotunda.UserID // empty: the actor
	Epoch rotunda.Epoch
}

// Claim takes up the grant in the actor's token. Every other command of an actor with a grant claims it first where it
// still can, so that Claim is needed only by whoever does nothing else.
type Claim struct{}

func (Create) Name() string    { return "create" }
func (Start) Name() string     { return "start" }
func (End) Name() string       { return "end" }
func (Edit) Name() string      { return "edit" }
func (Request) Name() string   { return "request" }
func (Withdraw) Name() string  { return "withdraw" }
func (Approve) Name() string   { return "approve" }
func (Deny) Name() string      { return "deny" }
func (SetRole) Name() string   { return "role" }
func (Mute) Name() string      { return "mute" }
func (Unmute) Name() string    { return "unmute" }
func (MuteAll) Name() string   { return "mute_all" }
func (Remove) Name() string    { return "remove" }
func (Publish) Name() string   { return "publish" }
func (Unpublish) Name() string { return "unpublish" }
func (Claim) Name() string     { return "claim" }

func (Create) subject(*State, Actor) rotunda.UserID      { return "" }
func (Start) subject(*State, Actor) rotunda.UserID       { return "" }
func (End) subject(*State, Actor) rotunda.UserID         { return "" }
func (Edit) subject(*State, Actor) rotunda.UserID        { return "" }
func (Request) subject(_ *State, a Actor) rotunda.UserID { return a.User }
func (c Withdraw) subject(_ *State, a Actor) rotunda.UserID {
	return cmp.Or(c.User, a.User)
}
func (c Approve) subject(*State, Actor) rotunda.UserID   { return c.User }
func (c Deny) subject(*State, Actor) rotunda.UserID      { return c.User }
func (c SetRole) subject(*State, Actor) rotunda.UserID   { return c.User }
func (c Mute) subject(*State, Actor) rotunda.UserID      { return c.User }
func (c Unmute) subject(*State, Actor) rotunda.UserID    { return c.User }
func (MuteAll) subject(*State, Actor) rotunda.UserID     { return "" }
func (c Remove) subject(*State, Actor) rotunda.UserID    { return c.User }
func (Publish) subject(_ *State, a Actor) rotunda.UserID { return a.User }
func (c Unpublish) subject(_ *State, a Actor) rotunda.UserID {
	return cmp.Or(c.User, a.User)
}
func (Claim) subject(_ *State, a Actor) rotunda.UserID { return a.User }
