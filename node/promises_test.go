package node

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"rotunda"
)

// within waits until something holds, and fails where that took longer than was promised, the machine's own stalls apart.
func (m *testMesh) within(promised time.Duration, what string, holds func() bool) {
	m.t.Helper()
	if took := m.took(func() { m.eventually(what, holds) }); took > promised {
		m.t.Errorf("%s: after %v, promised within %v", what, took.Round(time.Millisecond), promised)
	}
}

// listed says at how many nodes a room is among the live ones.
func (m *testMesh) listed(p *person, id string) (n int) {
	m.t.Helper()
	for i := range m.nodes {
		var list struct{ Rooms []struct{ ID, Title string } }
		p.at(i).do("GET", "/rooms?state=live", nil, &list, http.StatusOK)
		for _, r := range list.Rooms {
			if r.ID == id {
				n++
			}
		}
	}
	return n
}

// status posts an offer for a microphone, any offer, and returns the status of the answer.
func (p *person) offers(id string) int {
	p.m.t.Helper()
	q, err := http.NewRequest("POST", p.url+"/v1/rooms/"+id+"/whip", bytes.NewReader([]byte("v=0\r\n")))
	must(p.m.t, err)
	q.Header.Set("Content-Type", "application/sdp")
	q.Header.Set("Authorization", "Bearer "+p.Token)
	a, err := http.DefaultClient.Do(q)
	must(p.m.t, err)
	a.Body.Close()
	return a.StatusCode
}

// What people expect of a room within a time, over three regions: it is listed everywhere two seconds after it begins and no
// more two seconds after its end; a new title is at every node within a second; who begins to speak is shown within half a
// second; what somebody held is free five seconds after they have left. And whoever only listens cannot publish, at any node.
func TestWithinTheirTimes(t *testing.T) {
	m := startNodes(t, 3)
	ada, bob, eve := m.guest(1, "Ada"), m.guest(0, "Bob"), m.guest(2, "Eve")
	id := ada.createRoom("Promises")
	m.within(2*time.Second, "the room is listed in every region", func() bool { return m.listed(eve, id) == 3 })
	for i := range m.nodes {
		if status := eve.at(i).offers(id); status != http.StatusForbidden {
			t.Errorf("a listener offers a microphone to node %d: %d, want 403", i, status)
		}
	}

	feed := bob.follow(id)
	feed.until("a snapshot", func(event, _ string) bool { return event == "snapshot" })
	ada.do("PATCH", "/rooms/"+id, map[string]any{"title": "Kept promises"}, nil, http.StatusOK)
	m.within(time.Second, "the new title is at every node, in the room and in the list", func() bool {
		for i := range m.nodes {
			var v struct{ Title string }
			eve.at(i).do("GET", "/rooms/"+id, nil, &v, http.StatusOK)
			s := m.nodes[i].control.Rooms()
			if v.Title != "Kept promises" || len(s) != 1 || s[0].Title != v.Title {
				return false
			}
		}
		return true
	})
	late := eve.follow(id) // before any sound: a newcomer reads what the room is about from the first event
	if first := late.until("a snapshot", func(event, _ string) bool { return event != "" }); !strings.Contains(first, `"title":"Kept promises"`) || !strings.Contains(first, `"rulesVersion":1`) {
		t.Errorf("the first thing that a newcomer is told is %s", first)
	}

	ear := bob.listen(id, 1)
	ada.sayTone(id, 440)
	speaks := func(n int) func() bool {
		return func() bool {
			ear.mu.Lock()
			defer ear.mu.Unlock()
			return ear.sources.Len() == n
		}
	}
	m.eventually("the microphone is there", func() bool {
		s, err := m.nodes[1].control.Get(t.Context(), rotunda.RoomID(id))
		must(t, err)
		p, _ := s.Participant(rotunda.UserID(ada.User))
		return p.Live
	})
	mute := "/rooms/" + id + "/participants/" + ada.User + "/mute"
	ada.do("DELETE", mute, nil, nil, http.StatusOK)
	m.eventually("Ada is heard", func() bool { return speaks(1)() && ear.hears(440) })
	ada.do("POST", mute, nil, nil, http.StatusOK)
	m.eventually("Ada is heard no more", speaks(0))
	ada.do("DELETE", mute, nil, nil, http.StatusOK)
	m.within(500*time.Millisecond, "a listener far away is shown who speaks", speaks(1))

	listeners := func() bool { return m.counted(0, "rotunda_listeners") == 1 }
	m.eventually("Bob listens", listeners)
	ear.player.Close(t.Context())
	m.within(5*time.Second, "no session and no pull of the program is held for a listener who has left", func() bool {
		r := m.nodes[0].rooms.peek(rotunda.RoomID(id))
		r.mu.Lock()
		defer r.mu.Unlock()
		return m.counted(0, "rotunda_listeners") == 0 && len(*r.audience.players.Load()) == 0 && len(r.listen) == 0
	})
	ada.do("POST", "/rooms/"+id+"/end", nil, nil, http.StatusOK)
	m.within(2*time.Second, "a room that is over is listed nowhere", func() bool { return m.listed(eve, id) == 0 })
}
