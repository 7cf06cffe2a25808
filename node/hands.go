package node

import (
	"context"
	"slices"
	"time"

	"rotunda"
	"rotunda/control/room"
	"rotunda/node/presence"
)

// lowerHands withdraws, where this node is the room's home, the requests of those who have left, and takes back the
// invitations, until ctx ends.
func (r *roomServer) lowerHands(ctx context.Context) {
	tick := time.NewTicker(r.handsEvery)
	defer tick.Stop()
	var hands presence.Hands
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		waiting, invited := r.waiting()
		if len(waiting) == 0 || !r.control.Available() {
			continue
		}
		found, complete := r.find(ctx, waiting)
		for _, u := range hands.Look(time.Now(), r.handsEvery, waiting, found, complete, r.mesh.Members()) {
			var cmd room.Command = room.Withdraw{User: u}
			if invited[u] {
				cmd = room.Decline{User: u}
			}
			if _, err := r.control.Do(ctx, r.id, room.Actor{System: true}, cmd); err != nil {
				r.logger.Debug("a raised hand stays up", "room", r.id, "user", u, "error", err) // and once more next time
				continue
			}
			r.logger.Info("somebody who waited has left", "room", r.id, "user", u, "command", cmd.Name())
		}
	}
}

// waiting lists who has asked and who is invited, where this node is the room's home.
func (r *roomServer) waiting() (all []presence.Raised, invited map[rotunda.UserID]bool) {
	r.mu.Lock()
	state := r.state
	r.mu.Unlock()
	if state == nil || state.Phase != room.Live || state.Home != r.node {
		return nil, nil
	}
	for _, ask := range state.Queue() {
		all = append(all, presence.Raised{User: ask.User, At: ask.At})
	}
	invited = map[rotunda.UserID]bool{}
	for u, i := range state.Invitations() {
		if !slices.ContainsFunc(all, func(w presence.Raised) bool { return w.User == u }) { // else one after the other
			invited[u] = true
			all = append(all, presence.Raised{User: u, At: i.At})
		}
	}
	return all, invited
}

// find asks the mesh where these people are; complete is false where not everybody could be asked.
func (r *roomServer) find(ctx context.Context, waiting []presence.Raised) (found map[rotunda.UserID]rotunda.NodeID, complete bool) {
	found, complete = map[rotunda.UserID]rotunda.NodeID{}, true
	for some := range slices.Chunk(waiting, presence.FindMax) {
		var users []rotunda.UserID
		for _, w := range some {
			users = append(users, w.User)
		}
		answer, all := r.ask(ctx, presence.EncodeFind(users))
		where, err := presence.DecodeFound(answer)
		complete = complete && all && err == nil
		for i, node := range where {
			if i < len(users) {
				found[users[i]] = node
			}
		}
	}
	return found, complete
}
