// Package opus is the voice codec of the mesh, RFC 6716, at 48 kHz mono: an encoder, a decoder with concealment and
// in-band error correction, and Ogg Opus files (RFC 7845). It is the only importer of the codec library.
//
// Its invariant: no byte of the network makes it panic or allocate more than a packet's audio. An Encoder, Decoder,
// Reader or Writer belongs to one goroutine at a time; distinct ones are independent.
package opus

import (
	"errors"
	"fmt"

	"github.com/thesyncim/gopus"

	"rotunda"
	"rotunda/node/opus/packet"
)

// Sizes, in samples of 48 kHz mono.
const (
	FrameSamples  = rotunda.FrameTicks // 20 ms
	SamplesMax    = packet.TicksMax    // 120 ms: the longest packet
	Lookahead     = 312                // 6.5 ms: how much later than its input an encoder's audio is heard (RFC 7845 §4.2, pre-skip)
	PacketMax     = rotunda.PayloadMax
	bitrateMin    = 6000
	bitrateMax    = 256000
	complexityTop = 10
)

// ErrCorrupt is wrapped by the error of every packet that cannot be decoded.
var ErrCorrupt = errors.New("corrupt opus packet")

// Application is what the encoder is tuned for.
type Application uint8

// The applications. The zero value is Voice.
const (
	Voice Application = iota // speech: SILK or hybrid, with in-band error correction
	Music                    // anything: CELT mostly
)

// EncoderConfig is how to encode. The zero value is the default.
type EncoderConfig struct {
	Application Application
	Bitrate     int  // bit/s, 6,000 to 256,000; 0 means 32,000
	Complexity  int  // 1 to 10: how hard to try; 0 means 5
	LossPercent int  // expected loss that the in-band error correction is sized for, 1 to 100; 0 means 10, negative: none
	DTX         bool // during silence make packets of at most two bytes, which need not be sent
}

func (c EncoderConfig) filled() EncoderConfig {
	if c.Bitrate == 0 {
		c.Bitrate = 32000
	}
	if c.Complexity == 0 {
		c.Complexity = 5
	}
	if c.LossPercent == 0 {
		c.LossPercent = 10
	}
	return c
}

// Validate reports every field that is out of range.
func (c EncoderConfig) Validate() error {
	c = c.filled()
	var errs []error
	if c.Application > Music {
		errs = append(errs, fmt.Errorf("application %d: unknown", c.Application))
	}
	if c.Bitrate < bitrateMin || c.Bitrate > bitrateMax {
		errs = append(errs, fmt.Errorf("bitrate %d: not in %d to %d bit/s", c.Bitrate, bitrateMin, bitrateMax))
	}
	if c.Complexity < 1 || c.Complexity > complexityTop {
		errs = append(errs, fmt.Errorf("complexity %d: not in 1 to %d", c.Complexity, complexityTop))
	}
	if c.LossPercent > 100 {
		errs = append(errs, fmt.Errorf("loss %d %%: more than 100", c.LossPercent))
	}
	return errors.Join(errs...)
}

// Encoder makes Opus packets of 48 kHz mono audio. It holds 431 kB.
type Encoder struct{ enc *gopus.Encoder }

// NewEncoder makes an encoder; the error is that of Validate.
func NewEncoder(c EncoderConfig) (*Encoder, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("opus encoder: %w", err)
	}
	c = c.filled()
	app := gopus.ApplicationVoIP
	if c.Application == Music {
		app = gopus.ApplicationAudio
	}
	enc, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: rotunda.ClockRate, Channels: 1, Application: app})
	if err != nil {
		return nil, fmt.Errorf("opus encoder: %v", err)
	}
	enc.SetVBR(true)
	enc.SetVBRConstraint(true) // no frame outgrows what a link's budget expects of it
	enc.SetDTX(c.DTX)
	enc.SetFEC(c.LossPercent > 0)
	if err := errors.Join(enc.SetBitrate(c.Bitrate), enc.SetComplexity(c.Complexity), enc.SetPacketLoss(max(0, c.LossPercent)),
		enc.SetFrameSize(FrameSamples)); err != nil {
		return nil, fmt.Errorf("opus encoder: %v", err)
	}
	return &Encoder{enc}, nil
}

// Encode writes the packet of 20 ms of audio (FrameSamples values of -1 to 1) into b, which has room for PacketMax bytes,
// and returns its length. With DTX a length of at most 2 says that nothing needs to be sent. It allocates nothing, but
// with error correction the library copies its quantiser's state, in five pieces.
func (e *Encoder) Encode(pcm []float32, b []byte) (int, error) {
	if len(pcm) != FrameSamples {
		return 0, fmt.Errorf("opus: encode %d samples, want %d", len(pcm), FrameSamples)
	}
	n, err := e.enc.Encode(pcm, b)
	if err != nil {
		return 0, fmt.Errorf("opus: encode: %v", err)
	}
	return n, nil
}

// Reset forgets what was encoded: the next packet is made as if it were the first.
func (e *Encoder) Reset() { e.enc.Reset() }

// Independent makes the packets from now on such that they need none before them to be decoded (RFC 6716 §4.2.7.6, §4.3.2.1), which costs
// bits, or lets them depend on those before again.
func (e *Encoder) Independent(yes bool) { e.enc.SetPredictionDisabled(yes) }

// Decoder makes 48 kHz mono audio of one speaker's Opus packets, stereo ones included. It holds 217 kB.
type Decoder struct{ dec *gopus.Decoder }

// NewDecoder makes a decoder.
func NewDecoder() (*Decoder, error) {
	dec, err := gopus.NewDecoder(gopus.DecoderConfig{
		SampleRate: rotunda.ClockRate, Channels: 1, MaxPacketSamples: SamplesMax, MaxPacketBytes: 2 * packet.FrameBytesMax,
	})
	if err != nil {
		return nil, fmt.Errorf("opus decoder: %v", err)
	}
	return &Decoder{dec}, nil
}

// Decode writes the audio of the next packet into pcm, which has room for the packet (at most SamplesMax), and returns its
// length in samples. It allocates nothing. An error wraps ErrCorrupt; the decoder goes on with the next packet.
func (d *Decoder) Decode(b []byte, pcm []float32) (int, error) {
	if _, err := packet.Parse(b); err != nil {
		return 0, ErrCorrupt
	}
	n, err := d.dec.Decode(b, pcm)
	if err != nil {
		return 0, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return n, nil
}

// DecodeLost fills pcm with the audio of a lost packet from the copy of it that the packet after it carries (in-band
// error correction, RFC 6716 §2.1.7), or conceals it where there is no copy. The packet itself is decoded after.
func (d *Decoder) DecodeLost(next []byte, pcm []float32) (int, error) {
	if _, err := packet.Parse(next); err != nil {
		return 0, ErrCorrupt
	}
	n, err := d.dec.DecodeWithFEC(next, pcm, true)
	if err != nil {
		return 0, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return n, nil
}

// Conceal fills pcm, a multiple of 2.5 ms and at most SamplesMax, with what the voice might have gone on like.
func (d *Decoder) Conceal(pcm []float32) (int, error) {
	n, err := d.dec.Decode(nil, pcm)
	if err != nil {
		return 0, fmt.Errorf("opus: conceal: %v", err)
	}
	return n, nil
}
