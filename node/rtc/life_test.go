package rtc

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/logging"
	"github.com/pion/transport/v5/vnet"

	"rotunda/node/ingest"
)

// world is a simulated network with a server and a place for a client, 20 ms apart, inside a synctest bubble.
type world struct {
	router *vnet.Router
	server *Server
	client ClientConfig
	e      *endpoint
	cut    atomic.Bool // nothing arrives anywhere any more
}

func newWorld(t *testing.T, open func(*Server) func(context.Context, string) (*Session, string, error)) *world {
	t.Helper()
	router, err := vnet.NewRouter(&vnet.RouterConfig{
		CIDR: "192.0.2.0/24", LoggerFactory: logging.NewDefaultLoggerFactory(), MinDelay: 10 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{router: router}
	router.AddChunkFilter(func(vnet.Chunk) bool { return !w.cut.Load() })
	host := func(ip string) *vnet.Net {
		n, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{ip}})
		if err != nil {
			t.Fatal(err)
		}
		if err := router.AddNet(n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	at := netip.MustParseAddrPort("192.0.2.1:8081")
	there, here := host("192.0.2.1"), host("192.0.2.2")
	if err := router.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := there.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	if w.server, err = NewServer(Config{Conn: conn, Addresses: []netip.AddrPort{at}}); err != nil {
		t.Fatal(err)
	}
	w.e = &endpoint{sessions: make(chan *Session, 8)}
	w.client = ClientConfig{URL: "http://node.test/", network: here, HTTP: &http.Client{Transport: inProcess{w.e.handler(open(w.server))}}}
	return w
}

func (w *world) end(t *testing.T) {
	t.Helper()
	if err := w.server.Close(); err != nil {
		t.Error(err)
	}
	if err := w.router.Stop(); err != nil {
		t.Error(err)
	}
}

// publishing opens sessions whose audio nobody takes.
func publishing(s *Server) func(context.Context, string) (*Session, string, error) {
	return func(ctx context.Context, offer string) (*Session, string, error) {
		return s.Publish(ctx, offer, func(ingest.Packet) {})
	}
}

// A publisher who vanishes without a word is gone after ten seconds; a bubble that ends proves that nothing is left.
func TestVanishedPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, publishing)
		p, err := DialPublisher(t.Context(), w.client)
		if err != nil {
			t.Fatal(err)
		}
		session := <-w.e.sessions
		time.Sleep(time.Minute) // of silence: the path checks alone keep a session
		select {
		case <-session.Done():
			t.Fatal("the session of a silent speaker ended")
		default:
		}
		w.cut.Store(true)
		start := time.Now()
		<-session.Done()
		if d := time.Since(start); d < disconnectedAfter-keepaliveEvery || d > disconnectedAfter+failedAfter+2*time.Second {
			t.Errorf("the session ended %v after its peer, want about %v", d, disconnectedAfter+failedAfter)
		}
		<-p.Done() // and the client has noticed by itself, too
		p.Close(t.Context())
		w.end(t)
	})
}

// A client is connected after some trips, and does not wait for its agent's next look at the checks.
func TestDialHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, publishing)
		start := time.Now()
		p, err := DialPublisher(t.Context(), w.client)
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d >= 150*time.Millisecond {
			t.Errorf("connected after %v, with a round trip of 20 ms", d)
		}
		p.Close(t.Context())
		<-(<-w.e.sessions).Done()
		w.end(t)
	})
}

func TestRenamed(t *testing.T) {
	const line = "a=candidate:1 1 udp 2130706431 2001:db8::7 8081 typ host\r\n"
	if got, ok := renamed("v=0\r\na=ice-lite\r\n"+line+"a=candidate:2 1 udp 1 192.0.2.1 8081 typ host\r\n", 3); !ok || got != "candidate:again3 1 udp 1 2001:db8::7 8081 typ srflx raddr 0.0.0.0 rport 3" {
		t.Errorf("renamed = %q, %v", got, ok)
	}
	for _, none := range []string{"", "v=0\r\n", "a=candidate:", "a=candidate:1 1 udp"} {
		if got, ok := renamed(none, 0); ok {
			t.Errorf("renamed(%q) = %q", none, got)
		}
	}
}

