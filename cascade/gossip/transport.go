package gossip

import (
	"io"
	"log"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"rotunda"
)

const (
	// packetMax is the longest gossip packet: what UDP can carry.
	packetMax = 65535
	// streamsMax bounds the streams that others have open here; more are closed at once.
	streamsMax = 128
)

// transport is memberlist's way to the sockets of a Network.
type transport struct {
	packets   net.PacketConn
	listener  net.Listener
	advertise netip.AddrPort
	dial      func(address string, timeout time.Duration) (net.Conn, error)
	packetCh  chan *memberlist.Packet // never closed
	streamCh  chan net.Conn           // never closed
	done      chan struct{}           // closed by Shutdown
	once      sync.Once
	wg        sync.WaitGroup
	open      chan struct{} // one token per stream that is open
}

func (t *transport) start() {
	t.open = make(chan struct{}, streamsMax)
	t.wg.Go(t.readPackets)
	t.wg.Go(t.accept)
}

func (t *transport) stopped() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

func (t *transport) readPackets() {
	buf := make([]byte, packetMax)
	for {
		n, from, err := t.packets.ReadFrom(buf)
		now := time.Now()
		if err != nil {
			if t.stopped() {
				return
			}
			continue // an ICMP error of an earlier packet
		}
		if n == 0 {
			continue
		}
		b := make([]byte, n)
		copy(b, buf)
		select {
		case t.packetCh <- &memberlist.Packet{Buf: b, From: from, Timestamp: now}:
		case <-t.done:
			return
		}
	}
}

func (t *transport) accept() {
	for {
		c, err := t.listener.Accept()
		if err != nil {
			if t.stopped() {
				return
			}
			select { // out of file descriptors: they do not come back sooner by asking
			case <-time.After(50 * time.Millisecond):
			case <-t.done:
			}
			continue
		}
		select {
		case t.open <- struct{}{}:
		default:
			c.Close()
			continue
		}
		select {
		case t.streamCh <- &stream{Conn: c, t: t}:
		case <-t.done:
			c.Close()
			return
		}
	}
}

// stream gives its place back when it is closed.
type stream struct {
	net.Conn
	t    *transport
	once sync.Once
}

func (s *stream) Close() error {
	s.once.Do(func() { <-s.t.open })
	return s.Conn.Close()
}

func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.IP(t.advertise.Addr().AsSlice()), int(t.advertise.Port()), nil
}

func (t *transport) WriteTo(b []byte, address string) (time.Time, error) {
	to, err := resolve(address)
	if err != nil {
		return time.Time{}, err
	}
	_, err = t.packets.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return time.Now(), err
}

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packetCh }
func (t *transport) StreamCh() <-chan net.Conn           { return t.streamCh }

func (t *transport) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	return t.dial(address, timeout)
}

func (t *transport) Shutdown() error {
	t.once.Do(func() {
		close(t.done)
		t.packets.Close()
		t.listener.Close()
	})
	t.wg.Wait()
	return nil
}

// refusals are the lines of memberlist's log that mean input it did not believe: it has no other way to say so. A test
// sends each kind and looks at the counter.
var refusals = []struct{ line, reason string }{
	{"unacceptable label", dropWrongLabel},
	{"Decrypt packet failed", dropForged},
	{"failed to receive: ", dropForged}, // a stream that does not decrypt
	{"remove the stream label header", dropMalformed},
	{"decode label", dropMalformed},
	{"label header", dropMalformed},
	{"not supported", dropMalformed},
	{"Failed to decode", dropMalformed},
	{"missing message type", dropMalformed},
	{"invalid checksum", dropMalformed},
	{"truncated messages", dropMalformed},
}

// logger is where memberlist logs to: all of it is detail for us, and strangers can make it write, so nothing is above
// debug.
func logger(g *Gossip) *log.Logger { return log.New(listener{g}, "", 0) }

type listener struct{ g *Gossip }

// suspicion is the line that tells of a node that does not answer; there is no event for that either.
var suspicion = regexp.MustCompile(`^\[INFO\] memberlist: Suspect ([a-z0-9-]{1,63}) has failed`)

var _ io.Writer = listener{}

func (l listener) Write(b []byte) (int, error) {
	line := strings.TrimSpace(string(b))
	for _, r := range refusals {
		if strings.Contains(line, r.line) {
			l.g.dropped(r.reason)
			break
		}
	}
	if m := suspicion.FindStringSubmatch(line); m != nil {
		l.g.suspected(rotunda.NodeID(m[1]))
	}
	l.g.log.Debug("memberlist", "line", line)
	return len(b), nil
}
