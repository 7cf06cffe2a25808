package relay_test

import (
	"slices"
	"testing"

	"rotunda"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

// A view says by which way what came, counted once however often it is sent, and how old it was.
func TestViews(t *testing.T) {
	c := relay.New("edge")
	key := relay.Key{Stream: rotunda.StreamID{Room: "r", Track: rotunda.Program, Epoch: 1}, Origin: "home"}
	c.LinkUp(1, "near")
	c.LinkUp(2, "far")
	s, actions := c.Want(key, []rotunda.NodeID{"near", "home"}, []rotunda.NodeID{"far", "home"})
	aliases := map[relay.Port]wire.Alias{}
	for _, a := range actions {
		if m, ok := a.Message.(wire.Subscribe); ok {
			aliases[a.Port] = m.Alias
		}
	}
	for seq := rotunda.Seq(1); seq <= 100; seq++ {
		if seq%10 != 5 { // the near way loses one of ten, and sends each frame twice
			for range 2 {
				if _, d := c.Arrive(1, aliases[1], &rotunda.Frame{Seq: seq, Payload: []byte{1}}); d == "" {
					s.Aged(40_000)
				}
			}
		}
		if _, d := c.Arrive(2, aliases[2], &rotunda.Frame{Seq: seq, Payload: []byte{1}}); d == "" {
			s.Aged(90_000)
		}
	}
	views := c.Views("r")
	if len(views) != 1 || len(views[0].Ways) != 2 || !views[0].Local || len(c.Views("other")) != 0 {
		t.Fatalf("views %+v, want one of two ways", views)
	}
	v := views[0]
	if near := v.Ways[0]; near.Frames != 100 || near.Lost < .0999 || near.Lost > .1001 || near.First != .9 || !slices.Equal(near.Path, []rotunda.NodeID{"near", "home"}) {
		t.Errorf("the near way: %+v, want 10 %% of 100 lost and 90 %% first", near)
	}
	if far := v.Ways[1]; far.Frames != 100 || far.Lost != 0 || far.First != .1 {
		t.Errorf("the far way: %+v, want nothing lost and 10 %% first", far)
	}
	if v.Age < 40_000 || v.Age > 60_000 || v.Oldest < 85_000 || v.Oldest > 90_000 {
		t.Errorf("age %d, oldest %d; want some 45,000 and nearly 90,000", v.Age, v.Oldest)
	}
}

// What was lost long ago is forgotten, and numbers that begin anew are no loss.
func TestViewForgets(t *testing.T) {
	c := relay.New("edge")
	key := relay.Key{Stream: rotunda.StreamID{Room: "r", Track: rotunda.Program, Epoch: 1}, Origin: "home"}
	c.LinkUp(1, "home")
	_, actions := c.Want(key, []rotunda.NodeID{"home"}, nil)
	alias := actions[0].Message.(wire.Subscribe).Alias
	lost := func() float64 { return c.Views("r")[0].Ways[0].Lost }
	arrive := func(seq rotunda.Seq) { c.Arrive(1, alias, &rotunda.Frame{Seq: seq, Payload: []byte{1}}) }
	for seq := rotunda.Seq(2); seq <= 1000; seq += 2 {
		arrive(seq)
	}
	if l := lost(); l < .49 || l > .51 {
		t.Errorf("lost %.3f of every second frame", l)
	}
	for seq := rotunda.Seq(1001); seq <= 40_000; seq++ {
		arrive(seq)
	}
	if l := lost(); l > .001 {
		t.Errorf("lost %.4f, 13 minutes after the last loss", l)
	}
	before := lost()
	arrive(1)
	arrive(2)
	if l := lost(); l > before {
		t.Errorf("lost %.4f after a new beginning, %.4f before", l, before)
	}
}
