package mix

import (
	"time"

	"rotunda"
	"rotunda/node/jitter"
	"rotunda/node/pcm"
)

const (
	longest = 3 * window // a packet of the mesh
	// scratchSize holds the longest packet that decodes, and what stretching adds.
	scratchSize = 5760 + lagMax
	// skipLevel is the level the sender gives to silence; such packets are not decoded while their speaker is not heard.
	skipLevel = 70
	// fadeTicks is over how much audio is faded out where it ends in silence: 2.5 ms.
	fadeTicks = 120
	// far is how many samples from its time a voice is brought back twice as fast: 60 ms.
	far = 3 * window
	// loudFall is by how many dB a speaker's remembered loudness falls in one frame.
	loudFall = .4
	// popsMax bounds the pieces that one window is made of; pieces are at least 2.5 ms.
	popsMax = window/fadeTicks + 2
)

// speaker is one person's way into the mix.
type speaker struct {
	ssrc rotunda.SSRC
	jit  *jitter.Buffer
	dec  Decoder   // nil until needed, and again after a long silence
	used time.Time // window in which it decoded last

	adjusted time.Time // window in which its delay was corrected last

	fifo [window + longest + lagMax]float32 // decoded and not yet mixed
	n    int                                // samples in it

	primer  [rotunda.PayloadMax]byte // the last packet that was not decoded: the decoder's run-up
	primerN int

	plain  plainness
	active bool
	voice  time.Time // window in which the voice was above the threshold last; zero: never
	loud   float64   // level in dB above silence, falling slowly
	gain   float32   // at the end of the last window
}

func newSpeaker(ssrc rotunda.SSRC) *speaker { return &speaker{ssrc: ssrc, jit: jitter.New()} }

// restart forgets the audio on its way. The decoder stays: what follows is usually the same voice.
func (s *speaker) restart() {
	s.jit.Reset()
	s.n, s.primerN = 0, 0
}

// fill gets the speaker's next window into the fifo, or as much of it as there is.
func (m *Mixer) fill(s *speaker) {
	if m.solo.kept(s) {
		return
	}
	for range popsMax {
		if s.n >= window {
			return
		}
		it := s.jit.Pop(m.clock, s.n)
		if it.Kind == jitter.Silence {
			s.fadeOut()
			return
		}
		switch m.take(s, it) {
		case taken:
			s.fadeOut()
			return
		case dropped:
			continue
		}
		s.silence(it.Offset)
		if it.Kind == jitter.Play && m.skip(s, it) {
			continue
		}
		x := m.decode(s, it)
		if it.Kind == jitter.Play {
			x = m.adjust(s, x, it.Adjust)
		}
		s.n += copy(s.fifo[s.n:], x)
	}
}

// skip leaves a silent packet alone, and reports whether it did.
func (m *Mixer) skip(s *speaker, it jitter.Item) bool {
	if it.Level < skipLevel || s.active {
		return false
	}
	s.primerN = copy(s.primer[:], it.Payload)
	m.stats.Skipped++
	s.silence(m.adjustSilence(it))
	return true
}

// adjustSilence is the length of a silent packet after correcting the delay, which nobody hears here.
func (m *Mixer) adjustSilence(it jitter.Item) int {
	take := max(-lagMax, min(it.Adjust, it.Ticks-fadeTicks))
	m.count(take)
	return it.Ticks - take
}

// decode makes the audio of an item; a packet that does not decode is silence.
func (m *Mixer) decode(s *speaker, it jitter.Item) []float32 {
	x := m.scratch[:it.Ticks]
	if !m.decoder(s) {
		m.stats.Corrupt++
		clear(x)
		return x
	}
	if s.primerN > 0 {
		_, _ = s.dec.Decode(s.primer[:s.primerN], m.scratch[:]) // only for the state it leaves
		s.primerN = 0
	}
	s.used = m.clock
	var n int
	var err error
	switch it.Kind {
	case jitter.Play:
		m.stats.Decoded++
		n, err = s.dec.Decode(it.Payload, m.scratch[:])
	case jitter.Repair:
		n, err = s.dec.DecodeLost(it.Payload, x)
	case jitter.Conceal:
		n, err = s.dec.Conceal(x)
	default:
		panic("mix: nothing to decode")
	}
	if err != nil || n > longest || !sound(pcm.Power(m.scratch[:n])) {
		m.stats.Corrupt++
		clear(x)
		return x
	}
	return m.scratch[:n]
}

func (m *Mixer) decoder(s *speaker) bool {
	if s.dec == nil {
		dec, err := m.codecs.NewDecoder()
		if err != nil {
			return false
		}
		s.dec = dec
	}
	return true
}

// adjust shortens or stretches a decoded packet by up to the given number of samples. In a voice it does so seldom enough
// that speech gets faster or slower by a sixth or so, twice that when it is far from its time.
func (m *Mixer) adjust(s *speaker, x []float32, by int) []float32 {
	rest := 3 * rotunda.FrameDuration
	if by > far || by < -far {
		rest = 2 * rotunda.FrameDuration
	}
	if by == 0 || m.clock.Sub(s.adjusted) < rest && pcm.Power(x) > faint {
		return x
	}
	before := len(x)
	if by > 0 {
		x = shorten(x, by)
	} else {
		x = stretch(x, -by)
	}
	if len(x) != before {
		s.adjusted = m.clock
	}
	m.count(before - len(x))
	return x
}

func (m *Mixer) count(taken int) {
	if taken > 0 {
		m.stats.Shortened += uint64(taken)
	} else {
		m.stats.Stretched += uint64(-taken)
	}
}

func (s *speaker) silence(n int) {
	n = max(0, min(n, len(s.fifo)-s.n))
	clear(s.fifo[s.n : s.n+n])
	s.n += n
}

// fadeOut ends what is in the fifo softly and fills the window with silence.
func (s *speaker) fadeOut() {
	if s.n == 0 {
		return
	}
	end := s.fifo[:s.n]
	end = end[max(0, len(end)-fadeTicks):]
	for i := range end {
		end[i] *= 1 - float32(i+1)/float32(len(end))
	}
	s.silence(window - s.n)
}

// take moves one window from the fifo to x; it reports false when the speaker has nothing to say.
func (s *speaker) take(x *[window]float32) bool {
	if s.n == 0 {
		return false
	}
	copy(x[:], s.fifo[:window])
	s.n = copy(s.fifo[:], s.fifo[window:max(s.n, window)])
	return true
}

// hear judges a window by its level: is it a voice, and how loud.
func (s *speaker) hear(now time.Time, level, threshold uint8) {
	s.loud = max(s.loud, float64(pcm.Silence-min(level, pcm.Silence)))
	if level <= threshold {
		s.voice = now
	}
}
