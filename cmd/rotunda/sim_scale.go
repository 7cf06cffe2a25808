package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"rotunda/sim"
)

func newSimScale(t *terminal) *cobra.Command {
	o := scaleOptions{Config: sim.Config{Nodes: 2000, Regions: sim.RegionsMax, Listeners: 1_000_000}}
	c := &cobra.Command{
		Use:   "scale",
		Short: "Measure one large room on paper",
		Long: `Simulate one room on thousands of nodes and measure it: how old frames are where they are heard, how many copies cross
from region to region, how many a node sends, and what happens when a region dies. With --out the figures are written
as a page with pictures: that is how docs/scale.md is made.

  rotunda sim scale
  rotunda sim scale --out docs
  rotunda sim scale --nodes 300 --regions 6 --listeners 50000 --json

Exit status 1: a goal is missed.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return scale(c.Context(), t, o) },
	}
	simFlags(c, &o.Config, &o.json)
	c.Flags().StringVar(&o.out, "out", "", "folder for the page and its pictures; empty: only the figures, here")
	return c
}

type scaleOptions struct {
	sim.Config
	json bool
	out  string
}

func scale(ctx context.Context, t *terminal, o scaleOptions) error {
	if o.Listeners < 0 {
		return usagef("--listeners %d is negative", o.Listeners)
	}
	var shown time.Time
	r, err := sim.Scale(sim.Large{Seed: o.Seed, Nodes: o.Nodes, Regions: o.Regions, Listeners: o.Listeners}, func(done float64) bool {
		if t.errIsTerminal && time.Since(shown) > simShow {
			shown = time.Now()
			fmt.Fprintf(t.err, "\r%3.0f %% ", 100*done)
		}
		return ctx.Err() == nil
	})
	if t.errIsTerminal {
		fmt.Fprint(t.err, "\r\033[K")
	}
	switch {
	case r == nil:
		return usageError{err}
	case err != nil:
		return err
	}
	if o.out != "" {
		if err := writeFiles(o.out, r.Files()); err != nil {
			return err
		}
	}
	missed := 0
	rows := [][]string{{"FIGURE", "HERE", "GOAL", ""}}
	for _, g := range r.Goals() {
		met := "met"
		if !g.Met {
			met = "missed"
			missed++
		}
		rows = append(rows, []string{g.Name, g.Value, g.Target, met})
	}
	if o.json {
		err = t.printJSON(r)
	} else {
		err = t.printTable(rows)
	}
	if err == nil && missed > 0 {
		err = fmt.Errorf("%d goals are missed", missed)
	}
	return err
}

// writeFiles writes files by their names below dir.
func writeFiles(dir string, files map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(files[name]), 0o644); err != nil {
			return err
		}
	}
	return nil
}
