package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

const certified = "fra-1.example.org"

// authority is Let's Encrypt's own test server, for which every name is this machine.
type authority struct {
	server *httptest.Server
	roots  *x509.CertPool
	orders atomic.Int32
}

func startAuthority(t *testing.T, tlsPort int) *authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0") // or every twentieth request is sent twice
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	names := &dns.Server{Listener: listener, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(answer) // who asked is gone, or gets it
	})}
	served := make(chan error, 1)
	go func() { served <- names.ActivateAndServe() }()
	t.Cleanup(func() { _ = names.Shutdown(); <-served })
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	signer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default", ValidityPeriod: 90 * 24 * 3600}})
	front := wfe.New(quiet, store, va.New(quiet, 0, tlsPort, true, listener.Addr().String(), store), signer, []string{"example.org"}, true, false, 1, 1)
	handler := front.Handler()
	a := &authority{roots: x509.NewCertPool()}
	a.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.Contains(q.URL.Path, "order-plz") && q.Method == http.MethodPost {
			a.orders.Add(1)
		}
		handler.ServeHTTP(w, q)
	}))
	t.Cleanup(a.server.Close)
	a.roots.AppendCertsFromPEM(signer.GetRootCert(0).PEM())
	return a
}

// freePort is a TCP and UDP port that nobody has at the moment.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A node gets its page's certificate from an ACME authority, shows it, tells the metrics when it runs out, and after a restart still has it.
func TestACME(t *testing.T) {
	root, err := image()
	if err != nil {
		t.Fatal(err)
	}
	page, admin := freePort(t), freePort(t)
	a := startAuthority(t, page)
	dir := t.TempDir()
	for _, args := range [][]string{
		{"certs", "init"}, {"certs", "node", "fra-1", "--region", "eu-central", "--host", "127.0.0.1"}, {"keygen", "gossip"}, {"keygen", "token"},
	} {
		runBinary(t, root, append(args, "--dir", dir)...)
	}
	server := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})
	config := fmt.Sprintf(`id: fra-1
region: eu-central
host: 127.0.0.1
data: data
http: {listen: "127.0.0.1:%d", url: "https://%s"}
acme: {hosts: [%s], email: ops@example.org, directory: "%s/dir", roots: roots.crt}
media: {listen: "127.0.0.1:0"}
cascade: {listen: "127.0.0.1:%d"}
gossip: {listen: "127.0.0.1:%d", key_file: gossip.key, label: acme}
admin: {listen: "127.0.0.1:%d"}
tls: {ca: ca.crt, cert: fra-1.crt, key: fra-1.key}
tokens: {signing_key: token.key, guests: true}
`, page, certified, certified, a.server.URL, freePort(t), freePort(t), admin)
	file := filepath.Join(dir, "node.yaml")
	if err := errorsOf(os.WriteFile(file, []byte(config), 0o600), os.WriteFile(filepath.Join(dir, "roots.crt"), server, 0o600)); err != nil {
		t.Fatal(err)
	}
	first := runUntilCertified(t, root, file, page, admin, a)
	if n := a.orders.Load(); n != 1 {
		t.Errorf("%d orders", n)
	}
	if again := runUntilCertified(t, root, file, page, admin, a); again.SerialNumber.Cmp(first.SerialNumber) != 0 || a.orders.Load() != 1 {
		t.Errorf("after a restart it has another certificate, of %d orders", a.orders.Load())
	}
}

// runUntilCertified runs a node until its page is certified, and returns the certificate.
func runUntilCertified(t *testing.T, root, file string, page, admin int, a *authority) *x509.Certificate {
	t.Helper()
	node := exec.Command(filepath.Join(root, "usr/bin/rotunda"), "node", "--config", file)
	var said strings.Builder
	node.Stderr = &said
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = node.Process.Signal(syscall.SIGTERM)
		if err := node.Wait(); err != nil || t.Failed() {
			t.Errorf("the node: %v\n%s", err, said.String())
		}
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: a.roots, ServerName: certified}}}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		answer, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/", page))
		if err != nil {
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
			continue
		}
		answer.Body.Close()
		leaf := answer.TLS.PeerCertificates[0]
		if answer.StatusCode != http.StatusOK || leaf.VerifyHostname(certified) != nil {
			t.Errorf("the page: %s, certificate of %v", answer.Status, leaf.DNSNames)
		}
		for !expires(t, admin, leaf.NotAfter) { // told right after
			if time.Now().After(deadline) {
				t.Fatal("the metrics do not say when it runs out")
			}
			time.Sleep(50 * time.Millisecond)
		}
		return leaf
	}
}

// expires reports whether the metrics say that the page's certificate runs out then.
func expires(t *testing.T, admin int, at time.Time) bool {
	t.Helper()
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", admin))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`rotunda_cert_expiry_timestamp_seconds\{cert="web"\} (\S+)`).FindStringSubmatch(string(body))
	var seconds float64
	if found != nil {
		fmt.Sscan(found[1], &seconds)
	}
	return int64(seconds) == at.Unix()
}
