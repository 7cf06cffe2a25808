package whip_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rotunda"
	"rotunda/control/token"
	"rotunda/metrics"
	"rotunda/node/edge"
	"rotunda/node/egress"
	"rotunda/node/ingest"
	"rotunda/node/rtc"
	"rotunda/node/whip"
)

// Real HTTP and real media, on one socket: somebody publishes over WHIP, somebody listens over WHEP, both take their leave by DELETE.
func TestWithMedia(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New("test", "none")
	addresses := []netip.AddrPort{conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	out, err := egress.New(egress.Config{Conn: conn, Addresses: addresses, Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	rctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- out.Run(rctx) }()
	media, err := rtc.NewServer(rtc.Config{Conn: out.Rest(), Addresses: addresses, Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		media.Close()
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	room := out.Room()
	players, speakers := make(chan *egress.Session, 1), make(chan *rtc.Session, 1)
	packets := make(chan ingest.Packet, 1)
	server := httptest.NewServer(whip.New(whip.Config{
		Metrics: m,
		Authenticate: func(r *http.Request) (token.Claims, error) {
			return token.Claims{User: rotunda.UserID(r.Header.Get("Authorization")[len("Bearer "):])}, nil
		},
		Problem: func(w http.ResponseWriter, _ *http.Request, err error) { http.Error(w, err.Error(), 500) },
		Open: func(ctx context.Context, r whip.Request) (whip.Session, string, error) {
			if r.Kind == whip.Publish {
				s, answer, err := media.Publish(ctx, r.Offer, func(p ingest.Packet) {
					p.Payload = bytes.Clone(p.Payload)
					packets <- p
				})
				speakers <- s
				return s, answer, err
			}
			s, answer, err := out.Play(ctx, room, r.Offer)
			players <- s
			return s, answer, err
		},
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	heard := make(chan rtc.Received, 1)
	player, err := rtc.DialPlayer(ctx, rtc.ClientConfig{URL: server.URL + "/v1/rooms/r1/whep", Token: "bob"}, func(r rtc.Received) { heard <- r })
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := rtc.DialPublisher(ctx, rtc.ClientConfig{URL: server.URL + "/v1/rooms/r1/whip", Token: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	if err := publisher.Write([]byte{0xf8, 1}, rotunda.FrameDuration, 20, true); err != nil {
		t.Fatal(err)
	}
	listener, speaker := <-players, <-speakers
	<-listener.Connected()
	p := <-packets
	room.Program(time.Now(), &edge.Packet{Sequence: p.Sequence, Timestamp: p.Timestamp, Sources: rotunda.SourcesOf(5), Payload: p.Payload})
	if r := <-heard; r.Sequence != p.Sequence || r.Sources != rotunda.SourcesOf(5) {
		t.Errorf("heard %+v", r)
	}
	if err := publisher.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := player.Close(ctx); err != nil {
		t.Error(err)
	}
	<-listener.Done()
	<-speaker.Done()
}
