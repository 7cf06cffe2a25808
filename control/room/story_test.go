package room

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"rotunda"
)

// TestStories runs testdata/*.txt. A line is "who does what → what happens"; see testdata/README for the words.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s := &story{state: New("room"), now: time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)}
			lines := bufio.NewScanner(f)
			for n := 1; lines.Scan(); n++ {
				line, _, _ := strings.Cut(lines.Text(), "#")
				if line = strings.TrimSpace(line); line == "" {
					continue
				}
				what, want, ok := strings.Cut(line, "→")
				if !ok {
					t.Fatalf("%s:%d: no → in %q", name, n, line)
				}
				got, err := s.line(strings.Fields(what))
				if err != nil {
					t.Fatalf("%s:%d: %v", name, n, err)
				}
				if want = strings.TrimSpace(want); got != want {
					t.Errorf("%s:%d: %s → %s, want %s", name, n, strings.TrimSpace(what), got, want)
				}
				if err := s.state.CheckInvariants(); err != nil {
					t.Fatalf("%s:%d: %v", name, n, err)
				}
			}
		})
	}
}

type story struct {
	state *State
	now   time.Time
}

// line carries out one line and says what happened.
func (s *story) line(words []string) (string, error) {
	s.now = s.now.Add(time.Second)
	switch words[0] {
	case "stage":
		return s.stage(), nil
	case "queue":
		var out []string
		for _, a := range s.state.Queue() {
			out = append(out, string(a.User))
		}
		return orNobody(out), nil
	case "room":
		return fmt.Sprintf("%s %q home %s@%d", s.state.Phase, s.state.Details.Title, s.state.Home, s.state.Epoch), nil
	}
	if len(words) < 2 {
		return "", fmt.Errorf("who does what? %q", words)
	}
	cmd, err := command(words[1], words[2:])
	if err != nil {
		return "", err
	}
	events, err := s.state.Decide(s.now, who(words[0]), cmd)
	if err != nil {
		return refusal(err), nil
	}
	var out []string
	for _, e := range events {
		s.state.Apply(e)
		out = append(out, happened(e))
	}
	if len(out) == 0 {
		return "nothing", nil
	}
	return strings.Join(out, ", "), nil
}

func (s *story) stage() string {
	var out []string
	for _, p := range s.state.Stage() {
		text := fmt.Sprintf("%s %s", p.User, p.Role)
		if p.Muted {
			text += " muted"
		}
		if p.Live {
			text += fmt.Sprintf(" at %s@%d", p.Node, p.Epoch)
		}
		out = append(out, text)
	}
	return orNobody(out)
}

func orNobody(s []string) string {
	if len(s) == 0 {
		return "nobody"
	}
	return strings.Join(s, ", ")
}

// who reads "bob", "bob+speaker" (a grant), "bob-listener" (a limit) and "node".
func who(word string) Actor {
	if word == "node" {
		return Actor{System: true}
	}
	if user, role, ok := strings.Cut(word, "+"); ok {
		return Actor{User: rotunda.UserID(user), Name: user, Role: rotunda.Role(role), Grant: true}
	}
	user, role, _ := strings.Cut(word, "-")
	return Actor{User: rotunda.UserID(user), Name: user, Role: rotunda.Role(role)}
}

func command(verb string, args []string) (Command, error) {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	user := rotunda.UserID(arg(0))
	text := strings.Join(args, " ")
	switch verb {
	case "create":
		return Create{Title: text, Node: "n1"}, nil
	case "schedule":
		at := time.Date(2026, 12, 1, 20, 0, 0, 0, time.UTC)
		return Create{Title: text, Node: "n1", StartsAt: &at}, nil
	case "start":
		return Start{}, nil
	case "end":
		return End{}, nil
	case "title":
		return Edit{Title: &text}, nil
	case "mode":
		mode := Mode(text)
		return Edit{Mode: &mode}, nil
	case "places":
		n, err := strconv.Atoi(arg(0))
		return Edit{Policy: PolicyEdit{SpeakersMax: &n}}, err
	case "request":
		return Request{Note: text}, nil
	case "withdraw":
		return Withdraw{}, nil
	case "approve":
		return Approve{user}, nil
	case "deny":
		return Deny{User: user}, nil
	case "role":
		return SetRole{user, rotunda.Role(arg(1))}, nil
	case "mute":
		return Mute{user}, nil
	case "unmute":
		return Unmute{user}, nil
	case "mute_all":
		return MuteAll{}, nil
	case "remove":
		return Remove{User: user}, nil
	case "ban":
		return Remove{User: user, Ban: true}, nil
	case "publish":
		return Publish{rotunda.NodeID(arg(0))}, nil
	case "unpublish":
		n, err := strconv.Atoi(arg(1))
		return Unpublish{user, rotunda.Epoch(n)}, err
	case "restart":
		return Restart{rotunda.NodeID(arg(0))}, nil
	case "claim":
		return Claim{}, nil
	}
	return nil, fmt.Errorf("nobody knows how to %q", verb)
}

func refusal(err error) string {
	for _, r := range []struct {
		err  error
		word string
	}{
		{ErrBanned, "banned"}, {ErrForbidden, "forbidden"}, {ErrFull, "full"}, {ErrEnded, "over"}, {ErrNotLive, "not live"},
		{ErrConflict, "conflict"}, {ErrInvalid, "invalid"},
	} {
		if errors.Is(err, r.err) {
			return r.word
		}
	}
	return err.Error()
}

func happened(e Event) string {
	switch e.Type {
	case EventCreated, EventStarted, EventEnded, EventEdited:
		return string(e.Type)
	case EventRole, EventClaimed:
		return fmt.Sprintf("%s %s %s", e.Type, e.User, e.Role)
	case EventMutedAll:
		out := "muted"
		for _, u := range e.Users {
			out += " " + string(u)
		}
		return out
	case EventRemoved:
		if e.Ban {
			return fmt.Sprintf("banned %s", e.User)
		}
		return fmt.Sprintf("removed %s", e.User)
	case EventPublished:
		return fmt.Sprintf("%s %s at %s@%d", e.Type, e.User, e.Node, e.Epoch)
	case EventHomed:
		return fmt.Sprintf("home %s@%d", e.Node, e.Epoch)
	}
	return fmt.Sprintf("%s %s", e.Type, e.User)
}
