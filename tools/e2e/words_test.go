package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// hostile is what people put into names, titles and links to break a page: markup, scripts, towers of marks, endless words, emoji.
var hostile = []string{
	`<img src=x onerror="document.title='broken'"><script>document.title='broken'</script>`,
	`"><svg onload=document.title='broken'> {{constructor}} ${7*7} </title></textarea>`,
	strings.Repeat("Z͑ͫ̓ͪ̂ͫ̽͏̴", 8),
	strings.Repeat("W", 110),
	strings.Repeat("👩‍👩‍👧‍👦", 16),
	"مرحبا \u200f\u200e abc \u200f<b>نور</b>",
}

// TestHostileWords: whatever people call themselves and their rooms is shown as words, in its own place, and runs nothing; in a language
// from left to right and in one from right to left.
func TestHostileWords(t *testing.T) {
	mesh := startMesh(t)
	var rooms []string
	for i, words := range hostile {
		name := []rune(words)
		if i > 3 {
			name = []rune("<b>Eve</b> 👩🎉") // signs that cannot be seen are refused in names already
		}
		c := newCaller(t, mesh.urls[i%len(mesh.urls)], string(name[:min(len(name), 60)]))
		when := ""
		if i == 3 {
			when = time.Now().Add(time.Hour).Format(time.RFC3339)
		}
		rooms = append(rooms, c.hostileRoom(words, when))
	}
	p := openBrowser(t, "Eve", adasVoice.record(t))
	for _, language := range []string{"en", "ar"} {
		p.open(mesh.urls[0] + "/")
		p.until("has the rooms", `document.querySelectorAll(".rooms .card").length >= 6`, patience)
		set := fmt.Sprintf(`(s => { s.value = %q; s.dispatchEvent(new Event("change", {bubbles: true})); return true })(document.querySelector(".language select"))`, language)
		if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](set)); err != nil {
			t.Fatal(err)
		}
		direction := map[string]string{"en": "ltr", "ar": "rtl"}[language]
		p.until("is written in its direction", fmt.Sprintf(`document.documentElement.lang === %q && document.documentElement.dir === %q`, language, direction), patience)
		p.look("hostile-lobby-" + language)
		for i, room := range rooms {
			p.open(mesh.urls[0] + "/r/" + room)
			title, err := json.Marshal(strings.TrimSpace(hostile[i]))
			if err != nil {
				t.Fatal(err)
			}
			p.until("shows the title as it was written", fmt.Sprintf(`document.querySelector("h1")?.textContent === %s.normalize("NFC")`, title), patience)
			if ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](`!document.querySelector("#app script, #app img:not(.avatar img), #app b, h1 *") && !document.title.startsWith("broken")`)); err != nil || !ok {
				t.Errorf("room %d: words became elements (%v)", i, err)
			}
			p.fits(fmt.Sprintf("hostile room %d, %s", i, language))
			if i == 0 || i == 2 {
				p.look(fmt.Sprintf("hostile-room-%d-%s", i, language))
			}
		}
	}
	p.fitsPhases()
}

// fitsPhases checks that what a room's bar says of the connection fits, in every language: most of it is seen for moments only.
func (p *page) fitsPhases() {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(root(p.t), "node", "web", "src", "text", "messages", "*.json"))
	if err != nil || len(files) < 6 {
		p.t.Fatalf("%d languages (%v)", len(files), err)
	}
	said := []string{"Reconnecting…"}
	for _, file := range files {
		var catalogue struct{ Phases map[string]string }
		b, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(b, &catalogue)
		}
		if err != nil || len(catalogue.Phases) < 6 {
			p.t.Fatalf("%s: %d phases (%v)", file, len(catalogue.Phases), err)
		}
		said = slices.AppendSeq(said, maps.Values(catalogue.Phases))
	}
	for _, words := range said {
		p.run(fmt.Sprintf(`(document.querySelector("[data-phase]").lastChild.data = %q) !== ""`, words))
		p.fits("a room that says " + words)
	}
	p.picture("phases-small")
}

// hostileRoom opens a room, now or then, that says the words wherever it can.
func (c *caller) hostileRoom(words, when string) string {
	c.t.Helper()
	body, err := json.Marshal(map[string]any{"title": words, "description": words, "rules": words, "tags": []string{string([]rune(words)[:8])}})
	if err != nil {
		c.t.Fatal(err)
	}
	if when != "" {
		body = []byte(strings.Replace(string(body), "{", fmt.Sprintf(`{"startsAt":%q,`, when), 1))
	}
	var room struct {
		ID string `json:"id"`
	}
	c.call("POST", "/v1/rooms", string(body), 201, &room)
	if when == "" {
		pin, err := json.Marshal(map[string]string{"url": "https://example.org/" + strings.Repeat("x", 450), "note": words})
		if err != nil {
			c.t.Fatal(err)
		}
		c.call("POST", "/v1/rooms/"+room.ID+"/pins", string(pin), 200, nil)
	}
	return room.ID
}
