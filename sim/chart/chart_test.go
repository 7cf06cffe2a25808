package chart

import (
	"strings"
	"testing"
)

// Whatever things are called, a picture stays a picture; it has both schemes, and nothing lies outside of it.
func TestPictures(t *testing.T) {
	f := Frame{Title: `<b> & "co"`, Note: "note", X: "x", Y: "y", XMax: 10, YMax: 1, Percent: true}
	for name, svg := range map[string]string{
		"lines":  Lines(f, []Series{{Name: "<s>", Points: [][2]float64{{0, 0}, {50, 2}}}}, []Mark{{At: 5, Name: "m"}}),
		"ranges": Ranges(f, "at", "span", []Row{{Name: "r<", At: 1, Low: 2, High: 3}}),
		"bars":   Bars(f, []Bar{{Name: "b", Value: 0.5}, {Name: "c"}}),
		"matrix": Matrix(f, []string{"a", "b"}, [][]float64{{0, 3}, {0, 0}}),
	} {
		if strings.Contains(svg, "<b>") || strings.Contains(svg, "<s>") || strings.Contains(svg, "r<<") {
			t.Errorf("%s: names are not escaped", name)
		}
		for _, want := range []string{"prefers-color-scheme:dark", "&lt;b&gt; &amp; &quot;co&quot;", "</svg>"} {
			if !strings.Contains(svg, want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s: a figure that is none", name)
		}
	}
	if svg := Lines(f, []Series{{Points: [][2]float64{{50, 2}}}}, nil); !strings.Contains(svg, `points="736.0,76.0 "`) {
		t.Errorf("a point beyond the axes is not at their end: %s", svg)
	}
}

func TestStep(t *testing.T) {
	for most, want := range map[float64]float64{150: 50, 1: 0.2, 5: 1, 2500: 500, 41: 10} {
		if got := step(most); got < want*0.999 || got > want*1.001 {
			t.Errorf("step(%v) = %v, want %v", most, got, want)
		}
	}
}
