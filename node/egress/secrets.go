package egress

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/pion/dtls/v3/pkg/crypto/prf"
	message "github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/logging"

	"rotunda/node/egress/srtp"
)

// randomLen is the length of the randoms that keys are derived from.
const randomLen = message.RandomLength

// secrets is what is left of a session's DTLS after the handshake.
type secrets struct {
	receiver *srtp.Receiver
	flight   [][]byte // the last one, for a client that has not got it
	resent   int
	resentAt time.Time
	read     recordKey // of the client's records
	write    recordKey // of ours
}

// recordKey protects DTLS records of epoch 1: AES-128-GCM (RFC 5288).
type recordKey struct {
	key [16]byte
	iv  [4]byte
}

// Records of DTLS 1.2 (RFC 6347 §4.1): type, version, epoch and sequence number, length, and then an explicit nonce.
const (
	recordHead      = 13
	recordNonce     = 8
	recordTag       = 16
	recordAlert     = 21
	recordHandshake = 22
	alertLen        = 2
	alertFatal      = 2
	// closeSequence is the number of the one record that is sent after the handshake: above all that the library may have used.
	closeSequence = 1 << 20
)

const (
	// resentMax and resentEvery bound how often the last flight is sent again.
	resentMax   = 10
	resentEvery = 50 * time.Millisecond
)

func newSecrets(log keyLog, serverRandom [randomLen]byte) (*secrets, error) {
	if len(log.clientRandom) == 0 || len(log.master) == 0 {
		return nil, errors.New("the DTLS library has not named its keys")
	}
	keys, err := prf.GenerateEncryptionKeys(log.master, log.clientRandom, serverRandom[:], 0, 16, 4, sha256.New)
	if err != nil {
		return nil, err
	}
	s := &secrets{}
	copy(s.read.key[:], keys.ClientWriteKey)
	copy(s.read.iv[:], keys.ClientWriteIV)
	copy(s.write.key[:], keys.ServerWriteKey)
	copy(s.write.iv[:], keys.ServerWriteIV)
	return s, nil
}

// record takes a datagram of records that comes after the handshake. Who repeats their last flight has not got ours, which is to
// be sent again; closed says that the client has taken its leave, or failed.
func (s *secrets) record(now time.Time, b []byte) (again [][]byte, closed bool) {
	for len(b) >= recordHead {
		size := recordHead + int(binary.BigEndian.Uint16(b[11:]))
		if size > len(b) {
			return nil, false
		}
		switch b[0] {
		case recordHandshake:
			if s.resent < resentMax && now.Sub(s.resentAt) >= resentEvery {
				s.resent++
				s.resentAt = now
				again = s.flight
			}
		case recordAlert:
			if level, what, ok := s.read.alert(b[:size]); ok && (level == alertFatal || what == 0) {
				return nil, true
			}
		}
		b = b[size:]
	}
	return again, false
}

func (k *recordKey) aead() cipher.AEAD {
	block, err := aes.NewCipher(k.key[:])
	if err != nil {
		panic(err) // the key's length is right
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return a
}

// aad is the associated data of a record with so many bytes inside (RFC 5246 §6.2.3.3, RFC 6347 §4.1.2.1).
func aad(record []byte, inside int) []byte {
	out := make([]byte, 0, 13)
	out = append(out, record[3:11]...)
	out = append(out, record[:3]...)
	return binary.BigEndian.AppendUint16(out, uint16(inside))
}

// alert opens a record with an alert; ok is false for what the client has not made.
func (k *recordKey) alert(record []byte) (level, what byte, ok bool) {
	if len(record) != recordHead+recordNonce+alertLen+recordTag || sequenceOf(record)>>48 != 1 {
		return 0, 0, false
	}
	nonce := append(append(make([]byte, 0, 12), k.iv[:]...), record[recordHead:recordHead+recordNonce]...)
	plain, err := k.aead().Open(nil, nonce, record[recordHead+recordNonce:], aad(record, alertLen))
	if err != nil {
		return 0, 0, false
	}
	return plain[0], plain[1], true
}

// closeNotify is the record that says goodbye.
func (s *secrets) closeNotify() []byte {
	if s == nil {
		return nil
	}
	b := make([]byte, recordHead+recordNonce, recordHead+recordNonce+alertLen+recordTag)
	b[0], b[1], b[2] = recordAlert, 254, 253
	binary.BigEndian.PutUint64(b[3:], 1<<48|closeSequence)
	binary.BigEndian.PutUint16(b[11:], recordNonce+alertLen+recordTag)
	copy(b[recordHead:], b[3:11])
	nonce := append(append(make([]byte, 0, 12), s.write.iv[:]...), b[recordHead:]...)
	return s.write.aead().Seal(b, nonce, []byte{1, 0}, aad(b, alertLen))
}

// quiet is the DTLS library's logger: what it has to say is a peer's doing and can be provoked with every packet.
type quiet struct{}

// NewLogger returns a logger that is silent.
func (quiet) NewLogger(string) logging.LeveledLogger {
	return &logging.DefaultLeveledLogger{}
}
