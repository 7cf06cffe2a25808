package e2e

import (
	"context"
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// withoutUDP is a network that lets no UDP through, as far as a page can tell: it is offered what waits for TCP connections, and
// nothing else.
const withoutUDP = `const set = RTCPeerConnection.prototype.setRemoteDescription
RTCPeerConnection.prototype.setRemoteDescription = function (d) {
	const sdp = d.sdp.split("\r\n").filter((line) => !/^a=candidate:\S+ \d+ udp /i.test(line)).join("\r\n")
	return set.call(this, { type: d.type, sdp })
}`

// hidesUDP has the page's network let no UDP through from the next page on.
func (p *page) hidesUDP() {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: withoutUDP})
		return err
	})); err != nil {
		p.t.Fatal(err)
	}
}

// TestAPageHearsOverTCP: behind a firewall that lets no UDP through, a browser listens over TCP, on the same port.
func TestAPageHearsOverTCP(t *testing.T) {
	mesh := startMesh(t)
	ada := openBrowser(t, "Ada", adasVoice.record(t))
	bob := openBrowser(t, "Bob", bobsVoice.record(t))
	bob.hidesUDP()
	ada.open(mesh.urls[0] + "/?raw")
	ada.press("Start a room")
	ada.fill("What is it about?", "Behind walls")
	ada.fill("Your name", "Ada")
	ada.press("Open the room")
	ada.press("Turn on microphone")
	ada.press("Unmute")
	ada.sees("You are heard")

	bob.open(mesh.urls[1] + "/?raw")
	bob.press("Behind walls")
	bob.fill("Your name", "Bob")
	bob.press("Start listening")
	bob.hears(adasVoice, true)
}
