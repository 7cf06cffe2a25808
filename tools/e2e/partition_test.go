package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/rtc"
)

// desk is set in the process that a test has started in a network namespace of its own.
const desk = "E2E_DESK"

// namespace is a network namespace, kept by a process that does nothing.
type namespace struct {
	t   *testing.T
	pid string
}

func newNamespace(t *testing.T) namespace {
	t.Helper()
	keeper := exec.Command("unshare", "--net", "--", "cat")
	in, err := keeper.StdinPipe() // cat ends with it
	if err != nil {
		t.Fatal(err)
	}
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = keeper.Wait() })
	n := namespace{t, fmt.Sprint(keeper.Process.Pid)}
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the namespace is there", func() bool {
		theirs, err := os.Readlink("/proc/" + n.pid + "/ns/net")
		return err == nil && theirs != ours
	})
	n.ip("link set lo up")
	return n
}

// command is one that runs there.
func (n namespace) command(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--target", n.pid, "--net", "--"}, args...)...)
}

func (n namespace) ip(line string) {
	n.t.Helper()
	if out, err := n.command(append([]string{"ip"}, strings.Fields(line)...)...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v %s", line, err, out)
	}
}

// islands is a mesh whose nodes each have a network namespace: they reach each other through a switch, and the test reaches each
// by a cable of its own, so that those who speak and listen stay connected when the nodes are cut off from each other.
type islands struct {
	*mesh
	hub namespace
}

func startIslands(t *testing.T) *islands {
	t.Helper()
	m := &islands{mesh: &mesh{data: t.TempDir(), output: &lines{}, again: map[int]<-chan struct{}{}}, hub: newNamespace(t)}
	here := namespace{t, fmt.Sprint(os.Getpid())}
	here.ip("link set lo up")
	m.hub.ip("link add hub type bridge")
	m.hub.ip("link set hub up")
	m.make(t, "certs", "init", "--dir", ".")
	m.make(t, "keygen", "token")
	m.make(t, "keygen", "gossip")
	var control, seeds []string
	for i, region := range regions {
		address := fmt.Sprintf("10.77.0.%d", i+1)
		m.ids = append(m.ids, region+"-1")
		control = append(control, fmt.Sprintf("{id: %s-1, peer: '%s:2380', client: '%s:2379'}", region, address, address))
		seeds = append(seeds, "'"+address+":7946'")
		m.make(t, "certs", "node", region+"-1", "--dir", ".", "--region", region, "--host", address)
	}
	for i, region := range regions {
		node := newNamespace(t)
		here.ip(fmt.Sprintf("link add mesh netns %s type veth peer name port%d netns %s", node.pid, i, m.hub.pid))
		here.ip(fmt.Sprintf("link add desk%d type veth peer name desk netns %s", i, node.pid))
		here.ip(fmt.Sprintf("addr add 10.78.%d.1/24 dev desk%d", i, i))
		here.ip(fmt.Sprintf("link set desk%d up", i))
		m.hub.ip(fmt.Sprintf("link set port%d master hub up", i))
		node.ip(fmt.Sprintf("addr add 10.77.0.%d/24 dev mesh", i+1))
		node.ip("link set mesh up")
		node.ip(fmt.Sprintf("addr add 10.78.%d.2/24 dev desk", i))
		node.ip("link set desk up")
		config := fmt.Sprintf(`id: %[1]s-1
region: %[1]s
data: %[1]s
http: {listen: '10.78.%[2]d.2:8080', url: 'http://10.78.%[2]d.2:8080'}
media: {listen: '10.78.%[2]d.2:8081'}
admin: {listen: '10.78.%[2]d.2:9090'}
cascade: {listen: '10.77.0.%[3]d:7443'}
gossip: {listen: '10.77.0.%[3]d:7946', key_file: gossip.key, label: islands, seeds: [%[4]s]}
log: {control: [%[5]s], listen_peer: '10.77.0.%[3]d:2380', listen_client: '10.77.0.%[3]d:2379'}
tls: {ca: ca.crt, cert: %[1]s-1.crt, key: %[1]s-1.key}
tokens: {signing_key: token.key, guests: true}
`, region, i, i+1, strings.Join(seeds, ", "), strings.Join(control, ", "))
		file := filepath.Join(m.data, region+".yaml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		run := node.command(builtBinary(t), "node", "--config", file)
		run.Stdout, run.Stderr = m.output, m.output
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = run.Process.Signal(syscall.SIGTERM)
			_ = run.Wait()
		})
		m.urls = append(m.urls, fmt.Sprintf("http://10.78.%d.2:8080", i))
		fmt.Fprintf(m.output, "%s-1 %s %s 10.78.%d.2:9090 %d\n", region, region, m.urls[i], i, run.Process.Pid) // as rotunda up does
	}
	t.Cleanup(func() {
		if t.Failed() {
			_ = os.WriteFile(filepath.Join(artefacts(t), t.Name()+".log"), []byte(m.output.String()), 0o644)
		}
	})
	m.wait(t, nil) // the nodes end with the test
	return m
}

