package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"rotunda"
	"rotunda/control/room"
)

// Inputs of the calls about the stage, pins and turns.
type (
	inviteBody struct {
		User rotunda.UserID `json:"user" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]+$" example:"g_7h2k9m4p" doc:"Whom to invite."`
	}
	inviteCall struct {
		Room string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Body inviteBody
	}
	linkBody struct {
		Key string `json:"key" minLength:"20" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$" example:"pX4n0dWmJzq1rB7sT9uVcY" doc:"What proves the link: drawn at random by whoever makes it, and not kept here."`
	}
	linkCall struct {
		Room string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Body linkBody
	}
	pinBody struct {
		URL  string `json:"url" minLength:"1" maxLength:"2048" example:"https://example.org/tides" doc:"An http or https link."`
		Note string `json:"note,omitempty" maxLength:"1120" example:"The tide table." doc:"What it is, at most 280 characters."`
	}
	pinsCall struct {
		Room string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Body pinBody
	}
	pinCall struct {
		Room string     `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Pin  room.PinID `path:"pin" maxLength:"64" example:"p3" doc:"The pin's id."`
	}
	placeBody struct {
		Place int `json:"place" minimum:"1" maximum:"1000" example:"1" doc:"Where in the list, from 1; past the end is the end."`
	}
	placeCall struct {
		Room string     `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Pin  room.PinID `path:"pin" maxLength:"64" example:"p3" doc:"The pin's id."`
		Body placeBody
	}
	rotationBody struct {
		Turn room.Seconds  `json:"turn,omitempty" minimum:"0" maximum:"86400" example:"120" doc:"How long a turn lasts, in seconds; not there: as the policy says."`
		Warn *room.Seconds `json:"warn,omitempty" minimum:"0" maximum:"86400" example:"10" doc:"How long before its end the speaker is warned, in seconds."`
	}
	rotationCall struct {
		Room string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Body *rotationBody
	}
	extendBody struct {
		By room.Seconds `json:"by" minimum:"1" maximum:"86400" example:"60" doc:"By how long, in seconds."`
	}
	extendCall struct {
		Room string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Body extendBody
	}
	reactionBody struct {
		Emoji string `json:"emoji" maxLength:"16" example:"👏" doc:"One of a small set."`
	}
	reactionCall struct {
		Room string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Body reactionBody
	}
	logCall struct {
		Room   string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50" example:"50" doc:"How many at most."`
		Cursor string `query:"cursor" maxLength:"20" pattern:"^[0-9]*$" doc:"nextCursor of the page before."`
	}
	// decision is an entry of the record: of an event, what concerns people.
	decision struct {
		Seq    uint64           `json:"seq" example:"17" doc:"The room's sequence number after it."`
		At     time.Time        `json:"at" example:"2026-11-23T12:07:00Z" doc:"When."`
		By     rotunda.UserID   `json:"by,omitempty" example:"g_9k2m4p7h" doc:"Who; not there: the mesh, by its rules or for its operator."`
		Type   room.EventType   `json:"type" example:"removed" doc:"What, as the event feed calls it."`
		User   rotunda.UserID   `json:"user,omitempty" example:"g_7h2k9m4p" doc:"To whom."`
		Users  []rotunda.UserID `json:"users,omitempty" nullable:"false" example:"[\"g_7h2k9m4p\"]" doc:"To whom, where there are several."`
		Name   string           `json:"name,omitempty" example:"Eve" doc:"What others saw of them."`
		Role   rotunda.Role     `json:"role,omitempty" example:"cohost" doc:"Their role from then on."`
		Ban    bool             `json:"ban,omitempty" example:"true" doc:"Whether they were banned."`
		Count  int              `json:"count,omitempty" example:"2" doc:"Which warning it was."`
		Public bool             `json:"public,omitempty" example:"false" doc:"Whether everybody was told."`
		Fact   bool             `json:"fact,omitempty" example:"false" doc:"Whether it was decided while the log was away, and written down after."`
		Title  string           `json:"title,omitempty" example:"Tides" doc:"The room's title from then on."`
		URL    string           `json:"url,omitempty" example:"https://example.org/tides" doc:"The link."`
		Reason string           `json:"reason,omitempty" example:"Shouting." doc:"Why."`
		Note   string           `json:"note,omitempty" doc:"What else was said."`

		Request string `json:"request,omitempty" example:"4bf92f3577b34da6" doc:"The request that decided it: X-Request-Id of its answer, and in the logs of the node."`
	}
	logBody struct {
		Events     []decision `json:"events" nullable:"false" doc:"What was decided, in its order."`
		NextCursor string     `json:"nextCursor,omitempty" doc:"Where the next page starts; not there on the last."`
	}
	logAnswer struct {
		Link string `header:"Link" doc:"The next page, rel=\"next\" (RFC 8288)."`
		Body logBody
	}
)

