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

// startMesh runs three nodes and returns when all are ready.
func startMesh(ctx context.Context, root string, args ...string) (*mesh, error) {
	dir, err := os.MkdirTemp("", "figures")
	if err != nil {
		return nil, err
	}
	m := &mesh{dir: dir}
	m.up = exec.CommandContext(ctx, filepath.Join(root, "bin", "rotunda"), append([]string{"up", "--http", "127.0.0.1:0", "--data", dir}, args...)...)
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
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	q, err := http.NewRequestWithContext(ctx, method, g.url+path, bytes.NewReader(b))
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

// usage is what a process has used: processor time since it started, and memory now.
type usage struct {
	cpu      time.Duration
	resident float64 // MiB
}

func (n node) usage() (usage, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.pid))
	if err != nil {
		return usage{}, err
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may hold spaces
	f := strings.Fields(rest)
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	pages, err3 := strconv.Atoi(f[21])
	// clock ticks are 1/100 s on every Linux that Go runs on
	return usage{time.Duration(user+system) * 10 * time.Millisecond, float64(pages*os.Getpagesize()) / (1 << 20)}, errors.Join(err1, err2, err3)
}

// quantile estimates a quantile of a histogram in the node's /metrics as Prometheus does, by its buckets; seconds.
func (n node) quantile(ctx context.Context, name string, q float64) (seconds float64, count float64, err error) {
	type bucket struct{ le, count float64 }
	var buckets []bucket
	err = n.scrape(ctx, func(line string) error {
		rest, ok := strings.CutPrefix(line, name+`_bucket{le="`)
		if !ok {
			return nil
		}
		bound, value, _ := strings.Cut(rest, `"} `)
		le, err1 := strconv.ParseFloat(bound, 64)
		c, err2 := strconv.ParseFloat(value, 64)
		buckets = append(buckets, bucket{le, c})
		return errors.Join(err1, err2)
	})
	if err != nil || len(buckets) == 0 {
		return 0, 0, errors.Join(err, fmt.Errorf("no histogram %s", name))
	}
	count = buckets[len(buckets)-1].count
	var lower bucket
	for _, b := range buckets {
		if b.count >= q*count {
			return lower.le + (b.le-lower.le)*(q*count-lower.count)/max(1, b.count-lower.count), count, nil
		}
		lower = b
	}
	return lower.le, count, nil
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
