package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// seriesOf is the names of all series of a node's /metrics that have a value.
func (m *mesh) seriesOf(t *testing.T, node int) map[string]bool {
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
	names := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^([a-z_]+)[{ ]`).FindAllStringSubmatch(string(body), -1) {
		names[found[1]] = true
	}
	return names
}

// asked is every series that a rule or a dashboard of deploy/ names.
func asked(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, pattern := range []string{"prometheus/rules.yml", "grafana/*.json"} {
		files, err := filepath.Glob(filepath.Join(root(t), "deploy", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("deploy/%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range regexp.MustCompile(`\b(rotunda|process|go)_[a-z_]+`).FindAllString(string(b), -1) {
				names[name] = true
			}
		}
	}
	return names
}

// What a newcomer does first: start the mesh, look at its pages and members, open a room, hear it elsewhere, empty the node that they
// hear it on, and point Prometheus at it. Everything that the dashboards and alerts of deploy/ ask for is there.
func TestNewcomer(t *testing.T) {
	mesh := startMesh(t)
	for _, url := range mesh.urls {
		if !answers(t.Context(), url+"/") {
			t.Errorf("%s has no page", url)
		}
	}
	admin, _ := mesh.row(t, 0)
	var members []struct{ ID, State, Version string }
	until(t, "three nodes are alive", func() bool {
		members = nil
		mesh.ask(t, &members, "members", "--json", "--admin", admin)
		alive := 0
		for _, m := range members {
			if m.State == "alive" && m.Version != "" {
				alive++
			}
		}
		return alive == 3
	})
	speak := terminal(t, "speak", mesh.urls[0], "--tone", "440", "--title", "A first room")
	link := regexp.MustCompile(`http://\S+/r/\S+`)
	until(t, "speak prints the room's link", func() bool { return link.MatchString(speak.stdout.String()) })
	room := link.FindString(speak.stdout.String())
	room = room[strings.LastIndex(room, "/")+1:]
	listen := terminal(t, "listen", mesh.urls[2]+"/r/"+room, "--json", "--duration", "20s")
	until(t, "the room is heard on another node", func() bool { return mesh.series(t, 2, "rotunda_egress_packets_total") > 100 })

	have := map[string]bool{}
	for i := range mesh.ids {
		for name := range mesh.seriesOf(t, i) {
			have[name] = true
		}
	}
	want := asked(t)
	for name := range want {
		if !have[name] {
			t.Errorf("deploy/ asks for %s, which no node of a running mesh has", name)
		}
	}
	if len(want) < 40 {
		t.Errorf("only %d series are asked for", len(want))
	}

	var gone struct {
		Node  string
		Empty bool
	}
	mesh.ask(t, &gone, "drain", mesh.ids[2], "--json", "--admin", admin)
	if gone.Node != mesh.ids[2] || !gone.Empty {
		t.Errorf("the drain says %+v", gone)
	}
	until(t, "the node has ended", func() bool { return mesh.ended(t, 2) })
	var h listened
	if err := json.Unmarshal([]byte(listen.wait(60*time.Second)), &h); err != nil {
		t.Fatal(err)
	}
	if h.Missing != 0 || h.Node == mesh.ids[2] || h.Expected < 500 {
		t.Errorf("the listener noticed the drain: %+v", h)
	}
	t.Logf("%d packets, %d missing, longest gap %.0f ms; %d series asked for", h.Expected, h.Missing, h.LongestGapMS, len(want))
}
