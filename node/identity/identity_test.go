package identity

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func authority(t *testing.T) (*Authority, string) {
	t.Helper()
	dir := t.TempDir()
	a, err := CreateAuthority(dir, "example", now)
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func issue(t *testing.T, a *Authority, dir string, r NodeRequest) {
	t.Helper()
	if _, err := a.CreateNode(dir, r, now); err != nil {
		t.Fatal(err)
	}
}

func load(dir, id string, at time.Time) (*Node, error) {
	return LoadNode(filepath.Join(dir, AuthorityCert), filepath.Join(dir, id+".crt"), filepath.Join(dir, id+".key"), at)
}

func TestNodeCertificate(t *testing.T) {
	a, dir := authority(t)
	issue(t, a, dir, NodeRequest{ID: "fra-1", Region: "eu-central", Hosts: []string{"192.0.2.7", "fra-1.example.org", "::1"}})
	n, err := load(dir, "fra-1", now)
	if err != nil {
		t.Fatal(err)
	}
	if n.ID != "fra-1" || n.Region != "eu-central" {
		t.Errorf("loaded %s in %s", n.ID, n.Region)
	}
	cert := n.Certificate.Leaf
	for _, p := range []struct {
		what string
		good bool
	}{
		{"one URI, the node's name", len(cert.URIs) == 1 && cert.URIs[0].String() == "spiffe://rotunda/node/eu-central/fra-1"},
		{"IP addresses", len(cert.IPAddresses) == 2 && cert.IPAddresses[0].Equal(net.IPv4(192, 0, 2, 7))},
		{"DNS names", slices.Equal(cert.DNSNames, []string{"fra-1.example.org"})},
		{"server and client", slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth})},
		{"signs, and nothing else", cert.KeyUsage == x509.KeyUsageDigitalSignature},
		{"no authority itself", !cert.IsCA},
		{"ECDSA P-256", cert.SignatureAlgorithm == x509.ECDSAWithSHA256},
		{"a long random serial", cert.SerialNumber.BitLen() > 64},
		{"good for a year", cert.NotAfter.Equal(now.Add(NodeLife)) && n.NotAfter().Equal(cert.NotAfter)},
		{"good for clocks behind", cert.NotBefore.Equal(now.Add(-clockSkew))},
	} {
		if !p.good {
			t.Errorf("not %s: %+v", p.what, cert)
		}
	}
	if !regexp.MustCompile(`^SHA256:[0-9a-f]{32}$`).MatchString(n.Fingerprint()) || n.Fingerprint() == a.Fingerprint() {
		t.Errorf("fingerprints %s, %s", n.Fingerprint(), a.Fingerprint())
	}
}

func TestFileModes(t *testing.T) {
	a, dir := authority(t)
	issue(t, a, dir, NodeRequest{ID: "a", Region: "r"})
	if _, err := CreateSigningKey(filepath.Join(dir, "token.key"), filepath.Join(dir, "token.pub")); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateGossipKey(filepath.Join(dir, "gossip.key")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		"ca.key": 0o600, "ca.crt": 0o644, "a.key": 0o600, "a.crt": 0o644, "token.key": 0o600, "token.pub": 0o644, "gossip.key": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&^want != 0 {
			t.Errorf("%s has mode %04o, want %04o at most", name, info.Mode().Perm(), want)
		}
	}
}

// A key that exists is never lost: whatever makes files refuses, and leaves no half behind.
func TestNothingIsOverwritten(t *testing.T) {
	a, dir := authority(t)
	issue(t, a, dir, NodeRequest{ID: "a", Region: "r"})
	in := func(name string) string { return filepath.Join(dir, name) }
	if _, err := CreateSigningKey(in("token.key"), in("token.pub")); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateGossipKey(in("gossip.key")); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	for what, create := range map[string]func() error{
		"authority":            func() error { _, err := CreateAuthority(dir, "other", now); return err },
		"node":                 func() error { _, err := a.CreateNode(dir, NodeRequest{ID: "a", Region: "r"}, now); return err },
		"signing key":          func() error { _, err := CreateSigningKey(in("token.key"), in("new.pub")); return err },
		"signing key's public": func() error { _, err := CreateSigningKey(in("new.key"), in("token.pub")); return err },
		"gossip key":           func() error { _, err := CreateGossipKey(in("gossip.key")); return err },
	} {
		if err := create(); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s again: %v, want fs.ErrExist", what, err)
		}
	}
	after := contents(t, dir)
	if len(after) != len(before) {
		t.Errorf("%d files after, %d before", len(after), len(before))
	}
	for name, data := range before {
		if after[name] != data {
			t.Errorf("%s has changed", name)
		}
	}
}

