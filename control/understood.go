package control

import (
	"bytes"
	"encoding/json"
	"slices"

	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// knownTypes are the events that this version's Apply knows what to do with. A test compares them with package room.
var knownTypes = []room.EventType{
	room.EventCreated, room.EventStarted, room.EventEnded, room.EventEdited, room.EventRefreshed, room.EventLocked,
	room.EventUnlocked, room.EventRequested, room.EventWithdrawn, room.EventApproved, room.EventDenied,
	room.EventLinkOpened, room.EventLinkClosed, room.EventInvited, room.EventAccepted, room.EventDeclined, room.EventRole, room.EventClaimed, room.EventSucceeded,
	room.EventMuted, room.EventUnmuted, room.EventMutedAll, room.EventWarned, room.EventRemoved, room.EventSettled, room.EventUnbanned,
	room.EventReported, room.EventPublished, room.EventUnpublished, room.EventHomed, room.EventStandby, room.EventPresent,
	room.EventAbsent, room.EventGone, room.EventHeld, room.EventSpoke, room.EventPinProposed, room.EventPinned,
	room.EventPinMoved, room.EventUnpinned, room.EventRotationStarted, room.EventRotationStopped, room.EventTurn,
	room.EventTurnWarned, room.EventTurnExtended, room.EventTurnEnded,
}

// understood reports whether this version knows all that an entry says. While versions are mixed a node meets events and
// fields of a newer one and folds on without them; but what it folds is its own business only as long as it makes no
// snapshot of it, which the newer nodes would start from.
func understood(entry eventlog.Entry) bool {
	var e room.Event
	d := json.NewDecoder(bytes.NewReader(entry.Data))
	d.DisallowUnknownFields()
	return d.Decode(&e) == nil && slices.Contains(knownTypes, e.Type)
}
