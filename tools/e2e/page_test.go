package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestThePageOfAHost is what a room's people do beyond speaking: rules at the door, the crowd, reactions, invitations, links, turns,
// warnings, roles, the lock, the record, reports, and how a room is shared; on three nodes, every screen checked for accessibility.
func TestThePageOfAHost(t *testing.T) {
	mesh := startMesh(t)
	ada := openBrowser(t, "Ada", adasVoice.record(t))
	bob := openBrowser(t, "Bob", bobsVoice.record(t))
	cyd := openBrowser(t, "Cyd", bobsVoice.record(t))
	title := "Tides and sandbanks " + t.Name()[:4]

	ada.open(mesh.urls[0] + "/?raw")
	ada.until("has the lobby", `document.querySelector(".shimmer") === null`, patience)
	ada.press("Start a room")
	ada.fill("What is it about?", title)
	ada.fill("Your name", "Ada")
	ada.clickOn(`//summary[contains(., "More options")]`)
	ada.fill("House rules", "One at a time. Be kind.")
	ada.fill("Topics", "sea, Walks")
	ada.screen("create-more")
	ada.press("Open the room")
	ada.until("is in her room", phase("live"), patience)
	link := strings.TrimPrefix(ada.location(), mesh.urls[0])
	ada.press("Turn on microphone")
	ada.press("Unmute")
	ada.sees("You are heard")

	// Bob, in another node's lobby, finds the room by its topic, and reads the rules before he is let in.
	bob.open(mesh.urls[1] + "/?raw")
	bob.press("walks")
	bob.press(title)
	bob.sees("One at a time. Be kind.")
	bob.fill("Your name", "Bob")
	bob.screen("rules")
	bob.press("Start listening")
	bob.until("is not in without a word to the rules", `document.querySelector("[data-phase]").dataset.phase === "preview"`, patience)
	bob.tick("I will keep to the house rules")
	bob.press("Start listening")
	bob.hears(adasVoice, true)
	bob.sees("Heard at")

	// Cyd comes by a link that asks to speak: a hand is up at once, and hosts still decide.
	cyd.open(mesh.urls[2] + link + "?raw&speak")
	cyd.fill("Your name", "Cyd")
	cyd.tick("I will keep to the house rules")
	cyd.press("Start listening")
	cyd.sees("You are next")
	ada.until("sees both in the crowd", `document.querySelectorAll(".face").length === 2`, patience)
	ada.look("host-with-crowd")
	ada.press("Decline Cyd")
	cyd.sees("declined")

	// A reaction of a listener rises on the host's page, and is counted.
	bob.press("React")
	bob.press("Applause")
	bob.press("Applause")
	ada.until("sees applause", `document.querySelector(".tally")?.textContent.includes("👏")`, patience)
	bob.look("reactions")

	// Ada finds Bob in the list, invites him; he accepts.
	ada.press("See who is here")
	ada.fill("Search by name", "bo")
	ada.until("found Bob only", `document.querySelectorAll(".roster li").length === 1`, patience)
	ada.screen("people")
	ada.clickOn(`//dialog//button[contains(., "Bob")]`)
	ada.look("person-listening")
	ada.press("Invite to speak")
	bob.sees("Ada invites you to speak.")
	bob.screen("invited")
	bob.press("Come on stage")
	bob.sees("Turn on microphone")
	bob.press("Microphone settings")
	bob.press("Try the microphone")
	bob.until("sees the level of a microphone that nobody hears", `document.querySelector("meter.loudness")?.value > 0.1`, patience)
	bob.look("microphone-test")
	bob.press("Done")
	bob.until("has no dialog before him", `document.querySelector("dialog[open]") === null`, patience)

	// Bob proposes a link, which waits for Ada.
	bob.press("More")
	bob.press("Propose a link")
	bob.fill("Address", "https://example.org/tides")
	bob.fill("What is it?", "The tide table")
	bob.press("Propose a link")
	cyd.doesNotSee("The tide table")
	ada.press("Show to everybody")
	cyd.sees("The tide table")

	// Ada makes Bob a co-host, warns Cyd before everybody, and locks the room.
	ada.press("Bob, Speaker")
	ada.screen("person-on-stage")
	ada.press("Make co-host")
	bob.sees("You are now: Co-host.")
	ada.clickOn(`//section[contains(@class, "crowd")]//button[contains(., "Cyd")]`)
	ada.clickOn(`//summary[contains(., "Warn")]`)
	ada.fill("What for?", "Let others finish.")
	ada.tick("so that everybody sees it")
	ada.clickOn(`//details//button[contains(., "Warn")]`)
	cyd.sees("A host warns you: Let others finish.")
	ada.press("More")
	ada.screen("menu-of-a-host")
	ada.press("Lock the room")
	cyd.sees("Locked")

	// Turns, with the time left seen by everybody.
	ada.press("More")
	ada.press("Turns")
	ada.choose("Length of a turn", "60")
	ada.screen("turns")
	ada.press("Take turns")
	cyd.press("Ask to speak")
	cyd.sees("Your turn:")
	bob.sees("Cyd has")
	ada.press("Next")
	cyd.sees("You are listening again.")

	// A new title, told again, and the record of all that.
	ada.press("More")
	ada.press("Change title and settings")
	ada.fill("What is it about?", "Tides only")
	ada.press("Save")
	cyd.until("sees the new title", `document.querySelector("h1").textContent === "Tides only"`, patience)
	ada.press("More")
	ada.press("Say again what this room is about")
	cyd.sees("This room is about: Tides only")
	ada.press("More")
	ada.press("Record of decisions")
	ada.sees("warned Cyd")
	ada.sees("locked the room")
	ada.sees("ended the turn of Cyd")
	ada.screen("record")
	ada.press("Close")

	// Cyd reports the room; nobody in it is told. Ada shares it.
	cyd.press("More")
	cyd.press("Report this room")
	cyd.tick("Spam or fraud")
	cyd.look("report")
	cyd.press("Send the report")
	cyd.sees("Your report was sent.")
	ada.press("Share")
	ada.until("sees a code to be photographed", `document.querySelector("svg.qr path")?.getAttribute("d").length > 1000`, patience)
	ada.sees("Make a link for speakers")
	ada.screen("share")
	ada.press("Close")

	// Ada hands the room over and is a co-host from then on.
	ada.press("Bob, Co-host")
	ada.press("Hand the room over")
	ada.press("Yes, Bob is the host from now on")
	bob.sees("You are now: Host.")
	ada.sees("You are now: Co-host.")
	bob.press("End room")
	bob.press("End it")
	cyd.sees("This room has ended")
	cyd.look("ended-checked")
	for _, p := range []*page{ada, bob, cyd} {
		p.noErrors()
	}
}

// clickOn clicks what the XPath leads to.
func (p *page) clickOn(xpath string) {
	p.t.Helper()
	p.click(xpath, xpath)
}

// choose takes the option of that value in the field of that label.
func (p *page) choose(label, value string) {
	p.t.Helper()
	set := fmt.Sprintf(`(s => { s.value = %q; s.dispatchEvent(new Event("change", {bubbles: true})); return s.value === %q })([...document.querySelectorAll("label")].find(l => l.textContent.includes(%q)).querySelector("select"))`,
		value, value, label)
	if ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](set)); err != nil || !ok {
		p.t.Fatalf("%s: choose %q for %q: %v", p.who, value, label, err)
	}
}