// make runs the binary in the mesh's folder.
func (m *islands) make(t *testing.T, args ...string) {
	t.Helper()
	c := exec.Command(builtBinary(t), args...)
	c.Dir = m.data
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("rotunda %v: %v\n%s", args, err, out)
	}
}

// cut takes the cable of node i out of the switch, or puts it back: packets are lost without a word.
func (m *islands) cut(i int, out bool) {
	state := "up"
	if out {
		state = "down"
	}
	m.hub.ip(fmt.Sprintf("link set port%d %s", i, state))
}

// chorus is what a listener hears of each speaker.
type chorus struct {
	mu     sync.Mutex // guards what follows
	last   map[rotunda.SSRC]time.Time
	gap    map[rotunda.SSRC]time.Duration // the longest time without
	counts map[rotunda.SSRC]int
}

func (c *chorus) take(r rtc.Received) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for i := range r.Sources.Len() {
		id := r.Sources.At(i)
		if last, ok := c.last[id]; ok {
			c.gap[id] = max(c.gap[id], now.Sub(last))
		}
		c.last[id] = now
		c.counts[id]++
	}
}

// begin begins a measurement.
func (c *chorus) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gap, c.counts = map[rotunda.SSRC]time.Duration{}, map[rotunda.SSRC]int{}
}

// of is how many packets named a speaker since, and the longest time without one, the present one included.
func (c *chorus) of(id rotunda.SSRC) (packets int, gap time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[id], max(c.gap[id], time.Since(c.last[id]))
}

func (c *caller) chorus(room string) *chorus {
	c.t.Helper()
	h := &chorus{last: map[rotunda.SSRC]time.Time{}}
	h.begin()
	c.playTo(room, h.take)
	return h
}

// TestTheMeshIsCutInTwo: speakers and listeners on both sides. Each side goes on hearing its own; when the sides meet again, all
// hear all, and there is one home, without anybody's help. It runs in a network namespace of its own.
func TestTheMeshIsCutInTwo(t *testing.T) {
	if os.Getenv("ROTUNDA_URLS") != "" {
		t.Skip("a mesh that ran already is not cut")
	}
	if os.Getenv(desk) == "" {
		self := exec.Command("unshare", "--net", "--map-root-user", "--", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=10m")
		self.Env = append(os.Environ(), desk+"=1")
		out, err := self.CombinedOutput()
		fmt.Print(string(out))
		if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Fatalf("in its own network: %v", err)
		}
		return
	}
	trials(t, cutInTwo)
}

