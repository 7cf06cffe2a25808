package e2e

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// TestScreens keeps pictures of every main screen, on a phone and a desktop, light and dark, from left to right and from right to left,
// for people to look at. What it checks is that each screen can be reached, that nothing on it is wider than a small phone, and that axe
// finds nothing.
func TestScreens(t *testing.T) {
	mesh := startMesh(t)
	ada := openBrowser(t, "Ada", adasVoice.record(t))
	bob := openBrowser(t, "Bob", bobsVoice.record(t))

	ada.open(mesh.urls[0] + "/?raw")
	ada.until("has the lobby", `document.querySelector(".shimmer") === null`, patience)
	ada.screen("lobby-empty")
	ada.press("Start a room")
	ada.fill("What is it about?", "An evening with old radios")
	ada.fill("A line or two", "Valves, crystal sets and the voices that came out of them.\nBring your own stories.")
	ada.fill("Your name", "Ada Lovelace")
	ada.screen("create")
	ada.press("Open the room")
	ada.until("is in her room", phase("live"), patience)
	ada.screen("host-without-microphone")
	ada.press("Turn on microphone")
	ada.press("Unmute")
	ada.sees("You are heard")

	bob.open(mesh.urls[1] + "/?raw")
	bob.sees("An evening with old radios")
	bob.screen("lobby")
	bob.press("An evening with old radios")
	bob.fill("Your name", "Bob")
	bob.until("sees Ada", tile("Ada Lovelace", "live", "true"), patience)
	bob.screen("preview")
	bob.press("Start listening")
	bob.until("sees Ada's ring", tile("Ada Lovelace", "speaking", "true"), patience)
	bob.screen("listening")
	bob.press("Ask to speak")
	bob.sees("You are next")
	bob.screen("hand-up")
	ada.sees("Asking to speak")
	ada.until("sees the hand", `document.querySelector(".request") !== null`, patience)
	ada.screen("host-with-queue")
	ada.press("Let Bob speak")
	bob.press("Turn on microphone")
	bob.press("Unmute")
	ada.until("sees Bob's ring", tile("Bob", "speaking", "true"), patience)
	ada.screen("two-speakers")
	bob.press("Microphone settings")
	bob.screen("microphone")
	bob.press("Done")
	ada.press("Bob, Speaker")
	ada.screen("person")
	ada.press("Remove from the room")
	bob.sees("You were removed")
	bob.screen("removed")
	ada.press("End room")
	ada.screen("end")
	ada.press("End it")
	bob.open(ada.location())
	bob.sees("This room has ended")
	bob.screen("ended")
	bob.open(mesh.urls[1] + "/r/nosuchroom")
	bob.sees("There is no such room")
	bob.screen("unknown")
}

// screen checks a main screen as it is now, in English and, from right to left, in Arabic, in both sizes and both colour schemes, and keeps
// its pictures. What axe says depends on the size and on the colours, so it looks at two that have all of them.
func (p *page) screen(name string) {
	p.t.Helper()
	for _, language := range []string{"en", "ar"} {
		as := name
		if language != "en" {
			p.speaks(language)
			as += "-" + language
		}
		p.fits(as)
		for _, s := range []size{phone, desktop} {
			for _, scheme := range []string{"light", "dark"} {
				p.show(s, scheme)
				p.picture(as + "-" + s.name + "-" + scheme)
				if (s == phone) == (scheme == "light") {
					p.accessible(as + ", " + s.name + ", " + scheme)
				}
			}
		}
		p.show(phone, "light")
	}
	p.speaks("en")
}

// fits checks that nothing is wider than the narrowest phone still made. What is folded away keeps the size that it had on another screen.
func (p *page) fits(name string) {
	p.t.Helper()
	p.show(size{"small", 320, 568}, "light")
	const wide = `[...document.querySelectorAll("body *")].filter(e => e.checkVisibility() && !e.closest("svg, .hidden") && e.getBoundingClientRect().right > 321).map(e => e.className || e.tagName).join(", ")`
	if got, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](wide)); err != nil || got != "" {
		p.t.Errorf("%s: on 320 pixels these stand out: %s (%v)", name, got, err)
	}
}
