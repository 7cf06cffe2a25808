package e2e

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestAPlannedEvening is a room from the day it is planned until it is among those that are over: the form, the calendar, the preview of
// its link, going live under the same address, a question with its subject, loudness and loudspeaker of one's own, the lock screen, the
// wake lock, reactions in the air, muting all, talk time, newcomers; on three nodes, both sides of each.
func TestAPlannedEvening(t *testing.T) {
	mesh := startMesh(t)
	ada, bob, cyd := openBrowser(t, "Ada", adasVoice.record(t)), openBrowser(t, "Bob", bobsVoice.record(t)), openBrowser(t, "Cyd", bobsVoice.record(t))
	for _, p := range []*page{ada, bob, cyd} {
		p.watchSystem()
	}
	const title = `Tides; "salt", <b>sand</b>`
	link := ada.plans(mesh, title)
	mesh.previews(t, link, title, "Begins 20")
	bob.notesTheDate(mesh, link, title)

	// She goes live, and Bob's page, which has been open all the time, may listen.
	ada.press("Start the room")
	ada.until("is in her room", phase("live"), patience)
	if now := strings.TrimPrefix(ada.location(), mesh.urls[0]); now != link {
		t.Errorf("live, the room is at %s; planned, it was at %s", now, link)
	}
	ada.press("Turn on microphone")
	ada.press("Unmute")
	ada.sees("You are heard")
	bob.fill("Your name", "Bob")
	bob.press("Start listening")
	bob.hears(adasVoice, true)
	cyd.open(mesh.urls[2] + link + "?raw")
	cyd.fill("Your name", "Cyd")
	cyd.press("Start listening")
	cyd.hears(adasVoice, true)
	ada.until("sees two who listen, and is not one of them", `document.querySelector(".crowd .count")?.textContent === "2 listening"`, patience)
	mesh.previews(t, link, title, "Live now")

	cyd.hasALockScreen(title)
	cyd.turnsAdaDown()
	ada.isAskedWhy(bob)
	ada.showsFloats(bob, cyd)
	ada.mutesAll(bob)
	ada.greetsNewcomers(bob, cyd)
	ada.handsOutALink(mesh, cyd)
	cyd.forcedColours(ada)
	ada.seesWhoTalked()

	ada.press("End room")
	ada.press("End it")
	bob.sees("This room has ended")
	bob.until("lets the screen go dark again", `window.testSystem.awake === 0`, patience)
	bob.press("See what is live")
	bob.until("finds it among those that have ended", fmt.Sprintf(`[...document.querySelectorAll(".past .card-title")].some(e => e.textContent === %q)`, title), patience)
	bob.screen("lobby-ended")
	mesh.previews(t, link, title, "This room has ended")
	for _, p := range []*page{ada, bob} { // Cyd was refused a link that had been taken back
		p.noErrors()
	}
}

// watchSystem keeps what every page of this browser asks of the system: the lock screen's buttons, and the screen to stay on.
func (p *page) watchSystem() {
	p.t.Helper()
	const script = `(() => {
		const system = (window.testSystem = { actions: {}, awake: 0, asked: 0, microphone: null });
		const set = navigator.mediaSession.setActionHandler.bind(navigator.mediaSession);
		navigator.mediaSession.setActionHandler = (action, handler) => { set(action, handler); system.actions[action] = handler; };
		navigator.mediaSession.setMicrophoneActive = (active) => { system.microphone = active; };
		const lock = { request: async () => { system.asked++; system.awake++; return { release: async () => { system.awake--; } }; } };
		Object.defineProperty(navigator, "wakeLock", { value: lock });
	})()`
	err := chromedp.Do(p.ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	}))
	if err != nil {
		p.t.Fatalf("%s: watch the system: %v", p.who, err)
	}
}

// plans makes a room for tomorrow with the form, and answers its link.
func (p *page) plans(m *mesh, title string) (link string) {
	p.t.Helper()
	p.open(m.urls[0] + "/?raw")
	p.press("Start a room")
	p.fill("What is it about?", title)
	p.tick("later")
	p.fill("Your name", "Ada")
	at := time.Now().Add(24 * time.Hour).Format("2006-01-02T15:04")
	p.run(fmt.Sprintf(`(i => { i.value = %q; i.dispatchEvent(new Event("input", {bubbles: true})); return i.value === %q })(document.querySelector("input[type=datetime-local]"))`, at, at))
	p.look("schedule")
	p.press("Schedule the room")
	p.until("sees that it is not live yet", phase("scheduled"), patience)
	p.sees("Begins")
	p.screen("scheduled-host")
	return strings.TrimPrefix(p.location(), m.urls[0])
}

