package pcm

import "math"

// ToneAmplitude is the amplitude of the sine of the given frequency in x (Goertzel), under a Hann window so that other tones
// leak little. x should hold at least four periods.
func ToneAmplitude(x []float32, hertz float64) float64 {
	if len(x) < 2 {
		return 0
	}
	var s1, s2, weight float64
	w := 2 * math.Pi * hertz / Rate
	c := 2 * math.Cos(w)
	for i, v := range x {
		hann := .5 - .5*math.Cos(2*math.Pi*float64(i)/float64(len(x)-1))
		weight += hann
		s1, s2 = hann*float64(v)+c*s1-s2, s1
	}
	return 2 * math.Sqrt(max(0, s1*s1+s2*s2-c*s1*s2)) / weight
}

// Correlate finds where got holds ref: the lag from 0 to lagMax (in samples) by which ref must be delayed to be most like got, and
// the normalised correlation there (1: the same but for a factor; 0: nothing in common). Both are at 48 kHz. The search is
// coarse at 6 kHz first, then exact, so signals should have most of their energy below 2 kHz, as speech does.
func Correlate(ref, got []float32, lagMax int) (r float64, lag int) {
	const factor = 8
	a, b := decimate(ref, factor), decimate(got, factor)
	_, coarse := scan(a, b, 0, lagMax/factor)
	return scan(ref, got, max(0, (coarse-2)*factor), min(lagMax, (coarse+2)*factor))
}

// scan correlates at every lag.
func scan(ref, got []float32, from, to int) (best float64, lag int) {
	lag = from
	best = math.Inf(-1)
	for l := from; l <= to && l < len(got); l++ {
		n := min(len(ref), len(got)-l)
		if r := correlation(ref[:n], got[l:l+n]); r > best {
			best, lag = r, l
		}
	}
	if math.IsInf(best, -1) {
		return 0, from
	}
	return best, lag
}

func correlation(a, b []float32) float64 {
	var ab, aa, bb float64
	for i, x := range a {
		y := b[i]
		ab += float64(x) * float64(y)
		aa += float64(x) * float64(x)
		bb += float64(y) * float64(y)
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}

// decimate averages `factor` samples into one.
func decimate(x []float32, factor int) []float32 {
	out := make([]float32, len(x)/factor)
	for i := range out {
		sum := float32(0)
		for _, v := range x[i*factor : (i+1)*factor] {
			sum += v
		}
		out[i] = sum / float32(factor)
	}
	return out
}

// Likeness says how much of one recording is in another.
type Likeness struct {
	Correlation float64 // mean over the segments, weighted by their energy: 1 for a copy
	Missing     float64 // share of the reference's energy that was not found: neither in its segment nor in a part of one (correlation below a half)
	Lag         int     // of the first segment that was found, samples; -1 when none was
	Drift       int     // how much the lag differs from the first to the last segment found, samples
	Segments    int     // compared: those that hold more than silence
}

// Compare looks for ref in got piece by piece, as an ear does: each segment of 400 ms is searched for around where the one
// before it was found, so that a player that drops, stretches or shortens a little in between is not punished for what
// follows. lagMax bounds the search for the beginning; both are at 48 kHz.
func Compare(ref, got []float32, lagMax int) Likeness {
	const segment, wander = Rate * 4 / 10, Rate * 15 / 100
	out := Likeness{Lag: -1}
	whole := Power(ref)
	_, lag := Correlate(ref[:min(len(ref), 2*Rate)], got, min(lagMax, len(got)))
	var energy, like, lost float64
	for at := 0; at+segment <= len(ref); at += segment {
		x := ref[at : at+segment]
		p := Power(x)
		if p <= whole/100 {
			continue
		}
		out.Segments++
		energy += p
		r, l := around(x, got, at+lag, wander/10)
		if r < .8 {
			r, l = around(x, got, at+lag, wander)
		}
		like += p * max(0, r)
		if r < .5 { // lost, or shortened in its middle: then its parts are there, each at a lag of its own
			lost += p * missing(x, got, at+lag)
			continue
		}
		lag = l - at
		if out.Lag < 0 {
			out.Lag = lag
		}
		out.Drift = lag - out.Lag
	}
	if energy > 0 {
		out.Correlation, out.Missing = like/energy, lost/energy
	}
	return out
}

// missing is the share of the energy of x whose parts of 50 ms are not in got within 30 ms of where they belong: a jitter
// buffer moves a voice by 20 ms when it changes its delay.
func missing(x, got []float32, place int) float64 {
	const part, wander = Rate / 20, Rate * 3 / 100
	var energy, lost float64
	for at := 0; at+part <= len(x); at += part {
		y := x[at : at+part]
		p := Power(y)
		energy += p
		if r, _ := around(y, got, place+at, wander); r < .5 {
			lost += p
		}
	}
	if energy == 0 {
		return 0
	}
	return lost / energy
}

// around searches for x in got, at most wander samples from a place, and returns the correlation and the place.
func around(x, got []float32, place, wander int) (r float64, at int) {
	from := max(0, place-wander)
	if from >= len(got) {
		return 0, place
	}
	r, lag := Correlate(x, got[from:min(len(got), from+len(x)+2*wander)], 2*wander)
	return r, from + lag
}
