package cascade_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"

	"rotunda"
	"rotunda/cascade"
	"rotunda/cascade/gossip"
	"rotunda/cascade/nodecert/certtest"
	"rotunda/metrics"
)

// world is a mesh of real nodes (real quic-go, real memberlist) on a simulated network, in a synctest bubble.
type world struct {
	t     *testing.T
	ca    *certtest.CA
	nodes map[rotunda.NodeID]*worldNode
	order []rotunda.NodeID

	simnet.PerfectRouter // the network: who has which address
	mu                   sync.Mutex
	rng                  *rand.Rand
	loss                 float64
	dead                 map[string]bool    // by IP
	cut                  map[[2]string]bool // by IP, from and to: one way
	far                  time.Duration
	listeners            map[string]*pipeListener
	nets                 []*simnet.Simnet
	regions              map[string]rotunda.Region // by IP
}

type worldNode struct {
	*cascade.Mesh
	id      rotunda.NodeID
	ip      string
	metrics *metrics.Set
	stop    func()
	done    chan error
}

const (
	near = time.Millisecond      // one way, within a region
	far  = 40 * time.Millisecond // one way, between regions
)

func newWorld(t *testing.T, seed uint64) *world {
	return &world{
		t: t, ca: certtest.NewCA(), nodes: map[rotunda.NodeID]*worldNode{}, rng: rand.New(rand.NewPCG(seed, 0)),
		dead: map[string]bool{}, cut: map[[2]string]bool{}, far: far, listeners: map[string]*pipeListener{}, regions: map[string]rotunda.Region{},
	}
}

// SendPacket loses packets between regions, and all of the dead.
func (w *world) SendPacket(p simnet.Packet) error {
	from, to := ip(p.From), ip(p.To)
	w.mu.Lock()
	lost := w.dead[from] || w.dead[to] || w.cut[[2]string{from, to}] || w.regions[from] != w.regions[to] && w.rng.Float64() < w.loss
	w.mu.Unlock()
	if lost {
		return nil
	}
	w.PerfectRouter.SendPacket(p) // an unknown address is a lost packet
	return nil
}

func ip(a net.Addr) string { return a.(*net.UDPAddr).IP.String() }

func (w *world) latency(p simnet.Packet) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.regions[ip(p.From)] == w.regions[ip(p.To)] {
		return near
	}
	return w.far
}

// ListenPacket opens a socket in the simulated network; its latency is that between the regions.
func (w *world) ListenPacket(address string) (net.PacketConn, error) {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	a := net.UDPAddrFromAddrPort(ap) // simnet tells IPv4 in 4 octets from IPv4 in 16
	n := &simnet.Simnet{Router: w}
	c := n.NewEndpoint(a, simnet.NodeBiDiLinkSettings{LatencyFunc: w.latency})
	w.mu.Lock()
	w.nets = append(w.nets, n)
	w.mu.Unlock()
	return c, n.Start()
}

type pipeListener struct {
	w       *world
	address string
	conns   chan net.Conn
	done    chan struct{}
	once    sync.Once
}

