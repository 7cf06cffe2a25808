package gossip_test

import (
	"crypto/rand"
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
