// Package node assembles one process of the mesh: sockets, identity, the control log, the cascade, WebRTC, HTTP, and this
// node's part of every room. It knows all the other packages and decides nothing that they could: what a node has to do
// for a room is package duty's, who may do what is control/room's, where a frame goes is cascade's.
//
// The invariant: Run returns only after everything that it started has ended. A Node's methods may be called
// concurrently.
package node

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"rotunda"
	"rotunda/cascade"
	"rotunda/cascade/gossip"
	"rotunda/control"
	"rotunda/control/api"
	"rotunda/control/etcdlog"
	"rotunda/control/eventlog"
	"rotunda/control/fence"
	"rotunda/control/people"
	"rotunda/control/room"
	"rotunda/control/token"
	"rotunda/metrics"
	"rotunda/node/acme"
	"rotunda/node/config"
	"rotunda/node/egress"
	"rotunda/node/identity"
	"rotunda/node/presence"
	"rotunda/node/rtc"
)

// Build says what is running; it goes into rotunda_build_info, the members list and logs.
type Build struct{ Version, Revision string }

// Node is one process of the mesh. Make it with New, then Run it once.
type Node struct {
	cfg     config.Config
	build   Build
	logger  *slog.Logger
	metrics *metrics.Set
	keys    atomic.Pointer[keys]
	// identity is this node's certificate and the authorities of the mesh.
	identity atomic.Pointer[identity.Node]
	door     atomic.Pointer[api.API] // nil until the control log is there

	web, admin     net.Listener
	scraped        net.Listener                    // nil: admin has what is scraped, and nobody else
	webCertificate atomic.Pointer[tls.Certificate] // of http.cert
	acme           *acme.Manager                   // nil: the page's certificate comes from no authority by itself
	log            atomic.Pointer[etcdlog.Log]     // nil while there is none
	mesh           *cascade.Mesh
	listeners      *egress.Server   // owns the media socket
	media          *rtc.Server      // the microphones, on the same socket
	control        *control.Control // from start on
	rooms          *rooms           // from start on
	bg             *background

	began     time.Time
	drain     drain
	elsewhere func(nth int, room rotunda.RoomID) string // the address of another node that takes sessions of a room; from start on
	fences    atomic.Pointer[control.Control]           // who knows the rooms' fences; nil until there is a log
	regions   identity.RegionKeys                       // none: this node has no part in fenced rooms

	looks    *rate.Limiter
	holders  holders
	sessions struct{ listeners, speakers, http atomic.Int32 }

	playersMax atomic.Int32                  // of sessions.http
	limits     atomic.Pointer[config.Limits] // the newest
	ready      chan struct{}                 // closed when the node serves
}

// keys is what tokens are signed and checked with.
type keys struct {
	signer  *token.Signer // nil: nobody gets a token here
	keyring *token.Keyring
	ids     []string // of those in the ring, sorted
}

// New reads the files and opens the sockets that cfg names, so that what is wrong with them is known before anything
// runs. cfg is one that config.Load returned, or WithDefaults of it.
func New(cfg config.Config, build Build, logger *slog.Logger) (*Node, error) {
	n := &Node{
		cfg: cfg, build: build, logger: logger.With("node", cfg.ID), metrics: metrics.New(build.Version, build.Revision),
		bg: newBackground(), began: time.Now(), ready: make(chan struct{}), drain: drain{orders: make(chan order, 1)}, looks: rate.NewLimiter(lookAgain, lookAgain),
	}
	id, err := identity.LoadNode(cfg.TLS.CA, cfg.TLS.Cert, cfg.TLS.Key, time.Now())
	if err != nil {
		return nil, err
	}
	if id.ID != cfg.ID || id.Region != cfg.Region {
		return nil, fmt.Errorf("%s is the certificate of node %s in %s, not of %s in %s", cfg.TLS.Cert, id.ID, id.Region, cfg.ID, cfg.Region)
	}
	n.identity.Store(id)
	n.metrics.CertExpiry.With(certNode).Set(unix(id.NotAfter()))
	if cfg.HTTP.Cert != "" {
		if err := n.loadWebCertificate(cfg.HTTP); err != nil {
			return nil, err
		}
	}
	if len(cfg.ACME.Hosts) > 0 {
		if n.acme, err = n.openACME(); err != nil {
			return nil, err
		}
	}
	n.Reloaded(nil)
	if cfg.TLS.Region != "" {
		if n.regions, err = id.LoadRegionKeys(cfg.TLS.Region, time.Now()); err != nil {
			return nil, err
		}
	}
	k, err := loadKeys(cfg.Tokens)
	if err != nil {
		return nil, err
	}
	n.keys.Store(&k)
	if err := n.openSockets(id); err != nil {
		return nil, errors.Join(err, n.closeSockets())
	}
	if err := n.takeLimits(cfg.Limits); err != nil {
		return nil, errors.Join(err, n.closeSockets())
	}
	return n, nil
}

