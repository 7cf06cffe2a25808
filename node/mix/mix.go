// Package mix makes a room's program out of its speakers' microphones, at the room's home: it decodes who talks, mixes with
// a limiter, and encodes one frame every 20 ms that lists the active speakers (RFC 3550 §7.1, a mixer and its CSRC list).
//
// Its invariant: what a frame says is true of its sound. Sources are those who are in it, loudest first; the timestamp runs
// with the wall clock, silence included; nothing that is mixed clips. Silence costs next to nothing: who is silent is not decoded, and
// while all are, one small frame every 400 ms is all that is made. While one person alone is heard, the program is that person's own
// packets (solo.go): nothing is decoded or encoded, and nothing is lost by it.
//
// The package is pure: the clock is an argument, the codec an interface. A Mixer is not safe for concurrent use. Push and
// Tick allocate nothing of their own; a codec's state is made when somebody speaks for the first time in a long while.
package mix

import (
	"slices"
	"time"

	"rotunda"
	"rotunda/node/jitter"
	"rotunda/node/pcm"
)

// Decoder makes 48 kHz mono audio of one speaker's packets. Errors are those of the packet; the decoder stays usable.
type Decoder interface {
	Decode(packet []byte, pcm []float32) (samples int, err error)
	DecodeLost(next []byte, pcm []float32) (samples int, err error) // fills pcm with the packet before next
	Conceal(pcm []float32) (samples int, err error)                 // fills pcm
}

// Encoder makes one packet of rotunda.FrameTicks samples and returns its length. Reset makes the next packet one that needs none before it.
type Encoder interface {
	Encode(pcm []float32, packet []byte) (int, error)
	Reset()
	Independent(yes bool)
}

// Codecs makes codecs when they are needed: a decoder holds a fifth of a megabyte and an encoder two, so those who are silent
// for long have none.
type Codecs struct {
	NewDecoder func() (Decoder, error)
	NewEncoder func(Options) (Encoder, error)
}

// Options are the mixer's settings; the zero value is the default.
type Options struct {
	Bitrate     int           // of the program, bit/s; 0 means 32,000
	LossPercent int           // loss that its in-band error correction is sized for; 0 means 10, negative: no error correction
	Complexity  int           // how hard the encoder tries, 1 to 10; 0 means 2: more costs a tenth of the mixing for what measures the same
	Threshold   uint8         // level in -dBov up to which a speaker is heard; 0 means 55
	Hangover    time.Duration // how long a voice counts as going on after it fell below the threshold; 0 means 400 ms
	Refresh     time.Duration // from one frame to the next while all are silent; 0 means 400 ms, as Opus' DTX
	Release     time.Duration // silence after which a codec's memory is given back; 0 means 30 s
}

func (o Options) filled() Options {
	if o.Bitrate == 0 {
		o.Bitrate = 32000
	}
	if o.LossPercent == 0 {
		o.LossPercent = 10
	}
	if o.Complexity == 0 {
		o.Complexity = 2
	}
	if o.Threshold == 0 {
		o.Threshold = 55
	}
	if o.Hangover == 0 {
		o.Hangover = 400 * time.Millisecond
	}
	if o.Refresh == 0 {
		o.Refresh = 400 * time.Millisecond
	}
	if o.Release == 0 {
		o.Release = 30 * time.Second
	}
	return o
}

// SpeakersMax bounds the stage of one mixer.
const SpeakersMax = 64

const (
	window = rotunda.FrameTicks
	// tail is how many frames follow the last voice: they carry what look-ahead still holds, and leave the players' decoders on silence.
	tail = 3
	// early is how much before its time a tick is taken for a timer's inaccuracy.
	early = rotunda.FrameDuration / 2
	// jump is how far the caller may fall behind and catch up, frame by frame; beyond it the frames are left out.
	jump = 200 * time.Millisecond
	// lagTicks is for how many ticks a caller who does not catch up may lag a whole frame before the clock moves on.
	lagTicks = 25
)

// stillness is an Opus packet of 20 ms digital silence (one CELT frame with the silence flag; RFC 6716 §4.3), for when the encoder is
// gone. A decoder starts afresh behind it, as the next encoder does.
var stillness = [...]byte{0xf8, 0xff, 0xfe}

// Stats counts what a mixer did.
type Stats struct {
	Frames, Refreshes     uint64       // frames with sound, and in silence
	Passed                uint64       // of the former, a speaker's own packets
	Decoded, Skipped      uint64       // packets decoded, and left alone because they were silent
	Corrupt, EncodeFailed uint64       // packets that would not decode, frames that could not be made
	Unknown               uint64       // frames pushed for somebody who was not added
	Shortened, Stretched  uint64       // samples taken out of and put into voices to hold their delay
	Jitter                jitter.Stats // of all speakers so far
}

