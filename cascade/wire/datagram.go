package wire

import (
	"encoding/binary"
	"time"

	"rotunda"
)

// Sizes of datagrams, in octets.
const (
	// FrameMax is the longest encoded frame: alias 4, sequence number 8, timestamp 4, origin 8, level 1, hops and count 1,
	// sources, payload length 2, payload.
	FrameMax = 4 + 8 + 4 + 8 + 1 + 1 + 4*rotunda.SourcesMax + 2 + rotunda.PayloadMax
	// DatagramMax is the longest datagram. It fits the smallest packet that QUIC allows, 1200 octets (RFC 9000 §14),
	// less short header (1), connection id (≤ 20), packet number (≤ 4), AEAD tag (16), and DATAGRAM frame header (3):
	// no path that QUIC works on refuses it, before or after path MTU discovery.
	DatagramMax = 1200 - 1 - 20 - 4 - 16 - 3
)

// Frame and type octet must fit.
const _ = uint(DatagramMax - 1 - FrameMax)

// DatagramType is the first octet of a datagram.
type DatagramType uint8

// The types of datagrams.
const (
	Heartbeat DatagramType = 0 // "I am here": sent when nothing else was for a while
	Frames    DatagramType = 1
	Missing   DatagramType = 2 // frames that the sender has not got
)

// SinceHeard is the first revision of a peer that takes heartbeats that say when it was heard last.
const SinceHeard = 3

// SinceLanes is the first revision of a peer that takes further connections for the datagrams of a link.
const SinceLanes = 3

// SinceMissing is the first revision of a peer that may be asked for frames that are missing.
const SinceMissing = 4

// MissingMax is how many frames one datagram asks for at most.
const MissingMax = 32

// heardUnit is what one step of that octet stands for; the highest value stands for anything longer too.
const heardUnit = 10 * time.Millisecond

// AppendHeartbeat appends a whole heartbeat datagram to b.
func AppendHeartbeat(b []byte) []byte { return append(b, byte(Heartbeat)) }

// AppendHeartbeatHeard appends a whole heartbeat datagram that says how long ago its receiver was heard last.
func AppendHeartbeatHeard(b []byte, ago time.Duration) []byte {
	return append(b, byte(Heartbeat), byte(min(max(ago, 0)/heardUnit, 255)))
}

// HeartbeatHeard reads what AppendHeartbeatHeard wrote, from what ParseDatagram returned behind the type of a heartbeat; ok
// is false for one that says nothing.
func HeartbeatHeard(rest []byte) (ago time.Duration, ok bool) {
	if len(rest) != 1 {
		return 0, false
	}
	return time.Duration(rest[0]) * heardUnit, true
}

// AppendFramesHeader appends the start of a datagram with frames to b; one or more AppendFrame must follow.
func AppendFramesHeader(b []byte) []byte { return append(b, byte(Frames)) }

// AppendMissingHeader appends the start of a datagram that asks for frames to b; one to MissingMax AppendMissing must follow.
func AppendMissingHeader(b []byte) []byte { return append(b, byte(Missing)) }

// AppendMissing appends to b that a frame has not come under alias. The alias must be Valid and seq that of a frame.
func AppendMissing(b []byte, alias Alias, seq rotunda.Seq) []byte {
	return appendVarint(appendVarint(b, uint64(alias)), uint64(seq))
}

// ParseMissing parses what one AppendMissing wrote at the start of b and returns what is behind it.
func ParseMissing(b []byte) (alias Alias, seq rotunda.Seq, rest []byte, err error) {
	alias, b, err = parseAlias(b)
	if err != nil {
		return 0, 0, nil, err
	}
	n, rest, err := varint(b)
	if err != nil {
		return 0, 0, nil, err
	}
	return alias, rotunda.Seq(n), rest, nil
}

// Encodable reports whether f is within the bounds that the wire can carry.
func Encodable(f *rotunda.Frame) bool {
	return f.Seq <= varintMax && f.Level <= 127 && f.Hops <= 15 && len(f.Payload) >= 1 && len(f.Payload) <= rotunda.PayloadMax
}

// AppendFrame appends f under alias to b: at most FrameMax octets. The alias must be Valid and the frame Encodable.
func AppendFrame(b []byte, alias Alias, f *rotunda.Frame) []byte {
	if !alias.Valid() || !Encodable(f) {
		panic("wire: frame out of bounds")
	}
	b = appendVarint(b, uint64(alias))
	b = appendVarint(b, uint64(f.Seq))
	b = binary.BigEndian.AppendUint32(b, f.Timestamp)
	b = binary.BigEndian.AppendUint64(b, uint64(f.Origin))
	b = append(b, f.Level, f.Hops<<4|byte(f.Sources.Len()))
	for i := range f.Sources.Len() {
		b = binary.BigEndian.AppendUint32(b, uint32(f.Sources.At(i)))
	}
	b = appendVarint(b, uint64(len(f.Payload)))
	return append(b, f.Payload...)
}

// ParseDatagram returns the type of datagram b and its frames, to be taken one by one with ParseFrame, or ParseMissing where
// they are missing, until nothing is left. What is behind the type of a heartbeat is for HeartbeatHeard.
func ParseDatagram(b []byte) (t DatagramType, frames []byte, err error) {
	if len(b) == 0 {
		return 0, nil, errShort
	}
	t, frames = DatagramType(b[0]), b[1:]
	switch t {
	case Heartbeat:
		if len(frames) > 1 {
			return 0, nil, errTrailing
		}
	case Frames, Missing:
		if len(frames) == 0 {
			return 0, nil, errShort
		}
	default:
		return 0, nil, errType
	}
	return t, frames, nil
}

// ParseFrame parses the first frame of b into f and returns what is behind it. f.Payload aliases b. It allocates nothing.
// After an error the content of f is undefined and the rest of the datagram cannot be read.
func ParseFrame(b []byte, f *rotunda.Frame) (alias Alias, rest []byte, err error) {
	alias, b, err = parseAlias(b)
	if err != nil {
		return 0, nil, err
	}
	seq, b, err := varint(b)
	if err != nil {
		return 0, nil, err
	}
	if len(b) < 4+8+1+1 {
		return 0, nil, errShort
	}
	f.Seq = rotunda.Seq(seq)
	f.Timestamp = binary.BigEndian.Uint32(b)
	f.Origin = int64(binary.BigEndian.Uint64(b[4:]))
	f.Level = b[12]
	f.Hops = b[13] >> 4
	sources := int(b[13] & 15)
	b = b[14:]
	if f.Level > 127 {
		return 0, nil, errLevel
	}
	if len(b) < 4*sources {
		return 0, nil, errShort
	}
	f.Sources = rotunda.Sources{}
	for range sources {
		f.Sources.Add(rotunda.SSRC(binary.BigEndian.Uint32(b)))
		b = b[4:]
	}
	n, b, err := varint(b)
	switch {
	case err != nil:
		return 0, nil, err
	case n < 1 || n > rotunda.PayloadMax:
		return 0, nil, errPayload
	case uint64(len(b)) < n:
		return 0, nil, errShort
	}
	f.Payload = b[:n:n]
	return alias, b[n:], nil
}
