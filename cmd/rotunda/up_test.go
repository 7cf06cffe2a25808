package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/room"
)

// patience is how long a test waits for what real processes do in a second.
const patience = 60 * time.Second

// transcript is output that a test can wait for.
type transcript struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
	more chan struct{} // capacity 1, a token after writes; never closed
}

func newTranscript() *transcript { return &transcript{more: make(chan struct{}, 1)} }

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// waitFor waits until the output matches.
func (s *transcript) waitFor(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(patience)
	for {
		if m := re.FindStringSubmatch(s.String()); m != nil {
			return m
		}
		select {
		case <-s.more:
		case <-late:
			t.Fatalf("no %q in %q", pattern, s)
		}
	}
}

// running is a verb under way in this process.
type running struct {
	stdout, stderr *transcript
	cancel         context.CancelFunc
	status         chan int
}

func start(t *testing.T, args ...string) *running {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real processes")
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{stdout: newTranscript(), stderr: newTranscript(), cancel: cancel, status: make(chan int, 1)}
	go func() { r.status <- run(ctx, args, strings.NewReader(""), r.stdout, r.stderr) }()
	t.Cleanup(func() {
		cancel()
		select {
		case status := <-r.status:
			r.status <- status
		case <-time.After(patience):
			t.Error("did not end")
		}
		if t.Failed() {
			t.Logf("%v\nstdout %s\nstderr %s", args, r.stdout, withoutEtcd(r.stderr.String()))
		}
	})
	return r
}

func withoutEtcd(log string) string {
	lines := strings.Split(log, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, `"from":"etcd"`) }), "\n")
}

// ended waits for the verb's end and returns its exit status.
func (r *running) ended(t *testing.T) int {
	t.Helper()
	select {
	case status := <-r.status:
		r.status <- status
		return status
	case <-time.After(patience):
		t.Fatal("did not end")
		return -1
	}
}

// row is a line of the table that `up` prints.
type row struct {
	id, region, url, admin string
	pid                    int
}

// startUp runs `up` until its nodes are ready.
func startUp(t *testing.T, args ...string) (*running, []row) {
	t.Helper()
	r := start(t, append([]string{"up", "--http", "127.0.0.1:0"}, args...)...)
	r.stdout.waitFor(t, `(?m)^ready in \d+\.\ds$`)
	return r, table(r.stdout.String())
}

func table(text string) (rows []row) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 5 && strings.HasPrefix(f[3], "http") {
			if pid, err := strconv.Atoi(f[4]); err == nil {
				rows = append(rows, row{f[0], f[1], f[2], f[3], pid})
			}
		}
	}
	return rows
}

// gone waits until a process is no more.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(patience); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); {
		if time.Now().After(end) {
			t.Fatalf("process %d is still there", pid)
		}
		time.Sleep(10 * time.Millisecond) // there is nothing to wait on: it is not our child
	}
}

// openRoom opens a room as a new guest of the node.
func openRoom(t *testing.T, base string) (*client, rotunda.RoomID) {
	t.Helper()
	c, err := newClient(t.Context(), base, "", "Ada")
	if err != nil {
		t.Fatal(err)
	}
	var v room.View
	if err := c.call(t.Context(), http.MethodPost, "/v1/rooms", map[string]string{"title": "Test"}, &v); err != nil {
		t.Fatal(err)
	}
	return c, v.ID
}

// One command makes a mesh; a node's death is survived and shown; the end of the command leaves nothing behind.
func TestUp(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	up, rows := startUp(t)
	if len(rows) != 3 || rows[0].id != "us-east-1" || rows[1].region != "eu-west" || rows[2].id != "ap-south-1" {
		t.Fatalf("table %+v", rows)
	}
	for _, r := range rows {
		status, stdout, stderr := call(t, "members", "--json", "--admin", strings.TrimPrefix(r.admin, "http://"))
		var members []rotunda.Member
		if err := json.Unmarshal([]byte(stdout), &members); status != exitDone || err != nil || len(members) != 3 {
			t.Errorf("members of %s: status %d, %d members, %v, %s", r.id, status, len(members), err, stderr)
		}
	}
	c, id := openRoom(t, rows[0].url)
	if err := syscall.Kill(rows[1].pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	line := up.stderr.waitFor(t, `(?m)^.*node is down.*$`)[0]
	if !strings.Contains(line, "eu-west-1") || !strings.Contains(line, "signal killed") || strings.Count(up.stderr.String(), "node is down") != 1 {
		t.Errorf("reported as %q", line)
	}
	for _, r := range []row{rows[0], rows[2]} { // two of three go on, decisions included
		c.base = r.url
		if err := c.call(t.Context(), http.MethodPatch, c.roomPath(id, ""), map[string]string{"title": "After " + r.id}, nil); err != nil {
			t.Errorf("%s after the death of eu-west-1: %v", r.id, err)
		}
	}
	_, stdout, _ := call(t, "rooms", "--admin", strings.TrimPrefix(rows[2].admin, "http://"))
	if !strings.Contains(stdout, string(id)) || !strings.Contains(stdout, "After") {
		t.Errorf("rooms: %s", stdout)
	}
	began := time.Now()
	up.cancel()
	if status := up.ended(t); status != exitDone {
		t.Errorf("status %d, want %d", status, exitDone)
	}
	t.Logf("%s; stopped in %v", regexp.MustCompile(`ready in \S+`).FindString(up.stdout.String()), time.Since(began).Round(time.Millisecond))
	for _, r := range rows {
		gone(t, r.pid)
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "rotunda-up-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if strings.Count(up.stderr.String(), "node is down") != 1 {
		t.Errorf("nodes that were stopped are reported as down: %s", withoutEtcd(up.stderr.String()))
	}
}

// Whatever ends `up`, its nodes end too.
func TestUpLeavesNoChild(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only linux ends a dead process's children")
	}
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := newTranscript()
	cmd := exec.Command(exe, "up", "--http", "127.0.0.1:0", "--regions", "us-east,eu-west", "--data", t.TempDir())
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second // the nodes have its stderr too
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.waitFor(t, `(?m)^ready in`)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	rows := table(out.String())
	if len(rows) != 2 {
		t.Fatalf("table %+v", rows)
	}
	for _, r := range rows {
		gone(t, r.pid)
	}
}

func TestUpWhereAPortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	status, stdout, stderr := call(t, "up", "--http", l.Addr().String())
	if status != exitFailed || stdout != "" || !strings.Contains(stderr, l.Addr().String()+", which is in use: is another `rotunda up` running?") {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
}

// A data folder keeps the rooms, and who may enter them, from one run to the next.
func TestUpKeepsData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	up, rows := startUp(t, "--data", dir)
	c, id := openRoom(t, rows[0].url)
	up.cancel()
	up.ended(t)
	if status, _, stderr := call(t, "up", "--data", dir, "--regions", "us-east"); status != exitUsage || !strings.Contains(stderr, "same --regions") {
		t.Errorf("other regions: status %d, %s", status, stderr)
	}
	_, rows = startUp(t, "--data", dir, "--wan")
	c.base = rows[2].url
	v, err := c.room(t.Context(), id)
	if err != nil || v.Title != "Test" {
		t.Errorf("the room of the last run: %+v, %v", v, err)
	}
	if err := c.call(t.Context(), http.MethodPatch, c.roomPath(id, ""), map[string]string{"title": "Again"}, nil); err != nil {
		t.Errorf("its host's token: %v", err)
	}
}

// With --wan a decision takes as long as it does in the world: to be kept it must reach a second region and come back.
func TestUpDelaysTheLog(t *testing.T) {
	if !processesAreKnown {
		t.Skip("not on this system")
	}
	t.Parallel()
	regions := []rotunda.Region{"us-east", "sa-east", "au-southeast"}
	least := time.Hour
	for i, a := range regions {
		for _, b := range regions[:i] {
			d, _ := oneWay(a, b)
			least = min(least, 2*d)
		}
	}
	_, rows := startUp(t, "--wan", "--regions", "us-east,sa-east,au-southeast")
	c, err := newClient(t.Context(), rows[0].url, "", "Ada")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		began := time.Now()
		if err := c.call(t.Context(), http.MethodPost, "/v1/rooms", map[string]string{"title": "Far"}, nil); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < least {
			t.Errorf("a decision took %v; no two of these regions are less than %v apart", took, least)
		}
	}
}

func TestMeshPlan(t *testing.T) {
	got := fmt.Sprint(nodeIDs([]rotunda.Region{"us-east", "eu-west", "us-east"}))
	if want := "[us-east-1 eu-west-1 us-east-2]"; got != want {
		t.Errorf("nodeIDs = %s, want %s", got, want)
	}
	for n, want := range map[int]int{1: 1, 2: 1, 3: 3, 4: 3, 5: 5, 12: 5} {
		if got := controlNodes(n); got != want {
			t.Errorf("controlNodes(%d) = %d, want %d", n, got, want)
		}
	}
}

// Every configuration that `up` writes is one that a node takes, and says what the mesh is to be.
func TestMeshConfigurations(t *testing.T) {
	for _, tc := range []struct {
		regions string
		wan     bool
	}{{"us-east", false}, {"us-east,eu-west", true}, {"us-east,eu-west,ap-south", false}, {"us-east,eu-west,ap-south,us-east,sa-east,af-south", true}} {
		regions, err := parseRegions(strings.Split(tc.regions, ","), tc.wan)
		if err != nil {
			t.Fatal(err)
		}
		m, err := newLocalMesh(t.TempDir(), "127.0.0.1:0", regions, tc.wan, false)
		if err != nil {
			t.Fatal(err)
		}
		sockets := map[string]bool{}
		for i := range m.ids {
			if status, _, stderr := call(t, "node", "--check", "--config", m.configFile(i)); status != exitDone {
				t.Errorf("%s: node %s: %s", tc.regions, m.ids[i], stderr)
			}
			c := m.config(i)
			for _, s := range []string{
				"tcp " + c.HTTP.Listen, "udp " + c.Media.Listen, "udp " + c.Cascade.Listen, "udp " + c.Gossip.Listen, "tcp " + c.Gossip.Listen,
				"tcp " + c.Admin.Listen, "tcp " + c.Log.ListenPeer, "tcp " + c.Log.ListenClient,
			} {
				if sockets[s] && s != "tcp " {
					t.Errorf("%s: %s twice", tc.regions, s)
				}
				sockets[s] = true
			}
			if len(c.Gossip.Seeds) != len(m.ids)-1 {
				t.Errorf("%s: seeds %v", tc.regions, c.Gossip.Seeds)
			}
			if got := len(c.WAN) > 0; got != tc.wan {
				t.Errorf("%s: delays %v", tc.regions, c.WAN)
			}
		}
	}
}
