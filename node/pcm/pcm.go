// Package pcm is plain audio: WAV files, conversion to the mesh's 48 kHz mono, generated signals, and the measures that
// tell whether what was heard is what was said. The codec's side of the mesh uses Level; the rest serves the terminal's
// speaker and listener, and tests.
//
// Its invariant: a sample is a float32 with full scale at ±1, and every reader bounds what it takes. The package is pure;
// its functions may be called concurrently, its generators may not.
package pcm

import "math"

// Rate is the sample rate of the mesh, in Hz.
const Rate = 48000

// Silence is the level of digital silence (RFC 6464 §3).
const Silence = 127

// Level is the RFC 6464 level of x: its root mean square in -dBov, 0 (full-scale square wave) to 127 (silence). A sine of
// full scale is at 3. Samples that are not numbers count as silence.
func Level(x []float32) uint8 {
	return LevelOf(Power(x))
}

// Power is the mean square of x.
func Power(x []float32) float64 {
	if len(x) == 0 {
		return 0
	}
	n := len(x)
	var sum float32 // of one block at a time: exact enough, and twice as fast as in float64
	total := 0.0
	for len(x) > 0 {
		block := x[:min(len(x), 240)]
		x = x[len(block):]
		sum = 0
		for _, v := range block {
			sum += v * v
		}
		total += float64(sum)
	}
	return total / float64(n)
}

// LevelOf is the RFC 6464 level of a mean square.
func LevelOf(power float64) uint8 {
	if !(power > 0) {
		return Silence
	}
	return uint8(max(0, min(Silence, math.Round(-10*math.Log10(power)))))
}
