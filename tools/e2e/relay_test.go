package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/pion/turn/v5"
)

// relayOnly is a network that lets media out to a relay and to nothing else, as far as a page can tell.
const relayOnly = `const Direct = RTCPeerConnection
RTCPeerConnection = class extends Direct {
	constructor(config) { super({ ...config, iceTransportPolicy: "relay" }) }
}`

// relay is a TURN server as an operator runs one (coturn with use-auth-secret), and counts what it carries.
type relay struct {
	url   string
	bytes atomic.Int64
}

type countedConn struct {
	net.PacketConn
	bytes *atomic.Int64
}

func (c countedConn) WriteTo(b []byte, to net.Addr) (int, error) {
	c.bytes.Add(int64(len(b)))
	return c.PacketConn.WriteTo(b, to)
}

func startRelay(t *testing.T, secret string) *relay {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{url: "turn:" + conn.LocalAddr().String() + "?transport=udp"}
	s, err := turn.NewServer(turn.ServerConfig{
		Realm: "rotunda", AuthHandler: turn.LongTermTURNRESTAuthHandler(secret, nil),
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn:            countedConn{conn, &r.bytes},
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return r
}

// TestAPageHearsByARelay: behind a network that lets media out to a relay only, a browser that is told of one listens by it, with the password
// that the node has made for it; who hears without is not taken round by the relay.
func TestAPageHearsByARelay(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "turn.secret")
	if err := os.WriteFile(secret, []byte("north of everywhere\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := startRelay(t, "north of everywhere")
	mesh := startMeshOf(t, builtBinary(t), regions[:2])
	for i, id := range mesh.ids {
		mesh.terminate(t, i)
		file := filepath.Join(mesh.data, id, "node.yaml")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, fmt.Appendf(b, "turn: {urls: [%q], secret_file: %q}\n", r.url, secret), 0o600); err != nil {
			t.Fatal(err)
		}
		mesh.restart(t, i)
	}
	ada := openBrowser(t, "Ada", adasVoice.record(t))
	bob := openBrowser(t, "Bob", bobsVoice.record(t))
	if err := chromedp.Do(bob.ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: relayOnly})
		return err
	})); err != nil {
		t.Fatal(err)
	}
	ada.open(mesh.urls[0] + "/?raw")
	ada.press("Start a room")
	ada.fill("What is it about?", "Behind walls")
	ada.fill("Your name", "Ada")
	ada.press("Open the room")
	ada.press("Turn on microphone")
	ada.press("Unmute")
	ada.sees("You are heard")
	if carried := r.bytes.Load(); carried > 0 {
		t.Errorf("the relay has carried %d bytes for somebody who needs none", carried)
	}

	bob.open(mesh.urls[1] + "/?raw")
	bob.press("Behind walls")
	bob.fill("Your name", "Bob")
	bob.press("Start listening")
	bob.hears(adasVoice, true)
	until(t, "what he hears comes by the relay", func() bool { return r.bytes.Load() > 10_000 })
}
