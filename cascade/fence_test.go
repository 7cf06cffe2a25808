package cascade_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
)

// A room is kept in us and eu. A node of ap that holds to no rules asks for it all the same, at the origin and through a relay
// inside: it gets nothing, and that is counted. Those inside hear, and nothing of the room goes by way of ap, though it is
// the detour of any other room. A node that does not know the room's regions yet serves nobody, and then does.
func TestFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		fence := rotunda.Fence{"eu", "us"}
		var known atomic.Bool
		known.Store(true)
		for _, n := range []struct {
			region rotunda.Region
			id     rotunda.NodeID
		}{{"us", "us-1"}, {"us", "us-2"}, {"eu", "eu-1"}, {"eu", "eu-2"}, {"ap", "ap-1"}} {
			cfg := w.config(n.region, n.id)
			cfg.Fence = func(rotunda.RoomID) (rotunda.Fence, bool) { return fence, true }
			switch n.id {
			case "ap-1":
				cfg.Fence = func(rotunda.RoomID) (rotunda.Fence, bool) { return nil, true }
			case "us-2":
				cfg.Fence = func(rotunda.RoomID) (rotunda.Fence, bool) { return fence, known.Load() }
			}
			w.start(cfg)
		}
		defer w.close()
		w.settle(10 * time.Second)
		secret := rotunda.StreamID{Room: rotunda.FencedID("k3v9q7m2x4ab"), Track: rotunda.Program, Epoch: 1}
		sp := w.speak("us-1", secret)
		inside := []*heard{w.listen("us-2", secret, "us-1"), w.listen("eu-1", secret, "us-1"), w.listen("eu-2", secret, "us-1")}
		thief := w.listen("ap-1", secret, "us-1")
		var asked atomic.Int64
		for _, h := range inside {
			h.sub.OnAsk(func([]byte) []byte { asked.Add(1); return []byte("somebody") })
		}
		time.Sleep(20 * time.Second)
		if answer, _ := thief.sub.Ask(t.Context(), []byte("who is there")); len(answer) > 0 || asked.Load() > 0 {
			t.Errorf("the node outside asks who is there, and %d inside answer: %q", asked.Load(), answer)
		}
		if answer, _ := inside[0].sub.Ask(t.Context(), []byte("who is there")); string(answer) != "somebody" || asked.Load() != 3 {
			t.Errorf("a node inside asks who is there, and %d answer: %q", asked.Load(), answer)
		}
		if n := len(thief.now().count); n != 0 {
			t.Errorf("the node outside took %d frames", n)
		}
		for i, h := range inside {
			if n := len(h.now().count); n < 500 {
				t.Errorf("%d inside took %d frames", i, n)
			}
		}
		refused := 0.0
		for _, id := range []rotunda.NodeID{"us-1", "us-2", "eu-1", "eu-2"} {
			refused += w.nodes[id].value(t, `rotunda_cascade_dropped_total{reason="fenced"}`)
		}
		if refused < 1 {
			t.Error("the node outside was never refused")
		}
		for _, dir := range []string{"in", "out"} {
			if n := w.nodes["ap-1"].value(t, `rotunda_cascade_frames_total{direction="`+dir+`"}`); n != 0 {
				t.Errorf("%v frames %s at the node outside", n, dir)
			}
		}
		sp.end()

		known.Store(false)
		other := rotunda.StreamID{Room: rotunda.FencedID("another00000"), Track: rotunda.Program, Epoch: 1}
		sp = w.speak("us-2", other)
		late := w.listen("eu-1", other, "us-2")
		time.Sleep(5 * time.Second)
		if n := len(late.now().count); n != 0 {
			t.Errorf("%d frames of a room of which the regions are not known", n)
		}
		known.Store(true)
		time.Sleep(15 * time.Second)
		if n := len(late.now().count); n < 100 {
			t.Errorf("known, and %d frames", n)
		}
		sp.end()
	})
}
