package node

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rotunda"
)

// lastPackets is from each decision to the last packet that any node forwarded of the person.
type lastPackets struct {
	mu    sync.Mutex
	times []time.Duration
}

func (l *lastPackets) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times = append(l.times, d)
}

// at is a quantile.
func (l *lastPackets) at(q float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.times)
	return l.times[min(len(l.times)-1, int(q*float64(len(l.times))))]
}

func (l *lastPackets) String() string {
	var b strings.Builder
	for _, edge := range []time.Duration{5, 10, 25, 50, 75, 100, 150, 250, 500, 1000} {
		edge *= time.Millisecond
		n := 0
		for _, d := range l.times {
			if d <= edge {
				n++
			}
		}
		fmt.Fprintf(&b, " ≤%v:%d", edge, n)
	}
	return fmt.Sprintf("%d decisions, p50 %v p99 %v max %v;%s", len(l.times), l.at(.5), l.at(.99), l.times[len(l.times)-1], b.String())
}

// Five speakers on three nodes are muted over and over, by the log and then, without it, by facts: from the decision to the
// last packet of theirs that any of the nodes forwarded. The goal is 100 ms where the speaker is and 250 ms elsewhere (one
// machine: no distance); what the mixer holds of the sound (its jitter buffer, 40 ms and more) is part of it.
func TestEnforcementTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	m := startNodes(t, 3)
	ada := m.guest(1, "Ada")
	id := ada.createRoom("Muted over and over")
	ada.sayTone(id, 300)
	speakers := []*person{ada}
	for i := range 4 {
		p := m.guest(1+i%2, fmt.Sprint("Speaker ", i))
		p.do("POST", "/rooms/"+id+"/requests", nil, nil, http.StatusOK)
		ada.do("POST", "/rooms/"+id+"/requests/"+p.User+"/approve", nil, nil, http.StatusOK)
		p.onStage(id)
		p.sayTone(id, 500+200*float64(i))
		speakers = append(speakers, p)
	}
	ears := []*ear{m.guest(1, "Dan").listen(id, 1), m.guest(2, "Eve").listen(id, 1)}
	open := func() {
		for _, p := range speakers {
			p.do("DELETE", "/rooms/"+id+"/participants/"+p.User+"/mute", nil, nil, http.StatusOK)
		}
		for _, e := range ears {
			m.eventually("everybody is heard", func() bool {
				e.mu.Lock()
				defer e.mu.Unlock()
				return e.sources.Len() == len(speakers)
			})
		}
	}
	// With the race detector, whatever else takes the cores for a moment makes a measurement late; what is wrong here makes all of
	// them late.
	keeper := 0 // the node that keeps the log
	tries := 1
	if raceDetector {
		tries = 3
	}
	for try := range tries {
		var byLog, without lastPackets
		for range 40 {
			open()
			m.muteEach(id, speakers, &byLog)
		}
		open()
		m.stops[keeper]()
		m.muteEach(id, speakers, &without)
		m.start(m.nodes[keeper].cfg)
		keeper = len(m.nodes) - 1
		m.eventually("the log is back", func() bool { return m.nodes[1].control.Available() && m.nodes[2].control.Available() })
		t.Logf("by the log:      %v", &byLog)
		t.Logf("without the log: %v", &without)
		if len(byLog.times) < 200 || len(without.times) < len(speakers) {
			t.Fatalf("%d and %d decisions were measured", len(byLog.times), len(without.times))
		}
		if byLog.at(.99) <= 250*time.Millisecond && without.at(1) <= 250*time.Millisecond+150*time.Millisecond {
			return
		}
		t.Logf("measurement %d: p99 %v by the log, worst %v without; want at most 250 ms, and 150 ms of patience more", try+1, byLog.at(.99), without.at(1))
	}
	t.Error("no measurement kept to the bounds")
}

// muteEach has everybody muted at the same time and waits until no packet of theirs comes any more.
func (m *testMesh) muteEach(id string, speakers []*person, out *lastPackets) {
	m.t.Helper()
	state, err := m.nodes[1].control.Get(m.t.Context(), rotunda.RoomID(id))
	must(m.t, err)
	var servers []*roomServer
	for _, n := range m.nodes[1:3] {
		servers = append(servers, n.rooms.peek(rotunda.RoomID(id)))
	}
	var wg sync.WaitGroup
	watches := map[*person][]*watch{}
	for _, p := range speakers {
		for _, r := range servers {
			w := &watch{user: rotunda.UserID(p.User), ssrc: state.SSRC(rotunda.UserID(p.User)), until: time.Now().Add(time.Hour)}
			r.enforced.begin(w)
			watches[p] = append(watches[p], w)
		}
	}
	began := time.Now()
	for _, p := range speakers {
		wg.Go(func() { p.do("POST", "/rooms/"+id+"/participants/"+p.User+"/mute", nil, nil, http.StatusOK) })
	}
	wg.Wait()
	last := func(p *person) time.Time {
		at := began
		for _, w := range watches[p] {
			if t := time.Unix(0, w.last(time.Time{})); t.After(at) {
				at = t
			}
		}
		return at
	}
	m.eventually("nobody is heard any more", func() bool {
		return time.Since(began) > 150*time.Millisecond && !slices.ContainsFunc(speakers, func(p *person) bool { return time.Since(last(p)) < 150*time.Millisecond })
	})
	for _, p := range speakers {
		out.add(last(p).Sub(began))
	}
	for _, r := range servers {
		r.mu.Lock()
		for _, p := range speakers {
			if !r.state.Muted(rotunda.UserID(p.User)) {
				m.t.Errorf("%s is not muted on %s", p.User, r.node)
			}
		}
		r.mu.Unlock()
		r.enforced.settle(time.Now().Add(2 * time.Hour))
	}
}
