// Package eventlog is the port to whatever keeps the rooms' events: it orders them, keeps them and tells who follows.
//
// A room is one chain of entries numbered from 1. Each entry carries the hash of the one before, and its own hash covers
// the room, its number, its id and its data, so that a position (number and hash) stands for the whole history up to it.
// An append names the position that it follows and happens only if the chain still ends there; the head of the chain and
// an opaque summary of the room change in the same step.
//
// Long chains are folded: the room's state at a position is kept as a snapshot, and what was before it shrinks to a segment,
// which holds 32 bytes for each entry and the entries of the moderation record whole. So the chain of hashes stays whole
// from the first entry to the last for ever, and Verify can walk it.
//
// The invariant: what Append acknowledged, every later Read and Follow returns, in the same order with the same bytes, and
// nothing else at that number, until it is folded. An implementation that finds otherwise returns ErrBroken and never the
// entry.
//
// Memory is the implementation for tests; control/etcdlog is the one for use. Package eventlogtest is the contract that
// both pass. All methods may be called concurrently.
package eventlog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"rotunda"
)

var (
	// ErrConflict: the chain does not end where the append says; nothing was kept. Read, decide again.
	ErrConflict = errors.New("the log has moved on")
	// ErrUnknown: nobody answered in time; the append may have been kept, or be kept later. Read and look for the ids; to
	// append the same again after the same position is safe.
	ErrUnknown = errors.New("outcome unknown")
	// ErrUnavailable: the log cannot be reached; nothing was kept.
	ErrUnavailable = errors.New("log unavailable")
	// ErrBroken: the log has gone backwards, has a gap or a hash that does not fit. What was acknowledged is lost or was
	// changed: somebody has to look.
	ErrBroken = errors.New("log broken")
	// ErrPruned: the entries after that position have been folded. The position itself is one of the chain. Load a snapshot.
	ErrPruned = errors.New("folded into a snapshot")
	// ErrTooLarge: a record, a batch or a summary is over its bound; nothing was kept.
	ErrTooLarge = errors.New("too large for the log")
)

// Bounds, inclusive.
const (
	DataMax    = 64 << 10 // bytes of a record
	IDMax      = 64       // bytes of a record's id
	BatchMax   = 32       // records of one append
	BytesMax   = 1 << 20  // bytes of all records of one append together
	SummaryMax = 8 << 10  // bytes of a summary
	ReadMax    = 256      // entries that one Read returns at most

	SnapshotMax  = 1 << 20   // bytes of a snapshot's data
	KeptMax      = 512 << 10 // bytes of the entries that one segment keeps whole, the last one not counted
	SnapshotsMax = 2         // snapshots kept of a room, the latest ones
	RoomsMax     = 512       // rooms that one Rooms returns at most
	SegmentsMax  = 8         // segments that one Segments returns at most
)

// Hash is a SHA-256 over an entry, which covers the hash of the entry before.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Position is a place in a room's chain: after the entry Seq, whose hash is Hash. The zero Position is before the first.
type Position struct {
	Seq  uint64
	Hash Hash
}

func (p Position) String() string { return fmt.Sprintf("%d/%.8s", p.Seq, p.Hash) }

// Record is what is appended.
type Record struct {
	ID   string // unique in the room; how an append whose outcome is unknown is found again
	Data []byte
}

// Entry is a record in its place. Who gets one must not change Data.
type Entry struct {
	Seq  uint64
	Prev Hash // of the entry before; zero in the first
	Record
}

// Digest covers what the record says: SHA-256 over the lengths and bytes of ID and Data.
func (r Record) Digest() Hash { return sum([]byte("rotunda record 1"), []byte(r.ID), r.Data) }

// sum is the SHA-256 over the parts, each with its length before it.
func sum(parts ...[]byte) Hash {
	h := sha256.New()
	var n [8]byte
	for _, b := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	return Hash(h.Sum(nil))
}

// Hash is the entry's own hash. It covers the room, Seq, Prev and the record's digest.
func (e Entry) Hash(room rotunda.RoomID) Hash {
	return Position{Seq: e.Seq - 1, Hash: e.Prev}.link(room, e.Digest()).Hash
}

// link is the position after the record with that digest.
func (p Position) link(room rotunda.RoomID, digest Hash) Position {
	var seq [8]byte
	binary.BigEndian.PutUint64(seq[:], p.Seq+1)
	return Position{Seq: p.Seq + 1, Hash: sum([]byte("rotunda event 1"), []byte(room), seq[:], p.Hash[:], digest[:])}
}

// Next is the position after e, where p is the position before. It wraps ErrBroken where e does not follow p.
func (p Position) Next(room rotunda.RoomID, e Entry) (Position, error) {
	if e.Seq != p.Seq+1 {
		return p, fmt.Errorf("room %s: entry %d after %d: %w", room, e.Seq, p.Seq, ErrBroken)
	}
	if e.Prev != p.Hash {
		return p, fmt.Errorf("room %s: entry %d follows %.8s, not %.8s: %w", room, e.Seq, e.Prev, p.Hash, ErrBroken)
	}
	return Position{Seq: e.Seq, Hash: e.Hash(room)}, nil
}

// Head is the end of a room's chain with the summary that the last append wrote.
type Head struct {
	Room     rotunda.RoomID
	Position Position
	Summary  []byte
	Retired  bool // the room has left the directory; Position and Summary are empty
}

// Batch is one append: all of Records or none, directly after After.
type Batch struct {
	After   Position
	Records []Record // 1 to BatchMax
	Summary []byte   // replaces the room's summary
}

