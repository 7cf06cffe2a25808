package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/bench/stall"
	"rotunda/node/config"
	"rotunda/node/identity"
	"rotunda/node/opus"
	"rotunda/node/pcm"
	"rotunda/node/rtc"
)

// testMesh is nodes in this process: real sockets, real certificates, a real log.
type testMesh struct {
	t     *testing.T
	nodes []*Node
	urls  []string
	stops []func()     // ends one node and waits for it
	stall *stall.Watch // of this machine and the disk with the nodes' data
}

var testRegions = []rotunda.Region{"us-east", "eu-west", "ap-south", "sa-east"}

// startNodes runs n nodes, each in a region of its own; the first keeps the control log for all.
func startNodes(t *testing.T, n int) *testMesh {
	t.Helper()
	dir := t.TempDir()
	ca, err := identity.CreateAuthority(dir, "test", time.Now())
	must(t, err)
	_, err = identity.CreateGossipKey(filepath.Join(dir, "gossip.key"))
	must(t, err)
	_, err = identity.CreateSigningKey(filepath.Join(dir, "token.key"), filepath.Join(dir, "token.pub"))
	must(t, err)
	client, gossip := freeAddress(t), freeAddress(t)
	m := &testMesh{t: t, stall: stall.Start(dir)}
	t.Cleanup(func() { m.stall.Stop() })
	for i := range n {
		region := testRegions[i]
		id := rotunda.NodeID(region) + "-1"
		_, err := ca.CreateNode(dir, identity.NodeRequest{ID: id, Region: region, Hosts: []string{"127.0.0.1"}}, time.Now())
		must(t, err)
		web := freeAddress(t)
		cfg := config.Config{
			ID: id, Region: region, Host: "127.0.0.1", Data: filepath.Join(dir, string(id)),
			HTTP: config.HTTP{Listen: web}, Media: config.Media{Listen: "127.0.0.1:0"}, Admin: config.Admin{Listen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0"},
			Cascade: config.Cascade{Listen: freeAddress(t)}, // the others are told of it, so it cannot be 0
			Gossip:  config.Gossip{Listen: freeAddress(t), KeyFile: filepath.Join(dir, "gossip.key"), Label: "test"},
			TLS:     config.TLS{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, string(id)+".crt"), Key: filepath.Join(dir, string(id)+".key"), Region: filepath.Join(dir, string(id)+".region")},
			Tokens:  config.Tokens{SigningKey: filepath.Join(dir, "token.key"), Guests: true},
		}
		if n > 1 {
			cfg.Log.Control = []config.ControlNode{{ID: rotunda.NodeID(testRegions[0]) + "-1", Peer: "127.0.0.1:1", Client: client}}
			if i == 0 {
				cfg.Log.ListenClient, cfg.Gossip.Listen = client, gossip
			} else {
				cfg.Gossip.Seeds = []string{gossip}
			}
		}
		m.start(cfg.WithDefaults())
	}
	for _, node := range m.nodes {
		select {
		case <-node.Ready():
		case <-time.After(patience):
			t.Fatalf("%s is not ready", node.cfg.ID)
		}
	}
	m.eventually("all know each other", func() bool {
		for _, node := range m.nodes {
			if len(node.mesh.Members()) != n {
				return false
			}
		}
		return true
	})
	return m
}

func (m *testMesh) start(cfg config.Config) {
	m.t.Helper()
	logger := slog.New(slog.NewTextHandler(testWriter{m.t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	node, err := New(cfg, Build{Version: "test"}, logger)
	must(m.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				m.t.Errorf("%s ended with %v", cfg.ID, err)
			}
		case <-time.After(patience):
			m.t.Errorf("%s does not end", cfg.ID)
		}
	})
	m.t.Cleanup(stop)
	m.nodes = append(m.nodes, node)
	m.urls = append(m.urls, cfg.HTTP.URL)
	m.stops = append(m.stops, stop)
}

// testWriter sends a node's log to the test's, while the test runs.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Helper()
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// freeAddress is one that is free for TCP and for UDP, below those that the kernel gives to who connects (32768 and up).
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(22_000)))
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp", l.Addr().String())
		l.Close()
		if err == nil {
			u.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no address is free for TCP and UDP")
	return ""
}

// patience is how long a test waits for what must happen. It is reached only where the test fails.
const patience = time.Minute

// eventually waits until holds does, for as long as patience.
func (m *testMesh) eventually(what string, holds func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("not after %v: %s", patience, what)
		}
	}
}

// took is how long something takes, without what the machine itself stood still meanwhile.
func (m *testMesh) took(do func()) time.Duration {
	began, stood := time.Now(), m.stall.Stood()
	do()
	return time.Since(began) - (m.stall.Stood() - stood)
}

// person is a guest of one node.
type person struct {
	m     *testMesh
	url   string
	User  string `json:"user"`
	Token string `json:"token"`
}

func (m *testMesh) guest(node int, name string) *person {
	m.t.Helper()
	p := &person{m: m, url: m.urls[node]}
	p.do("POST", "/guests", map[string]any{"name": name}, p, http.StatusCreated)
	return p
}

// do calls the API and decodes the answer, which must have the status wanted.
func (p *person) do(method, path string, body, into any, want int) {
	p.m.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		must(p.m.t, err)
		in = bytes.NewReader(b)
	}
	q, err := http.NewRequest(method, p.url+"/v1"+path, in)
	must(p.m.t, err)
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	if p.Token != "" {
		q.Header.Set("Authorization", "Bearer "+p.Token)
	}
	a, err := http.DefaultClient.Do(q)
	must(p.m.t, err)
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	must(p.m.t, err)
	if a.StatusCode != want {
		p.m.t.Fatalf("%s %s: %d %s, want %d", method, path, a.StatusCode, b, want)
	}
	if into != nil {
		must(p.m.t, json.Unmarshal(b, into))
	}
}

