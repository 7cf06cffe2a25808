// Package control takes commands about rooms, decides them against the room's state, appends what was decided to the
// room's log and follows the logs of the rooms that this node has to do with.
//
// The invariant: a state that was handed out is never changed again, and the states of one room that a caller sees never go
// back. A command that returned without an error is in the log. A refusal is based on a state that was the newest after
// the command came in, unless the log is away.
//
// Control may be used from any goroutine. Only Run starts goroutines; without it nothing is followed and commands fail
// with ErrUnavailable.
package control

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"rotunda"
	"rotunda/control/disk"
	"rotunda/control/eventlog"
	"rotunda/control/fence"
	"rotunda/control/room"
	"rotunda/metrics"
)

var (
	// ErrUnknownRoom: no room of that id was ever created.
	ErrUnknownRoom = errors.New("unknown room")
	// ErrUnavailable: the log cannot be reached, or too many others write to the room at once; nothing has happened. Try
	// again later.
	ErrUnavailable = errors.New("the room's log is not available")
	// ErrUnknownOutcome: the log did not answer; the command may have been carried out. Look before trying again.
	ErrUnknownOutcome = errors.New("the outcome is not known")
)

// errContended is the ErrUnavailable of a room that too many write to at once.
var errContended = fmt.Errorf("others were faster %d times: %w", attemptsMax, ErrUnavailable)

// Times and bounds.
const (
	// commandMax is how long a command or a read waits for the log.
	commandMax = 2 * time.Second
	// attemptsMax is how often a command is decided again because others were faster. Each conflict means that somebody
	// else's command was kept.
	attemptsMax = 16
	// idleMax is how long a room that nobody uses is followed on, so that people who look at it one after the other do not
	// each read its log from the start.
	idleMax = 30 * time.Second
	// idleRoomsMax is how many such rooms a node keeps.
	idleRoomsMax = 256
	// recentMax is how many changes of a room a node keeps for followers that come back.
	recentMax = 64
	// brokenWait is how long a follower waits before it looks at a broken log again.
	brokenWait = 5 * time.Second
	// probeEvery is how often Run asks the log whether it takes appends.
	probeEvery = time.Second
)

// Config is what a Control needs. Log and Node are required.
type Config struct {
	Log     eventlog.Log
	Node    rotunda.NodeID   // home of rooms created here
	Now     func() time.Time // nil: time.Now
	Rand    io.Reader        // source of room and event ids; nil: crypto/rand
	Witness string           // file that remembers across restarts what this node has seen of each room; empty: nothing does
	Outage  *Outage          // nil: nothing is decided while the log is away
	// Neighbours lend rooms that this node does not know while the log is away; nil: nobody does.
	Neighbours *Neighbours
	Region     rotunda.Region // where this node stands; fenced rooms that are made here have to include it
	Fence      *fence.Ring    // nil: this node neither makes nor reads fenced rooms
	Metrics    *metrics.Set   // nil: counts nothing
	Logger     *slog.Logger   // nil: discards
	Disk       *disk.Disk     // where Witness and Outage.Dir are; nil: the machine's
}

// Summary is a room in the directory.
type Summary = room.Summary

// Change is one step of a room: a snapshot (Event.Type is empty, Before nil) or an event with the states around it. A
// snapshot may come at any time: when the state has changed without the log (see Outage), Facts are the events that did it.
type Change struct {
	State  *room.State
	Event  room.Event
	Before *room.State
	Facts  []room.Event
}

// Control is this node's way to the rooms. New makes one; Run makes it work.
type Control struct {
	cfg    Config
	random *randomness
	wake   chan struct{} // capacity 1, a token while pending may have followers; never closed

	followed chan struct{} // capacity 1, a token when keepTime has not looked since a room was followed; never closed

	mu        sync.Mutex // guards the rest
	rooms     map[rotunda.RoomID]*follower
	pending   []*follower // wait for Run to start them
	available bool        // the log answered the last probe
	auditing  bool        // a room's log is being compared with this node's copy

	directory directory
	locks     *locks
	witness   *witness
	folding   chan *follower // rooms that want a snapshot; never closed
	outage    *outage
}

