package egress

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// restLen is how many datagrams wait for the microphones' stack at most: some 60 ms of a hundred speakers. What comes when it is
// full is lost, as it would be in the kernel's buffer.
const restLen = 256

// Rest is a net.PacketConn of what arrives at the socket and is no listener's.
type Rest struct {
	socket socket

	mu     sync.Mutex // guards the ring
	queue  [restLen]datagram
	head   int
	n      int
	closed bool
	ready  chan struct{} // a token when the ring may hold something, or is closed; never closed
}

type datagram struct {
	b    []byte // owned by its place
	from netip.AddrPort
}

func newRest(s socket) *Rest { return &Rest{socket: s, ready: make(chan struct{}, 1)} }

// put queues a copy of b.
func (r *Rest) put(b []byte, from netip.AddrPort) {
	r.mu.Lock()
	if r.n < restLen && !r.closed {
		d := &r.queue[(r.head+r.n)%restLen]
		d.b = append(d.b[:0], b...)
		d.from = from
		r.n++
	}
	r.mu.Unlock()
	r.signal()
}

func (r *Rest) signal() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// take copies the oldest datagram to b.
func (r *Rest) take(b []byte) (n int, from netip.AddrPort, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, netip.AddrPort{}, false, net.ErrClosed
	}
	if r.n == 0 {
		return 0, netip.AddrPort{}, false, nil
	}
	d := &r.queue[r.head]
	r.head = (r.head + 1) % restLen
	r.n--
	return copy(b, d.b), d.from, true, nil
}

// ReadFromUDPAddrPort waits for the next datagram, as a net.UDPConn does. It has one caller at a time.
func (r *Rest) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, ok, err := r.take(b)
		if ok || err != nil {
			return n, from, err
		}
		<-r.ready
	}
}

// WriteToUDPAddrPort sends a datagram.
func (r *Rest) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return len(b), r.socket.write(b, to)
}

// ReadFrom is ReadFromUDPAddrPort for callers that know net.Addr only.
func (r *Rest) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := r.ReadFromUDPAddrPort(b)
	return n, net.UDPAddrFromAddrPort(from), err
}

// WriteTo sends a datagram.
func (r *Rest) WriteTo(b []byte, to net.Addr) (int, error) {
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, errors.New("egress: not a UDP address")
	}
	return r.WriteToUDPAddrPort(b, udp.AddrPort())
}

// Close ends the reading. The socket stays open.
func (r *Rest) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.signal()
	return nil
}

// LocalAddr is the socket's.
func (r *Rest) LocalAddr() net.Addr { return r.socket.localAddr() }

// SetDeadline and its kin do nothing: who reads here is ended by Close.
func (r *Rest) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (r *Rest) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (r *Rest) SetWriteDeadline(time.Time) error { return nil }
