// Package gossip keeps the list of the mesh's members: memberlist finds the nodes and notices when they fail, and every
// node describes itself in a record of at most 512 octets, its metadata. It is the only importer of memberlist and of
// serf's Vivaldi coordinates. Everything it knows is a hint for planning; that a stream has stopped is seen on the links.
//
// # Who may say what
//
// The invariant: nobody is shown as a member on anybody else's word. memberlist trusts whoever holds its key with
// everything, so each record carries a signature by the key of the node's certificate. A certificate is too long
// for metadata, so it travels once, apart: in the state that two nodes exchange when one joins, and in a message (hello)
// that a node asks for when it meets a name whose key it does not have. The certificate is checked against the roots
// like that of a link, and must name the node and region of the record. Until then the node is not listed; after, a
// record with another signature, another gossip address than the packet's, or an older date is dropped and counted. The
// answers to pings, which carry fresher coordinates, are signed too. Whoever holds only the gossip key can thus lie about
// nobody: it can delay news, and claim that a node is dead until the node itself objects.
//
// All exported methods may be called concurrently.
package gossip

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/coordinate"
	"golang.org/x/sync/errgroup"

	"rotunda"
	"rotunda/cascade/nodecert"
	"rotunda/metrics"
)

const (
	// probeTimeout is above the worst round trip between two places on earth, about 400 ms, and under the second
	// between two probes. With memberlist's other LAN settings a dead node is known everywhere within about ten seconds.
	probeTimeout = 700 * time.Millisecond
	// suspicionMult bounds how long a suspect has to object where few confirm the suspicion: three times the usual four
	// seconds (memberlist's six would be 24 s in a small mesh).
	suspicionMult = 3
	// streamTimeout bounds one exchange over a stream.
	streamTimeout = 3 * time.Second
	// leaveMax is how long each of the two steps of saying goodbye may take.
	leaveMax = time.Second
	// keepGone is how long a member that died or left is listed.
	keepGone = 10 * time.Minute
	// membersMax bounds the nodes remembered, proven or not; memberlist is not told of more.
	membersMax = 2048
)

// Node is what gossip says and proves about this node.
type Node struct {
	Self        rotunda.Member // id, region, version, addresses; an empty Addresses.Gossip is filled in
	Certificate tls.Certificate
	Roots       *x509.CertPool
	Metrics     *metrics.Set
	Logger      *slog.Logger
}

// Gossip is this node's view of the members.
type Gossip struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics.Set
	ring    *memberlist.Keyring // nil: nothing is encrypted
	address netip.AddrPort

	packets net.PacketConn
	streams net.Listener
	vivaldi *coordinate.Client

	changed chan struct{} // capacity 1; a token when Members has changed. Never closed
	wake    chan struct{} // capacity 1; a token when the own record has to be looked at. Never closed
	hellos  chan hello    // from memberlist's goroutines to loop; never closed
	jobs    chan func()   // from loop to the couriers; never closed

	mu      sync.Mutex // guards what follows
	roots   *x509.CertPool
	key     crypto.Signer
	hello   []byte // this node's certificates, encoded
	renewed bool   // they are others, and have to be told
	self    rotunda.Member
	signed  int64     // of the own record, ms since 1970
	sealed  []byte    // the own record
	sealAt  time.Time // when it was made
	told    rotunda.Member
	entries map[rotunda.NodeID]*entry
	gauges  map[[2]string]int // last published rotunda_members, by region and state
}

