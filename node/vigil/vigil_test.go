package vigil

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// stories is what the page's half of the rule is held to as well. Times are milliseconds; ranges are from, to, step.
type stories struct {
	Watch []struct {
		Name    string
		Random  float64
		Packets [][3]int
		Looks   [][3]int
		Says    [][2]any
	}
	Order []struct {
		Name    string
		Nodes   []string // base/region
		Base    string
		Randoms []float64
		Bases   []string
	}
	Wait []struct {
		N      int
		Random float64
		MS     int
	}
}

func read(t *testing.T) (s stories) {
	t.Helper()
	b, err := os.ReadFile("testdata/stories.json")
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil || len(s.Watch) == 0 || len(s.Order) == 0 || len(s.Wait) == 0 {
		t.Fatalf("%v, %d stories", err, len(s.Watch))
	}
	return s
}

// times lists the instants of ranges, in order.
func times(ranges [][3]int) (all []int) {
	for _, r := range ranges {
		for at := r[0]; at <= r[1]; at += r[2] {
			all = append(all, at)
		}
	}
	slices.Sort(all)
	return all
}

func TestWatch(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, c := range read(t).Watch {
		w := NewWatch(c.Random)
		packets := times(c.Packets)
		var said [][2]any
		for _, at := range times(c.Looks) {
			came := false
			for len(packets) > 0 && packets[0] <= at {
				packets, came = packets[1:], true
			}
			if v := w.Look(start.Add(time.Duration(at)*time.Millisecond), came); v != "" {
				said = append(said, [2]any{at, string(v)})
			}
		}
		if fmt.Sprint(said) != fmt.Sprint(c.Says) {
			t.Errorf("%s: says %v, want %v", c.Name, said, c.Says)
		}
	}
}

func TestOrder(t *testing.T) {
	for _, c := range read(t).Order {
		var nodes []Node
		for _, s := range c.Nodes {
			base, region, _ := strings.Cut(s, "/")
			nodes = append(nodes, Node{base, region})
		}
		left := c.Randoms
		got := Order(nodes, c.Base, func() float64 { r := left[0]; left = left[1:]; return r })
		if !slices.Equal(got, c.Bases) || len(left) > 0 {
			t.Errorf("%s: %v, %d draws left, want %v", c.Name, got, len(left), c.Bases)
		}
	}
}

func TestWait(t *testing.T) {
	for _, c := range read(t).Wait {
		if got := Wait(c.N, c.Random); got != time.Duration(c.MS)*time.Millisecond {
			t.Errorf("Wait(%d, %v) = %v, want %d ms", c.N, c.Random, got, c.MS)
		}
	}
}
