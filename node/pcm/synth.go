package pcm

import "math"

// Tone is a generator of a sine wave at 48 kHz whose phase goes on from one Fill to the next.
type Tone struct {
	Hertz     float64
	Amplitude float64 // of the wave: 1 is full scale, -3 dBov
	phase     float64 // radians
}

// Fill writes the next len(out) samples.
func (t *Tone) Fill(out []float32) {
	step := 2 * math.Pi * t.Hertz / Rate
	for i := range out {
		out[i] = float32(t.Amplitude * math.Sin(t.phase))
		t.phase += step
		if t.phase > 2*math.Pi {
			t.phase -= 2 * math.Pi
		}
	}
}

// Speech makes n samples at 48 kHz of something that has what a speech codec looks for: voiced syllables of a moving pitch
// through moving formants, hissing consonants, pauses. The same seed gives the same samples on every machine. Its peak is
// about half of full scale.
func Speech(seed uint64, n int) []float32 {
	v := voice{rng: seed*2862933555777941757 + 3037000493}
	out := make([]float32, 0, n)
	for len(out) < n {
		out = v.syllable(out)
	}
	out = out[:n]
	peak := float32(1e-9)
	for _, x := range out {
		peak = max(peak, x, -x)
	}
	for i := range out {
		out[i] *= .5 / peak
	}
	return out
}

type voice struct {
	rng      uint64
	phase    float64 // of the glottal pulse, 0 to 1
	formants [3]resonator
	last     float64
}

// resonator is a second-order all-pole filter: one formant.
type resonator struct{ y1, y2 float64 }

func (r *resonator) step(x, hertz, width float64) float64 {
	radius := math.Exp(-math.Pi * width / Rate)
	y := (1-radius)*x + 2*radius*math.Cos(2*math.Pi*hertz/Rate)*r.y1 - radius*radius*r.y2
	r.y1, r.y2 = y, r.y1
	return y
}

// draw is a number in 0 to 1 (a 64-bit linear congruence, enough for a voice).
func (v *voice) draw() float64 {
	v.rng = v.rng*6364136223846793005 + 1442695040888963407
	return float64(v.rng>>40) / (1 << 24)
}

// vowels are the first three formants of some vowels, in Hz.
var vowels = [...][3]float64{{730, 1090, 2440}, {270, 2290, 3010}, {300, 870, 2240}, {530, 1840, 2480}, {570, 840, 2410}}

// syllable appends a consonant, a vowel and sometimes a pause.
func (v *voice) syllable(out []float32) []float32 {
	hiss := int(Rate * (.02 + .06*v.draw()))
	for i := range hiss {
		white := 2*v.draw() - 1
		envelope := math.Sin(math.Pi * float64(i) / float64(hiss))
		out = append(out, float32(.05*envelope*(white-.8*v.last)))
		v.last = white
	}
	from, to := vowels[int(v.draw()*4.99)], vowels[int(v.draw()*4.99)]
	length := int(Rate * (.12 + .15*v.draw()))
	pitch, bend, loud := 90+90*v.draw(), .8+.4*v.draw(), .5+.5*v.draw()
	for i := range length {
		at := float64(i) / float64(length)
		v.phase += pitch * (1 + (bend-1)*at) / Rate
		pulse := 0.0
		if v.phase >= 1 {
			v.phase--
			pulse = 1
		}
		x := 40*pulse + .05*(2*v.draw()-1)
		for k := range v.formants {
			x = v.formants[k].step(x, from[k]+(to[k]-from[k])*at, 60+40*float64(k)) * 6
		}
		out = append(out, float32(loud*math.Sin(math.Pi*at)*x))
	}
	if v.draw() < .25 {
		out = append(out, make([]float32, int(Rate*(.1+.3*v.draw())))...)
	}
	return out
}
