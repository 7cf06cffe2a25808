package node

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/rtc"
)

// status calls the API and returns only how it answered.
func (p *person) status(method, path string) (int, http.Header) {
	p.m.t.Helper()
	q, err := http.NewRequest(method, p.url+"/v1"+path, nil)
	must(p.m.t, err)
	q.Header.Set("Authorization", "Bearer "+p.Token)
	a, err := http.DefaultClient.Do(q)
	must(p.m.t, err)
	defer a.Body.Close()
	return a.StatusCode, a.Header
}

// refusedToListen is why p gets no listening session; nil: it gets one.
func (p *person) refusedToListen(room string) error {
	player, err := rtc.DialPlayer(p.m.t.Context(), rtc.ClientConfig{URL: fmt.Sprintf("%s/v1/rooms/%s/whep", p.url, room), Token: p.Token, Tracks: 1}, func(rtc.Received) {})
	if err == nil {
		player.Close(p.m.t.Context())
	}
	return err
}

type viewed struct {
	Participants map[string]struct {
		Live, Muted bool
		Node        string
	}
	Removed map[string]struct{ Ban bool }
}

func (p *person) view(room string) (v viewed) {
	p.m.t.Helper()
	p.do("GET", "/rooms/"+room, nil, &v, http.StatusOK)
	return v
}

// onStage waits until p's own node knows that p is on stage.
func (p *person) onStage(room string) {
	p.m.t.Helper()
	p.m.eventually("the node knows who is on stage", func() bool {
		_, on := p.view(room).Participants[p.User]
		return on
	})
}

// reader is an open event feed.
type reader struct {
	t     *testing.T
	lines chan string
}

