package eventlog

import (
	"context"
	"errors"
	"fmt"

	"rotunda"
)

// Report is what Verify found in one room.
type Report struct {
	Room      rotunda.RoomID
	End       Position // of the chain, as far as it is whole
	Folded    uint64   // entries that are folded
	Kept      int      // those of them that are kept whole
	Snapshots int      // sound ones
	Err       error    // the first bad record; nil: the chain is whole
}

// Verify walks a room's chain from its first entry to its last, through segments and entries, checks every hash and every
// snapshot, and says which record is the first bad one. The error it returns is not about the chain: the log could not be
// read.
func Verify(ctx context.Context, log Reader, room rotunda.RoomID) (Report, error) {
	r := Report{Room: room}
	err := r.walk(ctx, log)
	if errors.Is(err, ErrBroken) {
		r.Err = err
		return r, nil
	}
	return r, err
}

// VerifyAll verifies all rooms and tells fn of each. It goes on after a broken one and returns an error that wraps ErrBroken
// where there were any, or why the log could not be read.
func VerifyAll(ctx context.Context, log Reader, fn func(Report) error) error {
	broken := 0
	for after := rotunda.RoomID(""); ; {
		rooms, err := log.Rooms(ctx, after)
		if err != nil {
			return err
		}
		if len(rooms) == 0 {
			break
		}
		for _, room := range rooms {
			r, err := Verify(ctx, log, room)
			if err != nil {
				return err
			}
			if r.Err != nil {
				broken++
			}
			if err := fn(r); err != nil {
				return err
			}
		}
		after = rooms[len(rooms)-1]
	}
	if broken > 0 {
		return fmt.Errorf("%d rooms: %w", broken, ErrBroken)
	}
	return nil
}

func (r *Report) walk(ctx context.Context, log Reader) error {
	snapshots, err := log.Snapshots(ctx, r.Room)
	if err != nil {
		return err
	}
	broken := func(format string, args ...any) error {
		return fmt.Errorf("room %s: %s: %w", r.Room, fmt.Sprintf(format, args...), ErrBroken)
	}
	// arrive compares the snapshots with the chain where it has come to their numbers.
	arrive := func(has func(Position) bool, from, to uint64) error {
		for _, s := range snapshots {
			if s.At.Seq <= from || s.At.Seq > to {
				continue
			}
			if !s.Sound(r.Room) {
				return broken("snapshot at %d is damaged", s.At.Seq)
			}
			if !has(s.At) {
				return broken("snapshot at %v is not of this chain", s.At)
			}
			r.Snapshots++
		}
		return nil
	}
	if err := r.segments(ctx, log, arrive); err != nil {
		return err
	}
	for {
		entries, end, err := log.Read(ctx, r.Room, r.End, ReadMax)
		if errors.Is(err, ErrPruned) {
			return broken("entries after %d are neither there nor in a segment", r.End.Seq)
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			before := r.End.Seq
			if r.End, err = r.End.Next(r.Room, e); err != nil {
				return err
			}
			if err := arrive(func(p Position) bool { return p == r.End }, before, r.End.Seq); err != nil {
				return err
			}
		}
		if r.End.Seq >= end.Seq {
			break
		}
	}
	for _, s := range snapshots {
		if s.At.Seq == 0 || s.At.Seq > r.End.Seq {
			return broken("snapshot at %d of a chain that ends at %d", s.At.Seq, r.End.Seq)
		}
	}
	if r.End.Seq == 0 {
		return broken("there is no entry")
	}
	return nil
}

// segments walks the folded part of the chain.
func (r *Report) segments(ctx context.Context, log Reader, arrive func(has func(Position) bool, from, to uint64) error) error {
	for {
		segments, err := log.Segments(ctx, r.Room, r.End.Seq)
		if err != nil || len(segments) == 0 {
			return err
		}
		for _, s := range segments {
			if s.From != r.End {
				return fmt.Errorf("room %s: folded from %v, the chain is at %v: %w", r.Room, s.From, r.End, ErrBroken)
			}
			end, err := s.End(r.Room)
			if err != nil {
				return err
			}
			if end == r.End {
				return fmt.Errorf("room %s: segment at %d is empty: %w", r.Room, s.From.Seq, ErrBroken)
			}
			has := func(p Position) bool { yes, _ := s.Has(r.Room, p); return yes }
			if err := arrive(has, r.End.Seq, end.Seq); err != nil {
				return err
			}
			r.End, r.Folded, r.Kept = end, r.Folded+uint64(len(s.Digests)), r.Kept+len(s.Kept)
		}
	}
}
