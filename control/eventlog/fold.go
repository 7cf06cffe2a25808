package eventlog

import (
	"encoding/binary"
	"fmt"

	"rotunda"
)

// Snapshot is a room's state at a position, in whatever form its writer gave it.
type Snapshot struct {
	At   Position
	Data []byte
	Sum  Hash // over room, At and Data
}

// NewSnapshot makes a snapshot of room.
func NewSnapshot(room rotunda.RoomID, at Position, data []byte) Snapshot {
	s := Snapshot{At: at, Data: data}
	s.Sum = s.sum(room)
	return s
}

func (s Snapshot) sum(room rotunda.RoomID) Hash {
	var seq [8]byte
	binary.BigEndian.PutUint64(seq[:], s.At.Seq)
	return sum([]byte("rotunda snapshot 1"), []byte(room), seq[:], s.At.Hash[:], s.Data)
}

// Sound reports whether the snapshot is as it was made, and of this room.
func (s Snapshot) Sound(room rotunda.RoomID) bool { return s.At.Seq > 0 && s.Sum == s.sum(room) }

// Check wraps ErrTooLarge where the snapshot is over its bound.
func (s Snapshot) Check() error {
	if len(s.Data) > SnapshotMax {
		return fmt.Errorf("snapshot of %d bytes, at most %d: %w", len(s.Data), SnapshotMax, ErrTooLarge)
	}
	return nil
}

// Segment is what has become of entries that were folded: their digests, from which every hash of the chain follows, and
// some of the entries whole.
type Segment struct {
	From    Position // before the first of them
	Digests []Hash   // of the entries From.Seq+1, From.Seq+2, …
	Kept    []Entry  // ascending
}

// Fold makes a segment of entries, which follow from. It ends early where what is kept would be over KeptMax.
func Fold(room rotunda.RoomID, from Position, entries []Entry, keep func(Entry) bool) (s Segment, end Position, err error) {
	s, end = Segment{From: from}, from
	bytes := 0
	for _, e := range entries {
		if bytes > KeptMax {
			break
		}
		if end, err = end.Next(room, e); err != nil {
			return s, end, err
		}
		s.Digests = append(s.Digests, e.Digest())
		if keep(e) {
			s.Kept = append(s.Kept, e)
			bytes += len(e.Data)
		}
	}
	return s, end, nil
}

// End walks the segment and returns the position after it. It wraps ErrBroken where an entry that was kept is not the one
// that was folded.
func (s Segment) End(room rotunda.RoomID) (Position, error) {
	return s.walk(room, s.From.Seq+uint64(len(s.Digests)))
}

// Has reports whether p is a position of the chain, where the segment covers its number; covered says whether it does.
func (s Segment) Has(room rotunda.RoomID, p Position) (has, covered bool) {
	if p.Seq < s.From.Seq || p.Seq > s.From.Seq+uint64(len(s.Digests)) {
		return false, false
	}
	at, err := s.walk(room, p.Seq)
	return err == nil && at == p, true
}

// walk goes to the position with number seq, which the segment covers.
func (s Segment) walk(room rotunda.RoomID, seq uint64) (Position, error) {
	at, kept := s.From, s.Kept
	broken := func() (Position, error) {
		return at, fmt.Errorf("room %s: entry %d of the record is not the one that was folded: %w", room, kept[0].Seq, ErrBroken)
	}
	for _, digest := range s.Digests[:seq-s.From.Seq] {
		if len(kept) > 0 && kept[0].Seq == at.Seq+1 {
			if kept[0].Prev != at.Hash || kept[0].Digest() != digest {
				return broken()
			}
			kept = kept[1:]
		}
		at = at.link(room, digest)
	}
	if len(kept) > 0 && kept[0].Seq <= at.Seq {
		return broken()
	}
	return at, nil
}
