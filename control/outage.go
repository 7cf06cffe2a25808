package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// Outage lets a Control go on restricting while the log is away: what takes something away from people takes effect at
// once on every node and is appended when the log is back; what gives is refused. All fields are required.
//
// Such a decision is a Fact. Who decided it has it on the disk before it answers, sends it to all nodes and sends it again
// now and then, until the log has it. Every node shows its rooms with the facts that it knows of laid over the log's state,
// and whoever writes to a room appends them first.
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

const (
	// patience is how long a decision that restricts waits for the log before it takes effect without it.
	patience = 150 * time.Millisecond
	// awayFor is how long the next ones do not wait after that: until Run's probe has found out for itself.
	awayFor = probeEvery + commandMax
	// settleEvery is how often facts and log are compared.
	settleEvery = 250 * time.Millisecond
	// spreadEvery is how often a fact is sent again, for nodes that were not there; spreadAtOnce of them at a time.
	spreadEvery  = 30 * time.Second
	spreadAtOnce = 4
	// otherWait is how long another node's facts wait for that node to append them when the log is back.
	otherWait = 5 * time.Second
	// otherMax is how long another node's fact is kept, in a room that this node has no part in, after it was heard last.
	otherMax = 10 * time.Minute
)

// do carries out a command, without the log where that is possible and has to be.
func (o *outage) do(ctx context.Context, id rotunda.RoomID, a room.Actor, cmd room.Command) (*room.State, error) {
	if o.cfg == nil {
		return o.c.do(ctx, id, a, cmd)
	}
	if !room.Restricts(cmd) {
		return o.through(ctx, id, a, cmd)
	}
	if !o.away() {
		pctx, cancel := context.WithTimeout(ctx, patience)
		s, err := o.through(pctx, id, a, cmd)
		cancel()
		if c, removes := cmd.(room.Remove); removes && err == nil {
			o.announce(s, c.User)
		}
		if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknownOutcome) || ctx.Err() != nil {
			return s, err
		}
		o.setAway()
	}
	return o.restrict(ctx, id, a, cmd)
}

// through carries out a command by the log. What took effect without it comes first there too: nothing is given to who has
// been refused it.
func (o *outage) through(ctx context.Context, id rotunda.RoomID, a room.Actor, cmd room.Command) (*room.State, error) {
	if o.pending(id) {
		if err := o.settleSoon(ctx, id); err != nil {
			return nil, err
		}
	}
	s, err := o.c.do(ctx, id, a, cmd)
	if err != nil {
		return nil, err
	}
	return o.over(id, s), nil
}

