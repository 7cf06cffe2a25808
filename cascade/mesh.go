// Package cascade carries streams of frames between the nodes of the mesh: publish a stream here, subscribe to it
// anywhere. It owns the routing table (relay), the links and gossip, and wires them; decisions are in the pure packages
// wire, plan and relay.
//
// The invariant: a subscription lives until it is closed. Whatever fails on the way, it goes on looking for a path to the
// origin, and while there is one, frames come, each once. Frames wait for nothing but the network: no lock is held while a
// sink runs, no queue blocks, and nothing is allocated per frame.
//
// All exported methods may be called concurrently.
package cascade

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"rotunda"
	"rotunda/cascade/flood"
	"rotunda/cascade/gossip"
	"rotunda/cascade/link"
	"rotunda/cascade/nodecert"
	"rotunda/cascade/relay"
	"rotunda/metrics"
)

// Mesh is this node's place in the mesh.
type Mesh struct {
	cfg      Config
	log      *slog.Logger
	metrics  *metrics.Set
	gossip   *gossip.Gossip
	endpoint *link.Endpoint
	delayed  []*delayedConn
	wake     chan struct{} // capacity 1; a token when there is something to plan or to dial. Never closed
	regions  atomic.Pointer[map[netip.AddrPort]rotunda.Region]
	onFetch  atomic.Pointer[func(context.Context, rotunda.NodeID, []byte) []byte]

	mu      sync.Mutex // guards what follows
	core    *relay.Core
	members []rotunda.Member // newest snapshot
	peers   map[rotunda.NodeID]*peer
	ports   map[relay.Port]*link.Link
	port    relay.Port // last one given out
	pubs    map[relay.Key]*Publication
	wants   map[relay.Key]*want
	takers  map[*relay.Stream]*want // the same, as the path of a frame finds them
	due     map[*want]struct{}      // wants that have a plan to make
	judged  map[*want]struct{}      // wants of whose ways there is something to tell
	floods  *flood.Core
	heard   map[uint8]func(from rotunda.NodeID, payload []byte) // by kind of flood
	counted relay.Counts                                        // what of the table's has been added to the metrics
	trees   map[relay.Key]*tree                                 // streams on which notes go up or down
	asking  asking
	planted chan struct{} // capacity 1, a token when sumUp has not looked since a tree was made; never closed
}

// New checks the configuration and opens the sockets. It starts nothing: Run does.
func New(cfg Config) (*Mesh, error) {
	if cfg.Conn == nil || cfg.Roots == nil {
		return nil, errors.New("cascade: a socket and roots are needed")
	}
	m := &Mesh{
		cfg: cfg, log: cfg.Logger, metrics: cfg.Metrics, wake: make(chan struct{}, 1), core: relay.New(cfg.Self.ID),
		peers: map[rotunda.NodeID]*peer{}, ports: map[relay.Port]*link.Link{}, pubs: map[relay.Key]*Publication{},
		wants: map[relay.Key]*want{}, takers: map[*relay.Stream]*want{}, due: map[*want]struct{}{},
		judged: map[*want]struct{}{},
		floods: flood.New(), heard: map[uint8]func(rotunda.NodeID, []byte){}, trees: map[relay.Key]*tree{}, planted: make(chan struct{}, 1),
		asking: newAsking(cfg.Self.ID),
	}
	if m.log == nil {
		m.log = slog.Default()
	}
	if m.metrics == nil {
		m.metrics = metrics.Discard()
	}
	m.regions.Store(&map[netip.AddrPort]rotunda.Region{})
	if err := m.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("cascade: %w", err), cfg.Conn.Close())
	}
	m.members = m.gossip.Members()
	return m, nil
}

func (m *Mesh) open() (err error) {
	self, conn, network := m.cfg.Self, m.cfg.Conn, m.cfg.Gossip
	if self.Addresses.Cascade == "" {
		self.Addresses.Cascade = conn.LocalAddr().String()
		if a, err := netip.ParseAddrPort(self.Addresses.Cascade); err != nil || a.Addr().IsUnspecified() {
			return fmt.Errorf("%s is no address that others can use: an advertised address is needed", self.Addresses.Cascade)
		}
	}
	if m.cfg.Delay != nil {
		conn = m.delay(conn)
		if network.Network == nil {
			network.Network = gossip.Sockets()
		}
		network.Network = delayedNetwork{network.Network, m}
	}
	m.endpoint, err = link.New(link.Config{
		Conn: conn, Self: nodecert.Identity{Region: self.Region, ID: self.ID}, Certificate: m.cfg.Certificate, Roots: m.cfg.Roots,
		Known: m.known, Answer: m.answerFetch, Metrics: m.metrics,
	})
	if err != nil {
		return err
	}
	m.gossip, err = gossip.New(network, gossip.Node{
		Self: self, Certificate: m.cfg.Certificate, Roots: m.cfg.Roots, Metrics: m.metrics, Logger: m.log,
	})
	return err
}