// notesTheDate finds the room among those to come, on another node, and takes the file for the calendar.
func (p *page) notesTheDate(m *mesh, link, title string) {
	p.t.Helper()
	dir := p.t.TempDir()
	err := chromedp.Do(p.ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir})
		return err
	}))
	if err != nil {
		p.t.Fatalf("%s: downloads: %v", p.who, err)
	}
	p.open(m.urls[1] + "/?raw")
	p.sees("Coming up")
	p.sees(title)
	p.screen("lobby-upcoming")
	p.clickOn(`//a[contains(., "Tides;")]`)
	p.until("sees that it is not live yet", phase("scheduled"), patience)
	p.sees("Begins")
	p.press("Add to calendar")
	id := strings.TrimPrefix(link, "/r/")
	file := filepath.Join(dir, "rotunda-"+id+".ics")
	var got []byte
	until(p.t, "the calendar's file is there", func() bool {
		got, err = os.ReadFile(file)
		return err == nil && bytes.HasSuffix(got, []byte("END:VCALENDAR\r\n"))
	})
	unfolded := strings.ReplaceAll(string(got), "\r\n ", "")
	day := time.Now().UTC().Add(24 * time.Hour).Format("20060102")
	for _, want := range []string{
		"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n", "UID:" + id + "@rotunda\r\n", `SUMMARY:Tides\; "salt"\, <b>sand</b>` + "\r\n", "URL:" + m.urls[1] + link + "\r\n",
		"DTSTART:" + day + "T", "BEGIN:VALARM\r\n", "TRIGGER:-PT10M\r\n",
	} {
		if !strings.Contains(unfolded, want) {
			p.t.Errorf("the calendar's file lacks %q:\n%s", want, unfolded)
		}
	}
}

// previews reads the room's page on the third node as a messenger does, and looks at the picture.
func (m *mesh) previews(t *testing.T, link, title, state string) {
	t.Helper()
	tag := regexp.MustCompile(`<meta (?:property|name)="([^"]*)" content="([^"]*)" />`)
	var said map[string]string
	until(t, "the third node's preview says "+state, func() bool {
		said = map[string]string{}
		for _, f := range tag.FindAllStringSubmatch(string(fetched(t, m.urls[2]+link)), -1) {
			said[f[1]] = f[2]
		}
		return strings.HasPrefix(said["og:description"], state)
	})
	if want := `Tides; &#34;salt&#34;, &lt;b&gt;sand&lt;/b&gt;`; said["og:title"] != want || said["twitter:title"] != want || said["og:url"] != m.urls[2]+link {
		t.Errorf("tags %v, want the title %s", said, want)
	}
	if !strings.Contains(said["og:description"], "Hosted by \u2068Ada\u2069") {
		t.Errorf("the description %q does not name the host", said["og:description"])
	}
	if !strings.HasPrefix(said["og:image"], m.urls[2]+link+"/card.png") {
		t.Fatalf("the picture is at %q", said["og:image"])
	}
	b := fetched(t, said["og:image"])
	c, err := png.DecodeConfig(bytes.NewReader(b))
	if err != nil || (image.Point{X: c.Width, Y: c.Height}) != (image.Point{X: 1200, Y: 630}) || len(b) > 100_000 {
		t.Errorf("the picture has %d × %d pixels in %d bytes (%v)", c.Width, c.Height, len(b), err)
	}
	if err := os.WriteFile(filepath.Join(artefacts(t), "preview-"+strings.Fields(state)[0]+".png"), b, 0o644); err != nil {
		t.Error(err)
	}
}

func fetched(t *testing.T, url string) []byte {
	t.Helper()
	a, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", url, a.StatusCode, err)
	}
	return b
}

// run evaluates an expression, which must be true.
func (p *page) run(expression string) {
	p.t.Helper()
	if ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](expression)); err != nil || !ok {
		p.t.Fatalf("%s: not true: %s (%v)", p.who, expression, err)
	}
}

