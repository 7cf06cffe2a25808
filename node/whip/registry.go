package whip

import (
	"sync"

	"rotunda"
)

// entry is one open session and whose it is.
type entry struct {
	session Session
	user    rotunda.UserID
	room    rotunda.RoomID
	kind    Kind
	tag     string // entity tag of its ICE session; guarded by registry.mu
}

// endedMax is how many sessions that have ended are remembered: of a full node that everybody leaves at once.
const endedMax = 8192

// registry knows the open sessions by id, and those that ended last. The zero value is empty. A session that is done is ended.
type registry struct {
	mu    sync.Mutex // guards the rest, and the tags
	open  map[string]*entry
	ended map[string]*entry // without their sessions
	order []string          // of ended, the oldest first
}

// add enters a session, which leaves when it has ended.
func (r *registry) add(e *entry) {
	id := e.session.ID()
	r.mu.Lock()
	if r.open == nil {
		r.open = map[string]*entry{}
	}
	r.open[id] = e
	r.mu.Unlock()
	e.session.AfterDone(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open, id)
		if r.ended == nil {
			r.ended = map[string]*entry{}
		}
		r.ended[id] = &entry{user: e.user, room: e.room, kind: e.kind}
		if r.order = append(r.order, id); len(r.ended) > endedMax {
			delete(r.ended, r.order[0])
			r.order = r.order[1:] // append moves to a new array now and then
		}
	})
}

// over reports whether the session of that id had this address, belonged to user and has ended.
func (r *registry) over(id string, room rotunda.RoomID, kind Kind, user rotunda.UserID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.ended[id]
	return ok && e.room == room && e.kind == kind && e.user == user
}

func (r *registry) tag(e *entry) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return e.tag
}

// retag gives a session another entity tag: that of a new ICE session.
func (r *registry) retag(e *entry) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.tag = newTag()
	return e.tag
}

// find returns the session of that id if it has that address and belongs to user.
func (r *registry) find(id string, room rotunda.RoomID, kind Kind, user rotunda.UserID) (*entry, error) {
	r.mu.Lock()
	e, ok := r.open[id]
	r.mu.Unlock()
	switch {
	case !ok || e.room != room || e.kind != kind:
		return nil, errUnknown
	case e.user != user:
		return nil, errForeign
	}
	return e, nil
}
