package presence_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"rotunda"
	"rotunda/node/presence"
)

// A change of these octets is a change of the protocol.
func TestRosterGolden(t *testing.T) {
	for name, g := range map[string]struct {
		got  []byte
		want string
	}{
		"list":  {presence.List{After: "g_ada", Search: "bö", Limit: 50}.Encode(), "01 32 05 675f616461 03 62c3b6"},
		"first": {presence.List{Limit: 500}.Encode(), "01 3c 00 00"},
		"find":  {presence.EncodeFind([]rotunda.UserID{"g_ada", "g_bob"}), "02 02 1c98362c4127a3b6 2886ec610b1238bf"},
		"page":  {presence.Page{People: []presence.Named{{"g_ada", "Ada"}, {"g_bob", ""}}, More: true}.Encode(), "01 01 02 05 675f616461 03 416461 05 675f626f62 00"},
		"empty": {presence.Page{}.Encode(), "01 00 00"},
		"found": {presence.Found{0: "eu-1", 127: "us-1"}.Encode(), "02 02 00 04 65752d31 7f 04 75732d31"},
	} {
		if got := hex.EncodeToString(g.got); got != strings.ReplaceAll(g.want, " ", "") {
			t.Errorf("%s encodes to\n %s, want\n %s", name, got, g.want)
		}
	}
}

// crowd is people spread over nodes, some of them on several and with other names.
type crowd [][]presence.Candidate

func crowds(t *rapid.T) crowd {
	c := make(crowd, rapid.IntRange(1, 6).Draw(t, "nodes"))
	for range rapid.IntRange(0, 60).Draw(t, "people") {
		u := rapid.IntRange(0, 40).Draw(t, "user")
		n := rapid.IntRange(0, len(c)-1).Draw(t, "node")
		name := rapid.SampledFrom([]string{"Ada", "BOB", "cyd"}).Draw(t, "name")
		c[n] = append(c[n], presence.Candidate{User: rotunda.UserID(fmt.Sprintf("u%02d", u)), Name: name, About: "likes u" + fmt.Sprint(u%3)})
	}
	return c
}

// pages is each node's part of the answer; every other node says no more than its share.
func (c crowd) pages(q presence.List) []presence.Page {
	all := 0
	for _, node := range c {
		all += len(node)
	}
	var pages []presence.Page
	for i, node := range c {
		limit := q.Limit
		if i%2 == 0 {
			limit = min(limit, max(1, q.Limit*len(node)/max(all, 1)))
		}
		pages = append(pages, q.Page(slices.Values(node), limit))
	}
	return pages
}

// However the parts are put together, and whether by way of the wire or not, the page is the same.
func TestPagesMergeInAnyShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := presence.List{Limit: rapid.IntRange(1, 12).Draw(t, "limit"), Search: rapid.SampledFrom([]string{"", "a", "bob", "U1"}).Draw(t, "search")}
		parts := crowds(t).pages(q)
		want := presence.MergePages(q.Limit, parts...)
		for i, p := range want.People {
			if i > 0 && p.User <= want.People[i-1].User {
				t.Fatalf("not in order: %v", want)
			}
		}
		if len(want.People) > q.Limit || want.More && len(want.People) == 0 {
			t.Fatalf("merged to %v, limit %d", want, q.Limit)
		}
		rest := rapid.Permutation(parts).Draw(t, "order")
		for len(rest) > 1 {
			n := rapid.IntRange(1, len(rest)).Draw(t, "how many")
			one := presence.MergePages(q.Limit, rest[:n]...)
			rest = append(slices.Clone(rest[n:]), one)
			if n == 1 && len(rest) > 1 {
				rest = append(rest[1:], rest[0])
			}
			if rapid.Bool().Draw(t, "done") {
				rest = []presence.Page{presence.MergePages(q.Limit, rest...)}
			}
		}
		if d := cmp.Diff(want, rest[0], cmp.Comparer(func(a, b []presence.Named) bool { return slices.Equal(a, b) })); d != "" {
			t.Fatal(d)
		}
		var octets [][]byte
		for _, p := range parts {
			octets = append(octets, p.Encode())
		}
		joined, ok := presence.Join(q.Encode(), octets)
		if !ok || !bytes.Equal(joined, want.Encode()) {
			t.Fatalf("joined to %x, %t, want %x", joined, ok, want.Encode())
		}
	})
}

// Whoever walks through the pages meets everybody who matches, once and in order.
func TestWalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := crowds(t)
		q := presence.List{Limit: rapid.IntRange(1, 7).Draw(t, "limit"), Search: rapid.SampledFrom([]string{"", "aDa", "u1"}).Draw(t, "search")}
		var want, got []rotunda.UserID
		for _, node := range c {
			for _, p := range node {
				if strings.Contains(strings.ToLower(p.Name+" "+p.About), strings.ToLower(q.Search)) {
					want = append(want, p.User)
				}
			}
		}
		slices.Sort(want)
		want = slices.Compact(want)
		for more := true; more; {
			page := presence.MergePages(q.Limit, c.pages(q)...)
			for _, p := range page.People {
				got = append(got, p.User)
				q.After = p.User
			}
			more = page.More
		}
		if !slices.Equal(got, want) {
			t.Fatalf("met %v, want %v", got, want)
		}
	})
}

