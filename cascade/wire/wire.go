// Package wire is the bytes that two nodes exchange over one QUIC connection (ALPN "rotunda/1"): datagrams with frames,
// and one bidirectional stream with control messages.
//
// The invariant: encoding is canonical. Whatever parses encodes back to the same bytes, and everything that parses is
// within the bounds of the vocabulary (package rotunda). All functions are pure and may be called concurrently.
//
// # Datagrams (RFC 9221)
//
// Integers are big-endian; "varint" is RFC 9000 §16 in its shortest form, any other form is malformed.
//
//	octets  field
//	1       type: 0 heartbeat, 1 frames
//
// A heartbeat ends there, or says in one more octet how long ago its receiver was heard last, in units of 10 ms, 255 for
// anything longer: to peers of revision 3 and later. The other type carries one or more frames, back to back, to the end of the datagram:
//
//	octets  field
//	varint  alias, as the receiver chose it in its subscribe message; 1 to AliasMax
//	varint  sequence number
//	4       timestamp, 48 kHz
//	8       origin wall clock, µs since 1970, two's complement
//	1       level: 0 (loudest) to 127
//	1       hops crossed (high four bits), number of sources n (low four bits)
//	4 n     sources, loudest first
//	varint  payload length, 1 to rotunda.PayloadMax
//	        payload: one Opus packet (RFC 6716 §3)
//
// # Control stream
//
// The node that dialled opens the stream; each side's first message is hello.
//
//	octets  field
//	2       length of what follows, 1 to MessageMax
//	1       type
//
//	type  message      body
//	1     hello        revision (1)
//	2     subscribe    alias (varint), epoch (4), room (name), track (name), hops n (1, at most rotunda.HopsMax), n node ids (name)
//	3     unsubscribe  alias (varint)
//	4     gone         alias (varint), reason (1), node id (name)
//	5     flood        kind (1), hops crossed (1, at most rotunda.HopsMax), payload (1 to FloodMax)
//	6     up           alias (varint), payload (at most NoteMax)
//	7     down         alias (varint), payload (at most NoteMax)
//	8     ask          direction (1: 0 up, 1 down), alias (varint), id (4), round (4), wait (2, ms), payload (1 to AskMax)
//	9     answer       direction (1), alias (varint), id (4), complete (1: 0 no, 1 yes), payload (at most AnswerMax)
//	10    resume       alias (varint), sequence number (varint)
//
// A name is one octet of length and that many octets; a payload goes on to the end of the message and is not for the
// cascade to understand. The hops of a subscribe are the nodes after the receiver, the origin last; without any, the
// receiver is the origin itself. Gone goes the other way: the alias's stream does not come (any more) because of the node
// named. Up goes the way of the subscribe, from who takes a stream towards its origin, and down the other way; the newest
// one takes the place of those before. An ask goes up to the origin, which asks all who take the stream, and those ask theirs;
// each hands up one answer for all below it, and the origin's goes down to who asked, over the nodes that the ask came by.
// Ids are those of the asking end of the link; an answer goes the way back of its ask. A node that is asked in a round that it
// knows, by another way, has nothing more to say.
//
// A node of revision 1 knows the types up to 4 and ends a link that brings another: it is sent no others. From revision 2
// on a message of an unknown type is passed over, so that new types need no new revision.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by every error of this package's parsers.
var ErrMalformed = errors.New("malformed")

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// Errors of the per-frame path are made once: garbage must not cost memory either.
var (
	errShort    = malformed("ends early")
	errVarint   = malformed("varint not in its shortest form")
	errAlias    = malformed("alias out of range")
	errLevel    = malformed("level above 127")
	errPayload  = malformed("payload length")
	errTrailing = malformed("trailing octets")
	errType     = malformed("unknown type")
	errHops     = malformed("path too long")
	errReason   = malformed("unknown reason")
	errFlag     = malformed("flag that is neither 0 nor 1")
	errLength   = malformed("message length")
)

// varintMax is the largest number that RFC 9000 §16 can carry.
const varintMax = 1<<62 - 1

// appendVarint appends v, which must not be above varintMax, in its shortest form.
func appendVarint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return append(b, byte(v>>8)|0x40, byte(v))
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(b, uint32(v)|0x80<<24)
	case v <= varintMax:
		return binary.BigEndian.AppendUint64(b, v|0xc0<<56)
	}
	panic("wire: varint above 2^62-1")
}

// varint parses the number at the start of b.
func varint(b []byte) (v uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, errShort
	}
	n := 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, nil, errShort
	}
	v = uint64(b[0] & 0x3f)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	if n > 1 && v < 1<<(8*(n/2)-2) {
		return 0, nil, errVarint
	}
	return v, b[n:], nil
}

// Alias stands for a stream on one link, in one direction. The receiver of the frames chooses it and never uses it again
// on that link.
type Alias uint32

// AliasMax keeps an alias within four octets.
const AliasMax Alias = 1<<30 - 1

// Valid reports whether a is in range.
func (a Alias) Valid() bool { return a >= 1 && a <= AliasMax }

func parseAlias(b []byte) (Alias, []byte, error) {
	v, rest, err := varint(b)
	if err != nil {
		return 0, nil, err
	}
	if v < 1 || v > uint64(AliasMax) {
		return 0, nil, errAlias
	}
	return Alias(v), rest, nil
}
