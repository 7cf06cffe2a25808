package identity

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rotunda"
)

// Two nodes of a region have the same key, another region has another, and a node believes only its own authority about it.
func TestRegionKeys(t *testing.T) {
	now, dir := time.Now(), t.TempDir()
	a, err := CreateAuthority(dir, "test", now)
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	load := func(id string) (*Node, RegionKeys) {
		t.Helper()
		n, err := LoadNode(in("ca.crt"), in(id+".crt"), in(id+".key"), now)
		if err != nil {
			t.Fatal(err)
		}
		k, err := n.LoadRegionKeys(in(id+".region"), now)
		if err != nil {
			t.Fatal(err)
		}
		return n, k
	}
	for id, r := range map[string]string{"a": "r", "b": "r", "c": "s"} {
		if _, err := a.CreateNode(dir, NodeRequest{ID: rotunda.NodeID(id), Region: rotunda.Region(r)}, now); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(in(id + ".region"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s.region: %v, %v", id, info, err)
		}
	}
	na, ka := load("a")
	_, kb := load("b")
	nc, kc := load("c")
	if !ka.Keys[0].Equal(kb.Keys[0]) || ka.Keys[0].Equal(kc.Keys[0]) {
		t.Error("a region's nodes have one key, and another region another")
	}
	if r, key, err := nc.ProveRegion(ka.Proof, now); err != nil || r != "r" || !key.Equal(ka.Keys[0].PublicKey()) {
		t.Errorf("proof: %s, %v", r, err)
	}
	if _, err := na.LoadRegionKeys(in("c.region"), now); err == nil {
		t.Error("the key of another region is taken")
	}
	if _, _, err := na.ProveRegion(na.Certificate.Certificate[0], now); err == nil {
		t.Error("a node's certificate is taken for a region's")
	}

	// The next authority: the file has the new key first and the old one behind it.
	next := t.TempDir()
	b, err := CreateAuthority(next, "test", now)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.CreateRegion(next, "a", "r", now); err != nil {
		t.Fatal(err)
	}
	if err := b.CreateRegion(next, "a", "r", now); err == nil {
		t.Error("a file is overwritten")
	}
	fresh, err := os.ReadFile(filepath.Join(next, "a.region"))
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(in("a.region"))
	if err != nil {
		t.Fatal(err)
	}
	both := filepath.Join(next, "both.region")
	if err := os.WriteFile(both, bytes.Join([][]byte{fresh, old}, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := na.LoadRegionKeys(both, now); err == nil {
		t.Error("a key of an authority that the node does not believe is taken")
	}
	cert, err := os.ReadFile(filepath.Join(next, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	na.Roots.AppendCertsFromPEM(cert)
	k, err := na.LoadRegionKeys(both, now)
	if err != nil || len(k.Keys) != 2 || !k.Keys[1].Equal(ka.Keys[0]) || k.Keys[0].Equal(ka.Keys[0]) {
		t.Errorf("after a rotation: %d keys, %v", len(k.Keys), err)
	}
}
