package duty

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"rotunda"
)

func room(live bool, speakers ...Speaker) Room {
	return Room{ID: "r", Live: live, Home: "us-1", Epoch: 3, Speakers: speakers}
}

func withStandby(r Room) Room {
	r.Standby, r.Next = "eu-1", 4
	return r
}

func mic(user rotunda.UserID, epoch rotunda.Epoch) rotunda.StreamID {
	return rotunda.StreamID{Room: "r", Track: rotunda.Mic(user), Epoch: epoch}
}

func TestDuties(t *testing.T) {
	program := rotunda.StreamID{Room: "r", Track: rotunda.Program, Epoch: 3}
	ada := Speaker{User: "ada", SSRC: 1, Node: "us-1", Epoch: 1}
	bob := Speaker{User: "bob", SSRC: 2, Node: "eu-1", Epoch: 5, Muted: true}
	adaPull := Pull{Stream: mic("ada", 1), Origin: "us-1", SSRC: 1}
	bobPull := Pull{Stream: mic("bob", 5), Origin: "eu-1", SSRC: 2, Muted: true}
	next := rotunda.StreamID{Room: "r", Track: rotunda.Program, Epoch: 4}
	homes, standbys := Pull{Stream: program, Origin: "us-1"}, Pull{Stream: next, Origin: "eu-1"}
	own := rotunda.StreamID{Room: "r", Track: rotunda.Program, Epoch: 9}
	for _, c := range []struct {
		name string
		room Room
		l    Local
		want Duties
	}{
		{"a bystander does nothing", room(true, ada), Local{Node: "ap-1"},
			Duties{Program: program}},
		{"a listener's node pulls the program from home", room(true, ada, bob), Local{Node: "ap-1", Players: []rotunda.UserID{"lis"}},
			Duties{Program: program, Listen: []Pull{homes}}},
		{"who left the stage hears it until the program is here, so both are pulled", room(true, ada), Local{Node: "ap-1", Players: []rotunda.UserID{"lis"}, Lingers: true},
			Duties{Program: program, Listen: []Pull{homes}, Stage: []Pull{adaPull}}},
		{"home mixes everybody, in one order on every node", room(true, bob, ada), Local{Node: "us-1", Mics: []Mic{{"ada", 1}}},
			Duties{Home: true, Program: program, Mix: []Pull{adaPull, bobPull}, Mics: map[rotunda.UserID]Gate{"ada": {mic("ada", 1), 1, true}}}},
		{"a muted microphone is published and shut", room(true, ada, bob), Local{Node: "eu-1", Mics: []Mic{{"bob", 5}}, Players: []rotunda.UserID{"bob"}},
			Duties{Program: program, Stage: []Pull{adaPull, bobPull}, Mics: map[rotunda.UserID]Gate{"bob": {mic("bob", 5), 2, false}}}},
		{"a session of the same epoch as one elsewhere is over", room(true, ada), Local{Node: "ap-1", Mics: []Mic{{"ada", 1}}},
			Duties{Program: program, Over: []Mic{{"ada", 1}}}},
		{"a session replaced here goes on beside the new one", room(true, ada), Local{Node: "us-1", Mics: []Mic{{"ada", 0}, {"ada", 1}}},
			Duties{Home: true, Program: program, Mix: []Pull{adaPull}, Replaced: []Mic{{"ada", 0}}, Mics: map[rotunda.UserID]Gate{"ada": {mic("ada", 1), 1, true}}}},
		{"and one replaced elsewhere, until that is heard", room(true, ada), Local{Node: "ap-1", Mics: []Mic{{"ada", 0}}},
			Duties{Program: program, Replaced: []Mic{{"ada", 0}}}},
		{"but a muted person has one session", room(true, ada, bob), Local{Node: "ap-1", Mics: []Mic{{"bob", 4}}},
			Duties{Program: program, Over: []Mic{{"bob", 4}}}},
		{"who left the stage is over", room(true), Local{Node: "us-1", Mics: []Mic{{"ada", 1}}},
			Duties{Home: true, Program: program, Over: []Mic{{"ada", 1}}}},
		{"a listener's node pulls the standby's stream in advance", withStandby(room(true, ada)), Local{Node: "ap-1", Players: []rotunda.UserID{"lis"}},
			Duties{Program: program, Next: next, Listen: []Pull{homes, standbys}}},
		{"the standby pulls who would be mixed, and watches home", withStandby(room(true, ada, bob)), Local{Node: "eu-1"},
			Duties{Program: program, Next: next, Standby: true, Mix: []Pull{adaPull, bobPull}, Watch: &homes}},
		{"home knows the standby's stream", withStandby(room(true, ada)), Local{Node: "us-1"},
			Duties{Home: true, Program: program, Next: next, Mix: []Pull{adaPull}, Watch: &standbys}},
		{"who has taken over goes on until the log knows, whoever stands by", withStandby(room(true, ada)), Local{Node: "ap-1", Taken: 9, Players: []rotunda.UserID{"lis"}},
			Duties{Program: program, Next: own, Standby: true, Mix: []Pull{adaPull}, Watch: &homes, Listen: []Pull{homes, {Stream: own, Origin: "ap-1"}}}},
		{"and no longer", withStandby(room(true)), Local{Node: "ap-1", Taken: 3}, Duties{Program: program, Next: next}},
		{"an ended room wants nothing", room(false, ada), Local{Node: "us-1", Mics: []Mic{{"ada", 1}}, Players: []rotunda.UserID{"lis"}},
			Duties{Over: []Mic{{"ada", 1}}}},
	} {
		if c.want.Mics == nil {
			c.want.Mics = map[rotunda.UserID]Gate{}
		}
		if diff := cmp.Diff(c.want, Of(c.room, c.l)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestHears(t *testing.T) {
	r := room(true, Speaker{User: "ada", Node: "us-1", Muted: true})
	if got := r.Hears("ada"); got != Stage {
		t.Errorf("a muted speaker hears %q, want %q", got, Stage)
	}
	if got := r.Hears("lis"); got != Mixed {
		t.Errorf("a listener hears %q, want %q", got, Mixed)
	}
}

// Whatever the log and the sessions, no microphone passes that the log does not let pass here and now, every session is
// either current or over, and only one node of the mesh mixes.
func TestNoGrantNoPass(t *testing.T) {
	nodes := []rotunda.NodeID{"us-1", "eu-1", "ap-1"}
	users := []rotunda.UserID{"ada", "bob", "cyd", "dan"}
	rapid.Check(t, func(t *rapid.T) {
		r := Room{ID: "r", Live: rapid.Bool().Draw(t, "live"), Home: rapid.SampledFrom(nodes).Draw(t, "home"), Epoch: 1}
		for i, u := range users {
			if rapid.Bool().Draw(t, "on stage") {
				r.Speakers = append(r.Speakers, Speaker{User: u, SSRC: rotunda.SSRC(i + 1), Node: rapid.SampledFrom(nodes).Draw(t, "node"),
					Epoch: rotunda.Epoch(rapid.IntRange(0, 2).Draw(t, "epoch")), Muted: rapid.Bool().Draw(t, "muted")})
			}
		}
		if rapid.Bool().Draw(t, "has a standby") {
			r.Standby, r.Next = rapid.SampledFrom(nodes).Draw(t, "standby"), 2
		}
		homes, standbys := 0, 0
		for _, n := range nodes {
			l := Local{Node: n, Players: rapid.SliceOf(rapid.SampledFrom(users)).Draw(t, "players")}
			for _, u := range users {
				if rapid.Bool().Draw(t, "session") {
					l.Mics = append(l.Mics, Mic{u, rotunda.Epoch(rapid.IntRange(0, 2).Draw(t, "session epoch"))})
				}
			}
			d := Of(r, l)
			if d.Home {
				homes++
			}
			if d.Standby {
				standbys++
			}
			if stream, mixes := d.Mixes(); mixes != (d.Home || d.Standby) || d.Standby && stream.Epoch <= r.Epoch || d.Home && stream.Epoch != r.Epoch {
				t.Fatalf("%s mixes %v, %v; home %v, standby %v", n, stream, mixes, d.Home, d.Standby)
			}
			for _, m := range l.Mics {
				gate, current := d.Mics[m.User]
				over, replaced := slices.Contains(d.Over, m), slices.Contains(d.Replaced, m)
				if n := map[bool]int{true: 1}; n[current]+n[over]+n[replaced] != 1 {
					t.Fatalf("session %v at %s: current %v, replaced %v and over %v", m, l.Node, current, replaced, over)
				}
				if newer := r.Live && slices.ContainsFunc(r.Speakers, func(s Speaker) bool {
					return s.User == m.User && s.Epoch > m.Epoch && !s.Muted
				}); replaced && !newer {
					t.Fatalf("session %v at %s goes on; the log says %+v", m, n, r.Speakers)
				}
				allowed := r.Live && slices.ContainsFunc(r.Speakers, func(s Speaker) bool {
					return s.User == m.User && s.Node == n && s.Epoch == m.Epoch && !s.Muted
				})
				if gate.Open != allowed {
					t.Fatalf("session %v at %s: open %v, the log says %v", m, n, gate.Open, allowed)
				}
			}
		}
		if standbys > homes || homes+standbys > 1 && r.Standby == r.Home {
			t.Fatalf("%d standbys of %+v", standbys, r)
		}
		if want := map[bool]int{true: 1, false: 0}[r.Live]; homes != want {
			t.Fatalf("%d homes, want %d", homes, want)
		}
	})
}
