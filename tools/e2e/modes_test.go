package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestModes: each kind of room as its host chooses it in the form, the last three while it is live, and what it means on the page of the
// host and on that of a listener at another node; and how long those who ask may have to wait, on the page of each who is concerned.
func TestModes(t *testing.T) {
	mesh := startMesh(t)
	ada, bob := openBrowser(t, "Ada", adasVoice.record(t)), openBrowser(t, "Bob", bobsVoice.record(t))
	ada.open(mesh.urls[0] + "/?raw")
	ada.press("Start a room")
	ada.fill("What is it about?", "All kinds")
	ada.fill("Your name", "Ada")
	ada.clickOn(`//summary[contains(., "More options")]`)
	ada.choose("Kind of room", "lecture")
	ada.chosen("Who may ask to speak", "closed")
	ada.press("Open the room")
	ada.until("is in her room", phase("live"), patience)
	link := strings.TrimPrefix(ada.location(), mesh.urls[0])
	room := strings.TrimPrefix(link, "/r/")
	ada.press("Turn on microphone")
	ada.press("Unmute")
	ada.sees("You are heard")

	// A talk: nobody may ask.
	bob.open(mesh.urls[1] + link + "?raw")
	bob.fill("Your name", "Bob")
	bob.press("Start listening")
	bob.sees("The host takes no requests now.")
	bob.until("may not ask", mayAsk(false), patience)
	bob.look("mode-lecture")

	// Questions: Bob may ask, and how long that takes is not known before one was answered. A microphone that comes anew is muted.
	ada.becomes("qa", "everyone")
	bob.until("may ask", mayAsk(true), patience)
	bob.doesNotSee("The host takes no requests now.")
	bob.press("Ask to speak")
	bob.sees("Your hand is up. You are next.")
	bob.doesNotSee("to wait.")
	ada.sees("1 waiting to speak.")
	ada.press("Let Bob speak")
	bob.speaksUp()
	bob.open(bob.location())
	bob.press("Go on stage")
	bob.press("Turn on microphone")
	bob.sees("You are muted")

	// A conversation: who has come back speaks on. Now it is known how long an answer takes.
	ada.becomes("discussion", "everyone")
	bob.press("Unmute")
	bob.sees("You are heard")
	bob.open(bob.location())
	bob.press("Go on stage")
	bob.press("Turn on microphone")
	bob.sees("You are heard")
	ada.hears(bobsVoice, true)
	cyd, dee := newCaller(t, mesh.urls[2], "Cyd"), newCaller(t, mesh.urls[2], "Dee")
	cyd.call("POST", "/v1/rooms/"+room+"/requests", "{}", http.StatusOK, nil)
	for _, p := range []*page{ada, bob} {
		if n := p.waits("1 waiting to speak."); n < 1 || n > 10 {
			t.Errorf("%s sees a wait of %d minutes, want what Bob's took, or as long as Cyd waits already", p.who, n)
		}
	}

	// Everybody gets a turn: Cyd has one at once, only one microphone is open, and waiting is turns of the length that was set.
	ada.becomes("rotation", "everyone")
	for _, p := range []*page{ada, bob} {
		p.sees("Cyd has")
		p.until("sees nobody else's microphone open", `[...document.querySelectorAll("[data-muted=false]")].length <= 1`, patience)
	}
	ada.press("More")
	ada.press("Turns")
	ada.choose("Length of a turn", "600")
	ada.press("Take turns")
	ada.press("Next") // Cyd's was of the old length, and nobody else waits
	for _, p := range []*page{ada, bob} {
		p.sees("The next one who asks gets a turn.")
	}
	dee.call("POST", "/v1/rooms/"+room+"/requests", "{}", http.StatusOK, nil)
	ada.sees("Dee has")
	bob.press("Step down")
	bob.press("Ask to speak")
	bob.sees("Your hand is up. You are next.")
	next := bob.waits("Your hand is up. You are next.")
	cyd.call("POST", "/v1/rooms/"+room+"/requests", "{}", http.StatusOK, nil)
	for _, p := range []*page{ada, bob} {
		if last := p.waits("2 waiting to speak."); next < 1 || next > 10 || last <= next || last > 20 {
			t.Errorf("%s sees %d minutes for the last of two, and Bob %d for the first: want up to a turn of 10 minutes each", p.who, last, next)
		}
	}
	bob.look("mode-rotation")
	ada.screen("mode-rotation-host")
	ada.press("Next")
	bob.sees("Your turn:")
	ada.sees("Bob has")

	looks := openBrowser(t, "Eve", bobsVoice.record(t))
	looks.open(mesh.urls[2] + "/")
	looks.until("is told in the lobby how long that may take", `/1 waiting to speak\.\s+About \d+ minutes? to wait\./.test(document.querySelector(".rooms .card")?.innerText)`, patience)
	looks.look("lobby-busy")
}

// mayAsk is the expression that is true where the button to ask may be pressed, or may not.
func mayAsk(may bool) string {
	return fmt.Sprintf(`[...document.querySelectorAll("button")].some(b => b.textContent.includes("Ask to speak") && b.disabled === %t)`, !may)
}

// becomes makes the room one of another kind while it is live, and checks whom that lets ask.
func (p *page) becomes(mode, asking string) {
	p.t.Helper()
	p.press("More")
	p.press("Change title and settings")
	p.choose("Kind of room", mode)
	p.chosen("Who may ask to speak", asking)
	p.press("Save")
	p.until("has no dialog before them", `document.querySelector("dialog[open]") === null`, patience)
}

// chosen checks what the field of that label has.
func (p *page) chosen(label, value string) {
	p.t.Helper()
	p.until(fmt.Sprintf("has %s for %q", value, label), fmt.Sprintf(`[...document.querySelectorAll("label")].find(l => l.textContent.includes(%q))?.querySelector("select").value === %q`, label, value), patience)
}

// speaksUp turns the microphone on and opens it.
func (p *page) speaksUp() {
	p.t.Helper()
	p.press("Turn on microphone")
	p.press("Unmute")
	p.sees("You are heard")
}

// waits is how many minutes the page says that one may have to wait, behind the words.
func (p *page) waits(words string) int {
	p.t.Helper()
	about := regexp.MustCompile(regexp.QuoteMeta(words) + `\s+About (\d+) minutes? to wait\.`)
	p.until("says how long, behind "+words, fmt.Sprintf(`/%s/.test(document.body.innerText)`, about), patience)
	text, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	found := about.FindStringSubmatch(text)
	if err != nil || found == nil {
		p.t.Fatalf("%s: no %q in %s (%v)", p.who, about, text, err)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}
