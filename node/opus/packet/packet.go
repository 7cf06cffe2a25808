// Package packet reads the framing of Opus packets (RFC 6716 §3) without decoding them: how long a packet plays, and
// whether a decoder would take it. It is pure, allocates nothing and imports no codec, so that the media cores can use it.
//
// The table-of-contents byte:
//
//	 0 1 2 3 4 5 6 7
//	+-+-+-+-+-+-+-+-+
//	| config  |s| c |   config: mode, bandwidth, frame length; s: stereo; c: how many frames follow
//	+-+-+-+-+-+-+-+-+
//
//	c = 0  one frame                          c = 2  two frames, the first one's length in one or two bytes
//	c = 1  two frames of the same length      c = 3  a byte v p M: M frames (v: lengths given), p: padding
package packet

import "errors"

// Limits of an Opus packet.
const (
	FrameBytesMax = 1275 // RFC 6716 §3.4, requirement 2
	TicksMax      = 5760 // 120 ms at 48 kHz, requirement 5
)

// ErrMalformed says that the bytes break the framing rules of RFC 6716 §3.4, which forbids decoding them.
var ErrMalformed = errors.New("malformed opus packet")

// Mode is the coding layer that a packet's frames use.
type Mode uint8

// The modes of RFC 6716 §2.
const (
	SILK Mode = iota
	Hybrid
	CELT
)

// Info is what the framing of a packet says.
type Info struct {
	Mode       Mode
	Stereo     bool
	Frames     int  // 1 to 48
	FrameTicks int  // length of each, 48 kHz ticks
	Empty      bool // no frame has a byte: the sender's DTX, or a stand-in for something lost
}

// Ticks is how long the packet plays, in 48 kHz ticks, at most TicksMax.
func (i Info) Ticks() int { return i.Frames * i.FrameTicks }

// Parse reads the framing of b, all of it. The error is ErrMalformed.
func Parse(b []byte) (Info, error) {
	if len(b) == 0 {
		return Info{}, ErrMalformed
	}
	in := shape(b[0])
	rest := b[1:]
	ok := false
	switch b[0] & 3 {
	case 0:
		in.Frames, in.Empty = 1, len(rest) == 0
		ok = len(rest) <= FrameBytesMax
	case 1:
		in.Frames, in.Empty = 2, len(rest) == 0
		ok = len(rest)%2 == 0 && len(rest)/2 <= FrameBytesMax
	case 2:
		in.Frames = 2
		n, used := length(rest)
		ok = used > 0 && n <= len(rest)-used && len(rest)-used-n <= FrameBytesMax
		in.Empty = ok && len(rest) == used
	case 3:
		in.Frames, in.Empty, ok = many(rest)
	}
	if !ok || in.Ticks() > TicksMax {
		return Info{}, ErrMalformed
	}
	return in, nil
}

// shape reads config and s (RFC 6716 §3.1, table 2).
func shape(toc byte) Info {
	config := int(toc >> 3)
	in := Info{Stereo: toc&4 != 0}
	switch {
	case config < 12:
		in.Mode, in.FrameTicks = SILK, [4]int{480, 960, 1920, 2880}[config&3]
	case config < 16:
		in.Mode, in.FrameTicks = Hybrid, [2]int{480, 960}[config&1]
	default:
		in.Mode, in.FrameTicks = CELT, [4]int{120, 240, 480, 960}[config&3]
	}
	return in
}

// length reads a frame length of one or two bytes (RFC 6716 §3.2.1); used is 0 when b is too short.
func length(b []byte) (n, used int) {
	switch {
	case len(b) == 0:
		return 0, 0
	case b[0] < 252:
		return int(b[0]), 1
	case len(b) == 1:
		return 0, 0
	}
	return int(b[0]) + 4*int(b[1]), 2
}

// many reads what follows the table of contents in a packet of code 3 (RFC 6716 §3.2.5).
func many(b []byte) (frames int, empty, ok bool) {
	if len(b) == 0 {
		return 0, false, false
	}
	head := b[0]
	frames = int(head & 0x3f)
	b = b[1:]
	if frames == 0 {
		return 0, false, false
	}
	if head&0x40 != 0 {
		if b, ok = unpad(b); !ok {
			return 0, false, false
		}
	}
	if head&0x80 == 0 {
		return frames, len(b) == 0, len(b)%frames == 0 && len(b)/frames <= FrameBytesMax
	}
	sum := 0
	for range frames - 1 {
		n, used := length(b)
		if used == 0 {
			return 0, false, false
		}
		sum += n
		b = b[used:]
	}
	last := len(b) - sum
	return frames, len(b) == 0, last >= 0 && last <= FrameBytesMax
}

// unpad takes the padding lengths off the front of b and the padding off its end.
func unpad(b []byte) ([]byte, bool) {
	padding := 0
	for {
		if len(b) == 0 {
			return nil, false
		}
		n := b[0]
		b = b[1:]
		if n < 255 {
			padding += int(n)
			break
		}
		padding += 254
	}
	if padding > len(b) {
		return nil, false
	}
	return b[:len(b)-padding], true
}
