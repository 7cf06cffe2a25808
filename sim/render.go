package sim

import (
	"fmt"
	"strings"

	"rotunda/sim/chart"
)

// Files are the pictures of a report and the page that shows them, by name, as they stand in docs/.
func (r *Report) Files() map[string]string {
	return map[string]string{
		"scale.md":                 r.page(),
		"images/scale-age.svg":     r.agePicture(),
		"images/scale-regions.svg": r.placesPicture(),
		"images/scale-copies.svg":  r.copiesPicture(),
		"images/scale-fanout.svg":  r.fanOutPicture(),
		"images/scale-lost.svg":    r.lostPicture(),
	}
}

func (r *Report) size() string {
	return fmt.Sprintf("%s listeners, %s nodes, %d regions", thousands(r.Listeners), thousands(r.Nodes), r.Regions)
}

func (r *Report) agePicture() string {
	f := chart.Frame{
		Title: "How old a frame is when it reaches a listener's node", Note: r.size() + "; home in " + r.Places[0].Region,
		X: "milliseconds since home sent it", Y: "share of listeners' frames", XMax: 150, YMax: 1, Percent: true,
	}
	return chart.Lines(f, []chart.Series{{Name: "one-way distance from home", Points: r.distanceCurve}, {Name: "age of the first copy", Points: r.ageCurve}}, nil)
}

func (r *Report) placesPicture() string {
	f := chart.Frame{
		Title: "Every region, by its distance from home", Note: fmt.Sprintf("99 of 100 frames arrive at most %.0f ms later than the direct way takes", r.Excess.P99),
		X: "milliseconds", XMax: 150,
	}
	rows := make([]chart.Row, len(r.Places))
	for i, p := range r.Places {
		rows[i] = chart.Row{Name: p.Region, At: p.Distance, Low: p.P50, High: p.P99}
	}
	return chart.Ranges(f, "one-way distance", "frame age, p50 to p99", rows)
}

func (r *Report) copiesPicture() string {
	names := make([]string, len(Continents))
	for i, c := range Continents {
		names[i] = string(c)
	}
	return chart.Matrix(chart.Frame{
		Title: "Copies of one frame that cross from continent to continent", Note: "From the row to the column, whatever the number of listeners; within a continent not counted",
	}, names, r.between)
}

func (r *Report) fanOutPicture() string {
	steps := []int{0, 1, 2, 4, 8, 16, 32, 64}
	bars := make([]chart.Bar, len(steps))
	for i, s := range steps {
		bars[i].Name = fmt.Sprint(s)
		if i > 0 && s-steps[i-1] > 1 {
			bars[i].Name = fmt.Sprintf("%d–%d", steps[i-1]+1, s)
		}
	}
	most := 0.0
	for _, n := range r.FanOut {
		for i, s := range steps {
			if n <= s || i == len(steps)-1 {
				bars[i].Value++
				most = max(most, bars[i].Value)
				break
			}
		}
	}
	return chart.Bars(chart.Frame{
		Title: "How many copies a node sends to other nodes", Note: fmt.Sprintf("All streams of the room, each 20 ms; the most is %d, of at most 64", r.FanOutMax),
		X: "copies", Y: "nodes", YMax: most * 1.05,
	}, bars)
}

func (r *Report) lostPicture() string {
	return chart.Lines(chart.Frame{
		Title: fmt.Sprintf("A region dies: when its %s listeners hear again", thousands(r.Lost.Listeners)),
		Note:  fmt.Sprintf("%s and its %d nodes end at once; elsewhere %d of %s frames are missing", r.Lost.Region, r.Lost.Nodes, r.Lost.Missing, thousands(r.Lost.Expected)),
		X:     "milliseconds since the region was lost", Y: "share of its listeners", XMax: 2500, YMax: 1, Percent: true,
	}, []chart.Series{{Name: "hear again, at a node elsewhere", Points: r.gapCurve}}, []chart.Mark{{At: 2000, Name: "goal: p95"}})
}

