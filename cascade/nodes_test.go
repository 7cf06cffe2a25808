package cascade_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rotunda"
	"rotunda/cascade"
	"rotunda/cascade/gossip"
	"rotunda/cascade/nodecert/certtest"
	"rotunda/cascade/plan"
	"rotunda/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Both ends pull a stream from the other at the same instant, so both dial: one link stays, and both streams come.
func TestBothDialAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.add("us", 1)
		w.add("eu", 1)
		defer w.close()
		w.settle(10 * time.Second)
		a, b := w.speak("us-1", program), w.speak("eu-1", program)
		atA, atB := w.listen("us-1", program, "eu-1"), w.listen("eu-1", program, "us-1")
		time.Sleep(2 * time.Second)
		atA.reset()
		atB.reset()
		time.Sleep(10 * time.Second)
		a.end()
		b.end()
		for name, h := range map[string]*heard{"us-1": atA, "eu-1": atB} {
			if got := h.now(); len(got.count) < 495 || got.longest > 30*time.Millisecond {
				t.Errorf("%s took %d of 500 frames, longest gap %v", name, len(got.count), got.longest)
			}
		}
	})
}

// A node that crashes is suspect, then dead; one that stops has left; a crashed origin's subscribers have the stream again
// when it is back, and a graceful stop of a relay costs its subscribers less than 300 ms.
func TestNodesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		w.add("us", 2)
		w.add("eu", 3)
		defer w.close()
		w.settle(10 * time.Second)
		relay := plan.Relay(plan.Request{Members: w.nodes["us-1"].Members(), Room: program.Room}, "eu")
		var edge rotunda.NodeID = "eu-1"
		if relay == edge {
			edge = "eu-2"
		}
		sp := w.speak("us-1", program)
		h := w.listen(edge, program, "us-1")
		time.Sleep(5 * time.Second)
		h.reset()
		w.nodes[relay].stop()
		time.Sleep(5 * time.Second)
		if got := h.now(); got.longest > 300*time.Millisecond || len(got.count) < 240 {
			t.Errorf("relay stopped: %d frames of 250, longest gap %v; want at most 300 ms", len(got.count), got.longest)
		}
		if s := w.state(edge, relay); s != rotunda.Left {
			t.Errorf("the relay that stopped is %s, want left", s)
		}
		w.crash("us-1")
		suspect := time.Now()
		for w.state(edge, "us-1") == rotunda.Alive && time.Since(suspect) < 20*time.Second {
			time.Sleep(100 * time.Millisecond)
		}
		if s := w.state(edge, "us-1"); s != rotunda.Suspect && s != rotunda.Dead {
			t.Errorf("crashed origin is %s", s)
		}
		time.Sleep(25 * time.Second) // a round of probes, and what a suspect has to object
		if s := w.state(edge, "us-1"); s != rotunda.Dead {
			t.Errorf("crashed origin is %s after 25 s, want dead", s)
		}
		w.revive("us-1")
		h.reset()
		back := time.Now()
		for len(h.now().count) == 0 && time.Since(back) < time.Minute {
			time.Sleep(100 * time.Millisecond)
		}
		t.Logf("origin back: frames again after %v", time.Since(back))
		if since := time.Since(back); since > 45*time.Second { // gossip's next word to the dead
			t.Errorf("origin back: frames after %v, want within 45 s", since)
		}
		sp.end()
	})
}

func (w *world) state(at, of rotunda.NodeID) rotunda.MemberState {
	synctest.Wait()
	for _, m := range w.nodes[at].Members() {
		if m.ID == of {
			return m.State
		}
	}
	return ""
}

func (w *world) revive(id rotunda.NodeID) {
	w.mu.Lock()
	delete(w.dead, w.nodes[id].ip)
	w.mu.Unlock()
}

// Emulated delays: 60 ms one way between nodes that are 1 ms apart.
func TestEmulatedDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		for _, id := range []rotunda.NodeID{"us-1", "eu-1"} {
			region := rotunda.Region(id[:2])
			cfg := w.config("here", id)
			cfg.Self.Region, cfg.Certificate = region, w.ca.Node(region, id)
			cfg.Delay = func(to rotunda.Region) time.Duration {
				if to == region {
					return 0
				}
				return 60 * time.Millisecond
			}
			w.start(cfg)
		}
		defer w.close()
		w.settle(10 * time.Second)
		sp := w.speak("us-1", program)
		h := w.listen("eu-1", program, "us-1")
		time.Sleep(2 * time.Second)
		h.reset()
		time.Sleep(10 * time.Second)
		sp.end()
		ages := h.now().ages
		if n := len(ages); n < 490 || ages[0] != 61*time.Millisecond || ages[n-1] > 63*time.Millisecond {
			t.Errorf("%d frames, aged %v; want 500 of 61 ms", n, ages)
		}
		rtt := w.nodes["eu-1"].value(t, `rotunda_cascade_link_rtt_seconds{peer_region="us"}`)
		if rtt < .12 || rtt > .16 {
			t.Errorf("round trip %v s, want 0.122 and what acknowledgements wait", rtt)
		}
		if n := w.nodes["eu-1"].value(t, `rotunda_members{region="us",state="alive"}`); n != 1 {
			t.Errorf("%v members alive in us, want 1", n)
		}
	})
}

