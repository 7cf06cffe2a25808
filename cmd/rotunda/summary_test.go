package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rotunda"
)

func TestPacer(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	var p pacer
	for _, step := range []struct {
		now  int // ms since the start
		wait int
		why  string
	}{
		{0, 0, "the first goes at once"},
		{0, 20, "the second 20 ms later"},
		{25, 15, "5 ms late: counted from the start, not from now"},
		{60, 0, "on time"},
		{130, 0, "50 ms late: catch up"},
		{130, 0, "still 30 ms late"},
		{130, 0, "10 ms late"},
		{130, 10, "caught up"},
		{1000, 0, "asleep: the lost time is given up"},
		{1000, 20, "and not sent all at once"},
	} {
		if got := p.wait(at(step.now), 20*time.Millisecond); got != time.Duration(step.wait)*time.Millisecond {
			t.Errorf("at %d ms: wait = %v, want %d ms (%s)", step.now, got, step.wait, step.why)
		}
	}
}

func TestUnwrap(t *testing.T) {
	var u unwrapper
	for _, step := range []struct {
		seq  uint16
		ts   uint32
		want uint64
		at   int64
	}{
		{65534, 4294966336, unwrapBase | 65534, 4294966336},
		{65535, 0, unwrapBase | 65535, 1 << 32},
		{1, 1920, unwrapBase + 65537, 1<<32 + 1920},
		{0, 960, unwrapBase + 65536, 1<<32 + 960},
		{65533, 4294965376, unwrapBase | 65533, 4294965376},
		{2, 2880, unwrapBase + 65538, 1<<32 + 2880},
	} {
		if seq, at := u.unwrap(step.seq, step.ts); seq != step.want || at != step.at {
			t.Errorf("unwrap(%d, %d) = %d, %d, want %d, %d", step.seq, step.ts, seq, at, step.want, step.at)
		}
	}
}

// came is a packet of a story: its number and media time in frames, when it came, and how loud it is.
type came struct {
	seq, frame, ms int
	level          uint8
}

func play(story []came) *tally {
	var t tally
	var order sequencer
	start := time.Unix(1000, 0)
	for _, c := range story {
		p := packet{seq: unwrapBase + uint64(c.seq), at: int64(c.frame) * rotunda.FrameTicks, duration: rotunda.FrameDuration, level: c.level}
		p.late = t.arrived(start.Add(time.Duration(c.ms)*time.Millisecond), p.at)
		order.push(p, t.played)
	}
	order.flush(t.played)
	return &t
}

// steady are n packets in a row, 20 ms apart.
func steady(seq, frame, ms, n int) (s []came) {
	for i := range n {
		s = append(s, came{seq + i, frame + i, ms + 20*i, 20})
	}
	return s
}

func TestTally(t *testing.T) {
	for name, tc := range map[string]struct {
		story                          []came
		expected, missing, late, gapMs int
	}{
		"all well":              {steady(0, 0, 0, 100), 100, 0, 0, 0},
		"one lost":              {append(steady(0, 0, 0, 10), steady(11, 11, 220, 10)...), 21, 1, 0, 20},
		"three lost in a row":   {append(steady(0, 0, 0, 10), steady(13, 13, 260, 10)...), 23, 3, 0, 60},
		"two and two lost":      {slices.Concat(steady(0, 0, 0, 10), steady(12, 12, 240, 5), steady(19, 19, 380, 5)), 24, 4, 0, 40},
		"swapped":               {slices.Concat(steady(0, 0, 0, 10), steady(11, 11, 220, 1), []came{{10, 10, 221, 20}}, steady(12, 12, 240, 5)), 17, 0, 0, 0},
		"twice":                 {slices.Concat(steady(0, 0, 0, 10), []came{{9, 9, 185, 20}}, steady(10, 10, 200, 5)), 15, 0, 0, 0},
		"at the buffer's end":   {append(steady(0, 0, 0, 10), came{10, 10, 260, 20}), 11, 0, 0, 0},
		"late":                  {append(steady(0, 0, 0, 10), came{10, 10, 261, 20}, came{11, 11, 262, 20}), 12, 0, 1, 20},
		"stalled, then a burst": {append(steady(0, 0, 0, 10), came{10, 10, 400, 20}, came{11, 11, 400, 20}, came{12, 12, 400, 20}), 13, 0, 3, 60},
		"lost and then late":    {append(steady(0, 0, 0, 10), came{12, 12, 400, 20}, came{13, 13, 320, 20}), 14, 2, 1, 60},
		"silence":               {append([]came{{0, 0, 0, 127}}, steady(1, 20, 400, 10)...), 11, 0, 0, 0},
		"cut off":               {append([]came{{0, 0, 0, 20}}, steady(1, 20, 400, 10)...), 11, 0, 0, 380},
		"lost in silence":       {append([]came{{0, 0, 0, 127}}, steady(2, 20, 400, 10)...), 12, 1, 0, 20},
		"earlier as time goes":  {append(steady(0, 0, 100, 10), steady(10, 10, 240, 10)...), 20, 0, 0, 0},
		"nothing":               {nil, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(tc.story).summary(0, "n")
			got := []int{int(s.Expected), int(s.Missing), int(s.Late), int(s.LongestGap)}
			if want := []int{tc.expected, tc.missing, tc.late, tc.gapMs}; !slices.Equal(got, want) {
				t.Errorf("expected, missing, late, longest gap = %v, want %v", got, want)
			}
		})
	}
}

