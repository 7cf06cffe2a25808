package srtp

import (
	"crypto/subtle"
	"encoding/binary"
)

// Receiver checks the RTCP that a peer sends.
type Receiver struct {
	rtcp *half
	seen Sent // as indices that came: each is taken once
}

// NewReceiver makes a receiver from the peer's master key and salt.
func NewReceiver(p Profile, key, salt []byte) (*Receiver, error) {
	rtcp, err := newHalf(p, key, salt, labelRTCP)
	if err != nil {
		return nil, err
	}
	return &Receiver{rtcp: rtcp}, nil
}

// RTCP checks a packet and decrypts it in place; ok is false for what is not the peer's, or came before. The result aliases b.
func (r *Receiver) RTCP(b []byte) (packet []byte, ok bool) {
	h := r.rtcp
	if h.aead != nil {
		return r.open(b)
	}
	if len(b) < rtcpHead+4+tagLen {
		return nil, false
	}
	body := len(b) - tagLen - 4
	word := binary.BigEndian.Uint32(b[body:])
	sum := h.tag(h.stream[:0], b[:body], word)
	if subtle.ConstantTimeCompare(sum, b[body+4:]) != 1 || !r.seen.take(uint64(word&^encrypted)) {
		return nil, false
	}
	if word&encrypted != 0 {
		h.counterMode(b[rtcpHead:body], binary.BigEndian.Uint32(b[4:]), uint64(word&^encrypted))
	}
	return b[:body], true
}

// open is RTCP for GCM.
func (r *Receiver) open(b []byte) (packet []byte, ok bool) {
	if len(b) < rtcpHead+rtcpOverhead {
		return nil, false
	}
	h := r.rtcp
	body := len(b) - 4
	word := binary.BigEndian.Uint32(b[body:])
	if word&encrypted == 0 { // RFC 7714 §9.3 allows it; no client does it
		return nil, false
	}
	index := uint64(word &^ encrypted)
	plain, err := h.aead.Open(b[rtcpHead:rtcpHead], h.gcmNonce(binary.BigEndian.Uint32(b[4:]), index), b[rtcpHead:body], h.reportHead(b, word))
	if err != nil || !r.seen.take(index) {
		return nil, false
	}
	return b[:rtcpHead+len(plain)], true
}
