package people

import (
	"context"
	"slices"
	"strings"

	"rotunda"
	"rotunda/control/eventlog"
)

// Chain is the name of the people's chain in the control log. No room has it: rooms' names hold letters and digits alone.
const Chain rotunda.RoomID = "_people"

// Rooms is log without the chains that are no rooms: what package control is given.
func Rooms(log eventlog.Log) eventlog.Log { return roomsOnly{log} }

type roomsOnly struct{ eventlog.Log }

// isRoom reports whether a chain is a room's: the names of the others start with '_'.
func isRoom(id rotunda.RoomID) bool { return !strings.HasPrefix(string(id), "_") }

func (l roomsOnly) Append(ctx context.Context, id rotunda.RoomID, b eventlog.Batch) (eventlog.Position, error) {
	if !isRoom(id) {
		return eventlog.Position{}, eventlog.ErrConflict // as if the name were taken
	}
	return l.Log.Append(ctx, id, b)
}

func (l roomsOnly) Read(ctx context.Context, id rotunda.RoomID, after eventlog.Position, limit int) ([]eventlog.Entry, eventlog.Position, error) {
	if !isRoom(id) {
		return nil, eventlog.Position{}, nil // as if there were none
	}
	return l.Log.Read(ctx, id, after, limit)
}

func (l roomsOnly) Rooms(ctx context.Context, after rotunda.RoomID) ([]rotunda.RoomID, error) {
	ids, err := l.Log.Rooms(ctx, after)
	for err == nil && len(ids) > 0 && !slices.ContainsFunc(ids, isRoom) { // none of a page does not mean none after it
		ids, err = l.Log.Rooms(ctx, ids[len(ids)-1])
	}
	return slices.DeleteFunc(ids, func(id rotunda.RoomID) bool { return !isRoom(id) }), err
}

func (l roomsOnly) Watch(ctx context.Context, fn func(reset bool, heads []eventlog.Head) error) error {
	return l.Log.Watch(ctx, func(reset bool, heads []eventlog.Head) error {
		rooms := make([]eventlog.Head, 0, len(heads))
		for _, h := range heads {
			if isRoom(h.Room) {
				rooms = append(rooms, h)
			}
		}
		if len(rooms) == 0 && !reset {
			return nil
		}
		return fn(reset, rooms)
	})
}
