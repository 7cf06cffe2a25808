// Package certtest makes certificate authorities and node certificates for tests, valid from 1999 on so that they are
// valid in a synctest bubble too. Its functions may be called concurrently and panic when they cannot do their work.
package certtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"time"

	"rotunda"
	"rotunda/cascade/nodecert"
)

// CA is a certificate authority.
type CA struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// NewCA makes an authority of its own.
func NewCA() *CA {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	tmpl := template()
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
	tmpl.Subject = pkix.Name{CommonName: "test mesh"}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	return &CA{cert, key}
}

// Roots is a pool with the authority alone.
func (ca *CA) Roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.cert)
	return p
}

// Node makes an Ed25519 certificate for a node.
func (ca *CA) Node(region rotunda.Region, id rotunda.NodeID) tls.Certificate {
	return ca.Named(nodecert.Identity{Region: region, ID: id}.URI())
}

// NodeP256 makes an ECDSA P-256 certificate for a node.
func (ca *CA) NodeP256(region rotunda.Region, id rotunda.NodeID) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return ca.issue(key, nodecert.Identity{Region: region, ID: id}.URI())
}

// Named makes a certificate with any URI SANs.
func (ca *CA) Named(uris ...string) tls.Certificate {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	return ca.issue(key, uris...)
}

func (ca *CA) issue(key crypto.Signer, uris ...string) tls.Certificate {
	tmpl := template()
	for _, s := range uris {
		u, err := url.Parse(s)
		must(err)
		tmpl.URIs = append(tmpl.URIs, u)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func template() *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	must(err)
	return &x509.Certificate{
		SerialNumber: serial,
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// RootsWith is a pool with this authority and another, as while one takes the other's place.
func (ca *CA) RootsWith(other *CA) *x509.CertPool {
	p := ca.Roots()
	p.AddCert(other.cert)
	return p
}
