package gossip

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"time"

	"rotunda"
)

// A node record is what memberlist carries as a node's metadata. Integers are big-endian, a text is one octet of length
// and its octets.
//
//	octets   field
//	1        format: 1
//	1        state: 0 alive, 1 draining, 2 leaving
//	8        when it was signed, ms since 1970
//	16 + 2   gossip address (IPv4 as IPv4-mapped) and port
//	text     region
//	text     address of HTTP, at most httpMax octets
//	text     address of the cascade, at most cascadeMax octets
//	text     version, at most versionMax octets
//	4 + 4    listeners, speakers
//	2        CPU, in 1/65535
//	11 · 4   coordinate: 8 dimensions, error, adjustment, height, as float32
//	64       signature over "rotunda gossip record 1", node id (text) and all of the above
//
// The answer to a ping carries a coordinate of its own, since the one in the record is seconds old: 8 octets of time, 44 of
// coordinate, 64 of signature over "rotunda gossip ping 1", node id (text) and these.
const (
	recordFormat  = 1
	httpMax       = 144
	cascadeMax    = 110
	versionMax    = 24
	coordinateLen = 11 * 4
	signatureLen  = 64
	// recordMax is the longest record: it must not be longer than what memberlist takes, which panics on more.
	recordMax = 1 + 1 + 8 + 18 + (1 + 63) + (1 + httpMax) + (1 + cascadeMax) + (1 + versionMax) + 10 + coordinateLen + signatureLen
	pingLen   = 8 + coordinateLen + signatureLen

	recordContext = "rotunda gossip record 1"
	pingContext   = "rotunda gossip ping 1"
)

var (
	errMalformed = errors.New("malformed record")
	errForged    = errors.New("record is not signed by the node it names")
	errOversized = errors.New("record is too long")
	errOld       = errors.New("record is older than the one known")
)

// record is one node's own word about itself.
type record struct {
	member rotunda.Member // Addresses.Gossip is an IP and port
	signed int64          // ms since 1970
}

// checkRecord reports whether a member's fields fit into a record.
func checkRecord(m rotunda.Member) error {
	var errs []error
	for _, f := range []struct {
		what, value string
		max         int
	}{
		{"HTTP address", m.Addresses.HTTP, httpMax}, {"cascade address", m.Addresses.Cascade, cascadeMax}, {"version", m.Version, versionMax},
	} {
		if len(f.value) > f.max {
			errs = append(errs, fmt.Errorf("%s has %d characters, more than %d", f.what, len(f.value), f.max))
		}
	}
	if _, err := netip.ParseAddrPort(m.Addresses.Gossip); err != nil {
		errs = append(errs, fmt.Errorf("gossip address: %w", err))
	}
	return errors.Join(append(errs, m.ID.Valid(), m.Region.Valid())...)
}

// seal encodes and signs r; the member must have passed checkRecord.
func (r record) seal(key crypto.Signer) ([]byte, error) {
	m := r.member
	addr, err := netip.ParseAddrPort(m.Addresses.Gossip)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, recordMax)
	b = append(b, recordFormat, flags(m.State))
	b = binary.BigEndian.AppendUint64(b, uint64(r.signed))
	ip := addr.Addr().As16()
	b = append(b, ip[:]...)
	b = binary.BigEndian.AppendUint16(b, addr.Port())
	for _, s := range []string{string(m.Region), m.Addresses.HTTP, m.Addresses.Cascade, m.Version} {
		b = append(append(b, byte(len(s))), s...)
	}
	b = binary.BigEndian.AppendUint32(b, m.Load.Listeners)
	b = binary.BigEndian.AppendUint32(b, m.Load.Speakers)
	b = binary.BigEndian.AppendUint16(b, uint16(math.Round(65535*float64(min(max(m.Load.CPU, 0), 1)))))
	b = appendCoordinate(b, m.Coordinate)
	return sign(b, recordContext, m.ID, key)
}

func flags(s rotunda.MemberState) byte {
	switch s {
	case rotunda.Draining:
		return 1
	case rotunda.Left:
		return 2
	}
	return 0
}

