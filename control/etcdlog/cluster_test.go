package etcdlog

import (
	"context"
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
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/eventlog/eventlogtest"
)

// authority is a CA that writes certificates into a folder.
type authority struct {
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir(), key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write(t, "ca.pem", "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (a *authority) node(t *testing.T, name string) TLS {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return TLS{
		CA: filepath.Join(a.dir, "ca.pem"), Cert: a.write(t, name+".pem", "CERTIFICATE", der), Key: a.write(t, name+"-key.pem", "PRIVATE KEY", keyDER),
	}
}

// ports returns n loopback addresses that were free a moment ago.
func ports(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out
}

type cluster struct {
	authority *authority
	configs   []Config
	endpoints []string
}

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{authority: newAuthority(t)}
	addresses := ports(t, 2*n)
	peers := map[string]string{}
	for i := range n {
		peers[fmt.Sprintf("node-%d", i)] = "https://" + addresses[2*i]
		c.endpoints = append(c.endpoints, "https://"+addresses[2*i+1])
	}
	for i := range n {
		name := fmt.Sprintf("node-%d", i)
		c.configs = append(c.configs, Config{
			Name: name, DataDir: t.TempDir(), Peers: peers, ListenPeer: addresses[2*i], ListenClient: addresses[2*i+1],
			TLS: c.authority.node(t, name),
		})
	}
	return c
}

