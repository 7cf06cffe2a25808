package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rotunda/node/rtc"
)

// joinAtLeaderMax is how long somebody may wait for a room at a node that has never loaded it when the log's leader hangs from
// that moment on: an election takes one to two seconds, and a question that the old leader has is asked again after one.
const joinAtLeaderMax = 4 * time.Second

// TestJoinsWhileTheLogsLeaderHangs: each of the three nodes that keep the log hangs in turn, so one of them is the leader. At that
// moment somebody wants to hear a room at a node that keeps the log, somebody at one that does not, and neither node has loaded
// the room before. Both are let in as soon as there is another leader, and nobody else waits.
func TestJoinsWhileTheLogsLeaderHangs(t *testing.T) { trials(t, joinsWhileTheLeaderHangs) }

func joinsWhileTheLeaderHangs(t *testing.T, r *trial) {
	mesh := startMeshOf(t, builtBinary(t), append(slices.Clone(regions), "sa-east"))
	longest := time.Duration(0)
	for hangs := range 3 {
		home, joiners := (hangs+1)%3, []int{(hangs + 2) % 3, 3}
		host := newCaller(t, mesh.urls[home], "Ada")
		var callers []*caller
		var rooms []string
		for _, j := range joiners {
			callers = append(callers, newCaller(t, mesh.urls[j], "Bob"))
			rooms = append(rooms, host.roomAwayFrom(mesh.ids[j]))
			terminal(t, "speak", mesh.urls[home]+"/r/"+rooms[len(rooms)-1], "--token", host.Token, "--tone", "440", "--duration", "40s", "--keep")
		}
		for _, room := range rooms {
			until(t, "the host speaks", func() bool { p, _ := host.member(room, host.User); return p.Live && !p.Muted })
		}
		resume := mesh.pause(t, hangs)
		var joining sync.WaitGroup
		waited := make([]time.Duration, len(joiners))
		for i, c := range callers {
			joining.Go(func() { waited[i] = c.hearsSoon(rooms[i]) })
		}
		joining.Wait()
		resume()
		for i, d := range waited {
			longest = max(longest, d)
			t.Logf("%s hangs: heard at %s after %v", mesh.ids[hangs], mesh.ids[joiners[i]], d.Round(time.Millisecond))
		}
		for i := range mesh.urls {
			newCaller(t, mesh.urls[i], "Opa").roomSoon("The log is whole again")
		}
	}
	r.within("join_while_log_leader_hangs", longest, joinAtLeaderMax)
}

// roomAwayFrom opens rooms at c's node until one has its standby at another node than the given one, which so has not loaded it.
func (c *caller) roomAwayFrom(node string) string {
	c.t.Helper()
	for range 40 {
		room := c.room("Away from " + node)
		standby := ""
		until(c.t, "somebody stands by", func() bool { _, standby = c.placed(room); return standby != "" })
		if standby != node {
			return room
		}
		c.call("POST", "/v1/rooms/"+room+"/end", "", 200, nil)
	}
	c.t.Fatalf("%s stands by in all rooms", node)
	return ""
}

// roomSoon opens a room as soon as the log takes it.
func (c *caller) roomSoon(title string) {
	c.t.Helper()
	until(c.t, title, func() bool {
		status, _ := c.ask("POST", "/v1/rooms", "application/json", fmt.Sprintf(`{"title":%q}`, title))
		return status == 201
	})
}

// hearsSoon asks for a room at c's node again and again until somebody is heard there, and answers how long that took; it gives up
// after half a minute.
func (c *caller) hearsSoon(room string) time.Duration {
	start := time.Now()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	heard := make(chan struct{})
	var first atomic.Bool
	for ctx.Err() == nil {
		p, err := rtc.DialPlayer(ctx, rtc.ClientConfig{URL: c.url + "/v1/rooms/" + room + "/whep", Token: c.Token}, func(r rtc.Received) {
			if r.Sources.Len() > 0 && first.CompareAndSwap(false, true) {
				close(heard)
			}
		})
		if err != nil {
			time.Sleep(50 * time.Millisecond) // as somebody who tries again at once; the answer decides, not the pause
			continue
		}
		select {
		case <-heard:
		case <-ctx.Done():
		}
		took := time.Since(start)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_ = p.Close(ctx) // the node may go on without it
		cancel()
		return took
	}
	return time.Since(start)
}
