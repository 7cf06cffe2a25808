package token

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// Signer mints tokens with one key.
type Signer struct {
	kid string
	key ed25519.PrivateKey
}

// NewSigner returns a signer whose tokens name their key kid (1 to 64 characters of a–z, A–Z, 0–9, '-', '_', '.' and ':';
// KeyID makes one). The key is not copied.
func NewSigner(kid string, key ed25519.PrivateKey) (*Signer, error) {
	if err := validKeyID(kid); err != nil {
		return nil, err
	}
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("signing key %s: %d bytes, want %d", kid, len(key), ed25519.PrivateKeySize)
	}
	return &Signer{kid: kid, key: key}, nil
}

// String names the key and keeps it secret.
func (s *Signer) String() string { return "signer " + s.kid }

// GoString is String, so that %#v keeps the key secret too.
func (s *Signer) GoString() string { return s.String() }

// Mint signs c. It refuses claims that Check would: a malformed user, room, role, name or id, and no time of expiry. Times
// are cut to whole seconds.
func (s *Signer) Mint(c Claims) (string, error) {
	if err := c.valid(); err != nil {
		return "", fmt.Errorf("mint: %w", err)
	}
	if exp := c.Expires.Unix(); exp <= 0 || exp > secondsMax {
		return "", errors.New("mint: no time of expiry")
	}
	m := jwt.MapClaims{"iss": Issuer, "aud": Audience, "sub": string(c.User), "exp": c.Expires.Unix(), "jti": c.ID}
	if c.Name != "" {
		m["name"] = c.Name
	}
	if c.Room != "" {
		m["room"] = string(c.Room)
	}
	if c.Role != "" {
		m["role"] = string(c.Role)
	}
	if scope := c.scope(); scope != "" {
		m["scope"] = scope
	}
	if !c.Issued.IsZero() {
		m["iat"] = c.Issued.Unix()
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, m)
	t.Header["kid"] = s.kid
	raw, err := t.SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("mint: %v", err)
	}
	return raw, nil
}

// KeyID is a key's thumbprint (RFC 7638, RFC 8037 appendix A.3): a kid that everybody derives alike.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(key) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
