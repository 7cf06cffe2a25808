package e2e

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"rotunda/node/rtc"
)

// homeGapMax is how long a voice may be away when the node that mixes the room dies (goals.md).
const homeGapMax = 500 * time.Millisecond

// voiceMeter measures how long a voice that goes on all the time does not come.
type voiceMeter struct {
	mu      sync.Mutex // guards what follows
	last    time.Time  // when a packet came that names a speaker
	longest time.Duration
	packets int
}

func (v *voiceMeter) take(r rtc.Received) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.Sources.Len() == 0 {
		return
	}
	now := time.Now()
	if !v.last.IsZero() {
		v.longest = max(v.longest, now.Sub(v.last))
	}
	v.last = now
	v.packets++
}

// reset begins a measurement; gap is the longest time without the voice since, the present one included.
func (v *voiceMeter) reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.longest, v.packets = 0, 0
}

func (v *voiceMeter) gap() (longest time.Duration, packets int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return max(v.longest, time.Since(v.last)), v.packets
}

// hear listens to a room at c's node.
func (c *caller) hear(room string) *voiceMeter {
	c.t.Helper()
	v := &voiceMeter{}
	c.playTo(room, v.take)
	return v
}

// playTo gives take each packet that comes from c's node, until the test ends.
func (c *caller) playTo(room string, take func(rtc.Received)) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	p, err := rtc.DialPlayer(ctx, rtc.ClientConfig{URL: c.url + "/v1/rooms/" + room + "/whep", Token: c.Token}, take)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
}

// placed is where a room is mixed and who stands by, as c's node has it.
func (c *caller) placed(room string) (home, standby string) {
	var list struct {
		Items []struct{ ID, Home, Standby string } `json:"rooms"`
	}
	c.call("GET", "/v1/rooms", "", http.StatusOK, &list)
	for _, r := range list.Items {
		if r.ID == room {
			return r.Home, r.Standby
		}
	}
	return "", ""
}

// TestHomeDies: the node that mixes the room is killed, or stands still and goes on, while somebody speaks at a second node and
// is heard at a third. The program is back within half a second, and stays.
func TestHomeDies(t *testing.T) {
	t.Run("killed", func(t *testing.T) { trials(t, func(t *testing.T, r *trial) { homeDies(t, r, "killed") }) })
	t.Run("stopped", func(t *testing.T) { trials(t, func(t *testing.T, r *trial) { homeDies(t, r, "stopped") }) })
}

func homeDies(t *testing.T, r *trial, how string) {
	mesh := startMesh(t)
	ada, bob, cyd := newCaller(t, mesh.urls[0], "Ada"), newCaller(t, mesh.urls[1], "Bob"), newCaller(t, mesh.urls[2], "Cyd")
	room := ada.room("Half a second")
	bob.stage(ada, room)
	terminal(t, "speak", mesh.urls[1]+"/r/"+room, "--token", bob.Token, "--tone", "440", "--duration", "120s")
	heard := cyd.hear(room)
	until(t, "Cyd hears Bob, and somebody stands by", func() bool {
		home, standby := cyd.placed(room)
		_, packets := heard.gap()
		return packets > 150 && home == regions[0]+"-1" && standby != ""
	})
	heard.reset()
	until(t, "a second of the voice", func() bool { _, packets := heard.gap(); return packets > 50 })
	calm, _ := heard.gap()

	heard.reset()
	resume := func() {}
	if how == "killed" {
		mesh.kill(t, 0)
	} else {
		resume = mesh.pause(t, 0)
	}
	until(t, "two seconds of the voice", func() bool { _, packets := heard.gap(); return packets > 100 })
	gap, _ := heard.gap()
	t.Logf("without: %v", calm.Round(time.Millisecond))
	r.within("home_"+how+"_gap", gap, homeGapMax)
	until(t, "the log knows", func() bool { home, _ := cyd.placed(room); return home != regions[0]+"-1" })
	if how == "killed" {
		return
	}
	heard.reset()
	resume()
	until(t, "the old home is back", func() bool { home, _ := ada.placed(room); return home != regions[0]+"-1" })
	until(t, "two seconds of the voice", func() bool { _, packets := heard.gap(); return packets > 100 })
	gap, _ = heard.gap()
	r.within("home_continues_gap", gap, homeGapMax)
	if home, _ := cyd.placed(room); home == regions[0]+"-1" {
		t.Errorf("the old home is home again")
	}
}
