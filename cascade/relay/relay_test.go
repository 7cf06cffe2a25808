package relay_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rotunda"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

var program = rotunda.StreamID{Room: "k3v9", Track: rotunda.Program, Epoch: 1}

func key(origin rotunda.NodeID) relay.Key { return relay.Key{Stream: program, Origin: origin} }

// script shows actions in a form that a table can hold.
func script(actions []relay.Action) string {
	var s []string
	for _, a := range actions {
		switch a.Kind {
		case relay.Send:
			switch m := a.Message.(type) {
			case wire.Subscribe:
				s = append(s, fmt.Sprintf("%d<-subscribe %d %v", a.Port, m.Alias, m.Path))
			case wire.Unsubscribe:
				s = append(s, fmt.Sprintf("%d<-unsubscribe %d", a.Port, m.Alias))
			case wire.Resume:
				s = append(s, fmt.Sprintf("%d<-resume %d from %d", a.Port, m.Alias, m.From))
			case wire.Gone:
				s = append(s, fmt.Sprintf("%d<-gone %d %s %s", a.Port, m.Alias, m.Reason, m.Node))
			}
		case relay.Dial:
			s = append(s, "dial "+string(a.Node))
		case relay.Replan:
			s = append(s, fmt.Sprintf("replan via %s at %s", a.Via, a.Node))
		case relay.Wanted:
			s = append(s, "wanted")
		case relay.Replay:
			s = append(s, fmt.Sprintf("%d<-frames of %d from %d", a.Port, a.Alias, a.From))
		}
	}
	return strings.Join(s, "; ")
}

type table struct {
	*relay.Core
	t *testing.T
}

func newTable(t *testing.T) table { return table{relay.New("me"), t} }

func (c table) want(what string, actions []relay.Action, want string) {
	c.t.Helper()
	if got := script(actions); got != want {
		c.t.Errorf("%s: %q, want %q", what, got, want)
	}
	if err := c.CheckInvariants(); err != nil {
		c.t.Errorf("%s: %v", what, err)
	}
}

func (c table) receive(p relay.Port, m wire.Message) []relay.Action {
	c.t.Helper()
	a, err := c.Receive(p, m)
	if err != nil {
		c.t.Errorf("%T: %v", m, err)
	}
	return a
}

func (c table) local(path ...rotunda.NodeID) []relay.Action {
	_, a := c.Want(key(path[len(path)-1]), path, nil)
	return a
}

// both wants a stream by two ways.
func (c table) both(primary, backup []rotunda.NodeID) []relay.Action {
	_, a := c.Want(key(primary[len(primary)-1]), primary, backup)
	return a
}

func via(hops ...rotunda.NodeID) []rotunda.NodeID { return hops }

func subscribe(alias wire.Alias, path ...rotunda.NodeID) wire.Subscribe {
	return wire.Subscribe{Alias: alias, Stream: program, Path: path}
}

func TestRelayPullsOnceAndLetsGo(t *testing.T) {
	c := newTable(t)
	c.want("link to b", c.LinkUp(1, "b"), "")
	c.want("link to d", c.LinkUp(2, "d"), "")
	c.want("first subscriber", c.receive(1, subscribe(7, "origin")), "dial origin")
	c.want("second subscriber", c.receive(2, subscribe(9, "origin")), "")
	c.want("somebody here", c.local("origin"), "")
	c.want("link to the origin", c.LinkUp(3, "origin"), "3<-subscribe 1 []")

	f := rotunda.Frame{Seq: 5}
	s, d := c.Arrive(3, 1, &f)
	if d != "" || f.Hops != 1 {
		t.Fatalf("frame: drop %q, %d hops; want none and 1", d, f.Hops)
	}
	if want := []relay.Out{{Port: 1, Alias: 7}, {Port: 2, Alias: 9}}; !slices.Equal(s.Outs(), want) {
		t.Errorf("frame goes to %v, want %v", s.Outs(), want)
	}
	if got := c.Stats(); got != (relay.Stats{Streams: 1, In: 1, Out: 2}) {
		t.Errorf("stats %+v", got)
	}
	c.want("first leaves", c.receive(1, wire.Unsubscribe{Alias: 7}), "")
	c.want("nobody here", c.Unwant(key("origin")), "")
	if c.Busy(1) || !c.Busy(2) || !c.Busy(3) {
		t.Errorf("busy ports %t %t %t, want 2 and 3", c.Busy(1), c.Busy(2), c.Busy(3))
	}
	c.want("last leaves", c.receive(2, wire.Unsubscribe{Alias: 9}), "3<-unsubscribe 1")
	c.want("leaves again", c.receive(2, wire.Unsubscribe{Alias: 9}), "")
	if _, d := c.Arrive(3, 1, &rotunda.Frame{Seq: 6}); d != relay.DropUnknown {
		t.Errorf("frame after letting go: drop %q, want %q", d, relay.DropUnknown)
	}
	if got := c.Stats(); got != (relay.Stats{}) {
		t.Errorf("stats %+v after all left, want nothing", got)
	}
}

