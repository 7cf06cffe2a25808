package control

import (
	"encoding/json"
	"errors"
	"fmt"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/fence"
	"rotunda/control/room"
)

// Fact is a decision that took effect without the log: what one node decided at once, to be appended when the log is back.
// Its events only take away.
type Fact struct {
	sealed []byte            // as its node has spread it; nil: this node's own
	ID     string            // unique; its events have it as the start of theirs
	Room   rotunda.RoomID    //
	Node   rotunda.NodeID    // who decided
	After  eventlog.Position // the room's log as that node knew it
	Events []room.Event      // 1 to factEventsMax
	// Logged is the number in the room's log by which it was there already: the fact is for nodes that are cut off from the
	// log, and nobody has to append it. 0: it is not in the log.
	Logged uint64
}

// Bounds of facts.
const (
	factVersion   = 1
	factEventsMax = 8        // one command makes one, or a few
	factsOwnMax   = 512      // decided by this node and not in the log yet
	factsMax      = 2048     // decided by others
	factsRoomMax  = 512      // in one room; each costs some work with every change of the room
	factBytesMax  = 16 << 10 // encoded
	factIDMax     = eventlog.IDMax - 4
)

var errFact = errors.New("malformed fact")

// factBody is a fact as it is sealed. Sent tells copies that are sent again from the first: a mesh carries each message once.
type factBody struct {
	Version int            `json:"v"`
	ID      string         `json:"id"`
	Room    rotunda.RoomID `json:"room"`
	Node    rotunda.NodeID `json:"node"`
	Seq     uint64         `json:"seq"`
	Hash    []byte         `json:"hash"`
	Events  []room.Event   `json:"events,omitempty"`
	Sealed  []byte         `json:"sealed,omitempty"` // the events of a fenced room, in place of Events
	Logged  uint64         `json:"logged,omitempty"`
	Sent    int64          `json:"sent"` // ms since 1970
}

// sealing is Control.seal or Control.unseal; openly is either for what stays on this node.
type sealing func(id rotunda.RoomID, k fence.Kind, place uint64, data []byte) ([]byte, error)

func openly(_ rotunda.RoomID, _ fence.Kind, _ uint64, data []byte) ([]byte, error) { return data, nil }

func (f Fact) encode(sent int64, seal sealing) ([]byte, error) {
	body := factBody{
		Version: factVersion, ID: f.ID, Room: f.Room, Node: f.Node, Seq: f.After.Seq, Hash: f.After.Hash[:], Events: f.Events,
		Logged: f.Logged, Sent: sent,
	}
	if f.Room.Fenced() {
		events, err := json.Marshal(f.Events)
		if err != nil {
			return nil, err
		}
		if body.Sealed, err = seal(f.Room, fence.Fact, 0, events); err != nil {
			return nil, err
		}
		body.Events = nil
	}
	b, err := json.Marshal(body)
	if err == nil && len(b) > factBytesMax {
		err = fmt.Errorf("%w: %d bytes, at most %d", errFact, len(b), factBytesMax)
	}
	return b, err
}

// parseFact reads what encode wrote. Errors wrap errFact, or *Outside where its room is none of this node's.
func parseFact(b []byte, unseal sealing) (Fact, error) {
	var body factBody
	if len(b) > factBytesMax {
		return Fact{}, fmt.Errorf("%w: %d bytes, at most %d", errFact, len(b), factBytesMax)
	}
	if err := json.Unmarshal(b, &body); err != nil {
		return Fact{}, fmt.Errorf("%w: %v", errFact, err)
	}
	if body.Room.Fenced() {
		events, err := unseal(body.Room, fence.Fact, 0, body.Sealed)
		if err != nil {
			return Fact{}, fmt.Errorf("%w: %w", errFact, err)
		}
		body.Events = nil
		if err := json.Unmarshal(events, &body.Events); err != nil {
			return Fact{}, fmt.Errorf("%w: %v", errFact, err)
		}
	}
	f := Fact{ID: body.ID, Room: body.Room, Node: body.Node, After: eventlog.Position{Seq: body.Seq}, Events: body.Events, Logged: body.Logged}
	if body.Version != factVersion || len(body.Hash) != len(f.After.Hash) || f.ID == "" || len(f.ID) > factIDMax {
		return Fact{}, fmt.Errorf("%w: version, hash or id", errFact)
	}
	copy(f.After.Hash[:], body.Hash)
	if err := errors.Join(f.Room.Valid(), f.Node.Valid()); err != nil {
		return Fact{}, fmt.Errorf("%w: %v", errFact, err)
	}
	if n := len(f.Events); n < 1 || n > factEventsMax {
		return Fact{}, fmt.Errorf("%w: %d events, 1 to %d", errFact, n, factEventsMax)
	}
	for i, e := range f.Events {
		if e.ID != f.eventID(i) || !e.Fact || e.At.IsZero() {
			return Fact{}, fmt.Errorf("%w: event %d is none that is decided without the log", errFact, i)
		}
	}
	return f, nil
}

func (f Fact) eventID(i int) string { return fmt.Sprintf("%s-%d", f.ID, i) }

// adopted reports whether all of f is in the log that s comes from.
func (f Fact) adopted(s *room.State) bool {
	if f.Logged > 0 {
		return s.Seq >= f.Logged
	}
	for _, e := range f.Events {
		if !s.Adopted(e.ID) {
			return false
		}
	}
	return true
}
