package node

import (
	"context"
	"iter"
	"slices"
	"time"

	"rotunda"
	"rotunda/cascade"
	"rotunda/control/api"
	"rotunda/control/room"
	"rotunda/node/presence"
	"rotunda/node/trace"
)

// answer is what this node says to a question about the people of the room: a page of those who listen here and may be
// named, or who of those asked for is here.
func (r *roomServer) answer(question []byte) []byte {
	if _, err := trace.Asked(question); err == nil {
		return trace.Own(r.traced()).Encode()
	}
	q, err := presence.DecodeQuestion(question)
	if err != nil {
		return nil
	}
	if q.List == nil {
		return q.Find(r.node, r.everybody()).Encode()
	}
	r.mu.Lock()
	state := r.state
	r.mu.Unlock()
	listening := r.listening()
	all, _, _ := r.crowd.newest()
	return q.List.Page(r.candidates(state, listening), q.List.Share(len(listening), max(all.Listeners, len(listening)))).Encode()
}

// listening lists who takes audio here or follows the events, some of them more than once.
func (r *roomServer) listening() []presence.Named {
	var all []presence.Named
	for _, p := range *r.audience.players.Load() {
		all = append(all, presence.Named{User: p.user, Name: p.name})
	}
	r.crowd.mu.Lock()
	defer r.crowd.mu.Unlock()
	all = slices.Grow(all, len(r.crowd.attending))
	for a := range r.crowd.attending {
		all = append(all, presence.Named{User: a.User, Name: a.Name})
	}
	return all
}

// candidates are those of them who may be named as listeners, as they call themselves now; state is nil where it is not known
// who is on stage.
func (r *roomServer) candidates(state *room.State, listening []presence.Named) iter.Seq[presence.Candidate] {
	return func(yield func(presence.Candidate) bool) {
		for _, p := range listening {
			said, _ := r.profile(p.User)
			if p.User == "" || said.Hidden || state != nil && state.Role(p.User).OnStage() {
				continue
			}
			one := presence.Candidate{User: p.User, Name: p.Name, About: said.Bio}
			if said.Name != "" {
				one.Name = said.Name
			}
			if !yield(one) {
				return
			}
		}
	}
}

// everybody is who has a session of any kind here.
func (r *roomServer) everybody() iter.Seq[rotunda.UserID] {
	return func(yield func(rotunda.UserID) bool) {
		r.mu.Lock()
		here := r.here(r.audience.users())
		r.mu.Unlock()
		for u := range here {
			if !yield(u) {
				return
			}
		}
	}
}

// ask asks all nodes that have people in the room.
func (r *roomServer) ask(ctx context.Context, question []byte) (answer []byte, complete bool) {
	r.mu.Lock()
	sub := r.crowd.sub
	r.mu.Unlock()
	if sub == nil {
		return nil, false // no home, so nobody to ask
	}
	return sub.Ask(ctx, question)
}

// Since is from when somebody has been in the room on this node.
func (a attendance) Since(id rotunda.RoomID, user rotunda.UserID) time.Time {
	r := a.rooms.peek(id)
	if r == nil {
		return time.Time{}
	}
	return r.crowd.sinceWhen(user)
}

// Roster is one page of those who listen anywhere.
func (a attendance) Roster(ctx context.Context, id rotunda.RoomID, q api.RosterQuery) (api.RosterPage, error) {
	r := a.rooms.hold(id)
	defer a.rooms.release(r)
	ctx, cancel := context.WithTimeout(ctx, cascade.AskFor)
	defer cancel()
	if _, err := r.current(ctx); err != nil {
		return api.RosterPage{}, err
	}
	list := presence.List{After: q.After, Search: q.Search, Limit: q.Limit}
	answer, complete := r.ask(ctx, list.Encode())
	page, err := presence.DecodePage(answer)
	if err != nil { // nobody has said anything, or what no node says
		return api.RosterPage{}, nil
	}
	out := api.RosterPage{More: page.More, Complete: complete}
	for _, p := range page.People {
		out.People = append(out.People, api.RosterPerson{User: p.User, Name: p.Name})
	}
	return out, nil
}
