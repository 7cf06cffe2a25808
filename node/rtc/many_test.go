package rtc

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"rotunda"
	"rotunda/node/ingest"
)

// A sink that panics costs its own session and nothing else.
func TestPanicStaysInside(t *testing.T) {
	noLeaks(t)
	s, _ := loopback(t, nil)
	got := make(chan ingest.Packet, 8)
	var bad atomic.Bool
	e := serve(t, func(ctx context.Context, offer string) (*Session, string, error) {
		mine := !bad.Swap(true)
		return s.Publish(ctx, offer, func(p ingest.Packet) {
			if mine {
				panic("a bug that a packet has found")
			}
			got <- p
		})
	})
	var clients [2]*Publisher
	var sessions [2]*Session
	for i := range clients {
		p, err := DialPublisher(t.Context(), ClientConfig{URL: e.URL})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close(context.Background())
		clients[i], sessions[i] = p, await(t, e.sessions, "session")
	}
	for _, p := range clients {
		if err := p.Write([]byte{0xf8}, rotunda.FrameDuration, 0, false); err != nil {
			t.Fatal(err)
		}
	}
	await(t, sessions[0].Done(), "end of the session with the bug")
	await(t, got, "packet of the other session")
}

// A publisher like OBS offers video as well, and may offer it first: the video is rejected and the audio works.
func TestVideoIsRejected(t *testing.T) {
	noLeaks(t)
	s, _ := loopback(t, nil)
	var media webrtc.MediaEngine
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(&media), webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.GracefulClose()
	connected := make(chan struct{})
	var once sync.Once
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(connected) })
		}
	})
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err) // receiving: pion's own client does not put up with the rejection of a picture that it sends
	}
	sound, err := webrtc.NewTrackLocalStaticRTP(opus, "a", "s")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTransceiverFromTrack(sound, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	got := make(chan ingest.Packet, 8)
	_, answer, err := s.Publish(t.Context(), offer.SDP, func(p ingest.Packet) { got <- p })
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(answer, "m=video 0 ") {
		t.Errorf("video is not rejected:\n%s", answer)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
	await(t, connected, "connection")
	if err := sound.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 7}, Payload: []byte{0xf8}}); err != nil {
		t.Fatal(err)
	}
	if p := await(t, got, "audio"); p.Sequence != 7 {
		t.Errorf("packet %d, want 7", p.Sequence)
	}
}

// A publisher that will not start the DTLS handshake gets a server that does.
func TestPassivePeer(t *testing.T) {
	noLeaks(t)
	s, _ := loopback(t, nil)
	got := make(chan ingest.Packet, 1)
	e := serve(t, func(ctx context.Context, offer string) (*Session, string, error) {
		offer = strings.ReplaceAll(offer, "a=setup:actpass", "a=setup:passive")
		n, answer, err := s.Publish(ctx, offer, func(p ingest.Packet) { got <- p })
		if !strings.Contains(answer, "a=setup:active") {
			t.Errorf("the answer is not active:\n%s", answer)
		}
		return n, answer, err
	})
	p, err := DialPublisher(t.Context(), ClientConfig{URL: e.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	if err := p.Write([]byte{0xf8}, rotunda.FrameDuration, 0, false); err != nil {
		t.Fatal(err)
	}
	await(t, got, "packet")
}

// A socket bound to all addresses of both families serves the address that is offered.
func TestWildcardSocket(t *testing.T) {
	noLeaks(t)
	v4 := netip.MustParseAddr("127.0.0.1")
	for _, c := range []struct {
		network string
		address netip.Addr
	}{{"udp4", v4}, {"udp", v4}, {"udp", globalIPv6(t)}} {
		t.Run(c.network+" "+c.address.String(), func(t *testing.T) {
			if !c.address.IsValid() {
				t.Skip("no global IPv6 address on this machine")
			}
			conn, err := net.ListenUDP(c.network, nil)
			if err != nil {
				t.Fatal(err)
			}
			port := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
			s, err := NewServer(Config{Conn: conn, Addresses: []netip.AddrPort{netip.AddrPortFrom(c.address, port)}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			e := serve(t, func(ctx context.Context, offer string) (*Session, string, error) {
				return s.Publish(ctx, offer, func(ingest.Packet) {})
			})
			p, err := DialPublisher(t.Context(), ClientConfig{URL: e.URL})
			if err != nil {
				t.Fatal(err)
			}
			p.Close(context.Background())
		})
	}
}

func globalIPv6(t *testing.T) netip.Addr {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsGlobalUnicast() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// Redirects are followed with the token and the offer, errors are shown in the server's words.
func TestClientHTTP(t *testing.T) {
	noLeaks(t)
	var posts atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("POST /a", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/b")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("POST /b", func(w http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		offer, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer t0ken" || r.Header.Get("Content-Type") != "application/sdp" || !strings.Contains(string(offer), "m=audio") {
			t.Errorf("after the redirect: %v %q", r.Header, offer)
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, `{"title":"Busy","detail":"come back later"}`)
	})
	mux.HandleFunc("POST /loop", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/loop")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("POST /nowhere", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	mux.HandleFunc("POST /html", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/x")
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusCreated)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for path, want := range map[string]string{
		"/a": "503 Service Unavailable: Busy: come back later", "/loop": "more than 5 redirects", "/nowhere": "201 without the session's Location",
		"/html": `the answer is "text/html"`, "/missing": "404 Not Found: 404 page not found",
	} {
		_, err := DialPublisher(t.Context(), ClientConfig{URL: server.URL + path, Token: "t0ken"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
		var refused *HTTPError
		if path == "/a" && (!errors.As(err, &refused) || refused.RetryAfter != 7*time.Second || refused.Status != 503) {
			t.Errorf("%s: %+v", path, refused)
		}
	}
	if posts.Load() != 1 {
		t.Errorf("%d requests came through the redirect", posts.Load())
	}
}
