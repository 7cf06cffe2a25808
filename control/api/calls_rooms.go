package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"rotunda"
	"rotunda/control/room"
	"rotunda/control/token"
)

// Inputs of the calls about rooms. A room's id is not checked by the schema: a malformed one is as unknown as any other.
type (
	roomCall struct {
		Room string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
	}
	policyBody struct {
		SpeakersMax *int           `json:"speakersMax,omitempty" minimum:"1" maximum:"100" example:"20" doc:"How many people may be on stage, the host included."`
		CohostsMax  *int           `json:"cohostsMax,omitempty" minimum:"0" maximum:"100" example:"4" doc:"How many co-hosts there may be."`
		Requests    *room.Asking   `json:"requests,omitempty" enum:"everyone,list,invited,closed" example:"everyone" doc:"Who may ask to speak."`
		FloorLock   *bool          `json:"floorLock,omitempty" example:"false" doc:"Whether only one microphone may be open at a time."`
		MuteOnEntry *bool          `json:"muteOnEntry,omitempty" example:"false" doc:"Whether a microphone is muted when it comes into the room; one that moves to another node while it is open stays open."`
		Reactions   *room.Reacting `json:"reactions,omitempty" enum:"everyone,stage,nobody" example:"everyone" doc:"Who may react."`
		WarningsMax *int           `json:"warningsMax,omitempty" minimum:"0" maximum:"100" example:"3" doc:"With this warning the sanction follows; 0: never."`
		Sanction    *room.Sanction `json:"sanction,omitempty" enum:"mute,remove,ban" example:"remove" doc:"What follows too many warnings."`
		Turn        *room.Seconds  `json:"turnSeconds,omitempty" example:"120" doc:"How long a turn lasts in rotation, in seconds."`
		HostHold    *room.Seconds  `json:"hostHoldSeconds,omitempty" example:"30" doc:"How long the host may be away before the role passes on, in seconds."`
		HoldMax     *room.Seconds  `json:"holdMaxSeconds,omitempty" example:"300" doc:"How long the room waits with nobody on stage who could be host, in seconds."`
		ReturnMax   *room.Seconds  `json:"returnMaxSeconds,omitempty" example:"600" doc:"Until when a host who was away gets the room back on coming back, in seconds."`
	}
	createBody struct {
		Title       string           `json:"title" minLength:"1" maxLength:"480" example:"What the tide leaves behind" doc:"1 to 120 characters."`
		Description string           `json:"description,omitempty" maxLength:"8000" example:"A walk along the shore, and who lives there." doc:"At most 2,000 characters, in lines."`
		Rules       string           `json:"rules,omitempty" maxLength:"16000" example:"One at a time." doc:"At most 4,000 characters, in lines."`
		Mode        room.Mode        `json:"mode,omitempty" enum:"discussion,qa,lecture,rotation" example:"discussion" doc:"A preset of the policy; discussion where none is named."`
		Tags        []string         `json:"tags,omitempty" nullable:"false" maxItems:"8" example:"[\"sea\"]" doc:"Up to 8, of 1 to 32 characters each."`
		Language    string           `json:"language,omitempty" maxLength:"35" example:"en" doc:"A language tag (RFC 5646)."`
		StartsAt    *time.Time       `json:"startsAt,omitempty" example:"2026-12-24T18:00:00Z" doc:"When it is planned to start; a room without it is live at once."`
		Askers      []rotunda.UserID `json:"askers,omitempty" nullable:"false" maxItems:"500" example:"[\"g_7h2k9m4p\"]" doc:"Who may ask to speak where policy.requests is list."`
		Policy      *policyBody      `json:"policy,omitempty" doc:"What differs from the mode's usual policy."`
		Regions     []rotunda.Region `json:"regions,omitempty" nullable:"false" maxItems:"16" doc:"Keeps the room's audio and content in these regions, for good; the one of the node that is asked must be among them. Without them the room may be anywhere."`
		Hitless     room.Hitless     `json:"hitless,omitempty" enum:"program,off" doc:"By how many ways the sound travels between nodes, for good: program, two, and a dead node is not heard; off, one, for half the traffic. Without it each node goes by its configuration." example:"off"`
	}
	createCall struct {
		Body createBody
	}
	editBody struct {
		Title       *string           `json:"title,omitempty" minLength:"1" maxLength:"480" example:"What the tide brings back" doc:"1 to 120 characters."`
		Description *string           `json:"description,omitempty" maxLength:"8000" example:"A walk along the shore." doc:"At most 2,000 characters, in lines."`
		Rules       *string           `json:"rules,omitempty" maxLength:"16000" example:"One at a time." doc:"At most 4,000 characters, in lines."`
		Mode        *room.Mode        `json:"mode,omitempty" enum:"discussion,qa,lecture,rotation" example:"qa" doc:"Brings its usual policy with it."`
		Tags        *[]string         `json:"tags,omitempty" nullable:"false" maxItems:"8" example:"[\"sea\"]" doc:"Replaces all tags."`
		Language    *string           `json:"language,omitempty" maxLength:"35" example:"en" doc:"A language tag (RFC 5646)."`
		StartsAt    *time.Time        `json:"startsAt,omitempty" example:"2026-12-24T19:00:00Z" doc:"Only while the room is scheduled."`
		Askers      *[]rotunda.UserID `json:"askers,omitempty" nullable:"false" maxItems:"500" example:"[\"g_7h2k9m4p\"]" doc:"Replaces the list of who may ask."`
		Policy      *policyBody       `json:"policy,omitempty" doc:"What is to change in the policy."`
	}
	editCall struct {
		Room string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Body editBody
	}
	reasonBody struct {
		Reason string `json:"reason,omitempty" maxLength:"1120" example:"Thank you all." doc:"At most 280 characters; it stands in the room's record."`
	}
	endCall struct {
		Room string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Body *reasonBody
	}
	getCall struct {
		Room        string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		IfNoneMatch string `header:"If-None-Match" example:"\"17\"" doc:"The ETag of what is known already: 304 when nothing has changed."`
	}
	getAnswer struct {
		Status int
		ETag   string `header:"ETag" example:"\"17\"" doc:"The room's sequence number."`
		Vary   string `header:"Vary" example:"Authorization" doc:"Some of it is for some readers only."`
		Body   roomBody
	}
	listCall struct {
		State  room.Phase `query:"state" enum:"scheduled,live,ended" example:"live" doc:"Only rooms in this state."`
		Tag    string     `query:"tag" maxLength:"128" example:"sea" doc:"Only rooms with this tag."`
		Limit  int        `query:"limit" minimum:"1" maximum:"100" default:"50" example:"50" doc:"How many at most."`
		Cursor string     `query:"cursor" maxLength:"128" doc:"nextCursor of the page before."`
	}
	listBody struct {
		Rooms      []room.Summary `json:"rooms" nullable:"false" doc:"The rooms of this page."`
		NextCursor string         `json:"nextCursor,omitempty" doc:"Where the next page starts; not there on the last."`
	}
	listAnswer struct {
		Link string `header:"Link" doc:"The next page, rel=\"next\" (RFC 8288)."`
		Body listBody
	}
	createAnswer struct {
		Location string `header:"Location" example:"/v1/rooms/k3v9q7m2x4ab" doc:"The new room."`
		ETag     string `header:"ETag" example:"\"1\"" doc:"The room's sequence number."`
		Body     roomBody
	}
	eventsCall struct {
		Room        string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		LastEventID string `header:"Last-Event-ID" example:"17" doc:"The id of the event seen last: the stream goes on after it."`
	}
)

