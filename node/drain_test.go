package node

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/rtc"
)

// adminDo calls a node's admin address.
func (m *testMesh) adminDo(node int, method, path, body string) int {
	m.t.Helper()
	_, admin := m.nodes[node].Addresses()
	q, err := http.NewRequest(method, "http://"+admin.String()+path, strings.NewReader(body))
	must(m.t, err)
	a, err := http.DefaultClient.Do(q)
	must(m.t, err)
	a.Body.Close()
	return a.StatusCode
}

// state is what the first node knows of another.
func (m *testMesh) state(node int) rotunda.MemberState {
	for _, other := range m.nodes[0].mesh.Members() {
		if other.ID == m.nodes[node].cfg.ID {
			return other.State
		}
	}
	return ""
}

// moves reads p's event feed of the room until it is asked to move, and sends where to.
func (p *person) moves(room string) <-chan string {
	p.m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	p.m.t.Cleanup(cancel)
	q, err := http.NewRequestWithContext(ctx, "GET", p.url+"/v1/rooms/"+room+"/events", nil)
	must(p.m.t, err)
	q.Header.Set("Authorization", "Bearer "+p.Token)
	a, err := http.DefaultClient.Do(q)
	must(p.m.t, err)
	to := make(chan string, 1)
	go func() {
		defer a.Body.Close()
		lines := bufio.NewScanner(a.Body)
		lines.Buffer(nil, 1<<20)
		for moving := false; lines.Scan(); {
			if moving {
				var move struct{ Edges []struct{ URL string } }
				if json.Unmarshal([]byte(strings.TrimPrefix(lines.Text(), "data: ")), &move) == nil && len(move.Edges) > 0 {
					to <- move.Edges[0].URL
				}
				return
			}
			moving = lines.Text() == "event: move"
		}
	}()
	return to
}

// offer posts a useless offer and returns what becomes of it.
func (p *person) offer(room string, headers ...string) *http.Response {
	p.m.t.Helper()
	return p.asks(room+"/whep", "v=0", headers...)
}

// A node is emptied by an order given to another one: newcomers are sent on, who listens is asked to move and loses no packet
// of the program, and when nobody is left the node stops.
func TestDrain(t *testing.T) {
	m := startNodes(t, 3)
	ada := m.guest(0, "Ada")
	room := ada.createRoom("Moving house")
	bob := m.guest(1, "Bob")
	ear := bob.listen(room, 1)
	ada.sayTone(room, 440)
	ada.do("DELETE", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("Bob hears Ada", func() bool { return ear.hears(440) })
	to := bob.moves(room)

	if got := m.adminDo(0, "POST", "/v1/drain", `{"node":"nowhere","deadline":"1s"}`); got != http.StatusNotFound {
		t.Errorf("draining a node that is none: %d", got)
	}
	if got := m.adminDo(0, "POST", "/v1/drain", `{"node":"eu-west-1","deadline":"soon"}`); got != http.StatusBadRequest {
		t.Errorf("draining with a deadline that is none: %d", got)
	}
	if got := m.adminDo(0, "POST", "/v1/drain", `{"node":"eu-west-1","deadline":"60s"}`); got != http.StatusAccepted {
		t.Fatalf("drain: %d", got)
	}
	m.eventually("the node says that it is not ready", func() bool { return m.adminDo(1, "GET", "/readyz", "") == http.StatusServiceUnavailable })
	m.eventually("the others know", func() bool { return m.state(1) == rotunda.Draining })
	if a := bob.offer(room); a.StatusCode != http.StatusTemporaryRedirect || !strings.HasSuffix(a.Header.Get("Location"), "/v1/rooms/"+room+"/whep?sent-on") {
		t.Errorf("a player is answered %d, Location %q", a.StatusCode, a.Header.Get("Location"))
	}
	if a := bob.offer(room, "Origin", m.urls[1]); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("a page is answered %d, Retry-After %q", a.StatusCode, a.Header.Get("Retry-After"))
	}
	if m.counted(1, "rotunda_drain_remaining") != 1 {
		t.Errorf("%v sessions remain, want Bob's", m.counted(1, "rotunda_drain_remaining"))
	}

	var url string
	select {
	case url = <-to:
	case <-time.After(patience):
		t.Fatal("Bob is not asked to move")
	}
	if url == m.urls[1] || url != m.urls[0] && url != m.urls[2] {
		t.Fatalf("Bob is sent to %s", url)
	}
	moved := *bob
	moved.url = url
	ear2 := moved.listen(room, 1) // before he leaves the old node
	m.eventually("Bob hears Ada there", func() bool { return ear2.hears(440) })
	if !ear.hears(440) {
		t.Error("the old session ended before the new one was heard")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ear.player.Close(ctx)
	m.eventually("empty, the node has left", func() bool { return m.state(1) == rotunda.Left })
	m.eventually("and is not missed", func() bool { return ear2.hears(440) })
	if gaps := ear2.gaps(); gaps != 0 {
		t.Errorf("%d packets of the program were lost on the way", gaps)
	}
}

// gaps counts the sequence numbers that never came. A packet may overtake another one (RFC 3550 §6.4.1), which is none the less
// there: numbers are extended first.
func (e *ear) gaps() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	came := map[int]bool{}
	first, at, last := 0, 0, 0
	for i, s := range e.seqs {
		if i == 0 {
			first, at, last = int(s), int(s), int(s)
		}
		at += int(int16(s - uint16(at)))
		came[at] = true
		first, last = min(first, at), max(last, at)
	}
	return last - first + 1 - len(came)
}

