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

// registry knows the open sessions by id. The zero value is empty. A session leaves it when it is done.
type registry struct {
	mu   sync.Mutex // guards open, and the tags
	open map[string]*entry
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
		delete(r.open, id)
		r.mu.Unlock()
	})
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
