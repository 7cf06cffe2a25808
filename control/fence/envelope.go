package fence

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"rotunda"
)

// What is sealed. Each opens as what it was sealed as only.
type Kind byte

// The kinds.
const (
	Event    Kind = 'e' // of a room's log; its place is the sequence number
	Snapshot Kind = 's' // of a room's state; its place is the sequence number
	Summary  Kind = 'd' // of a room in the directory; its place is 0
	Fact     Kind = 'f' // a decision without the log; its place is 0
)

// An envelope. Integers are big-endian.
//
//	octets  field
//	1       format: 1. No JSON begins so, which is what rooms without a fence have in its place
//	2       length of the header; 0: there is none
//	        header
//	12      nonce, random
//	        AES-256-GCM of the deflated content, to the end
//
// The additional data is "rotunda fence 1", the kind, the place (8), the room's id (length (1) and octets) and the header.
//
// The header says who can open it: the room's regions, and for each of them, in the same order, the room's key sealed by
// HPKE (RFC 9180: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM), 113 octets, with the info "rotunda room key 1", the
// room's id and the regions, each with its length before it (1).
//
//	1       number of regions, 1 to rotunda.FenceMax
//	        each: length (1), the region, the sealed key (113)
const (
	format     = 1
	keySize    = 32
	nonceSize  = 12
	tagSize    = 16
	wrapped    = 65 + keySize + tagSize
	dataLabel  = "rotunda fence 1"
	keyLabel   = "rotunda room key 1"
	headerMax  = 1 + rotunda.FenceMax*(1+63+wrapped)
	contentMax = 32 << 20 // inflated
)

// ErrSealed is wrapped by every error about an envelope that was not made by Seal, or was changed since.
var ErrSealed = errors.New("not a sealed envelope of this room")

// Lock opens and seals what belongs to one room. It is immutable.
type Lock struct {
	room   rotunda.RoomID
	fence  rotunda.Fence
	header []byte
	aead   cipher.AEAD
}

// Fence is the room's regions.
func (l *Lock) Fence() rotunda.Fence { return l.fence }

func newLock(room rotunda.RoomID, fence rotunda.Fence, header, key []byte) (*Lock, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Lock{room: room, fence: fence, header: bytes.Clone(header), aead: aead}, nil
}

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is one that there is
	}
	return w
}}

// Seal makes an envelope of content. With the header it can be opened by whoever holds the key of one of the regions, else
// only by who has the room's lock already.
func (l *Lock) Seal(k Kind, place uint64, content []byte, withHeader bool) []byte {
	var header []byte
	if withHeader {
		header = l.header
	}
	var plain bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	w.Reset(&plain)
	_, _ = w.Write(content) // a buffer takes everything
	_ = w.Close()
	deflaters.Put(w)
	out := make([]byte, 0, 3+len(header)+nonceSize+plain.Len()+tagSize)
	out = append(binary.BigEndian.AppendUint16(append(out, format), uint16(len(header))), header...)
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:]) // never fails
	out = append(out, nonce[:]...)
	return l.aead.Seal(out, nonce[:], plain.Bytes(), l.data(k, place, header))
}

// Open returns the content of an envelope that was sealed as this kind in this place. Errors wrap ErrSealed.
func (l *Lock) Open(k Kind, place uint64, envelope []byte) ([]byte, error) {
	header, rest, err := split(envelope)
	if err != nil {
		return nil, err
	}
	if len(rest) < nonceSize+tagSize {
		return nil, fmt.Errorf("%w: too short", ErrSealed)
	}
	plain, err := l.aead.Open(nil, rest[:nonceSize], rest[nonceSize:], l.data(k, place, header))
	if err != nil {
		return nil, fmt.Errorf("%w: it does not open", ErrSealed)
	}
	content, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(plain)), contentMax+1))
	if err != nil || len(content) > contentMax {
		return nil, fmt.Errorf("%w: its content does not inflate", ErrSealed)
	}
	return content, nil
}

func (l *Lock) data(k Kind, place uint64, header []byte) []byte {
	b := append([]byte(dataLabel), byte(k))
	b = binary.BigEndian.AppendUint64(b, place)
	b = append(append(b, byte(len(l.room))), l.room...)
	return append(b, header...)
}

func split(envelope []byte) (header, rest []byte, err error) {
	if len(envelope) < 3 || envelope[0] != format {
		return nil, nil, fmt.Errorf("%w: not in the format of this version", ErrSealed)
	}
	n := int(binary.BigEndian.Uint16(envelope[1:]))
	if n > headerMax || len(envelope) < 3+n {
		return nil, nil, fmt.Errorf("%w: cut short", ErrSealed)
	}
	return envelope[3 : 3+n], envelope[3+n:], nil
}

// Regions returns the fence that an envelope's header names; ok is false where it has no header. Anybody can read it.
func Regions(envelope []byte) (fence rotunda.Fence, ok bool) {
	header, _, err := split(envelope)
	if err != nil {
		return nil, false
	}
	fence, _, err = parseHeader(header)
	return fence, err == nil
}

// parseHeader returns the regions and, in the same order, the sealed keys.
func parseHeader(b []byte) (fence rotunda.Fence, keys [][]byte, err error) {
	if len(b) < 1 {
		return nil, nil, fmt.Errorf("%w: no header", ErrSealed)
	}
	n, b := int(b[0]), b[1:]
	for range n {
		if len(b) < 1 || len(b) < 1+int(b[0])+wrapped {
			return nil, nil, fmt.Errorf("%w: header cut short", ErrSealed)
		}
		size := int(b[0])
		fence = append(fence, rotunda.Region(b[1:1+size]))
		keys = append(keys, b[1+size:1+size+wrapped])
		b = b[1+size+wrapped:]
	}
	if err := fence.Valid(); err != nil || len(b) > 0 {
		return nil, nil, fmt.Errorf("%w: malformed header", ErrSealed)
	}
	return fence, keys, nil
}

func suite() (hpke.KDF, hpke.AEAD) { return hpke.HKDFSHA256(), hpke.AES256GCM() }

// keyInfo ties a sealed key to its room and regions.
func keyInfo(room rotunda.RoomID, fence rotunda.Fence) []byte {
	var b strings.Builder
	b.WriteString(keyLabel)
	b.WriteByte(byte(len(room)))
	b.WriteString(string(room))
	for _, r := range fence {
		b.WriteByte(byte(len(r)))
		b.WriteString(string(r))
	}
	return []byte(b.String())
}