func TestOriginIsAskedBeforeAndAfterItPublishes(t *testing.T) {
	c := newTable(t)
	c.LinkUp(1, "b")
	c.want("asked before", c.receive(1, subscribe(1)), "")
	s := c.Publish(program)
	if !s.Wanted() {
		t.Error("not wanted, though asked for before")
	}
	c.want("leaves", c.receive(1, wire.Unsubscribe{Alias: 1}), "wanted")
	c.want("here", c.local("me"), "wanted")
	c.want("and there", c.receive(1, subscribe(2)), "")
	c.want("not here", c.Unwant(key("me")), "")
	c.want("link down", c.LinkDown(1), "wanted")
	c.Unpublish(program)
	if got := c.Stats(); got != (relay.Stats{}) {
		t.Errorf("stats %+v, want nothing", got)
	}
}

func TestBrokenPaths(t *testing.T) {
	c := newTable(t)
	c.LinkUp(1, "edge")
	c.LinkUp(2, "r")
	c.want("here", c.local("r", "origin"), "2<-subscribe 1 [origin]")
	c.want("gone", c.receive(2, wire.Gone{Alias: 1, Reason: wire.Unreachable, Node: "origin"}), "replan via r at origin")
	c.want("gone again", c.receive(2, wire.Gone{Alias: 1, Reason: wire.Unreachable, Node: "origin"}), "")
	c.want("straight", c.local("origin"), "dial origin")
	c.want("edge joins", c.receive(1, subscribe(4, "origin")), "")
	c.want("no link", c.Unreachable("origin"), "1<-gone 4 unreachable origin; replan via origin at origin")
	c.want("through r", c.local("r", "origin"), "2<-subscribe 2 [origin]")
	c.want("link to r down", c.LinkDown(2), "replan via r at r")
	c.want("subscriber's link down", c.LinkDown(1), "")
	c.want("a late message", c.receive(1, subscribe(5, "origin")), "")
	c.want("nobody here", c.Unwant(key("origin")), "")
	if got := c.Stats(); got != (relay.Stats{}) {
		t.Errorf("stats %+v, want nothing", got)
	}
}

func TestPathChangesWithoutAGap(t *testing.T) {
	c := newTable(t)
	c.LinkUp(1, "a")
	c.LinkUp(2, "b")
	c.want("through a", c.local("a", "origin"), "1<-subscribe 1 [origin]")
	if s, _ := c.Arrive(1, 1, &rotunda.Frame{Seq: 1}); s.Unsettled() {
		t.Error("unsettled with one path")
	}
	c.want("through b", c.local("b", "origin"), "2<-subscribe 2 [origin]; 2<-resume 2 from 1")
	if s, d := c.Arrive(1, 1, &rotunda.Frame{Seq: 2}); d != "" || s.Unsettled() {
		t.Errorf("old path: drop %q, unsettled %t; want to go on", d, s.Unsettled())
	}
	s, d := c.Arrive(2, 2, &rotunda.Frame{Seq: 2})
	if d != relay.DropDuplicate || !s.Unsettled() {
		t.Errorf("first frame of the new path: drop %q, unsettled %t; want duplicate, true", d, s.Unsettled())
	}
	c.want("settle", c.Settle(s), "1<-unsubscribe 1")
	c.want("back to a", c.local("a", "origin"), "1<-subscribe 3 [origin]; 1<-resume 3 from 2")
	c.want("a fails", c.receive(1, wire.Gone{Alias: 3, Reason: wire.Refused, Node: "a"}), "replan via a at a")
	if _, d := c.Arrive(2, 2, &rotunda.Frame{Seq: 3}); d != "" {
		t.Errorf("b's frame: drop %q, want it to go on", d)
	}
}

// Two nodes that each hold the other for the region's relay must not wait for each other for ever.
func TestTwoRelaysDoNotCircle(t *testing.T) {
	c := newTable(t)
	c.LinkUp(1, "other")
	c.LinkUp(2, "origin")
	c.want("through other", c.local("other", "origin"), "1<-subscribe 1 [origin]")
	c.want("other through here", c.receive(1, subscribe(1, "origin")), "2<-subscribe 2 []")
	c.want("not longer than promised", c.local("other", "origin"), "")
}

