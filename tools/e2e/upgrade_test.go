package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"rotunda"
)

// previous is the release before this one: the other half of a rolling upgrade. To be raised with every release.
const previous = "5c0b844b85b1f056f4b38a053beef44992281e63"

// previousBinary builds the release before this one.
func previousBinary(t *testing.T) string {
	t.Helper()
	source, binary := t.TempDir(), filepath.Join(t.TempDir(), "rotunda")
	archive := filepath.Join(t.TempDir(), "previous.tar")
	for _, c := range []*exec.Cmd{
		exec.Command("git", "-C", root(t), "archive", "--output", archive, previous),
		exec.Command("tar", "-xf", archive, "-C", source),
		exec.Command("go", "build", "-C", source, "-trimpath", "-o", binary, "./cmd/rotunda"), // without its web client, which nobody opens here
	} {
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s(the release before this one is built from the history: is this a shallow clone?)", c.Args, err, out)
		}
	}
	return binary
}

// terminate asks the process of the i-th node to end, and waits until it has.
func (m *mesh) terminate(t *testing.T, i int) {
	t.Helper()
	_, pid := m.row(t, i)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, "the node has ended", func() bool { return m.ended(t, i) })
}

// TestRollingUpgrade replaces the nodes of a mesh of the previous release one by one, while somebody speaks and others listen at
// nodes old and new, and drains and restarts nodes of the new release in ten rounds.
func TestRollingUpgrade(t *testing.T) { trials(t, rollingUpgrade) }

func rollingUpgrade(t *testing.T, r *trial) {
	if os.Getenv("ROTUNDA_URLS") != "" {
		t.Skip("nodes of a mesh that ran already are not stopped")
	}
	mesh := startMeshOf(t, previousBinary(t), regions)
	ada := newCaller(t, mesh.urls[0], "Ada")
	room := ada.room("Under load")
	terminal(t, "speak", mesh.urls[0]+"/r/"+room, "--token", ada.Token, "--tone", "440", "--duration", "300s")
	listen := func(node int, seconds int) *command {
		t.Helper()
		before := mesh.series(t, node, "rotunda_join_seconds_count")
		c := terminal(t, "listen", mesh.urls[node]+"/r/"+room, "--json", "--duration", fmt.Sprintf("%ds", seconds))
		until(t, "one more hears something", func() bool { return mesh.series(t, node, "rotunda_join_seconds_count") > before })
		return c
	}
	whole := func(what string, c *command) {
		t.Helper()
		h := c.heard(60e9)
		r.complete("upgrade: "+what, h.Missing, h.Expected, rotunda.FrameDuration)
		if h.Expected < 100 {
			t.Errorf("%s: %d packets were expected\n%s", what, h.Expected, c.stderr.tail(1000))
		}
	}

	// A bystander is replaced; then a new node serves what an old home mixes.
	bystander := listen(1, 12)
	mesh.terminate(t, 2)
	mesh.restart(t, 2)
	whole("old node listens while a bystander is replaced", bystander)
	whole("new node listens to an old home", listen(2, 4))

	// The second node is replaced.
	bystander = listen(2, 12)
	mesh.terminate(t, 1)
	mesh.restart(t, 1)
	whole("new node listens to an old home while a bystander is replaced", bystander)

	// The other way round: an old node serves what a new home mixes.
	bob := newCaller(t, mesh.urls[1], "Bob")
	other := bob.room("The other way round")
	terminal(t, "speak", mesh.urls[1]+"/r/"+other, "--token", bob.Token, "--tone", "660", "--duration", "8s")
	until(t, "Bob is heard", func() bool { p, _ := bob.member(other, bob.User); return p.Live && !p.Muted })
	whole("old node listens to a new home", terminal(t, "listen", mesh.urls[0]+"/r/"+other, "--json", "--duration", "4s"))

	// Ten rounds, of which seven with an old home: a node is drained under its listener and starts again.
	round := 0
	drained := func(i, by int) {
		t.Helper()
		c := listen(i, 8)
		seconds := mesh.drainFrom(t, i, by)
		mesh.restart(t, i)
		h := c.heard(60e9)
		round++
		fmt.Printf("upgrade: round %d, %s drained under its listener in %.1f s: missing of %d: %d 0, longest_gap_ms %.0f\n",
			round, regions[i], seconds, h.Expected, h.Missing, h.LongestGapMS)
		r.complete("upgrade: drained", h.Missing, h.Expected, rotunda.FrameDuration)
		if h.Sessions < 2 {
			t.Errorf("drained: %d sessions\n%s", h.Sessions, c.stderr.tail(1500))
		}
	}
	for i := range 7 {
		drained(2-i%2, 1+i%2) // the old one knows no such order
	}

	// The home itself, which is old and cannot be drained: the speaker comes back elsewhere.
	across := listen(2, 14)
	mesh.terminate(t, 0)
	mesh.restart(t, 0)
	h := across.heard(60e9)
	r.within("upgrade: home of the previous release stopped: longest_gap", h.gap(), 3*time.Second)
	if h.Expected-h.Missing < 400 {
		t.Errorf("after the home's end %d of %d packets came\n%s", h.Expected-h.Missing, h.Expected, across.stderr.tail(1000))
	}

	// All are new now.
	for i := range regions {
		drained(i, (i+1)%3)
	}
}
