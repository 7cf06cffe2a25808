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
	tag     string // entity tag of its ICE session
}

// registry knows the open sessions by id. The zero value is empty. A session leaves it when it is done.
type registry struct {
	mu   sync.Mutex // guards open
	open map[string]*entry
}

// add enters a session and starts the goroutine that takes it out again.
func (r *registry) add(e *entry) {
	r.mu.Lock()
	if r.open == nil {
		r.open = map[string]*entry{}
	}
	r.open[e.session.ID()] = e
	r.mu.Unlock()
	go func() {
		<-e.session.Done()
		r.mu.Lock()
		delete(r.open, e.session.ID())
		r.mu.Unlock()
	}()
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