// A folder that cannot be written to (a file in its place) leaves nothing of the first file either.
func TestHalfIsTakenBack(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "blocked"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateSigningKey(filepath.Join(dir, "token.key"), filepath.Join(dir, "blocked", "token.pub")); err == nil {
		t.Fatal("wrote below a file")
	}
	if _, err := os.Lstat(filepath.Join(dir, "token.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the private half was left: %v", err)
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

func TestLoadNodeRefuses(t *testing.T) {
	a, dir := authority(t)
	issue(t, a, dir, NodeRequest{ID: "a", Region: "r", Life: time.Hour})
	issue(t, a, dir, NodeRequest{ID: "b", Region: "r"})
	_, other := authority(t)
	in := func(dir, name string) string { return filepath.Join(dir, name) }
	for what, err := range map[string]error{
		"another authority":  second(LoadNode(in(other, AuthorityCert), in(dir, "a.crt"), in(dir, "a.key"), now)),
		"another node's key": second(LoadNode(in(dir, AuthorityCert), in(dir, "a.crt"), in(dir, "b.key"), now)),
		"run out":            second(load(dir, "a", now.Add(2*time.Hour))),
		"not good yet":       second(load(dir, "a", now.Add(-time.Hour))),
		"authority as node":  second(LoadNode(in(dir, AuthorityCert), in(dir, AuthorityCert), in(dir, AuthorityKey), now)),
		"no authorities":     second(LoadNode(in(dir, "a.key"), in(dir, "a.crt"), in(dir, "a.key"), now)),
		"missing":            second(load(dir, "c", now)),
	} {
		if err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestLoadAuthority(t *testing.T) {
	_, dir := authority(t)
	a, err := LoadAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	issue(t, a, dir, NodeRequest{ID: "a", Region: "r"})
	if _, err := load(dir, "a", now); err != nil {
		t.Error(err)
	}
	_, other := authority(t)
	swapped, err := os.ReadFile(filepath.Join(other, AuthorityKey))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, AuthorityKey), swapped, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadAuthority(dir); err == nil || !strings.Contains(err.Error(), "does not belong to") {
		t.Errorf("another authority's key: %v", err)
	}
}

func TestNodeRequest(t *testing.T) {
	for _, r := range []NodeRequest{
		{ID: "", Region: "r"}, {ID: "a", Region: ""}, {ID: "A", Region: "r"}, {ID: "a", Region: "r/x"},
		{ID: "a", Region: "r", Hosts: []string{"*.example.org"}}, {ID: "a", Region: "r", Hosts: []string{""}},
		{ID: "a", Region: "r", Hosts: []string{"a..b"}}, {ID: "a", Region: "r", Life: -1},
	} {
		if r.Valid() == nil {
			t.Errorf("%+v is valid", r)
		}
	}
}

// The certificate works for what it is for: both ends of mutual TLS 1.3.
func TestMutualTLS(t *testing.T) {
	dir := t.TempDir()
	a, err := CreateAuthority(dir, "example", time.Now()) // TLS itself looks at the clock
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.CreateNode(dir, NodeRequest{ID: "a", Region: "r", Hosts: []string{"127.0.0.1"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	n, err := load(dir, "a", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{n.Certificate}, RootCAs: n.Roots, ClientCAs: n.Roots,
		ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "127.0.0.1",
		SessionTicketsDisabled: true, // nobody would read them from the pipe
	}
	left, right := net.Pipe()
	defer left.Close()
	defer right.Close()
	served := make(chan error, 1)
	go func() { served <- tls.Server(right, cfg).Handshake() }()
	if err := tls.Client(left, cfg).Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestSigningKey(t *testing.T) {
	dir := t.TempDir()
	private, public := filepath.Join(dir, "token.key"), filepath.Join(dir, "token.pub")
	id, err := CreateSigningKey(private, public)
	if err != nil {
		t.Fatal(err)
	}
	id1, key, err := LoadSigningKey(private)
	if err != nil {
		t.Fatal(err)
	}
	id2, verify, err := LoadVerifyKey(public)
	if err != nil {
		t.Fatal(err)
	}
	if id1 != id || id2 != id || len(id) != 43 {
		t.Errorf("ids %q, %q, %q", id, id1, id2)
	}
	if !ed25519.Verify(verify, []byte("x"), ed25519.Sign(key, []byte("x"))) {
		t.Error("the halves do not belong together")
	}
	if _, _, err := LoadSigningKey(public); err == nil {
		t.Error("the public half was taken for the private one")
	}
	if _, _, err := LoadVerifyKey(private); err == nil {
		t.Error("the private half was taken for the public one")
	}
	a, adir := authority(t)
	issue(t, a, adir, NodeRequest{ID: "a", Region: "r"})
	if _, _, err := LoadSigningKey(filepath.Join(adir, "a.key")); err == nil || !strings.Contains(err.Error(), "not an Ed25519") {
		t.Errorf("a node's key as signing key: %v", err)
	}
}

func TestGossipKeys(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gossip.key")
	fingerprint, err := CreateGossipKey(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := LoadGossipKeys(path)
	if err != nil || len(keys) != 1 || len(keys[0]) != GossipKeySize {
		t.Fatalf("LoadGossipKeys = %d keys, %v", len(keys), err)
	}
	secret, _ := os.ReadFile(path)
	if strings.Contains(string(secret), strings.TrimPrefix(fingerprint, "SHA256:")) {
		t.Error("the fingerprint shows the key")
	}
	line := func(fill byte) string { return base64.StdEncoding.EncodeToString(slices.Repeat([]byte{fill}, 32)) }
	for name, tc := range map[string]struct {
		text string
		want int // keys; -1: refused
	}{
		"two and a comment": {"# next\n" + line(1) + "\n\n" + line(2) + "\r\n", 2},
		"none":              {"\n# nothing\n", -1},
		"short":             {base64.StdEncoding.EncodeToString(make([]byte, 16)), -1},
		"not base64":        {"correct horse battery staple\n", -1},
		"nine":              {strings.Repeat(line(1)+"\n", 9), -1},
	} {
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := LoadGossipKeys(path)
		if tc.want < 0 && err == nil || tc.want >= 0 && (err != nil || len(keys) != tc.want) {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
		if err != nil && strings.Contains(err.Error(), strings.TrimSpace(tc.text)) {
			t.Errorf("%s: the error shows the text: %v", name, err)
		}
	}
}
