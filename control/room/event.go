package room

import (
	"time"

	"rotunda"
)

// EventType says what happened. It is also the name of the event in the event feed.
type EventType string

// The event types. A node may meet others, written by a newer version: Apply counts them and changes nothing else.
const (
	EventCreated   EventType = "created"   // Details, User = host, Name, SSRC, Node = home, Fence, Hitless
	EventStarted   EventType = "started"   //
	EventEnded     EventType = "ended"     // Reason
	EventEdited    EventType = "edited"    // Details, whole
	EventRefreshed EventType = "refreshed" // Joined
	EventLocked    EventType = "locked"    //
	EventUnlocked  EventType = "unlocked"  //

	EventRequested  EventType = "requested"   // User, Name, Note
	EventWithdrawn  EventType = "withdrawn"   // User
	EventApproved   EventType = "approved"    // User, Name, SSRC
	EventDenied     EventType = "denied"      // User, Reason
	EventInvited    EventType = "invited"     // User
	EventAccepted   EventType = "accepted"    // User, Name, SSRC
	EventDeclined   EventType = "declined"    // User; By the person invited, or who took it back
	EventLinkOpened EventType = "link_opened" // Note = proof of the key
	EventLinkClosed EventType = "link_closed" //

	EventRole      EventType = "role"      // User, Name, SSRC, Role, Former
	EventClaimed   EventType = "claimed"   // User, Name, SSRC, Role, Former
	EventSucceeded EventType = "succeeded" // User = the new host, Former, Reason = SuccessionAway, …

	EventMuted    EventType = "muted"     // User, Reason
	EventUnmuted  EventType = "unmuted"   // User
	EventMutedAll EventType = "muted_all" // Users
	EventWarned   EventType = "warned"    // User, Reason, Public, Count
	EventRemoved  EventType = "removed"   // User, Ban, Bar, Reason
	EventSettled  EventType = "settled"   // nothing: a fact of this id changed nothing by the time it came to the log
	EventUnbanned EventType = "unbanned"  // User
	EventReported EventType = "reported"  // User (may be empty), Reason, Note

	EventPublished   EventType = "published"   // User, Node, Epoch of the mic
	EventUnpublished EventType = "unpublished" // User, Epoch of the mic
	EventHomed       EventType = "homed"       // Node, Epoch of the program
	EventStandby     EventType = "standby"     // Node, Epoch of the program that it may begin; no Node: nobody stands by
	EventPresent     EventType = "present"     // User, Node
	EventAbsent      EventType = "absent"      // User, Node; no Node: never came
	EventGone        EventType = "gone"        // Node: all that it held
	EventHeld        EventType = "held"        //
	EventSpoke       EventType = "spoke"       // Talk

	EventPinProposed EventType = "pin_proposed" // Pin, User, Name, URL, Note
	EventPinned      EventType = "pinned"       // Pin; of somebody who needs nobody's approval: User, Name, URL, Note too
	EventPinMoved    EventType = "pin_moved"    // Pin, Place
	EventUnpinned    EventType = "unpinned"     // Pin

	EventRotationStarted EventType = "rotation_started" // Turn, Warn
	EventRotationStopped EventType = "rotation_stopped" //
	EventTurn            EventType = "turn"             // User, Name, SSRC, Until
	EventTurnWarned      EventType = "turn_warned"      // User
	EventTurnExtended    EventType = "turn_extended"    // User, Until
	EventTurnEnded       EventType = "turn_ended"       // User
)

// Event is one fact of a room's history. It is one flat struct, as it stands in the log; which fields count follows from
// Type. Fields of a newer version are lost when an older one reads it, and the log keeps them.
type Event struct {
	Seq    uint64                     `json:"seq"`
	ID     string                     `json:"id,omitempty"` // unique; set by whoever appends
	At     time.Time                  `json:"at"`
	By     rotunda.UserID             `json:"by,omitempty"` // empty: the node itself
	Type   EventType                  `json:"type"`
	User   rotunda.UserID             `json:"user,omitempty"`
	Users  []rotunda.UserID           `json:"users,omitempty"`
	Name   string                     `json:"name,omitempty"`
	Role   rotunda.Role               `json:"role,omitempty"`
	Former rotunda.Role               `json:"former,omitempty"` // what the host before becomes; empty: Cohost
	SSRC   rotunda.SSRC               `json:"ssrc,omitempty"`
	Node   rotunda.NodeID             `json:"node,omitempty"`
	Epoch  rotunda.Epoch              `json:"epoch,omitempty"`
	Ban    bool                       `json:"ban,omitempty"`
	Bar    rotunda.UserID             `json:"bar,omitempty"` // the ban is for all rooms of this host
	Public bool                       `json:"public,omitempty"`
	Fact   bool                       `json:"fact,omitempty"` // decided while the log was away; At is when that was
	Count  int                        `json:"count,omitempty"`
	Joined int                        `json:"joined,omitempty"`
	Pin    PinID                      `json:"pin,omitempty"`
	Place  int                        `json:"place,omitempty"` // in the list of pins, from 1
	URL    string                     `json:"url,omitempty"`
	Turn   Seconds                    `json:"turn,omitempty"`
	Warn   Seconds                    `json:"warn,omitempty"`
	Until  time.Time                  `json:"until,omitzero"`
	Talk   map[rotunda.UserID]Seconds `json:"talk,omitempty"`
	Note   string                     `json:"note,omitempty"`
	Reason string                     `json:"reason,omitempty"`

	Request string `json:"request,omitempty"` // whose id the logs of the node have; set by whoever appends

	Details *Details      `json:"details,omitempty"`
	Fence   rotunda.Fence `json:"fence,omitempty"`
	Hitless Hitless       `json:"hitless,omitempty"`
}

// Audience says who may know of an event, and of its content, beside the operator.
type Audience string

// The audiences.
const (
	ForAll       Audience = "all"       // the reasons for what was done to a person are theirs all the same
	ForConcerned Audience = "concerned" // whom it is about, who did it, host and co-hosts
	ForOperator  Audience = "operator"  // nobody else, whatever their role in the room
)

// Audience says who may know of e. The event feed and the moderation record hold to it.
func (e Event) Audience() Audience {
	switch {
	case e.Type == EventReported:
		return ForOperator
	case e.Type == EventWarned && !e.Public, e.Type == EventPinProposed:
		return ForConcerned
	}
	return ForAll
}

// EventWithheld stands in the event feed for an event that is not for the reader.
const EventWithheld EventType = "withheld"

// For returns e as u may see it in the state after it: whole, without the reason that was given to somebody else, or only
// that something happened (EventWithheld, with Seq and At). An empty u is somebody of whom nothing is known.
func (e Event) For(s *State, u rotunda.UserID) Event {
	to := e.Audience()
	if u != "" && to != ForOperator && (u == e.User || u == e.By || s.Role(u).Rank() >= rotunda.Cohost.Rank()) {
		return e
	}
	if to != ForAll {
		return Event{Seq: e.Seq, At: e.At, Type: EventWithheld}
	}
	e.Request = "" // who sends it may choose its words
	switch e.Type {
	case EventDenied, EventRemoved, EventMuted:
		e.Reason = ""
	}
	return e
}
