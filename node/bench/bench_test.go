package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rotunda/node/edge"
	"rotunda/node/egress"
)

// room is a WHEP endpoint whose listeners all get the same packets, 50 a second.
type room struct {
	*httptest.Server
	listeners *egress.Server
	program   *egress.Room

	mu       sync.Mutex
	sessions map[string]*egress.Session
	busy     int // requests that are still refused, with a Retry-After
}

func newRoom(t *testing.T) *room {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &room{sessions: map[string]*egress.Session{}}
	if r.listeners, err = egress.New(egress.Config{Conn: conn, Addresses: []netip.AddrPort{conn.LocalAddr().(*net.UDPAddr).AddrPort()}}); err != nil {
		t.Fatal(err)
	}
	r.program = r.listeners.Room()
	ctx, end := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- r.listeners.Run(ctx) }()
	r.Server = httptest.NewServer(r)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); r.talk(stop) }()
	t.Cleanup(func() {
		close(stop)
		<-done
		r.Server.Close()
		end()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *room) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case q.Header.Get("Authorization") != "Bearer good":
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"title":"no token"}`)
	case q.Method == http.MethodDelete:
		if s := r.sessions[strings.TrimPrefix(q.URL.Path, "/whep/")]; s != nil {
			s.Close()
			delete(r.sessions, s.ID())
		}
	case r.busy > 0:
		r.busy--
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		offer, _ := io.ReadAll(q.Body)
		s, answer, err := r.listeners.Play(q.Context(), r.program, string(offer))
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		r.sessions[s.ID()] = s
		w.Header().Set("Location", "/whep/"+s.ID())
		w.Header().Set("Content-Type", "application/sdp")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, answer)
	}
}

func (r *room) talk(stop chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	p := edge.Packet{Payload: make([]byte, 60)}
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		p.Sequence++
		p.Timestamp += 960
		p.Payload[0], p.Payload[1], p.Payload[2] = 0x78, byte(n), byte(n>>8) // CELT, 20 ms
		p.Origin = time.Now().UnixMicro()
		r.program.Program(time.Now(), &p)
	}
}

func noLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// Twenty join, hear every packet, and leave nothing behind, on either side.
func TestEverybodyHears(t *testing.T) {
	noLeaks(t)
	r := newRoom(t)
	r.busy = 1
	var phases []Phase
	got, err := Run(t.Context(), Config{
		URL: r.URL + "/whep", Token: "good", Listeners: 20, Duration: 3 * time.Second, Sample: 10, Raw: true,
		Progress: func(p Progress) {
			if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
				phases = append(phases, p.Phase)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Listeners != 20 || got.Gone != 0 || got.Silent != 0 || got.Lost != 0 || got.LostJoining != 0 || got.Duplicates != 0 || got.Bad != 0 {
		t.Errorf("somebody did not hear all: %+v", got)
	}
	if got.Deferred != 1 {
		t.Errorf("%d joins were told to wait, want the one", got.Deferred)
	}
	if least := uint64(20 * 50 * 2); got.Packets < least || got.Checked < got.Packets/10 {
		t.Errorf("%d packets, %d of them checked; want at least %d and a tenth", got.Packets, got.Checked, least)
	}
	if got.PacketMs != 20 || got.PacketBytes != 12+60+16 {
		t.Errorf("packets of %v ms and %v bytes, want 20 and 88", got.PacketMs, got.PacketBytes)
	}
	if got.Joins == nil || got.Ages == nil || got.Spread == nil || got.RawPerPacket == nil || got.AgesBy != bySenderReports {
		t.Fatalf("not measured: %+v", got)
	}
	if p := got.Ages; p.P50 < 0 || p.P50 > 100 || p.P99 < p.P50 {
		t.Errorf("ages %+v of sound that is sent as it is made", *p)
	}
	if fmt.Sprint(phases) != fmt.Sprint([]Phase{Joining, Listening, Leaving, Raw}) {
		t.Errorf("phases %v", phases)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sessions) != 0 {
		t.Errorf("%d sessions were not taken leave of", len(r.sessions))
	}
}

// Attacks are carried out and counted, and end with the load.
func TestHostile(t *testing.T) {
	noLeaks(t)
	r := newRoom(t)
	got, err := Run(t.Context(), Config{URL: r.URL + "/whep", Token: "good", Listeners: 3, Duration: 7 * time.Second, Hostile: Attacks()})
	if err != nil {
		t.Fatal(err)
	}
	if got.Lost != 0 || got.Gone != 0 {
		t.Errorf("%d packets lost, %d listeners gone", got.Lost, got.Gone)
	}
	for _, a := range Attacks() {
		h := got.Hostile[a]
		if h == nil || h.Sent < 100 {
			t.Errorf("%s was not carried out: %+v", a, h)
			continue
		}
		if a != HalfOpen && h.ReceivedBytes > h.SentBytes {
			t.Errorf("%s: %d bytes for %d", a, h.ReceivedBytes, h.SentBytes)
		}
	}
}

// A load that cannot be says why: what is wrong with it, or what the first of each kind of failure was.
func TestRefused(t *testing.T) {
	noLeaks(t)
	r := newRoom(t)
	got, err := Run(t.Context(), Config{URL: r.URL + "/whep", Listeners: 3, Duration: time.Second})
	if !errors.Is(err, ErrNobody) || !strings.Contains(err.Error(), "401") || !strings.Contains(err.Error(), "no token") {
		t.Errorf("error %v, want the server's words", err)
	}
	if got.Failed["answer"] != 3 {
		t.Errorf("failed %v, want 3 answers", got.Failed)
	}
	if _, err := Run(t.Context(), Config{Listeners: -1, Hostile: []Attack{"nonsense"}}); err == nil || len(strings.Split(err.Error(), "\n")) != 4 {
		t.Errorf("error %v, want four problems", err)
	}
}

// A server that lets nobody in for ever does not hold the load up for ever.
func TestNeverLetIn(t *testing.T) {
	noLeaks(t)
	r := newRoom(t)
	r.busy = 1000
	got, err := Run(t.Context(), Config{URL: r.URL + "/whep", Token: "good", Listeners: 5, Concurrency: 2, Duration: time.Second, JoinWithin: 1500 * time.Millisecond})
	if !errors.Is(err, ErrNobody) || got.Failed["too_late"] != 5 || got.Deferred < 2 {
		t.Errorf("Run = %+v, %v; want five who came too late", got, err)
	}
}

// Somebody who stops a load gets what was measured, at once.
func TestStopped(t *testing.T) {
	noLeaks(t)
	r := newRoom(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, err := Run(ctx, Config{URL: r.URL + "/whep", Token: "good", Listeners: 2, Duration: time.Hour, Progress: func(p Progress) {
		if p.Phase == Listening && p.Elapsed > time.Second {
			cancel()
		}
	}})
	if err != nil || got.Packets == 0 || got.Seconds > 60 {
		t.Errorf("Run = %+v, %v", got, err)
	}
}
