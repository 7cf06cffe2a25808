package bench

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v4"
)

// The attributes of a check by a controlling agent (RFC 8445 §7.1).
const (
	// hostPriority is that of a peer-reflexive candidate of the first component (RFC 8445 §5.1.2.1): type preference 110.
	hostPriority = 110<<24 | 65535<<8 | 255
)

// check builds a connectivity check that nominates its pair at once; it is also what asks for consent (RFC 7675 §5.1).
func (s *session) check(id [stun.TransactionIDSize]byte) ([]byte, error) {
	var priority [4]byte
	binary.BigEndian.PutUint32(priority[:], hostPriority)
	m, err := stun.Build(
		stun.NewTransactionIDSetter(id), stun.BindingRequest,
		stun.NewUsername(s.remote.ufrag+":"+s.ufrag),
		stun.RawAttribute{Type: stun.AttrUseCandidate},
		stun.RawAttribute{Type: stun.AttrPriority, Value: priority[:]},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: s.tieBreaker[:]},
		stun.NewShortTermIntegrity(s.remote.pwd), stun.Fingerprint)
	if err != nil {
		return nil, err
	}
	return m.Raw, nil
}

// answered reports whether b is the answer to the check of that id, by who knows the password.
func (s *session) answered(b []byte, id [stun.TransactionIDSize]byte) bool {
	m := &stun.Message{Raw: b}
	return m.Decode() == nil && m.Type == stun.BindingSuccess && m.TransactionID == id && stun.NewShortTermIntegrity(s.remote.pwd).Check(m) == nil
}

// respond answers a check of the server's, which sends such when it is no lite agent; nil: it is not a valid one.
func (s *session) respond(b []byte, from netip.AddrPort) []byte {
	m := &stun.Message{Raw: b}
	if m.Decode() != nil || m.Type != stun.BindingRequest {
		return nil
	}
	own := stun.NewShortTermIntegrity(s.pwd)
	if own.Check(m) != nil {
		return nil
	}
	out, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())}, own, stun.Fingerprint)
	if err != nil {
		return nil
	}
	return out.Raw
}
