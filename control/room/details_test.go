package room

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPolicyBounds(t *testing.T) {
	for line, ok := range map[string]bool{
		"speakersMax 1": true, "speakersMax 100": true, "speakersMax 0": false, "speakersMax 101": false,
		"cohostsMax 0": true, "cohostsMax 100": true, "cohostsMax -1": false, "cohostsMax 101": false,
		"warningsMax 0": true, "warningsMax 100": true, "warningsMax 101": false, "warningsMax -1": false,
		"turn 10": true, "turn 3600": true, "turn 9": false, "turn 3601": false,
		"hostHold 5": true, "hostHold 3600": true, "hostHold 4": false, "hostHold 3601": false,
		"holdMax 10": true, "holdMax 86400": true, "holdMax 9": false, "holdMax 86401": false,
		"returnMax 0": true, "returnMax 86400": true, "returnMax -1": false, "returnMax 86401": false,
		"requests list": true, "requests friends": false, "reactions stage": true, "reactions nobody": true, "reactions some": false,
		"sanction ban": true, "sanction none": false, "floorLock on": true, "muteOnEntry on": true,
	} {
		s := after(t, "ada create Talk").state
		field, value, _ := strings.Cut(line, " ")
		events, err := s.Decide(time.Unix(1e9, 0), who("ada"), Edit{Policy: policyEdit(field, value)})
		if ok && (err != nil || len(events) > 1) || !ok && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %d events, %v; want allowed: %v", line, len(events), err, ok)
		}
	}
	for _, m := range []Mode{Discussion, Questions, Lecture, Rotating} {
		if err := m.usual().check(); err != nil {
			t.Errorf("%s: %v", m, err)
		}
	}
}

// An older version writes policies without the fields of this one. A missing time must not mean at once.
func TestEventsOfAnOlderVersion(t *testing.T) {
	s := New("room")
	old := &Details{Title: "Old", Mode: Discussion, Policy: Policy{SpeakersMax: 7, Requests: Closed}}
	s.Apply(Event{Seq: 1, At: time.Unix(1e9, 0), Type: EventCreated, User: "ada", SSRC: 1, Node: "n1", Details: old})
	s.Apply(Event{Seq: 2, At: time.Unix(1e9, 0), Type: EventEdited, By: "ada", Details: old})
	if err := s.CheckInvariants(); err != nil {
		t.Error(err)
	}
	p := s.Details.Policy
	if p.SpeakersMax != 7 || p.Requests != Closed || p.HostHold != 30 || p.HoldMax != 300 || p.Turn != 120 {
		t.Errorf("policy %+v", p)
	}
}

