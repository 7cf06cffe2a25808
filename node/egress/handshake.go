package egress

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	message "github.com/pion/dtls/v3/pkg/protocol/handshake"

	"rotunda/node/egress/srtp"
)

const (
	// handshakesPerCore is how many are under way at once for each shard; the others wait. Each has some hundred kilobytes and a
	// few goroutines until it is done.
	handshakesPerCore = 64
	// handshakePause is the time between the beginnings of two handshakes, for each core. One takes about half a millisecond of processor
	// time (P-256: two signatures, two keys), so they leave half of each core to those who listen, whose packets wait for one of
	// them and not for a crowd.
	handshakePause = time.Millisecond
	// lateAllowed is how long listeners' packets may wait on the mean before handshakes get rarer (goals.md: a node adds 3 ms), and
	// latePause how many times the rest is added to handshakePause: at 10 ms there are 35 handshakes a second.
	lateAllowed = 3 * time.Millisecond
	latePause   = 4
	// handshakeQueue is how many datagrams wait for a handshake at most: a ClientHello of today's browsers comes in two.
	handshakeQueue = 8
	// flightAfter is when an unanswered flight is sent again.
	flightAfter = 300 * time.Millisecond
)

// handshakes is the handshakes of a server: so many at a time and no faster than the cores afford, the others in the order of their coming.
type handshakes struct {
	max   int
	cores int
	late  func() time.Duration // how late the listeners' packets are

	mu      sync.Mutex // guards what follows
	running int
	waiting []func()  // bounded by pendingMax
	next    time.Time // when another one may begin
	timer   *time.Timer
	armed   bool // the timer will call
	hurry   bool // nobody listens any more
	done    sync.WaitGroup
}

// begin runs f on a goroutine of its own, now or when it is its turn.
func (h *handshakes) begin(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done.Add(1)
	h.waiting = append(h.waiting, f)
	h.start(time.Now())
}

// start begins what may begin now, and sees to it that the others do later. The caller holds h.mu.
func (h *handshakes) start(now time.Time) {
	for len(h.waiting) > 0 && h.running < h.max && (h.hurry || !h.armed) {
		if wait := h.next.Sub(now); wait > 0 && !h.hurry {
			h.armed = true
			if h.timer == nil {
				h.timer = time.AfterFunc(wait, h.due)
			} else {
				h.timer.Reset(wait)
			}
			return
		}
		f := h.waiting[0]
		h.waiting[0] = nil
		h.waiting = h.waiting[1:]
		h.running++
		if h.next = h.next.Add(h.pause()); h.next.Before(now.Add(-handshakeBurst)) {
			h.next = now.Add(-handshakeBurst)
		}
		go func() {
			defer h.done.Done()
			f()
			h.mu.Lock()
			defer h.mu.Unlock()
			h.running--
			h.start(time.Now())
		}()
	}
}

// handshakeBurst is the time whose handshakes may begin together: a timer is not more exact.
const handshakeBurst = 2 * time.Millisecond

// pause is the time between two beginnings: longer while listeners have to wait.
func (h *handshakes) pause() time.Duration {
	return (handshakePause + latePause*max(0, h.late()-lateAllowed)) / time.Duration(h.cores)
}

// due is called by the timer.
func (h *handshakes) due() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.armed = false
	h.start(time.Now())
}

// wait returns when none is under way. Those that wait come to their turn at once; no other may begin meanwhile.
func (h *handshakes) wait() {
	h.mu.Lock()
	h.hurry = true
	h.start(time.Now())
	h.mu.Unlock()
	h.done.Wait()
}

// handshake is the net.PacketConn that the DTLS library has for the few round trips that it is needed.
type handshake struct {
	session     *Session
	cert        *certificate
	fingerprint fingerprint // that the peer's certificate must have
	started     bool        // guarded by Session.mu
	in          chan []byte
	stop        chan struct{} // closed by cancel
	stopOnce    sync.Once
	silent      atomic.Bool // nothing more is to be sent

	mu       sync.Mutex // guards what follows
	deadline time.Time
	moved    chan struct{} // closed and replaced when the deadline changes
	flight   [][]byte      // what was sent since something last came
}

func newHandshake(n *Session, cert *certificate, f fingerprint) *handshake {
	return &handshake{session: n, cert: cert, fingerprint: f, in: make(chan []byte, handshakeQueue), stop: make(chan struct{}), moved: make(chan struct{})}
}

func (h *handshake) cancel() { h.stopOnce.Do(func() { close(h.stop) }) }

// ReadFrom returns the next datagram of the client's.
func (h *handshake) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		h.mu.Lock()
		deadline, moved := h.deadline, h.moved
		h.mu.Unlock()
		var over <-chan time.Time
		var timer *time.Timer
		if !deadline.IsZero() {
			timer = time.NewTimer(time.Until(deadline))
			over = timer.C
		}
		n, err, again := h.next(b, moved, over)
		if timer != nil {
			timer.Stop()
		}
		if !again {
			return n, h.LocalAddr(), err
		}
	}
}

func (h *handshake) next(b []byte, moved <-chan struct{}, over <-chan time.Time) (n int, err error, again bool) {
	select {
	case d := <-h.in:
		h.mu.Lock()
		h.flight = nil
		h.mu.Unlock()
		return copy(b, d), nil, false
	case <-h.stop:
		return 0, net.ErrClosed, false
	case <-over:
		return 0, os.ErrDeadlineExceeded, false
	case <-moved:
		return 0, nil, true
	}
}

