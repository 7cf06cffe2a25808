package presence_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"rotunda"
	"rotunda/node/presence"
)

// A change of these octets is a change of the protocol.
func TestGolden(t *testing.T) {
	s := presence.Summary{
		Listeners: 300, Joined: 7, Reactions: map[string]int{"👏": 12, "❤️": 1},
		Roster: []presence.Person{{User: "g_ada", Name: "Ada", Avatar: "/p/1"}, {User: "g_bob", Name: "Bob"}},
	}
	want := strings.Join(strings.Fields(`01 ac02 07 02 06 e29da4efb88f 01 04 f09f918f 0c
		02 05 675f616461 03 416461 04 2f702f31 05 675f626f62 03 426f62 00`), "")
	if got := hex.EncodeToString(s.Encode()); got != want {
		t.Errorf("encodes to\n %s, want\n %s", got, want)
	}
	got, err := presence.Decode(s.Encode())
	s.Roster = presence.Sample(s.Roster)
	if d := cmp.Diff(s, got); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
}

func summaries(t *rapid.T, label string) presence.Summary {
	s := presence.Summary{Listeners: rapid.IntRange(0, 1000).Draw(t, label+" listeners"), Joined: rapid.IntRange(0, 9).Draw(t, label+" joined")}
	for range rapid.IntRange(0, 3).Draw(t, label+" kinds") {
		if s.Reactions == nil {
			s.Reactions = map[string]int{}
		}
		s.Reactions[rapid.SampledFrom([]string{"👏", "🎉", "x"}).Draw(t, label+" kind")] = rapid.IntRange(1, 99).Draw(t, label+" count")
	}
	seen := map[rotunda.UserID]bool{}
	for range rapid.IntRange(0, 40).Draw(t, label+" people") {
		u := rotunda.UserID(fmt.Sprintf("u%d", rapid.IntRange(0, 200).Draw(t, label+" user")))
		if !seen[u] {
			seen[u] = true
			s.Roster = append(s.Roster, presence.Person{User: u, Name: strings.ToUpper(string(u))})
		}
	}
	s.Roster = presence.Sample(s.Roster)
	return s
}

// The shape of the tree makes no difference, and neither does the order.
func TestMergeInAnyShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := summaries(t, "a"), summaries(t, "b"), summaries(t, "c")
		want := presence.Merge(a, b, c)
		for name, got := range map[string]presence.Summary{
			"c b a": presence.Merge(c, b, a), "(a b) c": presence.Merge(presence.Merge(a, b), c), "a (b c)": presence.Merge(a, presence.Merge(c, b)),
		} {
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%s is not a b c: %s", name, d)
			}
		}
		if want.Listeners != a.Listeners+b.Listeners+c.Listeners || len(want.Roster) > presence.RosterMax {
			t.Fatalf("merged %+v", want)
		}
	})
}

// A million listeners on ten thousand nodes make no larger sum than one; the sample is as random as the ids' hash.
func TestSumStaysSmall(t *testing.T) {
	var sum presence.Summary
	firsts := map[byte]int{}
	for n := range 10_000 {
		part := presence.Summary{Listeners: 100, Reactions: map[string]int{fmt.Sprint("kind ", n): 1}}
		for i := range 3 {
			part.Roster = append(part.Roster, presence.Person{User: rotunda.UserID(fmt.Sprintf("%c_%d_%d", 'a'+n%4, n, i)), Name: strings.Repeat("ж", 64), Avatar: strings.Repeat("/x", 60)})
		}
		sum = presence.Merge(sum, part)
	}
	if sum.Listeners != 1_000_000 || len(sum.Reactions) != presence.KindsMax || len(sum.Roster) != presence.RosterMax {
		t.Errorf("%d listeners, %d kinds, %d people", sum.Listeners, len(sum.Reactions), len(sum.Roster))
	}
	for _, p := range sum.Roster {
		firsts[p.User[0]]++
	}
	if len(firsts) < 3 {
		t.Errorf("the sample is %v by first letter, of four that are as frequent", firsts)
	}
	b := sum.Encode()
	if len(b) > presence.SizeMax {
		t.Errorf("%d octets", len(b))
	}
	if got, err := presence.Decode(b); err != nil || got.Listeners != sum.Listeners || len(got.Roster) == 0 {
		t.Errorf("decoded %+v, %v", got, err)
	}
	if got := presence.Merge(presence.Summary{Listeners: presence.CountMax}, presence.Summary{Listeners: -5}, presence.Summary{Listeners: 7}); got.Listeners != presence.CountMax {
		t.Errorf("%d listeners, want no more than can be counted", got.Listeners)
	}
}

func TestEncodeCuts(t *testing.T) {
	s := presence.Summary{
		Reactions: map[string]int{"": 1, strings.Repeat("x", 33): 1, "\xff": 1, "none": 0, "ok": 2},
		Roster: []presence.Person{
			{User: "bad id", Name: "x"}, {User: "long", Name: strings.Repeat("ж", 100), Avatar: strings.Repeat("a", 200)}, {User: "binary", Name: "\xff"},
		},
	}
	got, err := presence.Decode(s.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Reactions) != 1 || got.Reactions["ok"] != 2 {
		t.Errorf("reactions %v", got.Reactions)
	}
	i := slices.IndexFunc(got.Roster, func(p presence.Person) bool { return p.User == "long" })
	if len(got.Roster) != 2 || i < 0 || got.Roster[i].Name != strings.Repeat("ж", 64) || got.Roster[i].Avatar != "" {
		t.Errorf("roster %+v", got.Roster)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(presence.Summary{Listeners: 300, Reactions: map[string]int{"👏": 12}, Roster: []presence.Person{{User: "g_ada", Name: "Ada"}}}.Encode())
	f.Add([]byte{1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := presence.Decode(b)
		if err != nil {
			if !errors.Is(err, presence.ErrMalformed) {
				t.Fatalf("error %v is of no kind", err)
			}
			return
		}
		if again := s.Encode(); !bytes.Equal(b, again) {
			t.Fatalf("decoded\n %x, encodes back to\n %x", b, again)
		}
		presence.Merge(s, s)
	})
}
