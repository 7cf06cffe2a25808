package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// because opens the fold of that name in the sheet of a person, writes why, and does it.
func (p *page) because(fold, why string) {
	p.t.Helper()
	in := fmt.Sprintf(`//dialog//details[summary[contains(., %q)]]`, fold)
	p.clickOn(in + `/summary`)
	p.clickOn(in + `//input[not(@type="checkbox")]`)
	if err := chromedp.Do(p.ctx, chromedp.KeyEvent(why)); err != nil {
		p.t.Fatalf("%s: type %q: %v", p.who, why, err)
	}
	p.clickOn(in + `//button`)
	p.until("has done it", `document.querySelector("dialog[open]") === null`, patience)
}

// choosesBob opens the sheet of Bob, on stage, once no note stands before him.
func (p *page) choosesBob() {
	p.t.Helper()
	p.until("has no note before the stage", `document.querySelector(".note") === null`, patience)
	p.press("Bob, Speaker")
	p.until("has the sheet of a person", `document.querySelector("dialog[open]") !== null`, patience)
}

// unbroken fails where words have become elements, or have run.
func (p *page) unbroken() {
	p.t.Helper()
	ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](`!document.querySelector("#app script, #app b, .note img, .farewell img") && !document.title.startsWith("broken")`))
	if err != nil || !ok {
		p.t.Errorf("%s: words became elements (%v)", p.who, err)
	}
}

// TestReasons: whoever is turned down, muted, warned, removed or banned reads why, in the host's own words and as words; nobody
// else in the room does.
func TestReasons(t *testing.T) {
	mesh := startMesh(t)
	ada := openBrowser(t, "Ada", adasVoice.record(t))
	bob := openBrowser(t, "Bob", bobsVoice.record(t))
	cyd := openBrowser(t, "Cyd", bobsVoice.record(t))

	ada.open(mesh.urls[0] + "/?raw")
	ada.press("Start a room")
	ada.fill("What is it about?", "Reasons")
	ada.fill("Your name", "Ada")
	ada.press("Open the room")
	ada.until("is in her room", phase("live"), patience)
	link := strings.TrimPrefix(ada.location(), mesh.urls[0])
	for i, p := range []*page{bob, cyd} {
		p.open(mesh.urls[1+i] + link + "?raw")
		p.fill("Your name", p.who)
		p.press("Start listening")
		p.sees("Ask to speak")
	}
	told := func(said, why string) {
		t.Helper()
		bob.sees(said + why)
		bob.unbroken()
		cyd.doesNotSee(why)
	}
	inCrowd := `//section[contains(@class, "crowd")]//button[contains(., "Bob")]`

	bob.press("Ask to speak")
	ada.sees("1 waiting to speak.")
	ada.clickOn(inCrowd)
	ada.because("Decline and say why", `<img src=x onerror="document.title='broken'">`)
	told("Your request to speak was declined: ", `<img src=x onerror="document.title='broken'">`)
	bob.look("declined-with-a-reason")

	bob.press("Ask to speak")
	ada.press("Let Bob speak")
	bob.press("Turn on microphone")
	bob.press("Unmute")
	bob.sees("You are heard")
	ada.until("sees Bob's open microphone", tile("Bob", "muted", "false"), patience)
	ada.choosesBob()
	ada.because("Mute and say why", `<b>Your radio</b> is on.`)
	told("You were muted by a host: ", `<b>Your radio</b> is on.`)
	ada.until("sees that he is muted", tile("Bob", "muted", "true"), patience)

	ada.choosesBob()
	ada.because("Warn", `Let others finish & {reason}`)
	told("A host warns you: ", `Let others finish & {reason}`)

	remove := func(why string, ban bool) {
		ada.fill("Why (optional)", why)
		if ban {
			ada.tick("and keep out for good")
		}
		ada.press("Remove from the room")
	}
	ada.choosesBob()
	remove(`Third time. "><script>document.title='broken'</script>`, false)
	bob.sees("You were removed from this room")
	told("The host's reason: ", `Third time. "><script>document.title='broken'</script>`)
	bob.look("removed-with-a-reason")

	bob.press("Come back to listen")
	bob.sees("Ask to speak")
	ada.clickOn(inCrowd)
	remove("مرحبا <b>نور</b>", true)
	bob.sees("You cannot come back to this room")
	bob.sees("The host's reason: ")
	bob.sees("مرحبا <b>نور</b>")
	bob.unbroken()
	cyd.doesNotSee("<b>نور</b>")
}
