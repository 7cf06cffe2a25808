package room

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
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
	case "wait":
		return s.wait(words[1])
	}
	if out, ok := s.ask(words); ok {
		return out, nil
	}
	if len(words) < 2 {
		return "", fmt.Errorf("who does what? %q", words)
	}
	cmd, err := command(words[1], words[2:])
	if err != nil {
		return "", err
	}
	return s.decide(who(words[0]), cmd), nil
}

// decide carries out a command and says what happened.
func (s *story) decide(a Actor, cmd Command) string {
	events, err := s.state.Decide(s.now, a, cmd)
	if err != nil {
		return refusal(err)
	}
	var out []string
	for _, e := range events {
		s.state.Apply(e)
		out = append(out, happened(e))
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, ", ")
}

// wait lets time pass; a node ticks whenever something is due.
func (s *story) wait(span string) (string, error) {
	d, err := time.ParseDuration(span)
	if err != nil {
		return "", err
	}
	until := s.now.Add(d)
	var out []string
	for due := s.state.Deadline(); !due.IsZero() && !due.After(until); due = s.state.Deadline() {
		s.now = later(s.now, due)
		what := s.decide(Actor{System: true}, Tick{})
		if what == "nothing" {
			return "", fmt.Errorf("nothing is due at the deadline %v", due)
		}
		out = append(out, what)
	}
	s.now = until
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
