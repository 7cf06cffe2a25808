package mix

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"rotunda/node/pcm"
)

// Whatever goes in, nothing beyond the ceiling comes out; and what never peaks comes out as it went in, one block later.
func TestLimiterProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLimiter()
		var in, out []float32
		tame := rapid.Bool().Draw(t, "tame")
		for range rapid.IntRange(1, 12).Draw(t, "windows") {
			x := make([]float32, window)
			for b := 0; b < window; b += limitBlock {
				amplitude := rapid.Float64Range(0, 30).Draw(t, "amplitude")
				if tame {
					amplitude = min(amplitude, ceiling)
				}
				(&pcm.Tone{Hertz: 900, Amplitude: amplitude}).Fill(x[b : b+limitBlock])
			}
			in = append(in, x...)
			l.process(x)
			out = append(out, x...)
		}
		for i, v := range out {
			if v > ceiling+1e-4 || v < -ceiling-1e-4 {
				t.Fatalf("sample %d is %v", i, v)
			}
			if tame && i >= limitBlock && v != in[i-limitBlock] {
				t.Fatalf("sample %d was changed from %v to %v", i, in[i-limitBlock], v)
			}
		}
	})
}

// After a peak the gain comes back within a second, and no faster than 1 dB in 20 ms: no pumping.
func TestLimiterReleasesSlowly(t *testing.T) {
	l := newLimiter()
	quiet := pcm.Tone{Hertz: 1000, Amplitude: .1}
	loud := pcm.Tone{Hertz: 1000, Amplitude: 3}
	var x [window]float32
	loud.Fill(x[:])
	l.process(x[:])
	last, fastest := 0.0, 0.0
	for i := range 100 {
		quiet.Fill(x[:])
		l.process(x[:])
		level := 20 * math.Log10(pcm.ToneAmplitude(x[:], 1000)/.1)
		if i > 1 {
			fastest = max(fastest, level-last)
		}
		last = level
	}
	if math.Abs(last) > .1 || fastest > 1.2 {
		t.Errorf("%.2f dB after 2 s, rising by up to %.2f dB in 20 ms", last, fastest)
	}
}

// jumps is the greatest step between two samples, over that of the signal itself: a click is a big one.
func jumps(x []float32) (most float64) {
	for i := 1; i < len(x); i++ {
		most = max(most, math.Abs(float64(x[i]-x[i-1])))
	}
	return most
}

func TestShortenAndStretchByWholePeriods(t *testing.T) {
	for _, hertz := range []float64{110, 170, 233, 399} {
		x := make([]float32, window, window+lagMax)
		(&pcm.Tone{Hertz: hertz, Amplitude: .5}).Fill(x)
		step := jumps(x)
		short := shorten(slices.Clone(x), lagMax)
		long := stretch(slices.Grow(slices.Clone(x), lagMax), lagMax)
		if len(short) >= window || len(short) < window-lagMax || len(long) <= window || len(long) > window+lagMax {
			t.Errorf("%v Hz: %d and %d samples of %d", hertz, len(short), len(long), window)
		}
		for what, y := range map[string][]float32{"shortened": short, "stretched": long} {
			if jumps(y) > 1.05*step {
				t.Errorf("%v Hz %s: a step of %.3f, in the tone %.3f", hertz, what, jumps(y), step)
			}
			if periods := float64(window-len(y)) * hertz / pcm.Rate; math.Abs(periods-math.Round(periods)) > .03 {
				t.Errorf("%v Hz %s by %.2f periods", hertz, what, periods)
			}
			if y[0] != x[0] || y[len(y)-1] != x[window-1] {
				t.Errorf("%v Hz %s: the ends moved", hertz, what)
			}
		}
	}
}

func TestWhatDoesNotRepeatIsLeftAlone(t *testing.T) {
	seed := uint64(1)
	noise := make([]float32, window, window+lagMax)
	for i := range noise {
		seed = seed*6364136223846793005 + 1442695040888963407
		noise[i] = float32(seed>>40)/(1<<24) - .5
	}
	if got := shorten(slices.Clone(noise), lagMax); len(got) != window {
		t.Errorf("noise shortened by %d samples", window-len(got))
	}
	if got := stretch(slices.Grow(slices.Clone(noise), lagMax), lagMax); len(got) != window {
		t.Errorf("noise stretched by %d samples", len(got)-window)
	}
	silence := make([]float32, window, window+lagMax)
	if got := shorten(silence, 500); len(got) != window-500 {
		t.Errorf("silence shortened by %d samples, want 500", window-len(got))
	}
	for what, x := range map[string][]float32{"too short": make([]float32, 500, 2000), "no room": make([]float32, window)} {
		if got := stretch(x[:len(x):len(x)], 500); len(got) != len(x) {
			t.Errorf("%s: stretched", what)
		}
	}
	if got := shorten(make([]float32, 500), 500); len(got) != 500 {
		t.Error("too short a piece was shortened")
	}
}
