package node

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/api"
	"rotunda/control/people"
	"rotunda/control/room"
	"rotunda/node/presence"
)

// roster walks through all pages of a room's people.
type roster struct {
	Participants []struct{ User, Name, Role string }
	NextCursor   string
	Complete     bool
}

func (p *person) roster(id, query string, limit int) (users []string, complete bool) {
	p.m.t.Helper()
	complete = true
	for cursor := ""; ; {
		var page roster
		p.do("GET", fmt.Sprintf("/rooms/%s/participants?%s&limit=%d&cursor=%s", id, query, limit, url.QueryEscape(cursor)), nil, &page, http.StatusOK)
		for _, one := range page.Participants {
			users = append(users, one.User)
		}
		complete = complete && page.Complete
		if cursor = page.NextCursor; cursor == "" {
			return users, complete
		}
	}
}

// Whoever listens or follows on any node is listed on every node, and found by name, but for those who hide; who has gone is
// listed no more.
func TestRosterOfAllNodes(t *testing.T) {
	m := startNodes(t, 3)
	ada := m.guest(1, "Ada")
	id := ada.createRoom("Who is here?")
	want := []string{ada.User}
	var last *person
	for i := range 3 {
		ear := m.guest(i, fmt.Sprint("Ear ", i))
		ear.listen(id, 1)
		last = m.guest(i, fmt.Sprint("Reader ", i))
		last.follow(id)
		want = append(want, ear.User, last.User)
	}
	hidden := m.guest(2, "Hidden")
	hidden.do("PATCH", "/profile", map[string]any{"hidden": true}, nil, http.StatusOK)
	hidden.follow(id)
	slices.Sort(want)
	began := time.Now()
	for i := range 3 {
		m.eventually(fmt.Sprintf("node %d lists everybody", i), func() bool {
			got, complete := ada.at(i).roster(id, "", 3)
			if !complete || !slices.Equal(got, want) {
				t.Logf("node %d lists %v, complete %t", i, got, complete)
				time.Sleep(time.Second) // within the rate
				return false
			}
			return true
		})
	}
	t.Logf("everybody listed everywhere after %v", time.Since(began))
	began = time.Now()
	ada.roster(id, "q=ear", 50)
	t.Logf("a search that nobody has asked before took %v", time.Since(began))
	if got, complete := last.at(0).roster(id, "role=listener&q=READER+2", 50); !complete || !slices.Equal(got, []string{last.User}) {
		t.Errorf("searched for Reader 2: %v, complete %t", got, complete)
	}
	last.do("PATCH", "/profile", map[string]any{"hidden": true}, nil, http.StatusOK)
	m.eventually("who hides is listed no more", func() bool {
		time.Sleep(time.Second)
		got, _ := ada.at(0).roster(id, "", 50)
		return !slices.Contains(got, last.User)
	})
	m.stops[2]()
	m.eventually("nor who was at a node that has stopped", func() bool {
		time.Sleep(time.Second)
		got, complete := ada.at(0).roster(id, "role=listener", 50)
		return complete && len(got) == 4
	})
}

// A hand comes down, and an invitation is taken back, when its owner has left the last node; not while they are on any.
func TestHandsOfThoseWhoLeft(t *testing.T) {
	m := startNodes(t, 3)
	for _, n := range m.nodes {
		n.rooms.mu.Lock()
		n.rooms.handsEvery = time.Second
		n.rooms.mu.Unlock()
	}
	ada, bob, cyd, dan, eve := m.guest(1, "Ada"), m.guest(0, "Bob"), m.guest(2, "Cyd"), m.guest(2, "Dan"), m.guest(0, "Eve")
	id := ada.createRoom("Questions")
	ear := bob.listen(id, 1)
	far := bob.at(2).listen(id, 1)
	stay := cyd.listen(id, 1)
	goes := dan.listen(id, 1)
	eve.listen(id, 1)
	for _, p := range []*person{bob, cyd} {
		p.do("POST", "/rooms/"+id+"/requests", nil, nil, http.StatusOK)
	}
	for _, p := range []*person{dan, eve} {
		ada.do("POST", "/rooms/"+id+"/invitations", map[string]any{"user": p.User}, nil, http.StatusOK)
	}
	waiting := func() (users []string) {
		s, err := m.nodes[0].control.Get(t.Context(), rotunda.RoomID(id))
		must(t, err)
		for _, ask := range s.Queue() {
			users = append(users, string(ask.User))
		}
		for u := range s.Invitations() {
			users = append(users, string(u))
		}
		slices.Sort(users)
		return users
	}
	among := func(people ...*person) []string {
		var users []string
		for _, p := range people {
			users = append(users, p.User)
		}
		slices.Sort(users)
		return users
	}
	left := time.Now()
	ear.player.Close(t.Context())
	goes.player.Close(t.Context())
	m.eventually("Dan's invitation is taken back", func() bool { return slices.Equal(waiting(), among(bob, cyd, eve)) })
	if after := time.Since(left); after < 3*time.Second {
		t.Errorf("taken back %v after he had left, want three seconds or more", after)
	}
	left = time.Now()
	far.player.Close(t.Context())
	m.eventually("Bob's hand comes down", func() bool { return slices.Equal(waiting(), among(cyd, eve)) })
	if after := time.Since(left); after < 3*time.Second {
		t.Errorf("down %v after he had left, want three seconds or more", after)
	}
	select {
	case <-stay.player.Done():
		t.Error("Cyd's session is over, so this shows nothing")
	default:
	}
}

// crowdOf is a room on a node with n people who follow its events, the first of all and those after.
func crowdOf(first, n int) *roomServer {
	r := &roomServer{
		id: "r", node: "us-1", audience: newAudience(nil, nil, 1, 1), state: room.New("r"),
		profile: func(u rotunda.UserID) (people.Profile, bool) { return people.Profile{}, false },
	}
	r.crowd = newCrowd("r", "us-1", nil, slog.New(slog.DiscardHandler), r)
	for i := first; i < first+n; i++ {
		r.crowd.attend(api.Attendee{User: rotunda.UserID(fmt.Sprintf("g_%08x", uint32(i)*2654435761)), Name: fmt.Sprint("Guest ", i)})
	}
	return r
}

// One node with 100,000 people, and a hundred with a thousand each on this one core: what a page costs all of them together.
// The first page has to be there in 200 ms, what is searched for in 300.
func BenchmarkRoster(b *testing.B) {
	for _, nodes := range []int{1, 100} {
		var all []*roomServer
		for i := range nodes {
			all = append(all, crowdOf(i*100_000/nodes, 100_000/nodes))
		}
		for _, q := range []presence.List{{Limit: 50}, {Limit: 50, Search: "guest 99"}, {Limit: 50, After: "g_f"}} {
			b.Run(fmt.Sprintf("nodes=%d/search=%q/after=%q", nodes, q.Search, q.After), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					var parts [][]byte
					for _, r := range all {
						parts = append(parts, r.answer(q.Encode()))
					}
					answer, ok := presence.Join(q.Encode(), parts)
					if page, err := presence.DecodePage(answer); !ok || err != nil || len(page.People) != 50 {
						b.Fatalf("%d people, %t, %v", len(page.People), ok, err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/page")
			})
		}
	}
}
