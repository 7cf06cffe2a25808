// Package srtp protects what a session sends and checks the RTCP that comes back: RFC 3711 with the two profiles that
// DTLS-SRTP clients offer, AEAD_AES_128_GCM (RFC 7714) and AES_CM_128_HMAC_SHA1_80. It is small on purpose: about 4 kB a
// session, and nothing is allocated per packet.
//
// Its invariant: a Sender never uses an index of an SSRC twice for different bytes. With GCM that would give the
// authentication key away, so Sender refuses it; a packet that is sent again must be the same to the bit (AgainRTP).
//
// The package is pure. No type is safe for concurrent use.
package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 3711 has no other
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
)

// Profile is a protection profile by its number in DTLS (RFC 5764 §4.1.2).
type Profile uint16

// The profiles, by preference.
const (
	GCM  Profile = 0x0007 // AEAD_AES_128_GCM
	CM80 Profile = 0x0001 // AES_CM_128_HMAC_SHA1_80
)

// KeyLen is the length of a master key, in bytes.
const KeyLen = 16

// Overhead is how much longer a protected RTP packet is at most, and how much room it needs, in bytes.
const Overhead = 16

// rtcpOverhead is what an RTCP packet grows by at most: its index and the tag.
const rtcpOverhead = 4 + Overhead

// SaltLen is the length of a master salt in bytes; 0 for a profile that is not known.
func (p Profile) SaltLen() int {
	switch p {
	case GCM:
		return 12
	case CM80:
		return 14
	}
	return 0
}

// ErrReused says that bytes would be protected under an index that other bytes had.
var ErrReused = errors.New("srtp: the index has been used")

// labels of the key derivation, RFC 3711 §4.3.2.
const (
	labelKey  = 0
	labelAuth = 1
	labelSalt = 2
	labelRTCP = 3 // added for RTCP
)

// derive appends n bytes of the key stream for a label (RFC 3711 §4.3.1 with a key derivation rate of 0). A salt of 96
// bits counts as one of 112 with zeros behind (RFC 7714 §11).
func derive(master cipher.Block, salt []byte, label byte, n int) []byte {
	var x, out [aes.BlockSize]byte
	copy(x[:14], salt)
	x[7] ^= label
	var key []byte
	for i := uint16(0); len(key) < n; i++ {
		binary.BigEndian.PutUint16(x[14:], i)
		master.Encrypt(out[:], x[:])
		key = append(key, out[:]...)
	}
	return key[:n]
}

// half is what one direction of RTP or of RTCP is protected with.
type half struct {
	salt [14]byte
	aead cipher.AEAD // GCM

	block cipher.Block // CM80, with what follows
	mac   hash.Hash

	nonce, stream, sum [20]byte // scratch: what is given to an interface must not be on the stack
}

func newHalf(p Profile, key, salt []byte, label byte) (*half, error) {
	if len(key) != KeyLen || p.SaltLen() == 0 || len(salt) != p.SaltLen() {
		return nil, fmt.Errorf("srtp: profile %#x with a key of %d and a salt of %d bytes", uint16(p), len(key), len(salt))
	}
	master, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	h := &half{}
	copy(h.salt[:], derive(master, salt, label+labelSalt, p.SaltLen()))
	block, err := aes.NewCipher(derive(master, salt, label+labelKey, KeyLen))
	if err != nil {
		return nil, err
	}
	if p == GCM {
		h.aead, err = cipher.NewGCM(block)
		return h, err
	}
	h.block = block
	h.mac = hmac.New(sha1.New, derive(master, salt, label+labelAuth, sha1.Size))
	return h, nil
}

// gcmNonce is RFC 7714 §8.1 for RTP and §9.1 for RTCP, whose index is right-aligned as well.
func (h *half) gcmNonce(ssrc uint32, index uint64) []byte {
	n := h.nonce[:12]
	n[0], n[1] = 0, 0
	binary.BigEndian.PutUint32(n[2:], ssrc)
	binary.BigEndian.PutUint16(n[6:], uint16(index>>32))
	binary.BigEndian.PutUint32(n[8:], uint32(index))
	subtle.XORBytes(n, n, h.salt[:12])
	return n
}

// counterMode encrypts or decrypts in place, RFC 3711 §4.1.1.
func (h *half) counterMode(b []byte, ssrc uint32, index uint64) {
	iv, ks := h.nonce[:16], h.stream[:16]
	copy(iv, h.salt[:])
	iv[14], iv[15] = 0, 0
	var x [14]byte
	binary.BigEndian.PutUint32(x[4:], ssrc)
	binary.BigEndian.PutUint16(x[8:], uint16(index>>32))
	binary.BigEndian.PutUint32(x[10:], uint32(index))
	subtle.XORBytes(iv[:14], iv[:14], x[:])
	for i := uint16(0); len(b) > 0; i++ {
		binary.BigEndian.PutUint16(iv[14:], i)
		h.block.Encrypt(ks, iv)
		n := subtle.XORBytes(b, b, ks)
		b = b[n:]
	}
}

// reportHead is the associated data of an RTCP packet (RFC 7714 §9.2): its first words and the one with the index.
func (h *half) reportHead(packet []byte, word uint32) []byte {
	aad := h.stream[:rtcpHead+4]
	copy(aad, packet[:rtcpHead])
	binary.BigEndian.PutUint32(aad[rtcpHead:], word)
	return aad
}

