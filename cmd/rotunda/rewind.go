package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"rotunda"
	"rotunda/node/opus"
)

// rewind puts what was heard in the last seconds, as far as the node has kept it, in front of what will be heard.
func (c *client) rewind(ctx context.Context, id rotunda.RoomID, last time.Duration, e *ear) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	res, err := c.send(ctx, http.MethodGet, c.roomPath(id, fmt.Sprintf("/rewind.opus?seconds=%d", int(last.Seconds()))), nil, "audio/ogg")
	if refused(err, http.StatusNotFound) {
		return nil // nobody has listened there
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	in, err := opus.NewReader(io.LimitReader(res.Body, answerMax))
	if err != nil {
		return fmt.Errorf("%s: rewind: %w", c.base, err)
	}
	for {
		p, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: rewind: %w", c.base, err)
		}
		if err := e.before(p); err != nil {
			return err
		}
	}
}

// before writes a packet of what was heard before the ear was there.
func (e *ear) before(p opus.FilePacket) error {
	if err := e.file.Write(e.rewound, p.Payload); err != nil && !errors.Is(err, opus.ErrCorrupt) {
		return fmt.Errorf("write what was heard: %w", err)
	}
	e.rewound += uint32(p.Ticks)
	return nil
}
