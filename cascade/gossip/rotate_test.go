package gossip_test

import (
	"crypto/rand"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"rotunda"
	"rotunda/cascade/nodecert/certtest"
)

// Two members go over to another authority, other certificates and another gossip key, one step at a time, and take each other
// for alive all along; who has only what was thrown away finds nobody, and who has only what is new finds all.
func TestEverythingIsReplaced(t *testing.T) {
	was, is := certtest.NewCA(), certtest.NewCA()
	a := start(t, member(was, "eu", "a"))
	b := start(t, member(was, "us", "b"), a.Address())
	old := start(t, member(was, "ap", "old"), a.Address())
	until(t, "all see each other", func() bool {
		return a.sees("b", rotunda.Alive)() && b.sees("a", rotunda.Alive)() && b.sees("old", rotunda.Alive)()
	})
	nodes := map[rotunda.NodeID]*node{"a": a, "b": b}
	regions := map[rotunda.NodeID]rotunda.Region{"a": "eu", "b": "us"}
	fresh := make([]byte, 32)
	rand.Read(fresh)

	heard := func(step string, load uint32) { // news of each still gets to the other
		t.Helper()
		a.SetLoad(rotunda.Load{Listeners: load})
		b.SetLoad(rotunda.Load{Listeners: load + 1})
		until(t, step, func() bool { return listeners(b, "a") == load && listeners(a, "b") == load+1 })
		for id, n := range nodes {
			for other := range nodes {
				if !n.sees(other, rotunda.Alive)() {
					t.Fatalf("%s: %s is not alive to %s", step, other, id)
				}
			}
		}
	}
	for i, step := range []struct {
		name string
		do   func(id rotunda.NodeID, n *node) error
	}{
		{"a second key that reads", func(_ rotunda.NodeID, n *node) error { return n.SetKeys([][]byte{key, fresh}) }},
		{"the second key writes", func(_ rotunda.NodeID, n *node) error { return n.SetKeys([][]byte{fresh, key}) }},
		{"the first key goes", func(_ rotunda.NodeID, n *node) error { return n.SetKeys([][]byte{fresh}) }},
		{"both authorities", func(id rotunda.NodeID, n *node) error {
			return n.SetIdentity(was.Node(regions[id], id), was.RootsWith(is))
		}},
		{"certificates of the new one", func(id rotunda.NodeID, n *node) error {
			return n.SetIdentity(is.NodeP256(regions[id], id), was.RootsWith(is))
		}},
		{"the new authority alone", func(id rotunda.NodeID, n *node) error {
			return n.SetIdentity(is.Node(regions[id], id), is.Roots())
		}},
	} {
		for id, n := range nodes {
			if err := step.do(id, n); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		}
		heard(step.name, uint32(10*i+10))
	}
	if err := a.SetKeys(nil); err == nil {
		t.Error("a mesh with keys goes over to none")
	}
	if err := a.SetKeys([][]byte{[]byte("short")}); err == nil {
		t.Error("a key of five octets is taken")
	}
	old.SetLoad(rotunda.Load{Listeners: 99})
	deadline := time.After(3 * time.Second)
	for {
		select {
		case <-deadline:
			return
		case <-time.After(50 * time.Millisecond):
		}
		if listeners(a, "old") == 99 {
			t.Fatal("the word of a node that has neither the key nor a certificate of the new authority is believed")
		}
	}
}

// listeners is how many n thinks another node has.
func listeners(n *node, id rotunda.NodeID) uint32 {
	for _, m := range n.Members() {
		if m.ID == id {
			return m.Load.Listeners
		}
	}
	return 0
}

// A node that has the gossip's key but no certificate of an authority that is left is no member, whatever it says; with one it is
// again.
func TestWithoutTheAuthorityNoMember(t *testing.T) {
	was, is := certtest.NewCA(), certtest.NewCA()
	a := start(t, member(was, "eu", "a"))
	b := start(t, member(was, "us", "b"), a.Address())
	old := start(t, member(was, "ap", "old"), a.Address())
	until(t, "all see each other", func() bool {
		return a.sees("b", rotunda.Alive)() && b.sees("a", rotunda.Alive)() && a.sees("old", rotunda.Alive)() && b.sees("old", rotunda.Alive)()
	})
	set := func(n *node, region rotunda.Region, id rotunda.NodeID, roots *x509.CertPool) {
		t.Helper()
		if err := n.SetIdentity(is.Node(region, id), roots); err != nil {
			t.Fatal(err)
		}
	}
	both := was.RootsWith(is)
	if err := old.SetIdentity(was.Node("ap", "old"), both); err != nil { // it follows, but for its certificate
		t.Fatal(err)
	}
	set(a, "eu", "a", both)
	set(b, "us", "b", both)
	a.SetLoad(rotunda.Load{Listeners: 1})
	b.SetLoad(rotunda.Load{Listeners: 2})
	until(t, "the two have the word of each other's new certificate", func() bool { return listeners(b, "a") == 1 && listeners(a, "b") == 2 })
	set(a, "eu", "a", is.Roots())
	set(b, "us", "b", is.Roots())
	old.SetLoad(rotunda.Load{Listeners: 99})
	a.SetLoad(rotunda.Load{Listeners: 3})
	until(t, "old has heard what came after", func() bool { return listeners(old, "a") == 3 && listeners(b, "a") == 3 })
	for name, n := range map[string]*node{"a": a, "b": b} {
		if slices.ContainsFunc(n.Members(), func(m rotunda.Member) bool { return m.ID == "old" }) {
			t.Errorf("to %s a node whose authority is gone is a member", name)
		}
	}
	set(old, "ap", "old", is.Roots())
	until(t, "with a certificate of the new one it is a member", func() bool { return listeners(a, "old") == 99 && listeners(b, "old") == 99 })
}
