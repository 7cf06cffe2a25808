package rtc

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rotunda/metrics"
	"rotunda/node/ingest"
)

// patience is how long a test waits for what must come. It is never slept through.
const patience = time.Minute // reached only where a test fails

// loopback is a server on a loopback socket.
func loopback(t testing.TB, m *metrics.Set) (*Server, netip.AddrPort) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	s, err := NewServer(Config{Conn: conn, Addresses: []netip.AddrPort{at}, Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, at
}

// noLeaks checks, after all other clean-up, that no goroutine is left. It is called first.
func noLeaks(t testing.TB) { t.Cleanup(func() { goleak.VerifyNone(t) }) }

// endpoint is the least that a WHIP or WHEP client needs to talk to.
type endpoint struct {
	*httptest.Server
	sessions chan *Session
}

func serve(t testing.TB, open func(ctx context.Context, offer string) (*Session, string, error)) *endpoint {
	t.Helper()
	e := &endpoint{sessions: make(chan *Session, 128)}
	e.Server = httptest.NewServer(e.handler(open))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) handler(open func(ctx context.Context, offer string) (*Session, string, error)) http.Handler {
	var mu sync.Mutex
	byID := map[string]*Session{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		offer, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		session, answer, err := open(r.Context(), string(offer))
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		mu.Lock()
		byID[session.ID()] = session
		mu.Unlock()
		w.Header().Set("Content-Type", "application/sdp")
		w.Header().Set("Location", "/"+session.ID())
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(answer))
		e.sessions <- session
	})
	mux.HandleFunc("DELETE /{id}", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		byID[r.PathValue("id")].Close()
	})
	return mux
}

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

func TestPublish(t *testing.T) {
	noLeaks(t)
	s, _ := loopback(t, nil)
	got := make(chan ingest.Packet, 16)
	e := serve(t, func(ctx context.Context, offer string) (*Session, string, error) {
		return s.Publish(ctx, offer, func(p ingest.Packet) {
			p.Payload = append([]byte(nil), p.Payload...)
			got <- p
		})
	})
	p, err := DialPublisher(t.Context(), ClientConfig{URL: e.URL})
	if err != nil {
		t.Fatal(err)
	}
	session := await(t, e.sessions, "session")
	before := time.Now()
	for i := range 3 {
		if err := p.Write([]byte{0xf8, byte(i), 7}, 20*time.Millisecond, uint8(30+i), i == 1); err != nil {
			t.Fatal(err)
		}
	}
	p.Skip(400 * time.Millisecond)
	if err := p.Write([]byte{0xf8, 3, 7}, 20*time.Millisecond, 127, false); err != nil {
		t.Fatal(err)
	}
	var last ingest.Packet
	for i := range 4 {
		q := await(t, got, "packet")
		if len(q.Payload) != 3 || q.Payload[1] != byte(i) {
			t.Fatalf("payload %x, want number %d", q.Payload, i)
		}
		level := []uint8{30, 31, 32, 127}[i]
		if !q.HasLevel || q.Level != level || q.Voice != (i == 1) {
			t.Errorf("packet %d: level %d (%v), voice %v, want %d, %v", i, q.Level, q.HasLevel, q.Voice, level, i == 1)
		}
		if q.Arrival.Before(before) || time.Since(q.Arrival) < 0 {
			t.Errorf("packet %d: arrived %v", i, q.Arrival)
		}
		if i > 0 {
			ticks := []uint32{0, 960, 960, 960 + 19200}[i]
			if q.Sequence != last.Sequence+1 || q.Timestamp != last.Timestamp+ticks {
				t.Errorf("packet %d: sequence +%d, timestamp +%d, want +1, +%d", i, q.Sequence-last.Sequence, q.Timestamp-last.Timestamp, ticks)
			}
		}
		last = q
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	await(t, session.Done(), "end of the session after DELETE")
	if err := p.Write([]byte{1}, 20*time.Millisecond, 0, false); !errors.Is(err, ErrDone) {
		t.Errorf("Write after Close = %v, want ErrDone", err)
	}
}