// A page of the longest names fits, and a node's share is enough for a page where people are spread.
func TestPageSize(t *testing.T) {
	var people []presence.Candidate
	for i := range 1000 {
		people = append(people, presence.Candidate{User: rotunda.UserID(fmt.Sprintf("%064d", i)), Name: strings.Repeat("ж", 100)})
	}
	q := presence.List{Limit: presence.PageMax}
	if b := q.Page(slices.Values(people), q.Limit).Encode(); len(b) > 12<<10-64 {
		t.Errorf("a page of the longest names is %d octets", len(b))
	}
	for _, c := range []struct{ limit, here, all, want int }{{60, 50, 100_000, 9}, {60, 100, 100, 60}, {60, 500, 5000, 20}, {5, 1, 1000, 5}, {60, 3, 0, 60}} {
		if got := (presence.List{Limit: c.limit}).Share(c.here, c.all); got != c.want {
			t.Errorf("%d of %d people are a share of %d of %d, want %d", c.here, c.all, got, c.limit, c.want)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var pages []presence.Page
	for range 2000 {
		var node []presence.Candidate
		for range 50 {
			node = append(node, presence.Candidate{User: rotunda.UserID(fmt.Sprintf("g_%016x", rng.Uint64())), Name: "Guest"})
		}
		pages = append(pages, q.Page(slices.Values(node), q.Share(50, 100_000)))
	}
	octets := 0
	for _, p := range pages {
		octets += len(p.Encode())
	}
	t.Logf("2,000 nodes with 50 people each answer %d octets for a page", octets)
	if p := presence.MergePages(q.Limit, pages...); len(p.People) != q.Limit || !p.More || octets > 600_000 {
		t.Errorf("%d people on the page, more %t, of %d octets", len(p.People), p.More, octets)
	}
}

func TestFind(t *testing.T) {
	users := []rotunda.UserID{"ada", "bob", "cyd", "bob"}
	question := presence.EncodeFind(users)
	q, err := presence.DecodeQuestion(question)
	if err != nil {
		t.Fatal(err)
	}
	us := q.Find("us-1", slices.Values([]rotunda.UserID{"bob", "dan"}))
	eu := q.Find("eu-1", slices.Values([]rotunda.UserID{"cyd", "bob"}))
	joined, ok := presence.Join(question, [][]byte{us.Encode(), eu.Encode(), us.Encode()})
	got, err := presence.DecodeFound(joined)
	if want := (presence.Found{1: "eu-1", 2: "eu-1", 3: "eu-1"}); !ok || err != nil || !cmp.Equal(got, want) {
		t.Errorf("found %v, %t, %v; want %v", got, ok, err, want)
	}
	for name, parts := range map[string][][]byte{"garbage": {us.Encode(), {9}}, "a page": {us.Encode(), presence.Page{}.Encode()}} {
		if joined, ok := presence.Join(question, parts); ok || !bytes.Equal(joined, us.Encode()) {
			t.Errorf("%s: joined %x, %t; want what is an answer, and to hear that not all are", name, joined, ok)
		}
	}
	if _, ok := presence.Join([]byte{1}, nil); ok {
		t.Error("an answer to no question")
	}
	if n := len(presence.EncodeFind(make([]rotunda.UserID, 1000))); n > 2048 {
		t.Errorf("a question of %d octets", n)
	}
}

func FuzzRoster(f *testing.F) {
	f.Add(presence.List{After: "g_ada", Search: "bö", Limit: 50}.Encode())
	f.Add(presence.EncodeFind([]rotunda.UserID{"g_ada", "g_bob"}))
	f.Add(presence.Page{People: []presence.Named{{"g_ada", "Ada"}, {"g_bob", ""}}, More: true}.Encode())
	f.Add(presence.Found{0: "eu-1", 127: "us-1"}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(err error, again func() []byte) {
			if err != nil && !errors.Is(err, presence.ErrMalformed) {
				t.Fatalf("error %v is of no kind", err)
			}
			if err == nil && !bytes.Equal(again(), b) {
				t.Fatalf("decoded\n %x, encodes back to\n %x", b, again())
			}
		}
		page, err := presence.DecodePage(b)
		check(err, page.Encode)
		found, err := presence.DecodeFound(b)
		check(err, found.Encode)
		q, err := presence.DecodeQuestion(b)
		check(err, func() []byte {
			if q.List != nil {
				return q.List.Encode()
			}
			return b // hashes are as they are
		})
		if err == nil {
			presence.Join(b, [][]byte{b, b})
		}
	})
}

// Whose hand comes down: only of those who were nowhere for half a minute while all could be asked.
func TestHands(t *testing.T) {
	alive := []rotunda.Member{{ID: "us", State: rotunda.Alive}, {ID: "eu", State: rotunda.Alive}}
	with := func(eu rotunda.MemberState) []rotunda.Member {
		return []rotunda.Member{{ID: "us", State: rotunda.Alive}, {ID: "eu", State: eu}}
	}
	type look struct {
		at       int    // seconds
		found    string // the node, "" for nowhere
		complete bool
		members  []rotunda.Member
		raised   int
		left     bool
	}
	for name, looks := range map[string][]look{
		"there": {{0, "eu", true, alive, 0, false}, {10, "eu", true, alive, 0, false}, {20, "eu", true, alive, 0, false}, {30, "us", true, alive, 0, false}, {40, "us", true, alive, 0, false}},
		"away for half a minute": {{0, "eu", true, alive, 0, false}, {10, "", true, alive, 0, false}, {20, "", true, alive, 0, false}, {30, "", true, alive, 0, false},
			{40, "", true, alive, 0, true}, {50, "", true, alive, 0, true}},
		"back in time": {{0, "", true, alive, 0, false}, {10, "", true, alive, 0, false}, {20, "", true, alive, 0, false}, {29, "eu", true, alive, 0, false},
			{40, "", true, alive, 0, false}, {50, "", true, alive, 0, false}, {60, "", true, alive, 0, false}, {70, "", true, alive, 0, true}},
		"an answer that is not complete": {{0, "", true, alive, 0, false}, {10, "", true, alive, 0, false}, {20, "", false, alive, 0, false}, {30, "", true, alive, 0, false},
			{40, "", true, alive, 0, false}, {50, "", true, alive, 0, false}, {60, "", true, alive, 0, true}},
		"never complete": {{0, "", false, alive, 0, false}, {10, "", false, alive, 0, false}, {20, "", false, alive, 0, false}, {30, "", false, alive, 0, false}, {40, "", false, alive, 0, false}},
		"the node cut off": {{0, "eu", true, alive, 0, false}, {10, "", true, alive, 0, false}, {20, "", true, with(rotunda.Suspect), 0, false},
			{30, "", true, with(rotunda.Dead), 0, false}, {40, "", true, with(rotunda.Dead), 0, false}, {50, "", true, with(rotunda.Dead), 0, false}},
		"another node cut off": {{0, "us", true, with(rotunda.Dead), 0, false}, {10, "", true, with(rotunda.Dead), 0, false}, {20, "", true, with(rotunda.Dead), 0, false},
			{30, "", true, with(rotunda.Dead), 0, false}, {40, "", true, with(rotunda.Dead), 0, true}},
		"never seen while a node is cut off": {{0, "", true, with(rotunda.Dead), 0, false}, {10, "", true, with(rotunda.Dead), 0, false}, {20, "", true, with(rotunda.Dead), 0, false},
			{30, "", true, with(rotunda.Dead), 0, false}, {40, "", true, with(rotunda.Dead), 0, false}},
		"the node has stopped": {{0, "eu", true, alive, 0, false}, {10, "", true, with(rotunda.Left), 0, false}, {20, "", true, with(rotunda.Left), 0, false},
			{30, "", true, with(rotunda.Left), 0, false}, {40, "", true, with(rotunda.Left), 0, true}},
		"the node is forgotten": {{0, "eu", true, alive, 0, false}, {10, "", true, alive[:1], 0, false}, {25, "", true, alive[:1], 0, false}, {40, "", true, alive[:1], 0, true}},
		"asked anew":            {{0, "", true, alive, 0, false}, {10, "", true, alive, 0, false}, {20, "", true, alive, 15, false}, {30, "", true, alive, 15, false}, {40, "", true, alive, 15, false}, {50, "", true, alive, 15, true}},
		"nobody has looked":     {{0, "", true, alive, 0, false}, {10, "", true, alive, 0, false}, {50, "", true, alive, 0, false}, {80, "", true, alive, 0, true}},
	} {
		var h presence.Hands
		start := time.Unix(1e9, 0)
		for _, l := range looks {
			found := map[rotunda.UserID]rotunda.NodeID{}
			if l.found != "" {
				found["bob"] = rotunda.NodeID(l.found)
			}
			waiting := []presence.Raised{{User: "bob", At: start.Add(time.Duration(l.raised) * time.Second)}}
			left := h.Look(start.Add(time.Duration(l.at)*time.Second), presence.HandsEvery, waiting, found, l.complete, l.members)
			if (len(left) == 1) != l.left || len(left) > 1 {
				t.Errorf("%s: after %d s those have left: %v; want bob: %t", name, l.at, left, l.left)
			}
		}
	}
}
