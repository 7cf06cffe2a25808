package node

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"rotunda"
	"rotunda/cascade"
	"rotunda/control"
	"rotunda/control/people"
	"rotunda/control/room"
	"rotunda/metrics"
	"rotunda/node/duty"
	"rotunda/node/egress"
)

// rooms is every room that this node has a part in: it holds a session of it, or is its home.
type rooms struct {
	node    rotunda.NodeID
	region  rotunda.Region
	control *control.Control
	mesh    *cascade.Mesh
	ways    func(room.Hitless) []cascade.Option // of a room's program and what is mixed into it
	bg      *background
	fan     func() *egress.Room // makes the fan-out of a room
	metrics *metrics.Set
	logger  *slog.Logger
	profile func(rotunda.UserID) (people.Profile, bool)

	mu     sync.Mutex // guards what follows, and the refs of every roomServer
	served map[rotunda.RoomID]*roomServer
	homes  map[rotunda.RoomID]bool // held because this node is home (true) or stands by (false)

	handsEvery time.Duration // how often it is looked whether those who wait are there
	rings      atomic.Int32  // how many more rooms may keep their last minute
}

// hold returns the server of a room, which lives until each hold was released.
func (rs *rooms) hold(id rotunda.RoomID) *roomServer {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.served[id]
	if r == nil {
		fan := rs.fan()
		r = &roomServer{
			id: id, node: rs.node, region: rs.region, control: rs.control, mesh: rs.mesh, choose: rs.ways, bg: rs.bg,
			metrics: rs.metrics, logger: rs.logger, fan: fan, audience: newAudience(rs.metrics, fan, uint16(rand.Uint32()), rand.Uint32()),
			known: make(chan struct{}), mics: map[rotunda.UserID]*mic{}, voices: map[rotunda.UserID]struct{}{}, stop: make(chan struct{}),
			enforced: &enforcement{metrics: rs.metrics}, profile: rs.profile, handsEvery: rs.handsEvery,
		}
		r.crowd = newCrowd(id, rs.node, rs.mesh, rs.logger, r)
		r.audience.enforced, r.audience.onNewer, r.audience.tape.spare = r.enforced, r.outdone, &rs.rings
		r.keep = func() func() { held := rs.hold(id); return func() { rs.release(held) } }
		r.stage = pulls{
			mesh: rs.mesh, logger: rs.logger,
			sink:  func(p duty.Pull, f *rotunda.Frame) { r.audience.voice(voiceOf(p), f) },
			begin: func(duty.Pull) {},
			gone:  func(p duty.Pull) { r.audience.voiceGone(voiceOf(p)) },
		}
		rs.served[id] = r
		rs.bg.start(r.run)
	}
	r.refs++
	return r
}

func (rs *rooms) release(r *roomServer) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r.refs--
	if r.refs == 0 {
		close(r.stop)
		if rs.served[r.id] == r {
			delete(rs.served, r.id)
		}
	}
}

// recoverMax is how long a node that starts looks for what it left behind before it serves all the same.
const recoverMax = 10 * time.Second

// recover tells the log what a start of this node means for the rooms that it had a part in: its microphone sessions are
// gone and its programs begin anew. It is to be done before the first session is opened.
func (rs *rooms) recover(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-rs.control.RoomsChanged(): // the directory has been read
	}
	ctx, cancel := context.WithTimeout(ctx, recoverMax)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(8)
	for _, s := range rs.control.Rooms() {
		if s.State == room.Live {
			g.Go(func() error { return rs.recoverRoom(ctx, s) })
		}
	}
	if err := g.Wait(); err != nil {
		rs.logger.Warn("not every room knows that this node has started anew", "error", err)
	}
}

func (rs *rooms) recoverRoom(ctx context.Context, s control.Summary) error {
	state, err := rs.control.Get(ctx, s.ID)
	if err != nil {
		return fmt.Errorf("room %s: %w", s.ID, err)
	}
	left := slices.ContainsFunc(state.Stage(), func(p room.Participant) bool { return p.Live && p.Node == rs.node })
	if !left && state.Home != rs.node && state.Standby.Node != rs.node {
		return nil
	}
	if _, err := rs.control.Do(ctx, s.ID, room.Actor{System: true}, room.Restart{Node: rs.node}); err != nil {
		return fmt.Errorf("room %s: %w", s.ID, err)
	}
	rs.logger.Info("back in a room", "room", s.ID, "home", state.Home == rs.node)
	return nil
}

// run keeps the rooms whose home or standby this node is, until ctx ends.
func (rs *rooms) run(ctx context.Context) error {
	for {
		rs.keepHomes()
		select {
		case <-ctx.Done():
			return nil
		case <-rs.control.RoomsChanged():
		}
	}
}

func (rs *rooms) keepHomes() {
	mine := map[rotunda.RoomID]bool{}
	for _, s := range rs.control.Rooms() {
		if s.State == room.Live && (s.Home == rs.node || s.Standby == rs.node) {
			mine[s.ID] = s.Home == rs.node
		}
	}
	rs.mu.Lock()
	var begin []rotunda.RoomID
	for id, home := range mine {
		if _, held := rs.homes[id]; !held {
			begin = append(begin, id)
		}
		rs.homes[id] = home
	}
	var over []*roomServer
	for id := range rs.homes {
		if _, still := mine[id]; !still {
			delete(rs.homes, id)
			over = append(over, rs.served[id])
		}
	}
	rs.mu.Unlock()
	for _, id := range begin {
		rs.hold(id)
	}
	for _, r := range over { // it goes on until the new home is heard
		if !rs.bg.start(func(ctx context.Context) {
			select {
			case <-ctx.Done():
			case <-time.After(2 * afterMax):
			}
			rs.release(r)
		}) {
			rs.release(r)
		}
	}
}