// loopback is a node on real sockets.
func loopback(t testing.TB, ca *certtest.CA, region rotunda.Region, id rotunda.NodeID, seeds ...string) *cascade.Mesh {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m, err := cascade.New(cascade.Config{
		Self: rotunda.Member{ID: id, Region: region}, Certificate: ca.Node(region, id), Roots: ca.Roots(), Conn: conn,
		Gossip:  gossip.Config{Listen: "127.0.0.1:0", Label: "test", Keys: [][]byte{make([]byte, 16)}, Seeds: seeds},
		Metrics: metrics.New("", ""), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return m
}

func address(m *cascade.Mesh, id rotunda.NodeID) string {
	for _, n := range m.Members() {
		if n.ID == id {
			return n.Addresses.Gossip
		}
	}
	return ""
}

// Real sockets: a frame of another node arrives, with all its fields; garbage on the port in between does not matter.
func TestRealSockets(t *testing.T) {
	ca := certtest.NewCA()
	a := loopback(t, ca, "us", "a")
	b := loopback(t, ca, "eu", "b", address(a, "a"))
	pub, err := a.Publish(program)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Publish(program); !errors.Is(err, cascade.ErrPublished) {
		t.Errorf("published twice: %v, want ErrPublished", err)
	}
	got := make(chan rotunda.Frame, 100)
	sub, err := b.Subscribe(program, "a", func(f *rotunda.Frame) {
		c := *f
		c.Payload = slices.Clone(f.Payload)
		got <- c
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-pub.WantedChanged():
	case <-time.After(20 * time.Second):
		t.Fatal("nobody wants the stream")
	}
	for _, n := range a.Members() {
		c, err := net.Dial("udp", n.Addresses.Cascade)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			c.Write(slices.Repeat([]byte{byte(i * 37)}, 1+i*12))
		}
		c.Close()
	}
	want := rotunda.Frame{Seq: 3, Timestamp: 960, Origin: 7, Level: 30, Sources: rotunda.SourcesOf(1, 2), Payload: []byte("opus")}
	pub.Write(&want)
	select {
	case f := <-got:
		if f.Hops != 1 || string(f.Payload) != "opus" || f.Sources != want.Sources || f.Seq != 3 || f.Timestamp != 960 || f.Origin != 7 || f.Level != 30 {
			t.Errorf("frame %+v, want %+v after one hop", f, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no frame")
	}
	pub.Write(&rotunda.Frame{})                                            // nothing to say: dropped
	pub.Write(&rotunda.Frame{Payload: make([]byte, rotunda.PayloadMax+1)}) // too much
	for _, bad := range []rotunda.StreamID{{}, {Room: "r", Track: "video"}} {
		if _, err := a.Publish(bad); !errors.Is(err, rotunda.ErrBadID) {
			t.Errorf("publish %v: %v, want ErrBadID", bad, err)
		}
		if _, err := a.Subscribe(bad, "b", nil); !errors.Is(err, rotunda.ErrBadID) {
			t.Errorf("subscribe %v: %v, want ErrBadID", bad, err)
		}
	}
	sub.Close()
	pub.Close()
	pub.Close()
	pub.Write(&want)
}

func TestLocalTakersGetFramesDirectly(t *testing.T) {
	a := loopback(t, certtest.NewCA(), "us", "a")
	var n atomic.Int64
	subs := make([]*cascade.Subscription, 3)
	for i := range subs {
		var err error
		if subs[i], err = a.Subscribe(program, "a", func(f *rotunda.Frame) { n.Add(1) }); err != nil {
			t.Fatal(err)
		}
	}
	pub, err := a.Publish(program)
	if err != nil {
		t.Fatal(err)
	}
	f := &rotunda.Frame{Payload: make([]byte, 100)}
	pub.Write(f)
	if n.Load() != 3 {
		t.Errorf("%d calls, want 3", n.Load())
	}
	if allocs := testing.AllocsPerRun(1000, func() { f.Seq++; pub.Write(f) }); allocs != 0 {
		t.Errorf("%v allocations per frame, want none", allocs)
	}
	for i, s := range subs {
		s.Close()
		n.Store(0)
		pub.Write(f)
		if int(n.Load()) != 2-i {
			t.Errorf("%d calls after %d closed", n.Load(), i+1)
		}
	}
	if pub.Wanted() {
		t.Error("wanted by nobody")
	}
}

func TestNewRefuses(t *testing.T) {
	ca := certtest.NewCA()
	for name, change := range map[string]func(*cascade.Config){
		"another node's certificate": func(c *cascade.Config) { c.Certificate = ca.Node("eu", "b") },
		"a stranger's certificate":   func(c *cascade.Config) { c.Certificate = certtest.NewCA().Node("eu", "a") },
		"no roots":                   func(c *cascade.Config) { c.Roots = nil },
		"a bad gossip key":           func(c *cascade.Config) { c.Gossip.Keys = [][]byte{{1, 2, 3}} },
	} {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		cfg := cascade.Config{
			Self: rotunda.Member{ID: "a", Region: "eu"}, Certificate: ca.Node("eu", "a"), Roots: ca.Roots(), Conn: conn,
			Gossip: gossip.Config{Listen: "127.0.0.1:0"},
		}
		change(&cfg)
		if _, err := cascade.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
		conn.Close()
	}
}

// What one frame costs the publisher for each peer it goes to is in package link; this is the way to n takers here.
func BenchmarkWrite(b *testing.B) {
	for _, takers := range []int{1, 10} {
		b.Run(fmt.Sprintf("takers=%d", takers), func(b *testing.B) {
			a := loopback(b, certtest.NewCA(), "us", "a")
			for range takers {
				if _, err := a.Subscribe(program, "a", func(*rotunda.Frame) {}); err != nil {
					b.Fatal(err)
				}
			}
			pub, err := a.Publish(program)
			if err != nil {
				b.Fatal(err)
			}
			f := &rotunda.Frame{Payload: make([]byte, 100)}
			b.ReportAllocs()
			for b.Loop() {
				f.Seq++
				pub.Write(f)
			}
		})
	}
}
