package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"rotunda"
	"rotunda/cascade/nodecert"
	"rotunda/control/api"
)

const (
	// drainDefault and drainMax are how long a node that is emptied waits for its last sessions.
	drainDefault = time.Minute
	drainMax     = 24 * time.Hour
	// drainLook is how often it looks whether it is empty.
	drainLook = 100 * time.Millisecond
	// moveAgain is how often it asks those to move who have not: the node they were sent to may have refused them.
	moveAgain = 5 * time.Second
	// moveEach spreads the moves: a hundred a second, so that a thousand are over in ten and no neighbour is stormed.
	moveEach = 10 * time.Millisecond
	// orderLife is how old an order may be that comes over the mesh: clocks differ, and an old one is not obeyed again.
	orderLife = 2 * time.Minute
	// orderMax bounds an order, in bytes.
	orderMax = 4 << 10
)

// floodDrain is the kind of messages that carry orders to drain, and drainContext what they are sealed for.
const (
	floodDrain   uint8 = 2
	drainContext       = "rotunda drain 1"
)

// errDrained ends Run: the node has been emptied, or has waited for long enough.
var errDrained = errors.New("drained")

// order is an operator's: empty the node and stop it, or stay.
type order struct {
	Node  rotunda.NodeID `json:"node"`
	Until time.Time      `json:"until"` // zero: stay
	Given time.Time      `json:"given"`
}

// drain is whether and until when this node is being emptied.
type drain struct {
	orders chan order // capacity 1; the newest. Never closed

	mu    sync.Mutex // guards what follows
	until time.Time  // zero: it is not
}

func (d *drain) take(o order) {
	select { // a newer order takes the place of one that nobody has looked at
	case <-d.orders:
	default:
	}
	select {
	case d.orders <- o:
	default: // somebody else was as new
	}
}

func (d *drain) set(until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until = until
}

// deadline is until when the node is being emptied; ok is false when it is not.
func (d *drain) deadline() (until time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.until, !d.until.IsZero()
}

// remaining is what keeps a node that is being emptied.
type remaining struct {
	Listeners int `json:"listeners"` // media sessions that take audio
	Speakers  int `json:"speakers"`  // media sessions that give audio
	Players   int `json:"players"`   // plain HTTP players
	Homes     int `json:"homes"`     // rooms that are mixed here
	Streams   int `json:"streams"`   // streams that other nodes pull from here
}

func (r remaining) sessions() int { return r.Listeners + r.Speakers + r.Players }

func (r remaining) none() bool { return r == remaining{} }

func (n *Node) remaining() remaining {
	return remaining{
		Listeners: int(n.sessions.listeners.Load()), Speakers: int(n.sessions.speakers.Load()), Players: int(n.sessions.http.Load()),
		Homes: n.rooms.homesHere(), Streams: n.mesh.Serving(),
	}
}

// homesHere counts the rooms whose program is made on this node.
func (rs *rooms) homesHere() int { return len(rs.homeOf()) }

// obey empties the node when it is told to: no new sessions, those that are here are asked to move, and when nothing is
// left, or at the deadline, it returns errDrained.
func (n *Node) obey(ctx context.Context, door *api.API) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-n.drain.orders:
			if o.Until.IsZero() {
				continue
			}
			n.drain.set(o.Until)
		}
		n.mesh.SetDraining(true)
		n.logger.Info("draining", "until", n.drain.until)
		if n.empty(ctx, door) {
			return errDrained
		}
		n.drain.set(time.Time{})
		n.mesh.SetDraining(false)
		door.Stay()
		n.metrics.DrainRemaining.Set(0)
		if ctx.Err() == nil {
			n.logger.Info("draining no more")
		}
	}
}

// empty waits until nothing is left or the time is over, and reports whether the node is to stop.
func (n *Node) empty(ctx context.Context, door *api.API) bool {
	mctx, stop := context.WithCancel(ctx)
	var moving sync.WaitGroup
	defer moving.Wait()
	defer stop()
	moving.Go(func() {
		for mctx.Err() == nil {
			until, _ := n.drain.deadline()
			door.Move(mctx, min(time.Duration(n.remaining().sessions())*moveEach, time.Until(until)/2))
			select {
			case <-mctx.Done():
			case <-time.After(moveAgain):
			}
		}
	})
	moving.Go(func() { n.rooms.handOver(mctx) })
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for {
		left := n.remaining()
		until, _ := n.drain.deadline()
		n.metrics.DrainRemaining.Set(float64(left.sessions()))
		switch {
		case left.none():
			n.logger.Info("empty")
			return true
		case time.Now().After(until):
			n.logger.Warn("the time to drain is over: the rest is cut off", "listeners", left.Listeners, "speakers", left.Speakers,
				"players", left.Players, "homes", left.Homes, "streams", left.Streams)
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case o := <-n.drain.orders:
			if o.Until.IsZero() {
				return false
			}
			n.drain.set(o.Until)
		case <-tick.C:
		}
	}
}