// open starts the members at the same time, as they start after a power cut.
func (c *cluster) open(t *testing.T) []*Log {
	t.Helper()
	logs := make([]*Log, len(c.configs))
	var wg sync.WaitGroup
	for i, cfg := range c.configs {
		wg.Go(func() {
			var err error
			if logs[i], err = Open(t.Context(), cfg); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() {
		var wg sync.WaitGroup
		for _, l := range logs {
			wg.Go(func() {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	return logs
}

func TestCluster(t *testing.T) {
	t.Parallel() // most of it is waiting
	c := newCluster(t, 3)
	logs := c.open(t)
	remote := open(t, Config{Endpoints: c.endpoints, TLS: c.authority.node(t, "edge")})

	t.Run("Member", func(t *testing.T) { eventlogtest.Run(t, logs[1]) })
	t.Run("Remote", func(t *testing.T) { eventlogtest.Run(t, remote) })
	t.Run("MutualTLS", func(t *testing.T) { wantMutualTLS(t, c) })
	t.Run("LeaderKilled", func(t *testing.T) { leaderKilled(t, logs, remote) })
}

// wantMutualTLS: neither port talks to somebody without a certificate of the mesh's CA, or with another CA's.
func wantMutualTLS(t *testing.T, c *cluster) {
	roots := x509.NewCertPool()
	roots.AddCert(c.authority.cert)
	files := newAuthority(t).node(t, "stranger")
	stranger, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{c.configs[0].ListenPeer, c.configs[0].ListenClient} {
		for name, certificates := range map[string][]tls.Certificate{"no certificate": nil, "a stranger's": {stranger}} {
			conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, Certificates: certificates, NextProtos: []string{"h2"}})
			if err == nil { // TLS 1.3 learns of the refusal with the first read
				conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				var answer [1]byte
				_, err = conn.Read(answer[:])
				conn.Close()
			}
			if op := (*net.OpError)(nil); !errors.As(err, &op) || op.Op != "remote error" { // how crypto/tls says: an alert
				t.Errorf("%s with %s: %v, want an alert", address, name, err)
			}
		}
	}
}

// leaderKilled: the leader stops dead. Appends through the others go on, followers go on, nothing that was acknowledged
// is lost and nothing is there twice.
func leaderKilled(t *testing.T, logs []*Log, remote *Log) {
	room := eventlogtest.Room()
	var leader *Log
	var others []eventlog.Log
	for _, l := range logs {
		if l.server.Server.Leader() == l.server.Server.MemberID() {
			leader = l
		} else {
			others = append(others, l)
		}
	}
	others = append(others, remote)
	var kept []string
	followed := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, l := range others {
		wg.Go(func() {
			n := 0
			err := l.Follow(ctx, room, eventlog.Position{}, func(e eventlog.Entry) error {
				if n++; int(e.Seq) != n {
					t.Errorf("followed %d after %d", e.Seq, n-1)
				}
				followed <- string(e.Data)
				return nil
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("follow ended with %v", err)
			}
		})
	}
	at := eventlogtest.MustAppend(t, leader, room, eventlog.Position{}, "before")
	kept = append(kept, "before")

	killed := time.Now()
	leader.server.Server.HardStop() // no hand-over, and then every connection breaks
	wg.Go(func() { leader.Close() })
	for i, l := range others {
		text := fmt.Sprint("after-", i)
		at = appendUntilKept(t, l, room, at, text)
		kept = append(kept, text)
		t.Logf("append through survivor %d kept %v after the leader was killed", i, time.Since(killed).Round(time.Millisecond))
	}
	if took := time.Since(killed); took > 10*time.Second {
		t.Errorf("appends were kept again only after %v", took)
	}
	for _, l := range others {
		eventlogtest.WantRead(t, l, room, eventlog.Position{}, kept...)
	}
	for range len(others) * len(kept) {
		select {
		case <-followed:
		case <-time.After(20 * time.Second):
			t.Fatal("a follower does not go on")
		}
	}
}

// appendUntilKept does as control does: after an unknown outcome the same again, after a conflict it looks for its own.
func appendUntilKept(t *testing.T, l eventlog.Log, room rotunda.RoomID, after eventlog.Position, text string) eventlog.Position {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	b := eventlog.Batch{After: after, Records: eventlogtest.Records(text)}
	for time.Now().Before(deadline) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := l.Append(ctx, room, b)
		cancel()
		switch {
		case err == nil, errors.Is(err, eventlog.ErrConflict):
			eventlogtest.WantRead(t, l, room, after, text)
			_, end := b.Entries(room)
			return end
		case !errors.Is(err, eventlog.ErrUnknown) && !errors.Is(err, eventlog.ErrUnavailable):
			t.Fatal(err)
		}
	}
	t.Fatalf("%q is not kept", text)
	return after
}

// One node keeps the log and serves the others, as in a mesh of two regions: same certificates, one port.
func TestAloneServesOthers(t *testing.T) {
	a := newAuthority(t)
	address := ports(t, 1)[0]
	cfg := Config{Name: "one", DataDir: t.TempDir(), ListenClient: address}
	if l, err := Open(t.Context(), cfg); err == nil {
		l.Close()
		t.Fatal("serves other nodes without TLS")
	}
	cfg.TLS = a.node(t, "one")
	keeper := open(t, cfg)
	remote := open(t, Config{Endpoints: []string{"https://" + address}, TLS: a.node(t, "two")})
	at := eventlogtest.MustAppend(t, remote, "shared", eventlog.Position{}, "a")
	eventlogtest.MustAppend(t, keeper, "shared", at, "b")
	eventlogtest.WantRead(t, remote, "shared", eventlog.Position{}, "a", "b")
}

// A member starts while the others are away, says so, and takes appends once there is a majority.
func TestMemberAloneWaits(t *testing.T) {
	t.Parallel() // most of it is waiting
	c := newCluster(t, 3)
	var out said
	c.configs[0].Logger = out.logger()
	first := open(t, c.configs[0])
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := first.Append(ctx, "r", eventlog.Batch{Records: eventlogtest.Records("a")}); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("append without a majority: %v, want ErrUnavailable", err)
	}
	open(t, c.configs[1])
	at := appendUntilKept(t, first, "r", eventlog.Position{}, "a")
	appendUntilKept(t, first, "r", at, "b")
	if s := out.String(); s == "" {
		t.Error("nothing was said about waiting for the others")
	}
}