// Mixer makes one room's program. Make it with New.
type Mixer struct {
	opt      Options
	codecs   Codecs
	speakers []*speaker // by SSRC

	clock time.Time // start of the window mixed last; zero before the first tick
	lag   int       // ticks in a row that came a frame or more late
	ts    uint32    // timestamp of that window
	seq   rotunda.Seq
	sent  time.Time // window of the frame sent last
	heard time.Time // window in which somebody was active last
	rest  int       // frames still to follow the last voice

	solo  solo
	crowd time.Time // window in which more than one was active last

	enc     Encoder
	encoded time.Time // window in which it had sound to encode last
	limit   limiter
	sum     [window]float32
	piece   [window]float32 // one speaker's share of it
	scratch [scratchSize]float32
	packet  [rotunda.PayloadMax]byte
	stats   Stats
	gone    jitter.Stats // of speakers who were removed
}

// New makes a mixer of nobody. Sequence numbers start at 1 and timestamps at 0; a new program epoch is a new mixer.
func New(o Options, c Codecs) *Mixer {
	return &Mixer{opt: o.filled(), codecs: c, limit: newLimiter()}
}

// Add puts a speaker on stage, or begins a new epoch of the microphone of one who is: what is still buffered is forgotten.
// It reports false when SpeakersMax are there already.
func (m *Mixer) Add(ssrc rotunda.SSRC) bool {
	i, ok := m.find(ssrc)
	if ok {
		m.solo.endOf(m, m.speakers[i])
		m.speakers[i].restart()
		return true
	}
	if len(m.speakers) >= SpeakersMax {
		return false
	}
	m.speakers = slices.Insert(m.speakers, i, newSpeaker(ssrc))
	return true
}

// Remove takes a speaker off stage: nothing of theirs is in the next frame.
func (m *Mixer) Remove(ssrc rotunda.SSRC) {
	if i, ok := m.find(ssrc); ok {
		m.solo.endOf(m, m.speakers[i])
		add(&m.gone, m.speakers[i].jit.Stats())
		m.speakers = slices.Delete(m.speakers, i, i+1)
	}
}

func (m *Mixer) find(ssrc rotunda.SSRC) (int, bool) {
	return slices.BinarySearchFunc(m.speakers, ssrc, func(s *speaker, id rotunda.SSRC) int {
		switch {
		case s.ssrc < id:
			return -1
		case s.ssrc > id:
			return 1
		}
		return 0
	})
}

// Push takes a frame of a speaker that arrived now, and copies it. Frames of somebody who was not added are dropped.
func (m *Mixer) Push(now time.Time, ssrc rotunda.SSRC, f *rotunda.Frame) jitter.Drop {
	i, ok := m.find(ssrc)
	if !ok {
		m.stats.Unknown++
		return jitter.Late
	}
	return m.speakers[i].jit.Push(now, f)
}

// Next is when the next Tick is due; the zero time means at once. A caller that woke late calls Tick until Next is after now.
func (m *Mixer) Next() time.Time {
	if m.clock.IsZero() {
		return time.Time{}
	}
	return m.clock.Add(rotunda.FrameDuration)
}

// Tick mixes the next 20 ms and returns the program's frame; ok is false where there is none to send, in silence and when called before
// its time. The frame's Payload is valid until the next Tick.
func (m *Mixer) Tick(now time.Time) (f rotunda.Frame, ok bool) {
	if !m.advance(now) {
		return f, false
	}
	m.sum = [window]float32{}
	active := m.mixSpeakers()
	if active {
		m.heard, m.rest = m.clock, tail
	}
	if m.enc != nil && m.clock.Sub(m.encoded) > m.opt.Release {
		m.enc = nil
	}
	switch {
	case m.solo.begun:
		return m.pass(now)
	case active:
		m.encoded = m.clock
	case m.rest == 0:
		return m.quiet(now)
	default:
		m.rest--
	}
	return m.encode(now, active)
}

// encode makes the frame of what was mixed.
func (m *Mixer) encode(now time.Time, active bool) (f rotunda.Frame, ok bool) {
	m.limit.process(m.sum[:])
	n := copy(m.packet[:], stillness[:])
	if active || m.enc != nil {
		if !m.encoder() {
			return f, false
		}
		m.enc.Independent(m.solo.after > 0)
		m.solo.after = max(0, m.solo.after-1)
		var err error
		if n, err = m.enc.Encode(m.sum[:], m.packet[:]); err != nil || n <= 0 {
			m.enc = nil // a fresh one is in a known state
			m.stats.EncodeFailed++
			return f, false
		}
	}
	m.stats.Frames++
	f = m.frame(now, m.packet[:n])
	f.Level = pcm.Level(m.sum[:])
	m.list(&f.Sources)
	return f, true
}

// Pause lets go of all codecs and of everything buffered, for as long as nobody takes the program; sequence and timestamps go on at the next Tick.
func (m *Mixer) Pause() {
	m.solo.end(m)
	m.enc = nil
	m.rest = 0
	for _, s := range m.speakers {
		s.restart()
		s.dec = nil
	}
}

// Active appends the speakers heard in the last frame, loudest first, to dst.
func (m *Mixer) Active(dst []rotunda.SSRC) []rotunda.SSRC {
	var s rotunda.Sources
	m.list(&s)
	for i := range s.Len() {
		dst = append(dst, s.At(i))
	}
	return dst
}