// New returns a Control. It panics where Log or Node is missing.
func New(cfg Config) *Control {
	if cfg.Log == nil || cfg.Node == "" {
		panic("control: Config without Log or Node")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Disk == nil {
		cfg.Disk = new(disk.Disk)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.Discard()
	}
	c := &Control{
		cfg:    cfg,
		random: &randomness{source: cfg.Rand},
		wake:   make(chan struct{}, 1),
		rooms:  map[rotunda.RoomID]*follower{},

		followed: make(chan struct{}, 1),
	}
	c.witness, c.folding = newWitness(cfg.Disk, cfg.Witness, cfg.Logger), make(chan *follower, foldingMax)
	c.directory.changed = make(chan struct{}, 1)
	c.locks = newLocks()
	c.outage = newOutage(c)
	return c
}

// Run follows the rooms that are asked for and keeps the directory until ctx ends; it returns after all of its goroutines
// have. It may be called once.
func (c *Control) Run(ctx context.Context) error {
	c.witness.load() // before anything is served
	before := c.witness.sorted()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.witness.run(gctx) })
	g.Go(func() error { return c.checkWitness(gctx, before) })
	g.Go(func() error { return c.keepFolding(gctx) })
	g.Go(func() error { return c.keepTidy(gctx) })
	g.Go(func() error { return c.keepTime(gctx, g) })
	g.Go(func() error { return c.visit(gctx) })
	g.Go(func() error { return c.keepDirectory(gctx) })
	g.Go(func() error { return c.probe(gctx) })
	g.Go(func() error { return c.outage.run(gctx) })
	g.Go(func() error { return c.supervise(gctx, g) })
	err := g.Wait()
	if ctx.Err() != nil {
		return nil // being asked to stop is not an error
	}
	return err
}

// Create makes a room and returns its id and state. Errors: those of Decide, ErrUnavailable, ErrUnknownOutcome.
func (c *Control) Create(ctx context.Context, a room.Actor, cmd room.Create) (rotunda.RoomID, *room.State, error) {
	began := time.Now()
	s, err := c.create(ctx, a, cmd)
	c.count(cmd, began, err)
	if err != nil {
		return "", nil, err
	}
	return s.ID, s, nil
}

// Do carries out a command and returns the state after it, or one that is newer still. Errors: ErrUnknownRoom, those of
// Decide, ErrUnavailable, ErrUnknownOutcome.
func (c *Control) Do(ctx context.Context, id rotunda.RoomID, a room.Actor, cmd room.Command) (*room.State, error) {
	began := time.Now()
	s, err := c.outage.do(ctx, id, a, cmd)
	c.count(cmd, began, err)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Get returns the newest state of a room that this node knows, which may be some milliseconds behind the log. Errors:
// ErrUnknownRoom, ErrUnavailable where the room is not followed, the log is away and no other node lends it.
func (c *Control) Get(ctx context.Context, id rotunda.RoomID) (*room.State, error) {
	ctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	f, err := c.acquire(ctx, id)
	if err != nil {
		return nil, err
	}
	defer c.release(f)
	s, _ := f.current()
	return c.outage.over(id, s), nil
}

// Newest is Get, of a state at least as new as the log is now: for a refusal that a decision made elsewhere a moment ago would
// turn around. It costs a read of the log. Errors: ErrUnknownRoom, ErrUnavailable.
func (c *Control) Newest(ctx context.Context, id rotunda.RoomID) (*room.State, error) {
	ctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	f, err := c.acquire(ctx, id)
	if err != nil {
		return nil, err
	}
	defer c.release(f)
	if err := c.refresh(ctx, f); err != nil {
		return nil, err
	}
	s, _ := f.current()
	return c.outage.over(id, s), nil
}

// Available reports whether the log took appends when Run asked it last.
func (c *Control) Available() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.available
}

// count observes a command's time and result.
func (c *Control) count(cmd room.Command, began time.Time, err error) {
	result := "failed"
	switch {
	case err == nil:
		result = "ok"
	case errors.As(err, new(*Outside)), errors.Is(err, fence.ErrNoKey), errors.Is(err, room.ErrForbidden), errors.Is(err, room.ErrConflict), errors.Is(err, room.ErrInvalid), errors.Is(err, ErrUnknownRoom):
		result = "refused"
	case errors.Is(err, errContended):
		result = "conflict"
	case errors.Is(err, ErrUnavailable):
		result = "unavailable"
	}
	c.cfg.Metrics.CommandTime(cmd.Name(), result).Observe(time.Since(began).Seconds())
}

// probe asks the log now and then whether it takes appends, with a pause after each answer, however long that took.
func (c *Control) probe(ctx context.Context) error {
	for first := true; ; first = false {
		pctx, cancel := context.WithTimeout(ctx, commandMax)
		err := c.cfg.Log.Ping(pctx)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.setAvailable(err, first)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(probeEvery):
		}
	}
}

func (c *Control) setAvailable(err error, first bool) {
	c.mu.Lock()
	changed := first || c.available != (err == nil)
	c.available = err == nil
	c.mu.Unlock()
	if !changed {
		return
	}
	if err != nil {
		c.cfg.Metrics.LogAvailable.Set(0)
		c.cfg.Logger.Warn("control log away", "error", err)
		return
	}
	c.cfg.Metrics.LogAvailable.Set(1)
	c.cfg.Logger.Info("control log available")
}
