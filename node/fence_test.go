package node

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

	"rotunda"
	"rotunda/node/pcm"
)

// A room that is kept in two of three regions: whoever asks the third node, which keeps the log for all, is sent on and hears;
// the third node's files, answers and links hold nothing of the room.
func TestRoomKeptInRegions(t *testing.T) {
	m := startNodes(t, 3)
	const title, name, tone = "Zanzibar minutes", "Wilhelmina", 440.0
	ada, opa := m.guest(1, name), m.guest(1, "Opa")
	var made struct {
		ID      string
		Regions []string
	}
	m.eventually("all regions are known", func() bool {
		in, err := json.Marshal(map[string]any{"title": "Probe", "regions": []string{"us-east", "ap-south", "eu-west"}})
		must(t, err)
		q, err := http.NewRequest("POST", m.urls[1]+"/v1/rooms", bytes.NewReader(in))
		must(t, err)
		q.Header.Set("Content-Type", "application/json")
		q.Header.Set("Authorization", "Bearer "+opa.Token)
		a, err := http.DefaultClient.Do(q)
		must(t, err)
		a.Body.Close()
		return a.StatusCode == http.StatusCreated
	})
	ada.do("POST", "/rooms", map[string]any{"title": title, "regions": []string{"us-east", "ap-south"}}, nil, http.StatusUnprocessableEntity)
	ada.do("POST", "/rooms", map[string]any{"title": title, "regions": []string{"eu-west", "nowhere"}}, nil, http.StatusUnprocessableEntity)
	ada.do("POST", "/rooms", map[string]any{"title": title, "regions": []string{"eu-west", "ap-south"}}, &made, http.StatusCreated)
	if !rotunda.RoomID(made.ID).Fenced() || strings.Join(made.Regions, " ") != "ap-south eu-west" {
		t.Errorf("made %+v", made)
	}

	// A browser is told where to go; the page's origin is not theirs, so they are not redirected.
	q, err := http.NewRequest("GET", m.urls[0]+"/v1/rooms/"+made.ID, nil)
	must(t, err)
	q.Header.Set("Origin", m.urls[0])
	a, err := http.DefaultClient.Do(q)
	must(t, err)
	defer a.Body.Close()
	var problem struct {
		Type  string
		Edges []struct{ URL, Region string }
	}
	must(t, json.NewDecoder(a.Body).Decode(&problem))
	if a.StatusCode != http.StatusServiceUnavailable || problem.Type != "urn:rotunda:problem:elsewhere" || len(problem.Edges) != 2 {
		t.Errorf("a browser outside: %d %+v", a.StatusCode, problem)
	}
	if a.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("a page may not read where to go")
	}
	for _, e := range problem.Edges {
		if e.Region == "us-east" {
			t.Errorf("sent to %+v", e)
		}
	}

	opa.createRoom("Open to all")
	// Bob asks outside, is sent on with his token, and hears.
	bob := m.guest(0, "Bob")
	ear := bob.listen(made.ID, 1)
	ada.sayTone(made.ID, tone)
	ada.do("DELETE", "/rooms/"+made.ID+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("Bob hears Ada", func() bool { return ear.hears(tone) })
	cyd := m.guest(2, "Cyd").listen(made.ID, 1)
	m.eventually("and so does Cyd in the other region", func() bool { return cyd.hears(tone) })
	dan := m.guest(2, "Dan")
	m.eventually("what was said can be heard again inside", func() bool {
		status, heard, _ := dan.rewind(made.ID, "seconds=10")
		return status == http.StatusOK && len(heard) > pcm.Rate && pcm.ToneAmplitude(heard[len(heard)-pcm.Rate/2:], tone) > 0.2
	})
	m.eventually("somebody stands by, inside", func() bool {
		s, err := m.nodes[1].control.Get(t.Context(), rotunda.RoomID(made.ID))
		return err == nil && s.Standby.Node == "ap-south-1"
	})

	// Whoever is cut off is sent inside still.
	for _, path := range []string{"", "/record", "/listen.opus", "/rewind.opus", "/whep", "/participants/x/mute"} {
		method := "GET"
		if path == "/whep" || strings.HasPrefix(path, "/part") {
			method = "POST"
		}
		q, err := http.NewRequest(method, m.urls[0]+"/v1/rooms/"+made.ID+path, nil)
		must(t, err)
		a, err := http.DefaultTransport.RoundTrip(q)
		must(t, err)
		a.Body.Close()
		if to := a.Header.Get("Location"); a.StatusCode != http.StatusTemporaryRedirect || !strings.HasSuffix(to, path) || strings.HasPrefix(to, m.urls[0]) {
			t.Errorf("%s %s: %d to %s", method, path, a.StatusCode, to)
		}
	}
	if in, out := m.counted(0, `rotunda_cascade_frames_total{direction="in"}`), m.counted(0, framesOut); in != 0 || out != 0 {
		t.Errorf("%v frames went to the node outside, %v from it", in, out)
	}
	admin := "http://" + m.nodes[0].admin.Addr().String()
	for _, url := range []string{m.urls[0] + "/v1/rooms", m.urls[0] + "/v1/edges?room=" + made.ID, admin + "/v1/rooms", admin + "/metrics"} {
		a, err := http.Get(url)
		must(t, err)
		b, err := io.ReadAll(a.Body)
		a.Body.Close()
		must(t, err)
		if bytes.Contains(b, []byte(title)) || bytes.Contains(b, []byte(name)) || strings.HasSuffix(url, "rooms") && bytes.Contains(b, []byte(made.ID)) {
			t.Errorf("%s tells of the room: %s", url, b)
		}
	}
	if found := holds(t, m.nodes[0].cfg.Data, "Open to all"); found == "" {
		t.Error("not even what is no secret is in the files: the search finds nothing")
	}
	for _, secret := range []string{title, name, "Probe"} {
		if found := holds(t, m.nodes[0].cfg.Data, secret); found != "" {
			t.Errorf("%q is in %s", secret, found)
		}
	}
	m.stops[1]()
	m.stops[2]()
	m.eventually("no node inside is left", func() bool {
		a, err := http.Get(m.urls[0] + "/v1/rooms/" + made.ID)
		must(t, err)
		b, _ := io.ReadAll(a.Body)
		a.Body.Close()
		return a.StatusCode == http.StatusServiceUnavailable && bytes.Contains(b, []byte("regions-away"))
	})
}

const framesOut = `rotunda_cascade_frames_total{direction="out"}`

// holds returns a file below dir that has text in it, "" where none has.
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
	must(t, err)
	return found
}
