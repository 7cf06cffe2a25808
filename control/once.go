package control

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"rotunda"
	"rotunda/control/room"
)

type keyOf struct{}

// WithKey makes commands with that context happen once: a command of the same kind and person under the same key, at this
// node or another, that is already in the log is not carried out again, and its caller gets the room's state. It is found
// among the room's latest events, some hundreds at least. Commands of different kinds may share a key.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyOf{}, key)
}

// onceID is the id of a command under the context's key, and empty where it has none. The try is for a second id where the
// first turns out to be taken.
func onceID(ctx context.Context, id rotunda.RoomID, a room.Actor, cmd room.Command, try int) string {
	key, _ := ctx.Value(keyOf{}).(string)
	if key == "" {
		return ""
	}
	h := sha256.New()
	for _, part := range []string{"rotunda command 1", string(id), string(a.User), cmd.Name(), key} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	h.Write([]byte{byte(try)})
	return letters(h.Sum(nil), 20)
}
