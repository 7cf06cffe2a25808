package node

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rotunda"
	"rotunda/control/room"
)

func TestTakeTalk(t *testing.T) {
	h := &home{talk: map[rotunda.UserID]time.Duration{"ada": 2900 * time.Millisecond, "bob": 980 * time.Millisecond}}
	took := h.takeTalk()
	if diff := cmp.Diff(map[rotunda.UserID]room.Seconds{"ada": 2}, took); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
	h.talk["bob"] += 20 * time.Millisecond
	if diff := cmp.Diff(map[rotunda.UserID]room.Seconds{"bob": 1}, h.takeTalk()); diff != "" {
		t.Errorf("then (-want +got):\n%s", diff)
	}
	h.returnTalk(took)
	if diff := cmp.Diff(map[rotunda.UserID]room.Seconds{"ada": 2}, h.takeTalk()); diff != "" {
		t.Errorf("what was given back (-want +got):\n%s", diff)
	}
}

// A home counts who is heard, and not who is silent.
func TestHomeCountsTalk(t *testing.T) {
	m := startNodes(t, 1)
	ada := m.guest(0, "Ada")
	id := ada.createRoom("Counting")
	bob := m.guest(0, "Bob")
	ear := bob.listen(id, 1)
	ada.sayTone(id, 440)
	ada.do("DELETE", "/rooms/"+id+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("Bob hears Ada", func() bool { return ear.hears(440) })
	r := m.nodes[0].rooms.hold(rotunda.RoomID(id))
	defer m.nodes[0].rooms.release(r)
	m.eventually("a second of Ada is counted", func() bool {
		r.mu.Lock()
		h := r.home
		r.mu.Unlock()
		talk := h.takeTalk()
		h.returnTalk(talk)
		return talk[rotunda.UserID(ada.User)] >= 1 && len(talk) == 1
	})
}
