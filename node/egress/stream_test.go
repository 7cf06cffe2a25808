package egress

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
	"go.uber.org/goleak"

	"rotunda/node/egress/stun"
)

// framed is a TCP connection on which each datagram is behind its length. One goroutine reads it and tells apart what is media and what
// is not, as a client does; as a net.PacketConn it is what is not.
type framed struct {
	net.Conn
	rest, media chan []byte // closed at the end of the connection
}

func newFramed(c net.Conn) *framed {
	f := &framed{Conn: c, rest: make(chan []byte, 64), media: make(chan []byte, 1024)}
	go f.read()
	return f
}

func (f *framed) read() {
	defer close(f.rest)
	defer close(f.media)
	for {
		var head [2]byte
		if _, err := io.ReadFull(f.Conn, head[:]); err != nil {
			return
		}
		d := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(f.Conn, d); err != nil {
			return
		}
		if len(d) > 12 && d[0]>>6 == 2 {
			f.media <- d
		} else {
			f.rest <- d
		}
	}
}

func (f *framed) ReadFrom(b []byte) (int, net.Addr, error) {
	d, ok := <-f.rest
	if !ok {
		return 0, nil, io.EOF
	}
	return copy(b, d), f.RemoteAddr(), nil
}

func (f *framed) WriteTo(b []byte, _ net.Addr) (int, error) {
	_, err := f.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return len(b), err
}

// onLoopback runs a server with both sockets.
func onLoopback(t *testing.T) (*Server, string) {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Conn: udp, TCP: tcp, Addresses: []netip.AddrPort{tcp.Addr().(*net.TCPAddr).AddrPort()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return s, tcp.Addr().String()
}

// A listener whose network lets no UDP through hears the room over TCP, and the goodbye.
func TestOverTCP(t *testing.T) {
	s, at := onLoopback(t)
	cert, err := newCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	mine := fingerprintText(sha256.Sum256(cert.tls.Certificate[0]))
	_, rest, _ := strings.Cut(offered(), "a=fingerprint:sha-256 ")
	old, _, _ := strings.Cut(rest, "\r\n")
	room := s.Room()
	n, answer, err := s.Play(t.Context(), room, strings.Replace(offered(), old, mine, 1))
	if err != nil {
		t.Fatal(err)
	}
	if want := " 1 tcp 2124414975 127.0.0.1 " + at[strings.LastIndex(at, ":")+1:] + " typ host tcptype passive\r\n"; !strings.Contains(answer, want) {
		t.Errorf("no candidate like %q in\n%s", want, answer)
	}
	raw, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(20 * time.Second))
	conn := newFramed(raw)
	id := stun.TransactionID{7}
	conn.WriteTo(stun.AppendRequest(nil, id, n.fragment+":Xo3f", n.password, true), nil)
	b := make([]byte, 1500)
	size, _, err := conn.ReadFrom(b)
	if err != nil || !stun.IsSuccess(b[:size], id, n.password) {
		t.Fatalf("the check is not answered: %v", err)
	}
	c, err := dtls.ClientWithOptions(conn, raw.RemoteAddr(), dtls.WithCertificates(cert.tls), dtls.WithInsecureSkipVerify(true),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM), dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	state, _ := c.ConnectionState()
	keys, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 2*(16+12))
	if err != nil {
		t.Fatal(err)
	}
	open, err := srtp.CreateContext(keys[16:32], keys[44:56], srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	<-n.Connected()
	const packets = 100
	room.Program(time.Now(), speech(0)) // it has its seat when it hears this
	heard := 0
	for d := range conn.media {
		if heard == 0 {
			for i := range packets - 1 {
				room.Program(time.Now(), speech(i+1))
			}
		}
		if d[1] >= 192 && d[1] <= 223 {
			continue // a report
		}
		plain, err := open.DecryptRTP(nil, d, nil)
		if err != nil {
			t.Fatalf("packet %d does not open: %v", heard, err)
		}
		if heard++; string(plain[len(plain)-7:]) == fmt.Sprintf("%07d", packets-1) {
			break
		}
	}
	if heard < streamQueue || heard > packets {
		t.Errorf("%d packets of %d heard, the last among them, want at least the %d that a queue holds", heard, packets, streamQueue)
	}
	n.Close()
	<-n.Done()
	goodbyes := 0
	for d := range conn.media {
		if _, err := open.DecryptRTCP(nil, d, nil); err == nil {
			goodbyes++
		}
	}
	if goodbyes == 0 {
		t.Error("the end of the connection came without a goodbye")
	}
}

