package egress

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// batchLen is how many packets go to the kernel with one call.
const batchLen = 64

// readMax is the room for one datagram that is read; what is longer is cut, and longer than datagramMax all the same.
const readMax = 2048

// slotLen is the room for one packet.
const slotLen = datagramMax

// socket is the node's media socket.
type socket interface {
	// receiver makes who receives, for one goroutine.
	receiver() receiver
	write(b []byte, to netip.AddrPort) error
	// peer makes a destination for batches.
	peer(at netip.AddrPort) *peer
	// sender makes who sends batches, for one goroutine: it sends to peers[i] what packets[i] is, and returns how many could not
	// be sent.
	sender() batchSender
	localAddr() net.Addr
	close() error
}

// receiver hands take what has come, as soon as something has; b is its own again afterwards. An error says that nothing was read.
type receiver interface {
	receive(take func(b []byte, from netip.AddrPort)) error
}

// batchSender sends the first n packets of a batch.
type batchSender interface{ send(b *batch) (failed int) }

// batch is packets on their way to the kernel.
type batch struct {
	n       int
	slots   [batchLen][slotLen]byte
	lengths [batchLen]int
	peers   [batchLen]*peer
}

// peer is where a session's packets go.
type peer struct {
	at     netip.AddrPort
	stream *stream  // nil: UDP
	name   sockaddr // for the kernel
}

// is reports whether what came from there came from the peer.
func (p *peer) is(from origin) bool { return p.at == from.at && p.stream == from.stream }

// peer is where answers to what came from there go.
func (s *Server) peer(from origin) *peer {
	if from.stream != nil {
		return &peer{at: from.at, stream: from.stream}
	}
	return s.socket.peer(from.at)
}

// reply sends one datagram to where something came from. What the kernel does not take is lost, as on the way.
func (s *Server) reply(to origin, b []byte) {
	if to.stream != nil {
		to.stream.put(b)
		return
	}
	_ = s.socket.write(b, to.at)
}

// plainSocket is any PacketConn, packet by packet: simulated networks, and systems without sendmmsg.
type plainSocket struct{ net.PacketConn }

// plainReceiver reads a plainSocket datagram by datagram.
type plainReceiver struct {
	plainSocket
	buf [readMax]byte
}

func (r *plainReceiver) receive(take func(b []byte, from netip.AddrPort)) error {
	n, from, err := r.ReadFrom(r.buf[:])
	if err != nil {
		return err
	}
	udp, ok := from.(*net.UDPAddr)
	if !ok {
		return errors.New("not a UDP address")
	}
	take(r.buf[:n], unmapped(udp.AddrPort()))
	return nil
}

func (s plainSocket) write(b []byte, to netip.AddrPort) error {
	_, err := s.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return err
}

func (s plainSocket) receiver() receiver           { return &plainReceiver{plainSocket: s} }
func (s plainSocket) peer(at netip.AddrPort) *peer { return &peer{at: at} }
func (s plainSocket) sender() batchSender          { return s }
func (s plainSocket) localAddr() net.Addr          { return s.LocalAddr() }
func (s plainSocket) close() error                 { return s.Close() }

func (s plainSocket) send(b *batch) (failed int) {
	for i := range b.n {
		if s.write(b.slots[i][:b.lengths[i]], b.peers[i].at) != nil {
			failed++
		}
	}
	return failed
}

// unmapped is an address as it is in the tables: IPv4 in its own form, whatever the socket.
func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// readPause is how long a socket that fails is left alone.
const readPause = 10 * time.Millisecond

// read hands every datagram to whom it is for, until the socket is closed.
func (s *Server) read() error {
	r := s.socket.receiver()
	take := func(b []byte, from netip.AddrPort) { s.received(time.Now(), b, from) }
	for {
		switch err := r.receive(take); {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			time.Sleep(readPause)
		}
	}
}

// received takes one datagram (RFC 7983 §7 tells them apart). b is the caller's again afterwards.
func (s *Server) received(now time.Time, b []byte, from netip.AddrPort) {
	if len(b) < 12 || len(b) > datagramMax {
		return
	}
	first := b[0]
	if first <= 3 {
		if !s.checked(now, b, origin{at: from}) {
			s.rest.put(b, from)
		}
		return
	}
	if first < 20 || first > 63 && first < 128 || first > 191 {
		return
	}
	s.mu.RLock()
	n := s.byAddress[from]
	s.mu.RUnlock()
	switch {
	case n == nil:
		s.rest.put(b, from)
	case first <= 63:
		n.handshaken(now, b, origin{at: from})
	default:
		n.reported(now, b)
	}
}
