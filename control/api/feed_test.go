package api

import (
	"bufio"
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"rotunda"
	"rotunda/control"
	"rotunda/control/room"
)

// Sharing is what makes a change cheap: the second reader gets the first one's bytes.
func TestChangesAreEncodedOnce(t *testing.T) {
	s := room.New("r")
	change := func(e room.Event) control.Change {
		before := s
		s = before.Clone()
		e.Seq = before.Seq + 1
		s.Apply(e)
		return control.Change{State: s, Event: e, Before: before}
	}
	made := change(room.Event{Type: room.EventCreated, User: "ada", SSRC: 1, Node: "n1", Details: &room.Details{Title: "x"}})
	fs := &feeds{byRoom: map[rotunda.RoomID]*feed{}}
	f := fs.use("r")
	if other := fs.use("r"); other != f {
		t.Fatal("two feeds of one room")
	}
	one, _, err := f.message(made, "")
	if err != nil {
		t.Fatal(err)
	}
	two, _, _ := f.message(made, "")
	if &one[0] != &two[0] {
		t.Error("encoded twice")
	}
	early := change(room.Event{Type: room.EventMuted, User: "ada"})
	for range 2 * sharedMax {
		if _, behind, err := f.message(change(room.Event{Type: room.EventUnmuted, User: "ada"}), ""); behind || err != nil {
			t.Fatalf("the foremost reader: %v %v", behind, err)
		}
	}
	if len(f.messages) > sharedMax {
		t.Errorf("%d messages kept, want at most %d", len(f.messages), sharedMax)
	}
	if _, behind, _ := f.message(early, ""); !behind {
		t.Error("a reader 512 changes behind is not cut")
	}
	fs.leave("r", f)
	fs.leave("r", f)
	if len(fs.byRoom) != 0 {
		t.Error("a feed without readers is kept")
	}
}

// Readers are at different places: a change that is asked for late is still the step between its own two states.
func TestChangesOutOfOrder(t *testing.T) {
	s := room.New("r")
	var changes []control.Change
	for _, e := range []room.Event{
		{Type: room.EventCreated, User: "ada", SSRC: 1, Node: "n1", Details: &room.Details{Title: "x"}},
		{Type: room.EventUnmuted, User: "ada"}, {Type: room.EventMuted, User: "ada"}, {Type: room.EventEnded},
	} {
		before := s
		s = before.Clone()
		e.Seq = before.Seq + 1
		s.Apply(e)
		changes = append(changes, control.Change{State: s, Event: e, Before: before})
	}
	f := (&feeds{byRoom: map[rotunda.RoomID]*feed{}}).use("r")
	for _, i := range []int{3, 1, 2, 0} {
		b, _, err := f.message(changes[i], "")
		if err != nil {
			t.Fatal(err)
		}
		e, err := readEvent(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			t.Fatal(err)
		}
		before, err := tree(changes[i].Before.View())
		if err != nil {
			t.Fatal(err)
		}
		after, err := tree(changes[i].State.View())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := withoutNull(mergeApply(before, e.data["patch"])), withoutNull(any(after)); !reflect.DeepEqual(got, want) {
			t.Errorf("change %d leads to %v, want %v", i, got, want)
		}
	}
}

func TestEventNamesCannotBreakTheStream(t *testing.T) {
	if got, want := string(encodeEvent("a\ndata: x", 7, []byte("{}"))), "event: change\nid: 7\ndata: {}\n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := string(encodeEvent("muted_all", 7, []byte("{}"))), "event: muted_all\nid: 7\ndata: {}\n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func BenchmarkChange(b *testing.B) {
	s := room.New("r")
	s.Apply(room.Event{Seq: 1, Type: room.EventCreated, User: "u0", SSRC: 1, Node: "n1", Details: &room.Details{Title: "x"}})
	for i := 1; i < 20; i++ {
		s.Apply(room.Event{Seq: s.Seq + 1, Type: room.EventRole, User: rotunda.UserID(fmt.Sprint("u", i)), Name: "Somebody", Role: rotunda.Speaker, SSRC: rotunda.SSRC(i + 1)})
	}
	f := (&feeds{byRoom: map[rotunda.RoomID]*feed{}}).use("r")
	b.ReportAllocs()
	for b.Loop() {
		e := room.Event{Seq: s.Seq + 1, Type: room.EventMuted, User: "u3"}
		if s.Seq%2 == 0 {
			e.Type = room.EventUnmuted
		}
		next := s.Clone()
		next.Apply(e)
		if _, _, err := f.message(control.Change{State: next, Event: e, Before: s}, ""); err != nil {
			b.Fatal(err)
		}
		s = next
	}
}
