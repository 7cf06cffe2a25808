package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rotunda/sim"
)

// simShow is how often progress is shown on a terminal.
const simShow = 200 * time.Millisecond

type simOptions struct {
	sim.Config
	seeds int
	json  bool
}

func newSim(t *terminal) *cobra.Command {
	o := simOptions{Config: sim.Config{Faults: true}}
	c := &cobra.Command{
		Use:   "sim",
		Short: "Look for broken rules in simulated meshes",
		Long: `Run the planner, the routing tables, the rooms and the edges of many nodes in simulated meshes, in virtual time:
nodes crash, hang and drain, links lose packets, flap and are cut in one direction or both, clocks are wrong. What must
hold is checked after every step, and at the end that everybody hears everybody again. One seed is one world: the same
on every machine, with the same hash.

  rotunda sim --seeds 1000
  rotunda sim --seed 17                        that world again, with its hash
  rotunda sim --seeds 20 --nodes 60 --regions 10 --listeners 200

Exit status 1: a rule was broken; the seed and the story of its world are printed.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case o.seeds < 1:
				return usagef("--seeds %d: at least 1", o.seeds)
			case c.Flags().Changed("nodes") && (o.Nodes < 1 || o.Nodes > sim.NodesMax):
				return usagef("--nodes %d: 1 to %d", o.Nodes, sim.NodesMax)
			case c.Flags().Changed("regions") && (o.Regions < 1 || o.Regions > sim.RegionsMax):
				return usagef("--regions %d: 1 to %d", o.Regions, sim.RegionsMax)
			case o.Listeners < 0 || o.Listeners > simListenersMax:
				return usagef("--listeners %d: 0 to %d", o.Listeners, simListenersMax)
			case !c.Flags().Changed("seeds") && c.Flags().Changed("seed"):
				o.seeds = 1
			}
			return simulate(c.Context(), t, o)
		},
	}
	simFlags(c, &o.Config, &o.json)
	c.Flags().IntVar(&o.seeds, "seeds", 100, "how many worlds, from --seed on")
	c.Flags().BoolVar(&o.Faults, "faults", true, "whether anything fails")
	c.AddCommand(newSimScale(t))
	return c
}

// simListenersMax bounds the people of a small world: each is one there.
const simListenersMax = 100_000

func simFlags(c *cobra.Command, cfg *sim.Config, asJSON *bool) {
	c.Flags().Uint64Var(&cfg.Seed, "seed", 1, "the world's seed")
	c.Flags().IntVar(&cfg.Nodes, "nodes", cfg.Nodes, "nodes of the mesh; 0: the seed decides")
	c.Flags().IntVar(&cfg.Regions, "regions", cfg.Regions, "regions that they stand in; 0: the seed decides")
	c.Flags().IntVar(&cfg.Listeners, "listeners", cfg.Listeners, "people who listen; 0: the seed decides")
	c.Flags().BoolVar(asJSON, "json", false, "print JSON, for machines")
}

// simSummary is what scripts read of many worlds.
type simSummary struct {
	Seeds   int         `json:"seeds"`
	From    uint64      `json:"from"`
	Broken  int         `json:"broken"`
	Faults  int         `json:"faults"`
	Frames  uint64      `json:"frames"`
	Played  uint64      `json:"played"`
	Hash    string      `json:"hash"` // of all worlds' hashes, in order
	Failure *sim.Result `json:"failure,omitempty"`
}

// simulate runs one world after another, until one breaks a rule.
func simulate(ctx context.Context, t *terminal, o simOptions) error {
	sum := simSummary{From: o.Seed}
	hash := uint64(14695981039346656037) // FNV-1a
	var shown time.Time
	for i := range o.seeds {
		if ctx.Err() != nil {
			return fmt.Errorf("stopped after %d of %d worlds", sum.Seeds, o.seeds)
		}
		cfg := o.Config
		cfg.Seed += uint64(i)
		r := sim.Run(cfg)
		sum.Seeds++
		sum.Faults, sum.Frames, sum.Played = sum.Faults+r.Faults, sum.Frames+r.Frames, sum.Played+r.Played
		for _, c := range []byte(r.Hash) {
			hash = (hash ^ uint64(c)) * 1099511628211
		}
		sum.Hash = fmt.Sprintf("%016x", hash)
		if t.errIsTerminal && time.Since(shown) > simShow {
			shown = time.Now()
			fmt.Fprintf(t.err, "\r%d of %d worlds, %d faults ", sum.Seeds, o.seeds, sum.Faults)
		}
		if r.Broken != "" {
			sum.Broken, sum.Failure = 1, &r
			break
		}
		if o.seeds == 1 {
			sum.Hash = r.Hash
		}
	}
	if t.errIsTerminal {
		fmt.Fprint(t.err, "\r\033[K")
	}
	return tellSimulated(t, o, sum)
}

func tellSimulated(t *terminal, o simOptions, sum simSummary) error {
	switch {
	case o.json:
		if err := t.printJSON(sum); err != nil {
			return err
		}
	case sum.Failure != nil:
		tellStory(t.out, *sum.Failure)
	default:
		fmt.Fprintf(t.out, "%d worlds, %d faults, %d frames arrived, %d played, no rule broken\nhash %s\n", sum.Seeds, sum.Faults, sum.Frames, sum.Played, sum.Hash)
	}
	if f := sum.Failure; f != nil {
		return fmt.Errorf("seed %d: %s\nrotunda: `%s` runs it again", f.Seed, f.Broken, o.again(f.Seed))
	}
	return nil
}

// again is the command that makes one world once more.
func (o simOptions) again(seed uint64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "rotunda sim --seed %d", seed)
	for _, f := range []struct {
		name  string
		value int
	}{{"nodes", o.Nodes}, {"regions", o.Regions}, {"listeners", o.Listeners}} {
		if f.value != 0 {
			fmt.Fprintf(&b, " --%s %d", f.name, f.value)
		}
	}
	if !o.Faults {
		b.WriteString(" --faults=false")
	}
	return b.String()
}

func tellStory(w io.Writer, r sim.Result) {
	fmt.Fprintf(w, "seed %d: %d nodes in %d regions, hash %s\n", r.Seed, r.Nodes, r.Regions, r.Hash)
	for _, line := range r.Story {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w, r.Broken)
}