func cutInTwo(t *testing.T, r *trial) {
	m := startIslands(t)
	ada, bob := newCaller(t, m.urls[0], "Ada"), newCaller(t, m.urls[2], "Bob")
	cyd, dan := newCaller(t, m.urls[1], "Cyd"), newCaller(t, m.urls[2], "Dan")
	room := m.roomWithStandby(t, ada, "Two sides", m.ids[2])
	bob.stage(ada, room)
	terminal(t, "speak", m.urls[0]+"/r/"+room, "--token", ada.Token, "--tone", "440", "--duration", "180s")
	terminal(t, "speak", m.urls[2]+"/r/"+room, "--token", bob.Token, "--tone", "660", "--duration", "180s")
	here, there := cyd.chorus(room), dan.chorus(room)
	a, b := ada.voice(room, ada.User), ada.voice(room, bob.User)
	hear := func(what string, c *chorus, speakers ...rotunda.SSRC) {
		t.Helper()
		c.begin()
		until(t, what, func() bool {
			for _, id := range speakers {
				if packets, gap := c.of(id); packets < 100 || gap > time.Second {
					if gap > time.Second {
						c.begin()
					}
					return false
				}
			}
			return true
		})
	}
	hear("both are heard on this side", here, a, b)
	hear("both are heard on the other side", there, a, b)
	until(t, "one side has the home and the other one the standby", func() bool { // on a busy machine they may have changed places
		home, standby := cyd.placed(room)
		return standby != "" && (home == m.ids[2] || standby == m.ids[2])
	})

	here.begin()
	there.begin()
	m.cut(2, true)
	own := func(c *chorus, id rotunda.SSRC) func() bool {
		return func() bool { packets, _ := c.of(id); return packets > 150 }
	}
	until(t, "this side hears its own", own(here, a))
	until(t, "the other side hears its own", own(there, b))
	_, gapHere := here.of(a)
	_, gapThere := there.of(b)
	r.within("cut_own_side_gap", gapHere, homeGapMax)
	r.within("cut_other_side_gap", gapThere, homeGapMax)
	here.begin()
	there.begin()
	until(t, "three seconds more on this side", own(here, a))
	until(t, "three seconds more on the other side", own(there, b))
	if packets, _ := here.of(b); packets > 0 {
		t.Errorf("%d packets with Bob's voice crossed the cut", packets)
	}
	if packets, _ := there.of(a); packets > 0 {
		t.Errorf("%d packets with Ada's voice crossed the cut", packets)
	}

	m.cut(2, false)
	healed := time.Now()
	hear("both are heard again on this side", here, a, b)
	hear("both are heard again on the other side", there, a, b)
	fmt.Printf("healed_all_hear_all_ms %d\n", time.Since(healed).Milliseconds())
	until(t, "there is one home", func() bool {
		home, _ := cyd.placed(room)
		other, _ := dan.placed(room)
		return home != "" && home == other
	})
	here.begin()
	there.begin()
	for _, c := range []*chorus{here, there} {
		for _, id := range []rotunda.SSRC{a, b} {
			until(t, "three seconds more", own(c, id))
			_, gap := c.of(id)
			r.within("after_the_sides_met_again_gap", gap, homeGapMax)
		}
	}
}

// roomWithStandby opens rooms until one has its standby at node: who is named first, by the room's id, stays.
func (m *mesh) roomWithStandby(t *testing.T, host *caller, title, node string) string {
	t.Helper()
	for range 40 {
		room, standby := host.room(title), ""
		until(t, "somebody stands by", func() bool { _, standby = host.placed(room); return standby != "" })
		if standby == node {
			return room
		}
		host.call("POST", "/v1/rooms/"+room+"/end", "", http.StatusOK, nil)
	}
	t.Fatalf("%s never stands by", node)
	return ""
}

// voice is the wire identity of somebody on the room's stage.
func (c *caller) voice(room, user string) rotunda.SSRC {
	c.t.Helper()
	var v struct {
		Participants map[string]struct {
			SSRC rotunda.SSRC `json:"ssrc"`
		}
	}
	c.call("GET", "/v1/rooms/"+room, "", http.StatusOK, &v)
	return v.Participants[user].SSRC
}
