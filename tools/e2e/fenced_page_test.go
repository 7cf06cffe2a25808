package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestThePageOfAFencedRoom: on the page of the node in us-east a host makes a room that is kept in ap-south and eu-west. Whoever
// opens its link in us-east is taken to a node inside and hears it there; nothing of it is in us-east. When no node inside is left
// the page says in every language where the room may be heard.
func TestThePageOfAFencedRoom(t *testing.T) {
	mesh := startMeshOf(t, builtBinary(t), regions)
	outside := mesh.urls[0]
	until(t, "the regions' keys are in the log", func() bool {
		status, b := newCaller(t, outside, "Opa").ask("GET", "/v1/regions", "", "")
		return status == http.StatusOK && strings.Count(string(b), `"nodes":1`) == len(regions)
	})
	ada := openBrowser(t, "Ada", adasVoice.record(t))
	ada.open(outside + "/?raw")
	ada.press("Start a room")
	ada.fill("What is it about?", fencedTitle)
	ada.fill("Your name", "Ada")
	ada.clickOn(`//summary[contains(., "More options")]`)
	ada.tick("only in some regions")
	ada.until("has the own region ticked", `document.querySelectorAll(".regions input:checked").length === 1`, patience)
	for _, region := range regions {
		ada.tick(region) // which unticks us-east
	}
	ada.screen("create-regions")
	ada.look("create-regions")
	ada.press("Open the room")
	ada.until("is in her room", phase("live"), patience)
	ada.sees("Kept in ap-south and eu-west")
	path := strings.TrimPrefix(ada.location(), outside)
	if !strings.HasPrefix(path, "/r/in-") {
		t.Fatalf("the room is at %s", ada.location())
	}
	ada.press("Turn on microphone")
	ada.press("Unmute")
	ada.sees("You are heard")

	bob := openBrowser(t, "Bob", bobsVoice.record(t))
	bob.open(outside + "/?raw")
	bob.sees("No room is live right now")
	bob.open(outside + path)
	bob.sees(fencedTitle)
	bob.fill("Your name", "Bob")
	bob.press("Start listening")
	took := bob.hears(adasVoice, true)
	fmt.Printf("fenced_page_outside_to_sound_ms %d\n", took.Milliseconds())
	bob.until("is told that he hears a node inside", `/Heard at (ap-south|eu-west)-1/.test(document.body.innerText)`, patience)
	bob.screen("fenced-listening")
	bob.look("fenced-listening")
	if n := mesh.series(t, 0, "rotunda_listeners"); n != 0 {
		t.Errorf("%v listeners in us-east", n)
	}

	mesh.kill(t, 1)
	mesh.kill(t, 2)
	cyd := openBrowser(t, "Cyd", bobsVoice.record(t))
	cyd.open(outside + path)
	cyd.sees("This room is heard in ap-south and eu-west only")
	cyd.doesNotSee(fencedTitle)
	cyd.screen("fenced-away")
	cyd.look("fenced-away")
	said := map[string]bool{}
	for _, language := range []string{"en", "es", "pt", "fr", "ar", "hi", "id"} {
		if _, err := chromedp.Run(cyd.ctx, chromedp.Evaluate[bool](fmt.Sprintf(`localStorage.setItem("rotunda.language", %q), true`, language))); err != nil {
			t.Fatal(err)
		}
		cyd.open(outside + path)
		cyd.until("says in "+language+" where the room may be heard",
			fmt.Sprintf(`document.documentElement.lang === %q && /ap-south.*eu-west/.test(document.querySelector("main.farewell h1")?.textContent)`, language), patience)
		title, err := chromedp.Run(cyd.ctx, chromedp.Evaluate[string](`document.querySelector("main.farewell h1").textContent`))
		if err != nil || said[title] {
			t.Errorf("in %s: %q (%v)", language, title, err)
		}
		said[title] = true
		cyd.look("fenced-away-" + language)
	}
}
