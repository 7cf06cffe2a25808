package mix

import (
	"time"

	"rotunda"
	"rotunda/node/jitter"
	"rotunda/node/opus/packet"
	"rotunda/node/pcm"
)

const (
	// runUp is how many packets that were passed on are decoded, unheard, before their speaker is mixed: it leaves decoder, limiter and
	// encoder where they would be had they been at work.
	runUp = 3
	// soloAfter is for how long somebody must have been heard alone before their packets are passed on in the middle of a talk, and
	// plainAfter how long it must be since one of their packets was missing.
	soloAfter, plainAfter = time.Second, 2 * time.Second
	// pauseLevel is the level, in -dBov, from which a packet may be left out, put off by a window, or be the first to be passed on in the
	// middle of a talk: between two words nobody hears it.
	pauseLevel = 50
	// In ticks after the time of its window: what a packet may be when it is passed on, in a voice; and what is mended in a pause.
	earlyMost, lateMost = -480, 1920 // 10 ms, 40 ms
	earlyMend, lateMend = -96, 864   // 2 ms, 18 ms; a packet left out makes 20 ms
	// weightOf is the share of the newest packet in the running mean of their sizes: one of 16.
	weightOf = 1. / 16
	// overweight is how many times the bytes of the program's own packets those of a voice may have that is passed on: listeners on weak
	// networks are not to pay for a speaker's good one.
	overweight = 1.5
)

// solo is the speaker who is heard alone, and whose packets are the program as they came. What is passed on sounds like what would be
// mixed, but for what decoding and encoding take away: who is not active is not in the mix either, and one voice leaves it at unity gain.
//
// It begins where a voice begins or pauses, so that the step in time (a window's beginning is not a packet's, and codec and limiter no
// longer delay the sound) is not heard. It ends when somebody else is heard, which covers the step back, when the voice has ended, and
// when a packet is not plain: missing, too early or late, of another length.
type solo struct {
	who   *speaker // nil: nobody, the program is mixed
	begun bool     // at least one of their packets was to be passed on
	due   when     // of packet
	level uint8
	n     int
	bytes [rotunda.PayloadMax]byte

	past  [runUp][rotunda.PayloadMax]byte // what was passed on last, as a ring
	sizes [runUp]int
	count int // of all that was passed on
	after int // packets of the mix still to be made independent
}

// when is when a packet is to be passed on.
type when uint8

const (
	never  when = iota // there is none
	inThis             // window
	inNext
)

// verdict is what becomes of a packet.
type verdict uint8

const (
	mixed   verdict = iota // it is to be decoded
	taken                  // it is passed on
	dropped                // it is left out
)

// plainness is what is known of a speaker's packets.
type plainness struct {
	level    uint8     // of the last one
	any      bool      // there was one
	measured bool      // levels change: they are measured, not made up for a sender that does not say
	weight   float64   // mean size, in bytes
	rough    time.Time // window in which a packet was missing last
}

// see notes an item and reports whether it is one that may be passed on.
func (p *plainness) see(at time.Time, it jitter.Item, bitrate int) bool {
	if it.Kind != jitter.Play {
		p.rough = at
		return false
	}
	p.measured = p.measured || p.any && it.Level != p.level
	p.any, p.level = true, it.Level
	p.weight += (float64(len(it.Payload)) - p.weight) * weightOf
	const perSecond = rotunda.ClockRate / window
	if it.Ticks != window || !p.measured || p.weight > overweight*float64(bitrate)/8/perSecond {
		return false
	}
	info, err := packet.Parse(it.Payload)
	return err == nil && !info.Stereo
}

