package pcm

import "math"

const (
	zeroCrossings = 24   // of the sinc on each side, at the lower of the two rates
	phasesMax     = 2048 // filters that are tabulated; ratios that need more take the nearest, an error below -66 dB
)

// Resample converts x between sample rates (both positive) with a windowed sinc, cut off just below half the lower rate. The first
// output sample is at the time of the first input sample.
func Resample(x []float32, from, to int) []float32 {
	if from == to || len(x) == 0 {
		return append([]float32(nil), x...)
	}
	cutoff := .95 * min(1, float64(to)/float64(from)) // share of the input's half rate
	half := int(math.Ceil(zeroCrossings / cutoff))
	phases := min(to/gcd(from, to), phasesMax)
	table := make([][]float32, phases)
	for i := range table {
		table[i] = sinc(float64(i)/float64(phases), half, cutoff)
	}
	out := make([]float32, int(int64(len(x))*int64(to)/int64(from)))
	for i := range out {
		pos := int64(i) * int64(from)
		at, frac := int(pos/int64(to)), pos%int64(to)
		taps := table[int(frac*int64(phases)/int64(to))]
		first := at - half + 1
		sum := float32(0)
		for k := max(0, -first); k < len(taps) && first+k < len(x); k++ {
			sum += taps[k] * x[first+k]
		}
		out[i] = sum
	}
	return out
}

// sinc is the filter for an output that lies frac of a sample behind an input: 2·half taps under a Blackman window, of unit sum.
func sinc(frac float64, half int, cutoff float64) []float32 {
	taps := make([]float64, 2*half)
	sum := 0.0
	for k := range taps {
		t := float64(k-half+1) - frac // in input samples
		v := cutoff
		if t != 0 {
			v = math.Sin(math.Pi*cutoff*t) / (math.Pi * t)
		}
		w := t / float64(half)
		if w <= -1 || w >= 1 {
			continue
		}
		taps[k] = v * (.42 + .5*math.Cos(math.Pi*w) + .08*math.Cos(2*math.Pi*w))
		sum += taps[k]
	}
	out := make([]float32, len(taps))
	for k, v := range taps {
		out[k] = float32(v / sum)
	}
	return out
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
