package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"rotunda"
)

// Names of the files in a certificate folder.
const (
	AuthorityCert = "ca.crt"
	AuthorityKey  = "ca.key"
)

// Lives of certificates.
const (
	// AuthorityLife is how long an authority is good for.
	AuthorityLife = 10 * 365 * 24 * time.Hour
	// NodeLife is how long a node certificate is good for where nothing else is asked for.
	NodeLife = 365 * 24 * time.Hour
	// clockSkew is how far behind the issuer's clock a node's may be.
	clockSkew = 5 * time.Minute
)

// Authority issues node certificates: the mesh believes what it has signed and nothing else.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// CreateAuthority makes a new authority and keeps it in folder as AuthorityCert and AuthorityKey. The mesh's name is for
// people to tell authorities apart.
func CreateAuthority(folder, mesh string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"rotunda"}, CommonName: mesh + " authority"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(AuthorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	secret, err := privatePEM(key)
	if err != nil {
		return nil, err
	}
	err = create(
		file{filepath.Join(folder, AuthorityKey), secret, privateMode},
		file{filepath.Join(folder, AuthorityCert), certPEM(der), publicMode},
	)
	if err != nil {
		return nil, err
	}
	return &Authority{cert, key}, nil
}

// LoadAuthority reads the authority in folder.
func LoadAuthority(folder string) (*Authority, error) {
	der, err := readPEM(filepath.Join(folder, AuthorityCert), "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	secret, err := readPEM(filepath.Join(folder, AuthorityKey), "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return nil, errors.New(AuthorityKey + ": not a PKCS #8 private key")
	}
	key, ok := parsed.(crypto.Signer)
	if !ok || !samePublic(cert.PublicKey, key.Public()) {
		return nil, fmt.Errorf("%s in %s does not belong to %s", AuthorityKey, folder, AuthorityCert)
	}
	return &Authority{cert, key}, nil
}

// Fingerprint names the authority's certificate.
func (a *Authority) Fingerprint() string { return Fingerprint(a.cert) }

// NodeRequest says who a node certificate is for.
type NodeRequest struct {
	ID     rotunda.NodeID
	Region rotunda.Region
	Hosts  []string      // names and IP addresses under which others reach the node's control log
	Life   time.Duration // 0: NodeLife; at most what the authority has left
}

// Valid reports what is wrong with the request.
func (r NodeRequest) Valid() error {
	errs := []error{r.ID.Valid(), r.Region.Valid()}
	for _, host := range r.Hosts {
		if net.ParseIP(host) == nil && !hostName(host) {
			errs = append(errs, fmt.Errorf("host %q is neither an IP address nor a host name", host))
		}
	}
	if r.Life < 0 {
		errs = append(errs, fmt.Errorf("life %v is negative", r.Life))
	}
	return errors.Join(errs...)
}

// CreateNode issues a certificate for a node with a new key, and keeps both in folder as <id>.crt and <id>.key, and
// the key of its region as <id>.region. It returns the certificate's fingerprint.
func (a *Authority) CreateNode(folder string, r NodeRequest, now time.Time) (fingerprint string, err error) {
	if err := r.Valid(); err != nil {
		return "", err
	}
	if r.Life == 0 {
		r.Life = NodeLife
	}
	end := now.Add(r.Life)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	if !end.After(now) {
		return "", fmt.Errorf("the authority's certificate ran out on %s", a.cert.NotAfter.Format(time.DateOnly))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"rotunda"}, CommonName: string(r.ID)},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     end,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:         []*url.URL{NodeURI(r.Region, r.ID)},
	}
	for _, host := range r.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return "", err
	}
	secret, err := privatePEM(key)
	if err != nil {
		return "", err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return "", err
	}
	region, err := a.regionFile(folder, r.ID, r.Region, now)
	if err != nil {
		return "", err
	}
	return Fingerprint(cert), create(
		region,
		file{filepath.Join(folder, string(r.ID)+".key"), secret, privateMode},
		file{filepath.Join(folder, string(r.ID)+".crt"), certPEM(der), publicMode},
	)
}

// NodeURI is the name of a node in its certificate, the only URI in it: spiffe://rotunda/node/<region>/<id>.
func NodeURI(region rotunda.Region, id rotunda.NodeID) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: "rotunda", Path: "/node/" + string(region) + "/" + string(id)}
}

// Node is what a node proves itself with to others, and what it believes others by.
type Node struct {
	ID          rotunda.NodeID
	Region      rotunda.Region
	Certificate tls.Certificate // with Leaf
	Roots       *x509.CertPool
}

// Fingerprint names the node's certificate.
func (n *Node) Fingerprint() string { return Fingerprint(n.Certificate.Leaf) }

// NotAfter is when the node's certificate runs out.
func (n *Node) NotAfter() time.Time { return n.Certificate.Leaf.NotAfter }

// LoadNode reads a node's certificate and key and the mesh's authorities, and checks that they belong together and are
// good at now.
func LoadNode(caFile, certFile, keyFile string, now time.Time) (*Node, error) {
	ca, err := read(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s: no certificate in it", caFile)
	}
	chain, err := read(certFile)
	if err != nil {
		return nil, err
	}
	secret, err := read(keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, secret)
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %v", certFile, keyFile, err)
	}
	options := x509.VerifyOptions{
		Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			options.Intermediates.AddCert(c)
		}
	}
	if _, err := pair.Leaf.Verify(options); err != nil {
		return nil, fmt.Errorf("%s: %v", certFile, err)
	}
	n := &Node{Certificate: pair, Roots: roots}
	if n.Region, n.ID, err = nodeName(pair.Leaf); err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	return n, nil
}

// nodeName reads who a node certificate names.
func nodeName(cert *x509.Certificate) (rotunda.Region, rotunda.NodeID, error) {
	if len(cert.URIs) != 1 {
		return "", "", fmt.Errorf("%d URI names, want the one of a node", len(cert.URIs))
	}
	path, ok := strings.CutPrefix(cert.URIs[0].String(), "spiffe://rotunda/node/")
	region, id, both := strings.Cut(path, "/")
	if !ok || !both || rotunda.Region(region).Valid() != nil || rotunda.NodeID(id).Valid() != nil {
		return "", "", fmt.Errorf("%q does not name a node", cert.URIs[0])
	}
	return rotunda.Region(region), rotunda.NodeID(id), nil
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// serial is 127 random bits: RFC 5280 §4.1.2.2 wants it positive and at most 20 bytes.
func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return n.Add(n, big.NewInt(1))
}

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// hostName reports whether s is a DNS name (RFC 1123 §2.1), a wildcard excluded.
func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}
