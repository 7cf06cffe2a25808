package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Server says how the server under load is watched from outside; the zero value: not at all.
type Server struct {
	PID     int    // its process on this machine, for processor time and memory; 0: not known
	Metrics string // URL of its Prometheus metrics, for goroutines; empty: not known
}

// Usage is what a process has used: processor time since it started, and memory now.
type Usage struct {
	CPU      time.Duration // of all its threads, in steps of 10 ms
	Resident int64         // bytes
}

// UsageOf reads it from the system (proc(5)); it exists on Linux only.
func UsageOf(pid int) (Usage, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may hold spaces
	f := strings.Fields(rest)
	if len(f) < 22 {
		return Usage{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f))
	}
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	pages, err3 := strconv.Atoi(f[21])
	const tick = 10 * time.Millisecond // 1/100 s on every Linux that Go runs on
	return Usage{time.Duration(user+system) * tick, int64(pages * os.Getpagesize())}, errors.Join(err1, err2, err3)
}

// Sample is the server at one instant of listening.
type Sample struct {
	At         float64 `json:"at_s"`
	Resident   int64   `json:"resident_kib,omitempty"`
	Goroutines int     `json:"goroutines,omitempty"`
	Packets    uint64  `json:"packets"` // of all listeners, since listening began
	Lost       int64   `json:"lost"`    // of the same
}

// watch looks at the server.
type watch struct {
	Server
	http *http.Client
}

func newWatch(s Server) *watch {
	// Uncompressed: what the server spends on being watched counts as its own.
	return &watch{s, &http.Client{Timeout: metricsMax, Transport: &http.Transport{DisableCompression: true}}}
}

const (
	metricsMax      = 5 * time.Second
	metricsBytesMax = 4 << 20
)

// usage is the zero Usage where the process is not known or gone.
func (w *watch) usage() Usage {
	if w.PID == 0 {
		return Usage{}
	}
	u, err := UsageOf(w.PID)
	if err != nil {
		return Usage{}
	}
	return u
}

// goroutines is 0 where it is not known.
func (w *watch) goroutines(ctx context.Context) int {
	if w.Metrics == "" {
		return 0
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Metrics, nil)
	if err != nil {
		return 0
	}
	res, err := w.http.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(io.LimitReader(res.Body, metricsBytesMax))
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			n, _ := strconv.ParseFloat(v, 64)
			return int(n)
		}
	}
	return 0
}
