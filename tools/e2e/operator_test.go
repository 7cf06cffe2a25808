package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// traced is what `rotunda trace --json` says, as far as the test looks at it.
type traced struct {
	Home     string `json:"home"`
	Standby  string `json:"standby"`
	Complete bool   `json:"complete"`
	Stage    []struct {
		Name string `json:"name"`
		Node string `json:"node"`
		Live bool   `json:"live"`
	} `json:"stage"`
	Nodes []struct {
		Node      string  `json:"node"`
		Listeners int     `json:"listeners"`
		RTT       float64 `json:"listener_rtt_ms"`
		Streams   []struct {
			Track string  `json:"track"`
			Age   float64 `json:"age_ms"`
			Epoch int     `json:"epoch"`
			Ways  []struct {
				Path   []string `json:"path"`
				RTT    float64  `json:"rtt_ms"`
				Heard  bool     `json:"heard"`
				Lost   float64  `json:"lost"`
				Frames int      `json:"frames"`
			} `json:"ways"`
		} `json:"streams"`
	} `json:"nodes"`
}

// heardAt reports whether the listeners of a node are sent a program that is measured.
func (r traced) heardAt(node string) bool {
	for _, n := range r.Nodes {
		if n.Node != node || n.Listeners != 1 {
			continue
		}
		for _, s := range n.Streams {
			if s.Track != "program" || s.Age <= 0 || s.Age > 1000 {
				continue
			}
			for _, w := range s.Ways {
				if w.Heard && w.Frames > 50 && w.Lost < .05 && w.RTT > 0 && w.Path[len(w.Path)-1] == r.Home {
					return true
				}
			}
		}
	}
	return false
}

func (m *mesh) ask(t *testing.T, into any, args ...string) {
	t.Helper()
	out, err := exec.Command(filepath.Join(root(t), "bin", "rotunda"), args...).Output()
	if err != nil {
		t.Fatalf("rotunda %s: %v", strings.Join(args, " "), err)
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("rotunda %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// An operator sees, from any node's admin address, who speaks where, how audio gets to each node, and the whole mesh in a
// terminal: one of 80 columns and 24 lines, a larger one, a dumb one and a pipe.
func TestTheOperatorSeesTheMesh(t *testing.T) {
	mesh := startMesh(t)
	ada := newCaller(t, mesh.urls[0], "Ada")
	room := ada.room("Seen by the operator")
	terminal(t, "speak", mesh.urls[0]+"/r/"+room, "--token", ada.Token, "--tone", "440", "--duration", "120s")
	terminal(t, "listen", mesh.urls[2]+"/r/"+room, "--duration", "120s")
	admin, _ := mesh.row(t, 1) // has no part in the room

	var r traced
	until(t, "the room is heard where the listener is, as another node's admin address says", func() bool {
		r = traced{}
		mesh.ask(t, &r, "trace", room, "--json", "--admin", admin)
		return r.heardAt(mesh.ids[2])
	})
	if !r.Complete || r.Home != mesh.ids[0] || len(r.Stage) != 1 || r.Stage[0].Node != mesh.ids[0] || !r.Stage[0].Live {
		t.Errorf("the trace says %+v", r)
	}

	var top struct {
		Nodes []struct {
			Node  string `json:"node"`
			State string `json:"state"`
		} `json:"nodes"`
		Rooms []struct {
			Room      string   `json:"room"`
			Listeners int      `json:"listeners"`
			Age       *float64 `json:"age_ms"`
		} `json:"rooms"`
	}
	mesh.ask(t, &top, "top", "--json", "--once", "--admin", admin)
	if len(top.Nodes) != 3 || len(top.Rooms) != 1 || top.Rooms[0].Room != room || top.Rooms[0].Listeners != 1 || top.Rooms[0].Age == nil {
		t.Errorf("top says %+v", top)
	}

	// Neither a pipe nor a dumb terminal is sent a code that it would not understand, and nobody is told a secret.
	for _, args := range [][]string{{"top", "--once", "--admin", admin}, {"trace", room, "--admin", admin}} {
		out, err := exec.Command(filepath.Join(root(t), "bin", "rotunda"), args...).Output()
		if err != nil || strings.Contains(string(out), "\x1b") || !strings.Contains(string(out), "Seen by the operator") {
			t.Errorf("%v in a pipe: %v\n%q", args, err, out)
		}
		if strings.Contains(string(out), ada.Token) || strings.Contains(string(out), "eyJ") {
			t.Errorf("%v shows a token", args)
		}
	}
	mesh.inTmux(t, admin, room)
}

// inTmux looks at top in a terminal that is resized, and keeps what it shows.
func (m *mesh) inTmux(t *testing.T, admin, room string) {
	socket := filepath.Join(t.TempDir(), "tmux")
	tmux := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("tmux", append([]string{"-S", socket}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %v: %v %s", args, err, out)
		}
		return string(out)
	}
	binary := filepath.Join(root(t), "bin", "rotunda")
	config := filepath.Join(t.TempDir(), "tmux.conf")
	if err := os.WriteFile(config, []byte("set -g default-terminal screen\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// said has the terminal say how a command ended, and keeps it open: tmux itself loses the status now and then.
	said := func(command string) string { return "trap : INT; " + command + "; echo ended with $?; exec sleep 600" }
	start := func(session, with string) {
		tmux("-f", config, "new-session", "-d", "-x", "80", "-y", "24", "-s", session, said(with+binary+" top --every 500ms --admin "+admin))
	}
	defer exec.Command("tmux", "-S", socket, "kill-server").Run()
	shown := func(session, what string, words ...string) string {
		t.Helper()
		var screen string
		until(t, what, func() bool {
			screen = tmux("capture-pane", "-p", "-t", "="+session+":")
			for _, w := range words {
				if !strings.Contains(screen, w) {
					return false
				}
			}
			return true
		})
		return screen
	}
	start("top", "")
	small := shown("top", "80 columns", m.ids[2], room, "REGION", "STANDBY")
	keep(t, "top-80x24.txt", small)
	if n := strings.Count(small, "\n"); n > 24 || strings.Contains(small, "VERSION") {
		t.Errorf("%d lines on a screen of 24, or more columns than fit:\n%s", n, small)
	}
	tmux("resize-window", "-t", "=top:", "-x", "140", "-y", "40")
	large := shown("top", "140 columns", m.ids[2], room, "VERSION")
	keep(t, "top-140x40.txt", large)
	for _, l := range strings.Split(small, "\n") {
		if len([]rune(l)) > 80 {
			t.Errorf("%q is wider than the screen", l)
		}
	}
	tmux("-f", config, "new-session", "-d", "-x", "100", "-y", "24", "-s", "members", said(binary+" members --admin "+admin))
	keep(t, "members-100x24.txt", shown("members", "the members", m.ids[0], m.ids[1], m.ids[2], "alive", "ended with 0"))
	start("dumb", "env TERM=dumb ")
	keep(t, "top-dumb.txt", shown("dumb", "lines after lines in a dumb terminal", room, "seen by"))
	for _, session := range []string{"top", "dumb"} {
		tmux("send-keys", "-t", "="+session+":", "C-c")
		if end := shown(session, "the end", "ended with 0"); session == "top" && strings.Contains(end, room) {
			t.Errorf("what was there before top is not there again:\n%s", end)
		}
	}
}

// keep leaves something to look at.
func keep(t *testing.T, name, what string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(artefacts(t), name), []byte(what), 0o644); err != nil {
		t.Fatal(err)
	}
}
