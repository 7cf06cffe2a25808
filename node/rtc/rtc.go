// Package rtc is where audio enters the mesh as WebRTC: a server of microphones whose sessions all share one UDP socket, and
// the client half, of speakers and listeners, that the terminal commands and the tests use. Listeners are package egress's.
//
// # The server
//
// It is an ICE-lite agent (RFC 8445 §2.5): it offers its configured addresses, answers checks and starts none. Offers are
// rewritten before pion sees them (canonicalOffer), answers before the peer does (finishAnswer), so that
//
//   - nothing is ever sent to an address that has not proven, by a STUN check with the session's own password, that it
//     asked for it: the candidates of an offer are dropped unread;
//   - the candidates of an answer are exactly the configured ones, whatever the socket is bound to;
//   - a peer can negotiate Opus audio and nothing else.
//
// Publish opens a session that gives audio (WHIP, RFC 9725). A session ends by Close, by a
// DTLS close_notify from the peer, or about ten seconds after the peer was last heard, and then holds nothing any more.
//
// A peer can harm its own session only: what it can make the server keep is bounded, and a panic while its packets are
// handled ends that one session.
package rtc

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5/stdnet"
	"github.com/pion/webrtc/v4"

	"rotunda/metrics"
)

// Errors that callers tell apart.
var (
	// ErrOffer is wrapped by every error that is the offer's fault.
	ErrOffer = errors.New("the offer cannot be answered")
	// ErrBusy says that the server has as many sessions as it may.
	ErrBusy = errors.New("too many media sessions on this node")
	// ErrClosed says that the server is closed.
	ErrClosed = errors.New("the media server is closed")
)

// sessionsMaxDefault bounds the sessions of a node unless the configuration says otherwise. A session of this general
// stack holds a quarter of a megabyte.
const sessionsMaxDefault = 4000

// Config is what a Server is made of.
type Config struct {
	// Conn is the UDP socket of all sessions, or a share of one. The server owns it from then on and closes it.
	Conn net.PacketConn
	// Addresses are the host candidates to offer, best first: where Conn is reached from outside, which behind a 1:1 NAT
	// is not where it is bound. Loopback addresses are allowed. At least one, at most addressesMax.
	Addresses []netip.AddrPort
	// SessionsMax bounds the sessions; 0 means sessionsMaxDefault.
	SessionsMax int
	Metrics     *metrics.Set // nil: not counted
	Logger      *slog.Logger // nil: silent
}

// addressesMax bounds the candidates of an answer.
const addressesMax = 16

// Server answers offers. All methods may be called concurrently.
type Server struct {
	addresses   []netip.AddrPort
	sessionsMax atomic.Int64
	metrics     *metrics.Set
	logger      *slog.Logger
	mux         *mux
	settings    webrtc.SettingEngine // copied for each session

	mu       sync.Mutex // guards the rest
	sessions map[*Session]struct{}
	closed   bool
	cert     webrtc.Certificate
	certFrom time.Time

	ended sync.WaitGroup // one for each session whose goroutine runs
}

// NewServer takes over cfg.Conn and starts to serve it; when it fails, the socket stays the caller's.
func NewServer(cfg Config) (*Server, error) {
	if cfg.Conn == nil {
		return nil, errors.New("rtc: no socket")
	}
	if len(cfg.Addresses) == 0 || len(cfg.Addresses) > addressesMax {
		return nil, fmt.Errorf("rtc: %d addresses to offer, want 1 to %d", len(cfg.Addresses), addressesMax)
	}
	for _, a := range cfg.Addresses {
		if !a.IsValid() || a.Addr().IsUnspecified() || a.Port() == 0 {
			return nil, fmt.Errorf("rtc: %s cannot be offered as a candidate", a)
		}
	}
	s := &Server{
		addresses: cfg.Addresses, metrics: cfg.Metrics, logger: cfg.Logger,
		sessions: map[*Session]struct{}{},
	}
	s.SetSessionsMax(cmp.Or(cfg.SessionsMax, sessionsMaxDefault))
	if s.metrics == nil {
		s.metrics = metrics.Discard()
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	system, err := stdnet.NewNet() // one for all sessions: each would list the machine's interfaces again
	if err != nil {
		return nil, fmt.Errorf("rtc: network interfaces: %v", err)
	}
	logs := pionLogs{s.logger}
	if s.mux, err = newMux(cfg.Conn, cfg.Addresses, system, logs.NewLogger("mux")); err != nil {
		return nil, err
	}
	s.settings = serverSettings(s.mux, system, logs)
	return s, nil
}

// Close ends all sessions, waits until they hold nothing any more, and closes the socket. It is safe to call twice.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for session := range s.sessions {
		session.Close()
	}
	s.mu.Unlock()
	s.ended.Wait()
	return s.mux.Close()
}

// How long things take. A peer checks its path every five seconds at the slowest (RFC 7675 §5.1, with 20 % of jitter), so
// one that has been silent for 7 s is in trouble and after 10 s it is gone.
const (
	disconnectedAfter = 7 * time.Second
	failedAfter       = 3 * time.Second // more
	connectWithin     = 10 * time.Second
	keepaliveEvery    = 2 * time.Second
	// pion refuses to use a certificate that has expired, 30 days after it was made.
	certificateRenew = 24 * time.Hour
)

// serverSettings are what all sessions have in common.
func serverSettings(m *mux, system *stdnet.Net, logs pionLogs) webrtc.SettingEngine {
	var e webrtc.SettingEngine
	e.LoggerFactory = logs
	e.SetNet(system)
	e.SetLite(true)
	e.SetICEUDPMux(m)
	e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	e.SetIncludeLoopbackCandidate(true)
	e.SetICETimeouts(disconnectedAfter, failedAfter, keepaliveEvery)
	e.DisableActiveTCP(true)
	e.SetFireOnTrackBeforeFirstRTP(true) // else a first packet of a type that is not Opus leaves the session deaf
	// Passive unless the peer insists: the one who has just checked the path to us starts. The path being proven, its
	// ClientHello needs no cookie, which saves a round trip.
	_ = e.SetAnsweringDTLSRole(webrtc.DTLSRoleServer) // fails for other roles only
	e.SetDTLSInsecureSkipHelloVerify(true)
	e.SetSRTPProtectionProfiles(srtpProfiles...)
	return e
}

// certificate returns the certificate of the process. It lives for a day in new sessions: one that is kept for good would
// expire under a node that runs for a month.
func (s *Server) certificate(now time.Time) (webrtc.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.certFrom) < certificateRenew {
		return s.cert, nil
	}
	cert, err := newCertificate()
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("certificate: %v", err)
	}
	s.cert, s.certFrom = *cert, now
	return s.cert, nil
}

// SetSessionsMax replaces how many sessions there are at most; those that there are stay.
func (s *Server) SetSessionsMax(n int) { s.sessionsMax.Store(int64(n)) }

// admit adds a session unless there is no place for it.
func (s *Server) admit(session *Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case len(s.sessions) >= int(s.sessionsMax.Load()):
		return ErrBusy
	}
	s.sessions[session] = struct{}{}
	s.ended.Add(1)
	return nil
}

// release forgets a session that has ended.
func (s *Server) release(session *Session) {
	s.mu.Lock()
	delete(s.sessions, session)
	s.mu.Unlock()
	s.ended.Done()
}