// parseRecord parses what node id is said to have said. It checks everything but the signature.
func parseRecord(b []byte, id rotunda.NodeID) (record, error) {
	if len(b) > recordMax {
		return record{}, errOversized
	}
	if len(b) < 2+8+18+4+10+coordinateLen+signatureLen || b[0] != recordFormat || b[1] > 2 {
		return record{}, errMalformed
	}
	r := record{member: rotunda.Member{ID: id, State: rotunda.Alive}, signed: int64(binary.BigEndian.Uint64(b[2:]))}
	switch b[1] {
	case 1:
		r.member.State = rotunda.Draining
	case 2:
		r.member.State = rotunda.Left
	}
	ip := netip.AddrFrom16([16]byte(b[10:26])).Unmap()
	r.member.Addresses.Gossip = netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[26:])).String()
	b = b[28 : len(b)-signatureLen]
	var region string
	for _, f := range []struct {
		to  *string
		max int
	}{{&region, 63}, {&r.member.Addresses.HTTP, httpMax}, {&r.member.Addresses.Cascade, cascadeMax}, {&r.member.Version, versionMax}} {
		if len(b) == 0 || int(b[0]) > f.max || len(b) < 1+int(b[0]) {
			return record{}, errMalformed
		}
		if *f.to = string(b[1 : 1+b[0]]); !printable(*f.to) {
			return record{}, errMalformed
		}
		b = b[1+b[0]:]
	}
	if len(b) != 10+coordinateLen {
		return record{}, errMalformed
	}
	r.member.Region = rotunda.Region(region)
	r.member.Load.Listeners = binary.BigEndian.Uint32(b)
	r.member.Load.Speakers = binary.BigEndian.Uint32(b[4:])
	r.member.Load.CPU = float32(binary.BigEndian.Uint16(b[8:])) / 65535
	var ok bool
	r.member.Coordinate, ok = parseCoordinate(b[10:])
	if !ok || errors.Join(id.Valid(), r.member.Region.Valid()) != nil {
		return record{}, errMalformed
	}
	return r, nil
}

// printable keeps control characters and anything that is not ASCII out of logs and tables.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// sealPing encodes and signs the answer to a ping.
func sealPing(id rotunda.NodeID, at time.Time, c rotunda.Coordinate, key crypto.Signer) ([]byte, error) {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, pingLen), uint64(at.UnixMilli()))
	return sign(appendCoordinate(b, c), pingContext, id, key)
}

// parsePing checks the answer to a ping of node id and returns its time, ms since 1970, and coordinate.
func parsePing(b []byte, id rotunda.NodeID, key crypto.PublicKey) (at int64, c rotunda.Coordinate, err error) {
	if len(b) != pingLen {
		return 0, c, errMalformed
	}
	if !proven(b, pingContext, id, key) {
		return 0, c, errForged
	}
	c, ok := parseCoordinate(b[8:])
	if !ok {
		return 0, c, errMalformed
	}
	return int64(binary.BigEndian.Uint64(b)), c, nil
}

func appendCoordinate(b []byte, c rotunda.Coordinate) []byte {
	for _, v := range append(c.Vec[:len(c.Vec):len(c.Vec)], c.Error, c.Adjustment, c.Height) {
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(float32(v)))
	}
	return b
}

// parseCoordinate refuses what is no place: infinities and numbers that are none would spread to all who measure
// against them.
func parseCoordinate(b []byte) (c rotunda.Coordinate, ok bool) {
	var v [11]float64
	for i := range v {
		v[i] = float64(math.Float32frombits(binary.BigEndian.Uint32(b[4*i:])))
		if math.IsNaN(v[i]) || math.IsInf(v[i], 0) {
			return c, false
		}
	}
	copy(c.Vec[:], v[:8])
	c.Error, c.Adjustment, c.Height = v[8], v[9], v[10]
	return c, true
}

// sign appends the signature over context, id and b.
func sign(b []byte, context string, id rotunda.NodeID, key crypto.Signer) ([]byte, error) {
	m := signedBytes(b, context, id)
	switch key.Public().(type) {
	case ed25519.PublicKey:
		sig, err := key.Sign(rand.Reader, m, crypto.Hash(0))
		return append(b, sig...), err
	case *ecdsa.PublicKey:
		h := sha256.Sum256(m)
		der, err := key.Sign(rand.Reader, h[:], crypto.SHA256)
		if err != nil {
			return nil, err
		}
		var rs struct{ R, S *big.Int } // ASN.1 is up to 72 octets: the two numbers alone are 64
		if _, err := asn1.Unmarshal(der, &rs); err != nil {
			return nil, err
		}
		var raw [signatureLen]byte
		rs.R.FillBytes(raw[:32])
		rs.S.FillBytes(raw[32:])
		return append(b, raw[:]...), nil
	}
	return nil, fmt.Errorf("a %T cannot sign records: want Ed25519 or ECDSA P-256", key.Public())
}

// proven reports whether b ends with a signature of key over context, id and what is before it.
func proven(b []byte, context string, id rotunda.NodeID, key crypto.PublicKey) bool {
	if len(b) < signatureLen {
		return false
	}
	body, sig := b[:len(b)-signatureLen], b[len(b)-signatureLen:]
	m := signedBytes(body, context, id)
	switch k := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(k, m, sig)
	case *ecdsa.PublicKey:
		h := sha256.Sum256(m)
		return k.Curve == elliptic.P256() && ecdsa.Verify(k, h[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	}
	return false
}

func signedBytes(b []byte, context string, id rotunda.NodeID) []byte {
	m := make([]byte, 0, len(context)+1+len(id)+len(b))
	m = append(m, context...)
	m = append(append(m, byte(len(id))), id...)
	return append(m, b...)
}
