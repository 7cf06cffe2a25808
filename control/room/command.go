package room

import (
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
	// System is the node itself, on nobody's behalf; User is empty then.
	System bool
}

// Command is something that a person or a node wants done. The structs of this package are the only commands.
type Command interface {
	// Name is the command's name in Permissions and the value of the label command of rotunda_command_seconds.
	Name() string
	// subject is the person whom the command is about; empty: the room.
	subject(Actor) rotunda.UserID
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
	Policy      PolicyEdit
	Node        rotunda.NodeID // the room's first home
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
	Policy      PolicyEdit
}

// Request asks to speak. Asking again changes nothing.
type Request struct{ Note string }

// Withdraw takes the actor's request back.
type Withdraw struct{}

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
type Mute struct{ User rotunda.UserID }

// Unmute opens User's microphone: nobody's but the actor's own.
type Unmute struct{ User rotunda.UserID }

// MuteAll shuts the microphones of everybody of a lower role than the actor's.
type MuteAll struct{}

// Remove takes User off the stage, out of the queue and ends all their sessions; with Ban they are refused from then on.
type Remove struct {
	User   rotunda.UserID
	Ban    bool
	Reason string
}

// Publish says that the actor's mic session was opened at Node. The host's microphone brings the room's home with it.
type Publish struct{ Node rotunda.NodeID }

// Unpublish says that User's mic session of that Epoch is over. It changes nothing where there is a newer one.
type Unpublish struct {
	User  rotunda.UserID // empty: the actor
	Epoch rotunda.Epoch
}

// Restart says that Node has started anew: its mic sessions are gone, and where it is home the program begins a new epoch,
// because its frames are counted from the beginning again.
type Restart struct{ Node rotunda.NodeID }

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
func (Restart) Name() string   { return "restart" }
func (Claim) Name() string     { return "claim" }

func (Create) subject(Actor) rotunda.UserID     { return "" }
func (Start) subject(Actor) rotunda.UserID      { return "" }
func (End) subject(Actor) rotunda.UserID        { return "" }
func (Edit) subject(Actor) rotunda.UserID       { return "" }
func (Request) subject(a Actor) rotunda.UserID  { return a.User }
func (Withdraw) subject(a Actor) rotunda.UserID { return a.User }
func (c Approve) subject(Actor) rotunda.UserID  { return c.User }
func (c Deny) subject(Actor) rotunda.UserID     { return c.User }
func (c SetRole) subject(Actor) rotunda.UserID  { return c.User }
func (c Mute) subject(Actor) rotunda.UserID     { return c.User }
func (c Unmute) subject(Actor) rotunda.UserID   { return c.User }
func (MuteAll) subject(Actor) rotunda.UserID    { return "" }
func (c Remove) subject(Actor) rotunda.UserID   { return c.User }
func (Publish) subject(a Actor) rotunda.UserID  { return a.User }
func (c Unpublish) subject(a Actor) rotunda.UserID {
	if c.User == "" {
		return a.User
	}
	return c.User
}
func (Restart) subject(Actor) rotunda.UserID { return "" }
func (Claim) subject(a Actor) rotunda.UserID { return a.User }