func (w *world) Listen(address string) (net.Listener, error) {
	l := &pipeListener{w: w, address: address, conns: make(chan net.Conn), done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listeners[address] = l
	return l, nil
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { a, _ := net.ResolveTCPAddr("tcp", l.address); return a }

// worldNet is the gossip.Network of one node.
type worldNet struct {
	*world
	ip string
}

func (n worldNet) Dial(ctx context.Context, address string) (net.Conn, error) {
	w := n.world
	host, _, _ := net.SplitHostPort(address)
	w.mu.Lock()
	l, dead := w.listeners[address], w.dead[host] || w.dead[n.ip]
	w.mu.Unlock()
	if l == nil {
		return nil, errors.New("connection refused")
	}
	if dead {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	a, b := net.Pipe()
	select {
	case l.conns <- b:
		return a, nil
	case <-l.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// config is a node's configuration; the first node is everybody's seed.
func (w *world) config(region rotunda.Region, id rotunda.NodeID) cascade.Config {
	host := fmt.Sprintf("10.0.0.%d", len(w.order)+1)
	w.mu.Lock()
	w.regions[host] = region
	w.mu.Unlock()
	conn, err := w.ListenPacket(host + ":7443")
	if err != nil {
		w.t.Fatal(err)
	}
	return cascade.Config{
		Self:        rotunda.Member{ID: id, Region: region, Version: "test", Addresses: rotunda.Addresses{HTTP: "http://" + host}},
		Certificate: w.ca.Node(region, id), Roots: w.ca.Roots(), Conn: conn,
		Gossip: gossip.Config{
			Listen: host + ":7946", Keys: [][]byte{make([]byte, 32)}, Label: "test", Seeds: []string{"10.0.0.1:7946"}, Network: worldNet{w, host},
		},
		Sum: sumOf, Join: joinOf, Metrics: metrics.New("", ""), Logger: slog.New(slog.NewTextHandler(testWriter{w.t}, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", id),
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s %s", time.Now().Format("05.000"), b[:len(b)-1])
	return len(b), nil
}

func (w *world) start(cfg cascade.Config) *worldNode {
	m, err := cascade.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n := &worldNode{Mesh: m, id: cfg.Self.ID, ip: fmt.Sprintf("10.0.0.%d", len(w.order)+1), metrics: cfg.Metrics, stop: stop, done: make(chan error, 1)}
	w.nodes[n.id] = n
	w.order = append(w.order, n.id)
	go func() { n.done <- m.Run(ctx) }()
	return n
}

// add starts nodes of a region, named region-1, region-2 and so on.
func (w *world) add(region rotunda.Region, count int) {
	for i := range count {
		w.start(w.config(region, rotunda.NodeID(fmt.Sprintf("%s-%d", region, i+1))))
	}
}

// crash cuts a node off without a word.
func (w *world) crash(id rotunda.NodeID) {
	w.mu.Lock()
	w.dead[w.nodes[id].ip] = true
	w.mu.Unlock()
}

// cutOff has nothing arrive any more that a node sends to another.
func (w *world) cutOff(from, to rotunda.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[[2]string{w.nodes[from].ip, w.nodes[to].ip}] = true
}

// lose changes the share of packets between regions that are lost.
func (w *world) lose(share float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loss = share
}

// close ends everything; the bubble demands it.
func (w *world) close() {
	for _, id := range w.order {
		w.nodes[id].stop()
	}
	for _, id := range w.order {
		if err := <-w.nodes[id].done; err != nil {
			w.t.Errorf("%s: %v", id, err)
		}
	}
	for _, n := range w.nets {
		n.Close()
	}
	time.Sleep(time.Minute) // memberlist's last timers
}

// settle waits until all living nodes know each other.
func (w *world) settle(max time.Duration) {
	w.t.Helper()
	start := time.Now()
	for {
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		short := ""
		for _, id := range w.order {
			if got := len(w.nodes[id].Members()); got < len(w.order) {
				short = fmt.Sprintf("%s knows %d of %d: %v", id, got, len(w.order), ids(w.nodes[id].Members()))
			}
		}
		if short == "" {
			w.t.Logf("%d nodes know each other after %v", len(w.order), time.Since(start))
			return
		}
		if time.Since(start) > max {
			w.t.Fatalf("after %v %s", max, short)
		}
	}
}

// value reads one series of a node as a scraper sees it.
func (n *worldNode) value(t *testing.T, series string) float64 { return scrape(t, n.metrics, series) }

func scrape(t *testing.T, s *metrics.Set, series string) float64 {
	t.Helper()
	r := httptest.NewRecorder()
	s.Handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	b, _ := io.ReadAll(r.Body)
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindSubmatch(b)
	if m == nil {
		return 0
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// speech publishes 50 frames a second until it is stopped.
type speech struct {
	pub  *cascade.Publication
	seq  atomic.Uint64 // of the next frame
	stop chan struct{}
	done chan struct{}
}

func (w *world) speak(id rotunda.NodeID, s rotunda.StreamID) *speech {
	w.t.Helper()
	pub, err := w.nodes[id].Publish(s)
	if err != nil {
		w.t.Fatal(err)
	}
	sp := &speech{pub: pub, stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(sp.done)
		tick := time.NewTicker(rotunda.FrameDuration)
		defer tick.Stop()
		payload := make([]byte, 100)
		for {
			select {
			case <-sp.stop:
				return
			case now := <-tick.C:
				pub.Write(&rotunda.Frame{Seq: rotunda.Seq(sp.seq.Load()), Origin: rotunda.Micros(now), Payload: payload})
				sp.seq.Add(1)
			}
		}
	}()
	return sp
}

// end stops the speech and returns how many frames it had.
func (s *speech) end() int {
	close(s.stop)
	<-s.done
	s.pub.Close()
	return int(s.seq.Load())
}

// heard is what one subscriber took.
type heard struct {
	sub *cascade.Subscription

	mu sync.Mutex // guards took
	took
}

type took struct {
	count   map[rotunda.Seq]int
	ages    []time.Duration
	last    time.Time
	longest time.Duration // between two frames
}

// now is what was taken since the last reset.
func (h *heard) now() took {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.took
	t.count, t.ages = maps.Clone(t.count), slices.Clone(t.ages)
	slices.Sort(t.ages)
	return t
}

func (w *world) listen(id rotunda.NodeID, s rotunda.StreamID, origin rotunda.NodeID, options ...cascade.Option) *heard {
	w.t.Helper()
	h := &heard{took: took{count: map[rotunda.Seq]int{}}}
	sub, err := w.nodes[id].Subscribe(s, origin, func(f *rotunda.Frame) {
		h.mu.Lock()
		defer h.mu.Unlock()
		now := time.Now()
		h.count[f.Seq]++
		h.ages = append(h.ages, now.Sub(time.UnixMicro(f.Origin)))
		if !h.last.IsZero() {
			h.longest = max(h.longest, now.Sub(h.last))
		}
		h.last = now
	}, options...)
	if err != nil {
		w.t.Fatal(err)
	}
	h.sub = sub
	return h
}

// reset forgets what was heard so far, but not when.
func (h *heard) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count, h.ages, h.longest = map[rotunda.Seq]int{}, nil, 0
}

func ids(members []rotunda.Member) []rotunda.NodeID {
	var out []rotunda.NodeID
	for _, m := range members {
		out = append(out, m.ID)
	}
	return out
}
