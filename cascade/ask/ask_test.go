package ask_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rotunda"
	"rotunda/cascade/ask"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

var stream = relay.Key{Stream: rotunda.StreamID{Room: "r", Track: rotunda.Program}, Origin: "home"}

var start = time.Unix(1e9, 0)

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

func out(p relay.Port) relay.Out { return relay.Out{Port: p, Alias: wire.Alias(p) + 100} }

func peer(p relay.Port, rtt int) ask.Peer {
	return ask.Peer{Out: out(p), RTT: time.Duration(rtt) * time.Millisecond}
}

// script writes actions down.
func script(actions []ask.Action) string {
	var lines []string
	for _, a := range actions {
		switch a.Kind {
		case ask.Send:
			switch m := a.Message.(type) {
			case wire.Ask:
				lines = append(lines, fmt.Sprintf("ask %d down=%t id=%d wait=%d %s", a.Out.Port, m.Down, m.ID, m.Wait, m.Payload))
			case wire.Answer:
				lines = append(lines, fmt.Sprintf("answer %d down=%t id=%d %t %s", a.Out.Port, m.Down, m.ID, m.Complete, m.Payload))
			}
		case ask.Own:
			lines = append(lines, fmt.Sprintf("own %d %s", a.Round, a.Question))
		case ask.Join:
			lines = append(lines, fmt.Sprintf("join %d %s", a.Round, a.Parts))
		case ask.Tell:
			lines = append(lines, fmt.Sprintf("tell %d %t %s", a.Local, a.Complete, a.Answer))
		case ask.Resume:
			lines = append(lines, "resume")
		}
	}
	return strings.Join(lines, "; ")
}

// q is a question from above, in a round of its own.
func q(id uint32, wait uint16) wire.Ask {
	return wire.Ask{Down: true, ID: id, Round: id, Wait: wait, Payload: []byte("q")}
}

func want(t *testing.T, what string, actions []ask.Action, want string) {
	t.Helper()
	if got := script(actions); got != want {
		t.Errorf("%s:\n  %s, want\n  %s", what, got, want)
	}
}

// At the origin: those below are asked, each with the time that is left for it; one answer comes of theirs and the node's
// own; who asks the same meanwhile, or soon after, gets the same.
func TestOrigin(t *testing.T) {
	c := ask.New("home", 0)
	a := ask.Around{Down: []ask.Peer{peer(1, 0), peer(2, 100), peer(3, 950)}, All: true}
	want(t, "asked", c.Ask(at(0), stream, a, ask.Waiter{Out: out(1), ID: 9}, []byte("q"), at(1500)),
		"ask 1 down=true id=2 wait=950 q; ask 2 down=true id=2 wait=850 q; own 2 q") // 3 is too far away to answer in time
	want(t, "the same of another", c.Ask(at(1), stream, a, ask.Waiter{Local: 5}, []byte("q"), at(1500)), "")
	want(t, "own part", c.Part(at(2), 2, relay.Out{}, []byte("home"), true), "")
	want(t, "a part of nobody who was asked", c.Part(at(3), 2, out(3), []byte("x"), true), "")
	want(t, "a part", c.Part(at(4), 2, out(1), nil, true), "")
	want(t, "once more", c.Part(at(4), 2, out(1), []byte("x"), true), "")
	want(t, "the last", c.Part(at(5), 2, out(2), []byte("two"), true), "join 2 [home two]")
	want(t, "joined", c.Joined(at(6), 2, []byte("home+two"), true), "answer 1 down=true id=9 false home+two; tell 5 false home+two; resume")
	want(t, "soon after", c.Ask(at(1006), stream, a, ask.Waiter{Local: 6}, []byte("q"), at(3000)), "tell 6 false home+two")
	a.Down = a.Down[:1]
	want(t, "later", c.Ask(at(1007), stream, a, ask.Waiter{Local: 7}, []byte("q"), at(3000)), "ask 1 down=true id=4 wait=950 q; own 4 q")
	if next := c.NextTimeout(); next != at(2007) {
		t.Errorf("next timeout %v, want the end of the round", next.Sub(start))
	}
	want(t, "own", c.Part(at(1008), 4, relay.Out{}, []byte("home"), true), "")
	want(t, "nobody else in time", c.Expire(at(2007)), "tell 7 false home; resume")
	want(t, "too late", c.Part(at(2008), 4, out(1), []byte("one"), true), "")
}

