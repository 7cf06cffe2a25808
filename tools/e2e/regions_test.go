package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What is said of a room that is kept in regions, and must not be found outside.
const (
	fencedTitle = "Minutes of Zanzibar"
	fencedHost  = "Wilhelmina"
)

// TestARoomIsKeptInItsRegions: a room is made in eu-west, and kept there and in ap-south. `rotunda listen` and `rotunda speak`
// that are given the address of the node in us-east are sent on, hear and are heard; when the home's node is killed the other
// node inside takes over. The node in us-east keeps the control log for all, and nothing that it stores, says or carries
// tells more than that there is such a room.
func TestARoomIsKeptInItsRegions(t *testing.T) { trials(t, keptInItsRegions) }

func keptInItsRegions(t *testing.T, r *trial) {
	mesh := startMesh(t)
	if mesh.output == nil {
		t.Skip("nodes of a mesh that ran already are not stopped")
	}
	ada, opa := newCaller(t, mesh.urls[1], fencedHost), newCaller(t, mesh.urls[1], "Opa")
	until(t, "the regions' keys are in the log", func() bool {
		status, _ := opa.ask("POST", "/v1/rooms", "application/json", `{"title":"Probe","regions":["us-east","eu-west","ap-south"]}`)
		return status == http.StatusCreated
	})
	ada.call("POST", "/v1/rooms", `{"title":"x","regions":["eu-west","atlantis"]}`, http.StatusUnprocessableEntity, nil)
	open := opa.room("Open to the world")
	speak := terminal(t, "speak", mesh.urls[1], "--token", ada.Token, "--title", fencedTitle, "--regions", "ap-south,eu-west",
		"--tone", "440", "--duration", "120s", "--keep")
	room := ""
	until(t, "the room is open", func() bool {
		_, id, ok := strings.Cut(strings.TrimSpace(speak.stdout.String()), "/r/")
		room = id
		return ok
	})
	outside := mesh.urls[0] + "/r/" + room

	h := terminal(t, "listen", outside, "--json", "--duration", "4s").heard(patience)
	if h.Expected < 150 || h.Missing > 0 || h.Node == "" || at(h.Node) == 0 {
		t.Errorf("asked outside, the listener hears %+v", h)
	}
	mesh.tellsWhereToGo(t, room)

	bob := newCaller(t, mesh.urls[0], "Bob")
	terminal(t, "speak", outside, "--token", bob.Token, "--tone", "880", "--duration", "60s")
	until(t, "Bob has asked", func() bool {
		var v struct{ Requests map[string]any }
		ada.call("GET", "/v1/rooms/"+room, "", http.StatusOK, &v)
		return v.Requests[bob.User] != nil
	})
	ada.call("POST", "/v1/rooms/"+room+"/requests/"+bob.User+"/approve", "{}", http.StatusOK, nil)
	until(t, "Bob speaks, inside", func() bool {
		p, _ := ada.member(room, bob.User)
		return p.Live && !p.Muted && at(p.Node) != 0
	})
	until(t, "the node inside stands by", func() bool { home, standby := ada.placed(room); return home == "eu-west-1" && standby == "ap-south-1" })

	sent := func() float64 {
		return mesh.series(t, 1, "rotunda_egress_packets_total") + mesh.series(t, 2, "rotunda_egress_packets_total")
	}
	before := sent()
	listen := terminal(t, "listen", outside, "--json", "--duration", "12s")
	until(t, "there is a listener", func() bool {
		return mesh.series(t, 1, "rotunda_listeners")+mesh.series(t, 2, "rotunda_listeners") == 1
	})
	until(t, "a second of sound from the old home", func() bool { return sent() > before+50 })
	mesh.kill(t, 1)
	h = listen.heard(patience)
	const gapMax = 3 * time.Second // as for any listener whose node may be the one that died (TestATerminalMoves)
	r.within("fenced_home_killed_longest_gap", h.gap(), gapMax)
	if h.Expected < 400 || h.Node != "ap-south-1" {
		t.Errorf("after the home's end the listener is at %q, expected %d packets and had a gap of %.0f ms\n%s", h.Node, h.Expected, h.LongestGapMS, listen.stderr.tail(2000))
	}
	h = terminal(t, "listen", outside, "--json", "--duration", "3s").heard(patience)
	if h.Expected < 100 || h.Node != "ap-south-1" {
		t.Errorf("a newcomer, asked outside, hears %+v", h)
	}
	mesh.knowsNothing(t, room, open)
}

