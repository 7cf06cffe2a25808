package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/bench/stall"
)

// trialsMax is how often what has to keep to a time is tried, where the machine itself stands still meanwhile.
const trialsMax = 3

// trial is one try. What keeps to no bound is noted, and fails the test unless it may have been the machine.
type trial struct {
	late   []string
	excess time.Duration // the most by which a bound was passed
}

// within notes whether something took no longer than it may, and prints it as `name value target`.
func (r *trial) within(name string, took, most time.Duration) {
	fmt.Printf("%s_ms %d %d\n", name, took.Milliseconds(), most.Milliseconds())
	if took > most {
		r.miss(took-most, "%s: %v, want %v at most", name, took.Round(time.Millisecond), most)
	}
}

// miss notes that something is not as it should be, for which the machine would have had to stand still so long.
func (r *trial) miss(excess time.Duration, format string, args ...any) {
	r.late = append(r.late, fmt.Sprintf(format, args...))
	r.excess = max(r.excess, excess)
}

// complete notes whether no packet is missing; each stands for its sound.
func (r *trial) complete(name string, missing, expected int, each time.Duration) {
	fmt.Printf("%s_missing_of_%d %d 0\n", name, expected, missing)
	if missing > 0 {
		r.miss(time.Duration(missing)*each, "%s: %d of %d packets are missing", name, missing, expected)
	}
}

// gap is the longest silence that was heard.
func (h listened) gap() time.Duration {
	return time.Duration(h.LongestGapMS * float64(time.Millisecond))
}

// heard notes what is missing of what was heard, and its longest silence.
func (r *trial) heard(name string, h listened, gapMax time.Duration) {
	r.complete(name, h.Missing, h.Expected, rotunda.FrameDuration)
	r.within(name+"_longest_gap", h.gap(), gapMax)
}

// trials runs a try, and another one where a bound was passed by no more than the machine stood still within two seconds meanwhile (package
// stall), three in all at most. What the program does wrong it does in each of them, and where the machine was well in the first.
func trials(t *testing.T, try func(t *testing.T, r *trial)) {
	t.Helper()
	for n := 1; ; n++ {
		var r trial
		var stood time.Duration
		if !t.Run(fmt.Sprint("try ", n), func(t *testing.T) {
			w := stall.Start(t.TempDir())
			defer func() { w.Stop(); stood = w.Worst() }()
			try(t, &r)
		}) {
			return // it failed by something else than a time
		}
		fmt.Printf("%s_machine_stood_still_ms %d\n", strings.ReplaceAll(t.Name(), "/", "_"), stood.Milliseconds())
		if len(r.late) == 0 {
			return
		}
		if n == trialsMax || stood < r.excess {
			t.Errorf("try %d, in which the machine stood still for %v of two seconds: %s", n, stood.Round(time.Millisecond), strings.Join(r.late, "; "))
			return
		}
		t.Logf("the machine stood still for %v of two seconds, so once more: %s", stood.Round(time.Millisecond), strings.Join(r.late, "; "))
	}
}
