package control

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
	"rotunda/metrics"
)

// mesh is nodes that hear each other, each with its own way to one log.
type mesh struct {
	t     *testing.T
	log   *eventlog.Memory
	delay time.Duration // one way between two nodes

	mu    sync.Mutex // guards what follows
	nodes map[rotunda.NodeID]*meshNode
	cut   map[rotunda.NodeID]bool                       // hears nobody and is heard by nobody
	lies  map[rotunda.NodeID]func(answer []byte) []byte // what the node says in place of its answers
	wg    sync.WaitGroup
}

type meshNode struct {
	*node
	log    *faulty
	dir    string
	cancel func()
}

func newMesh(t *testing.T) *mesh {
	m := &mesh{t: t, log: new(eventlog.Memory), delay: 40 * time.Millisecond, nodes: map[rotunda.NodeID]*meshNode{}, cut: map[rotunda.NodeID]bool{}, lies: map[rotunda.NodeID]func([]byte) []byte{}}
	t.Cleanup(m.wg.Wait)
	return m
}

// outage is the mesh as a node of control sees it. Messages are signed with keys that all know.
func (m *mesh) outage(name rotunda.NodeID, dir string) *Outage {
	key := func(n rotunda.NodeID) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed([]byte(fmt.Sprintf("%-32.32s", n)))
	}
	return &Outage{
		Dir: dir,
		Seal: func(b []byte) ([]byte, error) {
			return append(fmt.Appendf(nil, "%-16s", name), append(ed25519.Sign(key(name), b), b...)...), nil
		},
		Open: func(b []byte) (rotunda.NodeID, []byte, error) {
			if len(b) < 80 {
				return "", nil, errors.New("too short")
			}
			n := rotunda.NodeID(strings.TrimSpace(string(b[:16])))
			if !ed25519.Verify(key(n).Public().(ed25519.PublicKey), b[80:], b[16:80]) {
				return "", nil, errors.New("forged")
			}
			return n, b[80:], nil
		},
		Spread: func(b []byte) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			for n, to := range m.nodes {
				if n != name && !m.cut[n] && !m.cut[name] {
					m.wg.Go(func() {
						time.Sleep(m.delay)
						if err := to.Heard(b); err != nil {
							m.t.Errorf("%s: %v", n, err)
						}
					})
				}
			}
			return nil
		},
	}
}

// neighbours is the same for what nodes ask each other.
func (m *mesh) neighbours(name rotunda.NodeID) *Neighbours {
	return &Neighbours{
		Members: func() []rotunda.Member {
			m.mu.Lock()
			defer m.mu.Unlock()
			var all []rotunda.Member
			for n := range m.nodes {
				all = append(all, rotunda.Member{ID: n, State: rotunda.Alive})
			}
			slices.SortFunc(all, func(a, b rotunda.Member) int { return cmp.Compare(a.ID, b.ID) })
			return all
		},
		Ask: func(ctx context.Context, to rotunda.NodeID, question []byte) ([]byte, error) {
			m.mu.Lock()
			node, lie, cut := m.nodes[to], m.lies[to], m.cut[to] || m.cut[name]
			m.mu.Unlock()
			if cut {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			time.Sleep(2 * m.delay)
			answer := node.Lend(question)
			if lie != nil {
				answer = lie(answer)
			}
			return answer, ctx.Err()
		},
	}
}

// start runs a node, with what an earlier one of the name has left in its folder.
func (m *mesh) start(name rotunda.NodeID, dir string) *meshNode {
	n := &meshNode{log: &faulty{Log: m.log}, dir: dir, node: &node{t: m.t, metrics: metrics.New("test", "")}}
	n.Control = New(Config{
		Log: n.log, Node: name, Rand: rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", string(name)+time.Now().String())[:32]))), Metrics: n.metrics,
		Outage: m.outage(name, dir), Neighbours: m.neighbours(name), Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	n.cancel = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			m.t.Errorf("%s: Run returned %v", name, err)
		}
	})
	m.t.Cleanup(n.cancel)
	m.mu.Lock()
	m.nodes[name] = n
	m.mu.Unlock()
	return n
}

func (m *mesh) three() (a, b, c *meshNode) {
	dir := m.t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		must(m.t, os.MkdirAll(filepath.Join(dir, name), 0o700))
	}
	a, b, c = m.start("a", filepath.Join(dir, "a", "outbox")), m.start("b", filepath.Join(dir, "b", "outbox")), m.start("c", filepath.Join(dir, "c", "outbox"))
	synctest.Wait()
	return a, b, c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// watching follows a room and keeps what it was told last.
type watching struct {
	mu    sync.Mutex // guards what follows
	state *room.State
	facts []room.Event
	at    []time.Time // of the facts
}

func (n *node) watch(id rotunda.RoomID) *watching {
	w := &watching{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Follow(ctx, id, 0, func(c Change) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.state = c.State
			for _, f := range c.Facts {
				w.facts = append(w.facts, f)
				w.at = append(w.at, time.Now())
			}
			return nil
		})
	}()
	n.t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return w
}

func (w *watching) now() *room.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// stage puts bob and cyd on stage of a new room, bob unmuted.
func stage(n *node) rotunda.RoomID {
	id := n.create("Stage")
	for _, u := range []room.Actor{bob, cyd} {
		n.do(id, u, room.Request{})
		n.do(id, ada, room.Approve{User: u.User})
		n.do(id, u, room.Unmute{User: u.User})
	}
	return id
}

func away(nodes ...*meshNode) {
	for _, n := range nodes {
		n.log.setAway(true)
	}
	time.Sleep(4 * time.Second) // a probe that waits its time, and the next
}

func back(nodes ...*meshNode) {
	for _, n := range nodes {
		n.log.setAway(false)
	}
	time.Sleep(3 * time.Second)
}

// entries are the room's events as the log has them.
func (m *mesh) entries(id rotunda.RoomID) []room.Event {
	m.t.Helper()
	var events []room.Event
	at := eventlog.Position{}
	for {
		got, end, err := m.log.Read(context.Background(), id, at, eventlog.ReadMax)
		must(m.t, err)
		for _, e := range got {
			at, err = at.Next(id, e)
			must(m.t, err)
			events = append(events, decode(e))
		}
		if at.Seq >= end.Seq {
			return events
		}
	}
}
