// Package stun reads and writes the one exchange that an ICE-lite agent takes part in: a binding request with short-term
// credentials and its success response (RFC 8489, RFC 8445 §7.3). Nothing is ever said to who does not know the session's
// password, so that a forged source address earns its forger nothing.
//
//	 0                   1                   2                   3
//	+-------------------------------+-------------------------------+
//	|0 0| message type              | length of what follows byte 20|
//	+-------------------------------+-------------------------------+
//	| magic cookie 0x2112A442       | transaction id, 12 bytes …    |
//	+-------------------------------+-------------------------------+
//	| attribute: type, length, value padded to 4 …                  |
//
// The package is pure.
package stun

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 8489 §14.5 has no other
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

const (
	headerLen      = 20
	cookie         = 0x2112a442
	fingerprintXor = 0x5354554e
	integrityLen   = 4 + sha1.Size
	// usernameMax is RFC 8489 §14.3's bound, in bytes.
	usernameMax = 508

	bindingRequest = 0x0001
	bindingSuccess = 0x0101

	attrUsername     = 0x0006
	attrIntegrity    = 0x0008
	attrXorAddress   = 0x0020
	attrPriority     = 0x0024
	attrUseCandidate = 0x0025
	attrFingerprint  = 0x8028
	attrControlling  = 0x802a
)

// TransactionID is what ties a response to its request.
type TransactionID [12]byte

// Request is a binding request that is well formed and not authenticated yet.
type Request struct {
	ID           TransactionID
	Username     []byte // aliases the parsed bytes: the server's fragment, a colon, the client's
	UseCandidate bool   // the client wants this path for media

	b         []byte
	integrity int // where MESSAGE-INTEGRITY begins in b
}

// Parse reads a binding request that has a user name and an integrity check, as every check of ICE does; ok is false for
// everything else. b must stay as it is while the request is used.
func Parse(b []byte) (r Request, ok bool) {
	if len(b) < headerLen || len(b)%4 != 0 || binary.BigEndian.Uint16(b) != bindingRequest ||
		binary.BigEndian.Uint32(b[4:]) != cookie || int(binary.BigEndian.Uint16(b[2:])) != len(b)-headerLen {
		return Request{}, false
	}
	r.b = b
	copy(r.ID[:], b[8:headerLen])
	for at := headerLen; at < len(b); {
		if len(b)-at < 4 {
			return Request{}, false
		}
		kind, size := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		value := at + 4
		next := value + (size+3)&^3
		if next > len(b) {
			return Request{}, false
		}
		switch {
		case kind == attrFingerprint: // the last one, RFC 8489 §14.7
			if size != 4 || next != len(b) || binary.BigEndian.Uint32(b[value:]) != fingerprint(b[:at]) {
				return Request{}, false
			}
		case r.integrity != 0: // what follows it is not protected and to be ignored, §14.5
		case kind == attrIntegrity:
			if size != sha1.Size {
				return Request{}, false
			}
			r.integrity = at
		case kind == attrUsername && r.Username == nil:
			if size == 0 || size > usernameMax {
				return Request{}, false
			}
			r.Username = b[value : value+size]
		case kind == attrUseCandidate:
			r.UseCandidate = true
		}
		at = next
	}
	return r, r.Username != nil && r.integrity != 0
}

// Authentic reports whether the request was made by who knows the password.
func (r *Request) Authentic(password string) bool {
	var sum [sha1.Size]byte
	integrity(sum[:0], password, r.b[:r.integrity])
	return hmac.Equal(sum[:], r.b[r.integrity+4:r.integrity+integrityLen])
}

// integrity appends the HMAC over a message that ends where MESSAGE-INTEGRITY begins; the length in its header has to
// count that attribute and nothing after it (RFC 8489 §14.5).
func integrity(dst []byte, password string, message []byte) []byte {
	var head [headerLen]byte
	copy(head[:], message)
	binary.BigEndian.PutUint16(head[2:], uint16(len(message)-headerLen+integrityLen))
	h := hmac.New(sha1.New, []byte(password))
	h.Write(head[:])
	h.Write(message[headerLen:])
	return h.Sum(dst)
}

