package card

import (
	"strings"
	"testing"
	"time"

	"rotunda/control/room"
)

var tides = Card{Room: "k3v9q7m2x4ab", Title: "What the tide leaves behind", Host: "Ada", State: room.Live, OnStage: 3, Listeners: 412, Language: "en"}

func TestDescribe(t *testing.T) {
	soon := time.Date(2026, 12, 24, 18, 0, 0, 0, time.FixedZone("", 3600))
	for _, c := range []struct {
		card Card
		want string
	}{
		{tides, "Live now · Hosted by \u2068Ada\u2069 · On stage: 3 · Listening: 412"},
		{Card{State: room.Live, OnStage: 1}, "Live now · On stage: 1"},
		{Card{State: room.Live, OnStage: 1, Host: "Ada", Locked: true, Language: "fr-CA"}, "En direct · Hôte : \u2068Ada\u2069 · Sur scène : 1 · Fermé"},
		{Card{State: room.Scheduled, StartsAt: soon, Host: "Ada", OnStage: 1, Listeners: 4, Language: "es"}, "Empieza 2026-12-24 17:00 UTC · Anfitrión: \u2068Ada\u2069"},
		{Card{State: room.Scheduled}, "Begins …"},
		{Card{State: room.Ended, Host: "Ada", OnStage: 9, Listeners: 9, Language: "ar"}, "انتهت هذه الغرفة · المضيف: \u2068Ada\u2069"},
		{Card{State: room.Ended, Host: "Ada\u202e\u2069\n evil", Language: "xx"}, "This room has ended · Hosted by \u2068Ada evil\u2069"},
	} {
		if got := c.card.Describe(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.card, got, c.want)
		}
	}
}

func TestEveryLanguageSaysEverything(t *testing.T) {
	for _, l := range []string{"en", "es", "pt-BR", "fr", "id", "ar", "HI"} {
		w := wordsOf(l)
		if l != "en" && w == english {
			t.Errorf("%s is English", l)
		}
		for _, s := range []string{w.begins, w.hosted, w.listening, w.onStage} {
			if strings.Count(s, "{}") != 1 {
				t.Errorf("%s: %q does not have one place to fill", l, s)
			}
		}
		if w.live == "" || w.ended == "" || w.locked == "" {
			t.Errorf("%s lacks a word: %+v", l, w)
		}
	}
}

// Whatever people call a room, the tags stay tags: each line holds one, and no quote or angle bracket is from outside.
func TestTagsOfHostileTitles(t *testing.T) {
	for _, title := range hostile {
		c := tides
		c.Title, c.Host = title, title
		tags := pageOf("https://fra-1.example.org", c).tags()
		lines := strings.Split(strings.TrimSuffix(tags, "\n"), "\n")
		if len(lines) != 14 {
			t.Errorf("%.40q: %d lines of tags, want 14", title, len(lines))
		}
		for _, l := range lines {
			inner, ok := strings.CutPrefix(l, "    <meta ")
			if inner, ok = strings.CutSuffix(inner, " />"); !ok || strings.ContainsAny(inner, "<>") || strings.Count(inner, `"`) != 4 {
				t.Errorf("%.40q: not one tag: %.200s", title, l)
			}
		}
		for _, r := range "\u202e\u2066\x00\u200b" {
			if strings.ContainsRune(tags, r) {
				t.Errorf("%.40q: the tags have %U in them", title, r)
			}
		}
	}
}

func TestPages(t *testing.T) {
	const base = "https://fra-1.example.org"
	p := pageOf(base, tides)
	if p.url != base+"/r/k3v9q7m2x4ab" || !strings.HasPrefix(p.picture, base+"/r/k3v9q7m2x4ab/card.png?v=") || p.title != tides.Title {
		t.Errorf("page %+v", p)
	}
	changed := tides
	changed.Listeners++
	if pageOf(base, changed).picture == p.picture {
		t.Error("another picture has the same address")
	}
	if p := pageOfNone(base, "k3v9q7m2x4ab"); p.url != base+"/r/k3v9q7m2x4ab" || p.title != product || p.picture != base+"/card.png" {
		t.Errorf("page of a room that is not spoken of: %+v", p)
	}
	if p := pageOfNone(base, `x"><script>`); p.url != base+"/" {
		t.Errorf("page of an id that is none: %+v", p)
	}
}

// hostile is what people can call a room or themselves, and worse.
var hostile = []string{
	`"><script>alert(1)</script>`, `' onload='alert(1)`, "</title></head><body>", "<!-- --><meta name=x>", "&quot;&lt;", "%CARD%", "\u202egnol\u2066", "a\x00b\u200bc",
	"two\nlines\r\nand\ttabs", strings.Repeat("W", 480), strings.Repeat("👏", 120), strings.Repeat("Z̶̡̛", 40), strings.Repeat("wide words ", 44), "غرفة عربية", "हिन्दी का कमरा", "日本語の部屋", "\xff\xfe",
	"", " ", "👩‍👩‍👧‍👦", "ẹ̀kọ́ Yorùbá", "mixed עברית title",
}
