package gossip

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
	"pgregory.net/rapid"

	"rotunda"
	"rotunda/cascade/nodecert/certtest"
)

func long(n int) string { return strings.Repeat("x", n) }

// longest is a member with the longest values that are allowed everywhere.
func longest() rotunda.Member {
	m := rotunda.Member{
		ID: rotunda.NodeID(long(63)), Region: rotunda.Region(long(63)), State: rotunda.Draining, Version: long(versionMax),
		Addresses: rotunda.Addresses{
			HTTP: "https://" + long(httpMax-8), Cascade: long(cascadeMax-5) + ":7443",
			Gossip: "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		},
		Load: rotunda.Load{Listeners: 1<<32 - 1, Speakers: 1<<32 - 1, CPU: 1},
	}
	for i := range m.Coordinate.Vec {
		m.Coordinate.Vec[i] = -1.5
	}
	m.Coordinate.Error, m.Coordinate.Adjustment, m.Coordinate.Height = 1.5, -0.25, 0.5
	return m
}

func TestLongestRecordFits(t *testing.T) {
	ca := certtest.NewCA()
	m := longest()
	if err := checkRecord(m); err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string]crypto.PrivateKey{
		"Ed25519": ca.Node("eu", "x").PrivateKey, "P-256": ca.NodeP256("eu", "x").PrivateKey,
	} {
		key := cert.(crypto.Signer)
		b, err := record{member: m, signed: 1 << 50}.seal(key)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: the longest record has %d octets", name, len(b))
		if len(b) != recordMax || len(b) > memberlist.MetaMaxSize {
			t.Errorf("%s: %d octets, want recordMax %d, at most memberlist's %d", name, len(b), recordMax, memberlist.MetaMaxSize)
		}
		r, err := parseRecord(b, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, r.member); d != "" || r.signed != 1<<50 {
			t.Errorf("%s: %s", name, d)
		}
		if !proven(b, recordContext, m.ID, key.Public()) {
			t.Errorf("%s: signature not good", name)
		}
	}
	for name, change := range map[string]func(*rotunda.Member){
		"HTTP address":    func(m *rotunda.Member) { m.Addresses.HTTP += "x" },
		"cascade address": func(m *rotunda.Member) { m.Addresses.Cascade += "x" },
		"version":         func(m *rotunda.Member) { m.Version += "x" },
		"gossip address":  func(m *rotunda.Member) { m.Addresses.Gossip = "example.org:1" },
		"node":            func(m *rotunda.Member) { m.ID += "x" },
		"region":          func(m *rotunda.Member) { m.Region += "x" },
	} {
		m := longest()
		change(&m)
		if err := checkRecord(m); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("too long a %s: %v", name, err)
		}
	}
}

// No octet of a record, of its name or of its key can change without the signature failing.
func TestRecordIsTamperProof(t *testing.T) {
	ca := certtest.NewCA()
	key := ca.Node("eu", "x").PrivateKey.(crypto.Signer)
	m := longest()
	b, err := record{member: m}.seal(key)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1
		if _, err := parseRecord(c, m.ID); err == nil && proven(c, recordContext, m.ID, key.Public()) {
			t.Errorf("octet %d changed, and nobody notices", i)
		}
	}
	if proven(b, recordContext, "y", key.Public()) {
		t.Error("good for another name")
	}
	if proven(b, pingContext, m.ID, key.Public()) {
		t.Error("good as the answer to a ping")
	}
	if proven(b, recordContext, m.ID, ca.Node("eu", "x").PrivateKey.(crypto.Signer).Public()) {
		t.Error("good under another key")
	}
	p, err := sealPing("x", time.Now(), m.Coordinate, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, c, err := parsePing(p, "x", key.Public()); err != nil || c != m.Coordinate {
		t.Errorf("ping: %v, %v", c, err)
	}
	p[9] ^= 1
	if _, _, err := parsePing(p, "x", key.Public()); !errors.Is(err, errForged) {
		t.Errorf("forged ping: %v, want errForged", err)
	}
}

func TestHello(t *testing.T) {
	chain := [][]byte{make([]byte, 500), make([]byte, derMax)}
	b, err := encodeHello("eu-1", chain)
	if err != nil {
		t.Fatal(err)
	}
	b[1] = 1
	h, err := parseHello(b)
	if err != nil || h.from != "eu-1" || !h.answer || len(h.chain) != 2 || len(h.chain[1]) != derMax {
		t.Errorf("hello %v from %q with %d certificates, %v", h.answer, h.from, len(h.chain), err)
	}
	for i := range b {
		if _, err := parseHello(b[:i]); !errors.Is(err, errMalformed) {
			t.Fatalf("first %d octets: %v, want errMalformed", i, err)
		}
	}
	if _, err := parseHello(append(b, 0)); !errors.Is(err, errMalformed) {
		t.Errorf("an octet more: %v, want errMalformed", err)
	}
	if _, err := encodeHello("eu-1", make([][]byte, chainMax+1)); err == nil {
		t.Error("a chain too long is accepted")
	}
}

func TestRecordRoundTrip(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z0-9-]{1,63}`)
		text := func(max int) *rapid.Generator[string] {
			return rapid.Map(rapid.SliceOfN(rapid.ByteRange('!', '~'), 0, max), func(b []byte) string { return string(b) })
		}
		m := rotunda.Member{
			ID: rotunda.NodeID(name.Draw(t, "id")), Region: rotunda.Region(name.Draw(t, "region")), State: rotunda.Alive,
			Version: text(versionMax).Draw(t, "version"),
			Addresses: rotunda.Addresses{
				HTTP: text(httpMax).Draw(t, "http"), Cascade: text(cascadeMax).Draw(t, "cascade"),
				Gossip: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 2, 3}), rapid.Uint16().Draw(t, "port")).String(),
			},
		}
		if err := checkRecord(m); err != nil {
			t.Fatal(err)
		}
		b, err := record{member: m, signed: 5}.seal(key)
		if err != nil {
			t.Fatal(err)
		}
		r, err := parseRecord(b, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, r.member); d != "" {
			t.Fatal(d)
		}
	})
}

// Whatever parses is within bounds and, signed again, is the same but for the signature.
func FuzzRecord(f *testing.F) {
	_, key, _ := ed25519.GenerateKey(nil)
	m := longest()
	b, _ := record{member: m, signed: 7}.seal(key)
	f.Add(b)
	m.Addresses = rotunda.Addresses{Gossip: "10.0.0.1:7946"}
	b, _ = record{member: m}.seal(key)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b, "eu-1")
		if err != nil {
			if !errors.Is(err, errMalformed) && !errors.Is(err, errOversized) {
				t.Fatalf("error %v is of no known kind", err)
			}
			return
		}
		if err := checkRecord(r.member); err != nil {
			t.Fatalf("parsed, but %v", err)
		}
		again, err := r.seal(key)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(b) - signatureLen; !bytes.Equal(b[:n], again[:n]) {
			t.Fatalf("parsed\n %x, encodes back to\n %x", b[:n], again[:n])
		}
	})
}

func FuzzHello(f *testing.F) {
	b, _ := encodeHello("eu-1", [][]byte{{1, 2, 3}, {4}})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b)
		if err != nil {
			return
		}
		again, err := encodeHello(h.from, h.chain)
		if err != nil {
			t.Fatal(err)
		}
		if h.answer {
			again[1] = 1
		}
		if !bytes.Equal(b, again) {
			t.Fatalf("parsed\n %x, encodes back to\n %x", b, again)
		}
	})
}