// fingerprint is that of a message which ends where FINGERPRINT begins and whose length counts it.
func fingerprint(message []byte) uint32 { return crc32.ChecksumIEEE(message) ^ fingerprintXor }

// AppendSuccess appends the response to an authentic request that came from an address. It is never longer than the request.
func AppendSuccess(dst []byte, id TransactionID, from netip.AddrPort, password string) []byte {
	start := len(dst)
	dst = appendHeader(dst, bindingSuccess, id)
	dst = appendXorAddress(dst, id, from)
	return seal(dst, start, password)
}

// AppendRequest appends the check of a client: what the tests and the load generator of a server send.
func AppendRequest(dst []byte, id TransactionID, username, password string, useCandidate bool) []byte {
	start := len(dst)
	dst = appendHeader(dst, bindingRequest, id)
	dst = append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(dst, attrUsername), uint16(len(username))), username...)
	for (len(dst)-start)%4 != 0 {
		dst = append(dst, 0)
	}
	dst = append(dst, attrPriority>>8, attrPriority&0xff, 0, 4, 0x6e, 0, 0xff, 0xff)
	dst = append(dst, attrControlling>>8, attrControlling&0xff, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8)
	if useCandidate {
		dst = append(dst, attrUseCandidate>>8, attrUseCandidate&0xff, 0, 0)
	}
	return seal(dst, start, password)
}

// IsSuccess reports whether b is a success response to a request of that transaction, by the password's holder.
func IsSuccess(b []byte, id TransactionID, password string) bool {
	if len(b) < headerLen+integrityLen || binary.BigEndian.Uint16(b) != bindingSuccess || TransactionID(b[8:headerLen]) != id {
		return false
	}
	for at := headerLen; at+4 <= len(b); at += 4 + (int(binary.BigEndian.Uint16(b[at+2:]))+3)&^3 {
		if binary.BigEndian.Uint16(b[at:]) == attrIntegrity && at+integrityLen <= len(b) {
			return hmac.Equal(integrity(nil, password, b[:at]), b[at+4:at+integrityLen])
		}
	}
	return false
}

func appendHeader(dst []byte, kind uint16, id TransactionID) []byte {
	dst = binary.BigEndian.AppendUint16(dst, kind)
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, cookie)
	return append(dst, id[:]...)
}

// appendXorAddress appends XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
func appendXorAddress(dst []byte, id TransactionID, a netip.AddrPort) []byte {
	ip := a.Addr().Unmap()
	size, family := 8, byte(1)
	if ip.Is6() {
		size, family = 20, 2
	}
	dst = append(dst, attrXorAddress>>8, attrXorAddress&0xff, 0, byte(size), 0, family)
	dst = binary.BigEndian.AppendUint16(dst, a.Port()^cookie>>16)
	var mask [16]byte
	binary.BigEndian.PutUint32(mask[:], cookie)
	copy(mask[4:], id[:])
	full := ip.As16()
	raw := full[:]
	if ip.Is4() {
		raw = full[12:]
	}
	for i, x := range raw {
		dst = append(dst, x^mask[i])
	}
	return dst
}

// seal ends the message that begins at start with its integrity check and fingerprint.
func seal(dst []byte, start int, password string) []byte {
	sum := integrity(nil, password, dst[start:])
	dst = append(dst, attrIntegrity>>8, attrIntegrity&0xff, 0, sha1.Size)
	dst = append(dst, sum...)
	binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start-headerLen+8))
	crc := fingerprint(dst[start:])
	dst = append(dst, attrFingerprint>>8, attrFingerprint&0xff, 0, 4)
	return binary.BigEndian.AppendUint32(dst, crc)
}
