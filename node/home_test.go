package node

import (
	"testing"

	"rotunda"
	"rotunda/node/duty"
)

// stageOf is a room's speakers for a home, all of whom may be heard but those who are muted.
func stageOf(id rotunda.RoomID, at rotunda.NodeID, epoch rotunda.Epoch, muted ...rotunda.UserID) (view duty.Room) {
	view = duty.Room{ID: id, Live: true, Home: at, Epoch: 1}
	for i, u := range []rotunda.UserID{"ann", "ben"} {
		s := duty.Speaker{User: u, SSRC: rotunda.SSRC(i + 1), Node: at, Epoch: epoch}
		for _, m := range muted {
			s.Muted = s.Muted || m == u
		}
		view.Speakers = append(view.Speakers, s)
	}
	return view
}

// mixes reports whether a home has anything of a speaker in its mixer.
func (h *home) mixes(ssrc rotunda.SSRC) bool {
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	return h.mixer.Target(ssrc) > 0
}

// A home that is retired goes on until the next one is heard. A decision that comes meanwhile holds there too, and nobody comes
// back there.
func TestRetiredHomeObeys(t *testing.T) {
	m := startNodes(t, 1)
	n := m.nodes[0]
	r := n.rooms.hold(rotunda.RoomID(m.guest(0, "Ada").createRoom("Retired")))
	defer n.rooms.release(r)
	if _, err := r.current(t.Context()); err != nil {
		t.Fatal(err)
	}
	h, err := r.openHome(rotunda.StreamID{Room: r.id, Track: rotunda.Program, Epoch: 99}, true) // beside the room's own
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	view := stageOf(r.id, n.cfg.ID, 1)
	h.set(duty.Of(view, duty.Local{Node: n.cfg.ID}).Mix, nil)
	h.setMixing(true)
	if !h.mixes(1) || !h.mixes(2) {
		t.Fatal("the home does not mix its speakers")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retired[h] = struct{}{}
	defer delete(r.retired, h)
	r.quieten(stageOf(r.id, n.cfg.ID, 1, "ben"))
	if !h.mixes(1) || h.mixes(2) {
		t.Errorf("ben is muted: ann is mixed %v, ben %v", h.mixes(1), h.mixes(2))
	}
	r.quieten(view)
	if h.mixes(2) {
		t.Error("ben may be heard again, and is, by a home that is on its way out")
	}
	r.reconcile() // by the room's log nobody speaks
	if h.mixes(1) {
		t.Error("ann is mixed, and is no speaker of the room")
	}
}

// A speaker has another session by now, and is muted in it: nothing that came of the one before is mixed any more.
func TestMutedInAnotherSession(t *testing.T) {
	m := startNodes(t, 1)
	n := m.nodes[0]
	r := n.rooms.hold("another")
	defer n.rooms.release(r)
	h, err := r.openHome(rotunda.StreamID{Room: r.id, Track: rotunda.Program, Epoch: 1}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	mix := func(epoch rotunda.Epoch, muted ...rotunda.UserID) {
		h.set(duty.Of(stageOf(r.id, n.cfg.ID, epoch, muted...), duty.Local{Node: n.cfg.ID}).Mix, nil)
	}
	mix(1)
	h.setMixing(true)
	mix(2, "ben")
	if !h.mixes(1) || h.mixes(2) {
		t.Errorf("ben is muted: ann is mixed %v, ben %v", h.mixes(1), h.mixes(2))
	}
	mix(2)
	if !h.mixes(2) {
		t.Error("ben may be heard again and is not mixed")
	}
}
