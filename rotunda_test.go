package rotunda

import (
	"errors"
	"strings"
	"testing"
)

func TestIdentifiers(t *testing.T) {
	long := strings.Repeat("a", 65)
	for _, c := range []struct {
		name string
		err  error
		ok   bool
	}{
		{"room", RoomID("aB3-_x").Valid(), true},
		{"room empty", RoomID("").Valid(), false},
		{"room too long", RoomID(long).Valid(), false},
		{"room slash", RoomID("a/b").Valid(), false},
		{"room newline", RoomID("a\nb").Valid(), false},
		{"user", UserID("oidc:ada.l").Valid(), true},
		{"user space", UserID("ada l").Valid(), false},
		{"node", NodeID("eu-west-1").Valid(), true},
		{"node upper", NodeID("EU").Valid(), false},
		{"node long", NodeID(long[:64]).Valid(), false},
		{"region", Region("ap-south").Valid(), true},
		{"track program", Program.Valid(), true},
		{"track mic", Mic("ada").Valid(), true},
		{"track mic of nobody", Mic("").Valid(), false},
		{"track other", Track("video").Valid(), false},
		{"stream", StreamID{"r", Program, 1}.Valid(), true},
		{"stream bad room", StreamID{"", Program, 1}.Valid(), false},
	} {
		if (c.err == nil) != c.ok {
			t.Errorf("%s: %v, want ok=%v", c.name, c.err, c.ok)
		}
		if c.err != nil && !errors.Is(c.err, ErrBadID) {
			t.Errorf("%s: %v does not wrap ErrBadID", c.name, c.err)
		}
	}
}

func TestTrackSpeaker(t *testing.T) {
	if u, ok := Mic("ada").Speaker(); !ok || u != "ada" {
		t.Errorf("Mic(ada).Speaker() = %q, %v", u, ok)
	}
	if _, ok := Program.Speaker(); ok {
		t.Error("the program has no speaker of its own")
	}
}

func TestSources(t *testing.T) {
	var s Sources
	for i := range SourcesMax {
		if !s.Add(SSRC(i)) {
			t.Fatalf("no room for source %d", i)
		}
	}
	if s.Add(99) {
		t.Error("took more than a CSRC list holds")
	}
	if s.Len() != SourcesMax || s.At(3) != 3 {
		t.Errorf("Len %d, At(3) %d", s.Len(), s.At(3))
	}
	if a, b := SourcesOf(1, 2), SourcesOf(1, 2); a != b {
		t.Error("equal lists differ")
	}
}

func TestRoleOrder(t *testing.T) {
	order := []Role{NoRole, Listener, Speaker, Cohost, Host}
	for i, r := range order {
		if r.Rank() != i {
			t.Errorf("%q ranks %d, want %d", r, r.Rank(), i)
		}
		if r.OnStage() != (i >= 2) {
			t.Errorf("%q on stage: %v", r, r.OnStage())
		}
	}
}
