package node

import (
	"net/http"
	"testing"

	"rotunda"
)

// mostWays is by how many ways a room's program comes to a node, of the stream that has most.
func (m *testMesh) mostWays(node int, id string) (most int) {
	for _, c := range m.nodes[node].mesh.Trace(rotunda.RoomID(id)) {
		if c.Stream.Track == rotunda.Program {
			most = max(most, len(c.Ways))
		}
	}
	return most
}

// A room's own word on how many ways its sound takes counts at every node, whatever the nodes are configured to.
func TestWaysOfARoom(t *testing.T) {
	m := startNodes(t, 3)
	ada, bob := m.guest(1, "Ada"), m.guest(2, "Bob")
	var thrifty, usual struct{ ID, Hitless string }
	ada.do("POST", "/rooms", map[string]any{"title": "Thrifty", "hitless": "off"}, &thrifty, http.StatusCreated)
	ada.do("POST", "/rooms", map[string]any{"title": "As usual"}, &usual, http.StatusCreated)
	ada.do("POST", "/rooms", map[string]any{"title": "Odd", "hitless": "thrice"}, nil, http.StatusUnprocessableEntity)
	if thrifty.Hitless != "off" || usual.Hitless != "" {
		t.Errorf("the rooms say %q and %q", thrifty.Hitless, usual.Hitless)
	}
	const tone = 440.0
	ears := map[string]*ear{}
	for _, id := range []string{thrifty.ID, usual.ID} { // the one that is to have one way begins first
		ada.sayTone(id, tone)
		ada.do("DELETE", "/rooms/"+id+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
		ears[id] = bob.listen(id, 1)
	}
	for id, e := range ears {
		m.eventually("the room "+id+" is heard", func() bool { return e.hears(tone) })
	}
	m.eventually("the usual room comes by two ways", func() bool { return m.mostWays(2, usual.ID) == 2 })
	if n := m.mostWays(2, thrifty.ID); n != 1 {
		t.Errorf("the room that is to have one way comes by %d", n)
	}
}
