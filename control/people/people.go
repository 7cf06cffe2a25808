// Package people keeps what the mesh knows of people beyond any one room: their profiles and pictures, what was reported to
// the operator, and whose tokens are no longer believed.
//
// All but the pictures is one chain in the control log, beside the rooms' (Chain), folded by every node into the same
// State: a token that was revoked anywhere is refused everywhere. While the log is away, nodes go on refusing whom they
// knew to refuse, and tell each other of more (Outage); what gives waits. Pictures are too large for a log: they are files
// in the data folders of the nodes that have shown them, named by their hash, which the profile carries and everybody can
// check (Gallery).
//
// The invariant: what a method that writes acknowledged is in the log and in this node's State, or, taken while the log was
// away, in force and written down later; a Store that has never read the chain refuses everybody. A Store and a Gallery may
// be used concurrently.
package people

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rotunda"
	"rotunda/control/token"
)

var (
	// ErrInvalid: a text or picture that is not allowed.
	ErrInvalid = errors.New("not valid")
	// ErrUnknown: there is no such report, ban or picture.
	ErrUnknown = errors.New("unknown")
	// ErrFull: the mesh keeps no more of these, or this person has too many.
	ErrFull = errors.New("no place left")
	// ErrUnavailable: the control log cannot be reached; nothing has happened. Try again later.
	ErrUnavailable = errors.New("the log is not available")
	// ErrUnknownOutcome: the log did not answer; look before trying again.
	ErrUnknownOutcome = errors.New("the outcome is not known")
	// ErrRevoked: the token was good and was taken back.
	ErrRevoked = errors.New("token revoked")
	// ErrBanned: the operator has banned the token's user from the mesh.
	ErrBanned = errors.New("banned from the mesh")
)

// Bounds, inclusive.
const (
	BioMax    = 280 // characters
	ReasonMax = 280 // characters of a reason or an outcome
	NoteMax   = 2000

	profilesMax = 100_000
	reportsMax  = 10_000
	openMax     = 20 // open reports of one reporter
	revokedMax  = 100_000
	bannedMax   = 100_000
)

// Profile is what a person says of themselves. All of it is public.
type Profile struct {
	Name   string         `json:"name,omitempty"`   // what others see, in place of the name in the token; may be empty
	Bio    string         `json:"bio,omitempty"`    // a line about oneself
	Avatar Hash           `json:"avatar,omitempty"` // empty: no picture
	Origin rotunda.NodeID `json:"origin,omitempty"` // the node that took the picture
	Hidden bool           `json:"hidden,omitempty"` // left out of rosters while listening
	Until  time.Time      `json:"until,omitzero"`   // a guest's: forgotten then
}

func (p Profile) valid() error {
	if err := token.ValidName(p.Name); err != nil {
		return fmt.Errorf("name: %w: %v", ErrInvalid, err)
	}
	if strings.TrimSpace(p.Name) != p.Name {
		return fmt.Errorf("name: %w: spaces around it", ErrInvalid)
	}
	if p.Avatar != "" && !p.Avatar.Valid() {
		return fmt.Errorf("avatar: %w", ErrInvalid)
	}
	return validText("bio", p.Bio, BioMax, false)
}

// Report is what somebody told the operator about a room or a person in it.
type Report struct {
	ID         string         `json:"id"`
	Order      uint64         `json:"order"` // the lowest came first
	At         time.Time      `json:"at"`
	By         rotunda.UserID `json:"by"`
	Room       rotunda.RoomID `json:"room"`
	Title      string         `json:"title"`          // of the room at the time
	Host       rotunda.UserID `json:"host"`           // of the room at the time
	Seq        uint64         `json:"seq"`            // of the room at the time: what had happened by then
	User       rotunda.UserID `json:"user,omitempty"` // who is reported; empty: the room
	Name       string         `json:"name,omitempty"` // of User at the time, where known
	Reason     string         `json:"reason"`
	Note       string         `json:"note,omitempty"`
	Answer     string         `json:"answer,omitempty"` // what became of it
	AnsweredBy rotunda.UserID `json:"answeredBy,omitempty"`
	Closed     time.Time      `json:"closedAt,omitzero"` // zero: open
}

// Open reports whether nobody has answered the report.
func (r Report) Open() bool { return r.Closed.IsZero() }

func (r Report) valid() error {
	if r.Reason == "" {
		return fmt.Errorf("reason: %w: missing", ErrInvalid)
	}
	if err := validText("reason", r.Reason, ReasonMax, false); err != nil {
		return err
	}
	return validText("note", r.Note, NoteMax, true)
}

// Ban keeps a person out of the whole mesh.
type Ban struct {
	At     time.Time      `json:"at"`
	By     rotunda.UserID `json:"by"`
	Reason string         `json:"reason,omitempty"`
}

// validText refuses control characters and those that hide or reverse what stands around them (UAX #9 §2); lines says
// whether line feeds are allowed.
func validText(what, s string, lenMax int, lines bool) error {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > lenMax {
		return fmt.Errorf("%s: %w: not text of at most %d characters", what, ErrInvalid, lenMax)
	}
	for _, r := range s {
		joiner := r == '\u200c' || r == '\u200d'
		if !joiner && !(lines && r == '\n') && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) {
			return fmt.Errorf("%s: %w: holds the character %U", what, ErrInvalid, r)
		}
	}
	return nil
}

// Hash names a picture: the SHA-256 of its bytes, in hexadecimal.
type Hash string

// Valid reports whether h has the form of a hash.
func (h Hash) Valid() bool {
	for i := range len(h) {
		if c := h[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return len(h) == 64
}
