package link_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var (
	tableTo     = flag.String("loss.table", "", "file in which to replace the table of losses")
	tableFrames = flag.Int("loss.frames", 100_000, "frames of each line of the table of losses that has a goal")
)

// fewFrames is how many frames say what a link misses that sends nothing again, and are on lines without a goal.
const fewFrames = 20_000

// row is one line of the table: of a link, or of two that lose as much each.
type row struct {
	trial
	paths int
}

// rows are the lines of the table.
func rows(frames int) (all []row) {
	for _, burst := range []time.Duration{0, 10 * time.Millisecond} {
		for _, share := range []float64{.01, .05, .1} {
			for _, rtt := range []time.Duration{20 * time.Millisecond, 80 * time.Millisecond, 200 * time.Millisecond} {
				for _, streams := range []int{1, 10, 40} {
					n := max(fewFrames, 1000*streams)
					if _, ok := goals[share]; ok {
						n = max(frames, n)
					}
					all = append(all, row{trial{share: share, burst: burst, rtt: rtt, streams: streams, frames: n, seed: 1}, 1})
				}
			}
		}
	}
	all = append(all, row{trial{share: .05, burst: 20 * time.Millisecond, rtt: 80 * time.Millisecond, streams: 1, frames: fewFrames, seed: 1}, 1})
	for _, burst := range []time.Duration{0, 10 * time.Millisecond} {
		for _, share := range []float64{.05, .1} {
			all = append(all, row{trial{share: share, burst: burst, rtt: 200 * time.Millisecond, streams: 40, frames: frames, seed: 1}, 2})
		}
	}
	return all
}

// measure runs the line, fails where it misses its goal, and writes it.
func (c row) measure(t *testing.T) string {
	plain := c.trial
	plain.plain, plain.frames = true, max(fewFrames, 1000*c.streams)
	before := plain.run(t)
	kind, run, most := "independent", c.run, goals
	if c.burst > 0 {
		kind = fmt.Sprintf("in bursts of %v", c.burst)
	}
	if c.paths == 2 {
		kind, run, most = kind+", two paths", c.both, goalsOfTwo
	}
	r := run(t)
	if most, ok := most[c.share]; ok && c.burst <= 10*time.Millisecond && (r.missing > most || r.p99 > lateGoal || c.paths == 2 && r.run > 2) {
		t.Errorf("%v, %d paths: missing %.4f %%, run %d, p99 %v late", c, c.paths, r.missing*100, r.run, r.p99)
	}
	octets := float64(r.bytes) / float64(before.bytes) * float64(plain.sent()) / float64(c.sent())
	return fmt.Sprintf("| %g %% %s | %v | %d | %d | %.2f %% | %.4f %% | %d | %d ms | %d ms | %.2f | %.2f |\n", c.share*100, kind, c.rtt, c.streams, c.frames,
		before.missing*100, r.missing*100, r.run, r.p99.Milliseconds(), r.max.Milliseconds(), r.repeated, octets)
}

// sent is how many frames are sent: those that count, and those before.
func (c trial) sent() int { return c.frames + c.streams*int(settle/frameEvery) }

// TestLossTable measures docs/loss.md: see `make loss`.
func TestLossTable(t *testing.T) {
	if *tableTo == "" {
		t.Skip("without -loss.table")
	}
	all := rows(*tableFrames)
	lines := make([]string, len(all))
	t.Run("lines", func(t *testing.T) {
		for i, c := range all {
			t.Run(fmt.Sprintf("%d", i), func(t *testing.T) {
				t.Parallel()
				lines[i] = c.measure(t)
			})
		}
	})
	doc, err := os.ReadFile(*tableTo)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- table: begin -->\n", "<!-- table: end -->"
	head, rest, ok := strings.Cut(string(doc), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", *tableTo)
	}
	const titles = "| loss | round trip | streams | frames | missing before | missing | longest run | later, p99 | later, max | copies a frame | octets, times |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
	if err := os.WriteFile(*tableTo, []byte(head+begin+titles+strings.Join(lines, "")+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