func (p *policyBody) edit() room.PolicyEdit {
	if p == nil {
		return room.PolicyEdit{}
	}
	return room.PolicyEdit{
		SpeakersMax: p.SpeakersMax, CohostsMax: p.CohostsMax, Requests: p.Requests, FloorLock: p.FloorLock, MuteOnEntry: p.MuteOnEntry,
		Reactions: p.Reactions, WarningsMax: p.WarningsMax, Sanction: p.Sanction, Turn: p.Turn, HostHold: p.HostHold, HoldMax: p.HoldMax,
		ReturnMax: p.ReturnMax,
	}
}

func (b *reasonBody) text() string {
	if b == nil {
		return ""
	}
	return b.Reason
}

func (a *API) registerRooms() {
	const tag, one = "Rooms", "/v1/rooms/{room}"
	register(a, operation{
		id: "listRooms", method: http.MethodGet, path: "/v1/rooms", tag: tag, summary: "List rooms",
		about: "The lobby: live and ended rooms with the newest first, scheduled ones with the soonest first.",
	}, a.listRooms)
	register(a, operation{
		id: "createRoom", method: http.MethodPost, path: "/v1/rooms", tag: tag, summary: "Create a room",
		about: "Live at once, or scheduled where startsAt is given. The caller is its host, on stage and muted. Where the operator does " +
			"not let everybody open rooms, the token needs the scope room:create.",
		status: http.StatusCreated, user: true, rate: a.limits.rooms,
		errors: []int{http.StatusForbidden, http.StatusServiceUnavailable, http.StatusGatewayTimeout},
	}, a.createRoom)
	register(a, operation{
		id: "getRoom", method: http.MethodGet, path: one, tag: tag, summary: "Get a room",
		about:  "Everything a newcomer needs in one answer. With a token, also what is for that person only: warnings, proposed links.",
		known:  true,
		errors: []int{http.StatusNotModified, http.StatusServiceUnavailable},
	}, a.getRoom)
	command(a, operation{
		id: "editRoom", method: http.MethodPatch, path: one, tag: tag, summary: "Change a room",
		about: "What is not named stays as it is. Host and co-hosts.",
	}, func(in *editCall) (string, room.Command) {
		b := in.Body
		return in.Room, room.Edit{
			Title: b.Title, Description: b.Description, Rules: b.Rules, Mode: b.Mode, Tags: b.Tags, Language: b.Language,
			StartsAt: b.StartsAt, Askers: b.Askers, Policy: b.Policy.edit(),
		}
	})
	command(a, operation{
		id: "startRoom", method: http.MethodPost, path: one + "/start", tag: tag, summary: "Start a scheduled room", about: "The host.", operator: true,
	}, func(in *roomCall) (string, room.Command) { return in.Room, room.Start{} })
	command(a, operation{
		id: "endRoom", method: http.MethodPost, path: one + "/end", tag: tag, summary: "End a room", about: "For good. The host, and the operator.", operator: true,
	}, func(in *endCall) (string, room.Command) { return in.Room, room.End{Reason: in.Body.text()} })
	command(a, operation{
		id: "muteAll", method: http.MethodPost, path: one + "/mute-all", tag: tag, summary: "Mute everybody",
		about: "Everybody of a lower role than the caller's. Host and co-hosts.", operator: true,
	}, func(in *roomCall) (string, room.Command) { return in.Room, room.MuteAll{} })
	command(a, operation{
		id: "lock", method: http.MethodPut, path: one + "/lock", tag: tag, summary: "Lock a room",
		about: "Nobody new is let in to listen; who is in stays, and may come back. Host and co-hosts.", operator: true,
	}, func(in *roomCall) (string, room.Command) { return in.Room, room.Lock{} })
	command(a, operation{
		id: "unlock", method: http.MethodDelete, path: one + "/lock", tag: tag, summary: "Unlock a room", about: "Host and co-hosts.",
	}, func(in *roomCall) (string, room.Command) { return in.Room, room.Unlock{} })
	command(a, operation{
		id: "refreshRoom", method: http.MethodPost, path: one + "/refresh", tag: tag, summary: "Tell everybody anew what the room is about",
		about: "Everybody gets the event, with how many have come since the last time. Host and co-hosts.",
	}, func(in *roomCall) (string, room.Command) {
		c := room.Refresh{}
		if a.cfg.Presence != nil {
			c.Joined = a.cfg.Presence.Joined(rotunda.RoomID(in.Room))
		}
		return in.Room, c
	})
	register(a, operation{
		id: "followRoom", method: http.MethodGet, path: one + "/events", tag: tag, summary: "Follow a room's events",
		about: "Server-Sent Events: first a snapshot (the room, as getRoom answers it), then each change as " +
			"{seq, type, at, by, user, patch}, where patch is the JSON merge patch (RFC 7396) from the room before to the room after. " +
			"The id of each is the room's sequence number; Last-Event-ID resumes after it without a gap, also on another node. " +
			"An event that is not for the reader has the type withheld and nothing more; a token says who reads. Counts and reactions come as " +
			"events presence, a few times a second at most and without an id, with the names of those on stage and in the queue who call " +
			"themselves otherwise since ({names: {user: name}}); so does move, {edges} as listEdges has them, which asks the " +
			"reader to go on at another node because this one is being emptied. Who does not read is cut after two seconds.",
		known: true, errors: []int{http.StatusServiceUnavailable},
	}, a.followRoom)
}