func TestSubscriptionsRefused(t *testing.T) {
	c := newTable(t)
	c.LinkUp(1, "b")
	for _, path := range [][]rotunda.NodeID{{"me"}, {"x", "me", "o"}, {"b", "o"}, {"x", "y", "x"}} {
		c.want(fmt.Sprint(path), c.receive(1, subscribe(1, path...)), "1<-gone 1 looped me")
	}
	for i := range relay.DownsMax {
		m := subscribe(wire.Alias(i + 1))
		m.Stream.Epoch = rotunda.Epoch(i)
		if _, err := c.Receive(1, m); err != nil {
			t.Fatal(err)
		}
	}
	c.want("one too many", c.receive(1, subscribe(wire.AliasMax)), fmt.Sprintf("1<-gone %d refused me", wire.AliasMax))
	if _, err := c.Receive(1, subscribe(1)); !errors.Is(err, relay.ErrProtocol) {
		t.Errorf("alias used twice: %v, want ErrProtocol", err)
	}
	if _, err := c.Receive(1, wire.Hello{}); !errors.Is(err, relay.ErrProtocol) {
		t.Errorf("second hello: %v, want ErrProtocol", err)
	}
}

func TestWindow(t *testing.T) {
	type step struct {
		seq  rotunda.Seq
		want relay.Drop
	}
	for name, steps := range map[string][]step{
		"in order":          {{0, ""}, {1, ""}, {2, ""}},
		"out of order":      {{10, ""}, {8, ""}, {9, ""}, {8, relay.DropDuplicate}, {11, ""}},
		"edge of window":    {{1000, ""}, {745, ""}, {744, relay.DropLate}, {745, relay.DropDuplicate}},
		"gap":               {{1, ""}, {300, ""}, {45, ""}, {44, relay.DropLate}, {299, ""}},
		"wraps in window":   {{1, ""}, {257, ""}, {2, ""}, {258, ""}, {2, relay.DropLate}},
		"far jump once":     {{1, ""}, {1 << 40, relay.DropLate}, {2, ""}, {3, ""}},
		"far jump twice":    {{1, ""}, {1 << 40, relay.DropLate}, {1<<40 + 1, ""}, {2, relay.DropLate}},
		"restart":           {{5000, ""}, {0, relay.DropLate}, {1, ""}, {2, ""}},
		"broken by another": {{5000, ""}, {0, relay.DropLate}, {5001, ""}, {1, relay.DropLate}},
	} {
		c := newTable(t)
		c.LinkUp(1, "o")
		c.local("o")
		for i, s := range steps {
			if _, d := c.Arrive(1, 1, &rotunda.Frame{Seq: s.seq}); d != s.want {
				t.Errorf("%s, step %d: frame %d: drop %q, want %q", name, i, s.seq, d, s.want)
			}
		}
	}
}

func TestHopLimit(t *testing.T) {
	c := newTable(t)
	c.LinkUp(1, "o")
	c.local("o")
	if _, d := c.Arrive(1, 1, &rotunda.Frame{Seq: 1, Hops: rotunda.HopsMax - 1}); d != "" {
		t.Errorf("last hop allowed: drop %q", d)
	}
	if _, d := c.Arrive(1, 1, &rotunda.Frame{Seq: 2, Hops: rotunda.HopsMax}); d != relay.DropHops {
		t.Errorf("one hop more: drop %q, want %q", d, relay.DropHops)
	}
}

func TestArriveAllocatesNothing(t *testing.T) {
	c := relay.New("me")
	c.LinkUp(1, "o")
	c.Want(key("o"), []rotunda.NodeID{"o"}, nil)
	f := rotunda.Frame{}
	if n := testing.AllocsPerRun(1000, func() {
		f.Seq++
		f.Hops = 0
		if _, d := c.Arrive(1, 1, &f); d != "" {
			t.Fatal(d)
		}
		c.Arrive(1, 99, &f)
	}); n != 0 {
		t.Errorf("%v allocations per frame, want none", n)
	}
}

func BenchmarkArrive(b *testing.B) {
	c := relay.New("me")
	c.LinkUp(1, "o")
	for i := range 1000 {
		k := key("o")
		k.Stream.Epoch = rotunda.Epoch(i)
		c.Want(k, []rotunda.NodeID{"o"}, nil)
	}
	f := rotunda.Frame{}
	b.ReportAllocs()
	for b.Loop() {
		f.Seq++
		f.Hops = 0
		if _, d := c.Arrive(1, wire.Alias(f.Seq%1000+1), &f); d != "" {
			b.Fatal(d)
		}
	}
}