// hasALockScreen reads what the system is told to show, and presses its buttons.
func (p *page) hasALockScreen(title string) {
	p.t.Helper()
	p.run(fmt.Sprintf(`(m => m.metadata.title === %q && m.metadata.artist === "Ada" && m.metadata.artwork.length > 0 && m.playbackState === "playing")(navigator.mediaSession)`, title))
	p.run(`["seekto", "seekbackward", "seekforward", "nexttrack"].every(a => !window.testSystem.actions[a])`) // live sound has none of them
	p.run(`(window.testSystem.actions.pause(), true)`)
	p.until("has paused", `navigator.mediaSession.playbackState === "paused" && `+phase("preview"), patience)
	p.hearsNothing()
	p.run(`(window.testSystem.actions.play(), true)`)
	p.hears(adasVoice, true)
	p.run(`navigator.mediaSession.playbackState === "playing"`)
}

// turnsAdaDown makes her silent for oneself alone, and back.
func (p *page) turnsAdaDown() {
	p.t.Helper()
	slide := func(to string) {
		p.t.Helper()
		p.press("Ada, Host")
		p.run(fmt.Sprintf(`(i => { i.value = %q; i.dispatchEvent(new Event("input", {bubbles: true})); return true })(document.querySelector("dialog input[type=range]"))`, to))
		if to == "0" {
			p.look("loudness")
		}
		p.closes()
	}
	slide("0")
	p.hearsNothing()
	slide("100")
	p.hears(adasVoice, true)
}

// isAskedWhy: the other asks with a line about what, gets on stage, chooses a loudspeaker, and keeps the screen on.
func (p *page) isAskedWhy(asks *page) {
	p.t.Helper()
	asks.press("What would you like to say? (optional)")
	asks.fill("What would you like to say?", "About neap tides")
	asks.look("ask-why")
	asks.press("Ask to speak")
	p.until("reads why", `document.querySelector(".request")?.textContent.includes("About neap tides")`, patience)
	p.press("Let Bob speak")
	asks.press("Turn on microphone")
	asks.until("keeps the screen on", `window.testSystem.asked > 0 && window.testSystem.awake === 1`, patience)
	asks.press("Unmute")
	asks.until("tells the system that the microphone is open", `window.testSystem.microphone === true`, patience)
	p.hears(bobsVoice, true)
	asks.press("Microphone settings")
	asks.until("is offered loudspeakers", `[...document.querySelectorAll("label")].find(l => l.textContent.includes("Loudspeaker"))?.querySelectorAll("option").length > 1`, patience)
	asks.run(`(s => { s.selectedIndex = s.options.length - 1; s.dispatchEvent(new Event("change", {bubbles: true})); window.testSpeaker = s.value; return s.value !== "" })(
		[...document.querySelectorAll("label")].find(l => l.textContent.includes("Loudspeaker")).querySelector("select"))`)
	asks.until("plays through that one", `(e => e.length > 0 && e.every(a => a.sinkId === window.testSpeaker))([...document.querySelectorAll("audio")])`, patience)
	asks.press("Done")
	asks.hears(adasVoice, true)
}

// showsFloats: a reaction rises for who may see motion, and is only counted for who wants none.
func (p *page) showsFloats(reacts, moving *page) {
	p.t.Helper()
	moving.emulate(map[string]string{"prefers-color-scheme": "light"})
	for _, each := range []*page{p, moving} {
		each.run(`(() => { window.testAir = []; new MutationObserver(() => { for (const e of document.querySelectorAll(".float")) {
			const s = getComputedStyle(e); window.testAir.push(s.display === "none" ? "unseen" : s.animationName); } }).observe(document.querySelector(".floats"), {childList: true, subtree: true}); return true })()`)
	}
	reacts.press("React")
	reacts.press("Applause")
	moving.until("sees it float", `window.testAir.includes("float") && !window.testAir.includes("unseen")`, patience)
	moving.picture("floating")
	p.until("sees it counted, and nothing move", `window.testAir.length > 0 && window.testAir.every(a => a === "unseen")`, patience)
	moving.show(phone, "light")
}

// mutesAll silences everybody of a lower role; each may open their own microphone again.
func (p *page) mutesAll(other *page) {
	p.t.Helper()
	p.press("More")
	p.press("Mute everybody")
	p.sees("Everybody of a lower role is muted.")
	other.sees("You were muted by a host.")
	p.hearsNothing()
	other.press("Unmute")
	p.hears(bobsVoice, true)
}

