package pcm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrNotWAV is wrapped by the error for every file that is not a WAV file, or one of a kind that is not read here.
var ErrNotWAV = errors.New("not a wav file that can be read")

// Limits of a WAV file.
const (
	rateMin     = 4000
	rateMax     = 384000
	channelsMax = 8
	chunkMax    = 1 << 16 // bytes of a format chunk
)

// Recording is the sound of a file, mixed down to one channel.
type Recording struct {
	Rate     int       // Hz
	Channels int       // that the file has
	Samples  []float32 // full scale is ±1
}

// At48k is the recording at 48 kHz.
func (r Recording) At48k() []float32 { return Resample(r.Samples, r.Rate, Rate) }

type wavFormat struct {
	float    bool
	channels int
	rate     int
	bytes    int // of one sample
}

// ReadWAV reads a RIFF WAVE file: integer samples of 8, 16, 24 or 32 bits or floats of 32 or 64, 1 to 8 channels, plain or
// "extensible". It reads at most samplesMax samples of each channel and leaves the rest; a file that ends early is taken as far as it goes.
func ReadWAV(r io.Reader, samplesMax int) (Recording, error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:4]) != "RIFF" || string(head[8:]) != "WAVE" {
		return Recording{}, fmt.Errorf("%w: no RIFF WAVE header", ErrNotWAV)
	}
	var f wavFormat
	for {
		var chunk [8]byte
		if _, err := io.ReadFull(r, chunk[:]); err != nil {
			return Recording{}, fmt.Errorf("%w: no data chunk", ErrNotWAV)
		}
		size := int64(binary.LittleEndian.Uint32(chunk[4:]))
		switch string(chunk[:4]) {
		case "fmt ":
			var err error
			if f, err = readFormat(r, size); err != nil {
				return Recording{}, err
			}
		case "data":
			if f.bytes == 0 {
				return Recording{}, fmt.Errorf("%w: data before its format", ErrNotWAV)
			}
			return readData(r, f, size, samplesMax)
		default:
			if n, err := io.CopyN(io.Discard, r, size+size&1); err != nil || n != size+size&1 {
				return Recording{}, fmt.Errorf("%w: cut off in chunk %q", ErrNotWAV, chunk[:4])
			}
		}
	}
}

func readFormat(r io.Reader, size int64) (wavFormat, error) {
	if size < 16 || size > chunkMax {
		return wavFormat{}, fmt.Errorf("%w: format chunk of %d bytes", ErrNotWAV, size)
	}
	b := make([]byte, size+size&1)
	if _, err := io.ReadFull(r, b); err != nil {
		return wavFormat{}, fmt.Errorf("%w: cut off in its format", ErrNotWAV)
	}
	tag := binary.LittleEndian.Uint16(b)
	if tag == 0xfffe && size >= 26 { // extensible: the real tag starts the GUID
		tag = binary.LittleEndian.Uint16(b[24:])
	}
	f := wavFormat{
		float: tag == 3, channels: int(binary.LittleEndian.Uint16(b[2:])), rate: int(binary.LittleEndian.Uint32(b[4:])),
		bytes: int(binary.LittleEndian.Uint16(b[14:])) / 8,
	}
	bits := int(binary.LittleEndian.Uint16(b[14:]))
	ok := tag == 1 && f.bytes >= 1 && f.bytes <= 4 || tag == 3 && (f.bytes == 4 || f.bytes == 8)
	switch {
	case !ok || bits%8 != 0:
		return wavFormat{}, fmt.Errorf("%w: format %d with %d bits", ErrNotWAV, tag, bits)
	case f.channels < 1 || f.channels > channelsMax:
		return wavFormat{}, fmt.Errorf("%w: %d channels, not 1 to %d", ErrNotWAV, f.channels, channelsMax)
	case f.rate < rateMin || f.rate > rateMax:
		return wavFormat{}, fmt.Errorf("%w: %d Hz, not %d to %d", ErrNotWAV, f.rate, rateMin, rateMax)
	}
	return f, nil
}

// readData reads and mixes down. Programs that write to a pipe state a size of 0 or of the maximum: those read on to the end.
func readData(r io.Reader, f wavFormat, size int64, samplesMax int) (Recording, error) {
	out := Recording{Rate: f.rate, Channels: f.channels}
	frame := f.bytes * f.channels
	if size == 0 || size >= 0x7ffff000 {
		size = math.MaxInt64
	}
	buf := make([]byte, 4096*frame)
	for left := min(size/int64(frame), int64(max(0, samplesMax))); left > 0; {
		n, err := io.ReadFull(r, buf[:min(int64(len(buf)), left*int64(frame))])
		for at := 0; at+frame <= n; at += frame {
			out.Samples = append(out.Samples, f.mono(buf[at:at+frame]))
		}
		left -= int64(n / frame)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return Recording{}, fmt.Errorf("wav: %w", err)
		}
	}
	return out, nil
}

// mono is the mean of one sample of all channels. What is not a number is silence, and what is far off scale is cut.
func (f wavFormat) mono(b []byte) float32 {
	sum := 0.0
	for c := range f.channels {
		sum += f.sample(b[c*f.bytes:])
	}
	v := sum / float64(f.channels)
	if math.IsNaN(v) {
		return 0
	}
	return float32(max(-8, min(8, v)))
}

func (f wavFormat) sample(b []byte) float64 {
	switch {
	case f.float && f.bytes == 4:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case f.float:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	case f.bytes == 1: // unsigned
		return (float64(b[0]) - 128) / 128
	}
	v := int32(0)
	for i := range f.bytes {
		v |= int32(b[i]) << (8 * (4 - f.bytes + i))
	}
	return float64(v) / (1 << 31)
}

// WriteWAV writes mono samples as 16-bit PCM; what is beyond full scale is clipped.
func WriteWAV(w io.Writer, rate int, samples []float32) error {
	data := 2 * len(samples)
	if data > math.MaxUint32-36 {
		return errors.New("wav: more than 4 GiB")
	}
	b := make([]byte, 44, 44+data)
	copy(b, "RIFF")
	binary.LittleEndian.PutUint32(b[4:], uint32(36+data))
	copy(b[8:], "WAVEfmt ")
	binary.LittleEndian.PutUint32(b[16:], 16)
	binary.LittleEndian.PutUint16(b[20:], 1)
	binary.LittleEndian.PutUint16(b[22:], 1)
	binary.LittleEndian.PutUint32(b[24:], uint32(rate))
	binary.LittleEndian.PutUint32(b[28:], uint32(2*rate))
	binary.LittleEndian.PutUint16(b[32:], 2)
	binary.LittleEndian.PutUint16(b[34:], 16)
	copy(b[36:], "data")
	binary.LittleEndian.PutUint32(b[40:], uint32(data))
	for _, x := range samples {
		v := math.Round(max(-1, min(1, float64(x))) * 32767)
		if math.IsNaN(v) {
			v = 0
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(int16(v)))
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("wav: %w", err)
	}
	return nil
}
