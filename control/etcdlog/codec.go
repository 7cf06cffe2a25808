package etcdlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"rotunda"
	"rotunda/control/eventlog"
)

const (
	prefix        = "/rotunda/1/"
	headPrefix    = prefix + "head/"
	basePrefix    = prefix + "base/"
	summaryPrefix = prefix + "summary/"

	entryFormat    = 1
	snapshotFormat = 1
	segmentFormat  = 1
	hashSize       = len(eventlog.Hash{})
	positionSize   = 8 + hashSize
)

func headKey(room rotunda.RoomID) string        { return headPrefix + string(room) }
func baseKey(room rotunda.RoomID) string        { return basePrefix + string(room) }
func summaryKey(room rotunda.RoomID) string     { return summaryPrefix + string(room) }
func entryPrefix(room rotunda.RoomID) string    { return prefix + "entry/" + string(room) + "/" }
func snapshotPrefix(room rotunda.RoomID) string { return prefix + "snapshot/" + string(room) + "/" }
func segmentPrefix(room rotunda.RoomID) string  { return prefix + "segment/" + string(room) + "/" }

func numbered(prefix string, seq uint64) string { return fmt.Sprintf("%s%016x", prefix, seq) }

func entryKey(room rotunda.RoomID, seq uint64) string    { return numbered(entryPrefix(room), seq) }
func snapshotKey(room rotunda.RoomID, seq uint64) string { return numbered(snapshotPrefix(room), seq) }
func segmentKey(room rotunda.RoomID, from uint64) string { return numbered(segmentPrefix(room), from) }

// chainOf is the chain that a key belongs to; empty: none.
func chainOf(key string) rotunda.RoomID {
	rest, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return ""
	}
	_, rest, _ = strings.Cut(rest, "/")
	chain, _, _ := strings.Cut(rest, "/")
	return rotunda.RoomID(chain)
}

// end is the end of the range of the keys that begin with prefix.
func end(prefix string) string { return clientv3.GetPrefixRangeEnd(prefix) }

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
func entrySeq(room rotunda.RoomID, key string) (uint64, error) { return seqOf(entryPrefix(room), key) }

// seqOf reads the number that follows prefix in key.
func seqOf(prefix, key string) (uint64, error) {
	var seq uint64
	digits, ok := strings.CutPrefix(key, prefix)
	if _, err := fmt.Sscanf(digits, "%016x", &seq); !ok || err != nil || numbered(prefix, seq) != key {
		return 0, fmt.Errorf("key %.100q: %w", key, errFormat)
	}
	return seq, nil
}

func encodeSnapshot(s eventlog.Snapshot) []byte {
	b := make([]byte, 0, 1+positionSize+hashSize+len(s.Data))
	b = append(b, snapshotFormat)
	b = appendPosition(b, s.At)
	b = append(b, s.Sum[:]...)
	return append(b, s.Data...)
}

// decodeSnapshot reads a snapshot, whether sound or not. Data aliases b.
func decodeSnapshot(b []byte) (s eventlog.Snapshot, err error) {
	if len(b) < 1+positionSize+hashSize || b[0] != snapshotFormat {
		return s, errFormat
	}
	s.At, b, _ = cutPosition(b[1:])
	copy(s.Sum[:], b)
	s.Data = b[hashSize:]
	return s, nil
}

func encodeSegment(s eventlog.Segment) []byte {
	b := appendPosition([]byte{segmentFormat}, s.From)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.Digests)))
	for _, d := range s.Digests {
		b = append(b, d[:]...)
	}
	for _, e := range s.Kept {
		value := encodeEntry(e)
		b = binary.BigEndian.AppendUint64(b, e.Seq)
		b = binary.BigEndian.AppendUint32(b, uint32(len(value)))
		b = append(b, value...)
	}
	return b
}

// decodeSegment reads a segment and checks its form. It aliases b.
func decodeSegment(b []byte) (s eventlog.Segment, err error) {
	if len(b) < 1+positionSize+4 || b[0] != segmentFormat {
		return s, errFormat
	}
	s.From, b, _ = cutPosition(b[1:])
	n := uint64(binary.BigEndian.Uint32(b))
	if b = b[4:]; uint64(len(b))/uint64(hashSize) < n {
		return s, errFormat
	}
	s.Digests = make([]eventlog.Hash, n)
	for i := range s.Digests {
		copy(s.Digests[i][:], b)
		b = b[hashSize:]
	}
	for before := s.From.Seq; len(b) > 0; {
		if len(b) < 12 {
			return s, errFormat
		}
		seq, size := binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])
		if b = b[12:]; seq <= before || seq > s.From.Seq+n || uint64(size) > uint64(len(b)) {
			return s, errFormat
		}
		e, err := decodeEntry(seq, b[:size])
		if err != nil {
			return s, err
		}
		s.Kept, b, before = append(s.Kept, e), b[size:], seq
	}
	return s, nil
}