// On the way: up to the origin, as soon as there is a way, and the answer down to all who asked.
func TestOnTheWay(t *testing.T) {
	c := ask.New("edge", 0)
	want(t, "no way yet", c.Ask(at(0), stream, ask.Around{}, ask.Waiter{Local: 1}, []byte("q"), at(1500)), "")
	if next := c.NextTimeout(); next != at(50) {
		t.Errorf("next timeout %v, want to look again", next.Sub(start))
	}
	want(t, "looks again", c.Expire(at(50)), "resume")
	want(t, "there is", c.Resume(at(50), stream, ask.Around{Up: peer(7, 80)}), "ask 7 down=false id=1 wait=1320 q")
	want(t, "another who asks", c.Ask(at(60), stream, ask.Around{Up: peer(7, 80)}, ask.Waiter{Out: out(3), ID: 4}, []byte("q"), at(1500)), "")
	want(t, "the link goes", c.Gone(at(70), 7), "")
	want(t, "an answer of the old way", c.Answered(at(70), 1, out(7), []byte("x"), true), "")
	want(t, "another way", c.Resume(at(80), stream, ask.Around{Up: peer(8, 80)}), "ask 8 down=false id=1 wait=1290 q")
	want(t, "an answer", c.Answered(at(90), 1, out(8), []byte("x"), true), "tell 1 true x; answer 3 down=true id=4 true x")
	want(t, "twice", c.Answered(at(90), 1, out(8), []byte("x"), true), "")

	want(t, "no answer", c.Ask(at(2000), stream, ask.Around{Up: peer(8, 80)}, ask.Waiter{Local: 2}, []byte("q"), at(3500)), "ask 8 down=false id=2 wait=1370 q")
	want(t, "in time", c.Expire(at(3500)), "tell 2 false ")
	want(t, "an older node above", c.Ask(at(5000), stream, ask.Around{Deaf: true}, ask.Waiter{Local: 3}, []byte("q"), at(6500)), "tell 3 false ")
	want(t, "no time", c.Ask(at(7000), stream, ask.Around{Up: peer(8, 80)}, ask.Waiter{Local: 4}, []byte("q"), at(7130)), "tell 4 false ")
}

// Asked from above: the same as at the origin, and the answer goes up. What does not come is missed.
func TestBelow(t *testing.T) {
	c := ask.New("relay", 0)
	a := ask.Around{Down: []ask.Peer{peer(1, 2), peer(2, 2)}, All: true}
	want(t, "asked", c.Asked(at(0), stream, a, out(9), q(77, 500)),
		"ask 1 down=true id=1 wait=448 q; ask 2 down=true id=1 wait=448 q; own 1 q")
	c.Part(at(1), 1, relay.Out{}, nil, true)
	want(t, "a link goes", c.Gone(at(2), 2), "")
	want(t, "the other answers", c.Part(at(3), 1, out(1), []byte("one"), true), "answer 9 down=false id=77 false one")

	want(t, "the same round by another way", c.Asked(at(9), stream, a, out(8), q(77, 500)), "answer 8 down=false id=77 true ")

	c.Asked(at(10), stream, a, out(9), q(78, 500))
	want(t, "who asked has gone", c.Gone(at(11), 9), "")
	want(t, "nothing is left", c.Expire(at(2000)), "")
	if next := c.NextTimeout(); !next.IsZero() {
		t.Errorf("next timeout %v, want none", next.Sub(start))
	}

	a.All = false // an older node takes the stream
	c.Asked(at(3000), stream, ask.Around{}, out(9), q(79, 1000))
	want(t, "own alone", c.Part(at(3001), 3, relay.Out{}, []byte("me"), true), "answer 9 down=false id=79 false me")

	c.Asked(at(4000), stream, ask.Around{Down: a.Down[:1], All: true}, out(9), q(80, 1000))
	c.Part(at(4001), 4, relay.Out{}, []byte("me"), true)
	want(t, "to be joined", c.Part(at(4002), 4, out(1), []byte("one"), true), "join 4 [me one]")
	want(t, "which does not end", c.Expire(at(5000)), "")
	want(t, "is given up", c.Expire(at(5050)), "answer 9 down=false id=80 false ")
	want(t, "too late", c.Joined(at(5051), 4, []byte("x"), true), "")
}

