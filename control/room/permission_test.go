package room

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/metrics"
)

var update = os.Getenv("UPDATE") != ""

// The table is the documentation: testdata/permissions.md is it, printed.
func TestPermissionsAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("| command | listener | speaker | co-host | host | node | |\n|---|---|---|---|---|---|---|\n")
	for _, p := range Permissions() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", p.Command, p.Listener, p.Speaker, p.Cohost, p.Host, p.System, p.Note)
	}
	compareGolden(t, "testdata/permissions.md", b.String())
}

// cast is a live room: ada host; cole and carl co-hosts; sue and sam speakers; lee asked; lou and liz only listen.
func cast(t *testing.T) *State {
	t.Helper()
	s := &story{state: New("room"), now: time.Unix(1e9, 0)}
	for _, line := range []string{
		"ada create Cast", "cole+cohost claim", "carl+cohost claim", "sue+speaker claim", "sam+speaker claim", "lee request",
		"ada link " + linkKey, "ada unmute ada", "cole unmute cole", "carl unmute carl", "sue unmute sue", "sam unmute sam",
	} {
		if out, err := s.line(strings.Fields(line)); err != nil || out == "forbidden" || out == "conflict" {
			t.Fatalf("%s → %s, %v", line, out, err)
		}
	}
	for _, u := range []rotunda.UserID{"ada", "cole", "carl", "sue", "sam", "lee", "lou"} {
		fold(s.state, []Event{{Seq: s.state.Seq + 1, Type: EventPinProposed, Pin: "p-" + PinID(u), User: u, URL: "https://example.org/" + string(u)}})
	}
	return s.state
}

// alone are the commands about oneself and nobody else.
var alone = map[string]bool{"link_take": true, "request": true, "pin": true, "publish": true, "claim": true}

// Every cell of the table, tried on oneself and on people of lower, equal and higher role.
func TestEveryCell(t *testing.T) {
	type column struct {
		name   string
		actor  Actor
		right  func(Permission) Right
		others []rotunda.UserID
	}
	columns := []column{
		{"listener", who("lou"), func(p Permission) Right { return p.Listener }, []rotunda.UserID{"lee", "sue", "cole", "ada"}},
		{"speaker", who("sue"), func(p Permission) Right { return p.Speaker }, []rotunda.UserID{"lee", "sam", "cole", "ada"}},
		{"cohost", who("cole"), func(p Permission) Right { return p.Cohost }, []rotunda.UserID{"lee", "sam", "carl", "ada"}},
		{"host", who("ada"), func(p Permission) Right { return p.Host }, []rotunda.UserID{"lee", "sam", "carl"}},
		{"node", who("node"), func(p Permission) Right { return p.System }, []rotunda.UserID{"lee", "sam", "carl"}},
	}
	for _, p := range Permissions() {
		if p.Command == "create" {
			continue // there is no room yet: TestCreate
		}
		for _, c := range columns {
			t.Run(p.Command+"/"+c.name, func(t *testing.T) {
				s := cast(t)
				try := func(target rotunda.UserID) bool {
					_, err := s.Decide(time.Unix(1e9, 0), c.actor, commandOn(t, p.Command, target))
					return !errors.Is(err, ErrForbidden)
				}
				if commandOn(t, p.Command, "sue").subject(s, c.actor) != "sue" || alone[p.Command] { // about the room, or always about oneself
					want := c.right(p) != Never
					if p.Command == "claim" {
						want = false // allowed, but nobody here has a grant: testdata/grants.txt
					}
					if got := try(""); got != want {
						t.Errorf("allowed: %v, want %v", got, want)
					}
					return
				}
				if got, want := try(c.actor.User), c.right(p) != Never; got != want && !c.actor.System {
					t.Errorf("on oneself: %v, want %v", got, want)
				}
				for _, target := range c.others {
					below := s.Role(target).Rank() < s.Role(c.actor.User).Rank()
					want := c.right(p) == Any || c.right(p) == Below && below
					if got := try(target); got != want {
						t.Errorf("on %s, a %s: %v, want %v", target, s.Role(target), got, want)
					}
				}
			})
		}
	}
}

func commandOn(t *testing.T, name string, u rotunda.UserID) Command {
	t.Helper()
	title := "Other"
	for _, cmd := range []Command{
		Start{}, End{}, Edit{Title: &title}, Refresh{}, Lock{}, Unlock{}, Request{}, Withdraw{User: u}, Approve{u}, Deny{User: u}, Invite{u},
		OpenLink{linkKey}, CloseLink{}, TakeLink{linkKey},
		Accept{u}, Decline{u}, SetRole{u, rotunda.Listener}, Mute{User: u}, Unmute{u}, MuteAll{}, Warn{User: u, Reason: "Hush"}, Remove{User: u},
		Unban{u}, Report{User: u, Reason: "Spam"}, ProposePin{URL: "https://example.org"}, ApprovePin{"p1"}, MovePin{"p1", 1},
		Unpin{"p-" + PinID(u)}, Rotate{Turn: 60}, NextTurn{}, ExtendTurn{10}, StopRotation{}, Publish{"n1"}, Unpublish{u, 1}, Claim{},
		Present{u, "n1"}, Absent{u, "n1"}, Restart{"n1"}, Lost{"n1"}, StandBy{Node: "n2", By: "n1"}, TakeHome{"n2", 2}, HandOver{"n1"}, Speaking{Node: "n1"}, Tick{},
	} {
		if cmd.Name() == name {
			return cmd
		}
	}
	t.Fatalf("no command %q", name)
	return nil
}

func TestCreate(t *testing.T) {
	for actor, want := range map[string]string{
		"ada": "created", "ada-host": "created", "ada-speaker": "forbidden", "ada-listener": "forbidden", "node": "forbidden",
	} {
		s := &story{state: New("room")}
		if got, err := s.line([]string{actor, "create", "Talk"}); got != want || err != nil {
			t.Errorf("%s create → %s, %v; want %s", actor, got, err, want)
		}
	}
	s := &story{state: New("room")}
	if got, _ := s.line([]string{"ada", "request"}); got != "conflict" {
		t.Errorf("request in a room that does not exist → %s", got)
	}
	s = &story{state: cast(t)}
	if got, _ := s.line([]string{"ada", "create", "Again"}); got != "conflict" {
		t.Errorf("create a room that exists → %s", got)
	}
}

// compareGolden compares with a file that UPDATE=1 writes.
func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != got {
		t.Errorf("%s:\n%s\nwant\n%s", file, got, kept)
	}
}

// Every command has a series of its own.
func TestCommandsAreMeasured(t *testing.T) {
	set := metrics.Discard()
	for _, p := range Permissions() {
		if set.CommandTime(p.Command, "ok") == set.CommandTime("other", "ok") {
			t.Errorf("%s is not among the commands in metrics/series.go", p.Command)
		}
	}
}
