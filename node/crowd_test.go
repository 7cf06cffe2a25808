package node

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/presence"
)

// Who listens and reacts on any node is known to everybody on every node within a second or two, also where nobody
// listens; who leaves is counted no more.
func TestCrowd(t *testing.T) {
	m := startNodes(t, 3)
	ada := m.guest(1, "Ada")
	id := ada.createRoom("A crowd")
	feeds := []reader{ada.follow(id), ada.at(0).follow(id)} // on the home, and where nobody listens
	until := func(what string, is func(presence.Summary) bool) {
		t.Helper()
		for _, f := range feeds {
			f.until(what, func(event, data string) bool {
				var s presence.Summary
				return event == "presence" && json.Unmarshal([]byte(data), &s) == nil && is(s)
			})
		}
	}
	ada.listen(id, 1) // and is on stage: not one of the crowd
	var ears []*ear
	for i := range 3 {
		ears = append(ears, m.guest(i, "Listener").listen(id, 1))
	}
	until("three listen", func(s presence.Summary) bool { return s.Listeners == 3 })
	bob := m.guest(2, "Bob")
	bob.follow(id)
	until("Bob is there", func(s presence.Summary) bool {
		return slices.ContainsFunc(s.Roster, func(p presence.Person) bool { return p.User == rotunda.UserID(bob.User) && p.Name == "Bob" })
	})
	began := time.Now()
	for range 3 {
		bob.do("POST", "/rooms/"+id+"/reactions", map[string]any{"emoji": "👏"}, nil, http.StatusAccepted)
	}
	until("three clap", func(s presence.Summary) bool { return s.Reactions["👏"] == 3 })
	t.Logf("applause was everywhere after %v", time.Since(began))
	until("and it fades", func(s presence.Summary) bool { return s.Reactions["👏"] == 0 })
	ears[0].player.Close(t.Context())
	until("one listens no more", func(s presence.Summary) bool { return s.Listeners == 2 })
	var v struct{ Listeners int }
	ada.at(0).do("GET", "/rooms/"+id, nil, &v, http.StatusOK)
	if v.Listeners != 2 {
		t.Errorf("the room shows %d listeners, want 2", v.Listeners)
	}
}

// Whoever takes another name while on stage, or while asking to speak, is called so on every node at once, though the log has the old one.
func TestRenamedOnStage(t *testing.T) {
	m := startNodes(t, 3)
	ada, bob := m.guest(1, "Ada"), m.guest(2, "Bob")
	id := ada.createRoom("New names")
	bob.do("POST", "/rooms/"+id+"/requests", map[string]any{}, nil, http.StatusOK)
	feeds := []reader{ada.follow(id), bob.follow(id), ada.at(0).follow(id)}
	called := func(names map[string]string) {
		t.Helper()
		for _, f := range feeds {
			f.until("the new names", func(event, data string) bool {
				var s struct{ Names map[string]string }
				return event == "presence" && json.Unmarshal([]byte(data), &s) == nil && maps.Equal(s.Names, names)
			})
		}
	}
	ada.do("PATCH", "/profile", map[string]any{"name": "Ada L."}, nil, http.StatusOK)
	called(map[string]string{ada.User: "Ada L."})
	bob.do("PATCH", "/profile", map[string]any{"name": "Robert"}, nil, http.StatusOK)
	called(map[string]string{ada.User: "Ada L.", bob.User: "Robert"})
	ada.do("PATCH", "/profile", map[string]any{"name": "Ada"}, nil, http.StatusOK)
	called(map[string]string{bob.User: "Robert"})
}

// The log knows where the people of the stage are connected, soon after they come and some seconds after they have gone; and
// when their node dies.
func TestStageInTheLog(t *testing.T) {
	m := startNodes(t, 3)
	ada := m.guest(1, "Ada")
	id := ada.createRoom("Where is Ada?")
	at := func(nodes ...rotunda.NodeID) func() bool {
		return func() bool {
			s, err := m.nodes[0].control.Get(t.Context(), rotunda.RoomID(id))
			if err != nil {
				return false
			}
			p, _ := s.Participant(rotunda.UserID(ada.User))
			return slices.Equal(p.Nodes, nodes)
		}
	}
	ear := ada.listen(id, 1)
	m.eventually("Ada is at her node", at("eu-west-1"))
	ada.at(2).listen(id, 1)
	m.eventually("and at another", at("ap-south-1", "eu-west-1"))
	ear.player.Close(t.Context())
	m.eventually("and then only there", at("ap-south-1"))
	m.nodes[0].rooms.hold(rotunda.RoomID(id)) // somebody who looks at the room on the node that stays
	m.stops[2]()
	m.eventually("and nowhere when that is gone", at())
}