// However much is asked, what a node remembers and does at once is bounded, and everybody is told.
func TestBounds(t *testing.T) {
	c := ask.New("home", 0)
	a := ask.Around{Down: []ask.Peer{peer(1, 0)}, All: true}
	told, rounds := map[uint32]bool{}, 0
	count := func(actions []ask.Action) {
		for _, x := range actions {
			switch x.Kind {
			case ask.Tell:
				if told[x.Local] {
					t.Fatalf("%d is told twice", x.Local)
				}
				told[x.Local] = true
			case ask.Own:
				rounds++
			}
		}
	}
	const askers = 5000
	for i := range uint32(askers) {
		count(c.Ask(at(0), stream, a, ask.Waiter{Local: i + 1}, fmt.Append(nil, "q", i%1000), at(1500)))
	}
	if rounds != ask.StreamMax {
		t.Errorf("%d rounds at once, want %d", rounds, ask.StreamMax)
	}
	if want := askers - 5*ask.ErrandsMax; len(told) != want {
		t.Errorf("%d are turned away, want %d", len(told), want)
	}
	for now := 0; now <= 2000; now += 10 {
		actions := c.Expire(at(now))
		for len(actions) > 0 {
			count(actions)
			var more []ask.Action
			for _, x := range actions {
				if x.Kind == ask.Resume {
					more = append(more, c.Resume(at(now), x.Key, a)...)
				}
			}
			actions = more
		}
	}
	if len(told) != askers || rounds > 2*ask.StreamMax+1 {
		t.Errorf("%d of %d told, in %d rounds", len(told), askers, rounds)
	}
	below := ask.New("relay", 0)
	rounds = 0
	for i := range uint32(1000) {
		count(below.Asked(at(0), stream, a, out(relay.Port(2+i%3)), q(i, 1000)))
	}
	if rounds != 3*ask.PortMax {
		t.Errorf("%d rounds for three neighbours, want %d", rounds, 3*ask.PortMax)
	}
}

// parts come joined in portions, so that few are held.
func TestPortions(t *testing.T) {
	c := ask.New("home", 0)
	var a ask.Around
	a.All = true
	for p := range relay.Port(100) {
		a.Down = append(a.Down, peer(p+1, 0))
	}
	c.Ask(at(0), stream, a, ask.Waiter{Local: 1}, []byte("q"), at(1500))
	var joins [][]byte
	c.Part(at(1), 2, relay.Out{}, []byte("x"), true)
	for p := range relay.Port(100) {
		for _, x := range c.Part(at(1), 2, out(p+1), []byte("x"), true) {
			joins = append(joins, slices.Concat(x.Parts...))
		}
		if len(joins) > 0 && p%8 == 0 { // now and then a join ends
			last := joins[len(joins)-1]
			joins = nil
			for _, x := range c.Joined(at(1), 2, last, true) {
				joins = append(joins, slices.Concat(x.Parts...))
			}
		}
	}
	for range 3 {
		for _, x := range c.Joined(at(2), 2, joins[len(joins)-1], true) {
			if x.Kind == ask.Tell {
				if !x.Complete || len(x.Answer) != 101 {
					t.Errorf("%d parts, complete %t", len(x.Answer), x.Complete)
				}
				return
			}
			joins = append(joins, slices.Concat(x.Parts...))
		}
	}
	t.Error("nobody is told")
}

// world is nodes with two ways to each, whose messages are delivered in any order, or never.
type world struct {
	t      *rapid.T
	nodes  []*ask.Core
	parent []int
	second []int  // another way to the same node, also one that closes a circle
	deaf   []bool // does nothing any more
	now    time.Time
	queue  []func()
	told   map[uint32]ask.Action
}

func (w *world) around(n int) (a ask.Around) {
	a.All = true
	if n > 0 {
		a.Up = ask.Peer{Out: relay.Out{Port: relay.Port(w.parent[n] + 1), Alias: wire.Alias(n)}, RTT: 2 * time.Millisecond}
	}
	for m := range w.nodes {
		if m > 0 && m != n && (w.parent[m] == n || w.second[m] == n) {
			a.Down = append(a.Down, ask.Peer{Out: relay.Out{Port: relay.Port(m + 1), Alias: wire.Alias(m)}, RTT: 2 * time.Millisecond})
		}
	}
	return a
}

