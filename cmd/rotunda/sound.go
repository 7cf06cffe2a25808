package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"rotunda"
	"rotunda/node/opus"
	"rotunda/node/pcm"
)

const (
	// soundMax is how much of a file is played: it is held in memory.
	soundMax = 2 * time.Hour
	// voiceLevel is the audio level, in -dBov, above which a packet is said to hold a voice (RFC 6464 §3, flag V).
	voiceLevel = 50
	// dtxMax is the longest packet of an encoder that need not be sent (RFC 6716 §2.1.9).
	dtxMax = 2
	// toneAmplitude is that of a test tone: as loud as somebody talking, -9 dBov.
	toneAmplitude = 0.5
)

// utterance is one packet to send.
type utterance struct {
	payload  []byte // empty: silence that is not sent; valid until the next call
	duration time.Duration
	level    uint8 // -dBov, 0 (loudest) to 127 (RFC 6464 §3)
}

// sound is something to say. next returns io.EOF at its end.
type sound interface {
	next() (utterance, error)
}

// openSound reads a file: Ogg Opus, which is sent as it is where the mesh takes its packets, or WAV.
func openSound(path string) (sound, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var magic [4]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil {
		return nil, fmt.Errorf("%s is neither WAV nor Ogg Opus: %w", path, err)
	}
	again := func() io.Reader {
		if _, err = f.Seek(0, io.SeekStart); err != nil {
			err = fmt.Errorf("%s must be a file that can be read twice: %w", path, err)
		}
		return f
	}
	samplesMax := int(soundMax.Seconds()) * pcm.Rate
	switch string(magic[:]) {
	case "OggS":
		if s, asIs := packetsOf(again()); asIs && err == nil {
			return s, nil
		}
		samples, decodeErr := opus.DecodeFile(again(), samplesMax)
		if err := errors.Join(err, decodeErr); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return newVoice(samples)
	case "RIFF":
		recording, readErr := pcm.ReadWAV(again(), samplesMax)
		if err := errors.Join(err, readErr); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return newVoice(recording.At48k())
	}
	return nil, fmt.Errorf("%s is neither WAV nor Ogg Opus", path)
}

// packets are those of an Opus file.
type packets struct {
	all     []opus.FilePacket
	decoder *opus.Decoder
	samples [opus.SamplesMax]float32
}

// packetsOf reads an Opus file and reports whether its packets can be sent as they are: of 20, 40 or 60 ms, and not too long.
func packetsOf(r io.Reader) (sound, bool) {
	in, err := opus.NewReader(r)
	if err != nil {
		return nil, false
	}
	p := &packets{}
	if p.decoder, err = opus.NewDecoder(); err != nil {
		return nil, false
	}
	for ticks := 0; ticks < int(soundMax.Seconds())*pcm.Rate; {
		packet, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		fits := packet.Ticks%rotunda.FrameTicks == 0 && packet.Ticks <= 3*rotunda.FrameTicks && len(packet.Payload) <= rotunda.PayloadMax
		if err != nil || !fits {
			return nil, false
		}
		ticks += packet.Ticks
		p.all = append(p.all, packet)
	}
	return p, len(p.all) > 0
}

func (p *packets) next() (utterance, error) {
	if len(p.all) == 0 {
		return utterance{}, io.EOF
	}
	packet := p.all[0]
	p.all = p.all[1:]
	u := utterance{payload: packet.Payload, duration: ticksToDuration(int64(packet.Ticks)), level: pcm.Silence}
	if n, err := p.decoder.Decode(packet.Payload, p.samples[:]); err == nil {
		u.level = pcm.Level(p.samples[:n])
	}
	if len(packet.Payload) <= dtxMax {
		u.payload = nil
	}
	return u, nil
}

// voice encodes samples as they are said.
type voice struct {
	fill    func(out []float32) int // 0 at the end
	encoder *opus.Encoder
	samples [opus.FrameSamples]float32
	packet  [opus.PacketMax]byte
}

// newVoice says the samples, 48 kHz mono, once.
func newVoice(samples []float32) (sound, error) {
	if len(samples) == 0 {
		return nil, errors.New("there is no sound in the file")
	}
	return newEncoded(opus.Voice, func(out []float32) int {
		n := copy(out, samples)
		samples = samples[n:]
		return n
	})
}

// newTone is a sine wave without end.
func newTone(hertz float64) (sound, error) {
	if !(hertz >= 20 && hertz <= 20000) { // NaN is refused too
		return nil, usagef("--tone %v: want 20 to 20000 Hz", hertz)
	}
	tone := pcm.Tone{Hertz: hertz, Amplitude: toneAmplitude}
	return newEncoded(opus.Music, func(out []float32) int {
		tone.Fill(out)
		return len(out)
	})
}

func newEncoded(application opus.Application, fill func([]float32) int) (sound, error) {
	encoder, err := opus.NewEncoder(opus.EncoderConfig{Application: application, DTX: application == opus.Voice})
	if err != nil {
		return nil, err
	}
	return &voice{fill: fill, encoder: encoder}, nil
}

func (v *voice) next() (utterance, error) {
	n := v.fill(v.samples[:])
	if n == 0 {
		return utterance{}, io.EOF
	}
	clear(v.samples[n:])
	size, err := v.encoder.Encode(v.samples[:], v.packet[:])
	if err != nil {
		return utterance{}, err
	}
	u := utterance{payload: v.packet[:size], duration: rotunda.FrameDuration, level: pcm.Level(v.samples[:])}
	if size <= dtxMax {
		u.payload = nil
	}
	return u, nil
}

// framed puts silence before and after a sound: while the gates of the mesh open, and until its end has been heard.
type framed struct {
	sound
	before, after time.Duration
	hush          sound // silence, made when it is needed
	ended         bool
	left          time.Duration // of the sound; what is over is not said
}

// newFramed says at most length of s; 0 means all of it.
func newFramed(s sound, before, length, after time.Duration) (*framed, error) {
	if length == 0 {
		length = math.MaxInt64
	}
	hush, err := newEncoded(opus.Music, func(out []float32) int { clear(out); return len(out) }) // without DTX: every packet is sent
	return &framed{sound: s, before: before, after: after, hush: hush, left: length}, err
}

func (f *framed) next() (utterance, error) {
	if f.before > 0 {
		f.before -= rotunda.FrameDuration
		return f.hush.next()
	}
	if !f.ended && f.left > 0 {
		u, err := f.sound.next()
		if !errors.Is(err, io.EOF) {
			f.left -= u.duration
			return u, err
		}
	}
	f.ended = true
	if f.after > 0 {
		f.after -= rotunda.FrameDuration
		return f.hush.next()
	}
	return utterance{}, io.EOF
}