const tagLen = 10 // of HMAC-SHA1-80, in bytes

// tag appends the authentication tag over b and a word.
func (h *half) tag(dst, b []byte, word uint32) []byte {
	h.mac.Reset()
	h.mac.Write(b)
	binary.BigEndian.PutUint32(h.nonce[:], word)
	h.mac.Write(h.nonce[:4])
	return append(dst, h.mac.Sum(h.sum[:0])[:tagLen]...)
}

// used reports whether an index has been used lately.
func (s *Sent) used(index uint64) bool {
	return s.begun && index <= s.newest && s.newest-index < 64 && s.mask&(1<<(s.newest-index)) != 0
}

// Sender protects one session's packets, of any number of SSRCs.
type Sender struct {
	rtp, rtcp *half
	reports   uint32 // the RTCP index used last
}

// NewSender makes a sender from a master key and salt.
func NewSender(p Profile, key, salt []byte) (*Sender, error) {
	rtp, err := newHalf(p, key, salt, 0)
	if err != nil {
		return nil, err
	}
	rtcp, err := newHalf(p, key, salt, labelRTCP)
	if err != nil {
		return nil, err
	}
	return &Sender{rtp: rtp, rtcp: rtcp}, nil
}

// Sent is which indices of an SSRC have been used lately. The zero value is one of which none have.
type Sent struct {
	begun  bool
	newest uint64
	mask   uint64 // bit i: newest-i
}

// Next is the sequence number after the highest used, first where none is.
func (s *Sent) Next(first uint16) uint16 {
	if !s.begun {
		return first
	}
	return uint16(s.newest) + 1
}

// index is the 48-bit index of a sequence number: the one nearest to the newest (RFC 3711 §3.3.1). ok is false for what would
// come before the first index there is.
func (s *Sent) index(sequence uint16) (index uint64, ok bool) {
	if !s.begun {
		return uint64(sequence), true
	}
	ahead := int64(int16(sequence - uint16(s.newest)))
	if ahead < 0 && uint64(-ahead) > s.newest {
		return 0, false
	}
	return uint64(int64(s.newest) + ahead), true
}

// take notes an index as used and reports whether it may be.
func (s *Sent) take(index uint64) bool {
	switch {
	case !s.begun:
		s.begun, s.newest, s.mask = true, index, 1
		return true
	case index > s.newest:
		s.mask = s.mask<<(index-s.newest) | 1
		s.newest = index
		return true
	case s.newest-index >= 64:
		return false
	}
	bit := uint64(1) << (s.newest - index)
	if s.mask&bit != 0 {
		return false
	}
	s.mask |= bit
	return true
}

// RTP protects a packet: head is its header and payload follows it. The packet is written to the beginning of dst, which must not
// overlap payload and have Overhead bytes more room than both; it is returned, nil with ErrReused.
func (s *Sender) RTP(dst, head, payload []byte, sent *Sent) ([]byte, error) {
	index, ok := sent.index(binary.BigEndian.Uint16(head[2:]))
	if !ok || !sent.take(index) {
		return nil, ErrReused
	}
	return s.seal(dst, head, payload, index), nil
}

// AgainRTP protects a packet that RTP has protected before, to be sent again; nil for one that it has not, or not lately. head
// and payload must be those of then.
func (s *Sender) AgainRTP(dst, head, payload []byte, sent *Sent) []byte {
	index, ok := sent.index(binary.BigEndian.Uint16(head[2:]))
	if !ok || !sent.used(index) {
		return nil
	}
	return s.seal(dst, head, payload, index)
}

func (s *Sender) seal(dst, head, payload []byte, index uint64) []byte {
	h := s.rtp
	ssrc := binary.BigEndian.Uint32(head[8:])
	n := copy(dst, head)
	if h.aead != nil {
		return h.aead.Seal(dst[:n], h.gcmNonce(ssrc, index), payload, dst[:n])
	}
	n += copy(dst[n:], payload)
	h.counterMode(dst[len(head):n], ssrc, index)
	return h.tag(dst[:n], dst[:n], uint32(index>>16))
}

const (
	rtcpHead  = 8       // bytes of an RTCP packet that are not encrypted
	encrypted = 1 << 31 // the E bit before the index
	indexMax  = 1<<31 - 1
)

// RTCP protects a compound packet and appends it to dst; packet must not overlap it. It returns nil when the indices are used up.
func (s *Sender) RTCP(dst, packet []byte) []byte {
	if s.reports == indexMax || len(packet) < rtcpHead {
		return nil
	}
	s.reports++
	h, word := s.rtcp, s.reports|encrypted
	ssrc := binary.BigEndian.Uint32(packet[4:])
	start := len(dst)
	dst = append(dst, packet[:rtcpHead]...)
	if h.aead != nil { // RFC 7714 §9.2, §17: the associated data are the head and the word
		dst = h.aead.Seal(dst, h.gcmNonce(ssrc, uint64(s.reports)), packet[rtcpHead:], h.reportHead(packet, word))
		return binary.BigEndian.AppendUint32(dst, word)
	}
	dst = append(dst, packet[rtcpHead:]...)
	h.counterMode(dst[start+rtcpHead:], ssrc, uint64(s.reports))
	sum := h.tag(h.stream[:0], dst[start:], word)
	return append(binary.BigEndian.AppendUint32(dst, word), sum...)
}