func (a *API) registerStage() {
	const tag, all, one = "Invitations", "/v1/rooms/{room}/invitations", "/v1/rooms/{room}/invitations/{user}"
	command(a, operation{
		id: "invite", method: http.MethodPost, path: all, tag: tag, summary: "Invite somebody to the stage",
		about: "They come when they accept. Of somebody who has asked it is their approval. Host and co-hosts.",
	}, func(in *inviteCall) (string, room.Command) { return in.Room, room.Invite{User: in.Body.User} })
	command(a, operation{
		id: "acceptInvitation", method: http.MethodPost, path: one + "/accept", tag: tag, summary: "Accept an invitation",
		about: "One's own; one arrives on stage muted.",
	}, func(in *personCall) (string, room.Command) { return in.Room, room.Accept{User: in.User} })
	command(a, operation{
		id: "declineInvitation", method: http.MethodPost, path: one + "/decline", tag: tag, summary: "Decline an invitation",
		about: "One's own; the host and co-hosts take one back with it.",
	}, func(in *personCall) (string, room.Command) { return in.Room, room.Decline{User: in.User} })
	const link = "/v1/rooms/{room}/speaker-link"
	command(a, operation{
		id: "openSpeakerLink", method: http.MethodPut, path: link, tag: tag, summary: "Make the link for speakers",
		about: "Whoever has its key is invited to the stage by the caller. It takes the place of the one before. Host and co-hosts.",
	}, func(in *linkCall) (string, room.Command) { return in.Room, room.OpenLink{Key: in.Body.Key} })
	command(a, operation{
		id: "closeSpeakerLink", method: http.MethodDelete, path: link, tag: tag, summary: "Take the link for speakers back",
		about: "It is worth nothing from then on; who came by it keeps what they have. Host and co-hosts.",
	}, func(in *roomCall) (string, room.Command) { return in.Room, room.CloseLink{} })
	command(a, operation{
		id: "takeSpeakerLink", method: http.MethodPost, path: link, tag: tag, summary: "Come by the link for speakers",
		about: "One is invited by whoever made the link, and comes on stage by accepting. A locked room lets one in.",
	}, func(in *linkCall) (string, room.Command) { return in.Room, room.TakeLink{Key: in.Body.Key} })
	a.registerPins()
	a.registerRotation()
	register(a, operation{
		id: "react", method: http.MethodPost, path: "/v1/rooms/{room}/reactions", tag: "Rooms", summary: "React",
		about: "Counted, and shown to everybody as a sum a few times a second (event presence of the feed).",
		user:  true, status: http.StatusAccepted, rate: a.limits.reactions, errors: []int{http.StatusForbidden, http.StatusServiceUnavailable},
	}, a.react)
	register(a, operation{
		id: "getLog", method: http.MethodGet, path: "/v1/rooms/{room}/log", tag: "Rooms", summary: "Get the moderation record",
		about: "Who decided what about the room and the people in it; kept whole, also after the end. Host, co-hosts, operator.",
		user:  true, errors: []int{http.StatusForbidden, http.StatusServiceUnavailable},
	}, a.getLog)
}

func (a *API) registerPins() {
	const tag, all, one = "Pins", "/v1/rooms/{room}/pins", "/v1/rooms/{room}/pins/{pin}"
	command(a, operation{
		id: "pin", method: http.MethodPost, path: all, tag: tag, summary: "Propose a link",
		about: "People on stage. What the host and co-hosts propose is shown at once; what others do, when one of those approves.",
	}, func(in *pinsCall) (string, room.Command) {
		return in.Room, room.ProposePin{URL: in.Body.URL, Note: in.Body.Note}
	})
	command(a, operation{
		id: "approvePin", method: http.MethodPost, path: one + "/approve", tag: tag, summary: "Show a proposed link", about: "Host and co-hosts.",
	}, func(in *pinCall) (string, room.Command) { return in.Room, room.ApprovePin{Pin: in.Pin} })
	command(a, operation{
		id: "movePin", method: http.MethodPut, path: one + "/place", tag: tag, summary: "Move a link in the list", about: "Host and co-hosts.",
	}, func(in *placeCall) (string, room.Command) {
		return in.Room, room.MovePin{Pin: in.Pin, Place: in.Body.Place}
	})
	command(a, operation{
		id: "unpin", method: http.MethodDelete, path: one, tag: tag, summary: "Take a link or a proposal away",
		about: "One's own; the host's, co-hosts' and operator's anybody's.", operator: true,
	}, func(in *pinCall) (string, room.Command) { return in.Room, room.Unpin{Pin: in.Pin} })
}

