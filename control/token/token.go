// Package token mints and checks the bearer tokens that say who somebody is: JSON Web Tokens (RFC 7519) signed with
// Ed25519 (RFC 8037), and nothing else.
//
// A token is
//
//	header   {"alg":"EdDSA","typ":"JWT","kid":"…"}          exactly these three
//	payload  iss "rotunda"                                  required
//	         aud "rotunda", or a list that holds it         required
//	         sub  the user, a rotunda.UserID                required
//	         exp  end of validity, seconds since 1970       required
//	         jti  the token's own id, what one revokes by   required, 1 to 64 characters like a user id
//	         name what others see, at most 64 characters    optional
//	         room the only room that the token opens        optional
//	         role the highest role that the token allows    optional
//	         iat, nbf                                       optional; never more than Leeway ahead
//
// The role is a ceiling, not a grant: what somebody may do in a room stands in the room's log. The scope "operator" (RFC 8693
// §4.2) is beside the roles and not above them: it opens the operator's calls and makes nobody a host. The scope
// "room:create" lets its holder open rooms on a mesh where not everybody may. Claims not listed are
// ignored (RFC 7519 §4); header parameters not listed are refused, so that no token chooses its own key (RFC 8725 §3.10).
//
// Invariant: whatever Check accepts, Mint could have made of the claims that Check returned. A token's bytes are not its
// name: revoke by jti. Every function is pure, time is an argument, and all values are safe for concurrent use.
package token

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rotunda"
)

const (
	// Issuer is the iss claim of every token.
	Issuer = "rotunda"
	// Audience is what the aud claim of every token holds.
	Audience = "rotunda"
	// Leeway is how far the clocks of whoever minted a token and whoever checks it may differ.
	Leeway = 30 * time.Second
	// SizeMax is the longest token that is looked at, in bytes: with every claim at its longest a token has under 1 KiB,
	// the rest is for what an operator's own backend adds.
	SizeMax = 4096
	// ScopeOperator is the word of the scope claim that makes a token an operator's.
	ScopeOperator = "operator"
	// ScopeCreate is the word of the scope claim that lets the holder open rooms where not everybody may.
	ScopeCreate = "room:create"
	// NameMax is the longest name, in characters.
	NameMax = 64
)

// The errors of this package. An error of Check wraps exactly one of the first two.
var (
	// ErrInvalid says that the token was never good, or is not yet.
	ErrInvalid = errors.New("invalid token")
	// ErrExpired says that the token was good once; the person needs a new one.
	ErrExpired = errors.New("expired token")
	// ErrWrongRoom is wrapped by the errors of Claims.For.
	ErrWrongRoom = errors.New("token is for another room")
)

// Claims is what a token says.
type Claims struct {
	User    rotunda.UserID
	Name    string         // may be empty
	Room    rotunda.RoomID // empty: any room
	Role    rotunda.Role   // the highest role allowed; rotunda.NoRole: no limit
	Issued  time.Time      // whole seconds, UTC; zero: not said
	Expires time.Time      // whole seconds, UTC
	ID      string         // jti
	// Operator: the holder acts for whoever runs the mesh (scope "operator"). Room and Role are then empty.
	Operator bool
	// Create: the holder may open rooms where not everybody may (scope "room:create").
	Create bool
}

// scope is the scope claim that says so.
func (c Claims) scope() string {
	var words []string
	if c.Operator {
		words = append(words, ScopeOperator)
	}
	if c.Create {
		words = append(words, ScopeCreate)
	}
	return strings.Join(words, " ")
}

// For reports whether the token may be used in room; a non-nil error wraps ErrWrongRoom.
func (c Claims) For(room rotunda.RoomID) error {
	if c.Room != "" && c.Room != room {
		return ErrWrongRoom
	}
	return nil
}

// valid says what is wrong with the claims themselves, whatever the time is.
func (c Claims) valid() error {
	if err := c.User.Valid(); err != nil {
		return err
	}
	if err := rotunda.UserID(c.ID).Valid(); err != nil {
		return fmt.Errorf("jti: %w", err)
	}
	if c.Room != "" {
		if err := c.Room.Valid(); err != nil {
			return err
		}
	}
	if c.Role != rotunda.NoRole && c.Role.Rank() == 0 {
		return fmt.Errorf("role %.20q", string(c.Role))
	}
	if c.Operator && (c.Room != "" || c.Role != rotunda.NoRole) {
		return errors.New("an operator's token names neither room nor role")
	}
	return ValidName(c.Name)
}

// ValidName refuses what could pass for somebody else's name or break a line: control characters, separators of lines, and
// the format characters that hide or reverse what stands around them (UAX #9 §2). Joiners stay: emoji and whole scripts
// need them.
func ValidName(name string) error {
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > NameMax {
		return fmt.Errorf("name is not text of at most %d characters", NameMax)
	}
	for _, r := range name {
		if joiner := r == '\u200c' || r == '\u200d'; !joiner && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) {
			return fmt.Errorf("name holds the character %U", r)
		}
	}
	return nil
}
