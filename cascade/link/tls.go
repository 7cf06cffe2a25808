package link

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/quic-go/quic-go"

	"rotunda/cascade/nodecert"
)

// ALPN is the protocol that links speak (RFC 7301).
const ALPN = "rotunda/1"

// tlsConfig is what both ends of a link have in common. crypto/tls's own check of names is for host names; ours is in
// VerifyConnection, which runs on every handshake and before anything of the peer is believed.
func (e *Endpoint) tlsConfig() *tls.Config {
	return &tls.Config{
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &e.proof.Load().certificate, nil },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &e.proof.Load().certificate, nil },
		MinVersion:           tls.VersionTLS13, NextProtos: []string{ALPN},
		SessionTicketsDisabled: true, // a resumed session would outlive its certificate
	}
}

// serverTLS admits every node of the mesh.
func (e *Endpoint) serverTLS() *tls.Config {
	c := e.tlsConfig()
	c.NextProtos = append(c.NextProtos, ALPNLane)
	if e.cfg.Answer != nil {
		c.NextProtos = append(c.NextProtos, ALPNFetch)
	}
	known := func(proto string) bool { return slices.Contains(c.NextProtos, proto) }
	// Not Require…: a handshake without a certificate shall fail in our check, where it is counted. A certificate that is
	// shown is proved by its key either way (RFC 8446 §4.4.3).
	c.ClientAuth = tls.RequestClientCert
	c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if !slices.ContainsFunc(h.SupportedProtos, known) {
			e.dropped(dropNotMember)
		}
		return nil, nil // crypto/tls refuses it with the right alert
	}
	c.VerifyConnection = func(s tls.ConnectionState) error {
		_, err := e.verify(s, x509.ExtKeyUsageClientAuth)
		return err
	}
	return c
}

// laneTLS is for a lane of the link with that name to the node want.
func (e *Endpoint) laneTLS(want nodecert.Identity, name string) *tls.Config {
	c := e.clientTLS(want)
	c.NextProtos, c.ServerName = []string{ALPNLane}, name
	return c
}

// clientTLS admits the one node that was dialled.
func (e *Endpoint) clientTLS(want nodecert.Identity) *tls.Config {
	c := e.tlsConfig()
	c.InsecureSkipVerify = true // node certificates name nodes, not hosts: VerifyConnection checks all of it
	c.VerifyConnection = func(s tls.ConnectionState) error {
		got, err := e.verify(s, x509.ExtKeyUsageServerAuth)
		if err == nil && got != want {
			e.dropped(dropNotMember)
			err = fmt.Errorf("%w: reached %s", ErrNotMember, got)
		}
		return err
	}
	return c
}

func (e *Endpoint) verify(s tls.ConnectionState, usage nodecert.Usage) (nodecert.Identity, error) {
	id, err := nodecert.Verify(s.PeerCertificates, e.proof.Load().roots, time.Now(), usage)
	if err == nil && id.ID == e.cfg.Self.ID {
		err = fmt.Errorf("%w: it is this node's own", ErrNotMember)
	}
	if err != nil {
		e.dropped(dropNotMember)
	}
	return id, err
}

// resetKey derives the key of stateless resets (RFC 9000 §10.3) from the node's own: a restarted node can tell its peers
// that it has forgotten them, and nobody else can.
func resetKey(c tls.Certificate) (*quic.StatelessResetKey, error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("node certificate's key: %w", err)
	}
	m := hmac.New(sha256.New, der)
	m.Write([]byte("rotunda stateless reset"))
	k := quic.StatelessResetKey(m.Sum(nil))
	return &k, nil
}
