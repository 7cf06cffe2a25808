package node

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/control"
	"rotunda/control/room"
	"rotunda/metrics"
)

// Who is muted and opens their microphone again at once is heard again; that is not how long the decision took.
func TestHeardAgainIsNotCounted(t *testing.T) {
	e := &enforcement{metrics: metrics.New("", "")}
	decided := time.Unix(1_700_000_000, 0)
	begin := func(ssrc uint32) {
		e.begin(&watch{user: rotunda.UserID(fmt.Sprint("user", ssrc)), ssrc: rotunda.SSRC(ssrc), decided: decided, until: decided.Add(enforceFor)})
	}
	begin(1)
	begin(2)
	e.voice(decided.Add(40*time.Millisecond), 1)
	e.voice(decided.Add(290*time.Millisecond), 1) // this node learns last that they may
	e.finish(decided.Add(300*time.Millisecond), "user1", decided.Add(280*time.Millisecond))
	e.voice(decided.Add(320*time.Millisecond), 1)
	e.voice(decided.Add(60*time.Millisecond), 2)
	e.settle(decided.Add(500 * time.Millisecond))
	if list := e.watches.Load(); list == nil || len(*list) != 1 {
		t.Fatal("the other measurement is over too")
	}
	e.settle(decided.Add(enforceFor))
	e.finish(decided.Add(enforceFor), "user2", decided) // nothing is left
	w := httptest.NewRecorder()
	e.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"rotunda_enforcement_seconds_sum 0.1\n", "rotunda_enforcement_seconds_count 2\n"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

// A decision that came to the log too slowly is heard of twice, as an event and as a fact: it is one, in whatever order.
func TestHeardOfTwiceIsOneDecision(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	s := room.New("r")
	apply := func(s *room.State, e room.Event) *room.State {
		next := s.Clone()
		e.Seq = next.Seq + 1
		next.Apply(e)
		return next
	}
	s = apply(s, room.Event{Type: room.EventCreated, At: at, User: "ada", SSRC: 1, Node: "n1", Details: &room.Details{Title: "T"}})
	s = apply(s, room.Event{Type: room.EventAccepted, At: at, User: "bob", SSRC: 2})
	s = apply(s, room.Event{Type: room.EventUnmuted, At: at, User: "bob"})
	for _, kind := range []room.EventType{room.EventMuted, room.EventRemoved} {
		event := room.Event{ID: "event", Type: kind, At: at, User: "bob"}
		fact := room.Event{ID: "fact", Type: kind, At: at.Add(150 * time.Millisecond), User: "bob", Fact: true}
		for _, order := range [][2]room.Event{{event, fact}, {fact, event}} {
			first := control.Change{State: apply(s, order[0]), Event: order[0]}
			if got := restricted(s, first); len(got) != 1 || got[decision{order[0].ID, "bob"}] != order[0].At {
				t.Errorf("%s, first heard of as %s: %v", kind, order[0].ID, got)
			}
			second := control.Change{State: first.State, Facts: order[1:]}
			if got := restricted(first.State, second); len(got) != 0 {
				t.Errorf("%s, heard of as %s and then as %s: %v", kind, order[0].ID, order[1].ID, got)
			}
			both := control.Change{State: first.State, Facts: order[:1], Event: order[1]}
			if got := restricted(s, both); len(got) != 1 || got[decision{order[0].ID, "bob"}] != order[0].At {
				t.Errorf("%s, heard of as %s and %s at once: %v", kind, order[0].ID, order[1].ID, got)
			}
		}
	}
}

// A decision is measured once at each node that has to do with it, whether it is heard of in the log, or as a fact and then in
// the log.
func TestOneDecisionIsMeasuredOnce(t *testing.T) {
	m := startNodes(t, 3)
	ada := m.guest(1, "Ada")
	id := ada.createRoom("Muted now and then")
	ada.sayTone(id, 300)
	ears := []*ear{m.guest(1, "Dan").listen(id, 1), m.guest(2, "Eve").listen(id, 1)}
	heard := func(n int) {
		t.Helper()
		for _, e := range ears {
			m.eventually(fmt.Sprintf("%d people are heard", n), func() bool {
				e.mu.Lock()
				defer e.mu.Unlock()
				return e.sources.Len() == n
			})
		}
	}
	measured := func(want float64) {
		t.Helper()
		for _, node := range []int{1, 2} {
			m.eventually(fmt.Sprintf("node %d has measured %v decisions", node, want), func() bool {
				return m.counted(node, "rotunda_enforcement_seconds_count") >= want
			})
			if n := m.counted(node, "rotunda_enforcement_seconds_count"); n != want {
				t.Errorf("node %d has measured %v decisions, want %v", node, n, want)
			}
		}
	}
	ada.do("DELETE", "/rooms/"+id+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	const decisions = 20
	for i := range decisions {
		heard(1)
		by := ada.at(i % 3)
		by.do("POST", "/rooms/"+id+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
		if i%2 == 0 {
			heard(0)
		}
		by.do("DELETE", "/rooms/"+id+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	}
	heard(1)
	measured(decisions)

	m.stops[0]() // keeps the log
	ada.do("POST", "/rooms/"+id+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	heard(0)
	measured(decisions + 1)
	m.start(m.nodes[0].cfg)
	keeper := m.nodes[len(m.nodes)-1]
	select {
	case <-keeper.Ready():
	case <-time.After(patience):
		t.Fatal("the log does not come back")
	}
	inLog := func() bool {
		s, err := keeper.control.Get(t.Context(), rotunda.RoomID(id))
		return err == nil && s.Muted(rotunda.UserID(ada.User))
	}
	m.eventually("the decision is in the log", inLog)
	ada.do("DELETE", "/rooms/"+id+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	heard(1)
	measured(decisions + 1)
}
