package room

import (
	"fmt"
	"slices"
	"time"

	"rotunda"
)

// ArriveMax is how long a host of whom no node has said anything counts as there: whoever makes a room, or is given one,
// may take that long to connect.
const ArriveMax = 5 * time.Minute

// nodesMax is at how many nodes a person is known to be connected; of more, the later ones are not heard.
const nodesMax = 8

// Present says that User, who is on stage, has a session at Node: media or the event feed.
type Present struct {
	User rotunda.UserID
	Node rotunda.NodeID
}

// Absent says that User's last session at Node is gone.
type Absent struct {
	User rotunda.UserID
	Node rotunda.NodeID
}

// Restart says that Node has started anew: the sessions that it held are gone, and where it is home the program begins a
// new epoch, because its frames are counted from the beginning again.
type Restart struct{ Node rotunda.NodeID }

// Lost says that Node is dead: the sessions that it held are gone, and where it was home the program moves to the standby;
// where there is none, to where somebody on stage is, if there is anybody. Any node may say so.
type Lost struct{ Node rotunda.NodeID }

func (Present) Name() string { return "present" }
func (Absent) Name() string  { return "absent" }
func (Restart) Name() string { return "restart" }
func (Lost) Name() string    { return "lost" }

func (c Present) subject(*State, Actor) rotunda.UserID { return c.User }
func (c Absent) subject(*State, Actor) rotunda.UserID  { return c.User }
func (Restart) subject(*State, Actor) rotunda.UserID   { return "" }
func (Lost) subject(*State, Actor) rotunda.UserID      { return "" }

// Here reports whether p is connected anywhere, as far as nodes have said.
func (p Participant) Here() bool { return len(p.Nodes) > 0 }

// heardOf reports whether any node has said anything of p since they came on stage.
func (p Participant) heardOf() bool { return p.Here() || !p.Away.IsZero() }

func (c Present) decide(d *draft) error {
	if err := c.Node.Valid(); err != nil {
		return fmt.Errorf("node: %w: %v", ErrInvalid, err)
	}
	p, ok := d.stage[c.User]
	if ok && d.Phase != Ended && !slices.Contains(p.Nodes, c.Node) && len(p.Nodes) < nodesMax {
		d.emit(Event{Type: EventPresent, User: c.User, Node: c.Node})
	}
	return nil
}

func (c Absent) decide(d *draft) error {
	if err := c.Node.Valid(); err != nil {
		return fmt.Errorf("node: %w: %v", ErrInvalid, err)
	}
	p, ok := d.stage[c.User]
	if ok && d.Phase != Ended && (slices.Contains(p.Nodes, c.Node) || !p.heardOf()) {
		d.emit(Event{Type: EventAbsent, User: c.User, Node: c.Node})
	}
	return nil
}

func (c Restart) decide(d *draft) error {
	if err := d.gone(c.Node); err != nil {
		return err
	}
	if d.Phase == Live && d.Home == c.Node {
		d.emit(Event{Type: EventHomed, Node: c.Node, Epoch: d.nextEpoch()})
	}
	d.standDown(c.Node)
	return nil
}

func (c Lost) decide(d *draft) error {
	if err := d.gone(c.Node); err != nil {
		return err
	}
	d.standDown(c.Node)
	if d.Phase != Live || d.Home != c.Node {
		return nil
	}
	if d.Standby.Node != "" {
		d.emit(Event{Type: EventHomed, Node: d.Standby.Node, Epoch: d.Standby.Epoch})
	} else if node, ok := d.refuge(); ok {
		d.emit(Event{Type: EventHomed, Node: node, Epoch: d.nextEpoch()})
	}
	return nil
}

// refuge is where the program goes when its home is dead: to a microphone, the host's first; where there is none, to where
// somebody on stage is.
func (s *State) refuge() (node rotunda.NodeID, ok bool) {
	for _, p := range append([]Participant{s.stage[s.Host]}, s.line()...) {
		switch {
		case p.Live:
			return p.Node, true
		case p.Here() && !ok:
			node, ok = p.Nodes[0], true
		}
	}
	return node, ok
}

// gone ends the microphones and the presence of everybody at node.
func (d *draft) gone(node rotunda.NodeID) error {
	if err := node.Valid(); err != nil {
		return fmt.Errorf("node: %w: %v", ErrInvalid, err)
	}
	if d.Phase == Ended {
		return nil
	}
	for _, p := range d.stage {
		if p.Live && p.Node == node || slices.Contains(p.Nodes, node) {
			d.emit(Event{Type: EventGone, Node: node})
			return nil
		}
	}
	return nil
}

func (s *State) applyGone(e Event) {
	for u := range s.stage {
		s.change(u, func(p *Participant) { p.Live = p.Live && p.Node != e.Node })
		if slices.Contains(s.stage[u].Nodes, e.Node) {
			s.applyAbsent(u, e)
		}
	}
}

func (s *State) applyPresent(u rotunda.UserID, node rotunda.NodeID) {
	s.change(u, func(p *Participant) {
		if i, known := slices.BinarySearch(p.Nodes, node); !known && len(p.Nodes) < nodesMax {
			p.Nodes = slices.Insert(slices.Clone(p.Nodes), i, node)
		}
		p.Away = time.Time{}
	})
	if u == s.Host {
		s.HeldSince = time.Time{}
	}
}

func (s *State) applyAbsent(u rotunda.UserID, e Event) {
	s.change(u, func(p *Participant) {
		if i, known := slices.BinarySearch(p.Nodes, e.Node); known {
			p.Nodes = slices.Delete(slices.Clone(p.Nodes), i, i+1)
		}
		if !p.Here() && p.Away.IsZero() {
			p.Nodes, p.Away = nil, e.At
		}
	})
}
