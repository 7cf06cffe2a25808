package egress

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/srtp/v3"

	"rotunda"
	"rotunda/metrics"
	"rotunda/node/edge"
	ours "rotunda/node/egress/srtp"
)

// wire is a socket on which nothing arrives; what is sent is kept by its destination.
type wire struct {
	mu     sync.Mutex
	sent   map[netip.AddrPort][][]byte
	silent bool // nothing is kept
	bytes  int
	closed chan struct{}
	once   sync.Once
}

func newWire() *wire { return &wire{sent: map[netip.AddrPort][][]byte{}, closed: make(chan struct{})} }

func (w *wire) ReadFrom([]byte) (int, net.Addr, error) { <-w.closed; return 0, nil, net.ErrClosed }
func (w *wire) WriteTo(b []byte, to net.Addr) (int, error) {
	w.keep(b, to.(*net.UDPAddr).AddrPort())
	return len(b), nil
}

func (w *wire) keep(b []byte, to netip.AddrPort) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += len(b)
	if !w.silent {
		w.sent[to] = append(w.sent[to], append([]byte(nil), b...))
	}
}

func (w *wire) Close() error                     { w.once.Do(func() { close(w.closed) }); return nil }
func (w *wire) LocalAddr() net.Addr              { return &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8081} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// take returns what was sent to somebody since the last call.
func (w *wire) take(to netip.AddrPort) [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.sent[to]
	delete(w.sent, to)
	return b
}

// wireSocket is a wire without the detour of net.Addr, which allocates.
type wireSocket struct {
	plainSocket
	w *wire
}

func (s wireSocket) write(b []byte, to netip.AddrPort) error { s.w.keep(b, to); return nil }
func (s wireSocket) sender() batchSender                     { return s }
func (s wireSocket) send(b *batch) int {
	for i := range b.n {
		s.w.keep(b.slots[i][:b.lengths[i]], b.peers[i].at)
	}
	return 0
}

// still is a server that nobody runs: a test does its shards' work, and its clock.
func still(t testing.TB, m *metrics.Set, shards int) (*Server, *wire) {
	t.Helper()
	w := newWire()
	s, err := New(Config{Conn: w, Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:8081")}, Shards: shards, Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	s.socket = wireSocket{plainSocket{w}, w}
	for _, sh := range s.shards {
		sh.sender = s.socket.sender()
	}
	t.Cleanup(func() { s.Close() })
	return s, w
}

// work does what the shards have to do.
func (s *Server) work() {
	for _, sh := range s.shards {
		sh.work()
	}
}

const offerHead = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"

// offered is the offer of a listener like Chromium's, shortened, with more lines of the one audio section.
func offered(more ...string) string {
	return offerHead + "a=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n" +
		"a=ice-ufrag:Xo3f\r\na=ice-pwd:0Zs3m2rhcPcJjWqGkP9mLbWk\r\na=ice-options:trickle\r\n" +
		"a=fingerprint:sha-256 D4:30:86:F4:3B:46:E9:C5:F5:60:56:74:D4:58:BD:24:85:A1:7F:B5:06:2C:12:6A:88:07:12:E4:44:B1:DB:E9\r\n" +
		"a=setup:actpass\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n" +
		"a=recvonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n" +
		"a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\n" + strings.Join(append(more, ""), "\r\n")
}

// ear is a listener of a still server, and the other end's keys.
type ear struct {
	t   testing.TB
	n   *Session
	w   *wire
	at  netip.AddrPort
	rtp *srtp.Context // opens what the session sends
	own *srtp.Context // seals what the client reports
}

var earPort uint16 = 1000

// join makes a listener who is connected.
func join(t testing.TB, s *Server, w *wire, r *Room, offer string, p ours.Profile) *ear {
	t.Helper()
	n, _, err := s.Play(t.Context(), r, offer)
	if err != nil {
		t.Fatal(err)
	}
	earPort++
	e := &ear{t: t, n: n, w: w, at: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.7"), earPort)}
	key, salt := make([]byte, ours.KeyLen), make([]byte, p.SaltLen())
	binary.BigEndian.PutUint16(key, earPort)
	sender, err := ours.NewSender(p, key, salt)
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := ours.NewReceiver(p, key, salt)
	if err != nil {
		t.Fatal(err)
	}
	if e.rtp, err = srtp.CreateContext(key, salt, srtp.ProtectionProfile(p)); err != nil {
		t.Fatal(err)
	}
	if e.own, err = srtp.CreateContext(key, salt, srtp.ProtectionProfile(p)); err != nil {
		t.Fatal(err)
	}
	if !s.prove(n, origin{at: e.at}) {
		t.Fatal("no session")
	}
	n.to.Store(s.socket.peer(e.at))
	n.connectedNow(sender, &secrets{receiver: receiver})
	return e
}

// gotPacket is an RTP packet that an ear got.
type gotPacket struct {
	pt        byte
	marker    bool
	seq       uint16
	ts, ssrc  uint32
	sources   int
	level     int // -1: none
	payload   []byte
	encrypted []byte
}

// got opens what came since the last call; reports are left out.
func (e *ear) got() (list []gotPacket) {
	e.t.Helper()
	for _, b := range e.w.take(e.at) {
		if b[0]>>6 != 2 || b[1] >= 192 && b[1] <= 223 {
			continue
		}
		plain, err := e.rtp.DecryptRTP(nil, b, nil)
		if err != nil {
			e.t.Fatalf("a packet does not open: %v", err)
		}
		p := gotPacket{
			pt: plain[1] & 0x7f, marker: plain[1]&0x80 != 0, seq: binary.BigEndian.Uint16(plain[2:]), ts: binary.BigEndian.Uint32(plain[4:]),
			ssrc: binary.BigEndian.Uint32(plain[8:]), sources: int(plain[0] & 15), level: -1, encrypted: b,
		}
		at := 12 + 4*p.sources
		if plain[0]&16 != 0 {
			p.level = int(plain[at+5] & 0x7f)
			at += 4 + 4*int(binary.BigEndian.Uint16(plain[at+2:]))
		}
		p.payload = plain[at:]
		list = append(list, p)
	}
	return list
}

// speech is packet i of a program, one frame with its number in it.
func speech(i int) *edge.Packet {
	return &edge.Packet{
		Sequence: uint16(i), Timestamp: uint32(i) * rotunda.FrameTicks, Level: uint8(i % 100), Sources: rotunda.SourcesOf(9),
		Payload: []byte(fmt.Sprintf("\x78%07d", i)),
	}
}
