package control

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/fence"
	"rotunda/control/room"
)

const (
	// snapshotEvery is how many events lie between two snapshots of a room: so many and as many again are read to open it.
	snapshotEvery = 500
	// packedMax is how large a state may be when it is unpacked, in bytes.
	packedMax = 32 << 20
	// foldingMax is how many rooms may wait for a snapshot. Those that find no place are asked for again with their next event.
	foldingMax = 64
	// foldMax is how long making one snapshot and folding behind it may take.
	foldMax = 30 * time.Second
	// retiredAfter is how long a room that is over stays in the directory. Its record stays in the log.
	retiredAfter = 7 * 24 * time.Hour
	// retireSpread is by how much the nodes differ in when they look, so that usually one does it.
	retireSpread = time.Hour
	// tidyEvery is how often a node looks for rooms to take out of the directory, tidyMax how many it takes at a time.
	tidyEvery = 10 * time.Minute
	tidyMax   = 100
)

const packedFormat = 1

// pack makes a snapshot's data: a byte for the format, then the state's encoding, deflated.
func pack(s *room.State) ([]byte, error) {
	plain, err := s.Encode()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteByte(packedFormat)
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// pack makes a snapshot's data for the log.
func (c *Control) pack(s *room.State) ([]byte, error) {
	data, err := pack(s)
	if err != nil {
		return nil, err
	}
	return c.seal(s.ID, fence.Snapshot, s.Seq, data)
}

// unpack is the reverse of Control.pack.
func (c *Control) unpack(id rotunda.RoomID, s eventlog.Snapshot) (*room.State, error) {
	data, err := c.unseal(id, fence.Snapshot, s.At.Seq, s.Data)
	if err != nil {
		return nil, err
	}
	return unpack(data)
}

// unpack is the reverse of pack.
func unpack(data []byte) (*room.State, error) {
	if len(data) == 0 || data[0] != packedFormat {
		return nil, errors.New("not in the format of this version")
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[1:])), packedMax+1))
	if err != nil {
		return nil, err
	}
	if len(plain) > packedMax {
		return nil, fmt.Errorf("more than %d bytes", packedMax)
	}
	return room.Decode(plain)
}

// wantSnapshot asks for a snapshot of a room where one is due. It does not wait.
func (c *Control) wantSnapshot(f *follower) {
	f.mu.Lock()
	due := f.at.Seq >= f.snapshot+snapshotEvery
	f.mu.Unlock()
	if !due {
		return
	}
	select {
	case c.folding <- f:
	default: // the next event asks again
	}
}

// keepFolding makes snapshots that are due and folds behind them until ctx ends.
func (c *Control) keepFolding(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case f := <-c.folding:
			fctx, cancel := context.WithTimeout(ctx, foldMax)
			err := c.takeSnapshot(fctx, f)
			cancel()
			if err != nil && ctx.Err() == nil {
				c.cfg.Logger.Warn("room's log is not folded", "room", f.id, "error", err)
			}
		}
	}
}

// takeSnapshot makes one snapshot, unless somebody else has made one meanwhile, and folds what is behind the one before.
func (c *Control) takeSnapshot(ctx context.Context, f *follower) error {
	kept, err := c.cfg.Log.Snapshots(ctx, f.id)
	if err != nil {
		return err
	}
	f.mu.Lock()
	if len(kept) > 0 && kept[0].Sound(f.id) {
		f.snapshot = max(f.snapshot, kept[0].At.Seq)
	}
	state, at, due, copied := f.state, f.at, f.at.Seq >= f.snapshot+snapshotEvery, f.copy
	f.mu.Unlock()
	if !due || !copied.understood() {
		return nil // it is for a node of the newer version that writes such events
	}
	data, err := c.pack(state)
	if err != nil {
		return err
	}
	err = c.cfg.Log.PutSnapshot(ctx, f.id, eventlog.NewSnapshot(f.id, at, data))
	if err == nil {
		err = c.cfg.Log.Prune(ctx, f.id, c.keeps(f.id))
	}
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.snapshot = max(f.snapshot, at.Seq)
	f.mu.Unlock()
	return nil
}

// keepTidy takes rooms that have been over for long out of the directory until ctx ends.
func (c *Control) keepTidy(ctx context.Context) error {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			c.tidy(ctx)
		}
	}
}

func (c *Control) tidy(ctx context.Context) {
	c.locks.tidy(c.needsLock)
	now, n := c.cfg.Now(), 0
	for _, s := range c.Rooms() {
		if s.State != room.Ended || s.EndedAt == nil || now.Before(s.EndedAt.Add(retiredAfter+c.share(s.ID, retireSpread))) {
			continue
		}
		if len(s.Barred) > 0 { // bans that hold in the host's other rooms too are read from here
			continue
		}
		if n++; n > tidyMax || !c.Available() {
			return
		}
		rctx, cancel := context.WithTimeout(ctx, commandMax)
		head, err := c.cfg.Log.Head(rctx, s.ID)
		if err == nil && head.Seq == s.Seq {
			err = c.cfg.Log.Retire(rctx, s.ID, head)
		}
		cancel()
		if err != nil && ctx.Err() == nil {
			c.cfg.Logger.Warn("room that is over stays in the directory", "room", s.ID, "error", err)
		}
	}
}

// share is a part of d, from 0 to d, which differs from node to node and from room to room and is always the same.
func (c *Control) share(id rotunda.RoomID, d time.Duration) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(c.cfg.Node))
	h.Write([]byte{0})
	h.Write([]byte(id))
	return time.Duration(float64(d) * float64(h.Sum32()) / (1 << 32))
}