// WriteTo sends to where the session's client is.
func (h *handshake) WriteTo(b []byte, _ net.Addr) (int, error) {
	to := h.session.to.Load()
	if h.silent.Load() || to == nil {
		return len(b), nil
	}
	h.mu.Lock()
	h.flight = append(h.flight, bytes.Clone(b))
	h.mu.Unlock()
	h.session.server.reply(origin{to.at, to.stream}, b)
	return len(b), nil
}

// Close does nothing: cancel ends the handshake.
func (h *handshake) Close() error { return nil }

// LocalAddr is the same for both ends: nobody looks at it.
func (h *handshake) LocalAddr() net.Addr { return h.session.server.socket.localAddr() }

// SetDeadline is SetReadDeadline: writing does not wait.
func (h *handshake) SetDeadline(t time.Time) error { return h.SetReadDeadline(t) }

// SetReadDeadline ends a ReadFrom at t.
func (h *handshake) SetReadDeadline(t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline = t
	close(h.moved)
	h.moved = make(chan struct{})
	return nil
}

// SetWriteDeadline does nothing.
func (h *handshake) SetWriteDeadline(time.Time) error { return nil }

// handshaken takes a DTLS datagram of a session from an address that it has proved.
func (n *Session) handshaken(now time.Time, b []byte, from origin) {
	n.mu.Lock()
	h, secrets := n.handshake, n.secrets
	start := h != nil && !h.started
	if start {
		h.started = true
	}
	var again [][]byte
	closed := false
	if secrets != nil {
		again, closed = secrets.record(now, b)
	}
	n.mu.Unlock()
	switch {
	case h != nil:
		select {
		case h.in <- bytes.Clone(b):
		default: // it comes again
		}
		if start {
			n.server.handshakes.begin(func() { n.shake(h) })
		}
	case closed:
		n.Close()
	default:
		for _, d := range again {
			n.server.reply(from, d)
		}
	}
}

// shake runs the handshake of a session, which ends when that fails.
func (n *Session) shake(h *handshake) {
	defer func() {
		if p := recover(); p != nil {
			n.server.logger.Error("panic in a handshake", "session", n.id, "panic", p)
			n.Close()
		}
	}()
	ctx, cancel := context.WithDeadline(context.Background(), n.asked.Add(connectWithin))
	defer cancel()
	sender, secrets, err := h.run(ctx)
	h.silent.Store(true)
	h.cancel()
	if err != nil {
		n.server.logger.Debug("no handshake", "session", n.id, "error", err)
		n.Close()
		return
	}
	n.connectedNow(sender, secrets)
}

// run does the handshake and takes from it what the session needs after.
func (h *handshake) run(ctx context.Context) (*srtp.Sender, *secrets, error) {
	var log keyLog
	var serverRandom [randomLen]byte
	c, err := dtls.ServerWithOptions(h, h.LocalAddr(),
		dtls.WithCertificates(h.cert.tls),
		dtls.WithCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), // RFC 8827 §6.5: everybody has it
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithInsecureSkipVerify(true),      // a fingerprint, not a name, is what is to be checked
		dtls.WithInsecureSkipVerifyHello(true), // the address has been proved by STUN: no cookie
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithFlightInterval(flightAfter),
		dtls.WithKeyLogWriter(&log),
		dtls.WithLoggerFactory(quiet{}),
		dtls.WithVerifyConnection(func(state *dtls.State) error {
			if len(state.PeerCertificates) == 0 || !h.fingerprint.of(state.PeerCertificates[0]) {
				return errFingerprint
			}
			return nil
		}),
		dtls.WithServerHelloMessageHook(func(m message.MessageServerHello) message.Message {
			serverRandom = m.Random.MarshalFixed()
			return &m
		}),
	)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close() // silently
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, nil, err
	}
	state, ok := c.ConnectionState()
	profile, ok2 := c.SelectedSRTPProtectionProfile()
	if !ok || !ok2 {
		return nil, nil, errors.New("no SRTP profile was agreed on")
	}
	return h.export(&state, srtp.Profile(profile), log, serverRandom)
}

// export derives the keys of both directions (RFC 5764 §4.2).
func (h *handshake) export(state *dtls.State, profile srtp.Profile, log keyLog, serverRandom [randomLen]byte) (*srtp.Sender, *secrets, error) {
	defer h.silent.Store(true)
	salt := profile.SaltLen()
	if salt == 0 {
		return nil, nil, fmt.Errorf("SRTP profile %#x", uint16(profile))
	}
	material, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 2*(srtp.KeyLen+salt))
	if err != nil {
		return nil, nil, err
	}
	keys, salts := material[:2*srtp.KeyLen], material[2*srtp.KeyLen:]
	sender, err := srtp.NewSender(profile, keys[srtp.KeyLen:], salts[salt:])
	if err != nil {
		return nil, nil, err
	}
	receiver, err := srtp.NewReceiver(profile, keys[:srtp.KeyLen], salts[:salt])
	if err != nil {
		return nil, nil, err
	}
	s, err := newSecrets(log, serverRandom)
	if err != nil {
		return nil, nil, err
	}
	h.mu.Lock()
	s.flight = h.flight
	h.mu.Unlock()
	s.receiver = receiver
	return sender, s, nil
}

// keyLog takes the one line that the library writes: the label, the client's random and the master secret. It is how the
// library hands out what alerts are protected with, once it is let go; the line goes nowhere else.
type keyLog struct{ clientRandom, master []byte }

func (k *keyLog) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) == 3 && string(fields[0]) == "CLIENT_RANDOM" {
		k.clientRandom, _ = hex.AppendDecode(nil, fields[1])
		k.master, _ = hex.AppendDecode(nil, fields[2])
	}
	return len(line), nil
}