// Target is the delay that a speaker's jitter buffer aims at, 0 for somebody unknown.
func (m *Mixer) Target(ssrc rotunda.SSRC) time.Duration {
	if i, ok := m.find(ssrc); ok {
		return m.speakers[i].jit.Target()
	}
	return 0
}

// Stats returns the counts so far.
func (m *Mixer) Stats() Stats {
	st := m.stats
	st.Jitter = m.gone
	for _, s := range m.speakers {
		add(&st.Jitter, s.jit.Stats())
	}
	return st
}

func add(to *jitter.Stats, s jitter.Stats) {
	to.Played += s.Played
	to.Repaired += s.Repaired
	to.Concealed += s.Concealed
	to.Late += s.Late
	to.Duplicate += s.Duplicate
	to.Discarded += s.Discarded
	to.Restarts += s.Restarts
}

// advance moves the clock on by one window and reports false when it is not time yet. The clock is the grid of 20 ms that
// the earliest ticks define: a tick that comes late does not move it.
func (m *Mixer) advance(now time.Time) bool {
	if m.clock.IsZero() {
		m.clock = now
		return true
	}
	ahead := now.Sub(m.clock) - rotunda.FrameDuration
	if ahead < -early {
		return false
	}
	m.clock = m.clock.Add(rotunda.FrameDuration)
	m.ts += window
	m.lag++
	switch {
	case ahead < 0:
		m.clock, m.lag = now, 0
	case ahead < rotunda.FrameDuration:
		m.lag = 0
	case ahead > jump || m.lag > lagTicks:
		whole := ahead.Truncate(rotunda.FrameDuration)
		m.clock = m.clock.Add(whole)
		m.ts += uint32(whole/rotunda.FrameDuration) * window
		m.lag = 0
	}
	return true
}

// mixSpeakers adds everybody's next 20 ms to sum and reports whether anybody is active.
func (m *Mixer) mixSpeakers() (active bool) {
	heard := 0
	for _, s := range m.speakers {
		s.loud = max(0, s.loud-loudFall)
		m.fill(s)
		m.add(s)
		if s.active {
			heard++
		}
		if s.dec != nil && m.clock.Sub(s.used) > m.opt.Release {
			s.dec = nil
		}
	}
	if heard > 1 {
		m.crowd = m.clock
	}
	if who := m.solo.who; who != nil && !who.active {
		m.solo.end(m)
	} else if who != nil && heard > 1 {
		m.solo.join(m)
	}
	return heard > 0
}

// add adds what is in a speaker's fifo for this window to sum, if they are heard.
func (m *Mixer) add(s *speaker) {
	talks := s.take(&m.piece)
	if talks {
		s.hear(m.clock, pcm.Level(m.piece[:]), m.opt.Threshold)
	}
	s.active = !s.voice.IsZero() && m.clock.Sub(s.voice) < m.opt.Hangover
	to, over := float32(0), window
	if s.active {
		to, over = 1, limitBlock
	}
	if talks && (to > 0 || s.gain > 0) {
		addRamp(m.sum[:], m.piece[:], s.gain, to, over)
	}
	s.gain = to
}

// quiet makes the frame of a silent room: none, or every Refresh one that says that the room is still there.
func (m *Mixer) quiet(now time.Time) (f rotunda.Frame, ok bool) {
	if !m.sent.IsZero() && m.clock.Sub(m.sent) < m.opt.Refresh-early {
		return f, false
	}
	m.limit.gain = 1 // nobody hears it come back
	n := copy(m.packet[:], stillness[:])
	if m.enc != nil {
		var err error
		if n, err = m.enc.Encode(m.sum[:], m.packet[:]); err != nil || n <= 0 {
			m.enc = nil
			n = copy(m.packet[:], stillness[:])
		}
	}
	m.stats.Refreshes++
	f = m.frame(now, m.packet[:n])
	f.Level = pcm.Silence
	return f, true
}

func (m *Mixer) encoder() bool {
	if m.enc != nil {
		return true
	}
	enc, err := m.codecs.NewEncoder(m.opt)
	if err != nil {
		m.stats.EncodeFailed++
		return false
	}
	m.enc = enc
	return true
}

func (m *Mixer) frame(now time.Time, payload []byte) rotunda.Frame {
	m.seq++
	m.sent = m.clock
	return rotunda.Frame{Seq: m.seq, Timestamp: m.ts, Origin: rotunda.Micros(now), Payload: payload}
}

// list names the active speakers, loudest first; among equals the lower SSRC.
func (m *Mixer) list(to *rotunda.Sources) {
	var order [SpeakersMax]*speaker
	n := 0
	for _, s := range m.speakers {
		if !s.active {
			continue
		}
		i := n
		for ; i > 0 && order[i-1].loud < s.loud; i-- {
			order[i] = order[i-1]
		}
		order[i] = s
		n++
	}
	for _, s := range order[:n] {
		to.Add(s.ssrc)
	}
}