func (w *world) do(n int, actions []ask.Action) {
	for _, a := range actions {
		switch a.Kind {
		case ask.Send:
			w.queue = append(w.queue, func() { w.deliver(n, int(a.Out.Port)-1, a.Message) })
		case ask.Own:
			w.queue = append(w.queue, func() { w.do(n, w.nodes[n].Part(w.now, a.Round, relay.Out{}, []byte{byte(n)}, true)) })
		case ask.Join:
			w.queue = append(w.queue, func() {
				all := slices.Concat(a.Parts...)
				slices.Sort(all)
				w.do(n, w.nodes[n].Joined(w.now, a.Round, slices.Compact(all), true))
			})
		case ask.Tell:
			if _, twice := w.told[a.Local]; twice {
				w.t.Fatalf("%d is told twice", a.Local)
			}
			w.told[a.Local] = a
		case ask.Resume:
			w.do(n, w.nodes[n].Resume(w.now, a.Key, w.around(n)))
		}
	}
}

func (w *world) deliver(from, to int, m wire.Message) {
	c := w.nodes[to]
	if w.deaf[to] || w.deaf[from] {
		return
	}
	switch m := m.(type) {
	case wire.Ask:
		o := relay.Out{Port: relay.Port(from + 1), Alias: m.Alias}
		if m.Down {
			w.do(to, c.Asked(w.now, stream, w.around(to), o, m))
		} else {
			until := w.now.Add(time.Duration(m.Wait) * time.Millisecond)
			w.do(to, c.Ask(w.now, stream, w.around(to), ask.Waiter{Out: o, ID: m.ID}, m.Payload, until))
		}
	case wire.Answer:
		o := relay.Out{Port: relay.Port(from + 1), Alias: m.Alias}
		if m.Down {
			w.do(to, c.Answered(w.now, m.ID, o, m.Payload, m.Complete))
		} else {
			w.do(to, c.Part(w.now, m.ID, o, m.Payload, m.Complete))
		}
	}
}

// With any ways between the nodes, any of them deaf and messages in any order: everybody who asks is told once; an answer that says
// that it is complete has everybody; and where all are well, it is.
func TestAnyTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "nodes")
		w := &world{t: t, now: start, told: map[uint32]ask.Action{}, parent: make([]int, n), second: make([]int, n), deaf: make([]bool, n)}
		well := true
		for i := range n {
			id := rotunda.NodeID("home")
			if i > 0 {
				id = rotunda.NodeID(fmt.Sprint("n", i))
				w.parent[i] = rapid.IntRange(max(0, i-4), i-1).Draw(t, "parent")
				w.second[i] = rapid.IntRange(0, n-1).Draw(t, "second")
				w.deaf[i] = rapid.IntRange(0, 9).Draw(t, "deaf") == 0
				well = well && !w.deaf[i]
			}
			w.nodes = append(w.nodes, ask.New(id, 0))
		}
		askers := rapid.IntRange(1, 6).Draw(t, "askers")
		for i := range askers {
			at := rapid.IntRange(0, n-1).Draw(t, "at")
			q := fmt.Append(nil, "q", rapid.IntRange(0, 1).Draw(t, "question"))
			w.queue = append(w.queue, func() {
				w.do(at, w.nodes[at].Ask(w.now, stream, w.around(at), ask.Waiter{Local: uint32(i + 1)}, q, w.now.Add(1500*time.Millisecond)))
			})
		}
		for range 40 {
			for range 200 {
				if len(w.queue) == 0 {
					break
				}
				i := rapid.IntRange(0, len(w.queue)-1).Draw(t, "next")
				f := w.queue[i]
				w.queue = slices.Delete(w.queue, i, i+1)
				f()
			}
			w.now = w.now.Add(50 * time.Millisecond)
			for i, c := range w.nodes {
				w.do(i, c.Expire(w.now))
			}
		}
		if len(w.told) != askers {
			t.Fatalf("%d of %d are told", len(w.told), askers)
		}
		for who, a := range w.told {
			if len(a.Answer) > n || a.Complete && len(a.Answer) != n || well && !a.Complete {
				t.Fatalf("%d is told %v of %d nodes, complete %t, all well %t", who, a.Answer, n, a.Complete, well)
			}
		}
		for i, c := range w.nodes {
			w.do(i, c.Expire(w.now.Add(time.Hour)))
			if next := c.NextTimeout(); !next.IsZero() {
				t.Fatalf("node %d waits for %v after all is over", i, next.Sub(w.now))
			}
		}
	})
}
