// Package nodecert says which node a certificate belongs to. A node certificate has exactly one URI SAN,
// spiffe://rotunda/node/<region>/<id>, and chains to the mesh's roots; nothing else in it (common name, DNS names,
// addresses) names a node. All functions may be called concurrently.
package nodecert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rotunda"
)

// ErrNotMember is wrapped by every error about a certificate that does not prove membership.
var ErrNotMember = errors.New("not a member's certificate")

// Identity is what a node certificate proves.
type Identity struct {
	Region rotunda.Region
	ID     rotunda.NodeID
}

const prefix = "spiffe://rotunda/node/"

// URI is the SAN that proves i.
func (i Identity) URI() string { return prefix + string(i.Region) + "/" + string(i.ID) }

func (i Identity) String() string { return string(i.Region) + "/" + string(i.ID) }

// Usage is what a certificate is shown for.
type Usage = x509.ExtKeyUsage

// Verify checks the chain, leaf first, against roots at the time now and returns whom the leaf names.
func Verify(chain []*x509.Certificate, roots *x509.CertPool, now time.Time, usage Usage) (Identity, error) {
	if len(chain) == 0 {
		return Identity{}, fmt.Errorf("%w: none shown", ErrNotMember)
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %v", ErrNotMember, err)
	}
	return Named(chain[0])
}

// Named returns whom certificate c names, without asking who signed it. The SAN must be the only URI and read exactly as
// Identity.URI writes it: no other host, escape, query or case.
func Named(c *x509.Certificate) (Identity, error) {
	if len(c.URIs) != 1 {
		return Identity{}, fmt.Errorf("%w: %d URI names, want 1", ErrNotMember, len(c.URIs))
	}
	uri := c.URIs[0].String()
	path, ok := strings.CutPrefix(uri, prefix)
	parts := strings.Split(path, "/")
	if !ok || len(parts) != 2 {
		return Identity{}, fmt.Errorf("%w: URI name %.200q", ErrNotMember, uri)
	}
	i := Identity{Region: rotunda.Region(parts[0]), ID: rotunda.NodeID(parts[1])}
	if err := errors.Join(i.Region.Valid(), i.ID.Valid()); err != nil {
		return Identity{}, fmt.Errorf("%w: %v", ErrNotMember, err)
	}
	return i, nil
}

// Parse parses a chain of DER certificates as tls.Certificate holds them.
func Parse(der [][]byte) ([]*x509.Certificate, error) {
	chain := slices.Grow([]*x509.Certificate(nil), len(der))
	for _, b := range der {
		c, err := x509.ParseCertificate(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrNotMember, err)
		}
		chain = append(chain, c)
	}
	return chain, nil
}
