package rotunda

import "time"

// The clock and shape of audio in the mesh.
const (
	// ClockRate is the RTP clock of Opus whatever its bandwidth (RFC 7587 §4.1), in ticks a second.
	ClockRate = 48000
	// FrameDuration is the audio that one frame carries.
	FrameDuration = 20 * time.Millisecond
	// FrameTicks is FrameDuration in ticks of ClockRate.
	FrameTicks = ClockRate / 50
	// PayloadMax is the longest Opus packet that the mesh carries, in bytes: 20 ms at more than 400 kbit/s, and small
	// enough that a frame with its header fits in one QUIC datagram on any path.
	PayloadMax = 1000
	// SourcesMax is how many active speakers a program frame can name: the length of an RTP CSRC list (RFC 3550 §5.1).
	SourcesMax = 15
	// HopsMax is how many links a frame may cross before it is dropped as lost in a loop.
	HopsMax = 8
)

// Frame is one Opus packet on its way through the mesh.
//
// Payload aliases whatever buffer the frame was read into and is valid only until the function it was passed to
// returns: who keeps a frame copies it.
type Frame struct {
	Seq       Seq    // counts the frames of this stream epoch that were sent; silence (DTX) has no numbers
	Timestamp uint32 // sampling instant, 48 kHz ticks, wraps (RFC 3550 §5.1)
	Origin    int64  // wall clock of the origin node when the frame entered the mesh, microseconds since 1970
	Level     uint8  // audio level, 0 (loudest) to 127 (silence), in -dBov (RFC 6464 §3)
	Hops      uint8  // links crossed so far
	Sources   Sources
	Payload   []byte
}

// Sources is the list of speakers who are heard in a frame, loudest first: the CSRC list of a mixer (RFC 3550 §7.1).
// The zero value is empty. It has a fixed size so that frames need no memory of their own.
type Sources struct {
	n   uint8
	ids [SourcesMax]SSRC
}

// SourcesOf lists ids; those past SourcesMax are left out.
func SourcesOf(ids ...SSRC) Sources {
	var s Sources
	for _, id := range ids {
		s.Add(id)
	}
	return s
}

// Add appends id and reports whether there was room.
func (s *Sources) Add(id SSRC) bool {
	if int(s.n) == SourcesMax {
		return false
	}
	s.ids[s.n] = id
	s.n++
	return true
}

// Len is the number of sources listed.
func (s *Sources) Len() int { return int(s.n) }

// At returns the i-th source, 0 ≤ i < Len.
func (s *Sources) At(i int) SSRC { return s.ids[:s.n][i] }