func (a *API) registerRotation() {
	const tag, root = "Rotation", "/v1/rooms/{room}/rotation"
	command(a, operation{
		id: "startRotation", method: http.MethodPost, path: root, tag: tag, summary: "Let people take turns",
		about: "Those in the queue, in its order, each for the same time. Again: changes the turns to come. Host and co-hosts.",
	}, func(in *rotationCall) (string, room.Command) {
		c := room.Rotate{}
		if in.Body != nil {
			c.Turn, c.Warn = in.Body.Turn, in.Body.Warn
		}
		return in.Room, c
	})
	command(a, operation{
		id: "nextTurn", method: http.MethodPost, path: root + "/next", tag: tag, summary: "End the present turn", about: "Host and co-hosts.",
	}, func(in *roomCall) (string, room.Command) { return in.Room, room.NextTurn{} })
	command(a, operation{
		id: "extendTurn", method: http.MethodPost, path: root + "/extend", tag: tag, summary: "Make the present turn longer", about: "Host and co-hosts.",
	}, func(in *extendCall) (string, room.Command) { return in.Room, room.ExtendTurn{By: in.Body.By} })
	command(a, operation{
		id: "stopRotation", method: http.MethodDelete, path: root, tag: tag, summary: "End the turns",
		about: "Whoever has one stays on stage. Host and co-hosts.",
	}, func(in *roomCall) (string, room.Command) { return in.Room, room.StopRotation{} })
}

func (a *API) react(ctx context.Context, in *reactionCall) (*emptyAnswer, error) {
	c, id := claimsOf(ctx), rotunda.RoomID(in.Room)
	actor, s, err := a.actor(ctx, c, id)
	if err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains(Reactions, in.Body.Emoji):
		return nil, fmt.Errorf("emoji: %w: not one of %v", room.ErrInvalid, Reactions)
	case actor.Barred || s.Banned(c.User):
		return nil, room.ErrBanned
	case s.Phase == room.Ended:
		return nil, room.ErrEnded
	case s.Phase != room.Live:
		return nil, room.ErrNotLive
	case !s.MayReact(c.User):
		return nil, fmt.Errorf("react: %w", room.ErrForbidden)
	}
	if a.cfg.Presence != nil {
		a.cfg.Presence.React(id, c.User, in.Body.Emoji)
	}
	return &emptyAnswer{}, nil
}

// getLog is the moderation record as its reader may see it; what is not for them is left out.
func (a *API) getLog(ctx context.Context, in *logCall) (*logAnswer, error) {
	c, id := claimsOf(ctx), rotunda.RoomID(in.Room)
	_, s, err := a.actor(ctx, c, id)
	if err != nil {
		return nil, err
	}
	role := s.Role(c.User)
	if c.Role != rotunda.NoRole && c.Role.Rank() < role.Rank() {
		role = c.Role // a token's role is a maximum here too
	}
	if !c.Operator && role.Rank() < rotunda.Cohost.Rank() {
		return nil, fmt.Errorf("read the record as %s: %w", role, room.ErrForbidden)
	}
	after := uint64(0)
	if in.Cursor != "" {
		if after, err = strconv.ParseUint(in.Cursor, 10, 64); err != nil {
			return nil, fmt.Errorf("cursor: %w", errCursor)
		}
	}
	out := &logAnswer{Body: logBody{Events: []decision{}}}
	for { // a part of the record may hold nothing for this reader
		events, err := a.cfg.Control.Record(ctx, id, after)
		if err != nil || len(events) == 0 {
			return out, err
		}
		for _, e := range events {
			if after = e.Seq; !c.Operator {
				e = e.For(s, c.User)
			}
			if e.Type == room.EventWithheld {
				continue
			}
			if len(out.Body.Events) == in.Limit {
				out.Body.NextCursor = strconv.FormatUint(out.Body.Events[in.Limit-1].Seq, 10)
				out.Link = nextLink("/v1/rooms/"+in.Room+"/log", nil, in.Limit, out.Body.NextCursor)
				return out, nil
			}
			out.Body.Events = append(out.Body.Events, decisionOf(e))
		}
	}
}

func decisionOf(e room.Event) decision {
	d := decision{
		Seq: e.Seq, At: e.At, By: e.By, Type: e.Type, User: e.User, Users: e.Users, Name: e.Name, Role: e.Role, Ban: e.Ban, Count: e.Count,
		Public: e.Public, Fact: e.Fact, URL: e.URL, Reason: e.Reason, Note: e.Note, Request: e.Request,
	}
	if e.Details != nil {
		d.Title = e.Details.Title
	}
	if e.Type == room.EventLinkOpened {
		d.Note = "" // the proof of the link's key
	}
	return d
}