func (a *API) createRoom(ctx context.Context, in *createCall) (*createAnswer, error) {
	c, b := claimsOf(ctx), in.Body
	actor, err := Actor(c, "") // a token of one room is not good for making others
	if err != nil {
		return nil, err
	}
	if a.cfg.Creator != CreatorEveryone && !c.Create {
		return nil, errCreator
	}
	id, s, err := a.cfg.Control.Create(ctx, actor, room.Create{
		Title: b.Title, Description: b.Description, Rules: b.Rules, Mode: b.Mode, Tags: b.Tags, Language: b.Language,
		StartsAt: b.StartsAt, Askers: b.Askers, Policy: b.Policy.edit(), Node: a.cfg.Self.ID, Fence: slices.Sorted(slices.Values(b.Regions)), Hitless: b.Hitless,
	})
	if err != nil {
		return nil, err
	}
	return &createAnswer{Location: "/v1/rooms/" + string(id), ETag: etag(s.Seq), Body: a.roomBody(s, readerOf(c, s))}, nil
}

func (a *API) getRoom(ctx context.Context, in *getCall) (*getAnswer, error) {
	s, err := a.cfg.Control.Get(ctx, rotunda.RoomID(in.Room))
	if err != nil {
		return nil, err
	}
	c, _ := ctx.Value(claimsKey{}).(token.Claims)
	reader := readerOf(c, s)
	if in.IfNoneMatch == etag(s.Seq) && !personal(s, reader) {
		return &getAnswer{Status: http.StatusNotModified, ETag: etag(s.Seq), Vary: "Authorization"}, nil
	}
	return &getAnswer{Status: http.StatusOK, ETag: etag(s.Seq), Vary: "Authorization", Body: a.roomBody(s, reader)}, nil
}

