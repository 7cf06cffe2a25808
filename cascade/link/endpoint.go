// Package link is the QUIC connection between two nodes: mutual TLS 1.3 under ALPN "rotunda/1", frames in datagrams, and
// one stream for control messages. It is the only importer of quic-go.
//
// A Link is one connection, and further ones for datagrams when one's congestion window is too small: see ALPNLane. What is
// asked of one node and may be long to answer has a connection for itself: see ALPNFetch. Nothing here stands against two links to one peer: package cascade decides.
//
// The invariant: whatever the peer or the network does, a Send returns at once, memory for a link is bounded, and a peer
// that has gone silent is noticed within SilenceMax. All exported methods may be called concurrently.
package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
	"golang.org/x/time/rate"

	"rotunda/cascade/nodecert"
	"rotunda/metrics"
)

// Reasons of rotunda_cascade_dropped_total that this package gives.
const (
	dropQueueFull = "queue_full"
	dropLate      = "late"
	dropMalformed = "malformed"
	dropNotMember = "not_member"
)

// ErrNotMember is wrapped when the other end did not prove to be the node it should be.
var ErrNotMember = nodecert.ErrNotMember

const (
	// handshakeMax is how long the peer may be silent during a handshake: several round trips to the far side of the
	// world, since the first packet may be lost.
	handshakeMax = 2 * time.Second
	// idleMax is QUIC's own limit. It matters only where our heartbeats do not run, that is never.
	idleMax = 5 * time.Second
	// unverifiedRate is how many handshakes a second may come from a member's address before their sources have to be
	// verified: nobody gets more than this sent to a member by forging its address (RFC 9000 §8.1).
	unverifiedRate = 20
)

// Config is what an Endpoint needs. All but Known, Answer and Metrics are required.
type Config struct {
	Conn        net.PacketConn // owned by the endpoint
	Self        nodecert.Identity
	Certificate tls.Certificate
	Roots       *x509.CertPool
	// Known reports whether a member is reached at the address. Handshakes from elsewhere pay a round trip to prove that
	// their source is real (Retry); nil: all do.
	Known func(netip.AddrPort) bool
	// Answer answers a Fetch of the node from with at most FetchedMax octets; empty: it has nothing to say. It may be called
	// concurrently and returns soon after ctx ends; nil: fetches are refused.
	Answer  func(ctx context.Context, from nodecert.Identity, question []byte) []byte
	Metrics *metrics.Set
}

// Endpoint is this node's socket for links.
type Endpoint struct {
	cfg       Config
	transport *quic.Transport
	limiter   *rate.Limiter
	links     links
	proof     atomic.Pointer[proof]
	plain     bool // frames never go again; for measurements of what that is worth
}

// New makes an endpoint. It starts nothing.
func New(cfg Config) (*Endpoint, error) {
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.Discard()
	}
	key, err := resetKey(cfg.Certificate)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{cfg: cfg, limiter: rate.NewLimiter(unverifiedRate, unverifiedRate), links: links{byName: map[string]*Link{}}}
	if err := e.SetIdentity(cfg.Certificate, cfg.Roots); err != nil {
		return nil, err
	}
	e.transport = &quic.Transport{
		Conn: cfg.Conn, StatelessResetKey: key, VerifySourceAddress: e.suspicious, Tracer: garbage{e}, ConnectionIDLength: 8,
	}
	return e, nil
}

// proof is what this node shows, and what it believes others by.
type proof struct {
	certificate tls.Certificate
	roots       *x509.CertPool
}

// SetIdentity has the handshakes that follow show another certificate of this node, and believe by other roots. Links that are
// up go on, whatever Believes says of them now. On an error nothing has changed.
func (e *Endpoint) SetIdentity(certificate tls.Certificate, roots *x509.CertPool) error {
	chain, err := nodecert.Parse(certificate.Certificate)
	if err != nil {
		return err
	}
	id, err := nodecert.Verify(chain, roots, time.Now(), x509.ExtKeyUsageClientAuth)
	if err != nil {
		return fmt.Errorf("own certificate: %w", err)
	}
	if id != e.cfg.Self {
		return fmt.Errorf("own certificate names %s, this node is %s", id, e.cfg.Self)
	}
	e.proof.Store(&proof{certificate, roots})
	return nil
}