// page is docs/scale.md.
func (r *Report) page() string {
	var b strings.Builder
	p := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	p("# One room, %s listeners", thousands(r.Listeners))
	p("")
	p("Made by `make scale`: do not edit. %s, from the simulator (package `sim`): the product's own planner, routing", r.size())
	p("tables, rooms and edges, in virtual time, over models of networks, gossip and clients. Seed %d, hash `%s`, %s events: the same", r.Seed, r.Hash, thousands(int(r.Events)))
	p("figures on every machine. It is a calculation, not a measurement; what is measured is in `performance.md`.")
	p("")
	p("| | here | goal | |")
	p("|---|---|---|---|")
	for _, g := range r.Goals() {
		met := "met"
		if !g.Met {
			met = "**missed**"
		}
		p("| %s | **%s** | %s | %s |", g.Name, g.Value, g.Target, met)
	}
	r.pageAge(p)
	r.pageCopies(p)
	r.pageLost(p)
	p("")
	p("## What is assumed")
	p("")
	p("- Distances are measured ones: Azure's round trips between these regions, 95th percentile of a month (source in `sim/regions.go`),")
	p("  halved; %.1f ms between nodes of one region. Ways lose nothing here, and queue for up to 2 ms on average. Loss is the matter", ms(withinRegion))
	p("  of tests over the real transport.")
	p("- A node takes %d µs from a frame's arrival to its first copy and %d µs for each further one.", hopCost.Microseconds(), copyCost.Microseconds())
	p("- Every node has the same number of listeners, at most one apart. Host and home are in %s, three more speakers in Europe, Asia", r.Places[0].Region)
	p("  and South America. All nodes know each other before the room begins.")
	p("- The program is counted from the mixer to the node of a listener. The speaker's way to home, the mixer's buffer and the listener's")
	p("  own last mile and jitter buffer come on top.")
	p("- The clients of a region that is lost notice after %d ms of silence, ask the %d nodes elsewhere that they know, go to the first that", clientSilence.Milliseconds(), edgesElsewhere)
	p("  answers within %d ms, and need %.1f round trips to the first packet. A node lets in %d people a second. That is the rule that", clientAsk.Milliseconds(), joinTrips, 1000/joinEach.Milliseconds())
	p("  clients are to follow; a browser that waits for ICE to notice takes seconds longer.")
	return b.String()
}

func (r *Report) pageAge(p func(string, ...any)) {
	p("")
	p("## Age")
	p("")
	p("![Age of frames](images/scale-age.svg)")
	p("")
	p("| milliseconds | p50 | p99 | most |")
	p("|---|---|---|---|")
	for _, x := range []struct {
		name string
		q    Quantiles
	}{{"one-way distance from home", r.Distance}, {"age of a frame at the edge", r.Age}, {"age above distance", r.Excess}} {
		p("| %s | %.0f | %.0f | %.0f |", x.name, x.q.P50, x.q.P99, x.q.Max)
	}
	p("")
	p("![Age by region](images/scale-regions.svg)")
}

func (r *Report) pageCopies(p func(string, ...any)) {
	p("")
	p("## Copies")
	p("")
	p("![Copies between continents](images/scale-copies.svg)")
	p("")
	p("Between two regions goes at most **%s** of each frame in one direction, whatever the number of listeners: the primary and the backup of", copies(r.PairMax))
	p("a region come from different ones. A node that takes the program gets %.2f copies of each frame on average: two ways, of which the first", r.Copies)
	p("copy counts.")
	p("")
	p("| ocean or land bridge | copies there | back |")
	p("|---|---|---|")
	for i, a := range Continents {
		for _, c := range Continents[i+1:] {
			if x, ok := r.Oceans[string(a)+" – "+string(c)]; ok {
				p("| %s – %s | %.1f | %.1f |", a, c, x[0], x[1])
			}
		}
	}
	p("")
	p("![Fan-out](images/scale-fanout.svg)")
	p("")
	p("| links that the first copy crosses | nodes |")
	p("|---|---|")
	for hops, n := range r.Hops {
		if n > 0 {
			p("| %d | %s |", hops, thousands(n))
		}
	}
}

func copies(n float64) string {
	if n < 1.05 {
		return "one copy"
	}
	return fmt.Sprintf("%.1f copies", n)
}

func (r *Report) pageLost(p func(string, ...any)) {
	l := r.Lost
	p("")
	p("## A region is lost")
	p("")
	p("%s, which sends most copies to other regions, home's and the speakers' apart, ends at once with its %d nodes.", l.Region, l.Nodes)
	p("")
	p("![Listeners of the lost region](images/scale-lost.svg)")
	p("")
	p("| | |")
	p("|---|---|")
	p("| frames missing or late at the %s other nodes | %d and %d of %s |", thousands(l.Others), l.Missing, l.Late, thousands(l.Expected))
	p("| longest time between two frames at any of them | %.0f ms |", l.SilenceMax)
	p("| its listeners | %s |", thousands(l.Listeners))
	p("| without sound: p50, p95, p99, most | %.0f, %.0f, %.0f and %.0f ms |", l.Gap.P50, l.GapP95, l.Gap.P99, l.Gap.Max)
	p("| nodes that take them in; most at one | %d; %d |", l.NodesJoined, l.JoinsMax)
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
