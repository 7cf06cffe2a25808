package cascade

import (
	"container/heap"
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"rotunda/cascade/gossip"
)

// delayQueueMax is how many packets are under way at most in an emulated delay; more are dropped, as a router would. It is
// 200 ms of 20,000 packets a second.
const delayQueueMax = 4096

// delayedConn is a socket whose packets leave as much later as their way is long in the world that is emulated. One
// goroutine sends for all; no clock runs for a packet.
type delayedConn struct {
	net.PacketConn
	towards func(net.Addr) time.Duration
	wake    chan struct{} // capacity 1; a token when the first packet has changed. Never closed

	mu    sync.Mutex // guards what follows
	queue departures
	count uint64
	spare [][]byte
}

type departure struct {
	at    time.Time
	order uint64
	b     []byte
	to    net.Addr
}

// departures is a heap by time, then by order of sending.
type departures []departure

func (d departures) Len() int { return len(d) }
func (d departures) Less(i, j int) bool {
	return d[i].at.Before(d[j].at) || d[i].at.Equal(d[j].at) && d[i].order < d[j].order
}
func (d departures) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *departures) Push(x any)   { *d = append(*d, x.(departure)) }
func (d *departures) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	(*d)[last] = departure{}
	*d = (*d)[:last]
	return x
}

// delay wraps one of the mesh's sockets; Run serves it.
func (m *Mesh) delay(conn net.PacketConn) net.PacketConn {
	d := &delayedConn{PacketConn: conn, wake: make(chan struct{}, 1), towards: func(a net.Addr) time.Duration {
		u, ok := a.(*net.UDPAddr)
		if !ok {
			return 0
		}
		ap := u.AddrPort()
		region, ok := (*m.regions.Load())[netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())]
		if !ok {
			return 0 // no member yet
		}
		return m.cfg.Delay(region)
	}}
	m.delayed = append(m.delayed, d)
	return d
}

// WriteTo sends b now or in a while; it reports success either way.
func (d *delayedConn) WriteTo(b []byte, to net.Addr) (int, error) {
	wait := d.towards(to)
	if wait <= 0 {
		return d.PacketConn.WriteTo(b, to)
	}
	d.mu.Lock()
	if len(d.queue) < delayQueueMax {
		var kept []byte
		if n := len(d.spare); n > 0 {
			kept, d.spare = d.spare[n-1], d.spare[:n-1]
		}
		d.count++
		heap.Push(&d.queue, departure{time.Now().Add(wait), d.count, append(kept[:0], b...), to})
	}
	d.mu.Unlock()
	token(d.wake)
	return len(b), nil
}

// run sends what is due until ctx ends.
func (d *delayedConn) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-timer.C:
		}
		d.mu.Lock()
		for len(d.queue) > 0 && !d.queue[0].at.After(time.Now()) {
			p := heap.Pop(&d.queue).(departure)
			d.mu.Unlock()
			d.PacketConn.WriteTo(p.b, p.to) // its sender is told of nothing: that is how a network loses packets
			d.mu.Lock()
			d.spare = append(d.spare, p.b)
		}
		if len(d.queue) > 0 {
			timer.Reset(time.Until(d.queue[0].at))
		}
		d.mu.Unlock()
	}
}

// Close sends what is still under way, goodbyes among it, and closes the socket.
func (d *delayedConn) Close() error {
	d.mu.Lock()
	rest := d.queue
	d.queue = nil
	d.mu.Unlock()
	for _, p := range rest {
		d.PacketConn.WriteTo(p.b, p.to)
	}
	return d.PacketConn.Close()
}

// SetReadBuffer and SetWriteBuffer let quic-go enlarge the socket's buffers through the wrapper.
func (d *delayedConn) SetReadBuffer(n int) error {
	if c, ok := d.PacketConn.(interface{ SetReadBuffer(int) error }); ok {
		return c.SetReadBuffer(n)
	}
	return nil
}

// SetWriteBuffer is SetReadBuffer's other half.
func (d *delayedConn) SetWriteBuffer(n int) error {
	if c, ok := d.PacketConn.(interface{ SetWriteBuffer(int) error }); ok {
		return c.SetWriteBuffer(n)
	}
	return nil
}

// delayedNetwork delays gossip's packets. Its streams are not: they only carry what packets could not.
type delayedNetwork struct {
	gossip.Network
	m *Mesh
}

// ListenPacket opens a socket whose packets are delayed.
func (n delayedNetwork) ListenPacket(address string) (net.PacketConn, error) {
	c, err := n.Network.ListenPacket(address)
	if err != nil {
		return nil, err
	}
	return n.m.delay(c), nil
}
