package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

// identity is the certificate of all listeners of a load: making one costs more than using it.
type identity struct {
	cert        tls.Certificate
	fingerprint string
}

func newIdentity(now time.Time) (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "listener"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 1, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return identity{}, err
	}
	return identity{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, fingerprintOf(der)}, nil
}

// fingerprintOf writes a certificate's hash as SDP does (RFC 8122 §5).
func fingerprintOf(der []byte) string {
	sum := sha256.Sum256(der)
	var b strings.Builder
	for i, c := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%02X", c)
	}
	return b.String()
}

var errFingerprint = errors.New("the server's certificate is not the one of its answer")

// keys are what a handshake ends with: the contexts of both directions. They belong to the crowd's reader.
type keys struct{ in, out *srtp.Context }

// newKeys takes the keys out of a finished handshake.
func newKeys(c *dtls.Conn, client bool) (*keys, error) {
	state, ok := c.ConnectionState()
	profile, ok2 := c.SelectedSRTPProtectionProfile()
	if !ok || !ok2 {
		return nil, errors.New("the server agreed to no SRTP profile")
	}
	cfg := &srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	if err := cfg.ExtractSessionKeysFromDTLS(&state, client); err != nil {
		return nil, err
	}
	// Duplicates are counted, not refused.
	in, err := srtp.CreateContext(cfg.Keys.RemoteMasterKey, cfg.Keys.RemoteMasterSalt, cfg.Profile, srtp.SRTPNoReplayProtection(), srtp.SRTCPNoReplayProtection())
	if err != nil {
		return nil, err
	}
	out, err := srtp.CreateContext(cfg.Keys.LocalMasterKey, cfg.Keys.LocalMasterSalt, cfg.Profile)
	return &keys{in, out}, err
}

var profiles = []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80}

// newDTLS begins a handshake over a wire: as the client, unless the answer says that the server is.
func (id *identity) newDTLS(w *wire, remote answer) (*dtls.Conn, error) {
	verify := func(raw [][]byte, _ [][]*x509.Certificate) error {
		if len(raw) == 0 || fingerprintOf(raw[0]) != remote.fingerprint {
			return errFingerprint
		}
		return nil
	}
	common := []dtls.Option{
		dtls.WithCertificates(id.cert), dtls.WithSRTPProtectionProfiles(profiles...), dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithInsecureSkipVerify(true), dtls.WithVerifyPeerCertificate(verify), // self-signed: the fingerprint is who it is (RFC 8827 §6.5)
	}
	if remote.client {
		options := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert), dtls.WithInsecureSkipVerifyHello(true)}
		for _, o := range common {
			options = append(options, o)
		}
		return dtls.ServerWithOptions(w, w.RemoteAddr(), options...)
	}
	var options []dtls.ClientOption
	for _, o := range common {
		options = append(options, o)
	}
	return dtls.ClientWithOptions(w, w.RemoteAddr(), options...)
}

// wireDepth is how many datagrams of a handshake may wait: one flight has at most six of them.
const wireDepth = 8

// wire is a joining listener's share of its socket, as pion/dtls wants one: what the crowd's reader finds to be DTLS comes
// in, and what goes out goes to the socket.
type wire struct {
	to     netip.AddrPort
	send   func([]byte) error
	in     chan []byte   // the reader puts in copies; never closed
	closed chan struct{} // closed by Close
	once   sync.Once
	silent atomic.Bool // nothing goes out any more: the session goes on without DTLS, and without an alert

	mu       sync.Mutex // guards what follows
	deadline time.Time
	moved    chan struct{} // closed and replaced when the deadline is set: whoever reads looks again
}

func newWire(to netip.AddrPort, send func([]byte) error) *wire {
	return &wire{to: to, send: send, in: make(chan []byte, wireDepth), closed: make(chan struct{}), moved: make(chan struct{})}
}

// deliver never blocks: what finds no room is lost, and sent again.
func (w *wire) deliver(b []byte) {
	select {
	case w.in <- append([]byte(nil), b...):
	default:
	}
}

// ReadFrom waits for a datagram, until the deadline, which may be set meanwhile: that is how a handshake is given up.
func (w *wire) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		w.mu.Lock()
		deadline, moved := w.deadline, w.moved
		w.mu.Unlock()
		n, err := w.read(p, deadline, moved)
		if !errors.Is(err, errMoved) {
			return n, w.RemoteAddr(), err
		}
	}
}

var errMoved = errors.New("the deadline has been set anew")

func (w *wire) read(p []byte, deadline time.Time, moved <-chan struct{}) (int, error) {
	var over <-chan time.Time
	if !deadline.IsZero() {
		t := time.NewTimer(time.Until(deadline))
		defer t.Stop()
		over = t.C
	}
	select {
	case b := <-w.in:
		return copy(p, b), nil
	case <-w.closed:
		return 0, net.ErrClosed
	case <-over:
		return 0, os.ErrDeadlineExceeded
	case <-moved:
		return 0, errMoved
	}
}

func (w *wire) WriteTo(p []byte, _ net.Addr) (int, error) {
	if w.silent.Load() {
		return len(p), nil
	}
	return len(p), w.send(p)
}

func (w *wire) Close() error { w.once.Do(func() { close(w.closed) }); return nil }

// RemoteAddr is where the server is.
func (w *wire) RemoteAddr() net.Addr           { return net.UDPAddrFromAddrPort(w.to) }
func (w *wire) LocalAddr() net.Addr            { return &net.UDPAddr{} }
func (w *wire) SetDeadline(t time.Time) error  { return w.SetReadDeadline(t) }
func (*wire) SetWriteDeadline(time.Time) error { return nil }
func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	close(w.moved)
	w.moved = make(chan struct{})
	return nil
}

// handshake goes through DTLS and returns the keys; end frees what it took, which may be needed until the server has
// shown, by sending audio, that it has everything it needs.
func (id *identity) handshake(ctx context.Context, w *wire, remote answer) (k *keys, end func(), err error) {
	c, err := id.newDTLS(w, remote)
	if err != nil {
		return nil, nil, err
	}
	end = func() {
		w.silent.Store(true)
		_ = c.Close() // the alert that it sends goes nowhere
		_ = w.Close()
	}
	if err := c.HandshakeContext(ctx); err != nil {
		end()
		return nil, nil, err
	}
	if k, err = newKeys(c, !remote.client); err != nil {
		end()
		return nil, nil, err
	}
	return k, end, nil
}
