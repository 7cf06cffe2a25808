// Package rotunda is the vocabulary of the mesh: the identifiers, the frame and the member that every other package
// speaks of. It holds no behaviour beyond checking and printing them, imports nothing but the standard library, and every
// value in it is safe to copy and to read concurrently.
package rotunda

import (
	"errors"
	"fmt"
	"strings"
)

// RoomID names a room for its whole life; it is also the last part of the room's link, /r/{room}.
// 1 to 64 characters of a–z, A–Z, 0–9, '-' and '_'.
type RoomID string

// UserID names a person, across rooms, tokens and devices. Same alphabet and length as RoomID, and '.' and ':' as well.
type UserID string

// NodeID names a node of the mesh: 1 to 63 characters of a–z, 0–9 and '-' (it is also a DNS label).
type NodeID string

// Region names where a node stands, for example "eu-west". Same alphabet and length as NodeID.
type Region string

// SSRC identifies a speaker inside a room on the wire (RFC 3550 §3). The room's log assigns it, so it is the same on every
// node and for the speaker's whole time in the room; program packets list it as CSRC while that speaker is heard.
type SSRC uint32

// Seq is an extended sequence number (RFC 3550 §A.1): it counts frames of one stream epoch and never wraps.
type Seq uint64

// Epoch counts the incarnations of a stream: each new publication of a track has a higher one, and a receiver that has
// heard epoch n takes nothing older.
type Epoch uint32

// Track names one stream of a room: Program, or the microphone of one person (Mic).
type Track string

// Program is the mixed stream of a room that listeners hear.
const Program Track = "program"

// micPrefix starts the track name of a person's microphone.
const micPrefix = "mic/"

// Mic is the track of u's own microphone, unmixed.
func Mic(u UserID) Track { return Track(micPrefix + string(u)) }

// Speaker returns whose microphone the track is; ok is false for the program.
func (t Track) Speaker() (u UserID, ok bool) {
	s, ok := strings.CutPrefix(string(t), micPrefix)
	return UserID(s), ok
}

// StreamID names one stream of frames in the mesh.
type StreamID struct {
	Room  RoomID
	Track Track
	Epoch Epoch
}

func (s StreamID) String() string { return fmt.Sprintf("%s/%s@%d", s.Room, s.Track, s.Epoch) }

// ErrBadID is wrapped by every error of the Valid methods.
var ErrBadID = errors.New("malformed identifier")

// Valid reports whether the id may be used; a non-nil error wraps ErrBadID.
func (r RoomID) Valid() error { return check("room", string(r), 64, isRoomByte) }

// Valid reports whether the id may be used; a non-nil error wraps ErrBadID.
func (u UserID) Valid() error { return check("user", string(u), 64, isUserByte) }

// Valid reports whether the id may be used; a non-nil error wraps ErrBadID.
func (n NodeID) Valid() error { return check("node", string(n), 63, isLabelByte) }

// Valid reports whether the name may be used; a non-nil error wraps ErrBadID.
func (r Region) Valid() error { return check("region", string(r), 63, isLabelByte) }

// Valid reports whether the track is the program or a well-formed microphone; a non-nil error wraps ErrBadID.
func (t Track) Valid() error {
	if t == Program {
		return nil
	}
	u, ok := t.Speaker()
	if !ok {
		return fmt.Errorf("track %.80q: %w", string(t), ErrBadID)
	}
	return u.Valid()
}

// Valid reports whether room and track are well formed; a non-nil error wraps ErrBadID.
func (s StreamID) Valid() error {
	if err := s.Room.Valid(); err != nil {
		return err
	}
	return s.Track.Valid()
}

func check(kind, s string, lenMax int, ok func(byte) bool) error {
	if s == "" || len(s) > lenMax {
		return fmt.Errorf("%s %.80q: %w: 1 to %d characters", kind, s, ErrBadID, lenMax)
	}
	for i := range len(s) {
		if !ok(s[i]) {
			return fmt.Errorf("%s %.80q: %w: character %q", kind, s, ErrBadID, s[i])
		}
	}
	return nil
}

func isLabelByte(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' }

func isRoomByte(c byte) bool { return isLabelByte(c) || c >= 'A' && c <= 'Z' || c == '_' }

func isUserByte(c byte) bool { return isRoomByte(c) || c == '.' || c == ':' }