func (a *API) followRoom(ctx context.Context, in *eventsCall) (*huma.StreamResponse, error) {
	claims, _ := ctx.Value(claimsKey{}).(token.Claims)
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		if err := a.stream(w, r, rotunda.RoomID(in.Room), claims); err != nil {
			a.refuse(w, r, err)
		}
	}}, nil
}

func (a *API) listRooms(_ context.Context, in *listCall) (*listAnswer, error) {
	rooms := slices.DeleteFunc(a.cfg.Control.Rooms(), func(s room.Summary) bool {
		return in.State != "" && s.State != in.State || in.Tag != "" && !slices.Contains(s.Tags, strings.ToLower(in.Tag))
	})
	where := func(s room.Summary) place { return place{lobbyRank(in.State, s), string(s.ID)} }
	slices.SortFunc(rooms, func(x, y room.Summary) int { return where(x).compare(where(y)) })
	some, next, err := page(rooms, where, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	for i := range some {
		some[i].Tags = append([]string{}, some[i].Tags...) // [] and not null
	}
	out := &listAnswer{Body: listBody{Rooms: append([]room.Summary{}, some...), NextCursor: next}}
	if next != "" {
		out.Link = nextLink("/v1/rooms", map[string]string{"state": string(in.State), "tag": in.Tag}, in.Limit, next)
	}
	return out, nil
}

// lobbyRank orders the lobby: the soonest first among scheduled rooms, else the newest first.
func lobbyRank(state room.Phase, s room.Summary) int64 {
	if state == room.Scheduled && s.StartsAt != nil {
		return s.StartsAt.UnixMilli()
	}
	return -startOf(s).UnixMilli()
}

func startOf(s room.Summary) time.Time {
	if s.StartedAt != nil {
		return *s.StartedAt
	}
	return s.CreatedAt
}
