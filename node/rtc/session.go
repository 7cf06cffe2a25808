package rtc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/rtcp"
	"github.com/pion/transport/v5/packetio"
	"github.com/pion/webrtc/v4"
)

// Session is one peer. All methods may be called concurrently.
type Session struct {
	id      string
	server  *Server
	pc      *webrtc.PeerConnection
	asked   time.Time
	streams atomic.Int32 // RTP and RTCP streams that the peer has opened

	stop      chan struct{} // closed by Close
	stopOnce  sync.Once
	connected chan struct{} // closed when DTLS is up
	upOnce    sync.Once
	done      chan struct{} // closed by run
	readers   group
}

// The bounds of what a peer can make a session keep.
const (
	streamsMax     = 16       // SSRCs, RTP and RTCP counted apart
	streamBytesMax = 64 << 10 // of packets read from the socket and not yet by us, per stream
)

var srtpProfiles = []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80}

func newCertificate() (*webrtc.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return webrtc.GenerateCertificate(key)
}

// open admits, negotiates and starts a session. prepare adds tracks and callbacks before the offer is applied.
func (s *Server) open(ctx context.Context, offer string, prepare func(*Session)) (_ *Session, answer string, err error) {
	offer, facts, err := canonicalOffer(offer)
	if err != nil {
		return nil, "", err
	}
	var id [16]byte
	rand.Read(id[:])
	session := &Session{
		id: hex.EncodeToString(id[:]), server: s, asked: time.Now(),
		stop: make(chan struct{}), connected: make(chan struct{}), done: make(chan struct{}),
	}
	if err := s.admit(session); err != nil {
		return nil, "", err
	}
	defer func() {
		if p := recover(); p != nil { // pion, on an offer that nobody has thought of
			s.logger.Error("panic while negotiating", "panic", p)
			err = fmt.Errorf("%w: internal error", ErrOffer)
		}
		if err != nil {
			session.Close()
			session.teardown()
		}
	}()
	if answer, err = session.negotiate(ctx, offer, facts, prepare); err != nil {
		return nil, "", err
	}
	go session.run()
	return session, answer, nil
}

func (n *Session) negotiate(ctx context.Context, offer string, facts offerFacts, prepare func(*Session)) (string, error) {
	cert, err := n.server.certificate(n.asked)
	if err != nil {
		return "", err
	}
	if n.pc, err = n.newPeerConnection(cert, facts); err != nil {
		return "", fmt.Errorf("peer connection: %v", err)
	}
	n.pc.OnConnectionStateChange(n.stateChanged)
	prepare(n)
	if err := n.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", fmt.Errorf("%w: %v", ErrOffer, err)
	}
	answer, err := n.pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrOffer, err)
	}
	gathered := webrtc.GatheringCompletePromise(n.pc)
	if err := n.pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("%w: %v", ErrOffer, err)
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return finishAnswer(n.pc.LocalDescription().SDP, n.server.addresses)
}

// newPeerConnection makes a peer connection that knows Opus, receiver reports (RFC 3550 §6.4) and nothing else.
func (n *Session) newPeerConnection(cert webrtc.Certificate, facts offerFacts) (*webrtc.PeerConnection, error) {
	media, err := mediaEngine()
	if err != nil {
		return nil, err
	}
	registry := &interceptor.Registry{}
	reports, err := report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(pionLogs{n.server.logger}))
	if err != nil {
		return nil, err
	}
	registry.Add(reports)
	settings := n.server.settings
	settings.BufferFactory = n.buffer
	if facts.passive {
		_ = settings.SetAnsweringDTLSRole(webrtc.DTLSRoleClient) // once the peer has proven its address: that is when DTLS begins
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings))
	return api.NewPeerConnection(webrtc.Configuration{
		Certificates: []webrtc.Certificate{cert}, BundlePolicy: webrtc.BundlePolicyMaxBundle, RTCPMuxPolicy: webrtc.RTCPMuxPolicyRequire,
	})
}

// buffer makes the buffer of a new stream, and ends the session of a peer that opens ever more of them.
func (n *Session) buffer(packetio.BufferPacketType, uint32) io.ReadWriteCloser {
	if n.streams.Add(1) > streamsMax {
		n.Close()
	}
	b := streamBuffer{packetio.NewBuffer()}
	b.SetLimitSize(streamBytesMax)
	return b
}

// streamBuffer is pion's packet buffer as an io.ReadWriteCloser.
type streamBuffer struct{ *packetio.Buffer }

func (b streamBuffer) Read(p []byte) (int, error) {
	n, _, err := b.Buffer.Read(p, nil)
	return n, err
}

func (b streamBuffer) Write(p []byte) (int, error) { return b.Buffer.Write(p, nil) }

// stateChanged runs on a goroutine of pion's.
func (n *Session) stateChanged(state webrtc.PeerConnectionState) {
	switch state {
	case webrtc.PeerConnectionStateConnected:
		n.upOnce.Do(func() { close(n.connected) })
	case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
		n.Close()
	}
}

// run is the session's own goroutine: it waits for the connection and takes everything down in the end.
func (n *Session) run() {
	defer n.teardown()
	defer n.recovered("session")
	late := time.NewTimer(connectWithin)
	defer late.Stop()
	select {
	case <-n.connected:
	case <-late.C:
		return
	case <-n.stop:
		return
	}
	n.pulse()
}

// pulseEvery is how often a speaker is shown that the node lives: nobody else sends them anything on this session, and a client
// that follows package vigil doubts a node after 300 ms; one pulse may be lost on the way.
const pulseEvery = 140 * time.Millisecond

// pulse shows the peer that the node lives until the session ends, by an empty receiver report (RFC 3550 §6.4.2).
func (n *Session) pulse() {
	every := time.NewTicker(pulseEvery)
	defer every.Stop()
	report := []rtcp.Packet{&rtcp.ReceiverReport{SSRC: 1}}
	for {
		select {
		case <-n.stop:
			return
		case <-every.C:
			_ = n.pc.WriteRTCP(report) // that it is lost is what the peer finds out
		}
	}
}

// recovered is deferred by every goroutine of a session: whatever a peer provokes ends its own session only.
func (n *Session) recovered(where string) {
	if p := recover(); p != nil {
		n.server.logger.Error("panic in a media session", "where", where, "session", n.id, "panic", p)
		n.Close()
	}
}

func (n *Session) teardown() {
	n.Close()
	if n.pc != nil {
		_ = n.pc.GracefulClose() // waits for pion's goroutines; nothing can be done about what it says
	}
	n.readers.wait()
	n.server.release(n)
	close(n.done)
}

// ID is the session's name: 128 random bits in hex.
func (n *Session) ID() string { return n.id }

// Done is closed when the session has ended and holds nothing any more; the sink of Publish is not called after that.
func (n *Session) Done() <-chan struct{} { return n.done }

// AfterDone calls f when Done is closed, on a goroutine of its own.
func (n *Session) AfterDone(f func()) {
	go func() {
		<-n.done
		f()
	}()
}

// Connected is closed when the peer's DTLS handshake is complete. It stays open in a session that ends before.
func (n *Session) Connected() <-chan struct{} { return n.connected }

// Close begins to end the session and does not wait: it may be called from the sink. It is safe to call twice.
func (n *Session) Close() { n.stopOnce.Do(func() { close(n.stop) }) }
