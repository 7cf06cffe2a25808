package gossip_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http/httptest"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"rotunda"
	"rotunda/cascade/gossip"
	"rotunda/cascade/nodecert/certtest"
	"rotunda/metrics"
)

var key = []byte("0123456789abcdef0123456789abcdef")

// node is one member on real loopback sockets.
type node struct {
	*gossip.Gossip
	metrics *metrics.Set
	stop    func()
}

func start(t *testing.T, n gossip.Node, seeds ...string) *node {
	t.Helper()
	n.Metrics = metrics.New("", "")
	n.Logger = slog.New(slog.DiscardHandler)
	g, err := gossip.New(gossip.Config{Listen: "127.0.0.1:0", Keys: [][]byte{key}, Label: "mesh", Seeds: seeds}, n)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return &node{g, n.Metrics, stop}
}

func member(ca *certtest.CA, region rotunda.Region, id rotunda.NodeID) gossip.Node {
	return gossip.Node{
		Self: rotunda.Member{ID: id, Region: region, Version: "v1", Addresses: rotunda.Addresses{Cascade: "127.0.0.1:7443"}}, Certificate: ca.Node(region, id), Roots: ca.Roots(),
	}
}

func (n *node) count(t *testing.T, reason string) float64 {
	t.Helper()
	r := httptest.NewRecorder()
	n.metrics.Handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	b, _ := io.ReadAll(r.Body)
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(`rotunda_gossip_dropped_total{reason="`+reason+`"}`) + ` (\S+)$`).FindSubmatch(b)
	if m == nil {
		return 0
	}
	v, _ := strconv.ParseFloat(string(m[1]), 64)
	return v
}

// until waits for a condition that other goroutines bring about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func (n *node) sees(id rotunda.NodeID, state rotunda.MemberState) func() bool {
	return func() bool {
		for _, m := range n.Members() {
			if m.ID == id {
				return m.State == state
			}
		}
		return false
	}
}

func TestMembersFindEachOtherAndSayGoodbye(t *testing.T) {
	ca := certtest.NewCA()
	a := start(t, member(ca, "eu", "a"))
	b := start(t, member(ca, "us", "b"), a.Address())
	p256 := member(ca, "ap", "c")
	p256.Certificate = ca.NodeP256("ap", "c")
	c := start(t, p256, a.Address())
	for _, n := range []*node{a, b, c} {
		for _, id := range []rotunda.NodeID{"a", "b", "c"} {
			until(t, string(id)+" alive", n.sees(id, rotunda.Alive))
		}
	}
	if m := b.Members(); len(m) != 3 || m[0].ID != "a" || m[2].Region != "ap" || m[2].Addresses.Gossip != c.Address() || m[2].Version != "v1" {
		t.Errorf("members %+v", m)
	}
	c.SetDraining(true)
	until(t, "c draining at b", b.sees("c", rotunda.Draining))
	c.SetLoad(rotunda.Load{Listeners: 7})
	until(t, "c's load at b", func() bool { return b.Members()[2].Load.Listeners == 7 })
	c.stop()
	until(t, "c left", a.sees("c", rotunda.Left))
}

// liar is a node with the gossip key and no certificate of the mesh: plain memberlist.
type liar struct{ meta []byte }

func (l liar) NodeMeta(int) []byte              { return l.meta }
func (liar) NotifyMsg([]byte)                   {}
func (liar) GetBroadcasts(int, int) [][]byte    { return nil }
func (liar) LocalState(bool) []byte             { return nil }
func (liar) MergeRemoteState([]byte, bool)      {}
func (liar) NotifyJoin(*memberlist.Node)        {}
func (liar) NotifyLeave(*memberlist.Node)       {}
func (liar) NotifyUpdate(n *memberlist.Node)    {}
func (liar) NotifyAlive(*memberlist.Node) error { return nil }

func lie(t *testing.T, name, label string, k, meta []byte, to string) {
	t.Helper()
	c := memberlist.DefaultLANConfig()
	c.Name, c.BindAddr, c.BindPort, c.AdvertisePort = name, "127.0.0.1", 0, 0
	c.SecretKey, c.Label, c.Delegate, c.Logger = k, label, liar{meta}, log.New(io.Discard, "", 0)
	c.DelegateProtocolMin, c.DelegateProtocolMax, c.DelegateProtocolVersion = 1, 1, 1
	ml, err := memberlist.Create(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ml.Shutdown() })
	ml.Join([]string{to}) // as far as it gets
}