// Believes reports whether what the link's peer showed in the handshake proves it still: its authority may be gone, or its time over.
func (e *Endpoint) Believes(l *Link) bool {
	_, err := nodecert.Verify(l.conn.ConnectionState().TLS.PeerCertificates, e.proof.Load().roots, time.Now(), l.usage())
	return err == nil
}

func (e *Endpoint) dropped(reason string) { e.cfg.Metrics.CascadeDropped.With(reason).Inc() }

// suspicious reports whether a handshake from a has to prove its source first.
func (e *Endpoint) suspicious(a net.Addr) bool {
	u, ok := a.(*net.UDPAddr)
	if !ok || e.cfg.Known == nil || !e.cfg.Known(netip.AddrPortFrom(u.AddrPort().Addr().Unmap(), u.AddrPort().Port())) {
		return true
	}
	return !e.limiter.Allow()
}

// garbage counts packets that belong to no connection and cannot begin one.
type garbage struct{ e *Endpoint }

func (g garbage) RecordEvent(ev qlogwriter.Event) {
	if _, ok := ev.(qlog.PacketDropped); ok {
		g.e.dropped(dropMalformed)
	}
}

func (garbage) Close() error { return nil }

func quicConfig(streams int64) *quic.Config {
	return &quic.Config{
		Versions:             []quic.Version{quic.Version1},
		HandshakeIdleTimeout: handshakeMax, MaxIdleTimeout: idleMax,
		MaxIncomingStreams: streams, MaxIncomingUniStreams: -1,
		// Only control messages come on streams.
		InitialStreamReceiveWindow: 64 << 10, MaxStreamReceiveWindow: 256 << 10,
		InitialConnectionReceiveWindow: 64 << 10, MaxConnectionReceiveWindow: 256 << 10,
		EnableDatagrams: true,
	}
}

// Run accepts links until ctx ends and hands each to accept, which must not block; each link's Run has to be called.
func (e *Endpoint) Run(ctx context.Context, accept func(*Link)) error {
	l, err := e.transport.Listen(e.serverTLS(), quicConfig(1))
	if err != nil {
		return fmt.Errorf("listen for links: %w", err)
	}
	strays := make(chan struct{})
	go func() {
		defer close(strays)
		var b [1]byte
		for {
			if _, _, err := e.transport.ReadNonQUICPacket(ctx, b[:]); err != nil {
				return
			}
			e.dropped(dropMalformed)
		}
	}()
	var answering sync.WaitGroup
	fetches := make(chan struct{}, fetchesMax)
	for {
		conn, err := l.Accept(ctx)
		if err != nil {
			<-strays
			answering.Wait()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept links: %w", err)
		}
		switch conn.ConnectionState().TLS.NegotiatedProtocol {
		case ALPNLane:
			e.links.join(conn)
			continue
		case ALPNFetch:
			select {
			case fetches <- struct{}{}:
				answering.Go(func() {
					e.answer(ctx, conn)
					<-fetches
				})
			default: // who asked asks somebody else
				conn.CloseWithError(code(ErrProtocol), "")
			}
			continue
		}
		if link, err := e.newLink(conn, false); err == nil {
			accept(link)
		}
	}
}

// Close closes the socket. Links that are still up end without a word to the peer.
func (e *Endpoint) Close() error {
	return errors.Join(e.transport.Close(), e.cfg.Conn.Close())
}

// Dial connects to the node want at address (host:port); any other node there is an error that wraps ErrNotMember.
func (e *Endpoint) Dial(ctx context.Context, address string, want nodecert.Identity) (*Link, error) {
	addr, err := resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	conn, err := e.transport.Dial(ctx, addr, e.clientTLS(want), quicConfig(-1))
	if err != nil {
		return nil, fmt.Errorf("dial %s at %s: %w", want, address, err)
	}
	return e.newLink(conn, true)
}

func resolve(ctx context.Context, address string) (net.Addr, error) {
	if ap, err := netip.ParseAddrPort(address); err == nil {
		return net.UDPAddrFromAddrPort(ap), nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return nil, err
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(ips[0].Unmap(), uint16(n))), nil
}
