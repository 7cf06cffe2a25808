package nodecert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// A sealed message carries what is needed to know which node said it, wherever it comes from. Integers are big-endian.
//
//	octets  field
//	1       format: 1
//	1       number of certificates, 1 to chainMax, the node's own first
//	        each: length (2), at most certificateMax, and its DER
//	64      signature: Ed25519, or r and s of ECDSA P-256
//	        message, to the end
//
// The signature is over "rotunda sealed 1", the context (length (1) and octets), the node's own certificate (length (2)
// and DER) and the message. Of ECDSA it is over their SHA-256.
const (
	sealFormat     = 1
	chainMax       = 4
	certificateMax = 4 << 10
	signatureSize  = 64
	sealContext    = "rotunda sealed 1"
)

// ErrMalformed is wrapped by Open for octets that no Seal has made.
var ErrMalformed = errors.New("malformed sealed message")

// SealOverhead is what a seal by c adds to a message, in octets.
func SealOverhead(c tls.Certificate) int {
	n := 2 + signatureSize
	for _, der := range c.Certificate {
		n += 2 + len(der)
	}
	return n
}

// Seal signs message with the key of certificate c. The context says what the message is for: it opens with the same one
// only, so that a message cannot be passed off as one of another kind.
func Seal(c tls.Certificate, context string, message []byte) ([]byte, error) {
	key, ok := c.PrivateKey.(crypto.Signer)
	if !ok || len(c.Certificate) == 0 || len(c.Certificate) > chainMax || len(context) > 255 {
		return nil, errors.New("seal: a certificate with its key, and a short context are needed")
	}
	b := []byte{sealFormat, byte(len(c.Certificate))}
	for _, der := range c.Certificate {
		if len(der) > certificateMax {
			return nil, fmt.Errorf("seal: a certificate of %d octets, at most %d", len(der), certificateMax)
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(der))), der...)
	}
	signature, err := sign(key, signed(context, c.Certificate[0], message))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return append(append(b, signature...), message...), nil
}

// Open returns the message in b and which node sealed it, if a node of the mesh did so for the context. The message
// aliases b. Errors wrap ErrMalformed or ErrNotMember.
func Open(roots *x509.CertPool, now time.Time, context string, b []byte) (id Identity, message []byte, err error) {
	der, signature, message, err := split(b)
	if err != nil {
		return Identity{}, nil, err
	}
	chain, err := Parse(der)
	if err != nil {
		return Identity{}, nil, err
	}
	if id, err = Verify(chain, roots, now, x509.ExtKeyUsageClientAuth); err != nil {
		return Identity{}, nil, err
	}
	if !proves(chain[0].PublicKey, signed(context, der[0], message), signature) {
		return Identity{}, nil, fmt.Errorf("%w: %s has not signed this", ErrNotMember, id)
	}
	return id, message, nil
}

func split(b []byte) (der [][]byte, signature, message []byte, err error) {
	if len(b) < 2 || b[0] != sealFormat || b[1] < 1 || b[1] > chainMax {
		return nil, nil, nil, ErrMalformed
	}
	n := int(b[1])
	b = b[2:]
	for range n {
		if len(b) < 2 {
			return nil, nil, nil, ErrMalformed
		}
		size := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; size == 0 || size > certificateMax || size > len(b) {
			return nil, nil, nil, ErrMalformed
		}
		der, b = append(der, b[:size]), b[size:]
	}
	if len(b) < signatureSize {
		return nil, nil, nil, ErrMalformed
	}
	return der, b[:signatureSize], b[signatureSize:], nil
}

func signed(context string, leaf, message []byte) []byte {
	m := make([]byte, 0, len(sealContext)+1+len(context)+2+len(leaf)+len(message))
	m = append(m, sealContext...)
	m = append(append(m, byte(len(context))), context...)
	m = append(binary.BigEndian.AppendUint16(m, uint16(len(leaf))), leaf...)
	return append(m, message...)
}

func sign(key crypto.Signer, m []byte) ([]byte, error) {
	switch key.Public().(type) {
	case ed25519.PublicKey:
		return key.Sign(rand.Reader, m, crypto.Hash(0))
	case *ecdsa.PublicKey:
		h := sha256.Sum256(m)
		der, err := key.Sign(rand.Reader, h[:], crypto.SHA256)
		if err != nil {
			return nil, err
		}
		var rs struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &rs); err != nil {
			return nil, err
		}
		if rs.R.BitLen() > 256 || rs.S.BitLen() > 256 {
			return nil, errors.New("an ECDSA key that is not P-256")
		}
		raw := make([]byte, signatureSize)
		rs.R.FillBytes(raw[:32])
		rs.S.FillBytes(raw[32:])
		return raw, nil
	}
	return nil, fmt.Errorf("a %T cannot seal: want Ed25519 or ECDSA P-256", key.Public())
}

func proves(key crypto.PublicKey, m, signature []byte) bool {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(k, m, signature)
	case *ecdsa.PublicKey:
		h := sha256.Sum256(m)
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		return k.Curve == elliptic.P256() && ecdsa.Verify(k, h[:], r, s)
	}
	return false
}
