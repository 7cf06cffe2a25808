package room

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"rotunda"
)

var whole = cmp.AllowUnexported(State{}, voice{}, former{}, pace{})

// checkSnapshot: a state comes back whole from its encoding, which is the only one of that state.
func checkSnapshot(t interface{ Fatalf(string, ...any) }, s *State) {
	b, err := s.Encode()
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	back, err := Decode(b)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	if diff := cmp.Diff(s, back, whole, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("a snapshot lost something:\n%s", diff)
	}
	again, err := back.Encode()
	if err != nil || string(again) != string(b) {
		t.Fatalf("encoded again: %s, %v; want %s", again, err, b)
	}
}

func fold(s *State, events []Event) *State {
	for _, e := range events {
		s.Apply(e)
	}
	return s
}

func throughJSON(t interface{ Fatal(...any) }, e Event) Event {
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var out Event
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// A clone lives its own life.
func TestCloneSharesNothing(t *testing.T) {
	s := cast(t)
	before, clone := s.Clone(), s.Clone()
	for _, line := range []string{"lou request", "ada approve lee", "sue publish n2", "ada ban sam", "zoe+speaker claim", "ada title New", "ada end"} {
		st := &story{state: clone}
		if out, err := st.line(strings.Fields(line)); err != nil || out == "forbidden" || out == "nothing" {
			t.Fatalf("%s → %s, %v", line, out, err)
		}
	}
	if diff := cmp.Diff(before, s, whole); diff != "" {
		t.Errorf("changes of a clone reached the original:\n%s", diff)
	}
}

// Every map of a state is copied, whatever fields there will be.
func TestCloneCopiesEveryMap(t *testing.T) {
	s := New("room")
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Map {
			made := reflect.MakeMap(f.Type())
			reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem().Set(made)
		}
	}
	c := reflect.ValueOf(s.Clone()).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Map && f.Pointer() == c.Field(i).Pointer() {
			t.Errorf("a clone shares %s", v.Type().Field(i).Name)
		}
	}
}

// Events of a newer version change nothing but the sequence number.
func TestUnknownEventsAreCounted(t *testing.T) {
	s := cast(t)
	want := s.Clone()
	want.Seq++
	s.Apply(Event{Seq: s.Seq + 1, Type: "transcribed", User: "bob", Note: "something of a newer version"})
	if diff := cmp.Diff(want, s, whole); diff != "" {
		t.Errorf("an unknown event changed the room:\n%s", diff)
	}
	if err := s.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

func TestText(t *testing.T) {
	long := strings.Repeat("x", TitleMax)
	for in, want := range map[string]string{
		"Plain":                             "Plain",
		"  trimmed\t":                       "trimmed",
		"Cafe\u0301":                        "Caf\u00e9", // NFC
		long:                                long,
		long + "y":                          "",
		"\u1112\u1161":                      "\ud558",
		"שלום":                              "שלום",
		"👩\u200d🚀":                          "👩\u200d🚀", // joiners stay
		"a\nb":                              "",
		"a\x00b":                            "",
		"a\x7fb":                            "",
		"a\u0085b":                          "",
		"\u202eevil":                        "",
		"a\u2066b\u2069":                    "",
		"a\u2028b":                          "",
		"a\ufeffb":                          "",
		"a\U000e0041b":                      "",
		"bad \xff":                          "",
		" \u00a0":                           "",
		strings.Repeat("e\u0301", TitleMax): strings.Repeat("\u00e9", TitleMax),
	} {
		d, err := Details{Title: in, Mode: Discussion, Policy: Discussion.usual()}.checked()
		switch {
		case want == "" && !errors.Is(err, ErrInvalid):
			t.Errorf("%.40q: %q, %v; want ErrInvalid", in, d.Title, err)
		case want != "" && (err != nil || d.Title != want):
			t.Errorf("%.40q: %.40q, %v; want %.40q", in, d.Title, err, want)
		}
	}
	if got, err := text("rules", "one\r\ntwo\n\tthree", RulesMax, true); err != nil || got != "one\ntwo\n\tthree" {
		t.Errorf("rules of several lines: %q, %v", got, err)
	}
}

func TestNamesAreCleaned(t *testing.T) {
	for in, want := range map[string]string{
		"Ada": "Ada", " Ada\n": "Ada", "A\u202eda\x00": "Ada", "\xff\xfe": "", strings.Repeat("n", 1000): strings.Repeat("n", NameMax),
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%.20q) = %q, want %q", in, got, want)
		}
	}
}

