// Package rtp writes the packets of a listener's session and reads what it reports: RTP headers (RFC 3550 §5.1) with the
// list of speakers and the audio level (RFC 6464), redundant audio (RFC 2198), and the few kinds of RTCP that a sender of
// audio needs (RFC 3550 §6, RFC 4585 §6.2.1).
//
// The package is pure and allocates nothing. Whatever parses is within the bounds of the bytes it was given.
package rtp

import (
	"encoding/binary"

	"rotunda"
)

// HeaderMax is the longest header that Put writes, in bytes: 12, 15 sources, and the level.
const HeaderMax = 12 + 4*rotunda.SourcesMax + levelLen

// levelLen is a header extension with the level and nothing else: profile and length, one element, padding (RFC 8285 §4.2).
const levelLen = 8

// Header is the header of one packet.
type Header struct {
	PayloadType uint8
	Marker      bool
	Sequence    uint16
	Timestamp   uint32
	SSRC        uint32
	Sources     *rotunda.Sources
	LevelID     uint8 // 1 to 14; 0: no level is sent
	Level       uint8 // -dBov, 0 to 127
}

// Put writes the header to dst, which has HeaderMax bytes, and returns its length.
func (h *Header) Put(dst []byte) int {
	_ = dst[HeaderMax-1]
	n := h.Sources.Len()
	dst[0] = 2<<6 | byte(n)
	dst[1] = h.PayloadType & 0x7f
	if h.Marker {
		dst[1] |= 0x80
	}
	binary.BigEndian.PutUint16(dst[2:], h.Sequence)
	binary.BigEndian.PutUint32(dst[4:], h.Timestamp)
	binary.BigEndian.PutUint32(dst[8:], h.SSRC)
	at := 12
	for i := range n {
		binary.BigEndian.PutUint32(dst[at:], uint32(h.Sources.At(i)))
		at += 4
	}
	if h.LevelID == 0 {
		return at
	}
	dst[0] |= 1 << 4
	level := h.Level & 0x7f
	if n > 0 { // somebody is heard: the bit for voice
		level |= 0x80
	}
	binary.BigEndian.PutUint64(dst[at:], 0xbede0001<<32|uint64(h.LevelID<<4)<<24|uint64(level)<<16)
	return at + levelLen
}

// Bounds of redundant audio, RFC 2198 §3.
const (
	// BlocksMax is how many earlier frames a packet carries at most.
	BlocksMax    = 2
	blockLenMax  = 1<<10 - 1
	blockAgeMax  = 1<<14 - 1 // ticks
	blockHead    = 4
	primaryHead  = 1
	redundantMax = 1200 // bytes of a packet's payload: what fits everywhere
)

// Block is an earlier frame.
type Block struct {
	Age     uint32 // how much earlier than the packet's own frame, in ticks
	Payload []byte
}

// AppendRedundant appends the payload that carries earlier frames, oldest first, before its own. Blocks that do not fit
// are left out.
func AppendRedundant(dst []byte, payloadType uint8, earlier []Block, own []byte) []byte {
	size := primaryHead + len(own)
	first := len(earlier)
	for first > 0 { // the newest matter most
		b := earlier[first-1]
		if b.Age > blockAgeMax || len(b.Payload) > blockLenMax || size+blockHead+len(b.Payload) > redundantMax {
			break
		}
		size += blockHead + len(b.Payload)
		first--
	}
	for _, b := range earlier[first:] {
		word := 1<<31 | uint32(payloadType&0x7f)<<24 | b.Age<<10 | uint32(len(b.Payload))
		dst = binary.BigEndian.AppendUint32(dst, word)
	}
	dst = append(dst, payloadType&0x7f)
	for _, b := range earlier[first:] {
		dst = append(dst, b.Payload...)
	}
	return append(dst, own...)
}

// Retype gives all blocks of a redundant payload another payload type, in place.
func Retype(payload []byte, payloadType uint8) {
	for at := 0; at < len(payload); at += blockHead {
		payload[at] = payload[at]&0x80 | payloadType&0x7f
		if payload[at]&0x80 == 0 {
			return
		}
	}
}
