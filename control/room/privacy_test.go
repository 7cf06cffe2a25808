package room

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rotunda"
)

// after tells a story to its end: each line must have an effect.
func after(t *testing.T, lines ...string) *story {
	t.Helper()
	s := &story{state: New("room"), now: time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)}
	for _, line := range lines {
		switch out, err := s.line(strings.Fields(line)); {
		case err != nil:
			t.Fatalf("%s: %v", line, err)
		case out == "nothing" && !strings.HasPrefix(line, "wait") || out == "conflict" || out == "forbidden" || out == "full" || out == "invalid" || out == "over" || out == "not live":
			t.Fatalf("%s → %s", line, out)
		}
	}
	return s
}

// Who sees what was decided about whom.
func TestAudience(t *testing.T) {
	s := after(t, "ada create Talk", "bob+cohost claim", "sue+speaker claim", "sam+speaker claim").state
	const whole, bare, nothing = "whole", "without the reason", "nothing"
	for _, c := range []struct {
		event                              Event
		person, actor, cohost, host, other string
	}{
		{Event{Type: EventWarned, Public: true, Reason: "r"}, whole, whole, whole, whole, whole},
		{Event{Type: EventWarned, Reason: "r"}, whole, whole, whole, whole, nothing},
		{Event{Type: EventPinProposed, URL: "u"}, whole, whole, whole, whole, nothing},
		{Event{Type: EventReported, Reason: "r", Note: "n"}, nothing, nothing, nothing, nothing, nothing},
		{Event{Type: EventRemoved, Ban: true, Reason: "r"}, whole, whole, whole, whole, bare},
		{Event{Type: EventDenied, Reason: "r"}, whole, whole, whole, whole, bare},
		{Event{Type: EventEnded, Reason: "r"}, whole, whole, whole, whole, whole},
		{Event{Type: EventRole, Role: rotunda.Cohost}, whole, whole, whole, whole, whole},
	} {
		c.event.Seq, c.event.At, c.event.User, c.event.By = 9, time.Unix(1e9, 0), "sue", "eve"
		for u, want := range map[rotunda.UserID]string{"sue": c.person, "eve": c.actor, "bob": c.cohost, "ada": c.host, "sam": c.other, "lou": c.other, "": c.other} {
			expected := c.event
			switch want {
			case bare:
				expected.Reason = ""
			case nothing:
				expected = Event{Seq: 9, At: c.event.At, Type: EventWithheld}
			}
			if diff := cmp.Diff(expected, c.event.For(s, u)); diff != "" {
				t.Errorf("%s for %q, want %s:\n%s", c.event.Type, u, want, diff)
			}
		}
	}
}

// A private warning and a proposed pin are seen by whom they concern.
func TestViewFor(t *testing.T) {
	s := after(t, "ada create Talk", "bob+cohost claim", "sue+speaker claim", "sam+speaker claim", "sue pin https://example.org/a",
		"bob pin https://example.org/b", "ada warn sue Hush", "ada warn_publicly sam Hush", "sam report ada Rude").state
	for u, want := range map[rotunda.UserID]string{
		"": "p2 sam", "lou": "p2 sam", "sam": "p2 sam", "sue": "p1 p2 sam sue", "bob": "p1 p2 sam sue", "ada": "p1 p2 sam sue",
	} {
		v := s.ViewFor(u)
		got := []string{}
		for _, id := range []PinID{"p1", "p2"} {
			if _, ok := v.Pins[id]; ok {
				got = append(got, string(id))
			}
		}
		for _, w := range sortedKeys(v.Warnings) {
			got = append(got, string(w))
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%q sees %s, want %s", u, got, want)
		}
	}
	if diff := cmp.Diff(s.View(), s.ViewFor("lou")); diff != "" {
		t.Errorf("a listener sees more than everybody:\n%s", diff)
	}
}

// A person whom the host has banned from all rooms is refused what the banned are refused.
func TestBarred(t *testing.T) {
	s := after(t, "ada create One", "ada ban_everywhere eve", "ada ban fay").state
	if diff := cmp.Diff([]Bar{{User: "eve", Host: "ada"}}, s.Summary().Barred); diff != "" {
		t.Errorf("the summary's bars:\n%s", diff)
	}
	other := after(t, "ada create Two").state
	if _, err := other.Decide(time.Unix(1e9, 0), Actor{User: "eve", Barred: true, Role: rotunda.Host, Grant: true}, Request{}); refusal(err) != "banned" {
		t.Errorf("barred eve asks: %v, want banned", err)
	}
}
