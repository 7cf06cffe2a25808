package opus

import (
	"errors"
	"fmt"
	"io"

	"github.com/thesyncim/gopus/container/ogg"

	"rotunda/node/opus/packet"
)

// FilePacket is one packet of an Ogg Opus file.
type FilePacket struct {
	Payload []byte // one Opus packet
	Ticks   int    // how long it plays, 48 kHz ticks
}

// Reader reads the packets of an Ogg Opus file (RFC 7845) of one or two channels. Make it with NewReader.
type Reader struct {
	in    *ogg.Reader
	bound *bound
}

// ErrNotOpus is wrapped by the error for a file that is not Ogg Opus, or is of a shape that the mesh does not carry.
var ErrNotOpus = errors.New("not an ogg opus file that can be sent")

// What may be read at once, and so be held in memory: before the first packet (the comments may hold a picture; RFC 7845 §5.2 allows
// 120 MB) and for each packet (two pages and what the reader takes ahead).
const (
	headerMax     = 16 << 20
	packetReadMax = 1 << 19
)

// NewReader reads the headers of the file.
func NewReader(r io.Reader) (*Reader, error) {
	b := &bound{r: r, left: headerMax}
	in, err := ogg.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNotOpus, err)
	}
	if in.Header.MappingFamily != 0 || in.Channels() > 2 {
		return nil, fmt.Errorf("%w: %d channels, mapping family %d", ErrNotOpus, in.Channels(), in.Header.MappingFamily)
	}
	return &Reader{in, b}, nil
}

// PreSkip is how many samples of the decoded audio come before the first that was meant to be heard (RFC 7845 §4.2).
func (r *Reader) PreSkip() int { return int(r.in.PreSkip()) }

// Next returns the next packet, or io.EOF after the last. Another error says that the file is damaged; reading on is of no use.
func (r *Reader) Next() (FilePacket, error) {
	r.bound.left = packetReadMax
	b, _, err := r.in.ReadPacket()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return FilePacket{}, io.EOF // a recording that was cut off is played as far as it goes
	}
	if err != nil {
		return FilePacket{}, fmt.Errorf("%w: %v", ErrNotOpus, err)
	}
	info, err := packet.Parse(b)
	if err != nil {
		return FilePacket{}, fmt.Errorf("%w: %v", ErrNotOpus, err)
	}
	return FilePacket{Payload: b, Ticks: info.Ticks()}, nil
}

// bound fails when more than left bytes are read.
type bound struct {
	r    io.Reader
	left int
}

var errTooLong = errors.New("a header or packet of the file is too long")

func (b *bound) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errTooLong
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// Writer writes one stream's packets to an Ogg Opus file that keeps the stream's time: what is missing between two packets, by
// loss or because nothing was sent in silence, is filled with packets of no frames' bytes, as RFC 7845 §4.1 asks, which every player conceals or
// plays as silence. Make it with NewWriter.
type Writer struct {
	out     *ogg.Writer
	started bool
	end     uint32 // timestamp behind the last packet
	written int64  // ticks in the file
	carry   int    // ticks of a gap that were too few for a packet: the next packet ends so much later
	toc     byte   // of the last packet
}

// FillMax bounds the silence that is written between two packets: a longer gap is taken for a restart of the sender's clock and closed up.
const FillMax = 60 * 60 * 48000

// NewWriter writes the headers of a mono file to w.
func NewWriter(w io.Writer) (*Writer, error) {
	out, err := ogg.NewWriterWithConfig(w, ogg.WriterConfig{SampleRate: 48000, Channels: 1, PreSkip: Lookahead, StreamCount: 1})
	if err != nil {
		return nil, fmt.Errorf("ogg: %w", err)
	}
	return &Writer{out: out}, nil
}

// Write appends a packet whose first sample has the given timestamp (48 kHz ticks, wraps). A packet that is older than what was
// written already is left out.
func (w *Writer) Write(timestamp uint32, payload []byte) error {
	info, err := packet.Parse(payload)
	if err != nil {
		return ErrCorrupt
	}
	if w.started {
		gap := int(int32(timestamp - w.end))
		if gap < 0 && gap > -FillMax {
			return nil
		}
		if gap > 0 && gap <= FillMax {
			if err := w.fill(gap); err != nil {
				return err
			}
		}
	}
	w.started, w.toc = true, payload[0]
	w.end = timestamp + uint32(info.Ticks())
	return w.put(payload, info.Ticks())
}

// fill writes gap ticks of nothing, in packets of the configuration of the last one: up to 120 ms in two bytes (code 3 with
// constant length and M empty frames), then what remains in single frames. Less than a frame only moves the time on.
func (w *Writer) fill(gap int) error {
	info, _ := packet.Parse([]byte{w.toc &^ 3}) // one byte is always a packet
	many := packet.TicksMax / info.FrameTicks
	for gap >= info.FrameTicks {
		n := min(many, gap/info.FrameTicks)
		b := []byte{w.toc | 3, byte(n)}
		if n == 1 {
			b = []byte{w.toc &^ 3}
		}
		if err := w.put(b, n*info.FrameTicks); err != nil {
			return err
		}
		gap -= n * info.FrameTicks
	}
	w.carry = gap
	return nil
}

func (w *Writer) put(payload []byte, ticks int) error {
	ticks += w.carry
	w.carry = 0
	if err := w.out.WritePacket(payload, ticks); err != nil {
		return fmt.Errorf("ogg: %w", err)
	}
	w.written += int64(ticks)
	return nil
}

// Ticks is how much audio has been written, 48 kHz ticks.
func (w *Writer) Ticks() int64 { return w.written }

// Close ends the stream; it does not close the file.
func (w *Writer) Close() error {
	if err := w.out.Close(); err != nil {
		return fmt.Errorf("ogg: %w", err)
	}
	return nil
}

// DecodeFile decodes a whole Ogg Opus file to 48 kHz mono, without its pre-skip, at most samplesMax samples. Packets that do not
// decode are silence.
func DecodeFile(r io.Reader, samplesMax int) ([]float32, error) {
	in, err := NewReader(r)
	if err != nil {
		return nil, err
	}
	dec, err := NewDecoder()
	if err != nil {
		return nil, err
	}
	var out []float32
	buf := make([]float32, SamplesMax)
	for len(out) < samplesMax+in.PreSkip() {
		p, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		n, err := dec.Decode(p.Payload, buf)
		if err != nil {
			n = p.Ticks
			clear(buf[:n])
		}
		out = append(out, buf[:n]...)
	}
	out = out[min(len(out), in.PreSkip()):]
	return out[:min(len(out), samplesMax)], nil
}