func TestTagsAndLanguages(t *testing.T) {
	got, err := tags([]string{"Jazz", "jazz ", "Été"})
	if diff := cmp.Diff([]string{"jazz", "été"}, got); diff != "" || err != nil {
		t.Errorf("tags: %v\n%s", err, diff)
	}
	for _, bad := range [][]string{{""}, {strings.Repeat("x", TagMax+1)}, make([]string, TagsMax+1), {"a\x01"}} {
		if _, err := tags(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("tags %.40q: %v, want ErrInvalid", bad, err)
		}
	}
	for in, ok := range map[string]bool{"": true, "en": true, "pt-BR": true, "zh-Hant-TW": true, "en_GB": false, "-": false, "en-": false, "verylongtag": false, strings.Repeat("ab-", 20): false} {
		if err := language(in); (err == nil) != ok {
			t.Errorf("language %q: %v", in, err)
		}
	}
}

// Everybody who was ever on stage has their own SSRC, and keeps it.
func TestSSRC(t *testing.T) {
	s := cast(t)
	first := s.SSRC("sue")
	h := s.ssrc("new") // where "new" would land; put somebody there
	s.voices["squatter"] = voice{ssrc: h}
	if got := s.ssrc("new"); got != h+1 {
		t.Errorf("SSRC %d is taken: got %d, want the next", h, got)
	}
	delete(s.voices, "squatter")
	st := &story{state: s}
	for _, line := range []string{"sue role sue listener", "sue request", "ada approve sue"} {
		if out, err := st.line(strings.Fields(line)); err != nil || out == "conflict" {
			t.Fatalf("%s → %s, %v", line, out, err)
		}
	}
	if again := s.SSRC("sue"); first == 0 || again != first {
		t.Errorf("SSRC %d, and %d after coming back", first, again)
	}
}

// Removals without a ban are forgotten in the end, bans are not.
func TestRemovalsAreBounded(t *testing.T) {
	s := cast(t)
	remove := func(u rotunda.UserID, ban bool) {
		t.Helper()
		events, err := s.Decide(time.Unix(2e9+int64(s.Seq), 0), who("ada"), Remove{User: u, Ban: ban})
		if err != nil {
			t.Fatal(err)
		}
		fold(s, events)
	}
	remove("banned", true)
	for i := range 2 * removalMax {
		remove(rotunda.UserID(fmt.Sprintf("user-%d", i)), false)
	}
	if n := len(s.View().Removed); n != removalMax+1 {
		t.Errorf("%d removals remembered, want %d", n, removalMax+1)
	}
	if _, ok := s.Removed("user-0"); ok {
		t.Error("the oldest removal is remembered")
	}
	if !s.Banned("banned") {
		t.Error("a ban was forgotten")
	}
}

func TestQueueIsBounded(t *testing.T) {
	s := cast(t)
	for i := len(s.queue); i < QueueMax; i++ {
		fold(s, []Event{{Seq: s.Seq + 1, Type: EventRequested, User: rotunda.UserID(fmt.Sprintf("user-%d", i))}})
	}
	if _, err := s.Decide(time.Unix(0, 0), who("lou"), Request{}); !errors.Is(err, ErrFull) {
		t.Errorf("request %d: %v, want ErrFull", QueueMax+1, err)
	}
}

// The JSON of a room, byte for byte: clients are written against it.
func TestViewIsGolden(t *testing.T) {
	st := &story{state: New("k3v9"), now: time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)}
	for _, line := range []string{"ada create Talk", "ada publish us-east-1", "bob request please", "ada ban eve"} {
		if _, err := st.line(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := json.MarshalIndent(st.state.View(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/view.json", string(got)+"\n")
	got, err = json.MarshalIndent(st.state.Summary(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/summary.json", string(got)+"\n")
	empty, err := json.Marshal(New("x").View())
	if err != nil || strings.Contains(string(empty), "null") && !strings.Contains(string(empty), `"startsAt":null`) {
		t.Errorf("empty view: %s, %v", empty, err)
	}
}

func BenchmarkDecideApply(b *testing.B) {
	s := New("room")
	st := &story{state: s}
	st.line(strings.Fields("ada create Talk"))
	for i := range 19 {
		st.line([]string{fmt.Sprintf("user%d+speaker", i), "claim"})
	}
	mute, unmute := Command(Mute{User: "user3"}), Command(Unmute{"user3"})
	who := Actor{User: "user3"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		cmd := unmute
		if i%2 == 1 {
			cmd = mute
		}
		events, err := s.Decide(time.Unix(int64(i), 0), who, cmd)
		if err != nil || len(events) != 1 {
			b.Fatal(events, err)
		}
		s = s.Clone()
		s.Apply(events[0])
	}
}
