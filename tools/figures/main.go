// Command figures measures Rotunda against its goals and prints a line for each: name, value, target. It runs the built
// binary as real processes on loopback and the Go benchmarks of the checkout, one thing at a time, and writes the table into
// docs/performance.md.
//
// Figures are measurements, never tests: a busy machine makes them worse, and nothing fails.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// figure is one line of the table.
type figure struct {
	name, value, target string
	how                 string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	var all []figure
	for _, measure := range []func(context.Context, string) ([]figure, error){nearby, faraway, benchmarks} {
		figures, err := measure(ctx, root)
		if err != nil {
			return err
		}
		for _, f := range figures {
			fmt.Printf("%-56s %-22s %s\n", f.name, f.value, f.target)
		}
		all = append(all, figures...)
	}
	return write(filepath.Join(root, "docs", "performance.md"), all)
}

// The table stands between these lines of docs/performance.md.
const (
	tableBegin = "<!-- figures: begin -->"
	tableEnd   = "<!-- figures: end -->"
)

func write(file string, all []figure) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(page), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s: no place for the table: %s … %s", file, tableBegin, tableEnd)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nMeasured %s, %s, %d cores, %s.\n\n| what | measured | goal | how |\n|---|---|---|---|\n",
		tableBegin, time.Now().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), processor())
	for _, f := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.name, f.value, f.target, f.how)
	}
	return os.WriteFile(file, []byte(before+b.String()+tableEnd+after), 0o644)
}

// processor is the name of this machine's processor, where the system says.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// percentile of a list of durations, in milliseconds.
func percentile(list []time.Duration, p float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return float64(list[min(len(list)-1, int(p*float64(len(list))))].Microseconds()) / 1e3
}