// follow opens the room's event feed for the rest of the test.
func (p *person) follow(room string) reader {
	p.m.t.Helper()
	q, err := http.NewRequestWithContext(p.m.t.Context(), "GET", p.url+"/v1/rooms/"+room+"/events", nil)
	must(p.m.t, err)
	q.Header.Set("Authorization", "Bearer "+p.Token)
	a, err := http.DefaultClient.Do(q)
	must(p.m.t, err)
	r := reader{p.m.t, make(chan string, 4096)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := bufio.NewScanner(a.Body); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	p.m.t.Cleanup(func() { a.Body.Close(); <-done })
	return r
}

// until reads events until one is it, for at most 10 s.
func (r reader) until(what string, is func(event, data string) bool) string {
	r.t.Helper()
	late, event := time.After(patience), ""
	for {
		select {
		case <-late:
			r.t.Fatalf("the event feed does not say: %s", what)
		case line := <-r.lines:
			if name, ok := strings.CutPrefix(line, "event: "); ok {
				event = name
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok && is(event, data) {
				return data
			}
		}
	}
}

func over(e *ear) bool {
	select {
	case <-e.player.Done():
		return true
	default:
		return false
	}
}

// The node that keeps the log dies. Whoever comes to a node that has never had to do with the room hears it all the same, and who
// was muted or banned meanwhile is so there too; where nobody knows the room, that is said.
func TestJoinWhereNobodyHadTheRoom(t *testing.T) {
	m := startNodes(t, 4)
	const adaTone = 440.0
	ada, eve := m.guest(1, "Ada"), m.guest(1, "Eve")
	room := ada.createRoom("Without a log")
	ada.sayTone(room, adaTone)
	ada.do("DELETE", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	eveEar := eve.listen(room, 1)
	m.eventually("Eve hears Ada", func() bool { return eveEar.hears(adaTone) })
	far := 0 // has no part in the room
	m.eventually("the room has a standby", func() bool {
		s, _ := m.nodes[1].control.Room(rotunda.RoomID(room))
		for i := 2; i < 4; i++ {
			if m.nodes[i].cfg.ID != s.Standby {
				far = i
			}
		}
		return s.Standby != ""
	})
	fay := m.guest(far, "Fay")

	m.stops[0]()
	ada.do("DELETE", "/rooms/"+room+"/participants/"+eve.User, map[string]any{"ban": true, "reason": "test"}, nil, http.StatusOK)
	m.eventually("Eve's session is over", func() bool { return over(eveEar) })
	m.eventually("the nodes know that the log is away", func() bool { return !m.nodes[1].control.Available() && !m.nodes[far].control.Available() })
	fayEar := fay.listen(room, 1)
	m.eventually("Fay hears the room at a node that did not have it", func() bool { return fayEar.hears(adaTone) })
	if !fay.view(room).Removed[eve.User].Ban {
		t.Error("who was banned without the log is not, at the node that was lent the room")
	}
	if err := eve.at(far).refusedToListen(room); err == nil {
		t.Error("Eve is let in there")
	}
	if status, h := fay.status("GET", "/rooms/abcdefghij"); status != http.StatusServiceUnavailable || h.Get("Retry-After") == "" {
		t.Errorf("a room that nobody knows: %d, Retry-After %q; want 503 and when to try again", status, h.Get("Retry-After"))
	}
}

// The node that keeps the log dies. Those who are live go on, people join, a mute and a ban act on every node, grants are
// refused; when the log is back it has what was decided, and nobody who was muted or banned is back.
func TestLogAway(t *testing.T) {
	m := startNodes(t, 3)
	const adaTone, bobTone = 440.0, 1000.0
	ada, bob, dan, eve, fay := m.guest(1, "Ada"), m.guest(2, "Bob"), m.guest(1, "Dan"), m.guest(2, "Eve"), m.guest(2, "Fay")
	room := ada.createRoom("Without a log")
	ada.sayTone(room, adaTone)
	ada.do("DELETE", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	bob.do("POST", "/rooms/"+room+"/requests", nil, nil, http.StatusOK)
	ada.do("POST", "/rooms/"+room+"/requests/"+bob.User+"/approve", nil, nil, http.StatusOK)
	bob.onStage(room)
	hush := bob.sayTone(room, bobTone)
	bob.do("DELETE", "/rooms/"+room+"/participants/"+bob.User+"/mute", nil, nil, http.StatusOK)
	danEar, eveEar := dan.listen(room, 1), eve.listen(room, 1)
	m.eventually("Dan and Eve hear both", func() bool {
		return danEar.hears(adaTone) && danEar.hears(bobTone) && eveEar.hears(adaTone) && eveEar.hears(bobTone)
	})

	feed := dan.at(2).follow(room)
	log := m.nodes[0].cfg
	m.stops[0]()
	if took := m.took(func() { ada.do("POST", "/rooms/"+room+"/participants/"+bob.User+"/mute", nil, nil, http.StatusOK) }); took > time.Second {
		t.Errorf("muting took %v", took)
	}
	feed.until("Bob is muted without the log", func(event, data string) bool {
		var v viewed
		return event == "snapshot" && json.Unmarshal([]byte(data), &v) == nil && v.Participants[bob.User].Muted
	})
	m.eventually("muted on his own node, Bob is heard no more on either", func() bool {
		return danEar.hears(adaTone, bobTone) && eveEar.hears(adaTone, bobTone)
	})
	m.eventually("the time that took is measured where Bob speaks", func() bool { return m.counted(2, "rotunda_enforcement_seconds_count") > 0 })
	ada.at(2).do("DELETE", "/rooms/"+room+"/participants/"+eve.User, map[string]any{"ban": true, "reason": "test"}, nil, http.StatusOK)
	m.eventually("Eve's session is over", func() bool { return over(eveEar) })
	for node := 1; node <= 2; node++ {
		m.eventually("every node knows", func() bool {
			v := ada.at(node).view(room)
			return v.Removed[eve.User].Ban && v.Participants[bob.User].Muted
		})
		if err := eve.at(node).refusedToListen(room); err == nil {
			t.Errorf("node %d lets Eve in", node)
		}
	}
	fayEar := fay.listen(room, 1)
	m.eventually("somebody who comes now hears the room", func() bool { return fayEar.hears(adaTone, bobTone) })
	for name, c := range map[string]struct {
		p            *person
		method, path string
	}{
		"unmute": {bob, "DELETE", "/participants/" + bob.User + "/mute"},
		"ask":    {fay, "POST", "/requests"},
	} {
		status, h := c.p.status(c.method, "/rooms/"+room+c.path)
		if status != http.StatusServiceUnavailable || h.Get("Retry-After") == "" {
			t.Errorf("%s without the log: %d, Retry-After %q; want 503 and when to try again", name, status, h.Get("Retry-After"))
		}
	}
	hush()

	m.start(log)
	back := m.nodes[3]
	select {
	case <-back.Ready():
	case <-time.After(patience):
		t.Fatal("the log is not back")
	}
	feed.until("the log has it", func(event, data string) bool { return event == "muted" })
	m.eventually("the log has what was decided", func() bool {
		v := ada.at(3).view(room)
		return v.Removed[eve.User].Ban && v.Participants[bob.User].Muted
	})
	for _, node := range m.nodes[1:] {
		m.eventually("nothing waits for the log", func() bool {
			state, err := node.control.Get(t.Context(), rotunda.RoomID(room))
			return err == nil && node.control.Over(state) == state && node.control.Available()
		})
	}
	dropped := m.counted(2, `rotunda_ingest_dropped_total{reason="muted"}`)
	bob.sayTone(room, bobTone)
	m.eventually("Bob is back, and still muted", func() bool {
		return m.counted(2, `rotunda_ingest_dropped_total{reason="muted"}`) > dropped+25
	})
	for name, e := range map[string]*ear{"Dan": danEar, "Fay": fayEar} {
		if a := e.amplitude(bobTone); a > 0.02 {
			t.Errorf("%s hears Bob again, at %.3f", name, a)
		}
		m.eventually("Ada is heard", func() bool { return e.hears(adaTone, bobTone) })
	}
	for node := 1; node <= 3; node++ {
		if err := eve.at(node).refusedToListen(room); err == nil {
			t.Errorf("node %d lets Eve in after the log is back", node)
		}
	}
	bob.do("DELETE", "/rooms/"+room+"/participants/"+bob.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("with the log he may open his microphone again", func() bool { return danEar.hears(bobTone) && fayEar.hears(bobTone) })
}
