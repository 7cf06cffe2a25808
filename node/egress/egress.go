// Package egress is the listeners' way out of a node: everything that takes audio over WebRTC, on the node's one media
// socket. It does what a listener needs and nothing else: ICE-lite, DTLS-SRTP, one track of Opus (a few for a speaker), so that ten
// thousand of them fit on a core. A packet of a room's program is built once; for each listener a header is written, the
// payload encrypted into its place in a batch, and the batch handed to the kernel with one call.
//
// # Who owns what
//
// A Server has a shard for each core. A session belongs to one shard, whose goroutine alone numbers, encrypts and sends its
// media. One goroutine reads the socket. A session has goroutines only while its DTLS handshake lasts; after that it is some
// kilobytes in tables. Nothing is allocated for a packet.
//
// # Invariants
//
//   - Who has not shown the session's password in a STUN check is sent nothing at all, and who has is sent less than they sent until
//     their handshake begins.
//   - No two different packets of a session have the same index (package srtp).
//   - What a peer can make the server keep is bounded; a full queue loses its oldest packets, which are counted.
//   - A datagram that is no session's goes to Rest: the microphones' stack shares the socket.
//
// All exported methods may be called concurrently.
package egress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"rotunda/metrics"
)

// Errors that callers tell apart.
var (
	// ErrOffer is wrapped by every error that is the offer's fault.
	ErrOffer = errors.New("the offer cannot be answered")
	// ErrBusy says that there is no room for another session, or not at the moment.
	ErrBusy = errors.New("too many listeners on this node")
	// ErrClosed says that the server is closed.
	ErrClosed = errors.New("the media server is closed")
)

// The bounds of a server.
const (
	// sessionsMaxDefault is how many sessions there are at most, unless the configuration says otherwise: at 16 KiB each.
	sessionsMaxDefault = 20_000
	// pendingMax is how many of them may be without a finished handshake.
	pendingMax = 2048
	// addressesMax bounds the candidates of an answer.
	addressesMax = 16
	// datagramMax is the longest datagram that a session has use for: an Ethernet frame's worth.
	datagramMax = 1500
)

// How long things take.
const (
	connectWithin = 10 * time.Second
	// pausedAfter: a client checks its path every five seconds at the slowest (RFC 7675 §5.1, with 20 % of jitter). One that has
	// been silent for longer is sent nothing until it is heard again.
	pausedAfter = 8 * time.Second
	// goneAfter is when a silent client has no session any more (RFC 7675 §5.1: consent expires after 30 seconds).
	goneAfter = 30 * time.Second
	// sweepEvery is how often it is looked for those.
	sweepEvery = time.Second
	// lateMax is how long packets wait for a shard on the mean, before it turns to them, while newcomers are let in: what the node may add
	// to a packet's age (goals.md: p99 3 ms) is a mean of less; 10 ms is a machine that does not keep up.
	lateMax = 10 * time.Millisecond
	// busyMax is the share of its time that a shard may be busy with packets while newcomers are let in. What is left is for those who come
	// within the second that it is measured over, and for the rest of the node.
	busyMax = 0.92
)

// Config is what a Server is made of.
type Config struct {
	// Conn is the node's media socket, for UDP. The server owns it from then on and closes it.
	Conn net.PacketConn
	// TCP listens on the same port, for those whose networks let no UDP through; nil: there is none. It is the server's as well.
	TCP net.Listener
	// Addresses are the host candidates to offer, best first: where Conn is reached from outside. Loopback addresses are
	// allowed. At least one, at most 16.
	Addresses   []netip.AddrPort
	SessionsMax int          // 0 means 20,000
	Shards      int          // 0 means one a core
	Metrics     *metrics.Set // nil: not counted
	Logger      *slog.Logger // nil: silent
}

// Server answers the offers of listeners.
type Server struct {
	addresses   []netip.AddrPort
	sessionsMax atomic.Int64
	metrics     *metrics.Set
	logger      *slog.Logger
	socket      socket
	rest        *Rest
	streams     streams
	shards      []*shard
	losses      losses
	handshakes  handshakes
	cert        certificates

	running sync.WaitGroup // callbacks of sessions that have ended
	pending atomic.Int32   // sessions that are not connected

	mu         sync.RWMutex // guards what follows
	byFragment map[string]*Session
	byAddress  map[netip.AddrPort]*Session
	sessions   map[*Session]struct{}
	closed     bool
}

