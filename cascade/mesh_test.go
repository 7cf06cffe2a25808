package cascade_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/cascade/plan"
)

var program = rotunda.StreamID{Room: "k3v9", Track: rotunda.Program, Epoch: 1}

const framesOut = `rotunda_cascade_frames_total{direction="out"}`

// Three regions, eight nodes, 80 ms and 5 % loss between regions. Bounds: every subscriber takes each frame at most once;
// at least 91 % of them (one lossy hop, no repair yet: 95 % expected), all within 250 ms and the middle one within 60; and of
// each frame exactly one copy crosses to each region.
//
// A link that does not know yet that it loses packets takes three in a row for its peer's death (link.suspectTicks), once, and one in
// twenty does; then its streams go round by the third region for 10 to 15 s. That is meant, and it was to be seen in one run of
// twelve, but it is not what is measured here: 20 s are, in which each stream came by the way that is planned. Links learn, once in 8 s
// on average, so calm ones follow: six spans in a row without need an alarm in each third of two minutes, which has less than one
// chance in a million.
func TestFramesArriveOnceAndCrossOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.loss = 0.05
		w.add("us", 2)
		w.add("eu", 4)
		w.add("ap", 2)
		defer w.close()
		w.settle(10 * time.Second)
		sp := w.speak("us-1", program)
		ears := map[rotunda.NodeID]*heard{}
		for _, id := range w.order {
			ears[id] = w.listen(id, program, "us-1")
			w.listen(id, program, "us-1") // a second one costs nothing
		}
		time.Sleep(15 * time.Second) // paths found, and moved to the relay where a node was early
		calm, spans := false, 0
		for ; !calm && spans < 6; spans++ {
			before, first := w.nodes["us-1"].value(t, framesOut), int(sp.seq.Load())
			for _, h := range ears {
				h.reset()
			}
			calm = w.planned()
			for range 20 {
				time.Sleep(time.Second)
				calm = w.planned() && calm
			}
			if calm {
				w.crossedOnce(ears, int(sp.seq.Load())-first, w.nodes["us-1"].value(t, framesOut)-before)
			}
			for id, h := range ears {
				for seq, n := range h.now().count {
					if n != 1 {
						t.Errorf("%s took frame %d %d times", id, seq, n)
					}
				}
			}
		}
		t.Logf("the ways were as planned, calm %t, in span %d", calm, spans)
		if !calm {
			t.Errorf("in none of %d spans of 20 s the ways were as planned throughout", spans)
		}
		sp.end()
		for _, h := range ears {
			h.sub.Close()
		}
	})
}

// planned reports whether the program of us-1 comes to us-2 and one node of each other region from us-1 itself, and to the others from
// those.
func (w *world) planned() bool {
	direct := map[rotunda.NodeID]bool{}
	var others []rotunda.NodeID
	for _, id := range w.order[1:] {
		carried := w.nodes[id].Trace(program.Room)
		if len(carried) != 1 || len(carried[0].Ways) != 1 {
			return false
		}
		switch way := carried[0].Ways[0].Path; len(way) {
		case 1:
			direct[id] = true
		case 2:
			others = append(others, way[0])
		default:
			return false
		}
	}
	return len(direct) == 3 && direct["us-2"] && len(others) == 4 && !slices.ContainsFunc(others, func(id rotunda.NodeID) bool { return !direct[id] })
}

// crossedOnce checks what was heard of so many frames, of which the origin sent so many.
func (w *world) crossedOnce(ears map[rotunda.NodeID]*heard, frames int, sent float64) {
	w.t.Helper()
	if copies := sent / float64(frames); copies < 2.97 || copies > 3.03 {
		w.t.Errorf("us-1 sent %.2f copies of each frame, want 3: one to us-2, one to eu, one to ap", copies)
	}
	for _, id := range w.order {
		got := ears[id].now()
		n := len(got.count)
		if n == 0 {
			w.t.Errorf("%s took nothing", id)
			continue
		}
		p50, p99, worst := got.ages[n/2], got.ages[n*99/100], got.ages[n-1]
		w.t.Logf("%s: %d of %d frames, age p50 %v p99 %v max %v, longest gap %v", id, n, frames, p50, p99, worst, got.longest)
		if n < frames*91/100 {
			w.t.Errorf("%s took %d of %d frames, want 91 %%", id, n, frames)
		}
		if p50 > 60*time.Millisecond || worst > 250*time.Millisecond {
			w.t.Errorf("%s: age p50 %v, max %v; want at most 60 ms, 250 ms", id, p50, worst)
		}
	}
}

