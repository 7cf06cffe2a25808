package rotunda

import (
	"fmt"
	"slices"
	"strings"
)

// FenceMax is how many regions a fence has at most.
const FenceMax = 16

// fencedPrefix starts the ids of rooms that have a fence, and of no others: generated ids have no '-'. So a node that knows
// nothing of a room but its id still knows that it may not carry it just anywhere.
const fencedPrefix = "in-"

// Fence is the regions that a room's media and content stay in, sorted. An empty one keeps nothing in.
type Fence []Region

// Holds reports whether r is inside.
func (f Fence) Holds(r Region) bool { return len(f) == 0 || slices.Contains(f, r) }

// Valid reports whether f may be a room's fence; a non-nil error wraps ErrBadID.
func (f Fence) Valid() error {
	if len(f) < 1 || len(f) > FenceMax {
		return fmt.Errorf("%d regions, 1 to %d: %w", len(f), FenceMax, ErrBadID)
	}
	for i, r := range f {
		if err := r.Valid(); err != nil {
			return err
		}
		if i > 0 && f[i-1] >= r {
			return fmt.Errorf("regions are not sorted, or one comes twice: %w", ErrBadID)
		}
	}
	return nil
}

// Within returns the members that stand inside: all of them, and the same slice, for an empty fence.
func (f Fence) Within(members []Member) []Member {
	if len(f) == 0 {
		return members
	}
	return slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return !f.Holds(m.Region) })
}

// Fenced reports whether the room has a fence.
func (r RoomID) Fenced() bool { return strings.HasPrefix(string(r), fencedPrefix) }

// FencedID makes a fenced room's id of letters that name no other room.
func FencedID(letters string) RoomID { return RoomID(fencedPrefix + letters) }
