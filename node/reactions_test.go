package node

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/presence"
)

const (
	reactionsASecond = 10_000 // of sound, in one room, over all nodes
	reactionsFor     = 8 * time.Second
	reactionsByAPI   = 12 // people who react by HTTP, each as often as one may
)

// Ten thousand reactions for each second of a room's sound: nothing of the sound is lost for it, and whoever follows the room is
// sent their sum a few times a second, not each of them. Most are put in where the API hands them over, on all three nodes, and it
// is the sound that has them made: so many for each packet that comes, however fast the machine is. A dozen people react by
// HTTP as fast as they are let.
func TestReactionsCostNoAudio(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	m := startNodes(t, 3)
	ada := m.guest(1, "Ada")
	id := ada.createRoom("Applause")
	ada.sayTone(id, 300)
	ada.do("DELETE", "/rooms/"+id+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	ears := []*ear{m.guest(0, "Dan").listen(id, 1), m.guest(1, "Eve").listen(id, 1), m.guest(2, "Fay").listen(id, 1)}
	var feeds []*applauseReader
	for i := range 12 {
		feeds = append(feeds, m.guest(i%3, "Reader").applause(id))
	}
	for _, e := range ears {
		m.eventually("Ada is heard", func() bool { return e.hears(300) })
	}
	// What else takes the cores for a moment may cost a packet with reactions or without; what is wrong here costs them every time.
	for range 3 {
		_, before := lostWhile(ears, func() { time.Sleep(reactionsFor) })
		for _, f := range feeds {
			f.reset()
		}
		var a *applause
		began := time.Now()
		packets, lost := lostWhile(ears, func() { a = m.applaud(id, ears) })
		took := time.Since(began)
		var most, messages int64
		for i, f := range feeds {
			if n := f.most.Load(); i == 0 || n < most {
				most = n // what the one who saw least saw at once: the last two seconds
			}
			messages = max(messages, f.messages.Load())
		}
		perReader, busiest := float64(messages)/took.Seconds(), a.busiest()
		t.Logf("figure: %d reactions in %v (%d refused), %d of them in the busiest two seconds; %d of %d packets lost, %d in %v without; at most %.1f messages a second to a reader, up to %d reactions in one",
			a.sent(), took, a.refused.Load(), busiest, lost, packets, before, reactionsFor, perReader, most)
		if perReader > 5 {
			t.Errorf("%.1f messages a second to a reader: the sum is not sent a few times a second", perReader)
		}
		if float64(most) >= 0.75*float64(busiest) && lost <= before {
			return
		}
	}
	t.Error("no measurement reached the sum of two seconds at every reader, and the same loss as without")
}

// applause is how often people have reacted, and when.
type applause struct {
	began   time.Time
	refused atomic.Int64

	mu    sync.Mutex // guards what follows
	parts []int64    // of a tenth of a second each
}

func (a *applause) add(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	part := int(time.Since(a.began) / (time.Second / 10))
	for len(a.parts) <= part {
		a.parts = append(a.parts, 0)
	}
	a.parts[part] += int64(n)
}

func (a *applause) sent() (n int64) {
	for _, p := range a.parts {
		n += p
	}
	return n
}

// busiest is how many there were in any two seconds.
func (a *applause) busiest() (most int64) {
	for i := range a.parts {
		var n int64
		for _, p := range a.parts[i:min(len(a.parts), i+20)] {
			n += p
		}
		most = max(most, n)
	}
	return most
}

// applaud has everybody react until each ear has heard the room for reactionsFor: on each node its ear's packets set the pace.
func (m *testMesh) applaud(id string, ears []*ear) *applause {
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	a := &applause{began: time.Now()}
	var paced, others sync.WaitGroup
	for i, node := range m.nodes {
		paced.Go(func() {
			const packets = int(reactionsFor / rotunda.FrameDuration)
			done, from := 0, ears[i].count()
			for tick := time.NewTicker(10 * time.Millisecond); ; {
				select {
				case <-ctx.Done():
					m.t.Errorf("node %d: the sound does not go on", i)
					return
				case <-tick.C:
				}
				came := min(ears[i].count()-from, packets)
				want := came * reactionsASecond / int(time.Second/rotunda.FrameDuration) / len(m.nodes)
				for range want - done {
					(attendance{node.rooms}).React(rotunda.RoomID(id), "", "👏")
				}
				a.add(want - done)
				done = want
				if came == packets {
					tick.Stop()
					return
				}
			}
		})
	}
	for i := range reactionsByAPI {
		p := m.guest(i%3, "Guest")
		others.Go(func() {
			for ctx.Err() == nil {
				switch p.reacts(ctx, id) {
				case http.StatusAccepted:
					a.add(1)
				case http.StatusTooManyRequests:
					a.refused.Add(1)
				}
				select {
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond):
				}
			}
		})
	}
	paced.Wait()
	cancel()
	others.Wait()
	return a
}

// reacts reacts once and returns the status of the answer; 0: there was none.
func (p *person) reacts(ctx context.Context, id string) int {
	q, err := http.NewRequestWithContext(ctx, "POST", p.url+"/v1/rooms/"+id+"/reactions", strings.NewReader(`{"emoji":"👏"}`))
	if err != nil {
		return 0
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Authorization", "Bearer "+p.Token)
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0
	}
	a.Body.Close()
	return a.StatusCode
}

// lostWhile counts the packets that listeners should have had while something was done, and those of them that never came.
func lostWhile(ears []*ear, do func()) (packets, lost int) {
	var from []int
	for _, e := range ears {
		e.mu.Lock()
		from = append(from, len(e.seqs))
		e.mu.Unlock()
	}
	do()
	for i, e := range ears {
		e.mu.Lock()
		came := slices.Clone(e.seqs[from[i]:])
		e.mu.Unlock()
		if len(came) == 0 {
			return 0, int(^uint(0) >> 1)
		}
		distinct := map[uint16]bool{}
		var last uint16
		for _, seq := range came {
			distinct[seq] = true
			if since := seq - came[0]; since < 1<<15 && since > last {
				last = since
			}
		}
		packets += int(last) + 1
		lost += int(last) + 1 - len(distinct)
	}
	return packets, lost
}

// applauseReader follows a room, and counts what it is told of reactions.
type applauseReader struct {
	messages atomic.Int64
	most     atomic.Int64 // reactions in one message
}

func (a *applauseReader) reset() { a.messages.Store(0); a.most.Store(0) }

func (p *person) applause(id string) *applauseReader {
	p.m.t.Helper()
	a, feed := &applauseReader{}, p.follow(id)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		event := ""
		for {
			select {
			case <-stop:
				return
			case line := <-feed.lines:
				if name, ok := strings.CutPrefix(line, "event: "); ok {
					event = name
				}
				data, ok := strings.CutPrefix(line, "data: ")
				var s presence.Summary
				if !ok || event != "presence" || json.Unmarshal([]byte(data), &s) != nil {
					continue
				}
				a.messages.Add(1)
				a.most.Store(max(a.most.Load(), int64(s.Reactions["👏"])))
			}
		}
	}()
	p.m.t.Cleanup(func() { close(stop); <-done })
	return a
}