// Whoever holds only the gossip key can add nobody to the list and change nobody on it.
func TestGossipKeyAloneLiesAboutNobody(t *testing.T) {
	ca := certtest.NewCA()
	a := start(t, member(ca, "eu", "a"))
	b := start(t, member(ca, "us", "b"), a.Address())
	until(t, "b at a", a.sees("b", rotunda.Alive))

	lie(t, "no-record", "mesh", key, []byte("hello"), a.Address())
	until(t, "malformed record counted", func() bool { return a.count(t, "malformed") >= 1 })

	stranger := start(t, member(certtest.NewCA(), "eu", "stranger"), a.Address()) // a record in order, of another CA
	until(t, "stranger's certificate refused", func() bool { return a.count(t, "forged") >= 1 })
	impostor := start(t, member(certtest.NewCA(), "us", "b"), a.Address()) // b's name, a key of its own
	before := a.count(t, "forged")
	until(t, "impostor refused", func() bool { return a.count(t, "forged") > before })

	for _, m := range a.Members() {
		if m.ID != "a" && m.ID != "b" {
			t.Errorf("%s is listed", m.ID)
		}
		if m.ID == "b" && m.Addresses.Gossip != b.Address() {
			t.Errorf("b is now at %s", m.Addresses.Gossip)
		}
	}
	if n := len(stranger.Members()); n != 1 {
		t.Errorf("the stranger believes in %d members, want itself alone", n)
	}
	impostor.stop()
	stranger.stop()
}

// Garbage on the port is counted by kind, and the node goes on.
func TestGarbage(t *testing.T) {
	ca := certtest.NewCA()
	a := start(t, member(ca, "eu", "a"))
	until(t, "up", a.sees("a", rotunda.Alive))
	udp, err := net.Dial("udp", a.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	udp.Write([]byte{0})
	udp.Write([]byte("no label at all"))
	until(t, "packets without a label", func() bool { return a.count(t, "wrong_label") >= 2 })
	labelled := append([]byte{244, 4}, "mesh"...) // memberlist's label header
	for _, size := range []int{1, 28, 100, 1400, 60000} {
		b := make([]byte, size)
		rand.Read(b)
		b[0] = 1
		udp.Write(append(labelled[:len(labelled):len(labelled)], b...))
	}
	until(t, "packets that do not decrypt", func() bool { return a.count(t, "forged") >= 5 })
	udp.Write([]byte{244, 200, 'x'})
	until(t, "a label that ends early", func() bool { return a.count(t, "malformed") >= 1 })

	before := a.count(t, "wrong_label")
	lie(t, "x", "other mesh", key, nil, a.Address())
	until(t, "another mesh", func() bool { return a.count(t, "wrong_label") > before })
	before = a.count(t, "forged")
	lie(t, "y", "mesh", []byte("fedcba9876543210fedcba9876543210"), nil, a.Address())
	until(t, "another key", func() bool { return a.count(t, "forged") > before })
	for range 300 { // more streams than may be open
		if c, err := net.Dial("tcp", a.Address()); err == nil {
			c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			defer c.Close()
		}
	}
	b := start(t, member(ca, "us", "b"), a.Address())
	until(t, "b at a", a.sees("b", rotunda.Alive))
	until(t, "a at b", b.sees("a", rotunda.Alive))
}

func TestNewRefuses(t *testing.T) {
	ca := certtest.NewCA()
	for name, change := range map[string]func(*gossip.Config, *gossip.Node){
		"a short key":          func(c *gossip.Config, _ *gossip.Node) { c.Keys = [][]byte{{1}} },
		"no usable address":    func(c *gossip.Config, _ *gossip.Node) { c.Listen = "0.0.0.0:0" },
		"no certificate":       func(_ *gossip.Config, n *gossip.Node) { n.Certificate.PrivateKey = nil },
		"too long a version":   func(_ *gossip.Config, n *gossip.Node) { n.Self.Version = "0123456789012345678901234" },
		"an address in use":    func(c *gossip.Config, _ *gossip.Node) { c.Listen = "127.0.0.1:1" },
		"an address not there": func(c *gossip.Config, _ *gossip.Node) { c.Listen = "192.0.2.1:0" },
	} {
		c, n := gossip.Config{Listen: "127.0.0.1:0", Keys: [][]byte{key}}, member(ca, "eu", "a")
		if name == "an address in use" {
			taken, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer taken.Close()
			change = func(c *gossip.Config, _ *gossip.Node) { c.Listen = taken.LocalAddr().String() }
		}
		change(&c, &n)
		g, err := gossip.New(c, n)
		if err == nil {
			err = errors.Join(errors.New("accepted"), g.Close())
			t.Errorf("%s: %v", name, err)
		}
	}
}
