package node

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"rotunda"
	"rotunda/control"
	"rotunda/control/api"
	"rotunda/control/room"
)

const (
	// stageEvery is how often a node compares who of the stage is here with what the log says.
	stageEvery = time.Second
	// absentAfter is how long somebody of the stage may be without a session before the log is told: a reload of the page is
	// no absence.
	absentAfter = 5 * time.Second
	// lostSpread is over how long the nodes of a room spread the news that another one is dead, so that mostly one says it.
	lostSpread = 2 * time.Second
	// strangerAfter is how long a node has to be unknown to count as dead: gossip needs its time to tell of all.
	strangerAfter = time.Minute
)

// attendance is api.Presence over the rooms of this node.
type attendance struct{ rooms *rooms }

// Listeners is how many listen in the whole mesh.
func (a attendance) Listeners(id rotunda.RoomID) (n int, ok bool) {
	r := a.rooms.peek(id)
	if r == nil {
		return 0, false
	}
	sum, b, _ := r.crowd.newest()
	return sum.Listeners, b != nil
}

// Joined is how many have come since the room was refreshed.
func (a attendance) Joined(id rotunda.RoomID) int {
	r := a.rooms.peek(id)
	if r == nil {
		return 0
	}
	sum, _, _ := r.crowd.newest()
	return sum.Joined
}

// Follow calls fn with the room's newest sum and then with those that come.
func (a attendance) Follow(ctx context.Context, id rotunda.RoomID, fn func(summary json.RawMessage) error) error {
	r := a.rooms.hold(id)
	defer a.rooms.release(r)
	var last json.RawMessage
	for {
		_, b, changed := r.crowd.newest()
		if b != nil && string(b) != string(last) {
			last = b
			if err := fn(b); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// React counts a reaction of somebody whose room is served here: who reacts follows its events or listens.
func (a attendance) React(id rotunda.RoomID, _ rotunda.UserID, emoji string) {
	if r := a.rooms.peek(id); r != nil {
		r.crowd.react(time.Now(), emoji)
	}
}

// Attend adds a follower of the room's events until leave is called.
func (a attendance) Attend(id rotunda.RoomID, who api.Attendee) (leave func()) {
	r := a.rooms.hold(id)
	gone := r.crowd.attend(who)
	return func() {
		gone()
		a.rooms.release(r)
	}
}

// peek is the server of a room that this node has a part in already; nil: it has none.
func (rs *rooms) peek(id rotunda.RoomID) *roomServer {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.served[id]
}

// attend says who is here until ctx ends: to the mesh, and of the stage to the log.
func (r *roomServer) attend(ctx context.Context) {
	tick := time.NewTicker(crowdEvery)
	defer tick.Stop()
	var news stageNews
	next := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		r.report(now)
		r.enforced.settle(now)
		r.audience.tape.expire(now, false)
		if now.Before(next) || !r.control.Available() {
			continue
		}
		next = now.Add(stageEvery)
		for _, cmd := range r.stageNews(now, &news) {
			_, err := r.control.Do(ctx, r.id, room.Actor{System: true}, cmd)
			if err != nil && ctx.Err() == nil && !errors.Is(err, control.ErrUnavailable) && !errors.Is(err, control.ErrUnknownOutcome) {
				r.logger.Debug("who is on stage is not recorded", "room", r.id, "command", cmd.Name(), "error", err)
			}
		}
	}
}

// report tells the mesh who is here.
func (r *roomServer) report(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == nil || r.crowd.sub == nil {
		return
	}
	players := r.audience.users()
	onStage := func(u rotunda.UserID) bool { return u != "" && r.state.Role(u).OnStage() }
	listeners := slices.DeleteFunc(slices.Clone(players), onStage)
	if part, changed := r.crowd.note(now, listeners, onStage, r.here(players), r.state.Refreshed.At); changed {
		r.crowd.sub.Report(part)
	}
	r.crowd.call(r.renamed())
}

// renamed is what those on stage and in the queue call themselves now, where the log has another name. Called with r.mu held.
func (r *roomServer) renamed() map[rotunda.UserID]string {
	names := map[rotunda.UserID]string{}
	note := func(u rotunda.UserID, name string) {
		if said, _ := r.profile(u); said.Name != "" && said.Name != name {
			names[u] = said.Name
		}
	}
	for _, p := range r.state.Stage() {
		note(p.User, p.Name)
	}
	for _, q := range r.state.Queue() {
		note(q.User, q.Name)
	}
	return names
}

// here lists who has a session of any kind. Called with r.mu held.
func (r *roomServer) here(players []rotunda.UserID) map[rotunda.UserID]bool {
	sessions := slices.Clone(players)
	for u := range r.mics {
		sessions = append(sessions, u)
	}
	return r.crowd.here(sessions)
}

// stageNews is what a node remembers between two looks at the stage.
type stageNews struct {
	away map[rotunda.UserID]time.Time // of the stage, not here, since
	dead map[rotunda.NodeID]time.Time // when to say so
}

// stageNews lists what the log does not know yet: who of the stage has come or gone here, and which nodes are dead.
func (r *roomServer) stageNews(now time.Time, n *stageNews) []room.Command {
	members := r.mesh.Members()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == nil || r.state.Phase != room.Live {
		return nil
	}
	var cmds []room.Command
	here, away, dead := r.here(r.audience.users()), map[rotunda.UserID]time.Time{}, map[rotunda.NodeID]time.Time{}
	nodes := map[rotunda.NodeID]bool{r.state.Home: true}
	for _, p := range r.state.Stage() {
		if p.Live {
			nodes[p.Node] = true
		}
		for _, at := range p.Nodes {
			nodes[at] = true
		}
		known := slices.Contains(p.Nodes, r.node)
		switch {
		case here[p.User] && !known:
			cmds = append(cmds, room.Present{User: p.User, Node: r.node})
		case !here[p.User] && known:
			away[p.User] = n.away[p.User]
			if away[p.User].IsZero() {
				away[p.User] = now
			}
			if now.Sub(away[p.User]) >= absentAfter {
				cmds = append(cmds, room.Absent{User: p.User, Node: r.node})
			}
		}
	}
	for id := range nodes {
		up, known := standing(members, id)
		if id == r.node || up {
			continue
		}
		dead[id] = n.dead[id]
		if dead[id].IsZero() {
			dead[id] = now.Add(rand.N(lostSpread))
			if !known {
				dead[id] = dead[id].Add(strangerAfter)
			}
		}
		if now.After(dead[id]) {
			cmds = append(cmds, room.Lost{Node: id})
			dead[id] = now.Add(lostSpread) // if that was refused, once more
		}
	}
	n.away, n.dead = away, dead
	if cmd, needed := r.standbyNews(members); needed {
		cmds = append(cmds, cmd)
	}
	return cmds
}

// standing says whether a node is up as far as gossip knows, and whether gossip knows it at all.
func standing(members []rotunda.Member, id rotunda.NodeID) (up, known bool) {
	for _, m := range members {
		if m.ID == id {
			return m.State.Up(), true
		}
	}
	return false, false
}
