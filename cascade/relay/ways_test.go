package relay_test

import (
	"fmt"
	"slices"
	"testing"

	"rotunda"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

func TestTwoWays(t *testing.T) {
	c := newTable(t)
	c.LinkUp(1, "r1")
	c.LinkUp(2, "r2")
	c.LinkUp(3, "leaf")
	c.want("both", c.both(via("r1", "o"), via("r2", "c", "o")), "1<-subscribe 1 [o]; 2<-subscribe 2 [c o]")
	c.want("again", c.both(via("r1", "o"), via("r2", "c", "o")), "")
	f := rotunda.Frame{Seq: 7}
	if _, d := c.Arrive(1, 1, &f); d != "" {
		t.Errorf("first copy: drop %q", d)
	}
	f = rotunda.Frame{Seq: 7}
	if _, d := c.Arrive(2, 2, &f); d != relay.DropDuplicate {
		t.Errorf("second copy: drop %q, want duplicate", d)
	}
	for seq, p := range map[rotunda.Seq]relay.Port{9: 1, 8: 2} { // 8 was lost on the first way
		f = rotunda.Frame{Seq: seq}
		c.Arrive(p, wire.Alias(p), &f)
	}
	if got := c.Counts(); got.Copies != 4 || got.Taken != 3 {
		t.Errorf("counts %+v, want 4 copies, 3 taken", got)
	}
	c.want("a leaf that goes the first way", c.receive(3, subscribe(1, "r1", "o")), "")
	c.want("one with fewer hops left", c.receive(3, subscribe(2, "o")), "dial o")
	c.want("first way breaks", c.LinkDown(1), "replan via r1 at r1")
	c.want("the way of few hops breaks", c.Unreachable("o"), "3<-gone 2 unreachable o; 3<-gone 1 unreachable o; replan via o at o")
	c.want("only that one is replaced", c.both(via("r3", "o"), via("r2", "c", "o")), "dial r3")
	c.want("hitless no more", c.local("r2", "c", "o"), "")
	c.want("nobody", c.Unwant(key("o")), "2<-unsubscribe 2")
	if got := c.Stats(); got != (relay.Stats{}) {
		t.Errorf("stats %+v, want nothing", got)
	}
}

// A frame that the way ahead lost and the other one brought is counted as repaired; one that only came late is not.
func TestRepaired(t *testing.T) {
	c := newTable(t)
	c.LinkUp(1, "a")
	c.LinkUp(2, "b")
	c.both(via("a", "o"), via("b", "o"))
	arrive := func(p relay.Port, seq rotunda.Seq) {
		f := rotunda.Frame{Seq: seq}
		c.Arrive(p, wire.Alias(p), &f)
	}
	for _, seq := range []rotunda.Seq{1, 2, 4, 3} { // 3 was overtaken on its own way
		arrive(1, seq)
	}
	if got := c.Counts().Repaired; got != 0 {
		t.Errorf("%d repaired, want none", got)
	}
	arrive(1, 6)
	arrive(2, 5)
	arrive(2, 6)
	if got := c.Counts(); got.Repaired != 1 || got.Taken != 6 || got.Copies != 7 {
		t.Errorf("counts %+v, want 1 repaired of 6 taken of 7 copies", got)
	}
}

// Two neighbours that lose their way at once may choose each other. What the other one kept, or had from here, does not show
// that it has a way: the old one goes on until a frame comes that shows it.
func TestANeighbourIsNotAWay(t *testing.T) {
	for _, proof := range []struct {
		name  string
		frame rotunda.Frame
	}{
		{"a frame that was not here", rotunda.Frame{Seq: 4, Hops: 5}},
		{"a young one that has crossed as many links as the way has", rotunda.Frame{Seq: 3, Hops: 2}},
	} {
		t.Run(proof.name, func(t *testing.T) {
			c := newTable(t)
			c.LinkUp(1, "old")
			c.LinkUp(2, "neighbour")
			c.want("the old way", c.local("old", "o"), "1<-subscribe 1 [o]")
			arrive := func(p relay.Port, f rotunda.Frame) []relay.Action {
				s, _ := c.Arrive(p, wire.Alias(p), &f)
				return c.Settle(s)
			}
			arrive(1, rotunda.Frame{Seq: 1, Hops: 1})
			arrive(1, rotunda.Frame{Seq: 2, Hops: 1})
			c.want("the new one", c.local("neighbour", "old", "o"), "2<-subscribe 2 [old o]; 2<-resume 2 from 2")
			c.want("the neighbour's memory", arrive(2, rotunda.Frame{Seq: 2, Hops: 2}), "")
			c.want("the old way goes on", arrive(1, rotunda.Frame{Seq: 3, Hops: 1}), "")
			c.want("through here, and back", arrive(2, rotunda.Frame{Seq: 3, Hops: 3}), "")
			c.want("proof", arrive(2, proof.frame), "1<-unsubscribe 1")
		})
	}
}

// In a stream in which nothing is said no new way is ever heard: the old one goes all the same, after a few seconds. A node
// that is being drained waits for it.
func TestSilentStream(t *testing.T) {
	c := newTable(t)
	c.LinkUp(1, "r1")
	c.LinkUp(2, "r2")
	c.want("two ways", c.both(via("r1", "o"), via("r2", "o")), "1<-subscribe 1 [o]; 2<-subscribe 2 [o]")
	c.want("the second is to go", c.local("r1", "o"), "")
	c.Suspect(1, true)
	for range 9 {
		c.want("while the first may be dead", c.Tidy(), "")
	}
	c.Suspect(1, false)
	for range 3 {
		c.want("it may be heard yet", c.Tidy(), "")
	}
	c.want("it is not", c.Tidy(), "2<-unsubscribe 2")
	c.want("a way whose link is not up", c.local("r3", "o"), "dial r3")
	for range 9 {
		c.want("cannot be heard", c.Tidy(), "")
	}
	c.want("now it can", c.LinkUp(3, "r3"), "3<-subscribe 3 [o]")
	s, _ := c.Arrive(3, 3, &rotunda.Frame{Seq: 1})
	c.want("and is", c.Settle(s), "1<-unsubscribe 1")
}

// A suspect way is looked around at once, and stays until the other one works; whom no other way serves is told.
func TestSuspect(t *testing.T) {
	c := newTable(t)
	c.LinkUp(1, "r1")
	c.LinkUp(2, "r2")
	c.LinkUp(3, "leaf")
	c.want("one way", c.local("r1", "o"), "1<-subscribe 1 [o]")
	c.want("a leaf", c.receive(3, subscribe(1, "r1", "o")), "")
	c.want("suspect", c.Suspect(1, true), "3<-gone 1 unreachable r1; replan via r1 at r1")
	c.want("twice", c.Suspect(1, true), "")
	c.want("another way", c.local("r2", "o"), "2<-subscribe 2 [o]")
	if s, d := c.Arrive(1, 1, &rotunda.Frame{Seq: 1}); d != "" || s.Unsettled() {
		t.Errorf("the suspect's frame: drop %q, want none", d)
	}
	s, _ := c.Arrive(2, 2, &rotunda.Frame{Seq: 2})
	c.want("the other works", c.Settle(s), "1<-unsubscribe 1")
	c.want("back", c.Suspect(1, false), "")
	c.want("both", c.both(via("r2", "o"), via("r1", "o")), "1<-subscribe 3 [o]; 1<-resume 3 from 2")
	c.want("one of two is suspect", c.Suspect(2, true), "")
	c.want("unknown port", c.Suspect(9, true), "")
}

// What a subscriber has missed is sent once more, from the number that it names; what has not been here is asked for above.
func TestResume(t *testing.T) {
	c := newTable(t)
	c.LinkUp(1, "o")
	c.LinkUp(2, "leaf")
	c.LinkUp(3, "other")
	c.want("a leaf", c.receive(2, subscribe(1, "o")), "1<-subscribe 1 []")
	c.want("it has had frames", c.receive(2, wire.Resume{Alias: 1, From: 40}), "2<-frames of 1 from 40; 1<-resume 1 from 40")
	for seq := range rotunda.Seq(200) {
		f := rotunda.Frame{Seq: seq + 41, Payload: []byte(fmt.Sprint(seq + 41))}
		c.Arrive(1, 1, &f)
	}
	c.want("another", c.receive(3, subscribe(5, "o")), "")
	c.want("had some", c.receive(3, wire.Resume{Alias: 5, From: 237}), "3<-frames of 5 from 237")
	if got := again(c, 237); !slices.Equal(got, []rotunda.Seq{237, 238, 239, 240}) {
		t.Errorf("from 237: %v", got)
	}
	if got := again(c, 1000); !slices.Equal(got, []rotunda.Seq{240}) {
		t.Errorf("from a number that has not been here: %v, want the newest", got)
	}
	if got := again(c, 0); len(got) != 50 || got[0] != 191 {
		t.Errorf("from the beginning: %d frames from %d, want the 50 newest", len(got), got[0])
	}
	c.want("much too old", c.receive(3, wire.Resume{Alias: 5, From: 3}), "3<-frames of 5 from 3; 1<-resume 1 from 3")
	c.want("too often", c.receive(3, wire.Resume{Alias: 5, From: 1}), "")
	c.want("unknown", c.receive(3, wire.Resume{Alias: 6, From: 1}), "")
	c.want("late greeting", c.Greeted(1), "1<-resume 1 from 3")
}

func again(c table, from rotunda.Seq) []rotunda.Seq {
	var got []rotunda.Seq
	for f := range c.From(key("o"), from) {
		if string(f.Payload) != fmt.Sprint(f.Seq) {
			c.t.Errorf("frame %d holds %q", f.Seq, f.Payload)
		}
		got = append(got, f.Seq)
	}
	return got
}

// A publisher keeps frames from when somebody takes them until a few seconds after nobody does.
func TestPublisherRemembers(t *testing.T) {
	c := newTable(t)
	c.LinkUp(1, "leaf")
	s := c.Publish(program)
	keep := func(seq rotunda.Seq) { c.Keep(s, &rotunda.Frame{Seq: seq, Payload: []byte{1}}) }
	count := func() (n int) {
		for range c.From(key("me"), 0) {
			n++
		}
		return n
	}
	if keep(1); count() != 0 {
		t.Error("kept for nobody")
	}
	c.receive(1, subscribe(1))
	keep(2)
	c.LinkDown(1)
	keep(3)
	if c.want("nothing to let go of", c.Tidy(), ""); count() != 2 {
		t.Errorf("%d frames while the taker may come back, want 2", count())
	}
	for range 5 {
		c.Tidy()
	}
	if err := c.CheckInvariants(); err != nil || count() != 0 {
		t.Errorf("%d frames kept for nobody; %v", count(), err)
	}
	f := &rotunda.Frame{Payload: make([]byte, 100)}
	c.LinkUp(2, "leaf")
	c.receive(2, subscribe(1))
	c.Keep(s, f)
	if n := testing.AllocsPerRun(1000, func() { f.Seq++; c.Keep(s, f) }); n != 0 {
		t.Errorf("%v allocations per frame kept, want none", n)
	}
}