func loadKeys(cfg config.Tokens) (keys, error) {
	var k keys
	public := map[string]ed25519.PublicKey{}
	if cfg.SigningKey != "" {
		kid, private, err := identity.LoadSigningKey(cfg.SigningKey)
		if err != nil {
			return k, err
		}
		public[kid] = private.Public().(ed25519.PublicKey)
		if k.signer, err = token.NewSigner(kid, private); err != nil {
			return k, err
		}
	}
	for _, file := range cfg.Verify {
		kid, key, err := identity.LoadVerifyKey(file)
		if err != nil {
			return k, err
		}
		public[kid] = key
	}
	var err error
	k.ids = slices.Sorted(maps.Keys(public))
	k.keyring, err = token.NewKeyring(public)
	return k, err
}

func (n *Node) openSockets(id *identity.Node) (err error) {
	if n.admin, err = net.Listen("tcp", n.cfg.Admin.Listen); err != nil {
		return fmt.Errorf("admin.listen: %w", err)
	}
	if n.cfg.Admin.MetricsListen != "" {
		if n.scraped, err = net.Listen("tcp", n.cfg.Admin.MetricsListen); err != nil {
			return fmt.Errorf("admin.metrics_listen: %w", err)
		}
	}
	if n.web, err = net.Listen("tcp", n.cfg.HTTP.Listen); err != nil {
		return fmt.Errorf("http.listen: %w", err)
	}
	media, streams, err := listenMedia(n.cfg.Media.Listen)
	if err != nil {
		return fmt.Errorf("media.listen: %w", err)
	}
	addresses, err := mediaAddresses(n.cfg.Media.Advertise, media.LocalAddr().(*net.UDPAddr).AddrPort())
	if err == nil {
		n.listeners, err = egress.New(egress.Config{Conn: media, TCP: streams, Addresses: addresses, Metrics: n.metrics, Logger: n.logger})
	}
	if err != nil {
		return errors.Join(fmt.Errorf("media: %w", err), media.Close(), streams.Close())
	}
	if n.media, err = rtc.NewServer(rtc.Config{Conn: n.listeners.Rest(), Addresses: addresses, Metrics: n.metrics, Logger: n.logger}); err != nil {
		return fmt.Errorf("media: %w", err)
	}
	if n.mesh, err = n.openMesh(id); err != nil {
		return fmt.Errorf("cascade: %w", err)
	}
	return nil
}

func (n *Node) openMesh(id *identity.Node) (*cascade.Mesh, error) {
	gossipKeys, err := identity.LoadGossipKeys(n.cfg.Gossip.KeyFile)
	if err != nil {
		return nil, err
	}
	links, err := listenUDP(n.cfg.Cascade.Listen)
	if err != nil {
		return nil, fmt.Errorf("cascade.listen: %w", err)
	}
	var delay func(rotunda.Region) time.Duration
	if len(n.cfg.WAN) > 0 {
		delay = func(to rotunda.Region) time.Duration { return n.cfg.WAN[to] }
	}
	mesh, err := cascade.New(cascade.Config{
		Self: n.self(), Certificate: id.Certificate, Roots: id.Roots, Conn: links,
		Gossip: gossip.Config{
			Listen: n.cfg.Gossip.Listen, Advertise: n.cfg.Gossip.Advertise, Keys: gossipKeys, Label: n.cfg.Gossip.Label,
			Seeds: n.cfg.Gossip.Seeds,
		},
		Delay: delay, Sum: sumNotes, Join: joinAnswers, Answer: n.passing, Fence: n.fence, Metrics: n.metrics, Logger: n.logger,
	})
	if err != nil {
		return nil, errors.Join(err, links.Close())
	}
	return mesh, nil
}

// ways says by how many ways a room's program travels to this node, and the microphones that are mixed into one here: the room
// has the say, where it says anything.
func (n *Node) ways(h room.Hitless) []cascade.Option {
	if h == room.HitlessUnsaid {
		h = room.Hitless(n.cfg.Cascade.Hitless)
	}
	if h == room.HitlessOff {
		return nil
	}
	return []cascade.Option{cascade.Hitless}
}

// self is this node as the others see it.
func (n *Node) self() rotunda.Member {
	return rotunda.Member{
		ID: n.cfg.ID, Region: n.cfg.Region, Version: n.build.Version,
		Addresses: rotunda.Addresses{HTTP: n.cfg.HTTP.URL, Cascade: n.cfg.Cascade.Advertise},
	}
}

