package e2e

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestAListenersNodeDies: the page notices by itself, moves to another node, and its listener hears on. Nobody else notices.
func TestAListenersNodeDies(t *testing.T) {
	mesh := startMesh(t)
	if mesh.output == nil {
		t.Skip("a mesh that ran already is not killed")
	}
	ada := openBrowser(t, "Ada", adasVoice.record(t))
	bob := openBrowser(t, "Bob", bobsVoice.record(t))

	ada.open(mesh.urls[0] + "/?raw")
	ada.press("Start a room")
	ada.fill("What is it about?", "The show goes on")
	ada.fill("Your name", "Ada")
	ada.press("Open the room")
	ada.press("Turn on microphone")
	ada.press("Unmute")
	ada.sees("You are heard")
	free := bob.openAndStay(mesh.urls[2]+"/?raw", mesh)
	bob.press("The show goes on")
	bob.fill("Your name", "Bob")
	bob.press("Start listening")
	bob.hears(adasVoice, true)
	free()

	const playing = `document.querySelector("audio").srcObject.getAudioTracks()[0].id`
	before, err := chromedp.Run(bob.ctx, chromedp.Evaluate[string](playing))
	if err != nil {
		t.Fatal(err)
	}
	mesh.kill(t, 2)
	died := time.Now()
	bob.until("has a session on another node", `performance.getEntriesByType("resource").some(e => e.name.endsWith("/whep") && !e.name.startsWith(location.origin))`, patience)
	bob.until("plays what comes from there", playing+` !== "`+before+`"`, patience)
	bob.until("is back", phase("live"), patience)
	bob.hears(adasVoice, true)
	t.Logf("Bob hears Ada again %v after his node died", time.Since(died).Round(time.Millisecond))
	bob.until("sees Ada's ring", tile("Ada", "speaking", "true"), patience)

	// He is a full member of the room there.
	bob.press("Ask to speak")
	bob.sees("Your hand is up. You are next.")
	ada.press("Let Bob speak")
	bob.press("Turn on microphone")
	bob.press("Unmute")
	ada.hears(bobsVoice, false)
	ada.until("was not disturbed", phase("live"), patience)
}
