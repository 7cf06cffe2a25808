package rtp

import "encoding/binary"

// Types of RTCP packets (RFC 3550 §12.1, RFC 4585 §6.1).
const (
	TypeSenderReport   = 200
	TypeReceiverReport = 201
	typeDescription    = 202
	typeBye            = 203
	TypeFeedback       = 205 // transport layer feedback; NACK is its format 1
)

// FormatNACK is the format of TypeFeedback that asks for packets again.
const FormatNACK = 1

// SenderReport is what AppendSenderReport says (RFC 3550 §6.4.1).
type SenderReport struct {
	SSRC            uint32
	NTP             uint64 // wall clock: seconds since 1900 and a fraction
	Timestamp       uint32 // that the sound of NTP has
	Packets, Octets uint32
}

// AppendSenderReport appends a compound packet: the report, and the source's canonical name (RFC 3550 §6.1), at most 64 bytes
// of it.
func AppendSenderReport(dst []byte, r SenderReport, name string) []byte {
	dst = append(dst, 2<<6, TypeSenderReport, 0, 6)
	dst = binary.BigEndian.AppendUint32(dst, r.SSRC)
	dst = binary.BigEndian.AppendUint64(dst, r.NTP)
	dst = binary.BigEndian.AppendUint32(dst, r.Timestamp)
	dst = binary.BigEndian.AppendUint32(dst, r.Packets)
	dst = binary.BigEndian.AppendUint32(dst, r.Octets)
	return appendName(dst, r.SSRC, name)
}

// appendName appends a source description with CNAME only (RFC 3550 §6.5).
func appendName(dst []byte, ssrc uint32, name string) []byte {
	name = name[:min(len(name), 64)]
	items := 2 + len(name) + 1 // type and length, name, the end
	words := (items + 3) / 4
	dst = append(dst, 2<<6|1, typeDescription, 0, byte(1+words))
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	dst = append(dst, 1, byte(len(name)))
	dst = append(dst, name...)
	for range 4*words - items + 1 {
		dst = append(dst, 0)
	}
	return dst
}

// AppendPulse appends an empty receiver report (RFC 3550 §6.4.2) of ssrc: it says nothing but that its sender lives.
func AppendPulse(dst []byte, ssrc uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 2<<6, TypeReceiverReport, 0, 1), ssrc)
}

// AppendBye appends a compound packet that says that a source has ended (RFC 3550 §6.6): an empty receiver report, the
// source's name, and the goodbye.
func AppendBye(dst []byte, ssrc uint32, name string) []byte {
	dst = appendName(AppendPulse(dst, ssrc), ssrc, name)
	dst = append(dst, 2<<6|1, typeBye, 0, 1)
	return binary.BigEndian.AppendUint32(dst, ssrc)
}

// Packet is one packet of a compound.
type Packet struct {
	Type   uint8
	Format uint8  // count of reports, or format of feedback
	Body   []byte // what follows the first word; aliases the compound
}

// Next takes the first packet off a compound; ok is false at its end, and where it is malformed.
func Next(compound []byte) (p Packet, rest []byte, ok bool) {
	if len(compound) < 4 || compound[0]>>6 != 2 {
		return Packet{}, nil, false
	}
	size := 4 * (1 + int(binary.BigEndian.Uint16(compound[2:])))
	if size > len(compound) {
		return Packet{}, nil, false
	}
	p = Packet{Type: compound[1], Format: compound[0] & 0x1f, Body: compound[4:size]}
	return p, compound[size:], true
}

// Report is one reception report block (RFC 3550 §6.4.1).
type Report struct {
	SSRC         uint32 // of the stream reported on
	Lost         uint8  // share of packets lost since the last report, of 256
	Jitter       uint32 // ticks
	LastReport   uint32 // the middle of the NTP time of the last sender report that came, 0 for none
	SinceReport  uint32 // since then, in 1/65536 s
	HighestIndex uint32 // extended sequence number
}

const reportLen = 24

// Report returns the i-th report block of a sender or receiver report; ok is false past the last one.
func (p Packet) Report(i int) (r Report, ok bool) {
	start := 4 // the sender of the report
	switch p.Type {
	case TypeSenderReport:
		start += 20
	case TypeReceiverReport:
	default:
		return Report{}, false
	}
	at := start + i*reportLen
	if i >= int(p.Format) || at+reportLen > len(p.Body) {
		return Report{}, false
	}
	b := p.Body[at:]
	return Report{
		SSRC: binary.BigEndian.Uint32(b), Lost: b[4], HighestIndex: binary.BigEndian.Uint32(b[8:]), Jitter: binary.BigEndian.Uint32(b[12:]),
		LastReport: binary.BigEndian.Uint32(b[16:]), SinceReport: binary.BigEndian.Uint32(b[20:]),
	}, true
}

// Missing is one entry of a NACK: a packet, and which of the 16 after it are missing too.
type Missing struct {
	Sequence uint16
	Also     uint16 // bit i: Sequence+i+1
}

// Missing returns whose packets a NACK asks for, and its i-th entry; ok is false past the last one and for other packets.
func (p Packet) Missing(i int) (ssrc uint32, m Missing, ok bool) {
	if p.Type != TypeFeedback || p.Format != FormatNACK || len(p.Body) < 8+4*(i+1) {
		return 0, Missing{}, false
	}
	b := p.Body[8+4*i:]
	return binary.BigEndian.Uint32(p.Body[4:]), Missing{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])}, true
}