// Run carries the mesh until ctx ends, then says goodbye; it returns after all its goroutines have ended and the sockets
// are closed. It must be called once.
func (m *Mesh) Run(ctx context.Context) error {
	dctx, stopDelay := context.WithCancel(context.WithoutCancel(ctx)) // the last packets are delayed too
	defer stopDelay()
	var delays sync.WaitGroup
	for _, d := range m.delayed {
		delays.Go(func() { d.run(dctx) })
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.gossip.Run(gctx) })
	g.Go(func() error {
		return m.endpoint.Run(gctx, func(l *link.Link) {
			g.Go(func() error { m.carry(gctx, l); return nil })
		})
	})
	g.Go(func() error { return m.schedule(gctx, g) })
	g.Go(func() error { return m.sumUp(gctx) })
	g.Go(func() error { return m.awaitAnswers(gctx) })
	for range answerers {
		g.Go(func() error { return m.answerQuestions(gctx) })
	}
	err := g.Wait()
	err = errors.Join(err, m.endpoint.Close())
	stopDelay()
	delays.Wait()
	return err
}

// Members is what this node knows of the mesh now, itself included, sorted by id. Members that died or left are listed for
// ten minutes.
func (m *Mesh) Members() []rotunda.Member { return m.gossip.Members() }

// SetLoad tells the mesh how busy this node is; the others know within seconds.
func (m *Mesh) SetLoad(l rotunda.Load) { m.gossip.SetLoad(l) }

// SetDraining tells the mesh whether this node takes new work: a draining node is chosen as a relay only where there is
// no other, and streams move away from it.
func (m *Mesh) SetDraining(draining bool) { m.gossip.SetDraining(draining) }

// SetIdentity has this node prove itself by another certificate of its own, and believe others by other roots, from now on. Links
// that are up go on as they are, but for those whose peers the new roots do not prove: each is replaced by one to the same peer, without
// a pause, or ends. On an error nothing has changed.
func (m *Mesh) SetIdentity(certificate tls.Certificate, roots *x509.CertPool) error {
	if err := m.endpoint.SetIdentity(certificate, roots); err != nil {
		return err
	}
	if err := m.gossip.SetIdentity(certificate, roots); err != nil {
		return err
	}
	m.renew()
	return nil
}

// SetGossipKeys has gossip encrypted with the first key, and decrypted with all of them and no others.
func (m *Mesh) SetGossipKeys(keys [][]byte) error { return m.gossip.SetKeys(keys) }

// Serving is how many streams other nodes pull from this one now.
func (m *Mesh) Serving() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.core.Stats().Out
}

// known reports whether a member is reached at a.
func (m *Mesh) known(a netip.AddrPort) bool {
	_, ok := (*m.regions.Load())[a]
	return ok
}

// look takes a new snapshot of the members.
func (m *Mesh) look() {
	members := m.gossip.Members()
	regions := map[netip.AddrPort]rotunda.Region{}
	for _, n := range members {
		for _, s := range []string{n.Addresses.Cascade, n.Addresses.Gossip} {
			if a, err := netip.ParseAddrPort(s); err == nil { // host names are not followed: this is for tests of one machine, and a saved round trip
				regions[netip.AddrPortFrom(a.Addr().Unmap(), a.Port())] = n.Region
			}
		}
	}
	m.regions.Store(&regions)
	m.mu.Lock()
	leaves := slices.ContainsFunc(members, func(n rotunda.Member) bool {
		return n.State == rotunda.Draining && slices.ContainsFunc(m.members, func(old rotunda.Member) bool { return old.ID == n.ID && old.State == rotunda.Alive })
	})
	m.members = members
	if leaves { // it waits for those who pull from it
		m.replan(time.Now())
	}
	for _, w := range m.wants {
		if w.key.Origin != m.cfg.Self.ID && w.stream.Path() == nil {
			m.plan(w, time.Now())
		}
	}
	m.mu.Unlock()
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