// seesWhoTalked: the room's home reports twice a minute, so it is the last thing to be looked at.
func (p *page) seesWhoTalked() {
	p.t.Helper()
	p.press("More")
	p.press("Talk time")
	p.until("sees both who talked", `document.querySelectorAll(".talk li").length === 2`, time.Minute)
	p.run(`Math.abs([...document.querySelectorAll(".talk progress")].reduce((sum, e) => sum + e.value, 0) - 1) < 0.01`)
	p.look("talk-time")
	p.closes()
}

// greetsNewcomers: the host sees how many have come, says again what the room is about, and the count begins anew.
func (p *page) greetsNewcomers(others ...*page) {
	p.t.Helper()
	p.press("More")
	p.sees("have joined since the last time.")
	p.look("newcomers")
	p.press("Say again what this room is about")
	for _, o := range others {
		o.sees("This room is about:")
	}
	p.press("More")
	p.until("has nobody new", `!document.body.innerText.includes("joined since the last time")`, patience)
	p.closes()
}

// linkForSpeakers makes the room's link for speakers, and copies it.
func (p *page) linkForSpeakers() string {
	p.t.Helper()
	const shown = `[...document.querySelectorAll(".share-link .link-text")].map(e => e.textContent).find(t => t.includes("#speak=")) ?? ""`
	p.press("Share")
	p.press("Make a link for speakers")
	p.until("sees the link", `(`+shown+`) !== ""`, patience)
	p.look("share-speakers")
	link, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](shown))
	if err != nil {
		p.t.Fatal(err)
	}
	p.closes()
	return link
}

// handsOutALink makes a link for speakers: who comes by it is invited, and only if they want to; taken back, it is worth nothing.
func (p *page) handsOutALink(m *mesh, comes *page) {
	p.t.Helper()
	link := p.linkForSpeakers()
	if !strings.HasPrefix(link, m.urls[0]+"/r/") {
		p.t.Fatalf("the link for speakers is %q", link)
	}
	link = strings.Replace(link, m.urls[0], m.urls[2], 1)
	for _, good := range []bool{true, false} {
		comes.open("about:blank") // only the fragment differs: it would not be loaded anew
		comes.open(link)
		comes.press("Start listening")
		if good {
			comes.sees("Ada invites you to speak.")
			comes.run(`!location.href.includes("speak=")`)
			comes.press("Decline")
			comes.sees("Ask to speak")
			p.press("Share")
			p.press("Take the link back")
			p.sees("Make a link for speakers")
			p.closes()
			continue
		}
		comes.sees("This link for speakers works no more.")
		comes.doesNotSee("invites you")
	}
	comes.hears(adasVoice, false)
	p.press("More")
	p.press("Record of decisions")
	for _, words := range []string{"made a link for speakers", "invited Cyd", "took the link for speakers back"} {
		p.sees(words)
	}
	p.look("record-of-links")
	p.closes()
}

// forcedColours looks at both sides as somebody does whose system has colours of its own: who speaks is still marked.
func (p *page) forcedColours(other *page) {
	p.t.Helper()
	for _, each := range []*page{p, other} {
		each.emulate(map[string]string{"forced-colors": "active", "prefers-reduced-motion": "reduce"})
		each.until("sees who speaks in forced colours", `[...document.querySelectorAll("[data-speaking=true] .ring")].some(e => { const s = getComputedStyle(e, "::before"); return parseFloat(s.borderTopWidth) > 0 || parseFloat(s.outlineWidth) > 0 })`, patience)
		each.picture("forced-colours-" + strings.ToLower(each.who))
		each.show(phone, "light")
	}
}

// emulate gives the page these media features and no other.
func (p *page) emulate(features map[string]string) {
	p.t.Helper()
	params := emulation.SetEmulatedMediaParams{}
	for name, value := range features {
		params.Features = append(params.Features, &emulation.MediaFeature{Name: name, Value: value})
	}
	err := chromedp.Do(p.ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, params)
		return err
	}))
	if err != nil {
		p.t.Fatalf("%s: emulate %v: %v", p.who, features, err)
	}
}

// closes shuts the sheet with the keyboard; notes have a button of that name too.
func (p *page) closes() {
	p.t.Helper()
	p.until("has a dialog before them", `document.querySelector("dialog[open]") !== null`, patience)
	p.key(kb.Escape)
	p.until("has no dialog before them", `document.querySelector("dialog[open]") === null`, patience)
}
