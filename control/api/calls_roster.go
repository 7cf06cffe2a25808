package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"rotunda"
	"rotunda/control/room"
	"rotunda/control/token"
)

type (
	rosterCall struct {
		Room   string       `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Role   rotunda.Role `query:"role" enum:"host,cohost,speaker,listener" example:"speaker" doc:"Only people of this role."`
		Query  string       `query:"q" maxLength:"256" example:"ada" doc:"Only people whose name or bio holds this, in any case."`
		Limit  int          `query:"limit" minimum:"1" maximum:"100" default:"50" example:"50" doc:"How many at most."`
		Cursor string       `query:"cursor" maxLength:"128" doc:"nextCursor of the page before."`
	}
	rosterEntry struct {
		User   rotunda.UserID `json:"user" example:"g_7h2k9m4p" doc:"The person's user id."`
		Name   string         `json:"name" example:"Ada" doc:"What others see."`
		Role   rotunda.Role   `json:"role" enum:"host,cohost,speaker,listener" example:"speaker" doc:"What the person is in the room."`
		Muted  bool           `json:"muted" example:"true" doc:"Whether no microphone is open."`
		SSRC   rotunda.SSRC   `json:"ssrc,omitempty" example:"2771984017" doc:"Of somebody on stage: under which CSRC they are heard (RFC 3550)."`
		Live   bool           `json:"live" example:"true" doc:"Whether a microphone is connected."`
		Node   rotunda.NodeID `json:"node,omitempty" example:"us-east-1" doc:"Of somebody on stage: where the microphone is or was connected; not there: nowhere yet."`
		Since  time.Time      `json:"since,omitzero" example:"2026-11-23T12:00:00Z" doc:"On stage since."`
		Bio    string         `json:"bio,omitempty" example:"Walks along shores." doc:"A line about themselves."`
		Avatar string         `json:"avatar,omitempty" format:"uri-reference" example:"/v1/avatars/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" doc:"Their picture, on any node; not there: none."`
	}
	rosterBody struct {
		Participants []rosterEntry `json:"participants" nullable:"false" doc:"The people of this page, by user id."`
		NextCursor   string        `json:"nextCursor,omitempty" doc:"Where the next page starts; not there on the last."`
		Complete     bool          `json:"complete" example:"true" doc:"Whether every node has said in time who listens there; if not, some may be missing."`
	}
	rosterAnswer struct {
		Link string `header:"Link" doc:"The next page, rel=\"next\" (RFC 8288)."`
		Vary string `header:"Vary" example:"Authorization"`
		Body rosterBody
	}
)

func (a *API) registerRoster(tag string) {
	register(a, operation{
		id: "listParticipants", method: http.MethodGet, path: "/v1/rooms/{room}/participants", tag: tag, summary: "List who is in a room",
		about: "Those on stage and, for somebody who may come in, everybody who listens on any node and does not hide. Without a token: those on " +
			"stage. A page may be shorter than the limit without being the last, and listeners as of a second ago.",
		known: true, errors: []int{http.StatusServiceUnavailable},
	}, a.listParticipants)
}

func (a *API) listParticipants(ctx context.Context, in *rosterCall) (*rosterAnswer, error) {
	s, err := a.cfg.Control.Get(ctx, rotunda.RoomID(in.Room))
	if err != nil {
		return nil, err
	}
	after, begun, err := parseCursor(in.Cursor)
	if err == nil && begun && rotunda.UserID(after.id).Valid() != nil {
		err = errCursor
	}
	if err != nil {
		return nil, err
	}
	var people []rosterEntry
	if in.Role != rotunda.Listener {
		people = a.onStage(s, in)
	}
	below := RosterPage{Complete: true}
	if in.Role == rotunda.Listener || in.Role == rotunda.NoRole && ctx.Value(claimsKey{}) != nil {
		if below, err = a.listeners(ctx, s, RosterQuery{After: rotunda.UserID(after.id), Search: in.Query, Limit: in.Limit}); err != nil {
			return nil, err
		}
	}
	known := len(below.People)
	for _, p := range below.People {
		said, _ := a.cfg.People.Profile(p.User)
		if !s.Role(p.User).OnStage() && !said.Hidden {
			one := personOf(p.User, said)
			people = append(people, rosterEntry{
				User: p.User, Name: cmp.Or(one.Name, p.Name), Role: rotunda.Listener, Muted: true, Bio: one.Bio, Avatar: one.Avatar,
			})
		}
	}
	slices.SortFunc(people, func(p, q rosterEntry) int { return cmp.Compare(p.User, q.User) })
	end := ""
	if below.More && known > 0 { // beyond nothing is known of listeners
		end = string(below.People[known-1].User)
		people = slices.DeleteFunc(people, func(p rosterEntry) bool { return string(p.User) > end })
	}
	some, next, err := page(people, func(p rosterEntry) place { return place{0, string(p.User)} }, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	if next == "" && end != "" {
		next = place{0, end}.cursor()
	}
	out := &rosterAnswer{Vary: "Authorization", Body: rosterBody{Participants: append([]rosterEntry{}, some...), NextCursor: next, Complete: below.Complete}}
	if next != "" {
		out.Link = nextLink("/v1/rooms/"+in.Room+"/participants", map[string]string{"role": string(in.Role), "q": in.Query}, in.Limit, next)
	}
	return out, nil
}

// onStage lists those on stage who are asked for.
func (a *API) onStage(s *room.State, in *rosterCall) []rosterEntry {
	var people []rosterEntry
	for _, p := range s.Stage() {
		said, _ := a.cfg.People.Profile(p.User)
		if in.Role != rotunda.NoRole && p.Role != in.Role || !strings.Contains(strings.ToLower(p.Name+"\n"+said.Bio), strings.ToLower(in.Query)) {
			continue
		}
		people = append(people, rosterEntry{
			User: p.User, Name: p.Name, Role: p.Role, Muted: p.Muted, SSRC: p.SSRC, Live: p.Live, Node: p.Node, Since: p.Since,
			Bio: said.Bio, Avatar: personOf(p.User, said).Avatar,
		})
	}
	return people
}

// listeners asks the mesh for a page of those who are not on stage, for somebody who may be among them. Errors: ErrNoToken,
// token.ErrWrongRoom, those of room.State.Admitted, errTooMany.
func (a *API) listeners(ctx context.Context, s *room.State, q RosterQuery) (RosterPage, error) {
	c, ok := ctx.Value(claimsKey{}).(token.Claims)
	if !ok {
		return RosterPage{}, ErrNoToken
	}
	if err := c.For(s.ID); err != nil {
		return RosterPage{}, err
	}
	if a.cfg.Presence == nil || s.Phase != room.Live {
		return RosterPage{Complete: true}, nil
	}
	if a.cfg.Control.Barred(s.Host, c.User) {
		return RosterPage{}, room.ErrBanned
	}
	if err := s.Admitted(c.User, a.cfg.Presence.Since(s.ID, c.User)); err != nil {
		return RosterPage{}, err
	}
	if err := allow(a.limits.rosters, a.cfg.Now(), "user "+string(c.User)); err != nil {
		return RosterPage{}, err
	}
	return a.cfg.Presence.Roster(ctx, s.ID, q)
}