// tellsWhereToGo asks the node outside for the room, as a page does and as a program does.
func (m *mesh) tellsWhereToGo(t *testing.T, room string) {
	t.Helper()
	direct := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, c := range []struct{ method, path string }{
		{"GET", ""}, {"PATCH", ""}, {"GET", "/events"}, {"GET", "/log"}, {"GET", "/participants"}, {"POST", "/requests"}, {"POST", "/end"},
		{"POST", "/whip"}, {"POST", "/whep"}, {"GET", "/listen.opus"}, {"POST", "/reactions"},
	} {
		for _, page := range []bool{false, true} {
			q, err := http.NewRequestWithContext(t.Context(), c.method, m.urls[0]+"/v1/rooms/"+room+c.path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			if page {
				q.Header.Set("Origin", m.urls[0])
			}
			a, err := direct.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(a.Body)
			if err := errors.Join(err, a.Body.Close()); err != nil {
				t.Fatal(err)
			}
			var problem struct {
				Type  string
				Edges []struct{ Region string }
			}
			switch to := a.Header.Get("Location"); {
			case !page && (a.StatusCode != http.StatusTemporaryRedirect || to != m.urls[1]+q.URL.Path && to != m.urls[2]+q.URL.Path):
				t.Errorf("%s %s: %d to %q", c.method, c.path, a.StatusCode, to)
			case page && (a.StatusCode != http.StatusServiceUnavailable || json.Unmarshal(body, &problem) != nil ||
				problem.Type != "urn:rotunda:problem:elsewhere" || len(problem.Edges) != 2):
				t.Errorf("%s %s of a page: %d %s", c.method, c.path, a.StatusCode, body)
			}
			for _, e := range problem.Edges {
				if e.Region == regions[0] {
					t.Errorf("%s %s sends a page to %v", c.method, c.path, problem.Edges)
				}
			}
		}
	}
}

// knowsNothing looks through all that the node outside stores and answers, and what crossed its links.
func (m *mesh) knowsNothing(t *testing.T, room, open string) {
	t.Helper()
	admin, _ := m.row(t, 0)
	for _, url := range []string{
		m.urls[0] + "/v1/rooms", m.urls[0] + "/v1/rooms?state=ended", m.urls[0] + "/v1/edges?room=" + room, "http://" + admin + "/v1/rooms",
		"http://" + admin + "/metrics", "http://" + admin + "/v1/log/verify", m.urls[0] + "/r/" + room,
		m.urls[2] + "/r/" + room, // inside too: whoever shows previews of links keeps them elsewhere
	} {
		a, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(a.Body)
		if err := errors.Join(err, a.Body.Close()); err != nil || a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", url, a.StatusCode, err)
		}
		if bytes.Contains(body, []byte(fencedTitle)) || bytes.Contains(body, []byte(fencedHost)) ||
			strings.Contains(url, "/v1/rooms") && bytes.Contains(body, []byte(room)) {
			t.Errorf("%s tells of the room: %s", url, body)
		}
		if url == m.urls[0]+"/v1/rooms" && !bytes.Contains(body, []byte(open)) {
			t.Errorf("not even the open room is listed: %s", body)
		}
	}
	for _, direction := range []string{"in", "out"} {
		if n := m.series(t, 0, `rotunda_cascade_frames_total{direction="`+direction+`"}`); n != 0 {
			t.Errorf("%.0f frames crossed the links of the node outside: %s", n, direction)
		}
	}
	dir := filepath.Join(m.data, m.ids[0])
	if found := holds(t, dir, "Open to the world"); found == "" {
		t.Error("not even the open room's title is in the files: the search shows nothing")
	}
	if found := holds(t, dir, room); found == "" {
		t.Error("not even the room's id is in the files: this node does not keep the log")
	}
	for _, secret := range []string{fencedTitle, fencedHost, "Probe"} {
		if found := holds(t, dir, secret); found != "" {
			t.Errorf("%q is in %s", secret, found)
		}
	}
	if strings.Contains(m.output.String(), fencedTitle) {
		t.Error("a node says the room's title in its log")
	}
}

// holds returns a file below dir that has the text in it, "" where none has.
func holds(t *testing.T, dir, text string) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a file of the log that came and went
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if bytes.Contains(b, []byte(text)) {
			found = path
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
