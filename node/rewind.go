package node

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"rotunda"
	"rotunda/control/api"
	"rotunda/node/edge"
	"rotunda/node/opus"
)

const (
	// rewindRoomsMax is of how many rooms a node keeps the last minute: 256 MiB where all were as loud as they may be, 90 at 32 kbit/s. Rooms
	// beyond have no rewind.
	rewindRoomsMax = 256
	// rewindsMax is how many people are handed the last minute at once, each from a file in memory of some 500 kB.
	rewindsMax = 32
)

// rewinds hands out what the rooms of this node kept. It is api.Replay.
type rewinds struct {
	rooms *rooms
	open  atomic.Int32
	turn  sync.Mutex // files are made one after another: who listens comes first
}

// Rewind makes a file of what was kept.
func (rw *rewinds) Rewind(ctx context.Context, id rotunda.RoomID, q api.RewindQuery) (r api.Rewound, release func(), err error) {
	none := func() {}
	server := rw.rooms.peek(id)
	if server == nil {
		return api.Rewound{}, none, nil
	}
	release = func() { rw.open.Add(-1) }
	if rw.open.Add(1) > rewindsMax {
		release()
		return api.Rewound{}, none, fmt.Errorf("%d others: %w", rewindsMax, api.ErrOverloaded)
	}
	rw.turn.Lock()
	defer rw.turn.Unlock()
	if ctx.Err() == nil {
		r, err = rewound(server.audience.tape.replay(time.Now(), q))
	}
	if err != nil || r.Ogg == nil {
		release()
		return api.Rewound{}, none, err
	}
	return r, release, nil
}

// rewound is the file of what was kept.
func rewound(kept []edge.Kept) (api.Rewound, error) {
	if len(kept) == 0 {
		return api.Rewound{}, nil
	}
	r := api.Rewound{From: time.UnixMicro(kept[0].Origin), Until: time.UnixMicro(kept[len(kept)-1].Origin)}
	var b bytes.Buffer
	w, err := opus.NewWriter(&b)
	if err != nil {
		return api.Rewound{}, err
	}
	for _, k := range edge.Replay(kept) {
		if err := w.Write(k.Timestamp, k.Payload); err != nil && err != opus.ErrCorrupt { // another node's: it is left out
			return api.Rewound{}, err
		}
	}
	if err := w.Close(); err != nil {
		return api.Rewound{}, err
	}
	r.Ogg = b.Bytes()
	return r, nil
}

// tape is the last minute of an audience's program. Its ring is there while the node has one to spare.
type tape struct {
	spare *atomic.Int32 // how many rings the node may make yet; nil: none

	mu   sync.Mutex // guards ring; held for as long as it takes to copy a second
	ring *edge.Ring
}

// keep keeps a packet that goes to the listeners.
func (t *tape) keep(now time.Time, p *edge.Packet) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ring == nil {
		if t.spare == nil {
			return
		}
		if t.spare.Add(-1) < 0 {
			t.spare.Add(1)
			return
		}
		t.ring = new(edge.Ring)
	}
	t.ring.Push(now, p)
}

// withhold forgets what somebody said.
func (t *tape) withhold(now time.Time, ssrc rotunda.SSRC) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ring != nil {
		t.ring.Withhold(now, ssrc)
	}
}

// expire gives the ring back when all of it is too old, or in any case where the room is over.
func (t *tape) expire(now time.Time, over bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ring != nil && (over || t.ring.Over(now)) {
		t.ring = nil
		t.spare.Add(1)
	}
}

// replay is what the query asks for, in the order of its coming.
func (t *tape) replay(now time.Time, q api.RewindQuery) (kept []edge.Kept) {
	since := now.Add(-edge.RewindMax)
	if q.Since.IsZero() {
		since = now.Add(-min(q.Last, edge.RewindMax))
	}
	for n, ok := uint64(0), true; ok; {
		kept, n, ok = t.piece(kept, n, since)
	}
	if q.Since.IsZero() {
		return kept
	}
	after := kept[:0]
	for _, k := range kept {
		if k.Origin > q.Since.UnixMicro() {
			after = append(after, k)
		}
	}
	return after
}

func (t *tape) piece(kept []edge.Kept, n uint64, since time.Time) ([]edge.Kept, uint64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ring == nil {
		return kept, n, false
	}
	return t.ring.Read(kept, n, since)
}
