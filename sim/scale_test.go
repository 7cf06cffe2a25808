package sim

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

// A large world, smaller: the goals hold, nobody misses a frame, the same seed gives the same page, and every picture is XML.
func TestScale(t *testing.T) {
	small := Large{Seed: 3, Nodes: 240, Regions: 8, Listeners: 24_000}
	var last float64
	r, err := Scale(small, func(done float64) bool { last = done; return true })
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range r.Goals() {
		if !g.Met {
			t.Errorf("%s: %s, want %s", g.Name, g.Value, g.Target)
		}
	}
	taking := 0
	for _, n := range r.Hops {
		taking += n
	}
	if taking != small.Nodes || last != 1 || r.Frames < 400 || r.Lost.Expected == 0 || r.Lost.Listeners == 0 {
		t.Errorf("%d nodes take the program, %v is done, %d frames, %+v", taking, last, r.Frames, r.Lost)
	}
	if r.PairMax > 1.05 {
		t.Errorf("%.2f copies between two regions, want one", r.PairMax)
	}
	again, err := Scale(small, func(float64) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range r.Files() {
		if again.Files()[name] != text {
			t.Errorf("%s differs when it is made again", name)
		}
		if d := xml.NewDecoder(strings.NewReader(text)); strings.HasSuffix(name, ".svg") {
			for {
				if _, err := d.Token(); err == io.EOF {
					break
				} else if err != nil {
					t.Errorf("%s: %v", name, err)
					break
				}
			}
		}
	}
}

func TestScaleRefuses(t *testing.T) {
	for _, l := range []Large{{Nodes: 5}, {Regions: 2}, {Regions: 31}, {Nodes: NodesMax + 1}} {
		if _, err := Scale(l, func(float64) bool { return true }); err == nil {
			t.Errorf("%+v: accepted", l)
		}
	}
}