// Entries are the entries that the batch makes in room, and the position after them.
func (b Batch) Entries(room rotunda.RoomID) ([]Entry, Position) {
	entries, p := make([]Entry, len(b.Records)), b.After
	for i, r := range b.Records {
		entries[i] = Entry{Seq: p.Seq + 1, Prev: p.Hash, Record: r}
		p = Position{Seq: p.Seq + 1, Hash: entries[i].Hash(room)}
	}
	return entries, p
}

// Check wraps ErrTooLarge where the batch is empty or over a bound.
func (b Batch) Check() error {
	if n := len(b.Records); n < 1 || n > BatchMax {
		return fmt.Errorf("%d records, 1 to %d: %w", n, BatchMax, ErrTooLarge)
	}
	if len(b.Summary) > SummaryMax {
		return fmt.Errorf("summary of %d bytes, at most %d: %w", len(b.Summary), SummaryMax, ErrTooLarge)
	}
	bytes := 0
	for _, r := range b.Records {
		if bytes += len(r.Data); bytes > BytesMax {
			return fmt.Errorf("more than %d bytes: %w", BytesMax, ErrTooLarge)
		}
		if len(r.Data) > DataMax || len(r.ID) > IDMax {
			return fmt.Errorf("record of %d bytes, at most %d, with an id of %d, at most %d: %w", len(r.Data), DataMax, len(r.ID), IDMax, ErrTooLarge)
		}
	}
	return nil
}

// Reader is the half of Log that only reads: all that Verify needs. Its errors wrap ErrUnavailable where nobody answers until
// ctx ends, and ErrBroken where what is kept cannot be what was appended.
type Reader interface {
	// Rooms returns the ids of rooms that come after a given one, ascending, at most RoomsMax; none after the last. It
	// knows the retired ones too.
	Rooms(ctx context.Context, after rotunda.RoomID) ([]rotunda.RoomID, error)

	// Head returns where the chain ends; the zero Position for a room that does not exist.
	Head(ctx context.Context, room rotunda.RoomID) (Position, error)

	// Read returns the entries after a position, at most limit (1 to ReadMax) of them, and where the chain ends; none for a
	// room that does not exist. It sees every append that was acknowledged before the call. ErrBroken where the chain does
	// not contain after; ErrPruned where it does and the entries after it are folded.
	Read(ctx context.Context, room rotunda.RoomID, after Position, limit int) ([]Entry, Position, error)

	// Segments returns what the folded part of the chain has become, from the segment that begins at the number from or later
	// on, ascending, at most SegmentsMax. They have been checked by themselves.
	Segments(ctx context.Context, room rotunda.RoomID, from uint64) ([]Segment, error)

	// Snapshots returns the room's snapshots, the latest first, at most SnapshotsMax. Whether one is Sound is for the caller
	// to look at.
	Snapshots(ctx context.Context, room rotunda.RoomID) ([]Snapshot, error)
}

// Log keeps the chains of all rooms.
type Log interface {
	Reader

	// Append adds a batch to the room's chain and returns the position after it. Its errors wrap ErrConflict, ErrUnknown,
	// ErrUnavailable or ErrTooLarge. A ctx that ends before the answer is ErrUnknown.
	Append(ctx context.Context, room rotunda.RoomID, b Batch) (Position, error)

	// Follow calls fn with every entry after a position, those that exist and those to come, each once and in order, until
	// ctx ends or fn fails, and returns that error. Where the log is away it waits for its return and goes on without a
	// gap. It returns an error that wraps ErrBroken where the log no longer continues what it has passed on, and one that
	// wraps ErrPruned where it does, but the next entries are folded.
	Follow(ctx context.Context, room rotunda.RoomID, after Position, fn func(Entry) error) error

	// Watch calls fn with the heads of all rooms of the directory as they are, reset being true, and then with those that
	// changed; of several changes of one head fn may see only the last. Where the log was away, it starts again with all of
	// them. It ends with ctx or when fn fails, with that error.
	Watch(ctx context.Context, fn func(reset bool, heads []Head) error) error

	// Ping reports whether the log takes appends: nil, or an error that wraps ErrUnavailable.
	Ping(ctx context.Context) error

	// PutSnapshot keeps a snapshot and the latest sound one before it; older ones go. It does nothing where there is one that
	// is as new. ErrBroken where the chain does not contain its position. It may be tried again whatever the error was.
	PutSnapshot(ctx context.Context, room rotunda.RoomID, s Snapshot) error

	// Prune folds the entries up to the older of two sound snapshots into segments; with fewer snapshots it does nothing. So
	// a snapshot that is damaged costs time and no room. It keeps whole what keep says. It may be tried again whatever the
	// error was, and by several nodes at once.
	Prune(ctx context.Context, room rotunda.RoomID, keep func(Entry) bool) error

	// Mend compares what is kept of a room with a copy of the end of its chain and puts right what was damaged, see
	// Stored.Mend: in one step, or where that is too much in several that may be tried again, and only if nothing of it has
	// changed meanwhile (ErrConflict). It returns what it did. It reads all that is not folded, and every segment.
	Mend(ctx context.Context, room rotunda.RoomID, from Copy, keep func(Entry) bool) (Repair, error)

	// Retire takes a room whose chain ends at end out of the directory, and nothing else: its record stays, and the next
	// append puts it back. ErrConflict where the chain ends elsewhere.
	Retire(ctx context.Context, room rotunda.RoomID, end Position) error
}
