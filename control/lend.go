package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
)

// Neighbours is how a Control comes by a room that it does not know while the log is away: other nodes that know it lend it
// what they know. All fields are required.
type Neighbours struct {
	// Members is whom there is to ask. It must not block.
	Members func() []rotunda.Member
	// Ask carries a question to one node, there to Control.Lend, and brings back what that returned. It returns when ctx ends
	// at the latest.
	Ask func(ctx context.Context, node rotunda.NodeID, question []byte) (answer []byte, err error)
}

const (
	loanVersion = 1
	// loanMax bounds a loan, in bytes: a room's largest snapshot, and decisions that wait for the log.
	loanMax = 3 << 20
	// lendersMax is how many nodes are asked, borrowMax for how long in all; the next one begins when the one before has nothing
	// to say, or after lenderWait.
	lendersMax = 8
	borrowMax  = 1500 * time.Millisecond
	lenderWait = 300 * time.Millisecond
)

// errNoLoan is why nobody has lent a room.
var errNoLoan = errors.New("no other node lends the room")

// wish is the question for a room.
type wish struct {
	Version int            `json:"v"`
	Room    rotunda.RoomID `json:"room"`
}

// loan is the answer: a room as a node knows it, in the form of a snapshot, and the decisions that lie over it and are not in
// the log, sealed by those who made them.
type loan struct {
	Version int      `json:"v"`
	Seq     uint64   `json:"seq"`
	Hash    []byte   `json:"hash"`
	Data    []byte   `json:"data"`
	Facts   [][]byte `json:"facts,omitempty"`
}

// Lend answers the question of another node's Neighbours.Ask: nil where this node does not know the room, or not from the log.
// What comes from outside may be anything.
func (c *Control) Lend(question []byte) []byte {
	var w wish
	if json.Unmarshal(question, &w) != nil || w.Version != loanVersion || w.Room.Valid() != nil {
		return nil
	}
	c.mu.Lock()
	f := c.rooms[w.Room]
	c.mu.Unlock()
	if f == nil {
		return nil
	}
	select {
	case <-f.loaded:
	default:
		return nil
	}
	f.mu.Lock()
	state, at, lent, copied := f.state, f.at, f.lent, f.copy
	f.mu.Unlock()
	if state == nil || lent || !copied.understood() {
		return nil
	}
	data, err := c.pack(state)
	if err != nil {
		c.cfg.Logger.Warn("room is not lent", "room", w.Room, "error", err)
		return nil
	}
	l := loan{Version: loanVersion, Seq: at.Seq, Hash: at.Hash[:], Data: data}
	bytes := len(data)
	for _, sealed := range c.outage.sealed(w.Room) {
		if bytes += len(sealed); bytes > loanMax/2 { // the encoding takes a third more; the rest is spread again now and then
			break
		}
		l.Facts = append(l.Facts, sealed)
	}
	b, err := json.Marshal(l)
	if err != nil {
		return nil
	}
	return b
}

