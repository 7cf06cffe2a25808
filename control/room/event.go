package room

import (
	"time"

	"rotunda"
)

// EventType says what happened. It is also the name of the event in the event feed.
type EventType string

// The event types. A node may meet others, written by a newer version: Apply counts them and changes nothing else.
const (
	EventCreated     EventType = "created"     // Details, User = host, Name, SSRC, Node = home
	EventStarted     EventType = "started"     //
	EventEnded       EventType = "ended"       // Reason
	EventEdited      EventType = "edited"      // Details, whole
	EventRequested   EventType = "requested"   // User, Name, Note
	EventWithdrawn   EventType = "withdrawn"   // User
	EventApproved    EventType = "approved"    // User, Name, SSRC
	EventDenied      EventType = "denied"      // User, Reason
	EventRole        EventType = "role"        // User, Name, SSRC, Role
	EventClaimed     EventType = "claimed"     // User, Name, SSRC, Role
	EventMuted       EventType = "muted"       // User
	EventUnmuted     EventType = "unmuted"     // User
	EventMutedAll    EventType = "muted_all"   // Users
	EventRemoved     EventType = "removed"     // User, Ban, Reason
	EventPublished   EventType = "published"   // User, Node, Epoch of the mic
	EventUnpublished EventType = "unpublished" // User, Epoch of the mic
	EventHomed       EventType = "homed"       // Node, Epoch of the program
)

// Event is one fact of a room's history. It is one flat struct, as it stands in the log; which fields count follows from
// Type. Fields of a newer version are lost when an older one reads it, and the log keeps them.
type Event struct {
	Seq    uint64           `json:"seq"`
	ID     string           `json:"id,omitempty"` // unique; set by whoever appends
	At     time.Time        `json:"at"`
	By     rotunda.UserID   `json:"by,omitempty"` // empty: the node itself
	Type   EventType        `json:"type"`
	User   rotunda.UserID   `json:"user,omitempty"`
	Users  []rotunda.UserID `json:"users,omitempty"`
	Name   string           `json:"name,omitempty"`
	Role   rotunda.Role     `json:"role,omitempty"`
	SSRC   rotunda.SSRC     `json:"ssrc,omitempty"`
	Node   rotunda.NodeID   `json:"node,omitempty"`
	Epoch  rotunda.Epoch    `json:"epoch,omitempty"`
	Ban    bool             `json:"ban,omitempty"`
	Note   string           `json:"note,omitempty"`
	Reason string           `json:"reason,omitempty"`

	Details *Details `json:"details,omitempty"`
}
