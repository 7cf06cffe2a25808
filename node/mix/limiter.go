package mix

import "math"

const (
	// limitBlock is the limiter's look-ahead, 2.5 ms: how much later the program is for it.
	limitBlock = 120
	// ceiling is the highest peak that leaves the limiter, -0.5 dBFS: the codec overshoots its input a little.
	ceiling = .944
	// release is how much of the way back to unity the gain goes in one block: a time constant of 250 ms, slower than
	// syllables, so that the level does not pump.
	release = .01
)

// limiter turns peaks down before they come. The signal is delayed by one block; the gain falls in a straight line so that
// it is low enough at the start of the block that needs it, and rises slowly. Where nothing peaks it is the identity, late.
type limiter struct {
	delay [limitBlock]float32
	need  float64 // gain that delay needs
	gain  float64 // at the border before delay; at most need
}

func newLimiter() limiter { return limiter{need: 1, gain: 1} }

// process limits x, whole blocks, in place.
func (l *limiter) process(x []float32) {
	for ; len(x) >= limitBlock; x = x[limitBlock:] {
		block := (*[limitBlock]float32)(x)
		need := needed(block[:])
		to := min(l.need, need, l.gain+(1-l.gain)*release)
		if to > .9999 && need == 1 && l.need == 1 {
			to = 1
		}
		held := l.delay
		l.delay = *block
		ramp(block[:], held[:], l.gain, to)
		l.need, l.gain = need, to
	}
}

// needed is the gain that brings a block's peak to the ceiling.
func needed(block []float32) float64 {
	peak := float32(0)
	for _, v := range block {
		peak = max(peak, v, -v)
	}
	if peak <= ceiling {
		return 1
	}
	return ceiling / float64(peak)
}

// ramp writes in to out with a gain that goes in a straight line from one value to the other.
func ramp(out, in []float32, from, to float64) {
	if from == 1 && to == 1 {
		copy(out, in)
		return
	}
	g, step := float32(from), float32((to-from)/float64(len(in)))
	for i, v := range in {
		g += step
		out[i] = max(-1, min(1, v*g))
	}
}

// addRamp adds in to out with a gain that goes from one value to the other over the first `over` samples.
func addRamp(out, in []float32, from, to float32, over int) {
	over = min(over, len(in))
	if from != to {
		step := (to - from) / float32(over)
		for i, v := range in[:over] {
			from += step
			out[i] += v * from
		}
		out, in = out[over:], in[over:]
	}
	switch to {
	case 0:
	case 1:
		for i, v := range in {
			out[i] += v
		}
	default:
		for i, v := range in {
			out[i] += v * to
		}
	}
}

// sound reports whether a power is that of a signal: a broken decoder must not silence the room with NaN.
func sound(power float64) bool { return power >= 0 && !math.IsInf(power, 0) && power < 1e4 }
