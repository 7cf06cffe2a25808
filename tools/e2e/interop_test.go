package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"rotunda/node/opus"
	"rotunda/node/pcm"
)

// stacks are WebRTC implementations that share no code with ours, nor with each other.
var stacks = []string{"werift", "node-datachannel", "wrtc"}

// players are WHEP clients from npm that run in a browser.
var players = []string{"whip-whep", "webrtc-player"}

const (
	interopSeconds = 4
	interopLoud    = 0.1 // amplitude; the tone is spoken at 0.5, which is 0.35 root mean square
)

// Other people's stacks and players take a room as it is, from a node that is not the speaker's.
func TestInterop(t *testing.T) {
	folder := filepath.Join(root(t), "tools", "interop")
	if _, err := os.Stat(filepath.Join(folder, "node_modules", ".package-lock.json")); err != nil {
		t.Fatalf("the packages of tools/interop are not there: `make interop` installs them (%v)", err)
	}
	mesh := startMesh(t)
	ada := newCaller(t, mesh.urls[0], "Ada")
	room := ada.room("Open house")
	terminal(t, "speak", mesh.urls[0]+"/r/"+room, "--token", ada.Token, "--tone", "440", "--duration", "2m")
	until(t, "the speaker is there", func() bool { return mesh.series(t, 0, "rotunda_speakers") == 1 })
	bob := newCaller(t, mesh.urls[1], "Bob")
	whep := mesh.urls[1] + "/v1/rooms/" + room + "/whep"

	t.Run("stacks", func(t *testing.T) {
		var all sync.WaitGroup
		for _, s := range stacks {
			all.Go(func() { playStack(t, folder, s, whep, bob.Token) })
		}
		all.Wait()
	})
	t.Run("players", func(t *testing.T) {
		page := openBrowser(t, "Bob", adasVoice.record(t))
		site := playerSite(t, folder)
		for _, p := range players {
			page.open(site + "/?" + url.Values{"client": {p}, "whep": {whep}, "token": {bob.Token}}.Encode())
			page.press("Play")
			page.sees(p + " plays")
			page.hears(voice{440, 440}, true)
		}
	})
}

// playStack has one of play.mjs's stacks listen, and fails unless it got the tone without holes.
func playStack(t *testing.T, folder, stack, whep, token string) {
	c := exec.CommandContext(t.Context(), "node", "play.mjs", stack, whep, token, fmt.Sprint(interopSeconds))
	c.Dir = folder
	var said lines
	c.Stderr = &said
	over := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	defer over.Stop()
	out, err := c.Output()
	if err != nil {
		t.Errorf("%s: %v\n%s", stack, err, said.tail(2000))
		return
	}
	var heard struct {
		Packets  int      `json:"packets"`
		Payloads []string `json:"payloads"` // of stacks that do not decode
		Level    float64  `json:"level"`    // of those that do
	}
	if err := json.Unmarshal(out, &heard); err != nil {
		t.Errorf("%s: %v in %.200s", stack, err, out)
		return
	}
	// It listens for interopSeconds from its answer on; until the first packet it has to connect, and packets may be of 60 ms.
	if least := (interopSeconds - 2) * 50 / 3; heard.Packets < least {
		t.Errorf("%s got %d packets in %d s, want %d at least", stack, heard.Packets, interopSeconds, least)
	}
	level := heard.Level
	if len(heard.Payloads) > 0 {
		level = loudest(t, stack, heard.Payloads)
	}
	t.Logf("%s: %d packets, level %.3f", stack, heard.Packets, level)
	if level < interopLoud {
		t.Errorf("%s heard a tone of %.4f at the loudest, want %v", stack, level, interopLoud)
	}
}

// loudest decodes Opus payloads in base64, all of which must be good, and returns the greatest amplitude of the tone in them.
func loudest(t *testing.T, stack string, payloads []string) (amplitude float64) {
	decoder, err := opus.NewDecoder()
	if err != nil {
		t.Error(err)
		return 0
	}
	samples := make([]float32, opus.SamplesMax)
	for i, p := range payloads {
		b, err := base64.StdEncoding.DecodeString(p)
		if err != nil {
			t.Errorf("%s: payload %d: %v", stack, i, err)
			return 0
		}
		n, err := decoder.Decode(b, samples)
		if err != nil {
			t.Errorf("%s: payload %d of %d bytes: %v", stack, i, len(b), err)
			return 0
		}
		amplitude = max(amplitude, pcm.ToneAmplitude(samples[:n], 440))
	}
	return amplitude
}

// playerSite serves the page of the players from an origin of its own, as somebody's own web site would.
func playerSite(t *testing.T, folder string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "page.js")
	c := exec.CommandContext(t.Context(), filepath.Join(folder, "node_modules", ".bin", "esbuild"), "page.mjs", "--bundle", "--format=esm", "--log-level=warning", "--outfile="+script)
	c.Dir = folder
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("bundle the players: %v\n%s", err, out)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(folder, "page.html")) })
	mux.HandleFunc("/page.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, script) })
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	return site.URL
}