// socketBuffer is what UDP sockets ask of the kernel, in bytes: a burst of every session's packets must not be dropped
// while the reader is busy. The kernel may give less (net.core.rmem_max).
const socketBuffer = 4 << 20

func listenUDP(address string) (*net.UDPConn, error) {
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	c, err := net.ListenUDP("udp", a)
	if err != nil {
		return nil, err
	}
	return c, errors.Join(c.SetReadBuffer(socketBuffer), c.SetWriteBuffer(socketBuffer))
}

// mediaTries is how often a pair of ports is looked for where the system chooses: what is free for UDP need not be for TCP.
const mediaTries = 8

// listenMedia opens the media port, for UDP and for TCP.
func listenMedia(address string) (*net.UDPConn, net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	for try := 1; ; try++ {
		udp, err := listenUDP(address)
		if err != nil {
			return nil, nil, err
		}
		chosen := udp.LocalAddr().(*net.UDPAddr).Port
		tcp, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(chosen)))
		if err == nil {
			return udp, tcp, nil
		}
		_ = udp.Close()
		if port != "0" || try == mediaTries {
			return nil, nil, err
		}
	}
}

// mediaAddresses are the addresses that browsers are told to send to: those configured, or else the machine's own.
func mediaAddresses(advertise []string, bound netip.AddrPort) ([]netip.AddrPort, error) {
	var list []netip.AddrPort
	for _, a := range advertise {
		if ap, err := netip.ParseAddrPort(a); err == nil {
			list = append(list, ap)
			continue
		}
		ip, err := netip.ParseAddr(a)
		if err != nil {
			return nil, fmt.Errorf("media.advertise: %w", err)
		}
		list = append(list, netip.AddrPortFrom(ip, bound.Port()))
	}
	if len(list) > 0 {
		return list, nil
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range own {
		if p, ok := a.(*net.IPNet); ok && p.IP.IsGlobalUnicast() {
			ip, _ := netip.AddrFromSlice(p.IP)
			list = append(list, netip.AddrPortFrom(ip.Unmap(), bound.Port()))
		}
	}
	if len(list) == 0 {
		return nil, errors.New("media.advertise: this machine has no address of its own; say which to offer")
	}
	return list, nil
}

// Ready is closed when the node serves rooms.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Addresses are where the node's page and admin endpoints are, as opened: with the port that the system chose where the
// configuration says 0.
func (n *Node) Addresses() (web, admin net.Addr) { return n.web.Addr(), n.admin.Addr() }

// Run serves until ctx ends, or an operator has had the node drained. What can be seen from outside starts in the order in which it is useful: health first, the
// mesh and the log side by side, the doors when both are there.
func (n *Node) Run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.serveAdmin(gctx) })
	g.Go(func() error { return n.mesh.Run(gctx) })
	g.Go(func() error { return n.bg.run(gctx) })
	g.Go(func() error { return n.serve(gctx) })
	lctx, stopListeners := context.WithCancel(context.WithoutCancel(ctx)) // to the end: the socket is everybody's
	listening := make(chan error, 1)
	go func() { listening <- n.listeners.Run(lctx) }()
	err := errors.Join(g.Wait(), n.media.Close())
	stopListeners()
	err = errors.Join(err, <-listening)
	if ctx.Err() != nil || errors.Is(err, errDrained) {
		n.logger.Info("stopped")
		return nil
	}
	return err
}

