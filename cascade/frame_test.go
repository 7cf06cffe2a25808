package cascade

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"rotunda"
	"rotunda/cascade/gossip"
	"rotunda/cascade/nodecert/certtest"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
	"rotunda/metrics"
)

// relaying makes a mesh with a link, so to speak, to an origin that sends under alias 1, and one taker here.
func relaying(t testing.TB, take func(*rotunda.Frame)) (*Mesh, portHandler) {
	t.Helper()
	ca := certtest.NewCA()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(Config{
		Self: rotunda.Member{ID: "a", Region: "eu"}, Certificate: ca.Node("eu", "a"), Roots: ca.Roots(), Conn: conn,
		Gossip: gossip.Config{Listen: "127.0.0.1:0"}, Metrics: metrics.New("", ""), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	id := rotunda.StreamID{Room: "r", Track: rotunda.Program}
	if _, err := m.Subscribe(id, "o", take); err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	m.do(m.core.LinkUp(1, "o"))
	_, actions := m.core.Want(relay.Key{Stream: id, Origin: "o"}, []rotunda.NodeID{"o"}, nil)
	m.do(actions)
	m.mu.Unlock()
	t.Cleanup(func() { // a mesh that ran closes its sockets
		ctx, stop := context.WithCancel(context.Background())
		stop()
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return m, portHandler{m, 1}
}

// From the link's parser to the sink nothing is allocated, for frames that are dropped neither; and what is dropped is
// dropped quietly.
func TestFrameFromLinkAllocatesNothing(t *testing.T) {
	n := 0
	_, h := relaying(t, func(*rotunda.Frame) { n++ })
	f := rotunda.Frame{Payload: make([]byte, 100)}
	buf := make([]byte, 0, wire.DatagramMax)
	var got rotunda.Frame
	if allocs := testing.AllocsPerRun(1000, func() {
		f.Seq++
		_, rest, err := wire.ParseDatagram(wire.AppendFrame(wire.AppendFramesHeader(buf), 1, &f))
		if err != nil {
			t.Fatal(err)
		}
		a, _, err := wire.ParseFrame(rest, &got)
		if err != nil {
			t.Fatal(err)
		}
		h.Frame(a, &got)
		h.Frame(a, &got)              // a duplicate
		h.Frame(wire.Alias(99), &got) // nobody asked for it
	}); allocs != 0 {
		t.Errorf("%v allocations per frame, want none", allocs)
	}
	if n != int(f.Seq) {
		t.Errorf("%d frames taken, want %d", n, f.Seq)
	}
}

// One hop inside a node: parse, look up, hand to one taker.
func BenchmarkHop(b *testing.B) {
	_, h := relaying(b, func(*rotunda.Frame) {})
	f := rotunda.Frame{Payload: make([]byte, 100)}
	buf := make([]byte, 0, wire.DatagramMax)
	var got rotunda.Frame
	b.ReportAllocs()
	for b.Loop() {
		f.Seq++
		_, rest, _ := wire.ParseDatagram(wire.AppendFrame(wire.AppendFramesHeader(buf), 1, &f))
		a, _, _ := wire.ParseFrame(rest, &got)
		h.Frame(a, &got)
	}
}
