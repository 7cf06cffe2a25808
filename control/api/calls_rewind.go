package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"rotunda"
	"rotunda/control/room"
)

// Replay is the last minute of the rooms' programs, as far as this node has heard them. Its methods may be called concurrently.
type Replay interface {
	// Rewind returns what the query asks for as an Ogg Opus file; no file where there is nothing. Call release when it has been
	// written. An error wraps ErrOverloaded.
	Rewind(ctx context.Context, id rotunda.RoomID, q RewindQuery) (r Rewound, release func(), err error)
}

// RewindQuery asks for what was heard since an instant, or for the last seconds where that is zero.
type RewindQuery struct {
	Since time.Time     // by the clock that sender reports tie to the room's sound
	Last  time.Duration // by this node's
}

// Rewound is part of a program.
type Rewound struct {
	Ogg         []byte    // nil: nothing was heard
	From, Until time.Time // when the sound of the first and the last packet entered the program
}

// rewindWriteMax is how long the reader may take for all of it: 64 kbit/s and more.
const rewindWriteMax = 60 * time.Second

type rewindCall struct {
	Room    string    `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
	Seconds int       `query:"seconds" minimum:"1" maximum:"60" default:"15" example:"20" doc:"How far back."`
	Since   time.Time `query:"since" format:"date-time" example:"2026-11-26T20:18:37.12Z" doc:"Instead: everything since then, as Rotunda-Until of an answer before has it, or the clock of the sender reports; at most a minute back."`
}

func (a *API) registerRewind(tag string) {
	headers := map[string]*huma.Header{
		"Rotunda-From":  {Schema: &huma.Schema{Type: huma.TypeString, Format: "date-time"}, Description: "When the first of it was mixed."},
		"Rotunda-Until": {Schema: &huma.Schema{Type: huma.TypeString, Format: "date-time"}, Description: "When the last of it was mixed: what to ask from next."},
	}
	register(a, operation{
		id: "rewind", method: http.MethodGet, path: "/v1/rooms/{room}/rewind.opus", tag: tag, summary: "Hear the last seconds again",
		about: "What this node has heard of the room's program in the last minute, as an Ogg Opus file: for who was away for a moment. Only who " +
			"may come in may ask. What somebody said who was removed since is left out, and pauses of more than a second are cut short. 404 of the type nothing-kept where " +
			"nobody has listened here.",
		user: true, rate: a.limits.rewinds, errors: []int{http.StatusForbidden, http.StatusConflict, http.StatusServiceUnavailable},
		more: map[string]*huma.Response{
			"200": {Description: "The sound.", Headers: headers, Content: map[string]*huma.MediaType{"audio/ogg": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}},
		},
	}, a.rewind)
}

func (a *API) rewind(ctx context.Context, in *rewindCall) (*huma.StreamResponse, error) {
	id := rotunda.RoomID(in.Room)
	who, s, err := a.actor(ctx, claimsOf(ctx), id)
	switch {
	case err != nil:
		return nil, err
	case who.Barred:
		return nil, room.ErrBanned
	case s.Phase != room.Live:
		return nil, room.ErrNotLive
	}
	var since time.Time
	if a.cfg.Presence != nil {
		since = a.cfg.Presence.Since(id, who.User)
	}
	if err := s.Admitted(who.User, since); err != nil {
		return nil, err
	}
	var r Rewound
	release := func() {}
	if a.cfg.Replay != nil {
		if r, release, err = a.cfg.Replay.Rewind(ctx, id, RewindQuery{Since: in.Since, Last: time.Duration(in.Seconds) * time.Second}); err != nil {
			return nil, fmt.Errorf("rewind: %w", err)
		}
	}
	if r.Ogg == nil {
		release()
		return nil, errNothingKept
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer release()
		_, w := humago.Unwrap(ctx)
		_ = http.NewResponseController(w).SetWriteDeadline(a.cfg.Now().Add(rewindWriteMax)) // where it cannot, the server's own bounds hold
		ctx.SetHeader("Content-Type", "audio/ogg; codecs=opus")
		ctx.SetHeader("Content-Length", strconv.Itoa(len(r.Ogg)))
		ctx.SetHeader("Rotunda-From", r.From.UTC().Format(time.RFC3339Nano))
		ctx.SetHeader("Rotunda-Until", r.Until.UTC().Format(time.RFC3339Nano))
		_, _ = ctx.BodyWriter().Write(r.Ogg) // the client is gone, or gets it
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}}, nil
}
