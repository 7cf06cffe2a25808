package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Report is what was measured in a large world. Times are in milliseconds.
type Report struct {
	Seed      uint64 `json:"seed"`
	Hash      string `json:"hash"`
	Nodes     int    `json:"nodes"`
	Regions   int    `json:"regions"`
	Listeners int    `json:"listeners"`
	Events    uint64 `json:"events"`
	Frames    uint64 `json:"frames"` // of the program, that were measured

	Age      Quantiles `json:"age_ms"`      // of a program frame's first copy at the edge, weighted by listeners
	Distance Quantiles `json:"distance_ms"` // of the direct way from home, in one direction
	Excess   Quantiles `json:"excess_ms"`   // age above distance

	Places  []PlaceReport         `json:"places"` // by distance from home
	Oceans  map[string][2]float64 `json:"oceans"` // copies of a frame between two continents, there and back
	PairMax float64               `json:"region_pair_copies_max"`
	Copies  float64               `json:"copies_per_node"` // that are sent, ÷ nodes that take the program

	FanOutMax int   `json:"fan_out_max"` // copies that one node sends of all streams of the room
	FanOut    []int `json:"-"`           // by node, the most first
	Hops      []int `json:"hops"`        // nodes by the links that a frame has crossed

	Lost LossReport `json:"region_lost"`

	ageCurve, distanceCurve, gapCurve [][2]float64
	between                           [][]float64 // by Continents
}