// vouch has the log confirm what this node was lent, if that is how it came by the room: from then on the node vouches for it.
// Errors are those of the log, ErrBroken where it has nothing of the kind.
func (c *Control) vouch(ctx context.Context, f *follower) error {
	f.mu.Lock()
	lent, at := f.lent, f.at
	f.mu.Unlock()
	if !lent {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	_, end, err := c.cfg.Log.Read(ctx, f.id, at, 1)
	switch {
	case errors.Is(err, eventlog.ErrPruned): // and it is one of the chain
	case err != nil:
		return err
	case end.Seq < at.Seq:
		return fmt.Errorf("room %s: the log ends at %v, another node knew it at %v: %w", f.id, end, at, eventlog.ErrBroken)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lent = false
	f.witness.note(f.id, f.at)
	return nil
}

// borrow reads a room from another node. It is what that node last knew from the log: as old as the log has been away, or older.
func (c *Control) borrow(ctx context.Context, id rotunda.RoomID) (opened, error) {
	if c.cfg.Neighbours == nil {
		return opened{}, errNoLoan
	}
	question, err := json.Marshal(wish{loanVersion, id})
	if err != nil {
		return opened{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, borrowMax)
	defer cancel()
	type reply struct {
		o   opened
		err error
	}
	lenders := c.lenders(id)
	replies := make(chan reply, len(lenders)) // each puts one
	next := time.NewTimer(0)
	defer next.Stop()
	failed := errNoLoan
	for asked, answered := 0, 0; answered < len(lenders); {
		select {
		case <-ctx.Done():
			return opened{}, failed
		case <-next.C:
			if asked == len(lenders) {
				continue
			}
			lender := lenders[asked]
			asked++
			next.Reset(lenderWait)
			go func() { // ends when ctx does, if not before
				answer, err := c.cfg.Neighbours.Ask(ctx, lender, question)
				var o opened
				if err == nil {
					o, err = c.takeLoan(id, answer)
				}
				o.lender = lender
				replies <- reply{o, err}
			}()
		case r := <-replies:
			if answered++; r.err == nil {
				return r.o, nil
			}
			if !errors.Is(r.err, errNoLoan) {
				failed = fmt.Errorf("%w: %s: %w", errNoLoan, r.o.lender, r.err)
			}
			next.Reset(0)
		}
	}
	return opened{}, failed
}

// lenders are the nodes to ask for a room, in that order: its home and its standby, then those of this region, then others.
func (c *Control) lenders(id rotunda.RoomID) []rotunda.NodeID {
	s, _ := c.Room(id)
	rank := func(m rotunda.Member) int {
		switch {
		case m.ID == s.Home:
			return 0
		case m.ID == s.Standby:
			return 1
		case m.Region == c.cfg.Region:
			return 2
		}
		return 3
	}
	var members []rotunda.Member
	for _, m := range c.cfg.Neighbours.Members() {
		if m.ID != c.cfg.Node && (m.State == rotunda.Alive || m.State == rotunda.Draining) {
			members = append(members, m)
		}
	}
	slices.SortStableFunc(members, func(a, b rotunda.Member) int { return cmp.Compare(rank(a), rank(b)) })
	var lenders []rotunda.NodeID
	for _, m := range members[:min(len(members), lendersMax)] {
		lenders = append(lenders, m.ID)
	}
	return lenders
}

// takeLoan checks what another node has lent: it is believed only of the room that was asked for, and if it is no older than
// what this node has seen itself. The decisions in it are taken as if they had been heard.
func (c *Control) takeLoan(id rotunda.RoomID, answer []byte) (opened, error) {
	if len(answer) == 0 {
		return opened{}, errNoLoan
	}
	var l loan
	if len(answer) > loanMax {
		return opened{}, fmt.Errorf("a loan of %d bytes, at most %d", len(answer), loanMax)
	}
	if err := json.Unmarshal(answer, &l); err != nil {
		return opened{}, err
	}
	at := eventlog.Position{Seq: l.Seq}
	if l.Version != loanVersion || len(l.Hash) != len(at.Hash) || l.Seq == 0 || len(l.Data) > eventlog.SnapshotMax {
		return opened{}, errors.New("version, position or size of the loan")
	}
	copy(at.Hash[:], l.Hash)
	seen, _ := c.witness.position(id)
	if seen.Seq > at.Seq || seen.Seq == at.Seq && seen.Hash != at.Hash {
		return opened{}, fmt.Errorf("it ends at %v, this node has seen %v", at, seen)
	}
	state, err := c.unpack(id, eventlog.NewSnapshot(id, at, l.Data))
	if err != nil {
		return opened{}, err
	}
	if state.ID != id || state.Seq != at.Seq {
		return opened{}, fmt.Errorf("it is of %s at %d", state.ID, state.Seq)
	}
	for _, sealed := range l.Facts {
		if err := c.Heard(sealed); err != nil {
			return opened{}, err
		}
	}
	return opened{state: state, at: at, copy: c.newTail(id)}, nil
}