// take decides whether an item of a speaker is passed on.
func (m *Mixer) take(s *speaker, it jitter.Item) verdict {
	p := &m.solo
	plain := s.plain.see(m.clock, it, m.opt.Bitrate)
	if p.who != s && (!plain || !m.mayBegin(s, it)) {
		return mixed
	}
	pause := it.Level >= pauseLevel
	switch {
	case p.who != s:
		p.who, p.count = s, 0
		if p.due = inThis; it.Late < earlyMend {
			p.due = inNext // until then, what is in the fifo
		} else {
			s.n = 0
		}
	case plain && pause && it.Late > lateMend:
		m.count(window)
		return dropped
	case plain && pause && it.Late < earlyMend:
		m.count(-window)
		p.due = inNext
	case !plain || it.Late > lateMost || it.Late < earlyMost:
		p.leave(m)
		return mixed
	default:
		p.due = inThis
	}
	p.begun = p.begun || p.due == inThis
	p.n, p.level = copy(p.bytes[:], it.Payload), it.Level
	s.hear(m.clock, it.Level, m.opt.Threshold)
	return taken
}

// mayBegin reports whether a speaker's packets may be the program from this one on.
func (m *Mixer) mayBegin(s *speaker, it jitter.Item) bool {
	if m.solo.who != nil || !s.plain.rough.IsZero() && m.clock.Sub(s.plain.rough) < plainAfter {
		return false
	}
	for _, o := range m.speakers {
		if o != s && o.active {
			return false
		}
	}
	if s.active { // in the middle of a talk
		return it.Level >= pauseLevel && (m.crowd.IsZero() || m.clock.Sub(m.crowd) >= soloAfter)
	}
	return it.Level <= m.opt.Threshold
}

// kept reports whether the speaker's packet for this window is there already.
func (p *solo) kept(s *speaker) bool {
	if p.who != s {
		return false
	}
	if p.due != inNext {
		p.due = never
		return false
	}
	p.due, p.begun = inThis, true
	s.n = 0
	return true
}

// pass makes the program's frame of the soloist's packet. Where there is none for this window, in a pause, it is stillness: a frame that is not
// there is a gap to whoever listens.
func (m *Mixer) pass(at time.Time) (f rotunda.Frame, ok bool) {
	p := &m.solo
	n, level := copy(m.packet[:], stillness[:]), uint8(pcm.Silence)
	if p.due == inThis {
		n, level = copy(m.packet[:], p.bytes[:p.n]), p.level
	}
	i := p.count % runUp
	p.sizes[i] = copy(p.past[i][:], m.packet[:n])
	p.count++
	m.stats.Frames++
	m.stats.Passed++
	f = m.frame(at, m.packet[:n])
	f.Level = level
	m.list(&f.Sources)
	return f, true
}

// join has the soloist mixed with the others from this window on.
func (p *solo) join(m *Mixer) {
	s, due := p.who, p.due
	p.leave(m)
	if due == never {
		return
	}
	s.n = copy(s.fifo[:], m.decode(s, jitter.Item{Kind: jitter.Play, Payload: p.bytes[:p.n], Ticks: window}))
	if due == inThis {
		m.add(s)
	}
}

// leave ends a solo in the middle of a voice: decoder, limiter and encoder hear again what was passed on last.
func (p *solo) leave(m *Mixer) {
	s := p.who
	p.end(m)
	if p.count == 0 || !m.decoder(s) || !m.encoder() {
		return
	}
	s.primerN = 0
	for i := max(0, p.count-runUp); i < p.count; i++ {
		n, err := s.dec.Decode(p.past[i%runUp][:p.sizes[i%runUp]], m.scratch[:])
		if err != nil || n != window || !sound(pcm.Power(m.scratch[:n])) {
			clear(m.scratch[:window])
		}
		m.limit.process(m.scratch[:window])
		_, _ = m.enc.Encode(m.scratch[:window], m.packet[:])
	}
	s.used, m.encoded, p.after = m.clock, m.clock, 1
}

// end ends a solo: what comes next stands on its own.
func (p *solo) end(m *Mixer) {
	p.who, p.begun, p.due = nil, false, never
	m.limit = newLimiter()
	if m.enc != nil {
		m.enc.Reset()
	}
}

// endOf ends the solo of one speaker, if it is theirs.
func (p *solo) endOf(m *Mixer, s *speaker) {
	if p.who == s {
		p.end(m)
	}
}