// New checks the configuration and opens the sockets. It starts nothing.
func New(cfg Config, node Node) (*Gossip, error) {
	if cfg.Network == nil {
		cfg.Network = sockets{}
	}
	key, ok := node.Certificate.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("node certificate has no key that signs")
	}
	vivaldi, err := coordinate.NewClient(coordinate.DefaultConfig())
	if err != nil {
		return nil, err
	}
	g := &Gossip{
		cfg: cfg, log: node.Logger, metrics: node.Metrics, roots: node.Roots, key: key, self: node.Self, vivaldi: vivaldi,
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1), hellos: make(chan hello, 64), jobs: make(chan func(), 64),
		entries: map[rotunda.NodeID]*entry{}, gauges: map[[2]string]int{},
	}
	if g.log == nil {
		g.log = slog.Default()
	}
	if g.metrics == nil {
		g.metrics = metrics.Discard()
	}
	if g.hello, err = encodeHello(g.self.ID, node.Certificate.Certificate); err != nil {
		return nil, err
	}
	for i, k := range cfg.Keys {
		if err := memberlist.ValidateKey(k); err != nil {
			return nil, fmt.Errorf("gossip key %d: %w", i, err)
		}
	}
	if len(cfg.Keys) > 0 {
		if g.ring, err = memberlist.NewKeyring(cfg.Keys, cfg.Keys[0]); err != nil {
			return nil, fmt.Errorf("gossip keys: %w", err)
		}
	}
	if err := g.open(); err != nil {
		return nil, err
	}
	g.self.State = rotunda.Alive
	g.self.Addresses.Gossip = g.address.String()
	err = checkRecord(g.self)
	if err == nil {
		err = g.reseal(time.Now())
	}
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// open opens both sockets on one port.
func (g *Gossip) open() (err error) {
	const tries = 10 // a port that is free for UDP need not be for TCP
	for range tries {
		if g.packets, err = g.cfg.Network.ListenPacket(g.cfg.Listen); err != nil {
			return fmt.Errorf("gossip: %w", err)
		}
		if g.streams, err = g.cfg.Network.Listen(g.packets.LocalAddr().String()); err == nil {
			break
		}
		g.packets.Close()
		if !strings.HasSuffix(g.cfg.Listen, ":0") {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	advertise := g.cfg.Advertise
	if advertise == "" {
		advertise = g.packets.LocalAddr().String()
	}
	g.address, err = resolve(advertise)
	if err == nil && g.address.Addr().IsUnspecified() {
		err = fmt.Errorf("%s is no address that others can use: an advertised address is needed", advertise)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("gossip: %w", err), g.Close())
	}
	return nil
}

func resolve(address string) (netip.AddrPort, error) {
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), nil
}

// Close closes the sockets of a Gossip that was not run; Run does so itself.
func (g *Gossip) Close() error { return errors.Join(g.packets.Close(), g.streams.Close()) }

// Address is the host:port that other nodes use.
func (g *Gossip) Address() string { return g.address.String() }

// Changed has a token after Members has changed, one for one change or several.
func (g *Gossip) Changed() <-chan struct{} { return g.changed }

// SetLoad says how busy this node is. It is told to the others within seconds.
func (g *Gossip) SetLoad(l rotunda.Load) {
	g.mu.Lock()
	g.self.Load = l
	g.mu.Unlock()
}

