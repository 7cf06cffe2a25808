package room

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rotunda"
)

// While the log is away: what takes away is decided, and refused to whom it is refused otherwise; what gives waits.
func TestRestrict(t *testing.T) {
	s := after(t, "ada create Talk", "bob+cohost claim", "sue+speaker claim", "sam+speaker claim", "lee request", "ada unmute ada",
		"bob unmute bob", "sue unmute sue", "sam unmute sam").state
	for what, want := range map[string]string{
		"bob mute sue": "muted sue", "sue mute sue": "muted sue", "sue mute sam": "forbidden", "bob mute ada": "forbidden",
		"ada mute_all": "muted bob sam sue", "bob remove sue": "removed sue", "ada ban lou": "banned lou", "bob ban ada": "forbidden",
		"ada ban_everywhere sue": "banned sue everywhere", "ada lock": "locked", "sue lock": "forbidden", "bob deny lee": "denied lee",
		"node mute ada": "muted ada", "node ban ada": "needs the log", "node ban sue": "banned sue",
		"eve+host mute sue":     "forbidden", // a grant is given by the log only
		"eve+host ban sue":      "forbidden",
		"ada unmute ada":        "needs the log",
		"ada approve lee":       "needs the log",
		"ada invite lou":        "needs the log",
		"ada role sue host":     "needs the log",
		"sue role sue listener": "needs the log",
		"ada unban eve":         "needs the log",
		"ada unlock":            "needs the log",
		"ada title New":         "needs the log",
		"ada end":               "needs the log",
		"lou request":           "needs the log",
		"sue publish n1":        "needs the log",
		"ada warn sue Hush":     "needs the log",
		"node tick":             "needs the log",
		"node lost n1":          "needs the log",
		"node present sue n":    "needs the log",
	} {
		words := strings.Fields(what)
		cmd, err := command(words[1], words[2:])
		if err != nil {
			t.Fatal(err)
		}
		events, err := s.Restrict(time.Unix(2e9, 0), who(words[0]), cmd)
		got := "nothing"
		switch {
		case err != nil:
			got = refusal(err)
		case len(events) == 1 && events[0].Fact:
			got = happened(events[0])
		}
		if got != want {
			t.Errorf("%s → %s (%v), want %s", what, got, err, want)
		}
		if Restricts(cmd) == errors.Is(err, ErrGrants) && what != "node ban ada" {
			t.Errorf("%s: Restricts says %v", what, Restricts(cmd))
		}
	}
}

// What the log has decided since a fact counts for more where the fact cannot be any more, and for less where it can.
func TestFactsAgainstTheLog(t *testing.T) {
	at := time.Date(2026, 11, 23, 21, 0, 0, 0, time.UTC)
	fact := func(kind EventType, u rotunda.UserID) Event {
		return Event{ID: "f-" + string(kind) + string(u), At: at, By: "ada", Type: kind, User: u, Fact: true}
	}
	s := after(t, "ada create Talk", "bob+cohost claim", "sue+speaker claim", "ada unmute ada", "sue unmute sue", "lee request").state

	// The role of host passed to whom the fact removes: muted is all that a host can be.
	handed := s.Clone()
	fold(handed, decided(t, handed, "ada", SetRole{"sue", rotunda.Host}))
	over := handed.Overlay([]Event{fact(EventRemoved, "sue"), fact(EventMuted, "sue")})
	if over.Host != "sue" || !over.Muted("sue") {
		t.Errorf("host %s, muted %v; want sue, muted", over.Host, over.Muted("sue"))
	}
	if events := handed.Adopt([]Event{fact(EventRemoved, "sue")}); len(events) > 0 {
		t.Errorf("a fact about the host goes into the log: %+v", events)
	}
	// Approved meanwhile, denied by the fact: on stage they stay, for a denial takes nothing from them.
	approved := s.Clone()
	fold(approved, decided(t, approved, "ada", Approve{"lee"}))
	if over := approved.Overlay([]Event{fact(EventDenied, "lee")}); over != approved {
		t.Error("a denial reached somebody who does not ask")
	}
	// What gives is no fact, whoever has sealed it.
	for _, kind := range everyEvent {
		over := s.Overlay([]Event{{ID: "x", At: at, Type: kind, User: "lou", Role: rotunda.Host, Name: "Lou", SSRC: 7}})
		if over.Role("lou").OnStage() || over.Host != "ada" || over.Phase != Live {
			t.Errorf("the fact %s did something for lou", kind)
		}
	}
	if over := s.Overlay([]Event{{At: at, Type: EventMuted, User: "sue"}}); over != s {
		t.Error("a fact without an id counts")
	}
	// A room that is over takes nothing more.
	fold(s, decided(t, s, "ada", End{}))
	if over := s.Overlay([]Event{fact(EventRemoved, "sue")}); over != s {
		t.Error("a fact in a room that is over")
	}
}

func decided(t *testing.T, s *State, u rotunda.UserID, cmd Command) []Event {
	t.Helper()
	events, err := s.Decide(time.Date(2026, 11, 23, 20, 30, 0, 0, time.UTC), Actor{User: u}, cmd)
	if err != nil || len(events) == 0 {
		t.Fatalf("%T: %d events, %v", cmd, len(events), err)
	}
	return events
}
