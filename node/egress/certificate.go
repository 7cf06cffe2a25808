package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crandom "crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"
)

// certificates is the certificate of the process. It is for a day in new sessions: nobody checks its dates, and a key that is
// used for months by a node that runs for months is one that somebody may have had the time to find.
type certificates struct {
	mu    sync.Mutex // guards what follows
	now   *certificate
	since time.Time
}

const certificateRenew = 24 * time.Hour

type certificate struct {
	tls         tls.Certificate
	fingerprint string // SHA-256, as SDP has it (RFC 8122 §5)
}

func (c *certificates) newest(now time.Time) (*certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != nil && now.Sub(c.since) < certificateRenew {
		return c.now, nil
	}
	made, err := newCertificate(now)
	if err != nil {
		return nil, fmt.Errorf("certificate: %v", err)
	}
	c.now, c.since = made, now
	return made, nil
}

func newCertificate(now time.Time) (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crandom.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := crandom.Int(crandom.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "WebRTC"}, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(30 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(crandom.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &certificate{tls: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, fingerprint: fingerprintText(sha256.Sum256(der))}, nil
}

func fingerprintText(sum [sha256.Size]byte) string {
	var b strings.Builder
	for i, x := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%02X", x)
	}
	return b.String()
}