// SetDraining says whether this node takes new work. It is told to the others at once.
func (g *Gossip) SetDraining(draining bool) {
	g.mu.Lock()
	g.self.State = rotunda.Alive
	if draining {
		g.self.State = rotunda.Draining
	}
	g.mu.Unlock()
	token(g.wake)
	token(g.changed)
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Members is what is known of the mesh now, this node included, sorted by id.
func (g *Gossip) Members() []rotunda.Member {
	g.mu.Lock()
	self := g.self
	members := make([]rotunda.Member, 0, 1+len(g.entries))
	for _, e := range g.entries {
		if e.believed {
			members = append(members, e.view())
		}
	}
	g.mu.Unlock()
	self.Coordinate = ours(g.vivaldi.GetCoordinate())
	members = append(members, self)
	slices.SortFunc(members, func(a, b rotunda.Member) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return members
}

// Run gossips until ctx ends, then says goodbye. It closes the sockets.
func (g *Gossip) Run(ctx context.Context) error {
	t := &transport{
		packets: g.packets, listener: g.streams, advertise: g.address, done: make(chan struct{}),
		packetCh: make(chan *memberlist.Packet), streamCh: make(chan net.Conn),
		dial: func(address string, timeout time.Duration) (net.Conn, error) {
			dctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			return g.cfg.Network.Dial(dctx, address)
		},
	}
	t.start()
	conf, err := g.memberlistConfig(t)
	if err != nil {
		return errors.Join(err, t.Shutdown())
	}
	ml, err := memberlist.Create(conf)
	if err != nil {
		return errors.Join(fmt.Errorf("gossip: %w", err), t.Shutdown())
	}
	grp, gctx := errgroup.WithContext(ctx)
	grp.Go(func() error { return g.loop(gctx, ml) })
	grp.Go(func() error { return g.join(gctx, ml) })
	for range couriers {
		grp.Go(func() error { return g.deliver(gctx) })
	}
	err = grp.Wait()
	if ctx.Err() != nil {
		err = nil
	}
	if lerr := g.goodbye(ml); lerr != nil {
		g.log.Info("left without a goodbye", "err", lerr)
	}
	return errors.Join(err, ml.Shutdown())
}

func (g *Gossip) memberlistConfig(t *transport) (*memberlist.Config, error) {
	c := memberlist.DefaultLANConfig()
	c.Name = string(g.self.ID)
	c.Transport = t
	c.Label = g.cfg.Label
	c.ProbeTimeout = probeTimeout
	c.TCPTimeout = streamTimeout
	c.SuspicionMaxTimeoutMult = suspicionMult
	c.EnableCompression = false // there is little to gain, and decompressing is work for strangers
	c.DeadNodeReclaimTime = 10 * time.Second
	c.Logger = logger(g)
	d := delegate{g}
	c.Delegate, c.Events, c.Alive, c.Ping, c.Conflict = d, d, d, d, d
	c.DelegateProtocolMin, c.DelegateProtocolMax, c.DelegateProtocolVersion = 1, 1, 1
	c.Keyring = g.ring
	return c, nil
}

const (
	joinFirst = 250 * time.Millisecond // pause after the first failed try to find the mesh, doubling
	joinMax   = 10 * time.Second
	joinAgain = 30 * time.Second // pause between looks for seeds that are not members: mends a split mesh
	// A node that has just joined compares views with its seeds a few times more: news of nodes that start together can
	// miss each other, and the regular comparison is half a minute away.
	compareEvery = 2 * time.Second
	compareTimes = 3
)

// join finds the mesh through the seeds, and goes on looking for seeds that are not members.
func (g *Gossip) join(ctx context.Context, ml *memberlist.Memberlist) error {
	failed, compared := joinFirst, 0
	for {
		pause := joinAgain
		seeds := g.others()
		if compared >= compareTimes {
			seeds = g.missing()
		}
		if len(seeds) > 0 {
			n, err := ml.Join(seeds)
			switch {
			case n > 0 && compared < compareTimes:
				compared++
				pause = compareEvery
			case n == 0 && ml.NumMembers() == 1:
				g.log.Debug("no seed answers", "seeds", seeds, "err", err)
				pause = failed
				failed = min(2*failed, joinMax)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// others lists the seeds that are not this node.
func (g *Gossip) others() []string {
	return slices.DeleteFunc(slices.Clone(g.cfg.Seeds), func(s string) bool {
		return s == g.cfg.Listen || s == g.cfg.Advertise || s == g.address.String()
	})
}

// missing lists the seeds that are not the address of this node or of a member.
func (g *Gossip) missing() []string {
	known := map[string]bool{}
	g.mu.Lock()
	for _, e := range g.entries {
		if e.joined && !e.gone {
			known[e.address.String()] = true
		}
	}
	g.mu.Unlock()
	return slices.DeleteFunc(g.others(), func(s string) bool { return known[s] })
}

// ours turns serf's coordinate into the vocabulary's.
func ours(c *coordinate.Coordinate) rotunda.Coordinate {
	out := rotunda.Coordinate{Error: c.Error, Adjustment: c.Adjustment, Height: c.Height}
	copy(out.Vec[:], c.Vec)
	return out
}

// theirs is the inverse of ours.
func theirs(c rotunda.Coordinate) *coordinate.Coordinate {
	return &coordinate.Coordinate{Vec: slices.Clone(c.Vec[:]), Error: c.Error, Adjustment: c.Adjustment, Height: c.Height}
}

// verifyChain checks certificates that came by gossip.
func (g *Gossip) verifyChain(der [][]byte) (nodecert.Identity, crypto.PublicKey, error) {
	chain, err := nodecert.Parse(der)
	if err != nil {
		return nodecert.Identity{}, nil, err
	}
	g.mu.Lock()
	roots := g.roots
	g.mu.Unlock()
	id, err := nodecert.Verify(chain, roots, time.Now(), x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nodecert.Identity{}, nil, err
	}
	return id, chain[0].PublicKey, nil
}
