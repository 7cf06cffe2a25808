package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// wanted are the Go benchmarks whose figures belong in the table, by package and pattern, and the unit that counts.
var wanted = []struct {
	pkg, bench, unit, name, target, how string
}{
	{"./node/mix", "BenchmarkRoom/talking=1$", "%core", "mixing: 1 talking of 10 on stage", "≤ 1 %", "processor time of decode, mix and encode"},
	{"./node/mix", "BenchmarkRoom/passed$", "%core", "mixing: 1 talking of 10 on stage, passed on", "≤ 0.2 %", "the same, where the sender measures levels (RFC 6464)"},
	{"./node/mix", "BenchmarkRoom/silent$", "%core", "mixing: a silent room of 10", "–", "the same, nobody talking"},
	{"./cascade", "BenchmarkHop", "ns/op", "cascade: a frame through a relay, without the sockets", "–", "parse, look up, encode"},
	{"./cascade/link", "BenchmarkBurst", "ns/frame", "cascade: CPU of both ends per frame, in bursts of 20 over a loopback link", "≤ 5 µs", "real QUIC, real sockets; wall clock"},
	{"./cascade/link", "BenchmarkCopies", "ns/frame", "cascade: CPU per frame and hop at 5,000 frames/s a link that loses 10 %, two copies of each", "≤ 5 µs", "both ends over loopback, processor time"},
	{"./cascade/link", "BenchmarkCopies", "x-bare", "cascade: the same against bare quic-go", "≤ 1.5 ×", "the same octets in as many datagrams through the same loss"},
	{"./node/egress", "BenchmarkFanOut/without-kernel$", "ns/op", "fan-out: a packet to one of 500 listeners, without the kernel", "–", "header, encryption, its place in a batch; the keys of 500 are not in the cache"},
	{"./node", `BenchmarkRoster/nodes=100/search=""/after=""$`, "ms/page", "roster of 100,000 people on 100 nodes: the first page", "≤ 200 ms", "what all nodes together spend, on one core"},
	{"./node", `BenchmarkRoster/nodes=100/search="guest_99"/after=""$`, "ms/page", "roster of 100,000 people on 100 nodes: a search", "≤ 300 ms", "the same"},
	{"./control/etcdlog", "BenchmarkAppendAlone", "ns/op", "log: an append, synced, one node", "–", "compare-and-set"},
	{"./control", "BenchmarkDo", "ns/op", "a command, decided and in the log, one node", "–", "over real etcd"},
}

var measured = regexp.MustCompile(`^(Benchmark\S+?)(?:-\d+)?\s+\d+\s+(.*)$`)

// applause is what TestReactionsCostNoAudio says of its measurement.
var applause = regexp.MustCompile(`figure: (\d+) reactions a second .*?, (\d+ of \d+) packets lost, (\d+) in as long without; at most ([0-9.]+) messages a second to a reader`)

// reactions runs the test that measures what reactions do to the sound beside them.
func reactions(ctx context.Context, root string) ([]figure, error) {
	c := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run", "^TestReactionsCostNoAudio$", "./node")
	c.Dir = root
	out, err := c.Output()
	all := applause.FindAllStringSubmatch(string(out), -1)
	if err != nil || len(all) == 0 {
		return nil, fmt.Errorf("TestReactionsCostNoAudio: %w\n%s", err, out)
	}
	f := all[len(all)-1]
	return []figure{{"reactions beside sound: packets lost", f[2], "no more than without",
		fmt.Sprintf("%s reactions a second in one room on three nodes of one process, three listeners; %s were lost in as long without them; a reader is sent %s messages a second", f[1], f[3], f[4])}}, nil
}

// benchmarks runs the Go benchmarks.
func benchmarks(ctx context.Context, root string) ([]figure, error) {
	var all []figure
	for _, w := range wanted {
		top, _, _ := strings.Cut(w.bench, "/")
		c := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^"+top+"$", "-count", "3", w.pkg)
		c.Dir = root
		out, err := c.Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", w.pkg, err, out)
		}
		best, unit, ok := smallest(out, regexp.MustCompile(w.bench), w.unit)
		if !ok {
			return nil, fmt.Errorf("%s: no %s of %s in\n%s", w.pkg, w.unit, w.bench, out)
		}
		all = append(all, figure{w.name, fmt.Sprintf("%.3g %s", best, unit), w.target, w.how + "; best of three"})
	}
	return all, nil
}

// smallest finds the smallest value of a unit among the runs of a benchmark.
func smallest(out []byte, bench *regexp.Regexp, unit string) (best float64, shown string, ok bool) {
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		f := measured.FindStringSubmatch(lines.Text())
		if f == nil || !bench.MatchString(f[1]) {
			continue
		}
		fields := strings.Fields(f[2])
		for i := 0; i+1 < len(fields); i += 2 {
			var v float64
			if fields[i+1] != unit {
				continue
			}
			if _, err := fmt.Sscan(fields[i], &v); err == nil && (!ok || v < best) {
				best, ok = v, true
			}
		}
	}
	if strings.HasPrefix(unit, "ns/") {
		if best >= 1000 {
			return best / 1000, "µs", ok
		}
		return best, "ns", ok
	}
	return best, strings.NewReplacer("%core", "% of a core", "x-bare", "×").Replace(unit), ok
}
