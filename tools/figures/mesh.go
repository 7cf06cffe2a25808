package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// mesh is a running `rotunda up`.
type mesh struct {
	up    *exec.Cmd
	ready time.Duration
	nodes []node
	dir   string
}

type node struct {
	url, admin string
	pid        int
}

var row = regexp.MustCompile(`^\S+\s+\S+\s+(http://\S+)\s+(?:http://)?(\S+)\s+(\d+)\s*$`)

// startMesh runs nodes, three unless args say otherwise, and returns when all are ready.
func startMesh(ctx context.Context, root string, args ...string) (*mesh, error) {
	return startMeshOn(ctx, root, "", args...)
}

// startMeshOn is startMesh with all nodes on one core; "": on any.
func startMeshOn(ctx context.Context, root, core string, args ...string) (*mesh, error) {
	dir, err := os.MkdirTemp("", "figures")
	if err != nil {
		return nil, err
	}
	m := &mesh{dir: dir}
	m.up = on(ctx, core, filepath.Join(root, "bin", "rotunda"), append([]string{"up", "--http", "127.0.0.1:0", "--data", dir}, args...)...)
	m.up.Cancel = func() error { return m.up.Process.Signal(syscall.SIGINT) }
	out, err := m.up.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := m.up.Start(); err != nil {
		return nil, fmt.Errorf("%w (make build makes it)", err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if f := row.FindStringSubmatch(lines.Text()); f != nil {
			pid, err := strconv.Atoi(f[3])
			if err != nil {
				return nil, err
			}
			m.nodes = append(m.nodes, node{f[1], f[2], pid})
		}
		if strings.HasPrefix(lines.Text(), "ready in") {
			m.ready = time.Since(began)
			go io.Copy(io.Discard, out)
			return m, nil
		}
	}
	return nil, errors.Join(errors.New("rotunda up ended before it was ready"), m.up.Wait())
}

func (m *mesh) stop() {
	m.up.Process.Signal(syscall.SIGINT)
	m.up.Wait()
	os.RemoveAll(m.dir)
}

// anonymous is the resident memory of the node that is no page of a file, in bytes (proc(5)).
func (n node) anonymous() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "RssAnon:")
	f := strings.Fields(rest)
	if len(f) < 2 || f[1] != "kB" {
		return 0, fmt.Errorf("/proc/%d/status has no RssAnon", n.pid)
	}
	kilo, err := strconv.ParseInt(f[0], 10, 64)
	return kilo << 10, err
}

// guest is somebody who calls the API of a node.
type guest struct {
	url   string
	User  string `json:"user"`
	Token string `json:"token"`
}

func newGuest(ctx context.Context, url, name string) (*guest, error) {
	g := &guest{url: url}
	return g, g.call(ctx, "POST", "/v1/guests", map[string]string{"name": name}, g)
}

func (g *guest) call(ctx context.Context, method, path string, body, into any) error {
	var in io.Reader // nil: no body
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	q, err := http.NewRequestWithContext(ctx, method, g.url+path, in)
	if err != nil {
		return err
	}
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	if g.Token != "" {
		q.Header.Set("Authorization", "Bearer "+g.Token)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	answer, err := io.ReadAll(a.Body)
	if err != nil {
		return err
	}
	if a.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, a.StatusCode, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// histogram is the buckets of a histogram, by their upper bounds, each with what is in those below it.
type histogram []struct{ le, count float64 }

// histogram reads one of the node's /metrics.
func (n node) histogram(ctx context.Context, name string) (h histogram, err error) {
	err = n.scrape(ctx, func(line string) error {
		rest, ok := strings.CutPrefix(line, name+`_bucket{le="`)
		if !ok {
			return nil
		}
		bound, value, _ := strings.Cut(rest, `"} `)
		le, err1 := strconv.ParseFloat(bound, 64)
		c, err2 := strconv.ParseFloat(value, 64)
		h = append(h, struct{ le, count float64 }{le, c})
		return errors.Join(err1, err2)
	})
	if err == nil && len(h) == 0 {
		err = fmt.Errorf("no histogram %s", name)
	}
	return h, err
}

// since is what has come into h since it was before.
func (h histogram) since(before histogram) histogram {
	out := append(histogram{}, h...)
	for i := range out {
		out[i].count -= before[i].count
	}
	return out
}

// quantile estimates a quantile as Prometheus does, by the buckets; seconds.
func (h histogram) quantile(q float64) (seconds, count float64) {
	count = h[len(h)-1].count
	lower := struct{ le, count float64 }{}
	for _, b := range h {
		if b.count >= q*count {
			return lower.le + (b.le-lower.le)*(q*count-lower.count)/max(1, b.count-lower.count), count
		}
		lower = b
	}
	return lower.le, count
}

// series reads one series of the node's /metrics.
func (n node) series(ctx context.Context, name string) (value float64, err error) {
	found := false
	err = n.scrape(ctx, func(line string) error {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			found = true
			value, err = strconv.ParseFloat(v, 64)
			return err
		}
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("no series %s", name)
	}
	return value, err
}

// scrape calls line with every line of the node's /metrics.
func (n node) scrape(ctx context.Context, line func(string) error) error {
	q, err := http.NewRequestWithContext(ctx, "GET", "http://"+n.admin+"/metrics", nil)
	if err != nil {
		return err
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	lines := bufio.NewScanner(a.Body)
	for lines.Scan() {
		if err := line(lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}
