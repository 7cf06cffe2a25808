// Command figures measures Rotunda against its goals and prints a line for each: name, value, target. It runs the built
// binary as real processes on loopback and the Go benchmarks of the checkout, one thing at a time, and writes the table into
// docs/performance.md. Named groups (idle, nearby, enforcement, crowded, large, faraway, reactions, page, benchmarks) are measured alone; the table keeps its other lines.
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
	named := os.Args[1:]
	for _, group := range []struct {
		name    string
		measure func(context.Context, string) ([]figure, error)
	}{{"idle", idle}, {"nearby", nearby}, {"enforcement", enforcement}, {"crowded", crowded}, {"large", large}, {"faraway", faraway}, {"reactions", reactions}, {"page", page}, {"benchmarks", benchmarks}, {"soak", soak}} {
		if wanted := slices.Contains(named, group.name); !wanted && (len(named) > 0 || group.name == "soak") {
			continue
		}
		figures, err := group.measure(ctx, root)
		if err != nil {
			return fmt.Errorf("%s: %w", group.name, err)
		}
		for _, f := range figures {
			fmt.Printf("%-56s %-22s %s\n", f.name, f.value, f.target)
		}
		all = append(all, figures...)
	}
	return write(filepath.Join(root, "docs", "performance.md"), all, len(named) > 0)
}

// The table stands between these lines of docs/performance.md.
const (
	tableBegin = "<!-- figures: begin -->"
	tableEnd   = "<!-- figures: end -->"
)

// write puts the lines into the table; with keep, those of the table that were not measured stay, in their places.
func write(file string, all []figure, keep bool) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(page), tableBegin)
	table, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s: no place for the table: %s … %s", file, tableBegin, tableEnd)
	}
	var b strings.Builder
	head := fmt.Sprintf("Measured %s, %s, %d cores, %s.", time.Now().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), processor())
	if keep {
		for i := range all {
			all[i].how = strings.TrimPrefix(all[i].how+"; "+head, "; ")
		}
		all = merge(table, all)
		head, _, _ = strings.Cut(strings.TrimSpace(table), "\n")
	}
	fmt.Fprintf(&b, "%s\n%s\n\n| what | measured | goal | how |\n|---|---|---|---|\n", tableBegin, head)
	for _, f := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.name, f.value, f.target, f.how)
	}
	return os.WriteFile(file, []byte(before+b.String()+tableEnd+after), 0o644)
}

// merge replaces the table's lines by the measured ones of the same name, and puts the others behind.
func merge(table string, measured []figure) (all []figure) {
	for line := range strings.Lines(table) {
		f := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(f) != 4 || strings.TrimSpace(f[0]) == "what" {
			continue
		}
		old := figure{strings.TrimSpace(f[0]), f[1], f[2], strings.TrimSpace(f[3])}
		if i := slices.IndexFunc(measured, func(n figure) bool { return n.name == old.name }); i >= 0 {
			old = measured[i]
			measured = slices.Delete(slices.Clone(measured), i, i+1)
		}
		all = append(all, old)
	}
	return append(all, measured...)
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