// A packet of three frames that is lost is 60 ms of silence.
func TestTallyOfMergedPackets(t *testing.T) {
	var tl tally
	start := time.Unix(1000, 0)
	for _, seq := range []int{0, 1, 3} {
		p := packet{seq: uint64(seq), at: int64(seq) * 3 * rotunda.FrameTicks, duration: 3 * rotunda.FrameDuration, level: 20}
		p.late = tl.arrived(start.Add(time.Duration(seq)*60*time.Millisecond), p.at)
		tl.played(p)
	}
	if s := tl.summary(0, "n"); s.Expected != 4 || s.Missing != 1 || s.LongestGap != 60 {
		t.Errorf("%+v", s)
	}
	if d := durationOf([]byte{15<<3 | 3, 3, 1, 2, 3}); d != 60*time.Millisecond {
		t.Errorf("a packet of three frames plays %v", d)
	}
}

// Packets that are shuffled among their neighbours and partly lost come out in order, each once, and none that came is
// lost but those from before the first.
func TestSequencerOrders(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		var came []uint64
		for i := range uint64(10 * orderDepth) {
			if random.IntN(10) > 0 {
				came = append(came, unwrapBase+i)
			}
		}
		for block := range slices.Chunk(came, orderDepth/2) {
			random.Shuffle(len(block), func(i, j int) { block[i], block[j] = block[j], block[i] })
		}
		var s sequencer
		var out []uint64
		emit := func(p packet) { out = append(out, p.seq) }
		for _, seq := range came {
			s.push(packet{seq: seq}, emit)
			if s.push(packet{seq: seq}, emit) {
				t.Fatalf("round %d: %d was taken twice", round, seq)
			}
		}
		s.flush(emit)
		want := slices.DeleteFunc(slices.Clone(came), func(seq uint64) bool { return seq < came[0] })
		slices.Sort(want)
		if !slices.Equal(out, want) {
			t.Fatalf("round %d: handed on %v, want %v", round, out, want)
		}
	}
}

// A jump of the numbers far ahead costs no time in proportion.
func TestSequencerJumps(t *testing.T) {
	var s sequencer
	var out []uint64
	for _, seq := range []uint64{1, 2, 1 << 60, 1<<60 + 1} {
		s.push(packet{seq: seq}, func(p packet) { out = append(out, p.seq) })
	}
	if want := []uint64{1, 2, 1 << 60, 1<<60 + 1}; !slices.Equal(out, want) {
		t.Errorf("handed on %v, want %v", out, want)
	}
}

func TestPercentiles(t *testing.T) {
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	h.add(-time.Second) // a clock that is behind
	h.add(time.Hour)
	for p, want := range map[uint64]float64{50: 500, 95: 951, 99: 991, 100: 10000} {
		if got := h.percentile(p); got == nil || *got != want {
			t.Errorf("percentile(%d) = %v, want %v", p, deref(got), want)
		}
	}
	if (&histogram{}).percentile(50) != nil {
		t.Error("a percentile of nothing")
	}
}

func deref(p *float64) any {
	if p == nil {
		return nil
	}
	return *p
}

// Scripts read these fields: their names and their absence are the contract's.
func TestSummaryJSON(t *testing.T) {
	tl := play(append(steady(0, 0, 0, 10), steady(12, 12, 240, 10)...))
	tl.aged(12300 * time.Microsecond)
	got, err := json.Marshal(tl.summary(73400*time.Microsecond, "us-east-1"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"expected":22,"missing":2,"late":0,"longest_gap_ms":40,"age_ms":{"p50":12.3,"p95":12.3,"p99":12.3},"join_ms":73.4,"node":"us-east-1","sessions":0}`
	if string(got) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	got, _ = json.Marshal((&tally{}).summary(0, "x"))
	const nothing = `{"expected":0,"missing":0,"late":0,"longest_gap_ms":0,"age_ms":{"p50":null,"p95":null,"p99":null},"join_ms":null,"node":"x","sessions":0}`
	if string(got) != nothing {
		t.Errorf("\n got %s\nwant %s", got, nothing)
	}
}

// The table of distances is what the real network's is like: symmetric by construction, no region at two places, light not
// overtaken (no two of these regions are closer than 300 km, no pair further than half the globe by a bad cable).
func TestWAN(t *testing.T) {
	if len(wanRegions) < 12 || len(wanRoundTrips) != len(wanRegions) {
		t.Fatalf("%d regions, %d rows", len(wanRegions), len(wanRoundTrips))
	}
	for i, row := range wanRoundTrips {
		if len(row) != i {
			t.Errorf("%s has %d distances, want %d", wanRegions[i], len(row), i)
		}
		for j, ms := range row {
			if ms < 5 || ms > 400 {
				t.Errorf("%s to %s takes %d ms", wanRegions[i], wanRegions[j], ms)
			}
		}
		if wanRegions[i].Valid() != nil || slices.Index(wanRegions, wanRegions[i]) != i {
			t.Errorf("region %q", wanRegions[i])
		}
	}
	for _, c := range []struct {
		a, b rotunda.Region
		want string
	}{{"us-east", "eu-west", "37.5ms true"}, {"eu-west", "us-east", "37.5ms true"}, {"ap-south", "ap-south", "0s true"}, {"eu-west", "mars", "0s false"}} {
		d, ok := oneWay(c.a, c.b)
		if got := fmt.Sprint(d, " ", ok); got != c.want {
			t.Errorf("oneWay(%s, %s) = %s, want %s", c.a, c.b, got, c.want)
		}
	}
	if got := wanFrom("eu-west", []rotunda.Region{"eu-west", "us-east", "mars"}); len(got) != 1 || got["us-east"] != 37500*time.Microsecond {
		t.Errorf("wanFrom = %v", got)
	}
}
