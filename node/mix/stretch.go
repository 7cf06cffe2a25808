package mix

import "math"

// Shortening and stretching speech by whole pitch periods (WSOLA): the signal is joined to itself where it repeats.
const (
	lagMin     = 120  // 2.5 ms: a pitch of 400 Hz
	lagMax     = 720  // 15 ms: a pitch of 67 Hz
	overlap    = 240  // 5 ms: how long the two sides of a join are cross-faded and how much of them is compared
	stretchMin = 480  // 10 ms: a pitch of 100 Hz
	lagStep    = 4    // first search at 12 kHz
	alikeMin   = .6   // normalised correlation from which a join is not heard
	faint      = 1e-5 // mean square, -50 dBov: in what is fainter any join will do
	adjusted   = lagMax + overlap
)

// shorten takes up to most samples out of the start of x, in place, and returns what is left of it. A voice that does not
// repeat itself is left alone.
func shorten(x []float32, most int) []float32 {
	if len(x) < adjusted || most < lagMin {
		return x
	}
	lag, ok := repeat(x, min(most, lagMax))
	if !ok {
		return x
	}
	for i := range overlap {
		w := float32(i) / overlap
		x[i] = x[i]*(1-w) + x[i+lag]*w
	}
	n := copy(x[overlap:], x[overlap+lag:])
	return x[:overlap+n]
}

// stretch puts about as many samples into x as asked, up to lagMax, and returns it; its capacity must suffice. What is asked for
// may be less than a period, so up to stretchMin is put in anyway.
func stretch(x []float32, most int) []float32 {
	if len(x) < adjusted || most <= 0 || cap(x) < len(x)+lagMax {
		return x
	}
	lag, ok := repeat(x, min(max(most, stretchMin), lagMax))
	if !ok {
		return x
	}
	var join [overlap]float32
	for i := range join {
		w := float32(i) / overlap
		join[i] = x[i+lag]*(1-w) + x[i]*w
	}
	n := len(x)
	x = x[:n+lag]
	copy(x[lag+overlap:], x[overlap:n])
	copy(x[lag:], join[:])
	return x
}

// repeat finds the lag, up to most, after which x is most like its start; ok is false where it is not alike.
func repeat(x []float32, most int) (lag int, ok bool) {
	energy := dot(x[:overlap], x[:overlap], 1)
	if energy < faint*overlap {
		return most, true
	}
	lag, best := search(x, lagMin, most, lagStep)
	lag, best = search(x, max(lagMin, lag-lagStep+1), min(most, lag+lagStep-1), 1)
	return lag, best >= alikeMin
}

// search compares x with itself at lags from..to and returns the best one with its normalised correlation.
func search(x []float32, from, to, step int) (lag int, best float64) {
	lag = from
	head := dot(x[:overlap], x[:overlap], step)
	for l := from; l <= to; l += step {
		tail := x[l : l+overlap]
		r := dot(x[:overlap], tail, step)
		norm := math.Sqrt(float64(head) * float64(dot(tail, tail, step)))
		if norm > 0 && float64(r)/norm > best {
			lag, best = l, float64(r)/norm
		}
	}
	return lag, best
}

func dot(a, b []float32, step int) float32 {
	b = b[:len(a)]
	sum := float32(0)
	for i := 0; i < len(a); i += step {
		sum += a[i] * b[i]
	}
	return sum
}