// hearOrders obeys orders to drain that other nodes hand on from their operators. A node of the mesh is believed, as it is
// with decisions (ADR 7).
func (n *Node) hearOrders() {
	n.mesh.OnFlood(floodDrain, func(_ rotunda.NodeID, sealed []byte) {
		by, message, err := nodecert.Open(n.identity.Load().Roots, time.Now(), drainContext, sealed)
		var o order
		if err == nil {
			err = json.Unmarshal(message, &o)
		}
		age := time.Since(o.Given)
		switch {
		case err != nil:
			n.logger.Warn("an order to drain that is not believed", "error", err)
		case o.Node != n.cfg.ID: // for another node
		case o.Given.Before(n.began): // to the process before this one, which has obeyed: the mesh repeats itself to newcomers
		case age > orderLife || age < -orderLife:
			n.logger.Warn("an old order to drain, or clocks that differ", "by", by.ID, "age", age)
		default:
			n.logger.Info("an order about draining", "by", by.ID, "until", o.Until)
			n.drain.take(o)
		}
	})
}

// adminDrain adds the operator's verbs for draining to mux. POST {"node": "…", "deadline": "60s"} empties a node, this one or
// any other; DELETE with the same body without a deadline takes it back; GET tells of this node.
func (n *Node) adminDrain(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/drain", func(w http.ResponseWriter, _ *http.Request) {
		until, draining := n.drain.deadline()
		select {
		case <-n.ready:
		default:
			answer(w, http.StatusServiceUnavailable, map[string]string{"error": "the node is starting"})
			return
		}
		answer(w, http.StatusOK, map[string]any{"draining": draining, "until": until, "remaining": n.remaining()})
	})
	mux.HandleFunc("POST /v1/drain", func(w http.ResponseWriter, q *http.Request) { n.giveOrder(w, q, true) })
	mux.HandleFunc("DELETE /v1/drain", func(w http.ResponseWriter, q *http.Request) { n.giveOrder(w, q, false) })
}

func (n *Node) giveOrder(w http.ResponseWriter, q *http.Request, leave bool) {
	var in struct {
		Node     rotunda.NodeID `json:"node"`
		Deadline string         `json:"deadline"`
	}
	if err := json.NewDecoder(io.LimitReader(q.Body, orderMax)).Decode(&in); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	o := order{Node: in.Node, Given: time.Now()}
	if leave {
		wait := drainDefault
		if in.Deadline != "" {
			var err error
			if wait, err = time.ParseDuration(in.Deadline); err != nil || wait < 0 || wait > drainMax {
				fail(w, http.StatusBadRequest, fmt.Errorf("deadline %q: a time from 0s to %v", in.Deadline, drainMax))
				return
			}
		}
		o.Until = o.Given.Add(wait)
	}
	members := n.mesh.Members()
	i := slices.IndexFunc(members, func(m rotunda.Member) bool { return m.ID == in.Node })
	switch {
	case i < 0:
		fail(w, http.StatusNotFound, fmt.Errorf("no node %q in the mesh", in.Node))
	case in.Node == n.cfg.ID:
		n.drain.take(o)
		answer(w, http.StatusAccepted, o)
	case !members[i].State.Up():
		fail(w, http.StatusConflict, fmt.Errorf("node %s is %s", in.Node, members[i].State))
	default:
		if err := n.handOnOrder(o); err != nil {
			fail(w, http.StatusInternalServerError, err)
			return
		}
		answer(w, http.StatusAccepted, o)
	}
}

func (n *Node) handOnOrder(o order) error {
	message, err := json.Marshal(o)
	if err != nil {
		return err
	}
	sealed, err := nodecert.Seal(n.identity.Load().Certificate, drainContext, message)
	if err != nil {
		return err
	}
	return n.mesh.Flood(floodDrain, sealed)
}