// An order can be taken back, and a deadline that comes first ends the node with what is left.
func TestDrainUndoneAndOverdue(t *testing.T) {
	m := startNodes(t, 2)
	ada := m.guest(0, "Ada")
	room := ada.createRoom("Stubborn")
	bob := m.guest(1, "Bob")
	bob.listen(room, 1)
	drain := func(method, deadline string) {
		t.Helper()
		if got := m.adminDo(0, method, "/v1/drain", fmt.Sprintf(`{"node":"eu-west-1","deadline":%q}`, deadline)); got != http.StatusAccepted {
			t.Fatalf("%s: %d", method, got)
		}
	}
	drain("POST", "60s")
	m.eventually("draining", func() bool { return m.state(1) == rotunda.Draining })
	drain("DELETE", "")
	m.eventually("and no more", func() bool { return m.state(1) == rotunda.Alive && m.adminDo(1, "GET", "/readyz", "") == http.StatusOK })
	bob.listen(room, 1)

	drain("POST", "60s")
	m.eventually("draining again", func() bool { return m.state(1) == rotunda.Draining })
	if got := m.adminDo(1, "POST", "/v1/drain", `{"node":"eu-west-1","deadline":"0s"}`); got != http.StatusAccepted { // its own admin, at once
		t.Fatalf("a shorter deadline: %d", got)
	}
	m.eventually("overdue, the node has left", func() bool { return m.state(1) == rotunda.Left })
	if _, err := rtc.DialPlayer(t.Context(), rtc.ClientConfig{URL: m.urls[1] + "/v1/rooms/" + room + "/whep", Token: bob.Token}, nil); err == nil {
		t.Error("the node still takes sessions")
	}
}

// The node that mixes a room is emptied while somebody speaks at a second one and is heard at a third: the standby is home, and
// no packet of the program was missed.
func TestDrainOfHome(t *testing.T) {
	m := startNodes(t, 3)
	ada := m.guest(1, "Ada")
	room := ada.createRoom("Changing of the guard")
	bob := m.guest(0, "Bob")
	m.eventually("the room is known", func() bool { return m.homeOf(0, room) == "eu-west-1" })
	bob.do("POST", "/rooms/"+room+"/requests", nil, nil, http.StatusOK)
	ada.do("POST", "/rooms/"+room+"/requests/"+bob.User+"/approve", nil, nil, http.StatusOK)
	bob.sayTone(room, 440)
	bob.do("DELETE", "/rooms/"+room+"/participants/"+bob.User+"/mute", nil, nil, http.StatusOK)
	ear := m.guest(2, "Cyd").listen(room, 1)
	m.eventually("Cyd hears Bob", func() bool { return ear.hears(440) })
	if got := m.adminDo(0, "POST", "/v1/drain", `{"node":"eu-west-1","deadline":"60s"}`); got != http.StatusAccepted {
		t.Fatalf("drain: %d", got)
	}
	m.eventually("another is home", func() bool { return m.homeOf(2, room) != "eu-west-1" })
	before := ear.count()
	m.eventually("two seconds more", func() bool { return ear.count() > before+100 })
	m.eventually("Bob is heard from there", func() bool { return ear.hears(440) })
	if gaps := ear.gaps(); gaps != 0 {
		t.Errorf("%d packets of the program were lost on the way", gaps)
	}
}

// homeOf is the room's home as a node knows it; empty: it does not know the room.
func (m *testMesh) homeOf(node int, id string) rotunda.NodeID {
	for _, s := range m.nodes[node].control.Rooms() {
		if string(s.ID) == id {
			return s.Home
		}
	}
	return ""
}