// When the region's relay crashes its subscribers have the stream again within 1.5 s: 0.5 s until the silence is noticed,
// two and a half round trips (0.2 s) for the next link and the subscription, and two time-outs of a handshake packet that
// is lost. 0.6 s is usual.
func TestRelayCrash(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			w.add("us", 1)
			w.add("eu", 3)
			defer w.close()
			w.settle(10 * time.Second)
			relay := plan.Relay(plan.Request{Members: w.nodes["us-1"].Members(), Room: program.Room}, "eu")
			sp := w.speak("us-1", program)
			ears := map[rotunda.NodeID]*heard{}
			for _, id := range w.order[1:] {
				if id != relay {
					ears[id] = w.listen(id, program, "us-1")
				}
			}
			time.Sleep(8 * time.Second)
			if n := w.nodes[relay].value(t, `rotunda_cascade_subscriptions{direction="out"}`); n != 2 {
				t.Errorf("relay %s serves %v subscriptions, want 2", relay, n)
			}
			for _, h := range ears {
				h.reset()
			}
			w.lose(0.05) // from here on, for a lossy link may be taken for a dead one before
			w.crash(relay)
			time.Sleep(5 * time.Second)
			for id, h := range ears {
				got := h.now()
				t.Logf("seed %d: %s without %s: silent for %v, then %d frames", seed, id, relay, got.longest, len(got.count))
				if got.longest > 1500*time.Millisecond || time.Since(got.last) > 200*time.Millisecond {
					t.Errorf("%s: silent for %v, last frame %v ago; want back within 1.5 s", id, got.longest, time.Since(got.last))
				}
			}
			sp.end()
		})
	}
}

// Who asks is told when the last way breaks and when there is one again, and nothing in a pause.
func TestOnPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.add("us", 1)
		w.add("eu", 1)
		defer w.close()
		w.settle(10 * time.Second)
		h := w.listen("eu-1", program, "us-1")
		told := make(chan bool, 8)
		h.sub.OnPath(func(working bool) { told <- working })
		want := func(what string, want bool, within time.Duration) {
			t.Helper()
			start := time.Now()
			select {
			case got := <-told:
				if got != want {
					t.Fatalf("%s: told %t, want %t", what, got, want)
				}
				t.Logf("%s: %t after %v", what, got, time.Since(start))
			case <-time.After(within):
				t.Fatalf("%s: told nothing in %v, want %t", what, within, want)
			}
		}
		want("at once", false, time.Millisecond)
		sp := w.speak("us-1", program)
		want("first frame", true, 10*time.Second)
		sp.end()
		select {
		case got := <-told:
			t.Fatalf("in a pause: told %t", got)
		case <-time.After(10 * time.Second):
		}
		w.crash("us-1")
		want("origin crashed", false, 160*time.Millisecond) // 40 under way, 100 of silence, a tick
		w.revive("us-1")
		sp = w.speak("us-1", program)
		want("origin back", true, time.Minute)
		sp.end()
	})
}

// A stream is pulled only while somebody takes it, and published only while somebody wants it.
func TestReleasedWhenNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.add("us", 1)
		w.add("eu", 2)
		defer w.close()
		early := w.listen("eu-1", program, "us-1") // before there is a member or a publication
		w.settle(10 * time.Second)
		time.Sleep(6 * time.Second)
		sp := w.speak("us-1", program)
		if !sp.pub.Wanted() {
			t.Error("published, not wanted; there is a subscriber")
		}
		other := w.listen("eu-2", program, "us-1")
		time.Sleep(2 * time.Second)
		if a, b := len(early.now().count), len(other.now().count); a < 90 || b < 80 {
			t.Errorf("took %d and %d frames of 100", a, b)
		}
		early.sub.Close()
		early.sub.Close()
		time.Sleep(time.Second)
		if !sp.pub.Wanted() {
			t.Error("not wanted, though one subscriber is left")
		}
		before := len(other.now().count)
		time.Sleep(time.Second)
		if got := len(other.now().count) - before; got < 49 {
			t.Errorf("the one left takes %d frames a second, want 50", got)
		}
		other.sub.Close()
		time.Sleep(200 * time.Millisecond) // one way through the relay, and some
		if sp.pub.Wanted() {
			t.Error("wanted, though nobody is left")
		}
		select {
		case <-sp.pub.WantedChanged():
		default:
			t.Error("no token for the change")
		}
		time.Sleep(2 * time.Second)
		sent := w.nodes["us-1"].value(t, framesOut)
		time.Sleep(2 * time.Second)
		if now := w.nodes["us-1"].value(t, framesOut); now != sent {
			t.Errorf("%v frames sent with nobody there", now-sent)
		}
		for _, id := range w.order {
			for _, dir := range []string{"in", "out"} {
				if n := w.nodes[id].value(t, `rotunda_cascade_subscriptions{direction="`+dir+`"}`); n != 0 {
					t.Errorf("%s holds %v subscriptions %s", id, n, dir)
				}
			}
		}
		sp.end()
	})
}
