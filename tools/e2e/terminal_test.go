package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rotunda/node/opus"
	"rotunda/node/pcm"
)

// caller is somebody without a browser: a guest who uses the API and the terminal.
type caller struct {
	t     *testing.T
	url   string
	User  string `json:"user"`
	Token string `json:"token"`
}

func newCaller(t *testing.T, url, name string) *caller {
	t.Helper()
	c := &caller{t: t, url: url}
	c.call("POST", "/v1/guests", fmt.Sprintf(`{"name":%q}`, name), http.StatusCreated, c)
	return c
}

// call asks and expects a status; into gets the answer.
func (c *caller) call(method, path, body string, want int, into any) {
	c.t.Helper()
	status, answer := c.ask(method, path, "application/json", body)
	if status != want {
		c.t.Fatalf("%s %s: %d %s, want %d", method, path, status, answer, want)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *caller) ask(method, path, contentType, body string) (status int, answer []byte) {
	c.t.Helper()
	q, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		q.Header.Set("Content-Type", contentType)
	}
	if c.Token != "" {
		q.Header.Set("Authorization", "Bearer "+c.Token)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		c.t.Fatal(err)
	}
	defer a.Body.Close()
	answer, err = io.ReadAll(a.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return a.StatusCode, answer
}

// room opens a room whose host is c.
func (c *caller) room(title string) string { return c.hitlessRoom(title, "") }

// hitlessRoom opens a room whose sound travels so between nodes; empty: as they are configured.
func (c *caller) hitlessRoom(title, hitless string) string {
	c.t.Helper()
	body := fmt.Sprintf(`{"title":%q}`, title)
	if hitless != "" {
		body = fmt.Sprintf(`{"title":%q,"hitless":%q}`, title, hitless)
	}
	var r struct {
		ID string `json:"id"`
	}
	c.call("POST", "/v1/rooms", body, http.StatusCreated, &r)
	return r.ID
}

// terminal starts the binary and returns what it says. It is stopped when the test ends.
func terminal(t *testing.T, args ...string) *command {
	t.Helper()
	c := &command{t: t, name: "rotunda " + args[0], ended: make(chan error, 1)}
	c.cmd = exec.Command(filepath.Join(root(t), "bin", "rotunda"), args...)
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.ended <- c.cmd.Wait() }()
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	return c
}

type command struct {
	t              *testing.T
	name           string
	cmd            *exec.Cmd
	stdout, stderr lines
	ended          chan error
}

// wait waits for the end, which must be a good one.
func (c *command) wait(timeout time.Duration) string {
	c.t.Helper()
	select {
	case err := <-c.ended:
		if err != nil {
			c.t.Fatalf("%s: %v\n%s", c.name, err, c.stderr.tail(2000))
		}
	case <-time.After(timeout):
		c.t.Fatalf("%s does not end within %v:\n%s", c.name, timeout, c.stderr.tail(2000))
	}
	return c.stdout.String()
}

// listened is `rotunda listen --json`'s summary.
type listened struct {
	Expected     int     `json:"expected"`
	Missing      int     `json:"missing"`
	Late         int     `json:"late"`
	LongestGapMS float64 `json:"longest_gap_ms"`
	JoinMS       float64 `json:"join_ms"`
	Node         string  `json:"node"`
	Sessions     int     `json:"sessions"`
	Age          struct {
		P50, P95, P99 *float64
	} `json:"age_ms"`
}

// speech makes a WAV file of about ten seconds of synthetic speech, and its samples at 48 kHz.
func speech(t *testing.T) (file string, samples []float32) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "talk.wav")
	say := exec.Command("espeak-ng", "-w", file, "Good evening, and welcome to the Rotunda. Tonight we speak about great halls, and how "+
		"one voice can fill a room that has no walls at all. Raise your hand if you would like to speak.")
	if out, err := say.CombinedOutput(); err != nil {
		t.Fatalf("no speech synthesiser (make test installs espeak-ng): %v %s", err, out)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rec, err := pcm.ReadWAV(f, 60*48000)
	if err != nil {
		t.Fatal(err)
	}
	return file, pcm.Resample(rec.Samples, rec.Rate, pcm.Rate)
}

// series reads one series of a node's /metrics.
func (m *mesh) series(t *testing.T, node int, name string) float64 {
	t.Helper()
	admin, _ := m.row(t, node)
	a, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			var v float64
			if _, err := fmt.Sscan(value, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("node %d has no series %s", node, name)
	return 0
}

// until waits for a condition that comes about by itself.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after %v: %s", patience, what)
		}
	}
}

// How alike speech must be after two encodings at 32 kbit/s, a mixer and two nodes: the correlation of its 400 ms pieces,
// weighted by their energy (package pcm, Compare). Opus keeps the waveform of speech up to about 0.95 at this rate.
const correlationMin = 0.85

// missingMax is the share of the speech's energy that may be in pieces which are not found at all.
const missingMax = 0.01

// A speech file spoken on one node is heard whole on another, and once more by who comes afterwards and rewinds.
func TestSpeechFromTheTerminal(t *testing.T) {
	mesh := startMesh(t)
	talk, said := speech(t)
	ada := newCaller(t, mesh.urls[0], "Ada")
	room := ada.room("From the terminal")
	out := filepath.Join(t.TempDir(), "heard.opus")

	listen := terminal(t, "listen", mesh.urls[2]+"/r/"+room, "--out", out, "--json", "--duration", "16s")
	until(t, "the listener is there", func() bool { return mesh.series(t, 2, "rotunda_listeners") == 1 })
	speak := terminal(t, "speak", mesh.urls[0]+"/r/"+room, "--token", ada.Token, "--file", talk)
	speak.wait(60 * time.Second)
	late := filepath.Join(t.TempDir(), "late.opus")
	terminal(t, "listen", mesh.urls[2]+"/r/"+room, "--rewind", "30s", "--out", late, "--duration", "500ms").wait(60 * time.Second)
	summary := listen.wait(60 * time.Second)

	var h listened
	if err := json.Unmarshal([]byte(summary), &h); err != nil {
		t.Fatalf("summary %q: %v", summary, err)
	}
	t.Logf("summary %s", strings.TrimSpace(summary))
	if h.Missing != 0 || h.Expected < 400 {
		t.Errorf("%d of %d packets are missing", h.Missing, h.Expected)
	}
	if h.Node != "ap-south-1" {
		t.Errorf("heard on %q", h.Node)
	}
	soundsLike(t, "at once", out, said)
	soundsLike(t, "afterwards, by rewinding", late, said)
}

// soundsLike compares a file of what was heard with what was said.
func soundsLike(t *testing.T, when, file string, said []float32) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := opus.DecodeFile(bytes.NewReader(b), 60*pcm.Rate)
	if err != nil {
		t.Fatal(err)
	}
	like := pcm.Compare(said, got, len(got))
	t.Logf("heard %s: correlation %.3f over %d segments, %.1f %% of the energy missing, drift %.1f ms", when, like.Correlation, like.Segments,
		100*like.Missing, float64(like.Drift)/48)
	if like.Correlation < correlationMin {
		t.Errorf("what was heard %s correlates %.3f with what was said, want %.2f", when, like.Correlation, correlationMin)
	}
	if like.Missing > missingMax {
		t.Errorf("%.1f %% of the speech was not heard %s", 100*like.Missing, when)
	}
}