// A room says by how many ways it travels when it is made, and in its snapshots; anything else is refused.
func TestHitless(t *testing.T) {
	for _, h := range []Hitless{HitlessUnsaid, HitlessProgram, HitlessOff} {
		s := New("r")
		events, err := s.Decide(time.Unix(1, 0), who("ada"), Create{Title: "T", Node: "n1", Hitless: h})
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range events {
			e.ID, e.Seq = fmt.Sprint(i), uint64(i+1)
			s.Apply(e)
		}
		b, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(b)
		if err != nil || s.Hitless != h || again.Hitless != h || s.View().Hitless != h {
			t.Errorf("%q: the room says %q, its snapshot %q, %v", h, s.Hitless, again.Hitless, err)
		}
	}
	if _, err := New("r").Decide(time.Unix(1, 0), who("ada"), Create{Title: "T", Node: "n1", Hitless: "thrice"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("thrice: %v, want ErrInvalid", err)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	s := after(t, "ada create Talk")
	for i := range 2 * HistoryMax {
		if out, err := s.line([]string{"ada", "rules", fmt.Sprint("Rule ", i)}); out != "edited" || err != nil {
			t.Fatalf("edit %d → %s, %v", i, out, err)
		}
	}
	h := s.state.history
	if len(h) != HistoryMax || h[len(h)-1].Seq != s.state.Seq || h[0].Seq != s.state.Seq-HistoryMax+1 {
		t.Errorf("%d revisions, from %d to %d; want the latest %d of %d", len(h), h[0].Seq, h[len(h)-1].Seq, HistoryMax, s.state.Seq)
	}
	if v := s.state.View().RulesVersion; v != 1+2*HistoryMax {
		t.Errorf("rules version %d", v)
	}
}

func TestReactions(t *testing.T) {
	s := after(t, "ada create Talk", "ada ban eve")
	for _, c := range []struct {
		policy         string
		host, listener bool
	}{{"everyone", true, true}, {"stage", true, false}, {"nobody", false, false}} {
		s.line([]string{"ada", "policy", "reactions", c.policy})
		if host, listener, banned := s.state.MayReact("ada"), s.state.MayReact("lou"), s.state.MayReact("eve"); host != c.host || listener != c.listener || banned {
			t.Errorf("%s: host %v, listener %v, banned %v", c.policy, host, listener, banned)
		}
	}
}

func TestLinks(t *testing.T) {
	for in, want := range map[string]string{
		"https://example.org":                         "https://example.org",
		" http://example.org:8080/a?b=c#d ":           "http://example.org:8080/a?b=c#d",
		"https://[2001:db8::1]/":                      "https://[2001:db8::1]/",
		"https://müller.example/straße":               "https://m%C3%BCller.example/stra%C3%9Fe",
		"https://example.org/" + widest(URLMax):       "",
		"https://example.org/<script>":                "https://example.org/%3Cscript%3E",
		"":                                            "",
		"example.org":                                 "",
		"//example.org":                               "",
		"ftp://example.org":                           "",
		"javascript:alert(1)":                         "",
		"data:text/html,x":                            "",
		"https:example.org":                           "",
		"https://":                                    "",
		"https://user@example.org":                    "",
		"https://exa\u202emple.org":                   "",
		"https://exam ple.org":                        "",
		"https://example.org/\x00":                    "",
		"https://example.org/" + string([]byte{0xff}): "https://example.org/%FF",
	} {
		got, err := webLink(in)
		if want == "" && !errors.Is(err, ErrInvalid) || want != "" && (err != nil || got != want) {
			t.Errorf("%.60q: %q, %v; want %q", in, got, err, want)
		}
	}
}

// Talk time is what the room's home reports, and everybody's shares make a whole.
func TestTalkShares(t *testing.T) {
	s := after(t, "ada create Talk", "bob+speaker claim", "cyd+speaker claim", "node speaking n1 ada=30 bob=60", "wait 1m")
	for _, line := range []string{"node speaking n1 ada=30 cyd=901", "node speaking n1 ada=-1"} {
		if out, err := s.line(strings.Fields(line)); out != "invalid" || err != nil {
			t.Errorf("%s → %s, %v", line, out, err)
		}
	}
	s.line(strings.Fields("cyd role cyd listener"))
	s.line(strings.Fields("node speaking n1 cyd=30 nobody=100")) // left the stage since
	if out := happenedTalk(s); out != "bob spoke 1m0s, ada spoke 30s, cyd spoke 30s" {
		t.Error(out)
	}
	v := s.state.View()
	if v.SpokeSeconds != 120 || len(v.Talk) != 3 || v.Talk["bob"].SpokeSeconds != 60 || v.Talk["cyd"].SpokeSeconds != 30 {
		t.Errorf("all %d, of whom %+v", v.SpokeSeconds, v.Talk)
	}
}

func happenedTalk(s *story) string {
	var out []string
	for _, t := range s.state.Talk() {
		out = append(out, fmt.Sprintf("%s spoke %v", t.User, t.Spoke))
	}
	return strings.Join(out, ", ")
}

// Five people, a minute each: the turns are fair to the second.
func TestTurnsAreFair(t *testing.T) {
	s := after(t, "ada create Round", "node present ada n1", "bob request", "cyd request", "dan request", "eve request", "fay request", "ada rotate 60")
	if _, err := s.wait("6m"); err != nil {
		t.Fatal(err)
	}
	talk := s.state.Talk()
	if len(talk) != 5 {
		t.Fatalf("%d people had a turn", len(talk))
	}
	for _, f := range talk {
		if f.Turns != 1 || f.Held < 59*time.Second || f.Held > 61*time.Second {
			t.Errorf("%s had %d turns of %v, want one of a minute", f.User, f.Turns, f.Held)
		}
	}
	if r := s.state.Rotation; r.User != "" {
		t.Errorf("%s has a turn after all have had theirs", r.User)
	}
}
