package rtc

import (
	"context"
	"net"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"

	"rotunda"
	"rotunda/metrics"
	"rotunda/node/edge"
)

// deafNet is a network on which, once told so, nothing is read any more: the kernel does a listener's part of the work and
// the listener does not, so that a benchmark in one process measures the server.
type deafNet struct {
	*stdnet.Net
	deaf atomic.Bool
}

func (d *deafNet) ListenUDP(network string, at *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := d.Net.ListenUDP(network, at)
	if err != nil {
		return nil, err
	}
	return &deafConn{UDPConn: conn, net: d, closed: make(chan struct{})}, nil
}

type deafConn struct {
	transport.UDPConn
	net    *deafNet
	closed chan struct{} // closed by Close, which pion calls once
}

func (c *deafConn) ReadFrom(b []byte) (int, net.Addr, error) {
	if c.net.deaf.Load() {
		<-c.closed
		return 0, nil, net.ErrClosed
	}
	return c.UDPConn.ReadFrom(b)
}

func (c *deafConn) Close() error {
	close(c.closed)
	return c.UDPConn.Close()
}

// BenchmarkFanOut is the cost of one packet to one listener, from Send to the kernel: the caller's part, the hand-over to
// the session's writer, SRTP and the system call. An operation is one packet to
// each of 100 listeners.
func BenchmarkFanOut(b *testing.B) {
	const listeners = 100
	m := metrics.New("bench", "none")
	s, _ := loopback(b, m)
	e := serve(b, s.Play)
	system, err := stdnet.NewNet()
	if err != nil {
		b.Fatal(err)
	}
	network := &deafNet{Net: system}
	players := make(chan *Player, listeners)
	for range listeners {
		go func() {
			p, err := DialPlayer(b.Context(), ClientConfig{URL: e.URL, network: network}, func(Received) {})
			if err != nil {
				b.Error(err)
			}
			players <- p
		}()
	}
	var sessions []*Session
	for range listeners {
		sessions = append(sessions, await(b, e.sessions, "session"))
		await(b, sessions[len(sessions)-1].Connected(), "connection")
		if p := await(b, players, "player"); p != nil {
			defer p.Close(context.Background())
		}
	}
	network.deaf.Store(true)
	p := edge.Packet{Sources: rotunda.SourcesOf(1, 2, 3), Payload: make([]byte, 80)}
	b.ReportAllocs()
	rounds := 0
	for b.Loop() {
		rounds++
		p.Sequence++
		p.Timestamp += rotunda.FrameTicks
		for _, session := range sessions {
			session.Send(0, &p)
		}
		for _, session := range sessions { // until the writers are through: no packet is dropped, and all work is counted
			for session.waiting() {
				runtime.Gosched()
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rounds*listeners), "ns/packet")
}

// waiting reports whether packets are in the queue.
func (n *Session) waiting() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.queue.n > 0
}

// BenchmarkSend is the caller's part alone.
func BenchmarkSend(b *testing.B) {
	n := deaf(metrics.Discard())
	p := edge.Packet{Sources: rotunda.SourcesOf(1, 2, 3), Payload: make([]byte, 80)}
	b.ReportAllocs()
	for b.Loop() {
		n.Send(0, &p)
	}
}
