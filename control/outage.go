package control

import (
	"context"

	"rotunda"
	"rotunda/control/room"
)

// Outage lets a Control go on restricting while the log is away: what takes something away from people takes effect at
// once on every node and is appended when the log is back; what gives is refused. All fields are required.
type Outage struct {
	// Seal signs a message with the key of this node's certificate; Open checks that a node of the mesh has sealed a
	// message, and says which one.
	Seal func(message []byte) (sealed []byte, err error)
	Open func(sealed []byte) (node rotunda.NodeID, message []byte, err error)
	// Spread sends a sealed message to every node of the mesh; there it is to be given to Control.Heard. It must not block.
	Spread func(sealed []byte) error
	// Dir is the folder for decisions that are not in the log yet. It is made where it does not exist.
	Dir string
}

// outage is what a Control knows of decisions that are not in the log yet.
type outage struct {
	c *Control
}

func newOutage(c *Control) *outage { return &outage{c: c} }

// run appends what is not in the log yet when the log is back, until ctx ends.
func (o *outage) run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// do carries out a command, without the log where that is possible.
func (o *outage) do(ctx context.Context, id rotunda.RoomID, a room.Actor, cmd room.Command) (*room.State, error) {
	return o.c.do(ctx, id, a, cmd)
}

// over is a state with the decisions that are not in the log yet.
func (o *outage) over(_ rotunda.RoomID, s *room.State) *room.State { return s }

// lens is how one follower of a room sees the decisions that are not in the log yet.
type lens struct {
	o  *outage
	id rotunda.RoomID
}

func (o *outage) lens(id rotunda.RoomID) *lens { return &lens{o: o, id: id} }

// change is a change of the log as it is to be told.
func (l *lens) change(c Change) Change { return c }

// news is the change that decisions which are not in the log have made since the last one, if any; s is the log's newest
// state. wait is closed with the next.
func (l *lens) news(s *room.State) (c Change, changed bool, wait <-chan struct{}) {
	return Change{}, false, nil
}
