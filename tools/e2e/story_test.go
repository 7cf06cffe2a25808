package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestAHostSpeaksOnOneNodeAndIsHeardOnAnother is the main job, as people do it: two browsers on two nodes, real buttons, and
// tones found in what the other side plays.
func TestAHostSpeaksOnOneNodeAndIsHeardOnAnother(t *testing.T) {
	mesh := startMesh(t)
	ada := openBrowser(t, "Ada", adasVoice.record(t))
	bob := openBrowser(t, "Bob", bobsVoice.record(t))
	const title = "An evening with old radios"

	// Ada opens a room on the first node. Her microphone is off, then on and muted, then open.
	ada.open(mesh.urls[0] + "/?raw")
	ada.press("Start a room")
	ada.fill("What is it about?", title)
	ada.fill("Your name", "Ada")
	ada.press("Open the room")
	ada.until("is in her room", phase("live"), patience)
	ada.press("Turn on microphone")
	ada.sees("ou are muted") // or, as the fake microphone is never silent: "You are talking, but you are muted."
	ada.press("Unmute")
	ada.sees("You are heard")

	// Bob finds it in another node's lobby, looks in without a microphone, and taps once.
	bob.open(mesh.urls[1] + "/?raw")
	bob.sees(title)
	bob.press(title)
	bob.sees("Hosted by Ada")
	bob.until("is only looking", phase("preview"), patience)
	bob.fill("Your name", "Bob")
	bob.press("Start listening")
	took := bob.hears(adasVoice, true)
	t.Logf("Bob hears Ada %v after the tap", took.Round(time.Millisecond))
	bob.until("sees Ada's ring", tile("Ada", "speaking", "true"), patience)
	bob.until("says that he listens", phase("live"), patience)

	// What Ada mutes is not heard any more, and Bob sees it.
	ada.press("Mute")
	took = bob.hearsNothing()
	t.Logf("Bob hears silence %v after Ada's tap", took.Round(time.Millisecond))
	bob.until("sees that Ada is muted", tile("Ada", "muted", "true"), patience)
	bob.until("sees no ring", tile("Ada", "speaking", "false"), patience)

	// Bob asks, Ada lets him in, and he is heard.
	bob.press("Ask to speak")
	bob.sees("Your hand is up. You are next.")
	ada.press("Let Bob speak")
	bob.press("Turn on microphone")
	bob.sees("ou are muted")
	ada.until("sees Bob on stage, muted", tile("Bob", "muted", "true"), patience)
	bob.press("Unmute")
	bob.sees("You are heard")
	took = ada.hears(bobsVoice, true)
	t.Logf("Ada hears Bob %v after he is told so", took.Round(time.Millisecond))
	ada.until("sees Bob's ring", tile("Bob", "speaking", "true"), patience)

	// On stage they hear each other, and nobody hears an echo of themselves.
	ada.press("Unmute")
	bob.hears(adasVoice, true)
	bob.until("sees Ada's ring", tile("Ada", "speaking", "true"), patience)
	for _, h := range bob.listen(bobsVoice[:]...) {
		if h.Level > loud && h.Above[0] > clear && h.Above[1] > clear {
			t.Errorf("Bob hears himself: %+v", h)
		}
	}

	// Stepping down, Bob goes on listening; when the room ends, everybody is told.
	bob.press("Step down")
	bob.sees("Ask to speak")
	bob.hears(adasVoice, true)
	ada.press("End room")
	ada.press("End it")
	ada.sees("This room has ended")
	bob.sees("This room has ended")
	bob.hearsNothing()
	bob.press("See what is live")
	bob.until("finds the lobby without the room", `document.querySelector(".rooms") !== null && !document.body.innerText.includes("`+title+`")`, patience)
}

// TestAHostKeepsOrder is what a host does to somebody on stage, and what that person sees.
func TestAHostKeepsOrder(t *testing.T) {
	mesh := startMesh(t)
	ada := openBrowser(t, "Ada", adasVoice.record(t))
	bob := openBrowser(t, "Bob", bobsVoice.record(t))

	ada.open(mesh.urls[2] + "/?raw")
	ada.press("Start a room")
	ada.fill("What is it about?", "Order, please")
	ada.fill("Your name", "Ada")
	ada.press("Open the room")
	ada.until("is in her room", phase("live"), patience)
	room := ada.location()

	bob.open(mesh.urls[0] + strings.TrimPrefix(room, mesh.urls[2]) + "?raw")
	bob.fill("Your name", "Bob")
	bob.press("Start listening")
	bob.press("Ask to speak")
	bob.press("Take hand down")
	ada.sees("Nobody is asking to speak.")
	bob.press("Ask to speak")
	ada.sees("1 waiting to speak.") // nobody has had an answer yet: how long it takes is not known
	ada.press("Decline Bob")
	bob.sees("Your request to speak was declined.")
	bob.press("Ask to speak")
	ada.sees("1 waiting to speak. About 1 minute to wait.") // by how long the last answer took
	bob.sees("You are next. About 1 minute to wait.")
	cyd := openBrowser(t, "Cyd", bobsVoice.record(t)) // looks into a third node's lobby
	cyd.open(mesh.urls[1])
	cyd.sees("1 waiting to speak. About 1 minute to wait.")
	ada.press("Let Bob speak")
	bob.press("Turn on microphone")
	bob.press("Unmute")
	ada.hears(bobsVoice, true)
	ada.doesNotSee("waiting to speak")

	// Muted by the host, Bob is silent at once and may speak again when he wants to.
	ada.press("Bob, Speaker")
	ada.press("Mute")
	bob.sees("You were muted by a host.")
	ada.hearsNothing()
	bob.press("Unmute")
	ada.hears(bobsVoice, true)

	// Removed for good, he sees so, and his link no longer lets him in.
	ada.press("Bob, Speaker")
	ada.tick("and keep out for good")
	ada.press("Remove from the room")
	bob.sees("You cannot come back to this room")
	ada.hearsNothing()
	bob.hearsNothing()
	bob.open(bob.location())
	bob.sees("You cannot come back to this room")
}

func (p *page) location() string {
	p.t.Helper()
	url, err := chromedp.Run(p.ctx, chromedp.Location())
	if err != nil {
		p.t.Fatalf("%s: location: %v", p.who, err)
	}
	return url
}

// tick clicks the check box of that label.
func (p *page) tick(label string) {
	p.t.Helper()
	p.click(`//label[contains(normalize-space(.), "`+label+`")]//input`, label)
}
