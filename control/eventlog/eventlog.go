// Package eventlog is the port to whatever keeps the rooms' events: it orders them, keeps them and tells who follows.
//
// A room is one chain of entries numbered from 1. Each entry carries the hash of the one before, and its own hash covers
// the room, its number, its id and its data, so that a position (number and hash) stands for the whole history up to it.
// An append names the position that it follows and happens only if the chain still ends there; the head of the chain and
// an opaque summary of the room change in the same step.
//
// The invariant: what Append acknowledged, every later Read and Follow returns, in the same order with the same bytes, and
// nothing else at that number. An implementation that finds otherwise returns ErrBroken and never the entry.
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

// Hash is the entry's own hash: SHA-256 over the lengths and bytes of room, Seq, Prev, ID and Data.
func (e Entry) Hash(room rotunda.RoomID) Hash {
	h := sha256.New()
	var n [8]byte
	write := func(b []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	write([]byte("rotunda event 1"))
	write([]byte(room))
	binary.BigEndian.PutUint64(n[:], e.Seq)
	h.Write(n[:])
	h.Write(e.Prev[:])
	write([]byte(e.ID))
	write(e.Data)
	return Hash(h.Sum(nil))
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

// Log keeps the chains of all rooms.
type Log interface {
	// Append adds a batch to the room's chain and returns the position after it. Its errors wrap ErrConflict, ErrUnknown,
	// ErrUnavailable or ErrTooLarge. A ctx that ends before the answer is ErrUnknown.
	Append(ctx context.Context, room rotunda.RoomID, b Batch) (Position, error)

	// Read returns the entries after a position, at most limit (1 to ReadMax) of them, and where the chain ends; none for a
	// room that does not exist. It sees every append that was acknowledged before the call. ErrBroken where the chain does
	// not contain after; ErrUnavailable where nobody answers until ctx ends.
	Read(ctx context.Context, room rotunda.RoomID, after Position, limit int) ([]Entry, Position, error)

	// Follow calls fn with every entry after a position, those that exist and those to come, each once and in order, until
	// ctx ends or fn fails, and returns that error. Where the log is away it waits for its return and goes on without a
	// gap. It returns an error that wraps ErrBroken where the log no longer continues what it has passed on.
	Follow(ctx context.Context, room rotunda.RoomID, after Position, fn func(Entry) error) error

	// Watch calls fn with the heads of all rooms as they are, reset being true, and then with those that changed; of several
	// changes of one head fn may see only the last. Where the log was away, it starts again with all of them. It ends with
	// ctx or when fn fails, with that error.
	Watch(ctx context.Context, fn func(reset bool, heads []Head) error) error

	// Ping reports whether the log takes appends: nil, or an error that wraps ErrUnavailable when ctx ends first.
	Ping(ctx context.Context) error
}
