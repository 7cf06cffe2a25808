package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"
)

// TestAPageGoesToTheNearestNode: whoever opens a room's link at a node that is far away listens at one that is near.
func TestAPageGoesToTheNearestNode(t *testing.T) {
	mesh := startMesh(t)
	target, err := url.Parse(mesh.urls[0])
	if err != nil {
		t.Fatal(err)
	}
	through := httputil.NewSingleHostReverseProxy(target)
	through.FlushInterval = -1 // the event feed
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(120 * time.Millisecond): // the distance that is emulated
		case <-r.Context().Done():
			return
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(far.Close)
	t.Cleanup(far.CloseClientConnections) // the feed does not end by itself

	ada := openBrowser(t, "Ada", adasVoice.record(t))
	bob := openBrowser(t, "Bob", bobsVoice.record(t))
	ada.open(mesh.urls[0] + "/?raw")
	ada.press("Start a room")
	ada.fill("What is it about?", "Near and far")
	ada.fill("Your name", "Ada")
	ada.press("Open the room")
	ada.press("Turn on microphone")
	ada.press("Unmute")
	ada.sees("You are heard")

	bob.open(far.URL + "/?raw")
	bob.press("Near and far")
	bob.until("has timed the nodes", `performance.getEntriesByType("resource").filter(e => e.name.endsWith("/v1/ping") && !e.name.startsWith(location.origin)).length >= 9`, patience)
	bob.fill("Your name", "Bob")
	bob.press("Start listening")
	bob.hears(adasVoice, true)
	bob.until("listens there", `performance.getEntriesByType("resource").some(e => e.name.endsWith("/whep") && !e.name.startsWith(location.origin))`, patience)
}
