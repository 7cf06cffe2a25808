package rtc

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/transport/v5"
)

// mux shares one UDP socket among all sessions: pion's, except that it offers the addresses we were given and not those
// it finds. A datagram belongs to the session that its source address proved itself to, and before that to the session
// whose ICE user name it carries; the rest is dropped unanswered.
type mux struct {
	*ice.UDPMuxDefault
	offered []net.Addr // one for each address family
	bound   *net.UDPAddr
}

func newMux(conn net.PacketConn, addresses []netip.AddrPort, system transport.Net, log logging.LeveledLogger) (*mux, error) {
	bound, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("rtc: the socket is bound to %T, not to UDP", conn.LocalAddr())
	}
	m := &mux{bound: bound}
	// pion gets one candidate of each family: they share the socket anyway, and each costs a session a goroutine. The
	// answer that the peer sees lists all addresses (finishAnswer).
	var v4, v6 bool
	for _, a := range addresses {
		seen := &v6
		if a.Addr().Unmap().Is4() {
			seen = &v4
		}
		if wildcard6 := bound.IP.To4() == nil && bound.IP.IsUnspecified(); !wildcard6 && (seen == &v4) != (bound.IP.To4() != nil) {
			return nil, fmt.Errorf("rtc: %s cannot be offered for a socket bound to %s: another address family", a, bound)
		}
		if !*seen {
			*seen = true
			m.offered = append(m.offered, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.Addr().Unmap(), a.Port())))
		}
	}
	m.UDPMuxDefault = ice.NewUDPMuxDefault(ice.UDPMuxParams{Logger: log, UDPConn: newSocket(conn), Net: system})
	return m, nil
}

// GetListenAddresses is where host candidates come from.
func (m *mux) GetListenAddresses() []net.Addr { return m.offered }

// GetConn returns a session's share of the socket for one of the offered addresses.
func (m *mux) GetConn(ufrag string, offered net.Addr) (net.PacketConn, error) {
	if !m.bound.IP.IsUnspecified() {
		offered = m.bound // the only address that pion's mux accepts of a socket bound to one
	}
	return m.UDPMuxDefault.GetConn(ufrag, offered)
}

// socket is a UDP socket that lets through only what can belong to a session (RFC 7983 §7) and does not end at an error
// that concerns one datagram: pion's mux would close all sessions.
type socket struct {
	net.PacketConn
	udp addrPortConn
}

// addrPortConn is a net.UDPConn, or what is like one in that it allocates nothing for an address.
type addrPortConn interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
}

func newSocket(conn net.PacketConn) net.PacketConn {
	udp, ok := conn.(addrPortConn)
	if !ok {
		return &packetSocket{conn}
	}
	return &socket{PacketConn: conn, udp: udp}
}

// readPause is how long a socket that fails is left alone.
const readPause = 10 * time.Millisecond

// ReadFromAddrPort returns the next datagram that may belong to a session.
func (s *socket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(b)
		if err == nil && mayBelong(b[:n]) || errors.Is(err, net.ErrClosed) {
			return n, from, err
		}
		if err != nil {
			time.Sleep(readPause)
		}
	}
}

// WriteToAddrPort sends a datagram.
func (s *socket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return s.udp.WriteToUDPAddrPort(b, to)
}

// packetSocket is socket for conns that are not the system's: simulated networks.
type packetSocket struct{ net.PacketConn }

func (s *packetSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(b)
		if err != nil || mayBelong(b[:n]) {
			return n, from, err
		}
	}
}

// datagramMax is the longest datagram that a session has use for: an Ethernet frame's worth.
const datagramMax = 1500

// mayBelong tells STUN (0–3), DTLS (20–63) and RTP with RTCP (128–191) from everything else by the first byte, RFC 7983 §7.
func mayBelong(b []byte) bool {
	if len(b) < 12 || len(b) > datagramMax {
		return false
	}
	first := b[0]
	return first <= 3 || first >= 20 && first <= 63 || first >= 128 && first <= 191
}
