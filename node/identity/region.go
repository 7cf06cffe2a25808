package identity

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"rotunda"
)

// RegionSuffix ends the name of the file with the key of a node's region.
const RegionSuffix = ".region"

const (
	regionPrefix = "spiffe://rotunda/region/"
	// regionKeyInfo is what the key of a region is derived for (RFC 5869 §3.2), with the region behind it.
	regionKeyInfo = "rotunda region key 1 "
	// regionKeysMax is how many keys a file holds: one for each authority that the mesh has had.
	regionKeysMax = 16
)

// RegionKeys are the private keys of a node's region, the newest first: what is sealed for the region they open. All nodes of
// a region have the same. Proof is the authority's certificate for the newest.
type RegionKeys struct {
	Keys  []*ecdh.PrivateKey
	Proof []byte
}

// regionKey is the key of a region: the same whenever and wherever it is made from the authority's.
func (a *Authority) regionKey(r rotunda.Region) (*ecdh.PrivateKey, error) {
	secret, ok := a.key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the authority's key is none that this program has made: it makes no keys of regions")
	}
	scalar, err := secret.Bytes()
	if err != nil {
		return nil, err
	}
	seed, err := hkdf.Key(sha256.New, scalar, nil, regionKeyInfo+string(r), 32)
	if err != nil {
		return nil, err
	}
	key, err := hpke.DHKEM(ecdh.P256()).DeriveKeyPair(seed) // not every seed is a scalar
	if err != nil {
		return nil, err
	}
	b, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	return ecdh.P256().NewPrivateKey(b)
}

// regionFile is the key of a region with its proof, for a node of that name.
func (a *Authority) regionFile(folder string, id rotunda.NodeID, r rotunda.Region, now time.Time) (file, error) {
	key, err := a.regionKey(r)
	if err != nil {
		return file{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"rotunda"}, CommonName: "region " + string(r)},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     a.cert.NotAfter, // the key is the authority's as long as it is one
		KeyUsage:     x509.KeyUsageKeyAgreement,
		URIs:         []*url.URL{{Scheme: "spiffe", Host: "rotunda", Path: "/region/" + string(r)}},
	}
	public, err := x509.MarshalPKIXPublicKey(key.PublicKey())
	if err != nil {
		return file{}, err
	}
	subject, err := x509.ParsePKIXPublicKey(public) // package x509 wants it as one of package ecdsa
	if err != nil {
		return file{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, subject, a.key)
	if err != nil {
		return file{}, err
	}
	secret, err := privatePEM(key)
	if err != nil {
		return file{}, err
	}
	return file{filepath.Join(folder, string(id)+RegionSuffix), append(secret, certPEM(der)...), privateMode}, nil
}

// CreateRegion makes the file with the key of a node's region, <id>.region in folder, for a node that has its certificate
// already. CreateNode makes both.
func (a *Authority) CreateRegion(folder string, id rotunda.NodeID, r rotunda.Region, now time.Time) error {
	if err := errors.Join(id.Valid(), r.Valid()); err != nil {
		return err
	}
	f, err := a.regionFile(folder, id, r, now)
	if err != nil {
		return err
	}
	return create(f)
}

// LoadRegionKeys reads the file with the keys of the node's region, and checks that the authorities that the node believes
// have made the newest one for it.
func (n *Node) LoadRegionKeys(path string, now time.Time) (k RegionKeys, err error) {
	rest, err := read(path)
	if err != nil {
		return k, err
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch {
		case block.Type == "CERTIFICATE" && k.Proof == nil:
			k.Proof = block.Bytes
		case block.Type == "PRIVATE KEY":
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			secret, ok := parsed.(*ecdsa.PrivateKey)
			if err != nil || !ok || secret.Curve != elliptic.P256() || len(k.Keys) >= regionKeysMax {
				return k, fmt.Errorf("%s: not 1 to %d keys of P-256 in PKCS #8", path, regionKeysMax)
			}
			key, err := secret.ECDH()
			if err != nil {
				return k, fmt.Errorf("%s: %w", path, err)
			}
			k.Keys = append(k.Keys, key)
		}
	}
	region, public, err := n.ProveRegion(k.Proof, now)
	switch {
	case len(k.Keys) == 0:
		return k, fmt.Errorf("%s: no private key in it", path)
	case err != nil:
		return k, fmt.Errorf("%s: %w", path, err)
	case region != n.Region:
		return k, fmt.Errorf("%s is the key of %s, and the node stands in %s", path, region, n.Region)
	case !public.Equal(k.Keys[0].PublicKey()):
		return k, fmt.Errorf("%s: its first key and its first certificate do not belong together", path)
	}
	return k, nil
}

// ProveRegion reads an authority's certificate for the key of a region, and says which region and which key.
func (n *Node) ProveRegion(der []byte, now time.Time) (rotunda.Region, *ecdh.PublicKey, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return "", nil, errors.New("no certificate of a region's key")
	}
	options := x509.VerifyOptions{Roots: n.Roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	if _, err := cert.Verify(options); err != nil {
		return "", nil, err
	}
	if len(cert.URIs) != 1 {
		return "", nil, fmt.Errorf("%d URI names, want the one of a region", len(cert.URIs))
	}
	name, ok := strings.CutPrefix(cert.URIs[0].String(), regionPrefix)
	public, p256 := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || rotunda.Region(name).Valid() != nil || !p256 || public.Curve != elliptic.P256() {
		return "", nil, fmt.Errorf("%q with %T is no key of a region", cert.URIs[0], cert.PublicKey)
	}
	key, err := public.ECDH()
	return rotunda.Region(name), key, err
}