// serve opens the log and then the doors.
func (n *Node) serve(ctx context.Context) error {
	log, err := etcdlog.Open(ctx, n.logConfig())
	if err != nil {
		return fmt.Errorf("control log: %w", err)
	}
	n.log.Store(log)
	defer func() {
		n.log.Store(nil)
		if err := log.Close(); err != nil {
			n.logger.Warn("the control log did not close cleanly", "error", err)
		}
	}()
	store, pictures, err := n.openPeople(log)
	if err != nil {
		return err
	}
	defer pictures.Close()
	ring, err := n.openFences(log)
	if err != nil {
		return err
	}
	n.control = control.New(n.controlConfig(log, ring))
	n.fences.Store(n.control)
	n.hearFacts()
	n.lendRooms()
	n.rooms = &rooms{
		node: n.cfg.ID, region: n.cfg.Region, control: n.control, mesh: n.mesh, ways: n.ways, fan: n.listeners.Room, bg: n.bg, metrics: n.metrics, logger: n.logger,
		profile: store.Profile, handsEvery: presence.HandsEvery, served: map[rotunda.RoomID]*roomServer{}, homes: map[rotunda.RoomID]bool{},
	}
	n.rooms.rings.Store(rewindRoomsMax)
	accounts, err := openSignIn(n.cfg.OIDC)
	if err != nil {
		return err
	}
	if accounts != nil {
		defer accounts.Close()
	}
	door, err := api.New(api.Config{
		Control: n.control, People: store, Pictures: pictures, Presence: attendance{n.rooms}, Replay: &rewinds{rooms: n.rooms}, Mesh: n.mesh, Self: n.self(),
		Keyring: n.keys.Load().keyring, Signer: n.keys.Load().signer, Guests: n.cfg.Tokens.Guests, Creator: api.Creator(n.cfg.Tokens.CreateRooms),
		SignIn: accounts, Metrics: n.metrics, Logger: n.logger, Address: api.Behind(n.cfg.HTTP.Proxies()),
	})
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.control.Run(gctx) })
	g.Go(func() error { return store.Run(gctx) })
	g.Go(func() error { return n.publishRegion(gctx, ring) })
	g.Go(func() error { return n.endRefused(gctx, store, door) })
	if err := n.opened(door); err != nil {
		return err
	}
	n.hearOrders()
	g.Go(func() error { return n.obey(gctx, door) })
	g.Go(func() error { return n.reportLoad(gctx, store) })
	g.Go(func() error { return n.openDoor(gctx, door) })
	g.Go(func() error {
		select {
		case <-store.Ready(): // until then nobody is believed
		case <-gctx.Done():
		}
		if err := n.announce(gctx); err != nil {
			return err
		}
		return n.rooms.run(gctx)
	})
	return g.Wait()
}

func (n *Node) controlConfig(log eventlog.Log, ring *fence.Ring) control.Config {
	return control.Config{
		Log: people.Rooms(log), Node: n.cfg.ID, Region: n.cfg.Region, Fence: ring, Witness: filepath.Join(n.cfg.Data, "witness"), Outage: n.outage(),
		Neighbours: n.neighbours(), Metrics: n.metrics, Logger: n.logger,
	}
}

// opened makes the API known to the rest of the node.
func (n *Node) opened(door *api.API) error {
	n.elsewhere = door.Elsewhere
	n.door.Store(door)
	k := n.keys.Load() // a reload may have come between
	return errors.Join(door.SetKeys(k.keyring, k.signer), n.takeLimits(*n.limits.Load()))
}

// logConfig translates the configuration of the control log.
func (n *Node) logConfig() etcdlog.Config {
	c := etcdlog.Config{
		Name: string(n.cfg.ID), DataDir: filepath.Join(n.cfg.Data, "log"),
		Join: n.cfg.Log.Join, ListenPeer: n.cfg.Log.ListenPeer, ListenClient: n.cfg.Log.ListenClient,
		Endpoints: n.cfg.Log.Endpoints, TLS: etcdlog.TLS{CA: n.cfg.TLS.CA, Cert: n.cfg.TLS.Cert, Key: n.cfg.TLS.Key}, Logger: n.logger,
	}
	if len(n.cfg.Log.Control) > 0 {
		c.Peers = map[string]string{}
	}
	for _, m := range n.cfg.Log.Control {
		c.Peers[string(m.ID)] = "https://" + m.Peer
		if !n.cfg.IsControl() {
			c.Endpoints = append(c.Endpoints, "https://"+m.Client)
		}
	}
	return c
}

// loadEvery is how often a node tells the others how busy it is.
const loadEvery = time.Second

// age is how long ago since was, in seconds; 0: never, or not yet by this node's clock.
func age(now, since time.Time) float64 {
	if since.IsZero() {
		return 0
	}
	return max(0, now.Sub(since).Seconds())
}

// reportLoad keeps the mesh and the metrics told of how many sessions there are, and the metrics of what waits for the operator.
func (n *Node) reportLoad(ctx context.Context, store *people.Store) error {
	t := time.NewTicker(loadEvery)
	defer t.Stop()
	var cpu cpuMeter
	for {
		listeners, speakers := n.sessions.listeners.Load()+n.sessions.http.Load(), n.sessions.speakers.Load()
		n.metrics.Listeners.Set(float64(listeners))
		n.metrics.Speakers.Set(float64(speakers))
		waiting, since := store.Waiting()
		n.metrics.Reports.Set(float64(waiting))
		n.metrics.ReportAge.Set(age(time.Now(), since))
		n.mesh.SetLoad(rotunda.Load{Listeners: uint32(listeners), Speakers: uint32(speakers), CPU: cpu.share(time.Now())})
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}
