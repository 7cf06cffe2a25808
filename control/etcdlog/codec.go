package etcdlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"rotunda"
	"rotunda/control/eventlog"
)

const (
	prefix        = "/rotunda/1/"
	summaryPrefix = prefix + "summary/"
	entryFormat   = 1
	positionSize  = 8 + len(eventlog.Hash{})
)

func headKey(room rotunda.RoomID) string     { return prefix + "head/" + string(room) }
func summaryKey(room rotunda.RoomID) string  { return summaryPrefix + string(room) }
func entryPrefix(room rotunda.RoomID) string { return prefix + "entry/" + string(room) + "/" }

func entryKey(room rotunda.RoomID, seq uint64) string {
	return fmt.Sprintf("%s%016x", entryPrefix(room), seq)
}

var errFormat = errors.New("not in the format of this version")

func appendPosition(b []byte, p eventlog.Position) []byte {
	return append(binary.BigEndian.AppendUint64(b, p.Seq), p.Hash[:]...)
}

// cutPosition reads the position that b begins with; rest aliases b.
func cutPosition(b []byte) (p eventlog.Position, rest []byte, err error) {
	if len(b) < positionSize {
		return p, nil, errFormat
	}
	p.Seq = binary.BigEndian.Uint64(b)
	copy(p.Hash[:], b[8:])
	return p, b[positionSize:], nil
}

func encodeEntry(e eventlog.Entry) []byte {
	b := make([]byte, 0, 2+len(e.Prev)+len(e.ID)+len(e.Data))
	b = append(b, entryFormat)
	b = append(b, e.Prev[:]...)
	b = append(b, byte(len(e.ID)))
	b = append(b, e.ID...)
	return append(b, e.Data...)
}

// decodeEntry reads the value of the key of entry seq. Data aliases b.
func decodeEntry(seq uint64, b []byte) (eventlog.Entry, error) {
	e := eventlog.Entry{Seq: seq}
	fixed := 2 + len(e.Prev)
	if len(b) < fixed || b[0] != entryFormat {
		return e, errFormat
	}
	copy(e.Prev[:], b[1:])
	id := int(b[fixed-1])
	if id > eventlog.IDMax || len(b) < fixed+id {
		return e, errFormat
	}
	e.ID, e.Data = string(b[fixed:fixed+id]), b[fixed+id:]
	return e, nil
}

// entrySeq reads the sequence number from the key of an entry of room.
func entrySeq(room rotunda.RoomID, key []byte) (uint64, error) {
	var seq uint64
	digits, ok := strings.CutPrefix(string(key), entryPrefix(room))
	if _, err := fmt.Sscanf(digits, "%016x", &seq); !ok || err != nil || entryKey(room, seq) != string(key) {
		return 0, fmt.Errorf("key %.100q: %w", key, errFormat)
	}
	return seq, nil
}