// A speaker is shown all the time that the node lives, though they say nothing, and sees at once when it is not.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, publishing)
		p, err := DialPublisher(t.Context(), w.client)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(pulseEvery) // the handshake is over on both sides
		for i := range 100 {
			before := p.Came()
			time.Sleep(2 * pulseEvery)
			if p.Came() == before {
				t.Errorf("nothing came after %v", time.Duration(2*i)*pulseEvery)
			}
		}
		w.cut.Store(true)
		time.Sleep(pulseEvery)
		before := p.Came()
		time.Sleep(time.Second)
		if p.Came() != before {
			t.Error("something comes from a server that is cut off")
		}
		p.Close(t.Context())
		<-(<-w.e.sessions).Done()
		w.end(t)
	})
}

// A client that says goodbye in DTLS only (a closed browser tab) ends its session at once.
func TestClosedTab(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, publishing)
		p, err := DialPublisher(t.Context(), w.client)
		if err != nil {
			t.Fatal(err)
		}
		session := <-w.e.sessions
		p.resource = "" // no DELETE
		start := time.Now()
		p.Close(t.Context())
		<-session.Done()
		if d := time.Since(start); d > time.Second {
			t.Errorf("the session ended %v after its peer", d)
		}
		w.end(t)
	})
}

// Closing the server ends the sessions on it, and opens no new one.
func TestServerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, publishing)
		p, err := DialPublisher(t.Context(), w.client)
		if err != nil {
			t.Fatal(err)
		}
		session := <-w.e.sessions
		w.end(t)
		<-session.Done()
		if _, _, err := w.server.Publish(t.Context(), chromium, nil); err != ErrClosed {
			t.Errorf("Publish after Close: %v", err)
		}
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
		p.Close(t.Context())
	})
}

func TestSessionsMax(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewServer(Config{Conn: &recorder{at: net.IPv4zero, closed: make(chan struct{})}, Addresses: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, SessionsMax: 2})
		if err != nil {
			t.Fatal(err)
		}
		var first *Session
		for i, want := range []error{nil, nil, ErrBusy} {
			n, _, err := s.Publish(t.Context(), chromium, nil)
			if err != want {
				t.Errorf("session %d: error %v, want %v", i, err, want)
			}
			if i == 0 {
				first = n
			}
		}
		first.Close()
		<-first.Done()
		if _, _, err := s.Publish(t.Context(), chromium, nil); err != nil {
			t.Errorf("a place was free: %v", err)
		}
		s.Close()
	})
}

func TestNewServerRefuses(t *testing.T) {
	good := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}
	for _, c := range []struct {
		name string
		Config
	}{
		{"no socket", Config{Addresses: good}},
		{"no address", Config{Conn: &recorder{at: net.IPv4zero}}},
		{"too many addresses", Config{Conn: &recorder{at: net.IPv4zero}, Addresses: make([]netip.AddrPort, addressesMax+1)}},
		{"unspecified address", Config{Conn: &recorder{at: net.IPv4zero}, Addresses: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:1")}}},
		{"another address family", Config{Conn: &recorder{at: net.IPv4zero}, Addresses: []netip.AddrPort{netip.MustParseAddrPort("[::1]:1")}}},
		{"no port", Config{Conn: &recorder{at: net.IPv4zero}, Addresses: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := NewServer(c.Config); err == nil {
				t.Error("made a server")
			}
		})
	}
}

// A certificate lives shorter than pion would allow, however long the node runs.
func TestCertificateRenews(t *testing.T) {
	var s Server
	now := time.Now()
	fingerprint := func(at time.Time) string {
		c, err := s.certificate(at)
		if err != nil {
			t.Fatal(err)
		}
		if left := c.Expires().Sub(now); left < 2*certificateRenew {
			t.Errorf("expires in %v", left)
		}
		f, err := c.GetFingerprints()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(f)
	}
	first := fingerprint(now)
	if fingerprint(now.Add(certificateRenew-time.Second)) != first {
		t.Error("another certificate within a day")
	}
	if fingerprint(now.Add(certificateRenew)) == first {
		t.Error("the same certificate after a day")
	}
}
