package token

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"rotunda"
)

// secondsMax is the last second of the year 9999, the end of RFC 3339.
const secondsMax = 253402300799

// Keyring is the fixed set of keys whose tokens are believed.
type Keyring struct {
	keys map[string]ed25519.PublicKey
}

// NewKeyring returns a ring of keys by kid. An empty ring is allowed and believes nobody.
func NewKeyring(keys map[string]ed25519.PublicKey) (*Keyring, error) {
	for kid, key := range keys {
		if err := validKeyID(kid); err != nil {
			return nil, err
		}
		if len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("verification key %s: %d bytes, want %d", kid, len(key), ed25519.PublicKeySize)
		}
	}
	return &Keyring{keys: maps.Clone(keys)}, nil
}

// A kid has the alphabet of a user id.
func validKeyID(kid string) error {
	if err := rotunda.UserID(kid).Valid(); err != nil {
		return fmt.Errorf("key id %.80q is malformed", kid)
	}
	return nil
}

// Check returns what raw says if it is a token of this ring that is good at now. Otherwise the error wraps ErrExpired (the
// signature was right, the time is over) or ErrInvalid (anything else); its text is for logs and tells a stranger no more
// than the token's own holder could know.
func (k *Keyring) Check(now time.Time, raw string) (Claims, error) {
	if err := guard(raw); err != nil {
		return Claims{}, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	said := jwt.MapClaims{}
	// What the guard leaves to the library: the signature, and iss, aud, exp, nbf, iat.
	_, err := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithStrictDecoding(),
		jwt.WithIssuer(Issuer), jwt.WithAudience(Audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(Leeway), jwt.WithTimeFunc(func() time.Time { return now }),
	).ParseWithClaims(raw, said, k.key)
	c, malformed := claims(said)
	if errors.Is(err, jwt.ErrTokenExpired) && len(otherFaults(err)) == 0 && malformed == nil {
		return Claims{}, fmt.Errorf("%w: %v", ErrExpired, err)
	}
	if err = errors.Join(err, malformed); err != nil {
		return Claims{}, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	return c, nil
}

// otherFaults lists what else than its age is wrong with a token.
func otherFaults(err error) (others []error) {
	for _, e := range []error{
		jwt.ErrTokenSignatureInvalid, jwt.ErrTokenUnverifiable, jwt.ErrTokenMalformed, jwt.ErrTokenInvalidIssuer,
		jwt.ErrTokenInvalidAudience, jwt.ErrTokenUsedBeforeIssued, jwt.ErrTokenNotValidYet, jwt.ErrTokenRequiredClaimMissing,
	} {
		if errors.Is(err, e) {
			others = append(others, e)
		}
	}
	return others
}

// key is called once the header is known to be well formed (guard).
func (k *Keyring) key(t *jwt.Token) (any, error) {
	kid, _ := t.Header["kid"].(string)
	key, ok := k.keys[kid]
	if !ok {
		return nil, errors.New("unknown kid")
	}
	return key, nil
}

func claims(said jwt.MapClaims) (c Claims, err error) {
	text := func(name string) string {
		v, ok := said[name]
		if !ok {
			return ""
		}
		s, ok := v.(string)
		if !ok || s == "" {
			err = fmt.Errorf("%s is not a text", name)
		}
		return s
	}
	moment := func(name string) time.Time {
		v, ok := said[name]
		if !ok {
			return time.Time{}
		}
		f, ok := v.(float64)
		if !ok || !(f >= 1 && f <= secondsMax) {
			err = fmt.Errorf("%s is not a time", name)
			return time.Time{}
		}
		return time.Unix(int64(f), 0).UTC()
	}
	scopes := strings.Split(text("scope"), " ")
	c = Claims{
		User: rotunda.UserID(text("sub")), Name: text("name"), Room: rotunda.RoomID(text("room")), Role: rotunda.Role(text("role")),
		Issued: moment("iat"), Expires: moment("exp"), ID: text("jti"),
		Operator: slices.Contains(scopes, ScopeOperator), Create: slices.Contains(scopes, ScopeCreate),
	}
	moment("nbf")
	if err != nil {
		return Claims{}, err
	}
	return c, c.valid()
}
