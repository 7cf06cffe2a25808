package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// drain empties the i-th node and waits until it has stopped.
func (m *mesh) drain(t *testing.T, i int) (seconds float64) {
	t.Helper()
	return m.drainFrom(t, i, (i+1)%len(m.ids))
}

// drainFrom is drain at the admin address of another node.
func (m *mesh) drainFrom(t *testing.T, i, by int) (seconds float64) {
	t.Helper()
	admin, _ := m.row(t, by)
	out, err := exec.CommandContext(t.Context(), filepath.Join(root(t), "bin", "rotunda"), "drain", m.ids[i], "--admin", admin, "--json").Output()
	if err != nil {
		t.Fatalf("rotunda drain %s: %v\n%s\n%s", m.ids[i], err, out, m.output.tail(3000))
	}
	var outcome struct {
		Empty   bool
		Seconds float64
	}
	if err := json.Unmarshal(out, &outcome); err != nil || !outcome.Empty {
		t.Fatalf("rotunda drain %s says %s (%v)", m.ids[i], out, err)
	}
	until(t, "its process has ended", func() bool { return m.ended(t, i) })
	return outcome.Seconds
}

func (c *command) heard(timeout time.Duration) (h listened) {
	c.t.Helper()
	summary := c.wait(timeout)
	if err := json.Unmarshal([]byte(summary), &h); err != nil {
		c.t.Fatalf("summary %q: %v", summary, err)
	}
	return h
}

// TestATerminalMoves: `rotunda listen` goes on at another node when its own is drained, and when its own dies; nobody asks it to.
func TestATerminalMoves(t *testing.T) {
	for _, c := range []struct {
		name   string
		leave  func(t *testing.T, m *mesh)
		gapMax time.Duration // a node that dies may have led the control log, which takes 1.5 s to mend and which a node needs that has not had the room yet
	}{
		{"drained", func(t *testing.T, m *mesh) { m.drain(t, 2) }, 0},
		{"killed", func(t *testing.T, m *mesh) { m.kill(t, 2) }, 3 * time.Second},
		{"hung", func(t *testing.T, m *mesh) { m.pause(t, 2) }, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			trials(t, func(t *testing.T, r *trial) {
				mesh := startMesh(t)
				if mesh.output == nil {
					t.Skip("nodes of a mesh that ran already are not stopped")
				}
				ada := newCaller(t, mesh.urls[0], "Ada")
				room := ada.room("Moving on")
				terminal(t, "speak", mesh.urls[0]+"/r/"+room, "--token", ada.Token, "--tone", "440", "--duration", "60s")
				listen := terminal(t, "listen", mesh.urls[2]+"/r/"+room, "--json", "--duration", "9s")
				until(t, "the listener hears", func() bool {
					return mesh.series(t, 2, "rotunda_listeners") == 1 && mesh.series(t, 2, "rotunda_egress_packets_total") > 50
				})
				c.leave(t, mesh)
				h := listen.heard(patience)
				r.within("listener_"+c.name+"_longest_gap", h.gap(), c.gapMax)
				fmt.Printf("listener_%s_missing_of_%d %d\n", c.name, h.Expected, h.Missing)
				if h.Sessions != 2 || h.Node == "ap-south-1" || h.Node == "" {
					t.Errorf("%d sessions, the last at %q, want a second at another node\n%s", h.Sessions, h.Node, listen.stderr.tail(2000))
				}
				if h.Expected < 350 {
					t.Errorf("only %d packets were expected", h.Expected)
				}
			})
		})
	}
}

// TestASpeakersNodeDies: `rotunda speak` comes back at another node when its own is killed or stands still, in the same role. Who was open
// is heard there, and who was muted is muted.
func TestASpeakersNodeDies(t *testing.T) {
	for _, c := range []struct {
		fault int
		muted bool
	}{{0, false}, {1, false}, {1, true}} {
		name := faults[c.fault].name
		if c.muted {
			name += "-muted"
		}
		t.Run(name, func(t *testing.T) {
			mesh := startMesh(t)
			if mesh.output == nil {
				t.Skip("nodes of a mesh that ran already are not stopped")
			}
			ada, bob := newCaller(t, mesh.urls[0], "Ada"), newCaller(t, mesh.urls[1], "Bob")
			room := ada.room("Still speaking")
			bob.stage(ada, room)
			speak := terminal(t, "speak", mesh.urls[1]+"/r/"+room, "--token", bob.Token, "--tone", "440", "--duration", "20s")
			until(t, "Bob is heard", func() bool { p, _ := ada.member(room, bob.User); return p.Live && !p.Muted })
			if c.muted {
				ada.call("POST", "/v1/rooms/"+room+"/participants/"+bob.User+"/mute", "", http.StatusOK, nil)
			}
			faults[c.fault].do(t, mesh, 1)
			mesh.comesBack(t, ada, room, bob.User, 1, c.muted, "speaker_"+name)
			if p, _ := ada.member(room, bob.User); c.muted {
				began := mesh.shut(t, p.Node)
				until(t, "a second of Bob is kept back", func() bool { return mesh.shut(t, p.Node) > began+50 })
			}
			speak.wait(60 * time.Second)
		})
	}
}

// comesBack waits until somebody on stage speaks at another node than the i-th, muted as they were; who was not is heard.
func (m *mesh) comesBack(t *testing.T, ada *caller, room, user string, i int, muted bool, what string) {
	t.Helper()
	since := time.Now()
	until(t, "the speaker is at another node", func() bool {
		p, _ := ada.member(room, user)
		return p.Live && p.Node != m.ids[i] && m.series(t, at(p.Node), "rotunda_speakers") >= 1
	})
	fmt.Printf("%s_back_ms %d 3000\n", what, time.Since(since).Milliseconds())
	p, _ := ada.member(room, user)
	if p.Muted != muted || p.Role != "speaker" {
		t.Errorf("the speaker is a %s, muted: %v; want a speaker, muted: %v", p.Role, p.Muted, muted)
	}
	passed := func() float64 { return m.series(t, at(p.Node), "rotunda_ingest_packets_total") }
	if muted {
		return
	}
	began := passed()
	until(t, "a second of the speaker passes", func() bool { return passed() > began+50 })
	if shut := m.shut(t, p.Node); shut > 10 {
		t.Errorf("%v packets were dropped as those of somebody muted", shut)
	}
}

// shut is how many packets a node has dropped as those of somebody muted.
func (m *mesh) shut(t *testing.T, node string) float64 {
	t.Helper()
	return m.series(t, at(node), `rotunda_ingest_dropped_total{reason="muted"}`)
}

type member struct {
	Muted, Live bool
	Node, Role  string
}

// member is somebody on the room's stage.
func (c *caller) member(room, user string) (m member, onStage bool) {
	c.t.Helper()
	var v struct{ Participants map[string]member }
	c.call("GET", "/v1/rooms/"+room, "", 200, &v)
	m, onStage = v.Participants[user]
	return m, onStage
}

// at is the number of a node.
func at(node string) int {
	for i, region := range regions {
		if strings.HasPrefix(node, region) {
			return i
		}
	}
	return 0
}