// createRoom makes p the host of a live room.
func (p *person) createRoom(title string) string {
	p.m.t.Helper()
	var r struct {
		ID string `json:"id"`
	}
	p.do("POST", "/rooms", map[string]any{"title": title}, &r, http.StatusCreated)
	return r.ID
}

// at is the same person at another node.
func (p *person) at(node int) *person {
	q := *p
	q.url = p.m.urls[node]
	return &q
}

// encodedTone is a second of a tone, for the whole hertz that are used here without a seam when it is played over and over.
type encodedTone struct {
	packets [][]byte
	level   uint8 // -dBov, RFC 6464
}

// tones are those that were encoded already: with the race detector an encoder for each speaker would ask for more than the
// nodes under test do.
var tones struct {
	sync.Mutex
	of map[float64]encodedTone
}

func toneOf(hertz float64) (encodedTone, error) {
	tones.Lock()
	defer tones.Unlock()
	if t, ok := tones.of[hertz]; ok {
		return t, nil
	}
	enc, err := opus.NewEncoder(opus.EncoderConfig{})
	if err != nil {
		return encodedTone{}, err
	}
	var t encodedTone
	tone, samples, packet := pcm.Tone{Hertz: hertz, Amplitude: 0.3}, make([]float32, rotunda.FrameTicks), make([]byte, rotunda.PayloadMax)
	for range time.Second / rotunda.FrameDuration {
		tone.Fill(samples)
		n, err := enc.Encode(samples, packet)
		if err != nil {
			return encodedTone{}, err
		}
		t.packets, t.level = append(t.packets, bytes.Clone(packet[:n])), pcm.Level(samples)
	}
	if tones.of == nil {
		tones.of = map[float64]encodedTone{}
	}
	tones.of[hertz] = t
	return t, nil
}

// sayTone opens p's microphone and plays a tone into it until the test ends or stop is called.
func (p *person) sayTone(room string, hertz float64) (stop func()) {
	p.m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pub, err := rtc.DialPublisher(ctx, rtc.ClientConfig{URL: fmt.Sprintf("%s/v1/rooms/%s/whip", p.url, room), Token: p.Token})
	must(p.m.t, err)
	tone, err := toneOf(hertz)
	must(p.m.t, err)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(rotunda.FrameDuration)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			if pub.Write(tone.packets[i%len(tone.packets)], rotunda.FrameDuration, tone.level, true) != nil {
				return
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		close(quit)
		<-done
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		pub.Close(ctx)
	})
	p.m.t.Cleanup(stop)
	return stop
}

// ear is a listener's session that decodes what it hears.
type ear struct {
	player *rtc.Player

	mu      sync.Mutex // guards what follows
	heard   []float32  // the last second, decoded, of track 0
	packets int
	sources rotunda.Sources
	seqs    []uint16
}

func (p *person) listen(room string, tracks int) *ear {
	p.m.t.Helper()
	e := &ear{}
	dec, err := opus.NewDecoder()
	must(p.m.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	e.player, err = rtc.DialPlayer(ctx, rtc.ClientConfig{URL: fmt.Sprintf("%s/v1/rooms/%s/whep", p.url, room), Token: p.Token, Tracks: tracks},
		func(r rtc.Received) {
			e.mu.Lock()
			defer e.mu.Unlock()
			out := make([]float32, 5760)
			n, err := dec.Decode(r.Payload, out)
			if err != nil {
				return
			}
			e.packets++
			e.sources = r.Sources
			e.seqs = append(e.seqs, r.Sequence)
			e.heard = append(e.heard, out[:n]...)
			e.heard = e.heard[max(0, len(e.heard)-pcm.Rate):]
		})
	must(p.m.t, err)
	p.m.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		e.player.Close(ctx)
	})
	return e
}

// hears reports whether the last half second holds the tone, and none of the others.
func (e *ear) hears(hertz float64, others ...float64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.heard) < pcm.Rate/2 {
		return false
	}
	last := e.heard[len(e.heard)-pcm.Rate/2:]
	for _, o := range others {
		if pcm.ToneAmplitude(last, o) > 0.02 {
			return false
		}
	}
	return pcm.ToneAmplitude(last, hertz) > 0.15
}

// amplitude is how much of the tone is in the last half second.
func (e *ear) amplitude(hertz float64) float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return pcm.ToneAmplitude(e.heard[max(0, len(e.heard)-pcm.Rate/2):], hertz)
}

// silent reports whether n packets from now on are silence or none come; ask again with the mark it returns.
func (e *ear) level() uint8 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return pcm.Level(e.heard[max(0, len(e.heard)-pcm.Rate/10):])
}

func (e *ear) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.packets
}

// counted reads one series of a node's /metrics.
func (m *testMesh) counted(node int, series string) float64 {
	m.t.Helper()
	_, admin := m.nodes[node].Addresses()
	a, err := http.Get("http://" + admin.String() + "/metrics")
	must(m.t, err)
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	must(m.t, err)
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			var v float64
			_, err := fmt.Sscan(value, &v)
			must(m.t, err)
			return v
		}
	}
	m.t.Fatalf("no series %s", series)
	return 0
}
