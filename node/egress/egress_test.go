package egress_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rotunda"
	"rotunda/metrics"
	"rotunda/node/edge"
	"rotunda/node/egress"
	"rotunda/node/ingest"
	"rotunda/node/rtc"
)

// patience is how long a test waits for what must come. It is never slept through.
const patience = time.Minute // reached only where a test fails

func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
		panic("unreachable")
	}
}

// door is a server on a loopback socket, and the least HTTP that a WHEP client needs.
type door struct {
	*httptest.Server
	egress   *egress.Server
	at       netip.AddrPort
	room     *egress.Room
	sessions chan *egress.Session
	answers  sync.Map // session to answer
}

func open(t testing.TB, m *metrics.Set) *door {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t, conn, conn.LocalAddr().(*net.UDPAddr).AddrPort(), egress.Config{Metrics: m})
}

func openOn(t testing.TB, conn net.PacketConn, at netip.AddrPort, cfg egress.Config) *door {
	t.Helper()
	d := &door{at: at, sessions: make(chan *egress.Session, 128)}
	cfg.Conn, cfg.Addresses = conn, []netip.AddrPort{at}
	var err error
	if d.egress, err = egress.New(cfg); err != nil {
		t.Fatal(err)
	}
	d.room = d.egress.Room()
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.egress.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := await(t, ran, "end of Run"); err != nil {
			t.Error(err)
		}
	})
	var mu sync.Mutex
	byID := map[string]*egress.Session{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		offer, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		session, answer, err := d.egress.Play(r.Context(), d.room, string(offer))
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		mu.Lock()
		byID[session.ID()] = session
		mu.Unlock()
		d.answers.Store(session, answer)
		w.Header().Set("Content-Type", "application/sdp")
		w.Header().Set("Location", "/"+session.ID())
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(answer))
		d.sessions <- session
	})
	mux.HandleFunc("DELETE /{id}", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		byID[r.PathValue("id")].Close()
	})
	d.Server = httptest.NewServer(mux)
	t.Cleanup(d.Close)
	return d
}

func noLeaks(t testing.TB) { t.Cleanup(func() { goleak.VerifyNone(t) }) }

// program is a packet of a room's program.
func program(i int) *edge.Packet {
	return &edge.Packet{
		Sequence: uint16(i), Timestamp: uint32(i) * rotunda.FrameTicks, Level: 30, Sources: rotunda.SourcesOf(9), Payload: []byte{0xf8, byte(i), byte(i >> 8)},
	}
}

// A pion client hears the program, then what is sent to it alone, and leaves.
func TestPlay(t *testing.T) {
	noLeaks(t)
	d := open(t, nil)
	got := make(chan rtc.Received, 64)
	p, err := rtc.DialPlayer(t.Context(), rtc.ClientConfig{URL: d.URL, Tracks: 3}, func(r rtc.Received) {
		r.Payload = bytes.Clone(r.Payload)
		got <- r
	})
	if err != nil {
		t.Fatal(err)
	}
	session := await(t, d.sessions, "session")
	if n := session.Tracks(); n != 3 {
		t.Fatalf("Tracks = %d, want 3", n)
	}
	await(t, session.Connected(), "connection")
	for i := 100; i < 105; i++ {
		d.room.Program(time.Now(), program(i))
		r := await(t, got, "packet of the program")
		if r.Track != 0 || r.Sequence != uint16(i) || r.Timestamp != uint32(i)*960 || r.Sources != rotunda.SourcesOf(9) || r.Payload[1] != byte(i) {
			t.Fatalf("got %+v, want number %d", r, i)
		}
	}
	session.Hear(false)
	for i := range 3 {
		session.Send(i, &edge.Packet{
			Sequence: uint16(7 + i), Timestamp: uint32(7000 + i), Marker: i == 1, Sources: rotunda.SourcesOf(0xabc, rotunda.SSRC(i)), Payload: []byte{0xf8, byte(i)},
		})
	}
	seen := map[int]bool{}
	for range 3 {
		r := await(t, got, "packet of a speaker")
		i := r.Track
		seen[i] = true
		want := uint16(7 + i)
		if i == 0 {
			want = 105 // it goes on where the program stopped
		}
		if r.Sequence != want || r.Marker != (i < 2) || r.Sources != rotunda.SourcesOf(0xabc, rotunda.SSRC(i)) || string(r.Payload) != string([]byte{0xf8, byte(i)}) {
			t.Errorf("track %d got %+v", i, r)
		}
	}
	if len(seen) != 3 {
		t.Errorf("packets came on tracks %v", seen)
	}
	var ended atomic.Bool
	over := make(chan struct{})
	session.AfterDone(func() { ended.Store(true); close(over) })
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	await(t, session.Done(), "end of the session after DELETE")
	await(t, over, "callback")
	session.Send(0, &edge.Packet{Payload: []byte{1}}) // does nothing, and does not block
}

// The client notices at once when the node ends its session.
func TestGoodbye(t *testing.T) {
	noLeaks(t)
	d := open(t, nil)
	p, err := rtc.DialPlayer(t.Context(), rtc.ClientConfig{URL: d.URL}, func(rtc.Received) {})
	if err != nil {
		t.Fatal(err)
	}
	session := await(t, d.sessions, "session")
	start := time.Now()
	session.Close()
	await(t, p.Done(), "the client's end")
	if d := time.Since(start); d > time.Second {
		t.Errorf("noticed after %v", d)
	}
	p.Close(t.Context())
}

// Microphones share the socket: their stack gets what is not the listeners'.
func TestSharedSocket(t *testing.T) {
	noLeaks(t)
	d := open(t, nil)
	mics, err := rtc.NewServer(rtc.Config{Conn: d.egress.Rest(), Addresses: []netip.AddrPort{d.at}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mics.Close() })
	packets := make(chan byte, 16)
	mux := http.NewServeMux()
	var mic *rtc.Session
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		offer, _ := io.ReadAll(r.Body)
		s, answer, err := mics.Publish(r.Context(), string(offer), func(p ingest.Packet) { packets <- p.Payload[1] })
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		mic = s
		w.Header().Set("Content-Type", "application/sdp")
		w.Header().Set("Location", "/1")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(answer))
	})
	mux.HandleFunc("DELETE /1", func(http.ResponseWriter, *http.Request) { mic.Close() })
	whip := httptest.NewServer(mux)
	t.Cleanup(whip.Close)
	heard := make(chan rtc.Received, 16)
	p, err := rtc.DialPlayer(t.Context(), rtc.ClientConfig{URL: d.URL}, func(r rtc.Received) { heard <- r })
	if err != nil {
		t.Fatal(err)
	}
	speaker, err := rtc.DialPublisher(t.Context(), rtc.ClientConfig{URL: whip.URL})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := speaker.Write([]byte{0xf8, byte(i)}, rotunda.FrameDuration, 20, true); err != nil {
			t.Fatal(err)
		}
		if b := await(t, packets, "packet of the microphone"); b != byte(i) {
			t.Errorf("packet %d, want %d", b, i)
		}
		d.room.Program(time.Now(), program(i))
		await(t, heard, "packet at the listener")
	}
	speaker.Close(t.Context())
	p.Close(t.Context())
}