func (o *outage) settleSoon(ctx context.Context, id rotunda.RoomID) error {
	if !o.c.Available() {
		return fmt.Errorf("room %s: %w", id, ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	return o.settle(ctx, id)
}

// restrict decides against the last known state. Whatever becomes of the disk and the network, the decision is in effect on
// this node before anything else happens.
func (o *outage) restrict(ctx context.Context, id rotunda.RoomID, a room.Actor, cmd room.Command) (*room.State, error) {
	ctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	f, err := o.c.acquire(ctx, id)
	if err != nil {
		return nil, err
	}
	defer o.c.release(f)
	s, at := f.current()
	events, err := o.over(id, s).Restrict(o.c.cfg.Now(), a, cmd)
	switch {
	case errors.Is(err, room.ErrGrants):
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case err != nil:
		return nil, err
	case len(events) == 0:
		return o.over(id, s), nil
	}
	name, err := o.c.random.letters(20) // 100 bits
	if err != nil {
		return nil, err
	}
	fact := Fact{ID: name, Room: id, Node: o.c.cfg.Node, After: at, Events: events}
	for i := range events {
		events[i].ID = fact.eventID(i)
	}
	if !o.add(fact, true) {
		return nil, fmt.Errorf("room %s: %d decisions wait for the log: %w", id, factsOwnMax, ErrUnavailable)
	}
	o.spread(fact) // it is sent again if this does not work
	if err := o.keep(fact); err != nil {
		o.c.cfg.Logger.Error("a decision is in effect and may be lost if this node ends before the log is back", "room", id, "error", err)
		return nil, fmt.Errorf("room %s: %w: %v", id, ErrUnknownOutcome, err)
	}
	nudge(o.wake)
	return o.over(id, s), nil
}

// announce tells nodes that are cut off from the log of somebody who was removed by it: they refuse them too. Nodes that
// have the log have it from there.
func (o *outage) announce(s *room.State, u rotunda.UserID) {
	r, ok := s.Removed(u)
	name, err := o.c.random.letters(20)
	if !ok || err != nil {
		return
	}
	f := Fact{ID: name, Room: s.ID, Node: o.c.cfg.Node, Logged: s.Seq}
	f.Events = []room.Event{{
		ID: f.eventID(0), At: r.At, By: r.By, Type: room.EventRemoved, User: u, Ban: r.Ban, Bar: r.Bar, Fact: true,
		Reason: o.c.removalReason(s.ID, u), // where this comes before the log, it is all that they are told
	}}
	o.spread(f)
}

// removalReason is why u was removed, if that happened a moment ago; empty: no reason was given.
func (c *Control) removalReason(id rotunda.RoomID, u rotunda.UserID) string {
	c.mu.Lock()
	f := c.rooms[id]
	c.mu.Unlock()
	if f == nil {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, change := range slices.Backward(f.recent) {
		if e := change.Event; e.Type == room.EventRemoved && e.User == u {
			return e.Reason
		}
	}
	return ""
}

func (o *outage) keep(f Fact) error {
	if o.box == nil {
		return errors.New("no folder for what waits for the log")
	}
	data, err := f.encode(0, openly)
	if err != nil {
		return err
	}
	return o.box.Put(f.ID, data)
}

// spread sends a fact to all nodes.
func (o *outage) spread(f Fact) {
	b, err := o.seal(f)
	if err == nil {
		err = o.cfg.Spread(b)
	}
	if err != nil {
		o.c.cfg.Logger.Warn("a decision without the log was not sent to the other nodes; it will be", "room", f.Room, "error", err)
	}
}

// Heard takes a message that another node has spread. What no node of the mesh has sealed, or is no fact, is left out and
// said in the error. It does not block.
func (c *Control) Heard(sealed []byte) error {
	o := c.outage
	if o.cfg == nil {
		return nil
	}
	node, message, err := o.cfg.Open(sealed)
	if err != nil {
		return err
	}
	f, err := parseFact(message, c.unseal)
	if errors.As(err, new(*Outside)) {
		return nil // it is for others, to whom the mesh hands it on
	}
	if err != nil {
		return err
	}
	if f.Node != node {
		return fmt.Errorf("%w: %s has sealed what %s is to have decided", errFact, node, f.Node)
	}
	f.sealed = sealed
	o.add(f, false)
	return nil
}

// sealed are the room's decisions that are not in the log yet, each as its node spreads it.
func (o *outage) sealed(id rotunda.RoomID) [][]byte {
	var all [][]byte
	for _, f := range o.of(id) {
		b := f.sealed
		if b == nil {
			var err error
			if b, err = o.seal(f); err != nil {
				o.c.cfg.Logger.Warn("a decision without the log cannot be handed on", "room", id, "error", err)
				continue
			}
		}
		all = append(all, b)
	}
	return all
}

// seal makes the message that spreads a fact of this node.
func (o *outage) seal(f Fact) ([]byte, error) {
	b, err := f.encode(o.c.cfg.Now().UnixMilli(), o.c.seal)
	if err != nil {
		return nil, err
	}
	return o.cfg.Seal(b)
}

// Over is s, of this node's room, with the decisions that are in effect and not in the log yet.
func (c *Control) Over(s *room.State) *room.State { return c.outage.over(s.ID, s) }

// run appends what is not in the log yet when the log is back, until ctx ends.
func (o *outage) run(ctx context.Context) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	var since time.Time // the log is here
	for {
		var due <-chan time.Time // never, as long as there is nothing to compare
		if o.waits() {
			due = tick.C
		} else {
			since = time.Time{} // nobody looks whether it stays
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-due:
		case <-o.wake:
		}
		now := time.Now()
		if o.away() {
			since = time.Time{}
		} else if since.IsZero() {
			since = now
		}
		for _, f := range o.sendAgain(now) {
			o.spread(f)
		}
		for _, id := range o.review(now, !since.IsZero(), !since.IsZero() && now.Sub(since) > otherWait) {
			sctx, cancel := context.WithTimeout(ctx, commandMax)
			err := o.settle(sctx, id)
			cancel()
			if err != nil && ctx.Err() == nil {
				o.c.cfg.Logger.Warn("decisions wait for the log", "room", id, "error", err)
				o.setAway()
				break
			}
		}
	}
}

// settle appends the room's facts to its log; when it returns without an error none of those known when it was called is
// open any more.
func (o *outage) settle(ctx context.Context, id rotunda.RoomID) error {
	f, err := o.c.acquire(ctx, id)
	if err != nil {
		if errors.Is(err, ErrUnknownRoom) {
			o.drop(id, o.of(id), 0)
			return nil
		}
		return err
	}
	defer o.c.release(f)
	facts := o.of(id)
	for range attemptsMax {
		if err := o.c.refresh(ctx, f); err != nil {
			return err
		}
		s, at := f.current()
		events := settling(s, facts)
		if len(events) == 0 {
			o.drop(id, facts, s.Seq)
			return nil
		}
		b, next, err := o.c.factBatch(s, at, events[:min(len(events), eventlog.BatchMax)])
		if err != nil {
			return err
		}
		switch err := o.c.commit(ctx, id, b); {
		case err == nil:
			entries, _ := b.Entries(id)
			if err := f.adopt(entries); err != nil {
				return translate(id, err)
			}
			o.c.directory.note(o.c, next.Summary())
			o.c.cfg.Logger.Info("decided without the log and appended now", "room", id, "events", len(entries))
		case !errors.Is(err, eventlog.ErrConflict):
			return translate(id, err)
		}
	}
	return errContended
}

// settling is what has to be appended for all of the facts to be in the log of s. A fact that changes nothing by now, because
// what it says is so already or can be no more, is settled by name: no node that still holds it shall take it for open when
// the same means something again.
func settling(s *room.State, facts []Fact) []room.Event {
	if s.Phase == room.Ended {
		return nil
	}
	all := eventsOf(facts)
	events := s.Adopt(all)
	for _, e := range all {
		if !s.Adopted(e.ID) && !slices.ContainsFunc(events, func(x room.Event) bool { return x.ID == e.ID }) {
			events = append(events, room.Event{ID: e.ID, Seq: s.Seq + uint64(len(events)) + 1, At: e.At, Type: room.EventSettled, Fact: true})
		}
	}
	return events
}

// factBatch is the append of facts, which have their ids already.
func (c *Control) factBatch(s *room.State, at eventlog.Position, events []room.Event) (eventlog.Batch, *room.State, error) {
	b, next := eventlog.Batch{After: at}, s.Clone()
	for _, e := range events {
		r, err := c.recordOf(s.ID, e)
		if err != nil {
			return b, nil, err
		}
		b.Records = append(b.Records, r)
		next.Apply(e)
	}
	var err error
	b.Summary, err = c.summary(next)
	return b, next, err
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // there is one
	}
}
