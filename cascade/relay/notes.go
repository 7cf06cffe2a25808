package relay

import (
	"slices"

	"rotunda"
	"rotunda/cascade/wire"
)

// This file is what notes up and down a stream's tree, and silence, need of the table.

// Find returns the stream k; nil where the table has no such.
func (c *Core) Find(k Key) *Stream { return c.streams[k] }

// Below returns the stream that the node at port p takes from this one under alias a; nil: none.
func (c *Core) Below(p Port, a wire.Alias) *Stream { return c.downs[Out{p, a}] }

// Above returns the stream that this node pulls through port p under alias a; nil: none.
func (c *Core) Above(p Port, a wire.Alias) *Stream {
	if u := c.ups[Out{p, a}]; u != nil {
		return u.stream
	}
	return nil
}

// Up is the one way towards the origin for what is to arrive there once: the first pull that has brought a frame, else one
// that has been asked for; of a pull and the one that it is to replace the older, until it is heard. ok is false while there
// is none.
func (s *Stream) Up() (o Out, ok bool) {
	best := 2
	for _, u := range s.ups {
		for _, x := range []*upstream{u.old, u} {
			if x != nil && rank(x) < best {
				o, ok, best = x.in, true, rank(x)
			}
		}
	}
	return o, ok
}

// Silenced reports that no frame of the stream goes further.
func (s *Stream) Silenced() bool { return s.silenced }

// Silence says which tracks of a room are not carried from now on, whoever sends and whoever takes them; all others are.
// Tracks of a room that is of no more concern are to be let go of by an empty list.
func (c *Core) Silence(room rotunda.RoomID, tracks []rotunda.Track) {
	if len(tracks) == 0 {
		delete(c.silent, room)
	} else {
		c.silent[room] = slices.Clone(tracks)
	}
	for k, s := range c.streams {
		if k.Stream.Room == room {
			s.silenced = slices.Contains(tracks, k.Stream.Track)
		}
	}
}
