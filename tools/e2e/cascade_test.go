package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rotunda/node/rtc"
)

// Twenty listeners on a node cost the node that mixes for them no more than one.
func TestOneCopyCrosses(t *testing.T) {
	mesh := startMesh(t)
	ada := newCaller(t, mesh.urls[0], "Ada")
	room := ada.room("Many ears")
	terminal(t, "speak", mesh.urls[0]+"/r/"+room, "--token", ada.Token, "--tone", "440", "--duration", "60s")
	until(t, "Ada has a microphone", func() bool { return mesh.series(t, 0, "rotunda_speakers") == 1 })

	var packets atomic.Int64
	join := func(n int) {
		for range n {
			bob := newCaller(t, mesh.urls[2], "Bob")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			p, err := rtc.DialPlayer(ctx, rtc.ClientConfig{URL: bob.url + "/v1/rooms/" + room + "/whep", Token: bob.Token},
				func(rtc.Received) { packets.Add(1) })
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				_ = p.Close(ctx)
			})
		}
	}
	const out = `rotunda_cascade_frames_total{direction="out"}`
	// rate counts what happens while the listeners get n packets each: a clock of its own, whatever the machine does.
	rate := func(listeners int) (framesPerPacket float64) {
		until(t, "the listeners get packets", func() bool { return packets.Load() > 0 })
		frames, got := mesh.series(t, 0, out), packets.Load()
		until(t, "five seconds of packets", func() bool { return packets.Load()-got >= int64(250*listeners) })
		return (mesh.series(t, 0, out) - frames) / (float64(packets.Load()-got) / float64(listeners))
	}
	join(1)
	one := rate(1)
	join(19)
	twenty := rate(20)
	t.Logf("frames that leave the home for each packet that a listener elsewhere gets: %.3f with one listener, %.3f with twenty", one, twenty)
	// Home speaks to two regions. To each goes one copy of the program, the second way of the other one (ADR 10), and one of the one
	// microphone, which the room's standby takes by two ways as well (ADR 14): four frames, however many listen.
	if one < 3.6 || one > 4.4 || twenty < 3.6 || twenty > 4.4 {
		t.Errorf("want 4 and 4, within a tenth")
	}
}

// A node is killed in the middle of a sentence. Those who neither speak nor listen there miss nothing, and decisions go on.
func TestABystanderIsKilled(t *testing.T) {
	mesh := startMesh(t)
	talk, _ := speech(t)
	ada := newCaller(t, mesh.urls[0], "Ada")
	room := ada.room("The show goes on")
	out := filepath.Join(t.TempDir(), "heard.opus")
	listen := terminal(t, "listen", mesh.urls[2]+"/r/"+room, "--out", out, "--json", "--duration", "16s")
	until(t, "the listener is there", func() bool { return mesh.series(t, 2, "rotunda_listeners") == 1 })
	speak := terminal(t, "speak", mesh.urls[0]+"/r/"+room, "--token", ada.Token, "--file", talk)
	until(t, "speech crosses", func() bool { return mesh.series(t, 0, `rotunda_cascade_frames_total{direction="out"}`) > 100 })

	mesh.kill(t, 1)
	until(t, "rotunda up says so", func() bool {
		return strings.Contains(mesh.output.String(), "eu-west-1") && strings.Contains(mesh.output.tail(4000), "killed")
	})

	speak.wait(60 * time.Second)
	var h listened
	if err := json.Unmarshal([]byte(listen.wait(60*time.Second)), &h); err != nil {
		t.Fatal(err)
	}
	if h.Missing != 0 || h.Expected < 400 {
		t.Errorf("%d of %d packets are missing", h.Missing, h.Expected)
	}
	if info, err := os.Stat(out); err != nil || info.Size() < 10_000 {
		t.Errorf("what was heard: %v %v", info, err)
	}
	until(t, "the two that are left decide on", func() bool {
		status, _ := newCaller(t, mesh.urls[2], "Cyd").ask("POST", "/v1/rooms", "application/json", `{"title":"After"}`)
		return status == 201
	})
	until(t, "the others know", func() bool { return mesh.series(t, 0, `rotunda_members{region="eu-west",state="alive"}`) == 0 })
}
