package control

import (
	"context"

	"rotunda/control/room"
)

type requestOf struct{}

// WithRequest has the events of commands with that context say which request they come from.
func WithRequest(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestOf{}, id)
}

// Request is the id of the request that ctx belongs to; "" where there is none.
func Request(ctx context.Context) string {
	id, _ := ctx.Value(requestOf{}).(string)
	return id
}

// requested are the events with the id of the request that ctx belongs to.
func requested(ctx context.Context, events []room.Event) []room.Event {
	id := Request(ctx)
	for i := range events {
		events[i].Request = id
	}
	return events
}

// told logs the beginning and the end of a room, at the one node that has decided it.
func (c *Control) told(s *room.State, events []room.Event) {
	for _, e := range events {
		switch e.Type {
		case room.EventCreated:
			c.cfg.Logger.Info("room created", "room", s.ID, "by", e.By, "home", e.Node, "request", e.Request)
		case room.EventStarted:
			c.cfg.Logger.Info("room started", "room", s.ID, "by", e.By, "request", e.Request)
		case room.EventEnded:
			c.cfg.Logger.Info("room ended", "room", s.ID, "by", e.By, "reason", e.Reason, "request", e.Request)
		}
	}
}