// Quantiles are those of a distribution, in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// PlaceReport is one region.
type PlaceReport struct {
	Region   string  `json:"region"`
	Distance float64 `json:"distance_ms"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
}

// LossReport is what the end of a region did.
type LossReport struct {
	Region      string    `json:"region"`
	Nodes       int       `json:"nodes"`
	Others      int       `json:"others"` // nodes
	Expected    int       `json:"frames_expected_by_others"`
	Missing     int       `json:"frames_missing_by_others"`
	Late        int       `json:"frames_late_by_others"`
	SilenceMax  float64   `json:"silence_max_ms"` // of any other node
	Listeners   int       `json:"listeners"`
	Gap         Quantiles `json:"gap_ms"` // of the region's listeners
	GapP95      float64   `json:"gap_p95_ms"`
	NodesJoined int       `json:"nodes_joined"`
	JoinsMax    int       `json:"joins_max_at_one_node"`
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (h *histogram) quantiles() Quantiles {
	return Quantiles{P50: ms(h.at(0.5)), P99: ms(h.at(0.99)), Max: ms(h.at(1))}
}

// Scale makes a large world and measures it. progress is called now and then with the share that is done; when
// it says false the rest is left out. Without a report the error says what is wrong with cfg.
func Scale(cfg Large, progress func(done float64) bool) (*Report, error) {
	if cfg.Nodes == 0 {
		cfg.Nodes = 2000
	}
	if cfg.Regions == 0 {
		cfg.Regions = RegionsMax
	}
	if cfg.Listeners == 0 {
		cfg.Listeners = 1_000_000
	}
	if cfg.Regions < 3 || cfg.Regions > RegionsMax || cfg.Nodes < 2*cfg.Regions || cfg.Nodes > NodesMax {
		return nil, fmt.Errorf("a large world has 3 to %d regions and at least two nodes in each, at most %d: not %d and %d", RegionsMax, NodesMax, cfg.Regions, cfg.Nodes)
	}
	w, l := newLarge(cfg)
	end := largeSettle + largeMeasure + largeAfter
	until := func(at time.Duration) {
		for w.now < at && w.failure == "" {
			w.run(min(at, w.now+500*time.Millisecond))
			if !progress(w.now.Seconds()/end.Seconds()) && w.failure == "" {
				w.fail("stopped")
			}
		}
	}
	until(largeSettle)
	if w.nodes[0].served[0].home == nil {
		return &Report{}, fmt.Errorf("there is no home: %s", w.failure)
	}
	l.measuring, l.sent = true, uint64(w.nodes[0].served[0].home.seq)
	until(largeSettle + largeMeasure)
	l.measuring = false
	r := w.report(cfg, l)
	l.begin(w)
	w.loseRegion(l.loss(w), &r.Lost)
	until(end)
	w.reportLoss(l, &r.Lost)
	r.Hash, r.Events = fmt.Sprintf("%016x", w.hash), w.events
	r.gapCurve = gaps(r, l)
	if w.failure != "" {
		return r, errors.New(w.failure)
	}
	return r, nil
}

// report sums up the quiet part.
func (w *World) report(cfg Large, l *large) *Report {
	frames := uint64(w.nodes[0].served[0].home.seq) - l.sent
	r := &Report{
		Seed: cfg.Seed, Nodes: cfg.Nodes, Regions: cfg.Regions, Listeners: cfg.Listeners, Frames: frames,
		Age: l.ages.quantiles(), Distance: l.distance.quantiles(), Excess: l.excess.quantiles(),
		FanOut: w.fanOut(), Oceans: map[string][2]float64{},
		ageCurve: l.ages.curve(300), distanceCurve: l.distance.curve(300),
	}
	r.FanOutMax = r.FanOut[0]
	for place := range l.regions {
		if h := &l.regions[place]; h.total > 0 {
			direct := OneWay(w.nodes[l.home].place, place)
			r.Places = append(r.Places, PlaceReport{string(Places[place].Region), ms(direct), ms(h.at(0.5)), ms(h.at(0.99))})
		}
	}
	slices.SortStableFunc(r.Places, func(a, b PlaceReport) int { return int(10 * (a.Distance - b.Distance)) })
	r.between = make([][]float64, len(Continents))
	for i := range r.between {
		r.between[i] = make([]float64, len(Continents))
	}
	total := 0.0
	for from := range l.crossed {
		for to, n := range l.crossed[from] {
			copies := float64(n) / float64(frames)
			total += copies
			if from != to {
				r.PairMax = max(r.PairMax, copies)
			}
			r.between[continent(from)][continent(to)] += copies
		}
	}
	for i, a := range Continents {
		for j, b := range Continents[:i] {
			if there, back := r.between[j][i], r.between[i][j]; there+back > 0 {
				r.Oceans[string(b)+" – "+string(a)] = [2]float64{there, back}
			}
		}
	}
	r.Copies = total / float64(len(w.nodes)-1)
	for _, h := range l.hops {
		for len(r.Hops) <= h {
			r.Hops = append(r.Hops, 0)
		}
		r.Hops[h]++
	}
	return r
}

// Continents are the continents, in the order of pictures.
var Continents = [...]Continent{NorthAmerica, SouthAmerica, Europe, MiddleEast, Africa, Asia, Oceania}

func continent(place int) int { return slices.Index(Continents[:], Places[place].Continent) }

// loseRegion ends all nodes of a region at once.
func (w *World) loseRegion(place int, r *LossReport) {
	l := w.large
	l.dead = place
	r.Region = string(Places[place].Region)
	for i, n := range w.nodes {
		if n.place == place {
			r.Nodes++
			w.crash(i)
		}
	}
	l.rehomed = w.rehome(place)
}

// reportLoss sums up what others noticed, and when those who had lost their node heard again.
func (w *World) reportLoss(l *large, r *LossReport) {
	each := int(l.last - l.first + 1)
	for i, n := range w.nodes {
		if n.place == l.dead || i == l.home {
			continue
		}
		r.Others++
		r.Expected += each
		r.Missing += each - l.got[i]
		r.Late += l.late[i]
		r.SilenceMax = max(r.SilenceMax, ms(l.silence[i]))
	}
	h := l.rehomed
	r.Listeners, r.NodesJoined, r.JoinsMax = h.Listeners, h.nodesUsed, h.mostAt
	r.Gap, r.GapP95 = Quantiles{ms(h.at(0.5)), ms(h.at(0.99)), ms(h.at(1))}, ms(h.at(0.95))
}

// gaps is the share of a lost region's listeners who hear again, by time in milliseconds.
func gaps(_ *Report, l *large) (points [][2]float64) {
	all := l.rehomed.gaps
	for i := 0; i <= 3000; i += 20 {
		n, _ := slices.BinarySearch(all, time.Duration(i)*time.Millisecond)
		points = append(points, [2]float64{float64(i), float64(n) / float64(max(1, len(all)))})
	}
	return points
}

// Goals are the figures of goals.md for a large world, and whether they are met.
func (r *Report) Goals() []Goal {
	return []Goal{
		{"frame age above the one-way distance, p99", fmt.Sprintf("%.0f ms", r.Excess.P99), "≤ 60 ms", r.Excess.P99 <= 60},
		{"copies that one node sends, most", fmt.Sprint(r.FanOutMax), "≤ 64", r.FanOutMax <= 64},
		{"region lost: frames missing for all others", fmt.Sprintf("%d of %s", r.Lost.Missing+r.Lost.Late, thousands(r.Lost.Expected)), "0", r.Lost.Missing+r.Lost.Late == 0},
		{"region lost: its listeners hear again, p95", thousands(int(r.Lost.GapP95+0.5)) + " ms", "≤ 2,000 ms", r.Lost.GapP95 <= 2000},
	}
}

// Goal is one figure and its target.
type Goal struct {
	Name, Value, Target string
	Met                 bool
}