// New takes over cfg.Conn; when it fails, the socket stays the caller's. The server serves while Run runs.
func New(cfg Config) (*Server, error) {
	if cfg.Conn == nil {
		return nil, errors.New("egress: no socket")
	}
	if len(cfg.Addresses) == 0 || len(cfg.Addresses) > addressesMax {
		return nil, fmt.Errorf("egress: %d addresses to offer, want 1 to %d", len(cfg.Addresses), addressesMax)
	}
	for _, a := range cfg.Addresses {
		if !a.IsValid() || a.Addr().IsUnspecified() || a.Port() == 0 {
			return nil, fmt.Errorf("egress: %s cannot be offered as a candidate", a)
		}
	}
	sock, err := newSocket(cfg.Conn)
	if err != nil {
		return nil, fmt.Errorf("egress: %v", err)
	}
	s := &Server{
		addresses: cfg.Addresses, metrics: cfg.Metrics, logger: cfg.Logger, socket: sock,
		byFragment: map[string]*Session{}, byAddress: map[netip.AddrPort]*Session{}, sessions: map[*Session]struct{}{},
	}
	s.SetSessionsMax(cmp.Or(cfg.SessionsMax, sessionsMaxDefault))
	if s.metrics == nil {
		s.metrics = metrics.Discard()
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	s.streams.listener = cfg.TCP
	s.losses.gauge = s.metrics.EgressLost
	s.rest = newRest(sock)
	n := cfg.Shards
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	s.handshakes.max, s.handshakes.cores, s.handshakes.late = handshakesPerCore*n, n, s.late
	for i := range n {
		s.shards = append(s.shards, newShard(s, i))
	}
	return s, nil
}

// Rest is the part of the socket that is not the listeners': whatever no session here knows arrives there.
func (s *Server) Rest() *Rest { return s.rest }

// Close closes the socket of a server that does not run.
func (s *Server) Close() error {
	s.rest.Close()
	s.streams.close()
	return s.socket.close()
}

// Run serves until ctx ends. It returns when all sessions have ended and everything that it started has, and the
// socket is closed.
func (s *Server) Run(ctx context.Context) error {
	sctx, stopShards := context.WithCancel(context.WithoutCancel(ctx)) // they say goodbye
	defer stopShards()
	g, gctx := errgroup.WithContext(context.WithoutCancel(ctx))
	for _, sh := range s.shards {
		g.Go(func() error { return sh.run(sctx) })
	}
	g.Go(func() error { return s.read() })
	if s.streams.listener != nil {
		g.Go(s.accept)
	}
	sweeper := time.NewTicker(sweepEvery)
	defer sweeper.Stop()
	for {
		select {
		case <-ctx.Done():
			s.shut()
			stopShards()
			s.running.Wait()
			s.handshakes.wait()
			closing := s.Close()
			return errors.Join(g.Wait(), closing)
		case <-gctx.Done():
			s.shut()
			stopShards()
			closing := s.Close()
			return errors.Join(g.Wait(), closing)
		case now := <-sweeper.C:
			for _, sh := range s.shards {
				sh.measure(now)
			}
			s.sweep(now)
		}
	}
}

// shut ends all sessions and waits until they have ended.
func (s *Server) shut() {
	s.mu.Lock()
	s.closed = true
	var all []*Session
	for n := range s.sessions {
		all = append(all, n)
	}
	s.mu.Unlock()
	for _, n := range all {
		n.Close()
	}
	for _, n := range all {
		<-n.done
	}
}

// sweep ends the sessions that never came up and those of clients that are gone.
func (s *Server) sweep(now time.Time) {
	var over []*Session
	s.mu.RLock()
	for n := range s.sessions {
		if !n.up.Load() && now.Sub(n.asked) > connectWithin || n.up.Load() && now.UnixNano()-n.heard.Load() > int64(goneAfter) {
			over = append(over, n)
		}
	}
	s.mu.RUnlock()
	for _, n := range over {
		n.Close()
	}
}

// SetSessionsMax replaces how many sessions there are at most; those that there are stay.
func (s *Server) SetSessionsMax(n int) { s.sessionsMax.Store(int64(n)) }

// admit adds a session unless there is no place for it. Newcomers wait elsewhere while the node cannot keep up with those who listen.
func (s *Server) admit(n *Session) error {
	for _, sh := range s.shards {
		if sh.late() > lateMax || sh.share() > busyMax {
			return fmt.Errorf("%w: it has its hands full", ErrBusy)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case len(s.sessions) >= int(s.sessionsMax.Load()), s.pending.Load() >= pendingMax:
		return ErrBusy
	}
	s.sessions[n] = struct{}{}
	s.byFragment[n.fragment] = n
	s.pending.Add(1)
	return nil
}

// late is how far behind the slowest shard is.
func (s *Server) late() (most time.Duration) {
	for _, sh := range s.shards {
		most = max(most, sh.late())
	}
	return most
}

// forget takes a session out of all tables.
func (s *Server) forget(n *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.sessions[n]; !ok {
		return
	}
	delete(s.sessions, n)
	delete(s.byFragment, n.fragment)
	delete(s.byFragment, n.former.fragment)
	for _, a := range n.addresses {
		if s.byAddress[a] == n {
			delete(s.byAddress, a)
		}
	}
	n.addresses = nil
	if !n.wasUp {
		s.pending.Add(-1)
	}
}
