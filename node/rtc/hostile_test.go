package rtc

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"rotunda/node/ingest"
)

// recorder is a socket on which nothing ever arrives; it counts what is sent.
type recorder struct {
	at     net.IP
	sent   atomic.Int64
	closed chan struct{}
	once   sync.Once
}

func (r *recorder) ReadFrom([]byte) (int, net.Addr, error) { <-r.closed; return 0, nil, net.ErrClosed }
func (r *recorder) WriteTo(b []byte, _ net.Addr) (int, error) {
	r.sent.Add(1)
	return len(b), nil
}
func (r *recorder) Close() error                     { r.once.Do(func() { close(r.closed) }); return nil }
func (r *recorder) LocalAddr() net.Addr              { return &net.UDPAddr{IP: r.at, Port: 8081} }
func (r *recorder) SetDeadline(time.Time) error      { return nil }
func (r *recorder) SetReadDeadline(time.Time) error  { return nil }
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

// An offer full of other people's addresses makes the server send nothing at all, and its session ends by itself. Two
// things see to that, each of them enough: candidates are not passed on, and a lite agent starts no checks. The
// socket is bound to all addresses and the answer still names exactly the configured addresses.
func TestNothingGoesToSignalledAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &recorder{at: net.IPv6unspecified, closed: make(chan struct{})}
		s, err := NewServer(Config{Conn: conn, Addresses: []netip.AddrPort{
			netip.MustParseAddrPort("203.0.113.5:8081"), netip.MustParseAddrPort("127.0.0.1:9"), netip.MustParseAddrPort("[2001:db8::1]:8081"),
		}})
		if err != nil {
			t.Fatal(err)
		}
		var hostile strings.Builder
		for range 50 {
			hostile.WriteString("a=candidate:1 1 udp 2113937151 198.51.100.7 53 typ host\r\na=candidate:2 1 UDP 2113937151 2001:db8::53 53 typ srflx raddr 0.0.0.0 rport 0\r\n")
		}
		start := time.Now()
		session, answer, err := s.Publish(t.Context(), chromium+hostile.String(), func(ingest.Packet) { t.Error("a packet") })
		if err != nil {
			t.Fatal(err)
		}
		var offered []string
		for line := range strings.SplitSeq(answer, "\r\n") {
			if c, ok := strings.CutPrefix(line, "a=candidate:"); ok {
				f := strings.Fields(c)
				offered = append(offered, f[4]+" "+f[5])
			}
		}
		if got := strings.Join(offered, ", "); got != "203.0.113.5 8081, 127.0.0.1 9, 2001:db8::1 8081" {
			t.Errorf("candidates offered: %s", got)
		}
		<-session.Done()
		if d := time.Since(start); d > connectWithin+time.Second {
			t.Errorf("a session that nobody connects to ended after %v", d)
		}
		if n := conn.sent.Load(); n != 0 {
			t.Errorf("%d packets were sent to addresses out of an offer", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// rawTrack lets a test send what no well-behaved client would.
type rawTrack struct {
	*webrtc.TrackLocalStaticRTP
	ssrc  uint32
	write webrtc.TrackLocalWriter
}

func (r *rawTrack) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	r.ssrc, r.write = uint32(c.SSRC()), c.WriteStream()
	return r.TrackLocalStaticRTP.Bind(c)
}

func dialRaw(t *testing.T, url string) (*rawTrack, *client) {
	t.Helper()
	track, err := webrtc.NewTrackLocalStaticRTP(opus, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	raw := &rawTrack{TrackLocalStaticRTP: track}
	c, err := dial(t.Context(), ClientConfig{URL: url}, func(c *client) error {
		_, err := c.pc.AddTransceiverFromTrack(raw, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.close(context.Background()) })
	return raw, c
}

// Packets that no publisher should send, properly encrypted: each is dropped, and the next good one arrives.
func TestHostilePackets(t *testing.T) {
	noLeaks(t)
	s, _ := loopback(t, nil)
	got := make(chan string, 64)
	e := serve(t, func(ctx context.Context, offer string) (*Session, string, error) {
		return s.Publish(ctx, offer, func(p ingest.Packet) { got <- string(p.Payload) })
	})
	raw, _ := dialRaw(t, e.URL)
	session := await(t, e.sessions, "session")
	seq := uint16(100)
	send := func(h rtp.Header, payload string) {
		seq++
		h.Version, h.SequenceNumber, h.Timestamp = 2, seq, uint32(seq)*960
		if h.SSRC == 0 {
			h.SSRC = raw.ssrc
		}
		if h.PayloadType == 0 {
			h.PayloadType = 111
		}
		if _, err := raw.write.WriteRTP(&h, []byte(payload)); err != nil {
			t.Fatalf("%q: %v", payload, err)
		}
	}
	for _, bad := range []struct {
		name string
		rtp.Header
		payload string
	}{
		{name: "unknown payload type", Header: rtp.Header{PayloadType: 99}, payload: "bad"},
		{name: "padding longer than the packet (CVE-2025-49140)", Header: rtp.Header{Padding: true}, payload: "bad\xff"},
		{name: "padding of no length (CVE-2025-49140)", Header: rtp.Header{Padding: true}, payload: "bad\x00"},
		{name: "nothing but padding", Header: rtp.Header{Padding: true}, payload: "\x00\x00\x03"},
		{name: "two-byte extensions", Header: rtp.Header{Extension: true, ExtensionProfile: rtp.ExtensionProfileTwoByte}, payload: "two"},
		{name: "full CSRC list", Header: rtp.Header{CSRC: make([]uint32, 15)}, payload: "csrc"},
		{name: "another stream", Header: rtp.Header{SSRC: 5}, payload: "bad"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			send(bad.Header, bad.payload)
			send(rtp.Header{}, "good")
			for {
				switch p := await(t, got, "the good packet"); p {
				case "good":
					return
				case "bad", "bad\xff", "bad\x00":
					t.Fatalf("%q reached the sink", p)
				}
			}
		})
	}
	select {
	case <-session.Done():
		t.Error("the session has ended")
	default:
	}
}

// A publisher that opens ever new streams is thrown out, and takes nobody with it.
func TestTooManyStreams(t *testing.T) {
	noLeaks(t)
	s, _ := loopback(t, nil)
	e := serve(t, func(ctx context.Context, offer string) (*Session, string, error) {
		return s.Publish(ctx, offer, func(ingest.Packet) {})
	})
	other, err := DialPublisher(t.Context(), ClientConfig{URL: e.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	bystander := await(t, e.sessions, "session")
	raw, _ := dialRaw(t, e.URL)
	session := await(t, e.sessions, "session")
	for i := uint32(1); i <= 10*streamsMax; i++ {
		h := rtp.Header{Version: 2, SSRC: i, PayloadType: 111}
		if _, err := raw.write.WriteRTP(&h, []byte("x")); err != nil {
			break // thrown out already
		}
	}
	await(t, session.Done(), "end of the session")
	select {
	case <-bystander.Done():
		t.Error("another session ended as well")
	default:
	}
}

// inProcess is an HTTP transport without a network, for bubbles.
type inProcess struct{ http.Handler }

func (h inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	res.Request = r
	return res, nil
}