// Connections on which nobody shows a password are bounded, get no answer, and end by themselves.
func TestTCPStrangers(t *testing.T) {
	s, at := onLoopback(t)
	for _, b := range [][]byte{{0xff, 0xff}, append([]byte{0, 200}, make([]byte, 200)...), stunFrame("nobody:x", "guessed")} {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if b[0] != 0xff {
			continue
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := c.Read(make([]byte, 100)); n != 0 || err == nil {
			t.Errorf("a frame that is too long: %d bytes back, %v", n, err)
		}
	}
	_ = s
}

// Strangers are bounded, in all and of one network; who has shown a password, or has gone, takes no place.
func TestStrangersAreBounded(t *testing.T) {
	var all streams
	from := func(a string) *stream { return &stream{from: netip.AddrPortFrom(netip.MustParseAddr(a), 9)} }
	first := from("192.0.2.1")
	for i := range strangersEach + 1 {
		c := from("192.0.2.1")
		if i == 0 {
			c = first
		}
		if got := all.add(c); got != (i < strangersEach) {
			t.Fatalf("connection %d of one address: %v", i, got)
		}
	}
	all.known(first)
	if !all.add(from("192.0.2.1")) {
		t.Error("who has shown a password takes a stranger's place")
	}
	for i := range strangersEach + 1 {
		if got := all.add(from(fmt.Sprintf("2001:db8::1:%x", i))); got != (i < strangersEach) {
			t.Fatalf("connection %d of one IPv6 network: %v", i, got)
		}
	}
	for i := 2 * strangersEach; i < strangersMax; i++ {
		if !all.add(from(fmt.Sprintf("2001:db8:0:%x::1", i))) {
			t.Fatalf("connection %d, from elsewhere", i)
		}
	}
	last := from("198.51.100.1")
	if all.add(last) {
		t.Error("one more than there are places")
	}
	var gone *stream
	for c := range all.open {
		if c != first {
			gone = c
			break
		}
	}
	all.remove(gone, true)
	if !all.add(last) {
		t.Error("who has gone takes a place")
	}
	for c := range all.open {
		all.remove(c, c != first)
	}
	if all.strangers != 0 || len(all.near) != 0 || len(all.open) != 0 {
		t.Errorf("%d strangers of %d networks and %d connections are left", all.strangers, len(all.near), len(all.open))
	}
}

// A connection on which nothing is said is closed in time, and is no stranger's any more.
func TestTCPSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := still(t, nil, 1)
		ours, theirs := net.Pipe()
		c := &stream{conn: ours, from: netip.MustParseAddrPort("192.0.2.9:9"), ready: make(chan struct{}, 1)}
		if !s.streams.add(c) {
			t.Fatal("no place")
		}
		start, done := time.Now(), make(chan struct{})
		go func() { s.readStream(c); close(done) }()
		if n, err := theirs.Read(make([]byte, 100)); n != 0 || err != io.EOF {
			t.Errorf("%d bytes, %v, want the end of the connection", n, err)
		}
		<-done
		if took := time.Since(start); took != strangerFor {
			t.Errorf("closed after %v, want %v", took, strangerFor)
		}
		if s.streams.strangers != 0 || len(s.streams.open) != 0 {
			t.Errorf("%d strangers, %d open", s.streams.strangers, len(s.streams.open))
		}
	})
}

func stunFrame(user, password string) []byte {
	b := stun.AppendRequest(nil, stun.TransactionID{1}, user, password, false)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

// Who does not read loses the oldest packets, in whole.
func TestStreamQueue(t *testing.T) {
	c := &stream{ready: make(chan struct{}, 1)}
	for i := range streamQueue + 2 {
		if dropped := c.put([]byte{byte(i), 1, 2}); dropped != (i >= streamQueue) {
			t.Errorf("packet %d: dropped %v", i, dropped)
		}
	}
	b, ok := c.take(nil)
	if !ok || len(b) != streamQueue*5 || b[1] != 3 || b[2] != 2 {
		t.Errorf("%d bytes, beginning %x", len(b), b[:5])
	}
	c.end()
	if _, ok := c.take(nil); ok {
		t.Error("an empty queue that has ended is not over")
	}
}
