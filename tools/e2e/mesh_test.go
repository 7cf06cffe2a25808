package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// regions are those of the mesh that every test here runs on.
var regions = []string{"us-east", "eu-west", "ap-south"}

// startMax is how long three nodes may take until they serve, on a busy machine.
const startMax = 60 * time.Second

// mesh is three nodes, each a process of its own.
type mesh struct {
	urls   []string // of the nodes' pages, without a slash at the end
	ids    []string // of the nodes
	data   string   // its folder of keys, certificates and log
	output *lines   // what rotunda up says; nil for a mesh that ran already

	again map[int]<-chan struct{} // of nodes that were started again: closed when they have ended
	pids  map[int]int             // of the same
}

// startMesh runs `rotunda up` and waits until every node serves. The mesh is stopped when the test ends.
func startMesh(t *testing.T) *mesh {
	t.Helper()
	if urls := os.Getenv("ROTUNDA_URLS"); urls != "" {
		return &mesh{urls: strings.Split(urls, ",")}
	}
	return startMeshOf(t, builtBinary(t), regions)
}

// builtBinary is the one under test.
func builtBinary(t *testing.T) string {
	t.Helper()
	if binary := os.Getenv("ROTUNDA_BINARY"); binary != "" {
		return binary
	}
	return filepath.Join(root(t), "bin", "rotunda")
}

// startMeshOf is startMesh with a binary and regions of one's choice, a node for each time that one is named.
func startMeshOf(t *testing.T, binary string, regions []string) *mesh {
	t.Helper()
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("there is no binary to test: run `make build` first (%v)", err)
	}
	port := freePorts(t, len(regions))
	m := &mesh{output: &lines{}, data: t.TempDir(), again: map[int]<-chan struct{}{}, pids: map[int]int{}}
	named := map[string]int{}
	for i, region := range regions {
		named[region]++
		m.ids = append(m.ids, fmt.Sprintf("%s-%d", region, named[region]))
		m.urls = append(m.urls, fmt.Sprintf("http://127.0.0.1:%d", port+i))
	}
	up := exec.Command(binary, "up", "--regions", strings.Join(regions, ","), "--http", fmt.Sprintf("127.0.0.1:%d", port), "--data", m.data)
	up.Stdout, up.Stderr = m.output, m.output
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- up.Wait() }()
	t.Cleanup(func() {
		if len(m.again) == len(regions) {
			<-ended // by itself: none of the nodes that it started is left
			return
		}
		stop(t, up, ended, m.output)
	})
	m.wait(t, ended)
	return m
}

// stop ends the mesh as Ctrl-C does, and keeps what it said where the test failed.
func stop(t *testing.T, up *exec.Cmd, ended <-chan error, output *lines) {
	_ = up.Process.Signal(syscall.SIGINT)
	select {
	case err := <-ended:
		if err != nil && !t.Failed() {
			t.Errorf("rotunda up, stopped by Ctrl-C, ended with %v:\n%s", err, output.tail(2000))
		}
	case <-time.After(15 * time.Second):
		_ = up.Process.Kill()
		t.Errorf("rotunda up did not end within 15 s of Ctrl-C:\n%s", output.tail(2000))
	}
	if t.Failed() {
		file := filepath.Join(artefacts(t), strings.ReplaceAll(t.Name(), "/", "-")+".log")
		_ = os.WriteFile(file, []byte(output.String()), 0o644)
		t.Logf("what the nodes said is in %s", file)
	}
}

// wait returns when every node answers a ping and knows the others, so that a room is seen everywhere.
func (m *mesh) wait(t *testing.T, ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startMax)
	defer cancel()
	for i, url := range m.urls {
		for !answers(ctx, url+"/v1/ping") || !m.listed(i) {
			select {
			case err := <-ended:
				t.Fatalf("rotunda up ended with %v before it served:\n%s", err, m.output.tail(4000))
			case <-ctx.Done():
				t.Fatalf("%s does not serve after %v:\n%s", url, startMax, m.output.tail(4000))
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// row is one line of the table that rotunda up prints: id, region, URL, admin address, process id.
var row = regexp.MustCompile(`(?m)^\S+\s+\S+\s+(http://\S+)\s+(?:http://)?(\S+)\s+(\d+)\s*$`)

// listed reports whether rotunda up has printed the row of the i-th node.
func (m *mesh) listed(i int) bool {
	return slices.ContainsFunc(row.FindAllStringSubmatch(m.output.String(), -1), func(f []string) bool { return f[1] == m.urls[i] })
}

// row finds the i-th node's admin address and process id.
func (m *mesh) row(t *testing.T, i int) (admin string, pid int) {
	t.Helper()
	if m.output == nil {
		t.Fatal("this test needs a mesh of its own: unset ROTUNDA_URLS")
	}
	for _, found := range row.FindAllStringSubmatch(m.output.String(), -1) {
		if found[1] != m.urls[i] {
			continue
		}
		pid, err := strconv.Atoi(found[3])
		if err != nil {
			t.Fatal(err)
		}
		if again, ok := m.pids[i]; ok {
			pid = again
		}
		return found[2], pid
	}
	t.Fatalf("rotunda up did not print a row for %s:\n%s", m.urls[i], m.output.tail(4000))
	return "", 0
}

// kill ends the i-th node's process at once, as a power cut would.
func (m *mesh) kill(t *testing.T, i int) {
	t.Helper()
	_, pid := m.row(t, i)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %s: %v", m.urls[i], err)
	}
}

// ended reports whether the i-th node's process is no more.
func (m *mesh) ended(t *testing.T, i int) bool {
	t.Helper()
	if again, ok := m.again[i]; ok {
		select {
		case <-again:
			return true
		default:
			return false
		}
	}
	_, pid := m.row(t, i)
	return syscall.Kill(pid, 0) != nil
}

func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode < 300
}

// freePorts returns the first of n TCP ports in a row that nobody listens on. They are below those that the kernel gives to who
// connects (32768 and up), or a connection of one node could have the port of another one that has not begun yet, and below
// those that rotunda up chooses.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		port := 10_000 + rand.IntN(9_000)
		free := 0
		for ; free < n; free++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+free))
			if err != nil {
				break
			}
			_ = l.Close()
		}
		if free == n {
			return port
		}
	}
	t.Fatalf("no %d free ports in a row", n)
	return 0
}

// root is the checkout's top folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// artefacts is where pictures and logs are kept.
func artefacts(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(root(t), "artefacts", "e2e")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// lines collects what processes say. Safe for concurrent use.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// tail is the last n bytes, without what etcd says: its many lines at the end of a node would push out the others.
func (l *lines) tail(n int) string {
	var s strings.Builder
	for line := range strings.Lines(l.String()) {
		if !strings.Contains(line, `"from":"etcd"`) {
			s.WriteString(line)
		}
	}
	return s.String()[max(0, s.Len()-n):]
}
