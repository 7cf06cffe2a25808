package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"rotunda"
	"rotunda/control/room"
)

// Inputs of the calls about people. The schema of the user id is that of rotunda.UserID.
type (
	personCall struct {
		Room string         `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		User rotunda.UserID `path:"user" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]+$" example:"g_7h2k9m4p" doc:"The person's user id."`
	}
	requestBody struct {
		Note string `json:"note,omitempty" maxLength:"1120" example:"About the second point." doc:"What it is about, at most 280 characters."`
	}
	requestCall struct {
		Room string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Body *requestBody
	}
	denyCall struct {
		Room string         `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		User rotunda.UserID `path:"user" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]+$" example:"g_7h2k9m4p" doc:"The person's user id."`
		Body *reasonBody
	}
	roleBody struct {
		Role rotunda.Role `json:"role" enum:"host,cohost,speaker,listener" example:"cohost" doc:"host hands the room over; listener is off the stage."`
	}
	roleCall struct {
		Room string         `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		User rotunda.UserID `path:"user" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]+$" example:"g_7h2k9m4p" doc:"The person's user id."`
		Body roleBody
	}
	removeBody struct {
		Ban        bool   `json:"ban,omitempty" example:"true" doc:"Whether the person is refused everything in this room from now on."`
		Everywhere bool   `json:"everywhere,omitempty" example:"false" doc:"Whether the ban is for all rooms of this host; the host only."`
		Reason     string `json:"reason,omitempty" maxLength:"1120" example:"Shouting." doc:"At most 280 characters; it stands in the room's record."`
	}
	removeCall struct {
		Room string         `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		User rotunda.UserID `path:"user" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]+$" example:"g_7h2k9m4p" doc:"The person's user id."`
		Body *removeBody
	}
	warnBody struct {
		Reason string `json:"reason" minLength:"1" maxLength:"1120" example:"Let others finish." doc:"1 to 280 characters."`
		Public bool   `json:"public,omitempty" example:"false" doc:"Whether everybody in the room is told."`
	}
	warnCall struct {
		Room string         `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		User rotunda.UserID `path:"user" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]+$" example:"g_7h2k9m4p" doc:"The person's user id."`
		Body warnBody
	}
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
		Role   rotunda.Role   `json:"role" enum:"host,cohost,speaker" example:"speaker" doc:"What the person is in the room."`
		Muted  bool           `json:"muted" example:"true" doc:"Whether the microphone is shut."`
		SSRC   rotunda.SSRC   `json:"ssrc" example:"2771984017" doc:"Under which CSRC the person is heard (RFC 3550)."`
		Live   bool           `json:"live" example:"true" doc:"Whether a microphone is connected."`
		Node   rotunda.NodeID `json:"node" example:"us-east-1" doc:"Where the microphone is or was connected; empty: nowhere yet."`
		Since  time.Time      `json:"since" example:"2026-11-23T12:00:00Z" doc:"On stage since."`
		Bio    string         `json:"bio,omitempty" example:"Walks along shores." doc:"A line about themselves."`
		Avatar string         `json:"avatar,omitempty" format:"uri-reference" example:"/v1/avatars/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" doc:"Their picture, on any node; not there: none."`
	}
	rosterBody struct {
		Participants []rosterEntry `json:"participants" nullable:"false" doc:"The people of this page, by user id."`
		NextCursor   string        `json:"nextCursor,omitempty" doc:"Where the next page starts; not there on the last."`
	}
	rosterAnswer struct {
		Link string `header:"Link" doc:"The next page, rel=\"next\" (RFC 8288)."`
		Body rosterBody
	}
)

func (a *API) registerPeople() {
	a.registerRequests()
	const tag, one = "People", "/v1/rooms/{room}/participants/{user}"
	register(a, operation{
		id: "listParticipants", method: http.MethodGet, path: "/v1/rooms/{room}/participants", tag: tag, summary: "List who is on stage",
		errors: []int{http.StatusServiceUnavailable},
	}, a.listParticipants)
	command(a, operation{
		id: "setRole", method: http.MethodPut, path: one + "/role", tag: tag, summary: "Give somebody another role",
		about: "Host and co-hosts, to roles below their own; the host may hand the room over. Oneself to listener is stepping down.",
	}, func(in *roleCall) (string, room.Command) {
		return in.Room, room.SetRole{User: in.User, Role: in.Body.Role}
	})
	command(a, operation{
		id: "mute", method: http.MethodPost, path: one + "/mute", tag: tag, summary: "Mute somebody",
		about: "Oneself, or as host or co-host somebody of a lower role.", operator: true,
	}, func(in *personCall) (string, room.Command) { return in.Room, room.Mute{User: in.User} })
	command(a, operation{
		id: "unmute", method: http.MethodDelete, path: one + "/mute", tag: tag, summary: "Unmute oneself",
		about: "Nobody can open another's microphone.",
	}, func(in *personCall) (string, room.Command) { return in.Room, room.Unmute{User: in.User} })
	command(a, operation{
		id: "remove", method: http.MethodDelete, path: one, tag: tag, summary: "Remove or ban somebody",
		about: "Ends their sessions and takes their role and request away. Host and co-hosts, of a lower role; the operator, of any.", operator: true,
	}, func(in *removeCall) (string, room.Command) {
		c := room.Remove{User: in.User}
		if in.Body != nil {
			c.Ban, c.Everywhere, c.Reason = in.Body.Ban, in.Body.Everywhere, in.Body.Reason
		}
		return in.Room, c
	})
	command(a, operation{
		id: "warn", method: http.MethodPost, path: one + "/warn", tag: tag, summary: "Warn somebody",
		about: "So that they, the host and co-hosts know, or everybody. With the policy's last warning its sanction follows. Host and co-hosts, " +
			"of a lower role.", operator: true,
	}, func(in *warnCall) (string, room.Command) {
		return in.Room, room.Warn{User: in.User, Reason: in.Body.Reason, Public: in.Body.Public}
	})
	command(a, operation{
		id: "unban", method: http.MethodDelete, path: "/v1/rooms/{room}/bans/{user}", tag: tag, summary: "Let somebody in again",
		about: "Host and co-hosts.", operator: true,
	}, func(in *personCall) (string, room.Command) { return in.Room, room.Unban{User: in.User} })
}

func (a *API) registerRequests() {
	const tag, all, one = "Requests to speak", "/v1/rooms/{room}/requests", "/v1/rooms/{room}/requests/{user}"
	command(a, operation{
		id: "request", method: http.MethodPost, path: all, tag: tag, summary: "Ask to speak",
		about: "Asking again changes nothing.",
	}, func(in *requestCall) (string, room.Command) {
		c := room.Request{}
		if in.Body != nil {
			c.Note = in.Body.Note
		}
		return in.Room, c
	})
	command(a, operation{
		id: "withdraw", method: http.MethodDelete, path: all, tag: tag, summary: "Take one's request back",
	}, func(in *roomCall) (string, room.Command) { return in.Room, room.Withdraw{} })
	command(a, operation{
		id: "approve", method: http.MethodPost, path: one + "/approve", tag: tag, summary: "Bring somebody on stage",
		about: "Somebody who asked; they arrive muted. Host and co-hosts.",
	}, func(in *personCall) (string, room.Command) { return in.Room, room.Approve{User: in.User} })
	command(a, operation{
		id: "deny", method: http.MethodPost, path: one + "/deny", tag: tag, summary: "Turn a request down",
		about: "Host and co-hosts.",
	}, func(in *denyCall) (string, room.Command) {
		return in.Room, room.Deny{User: in.User, Reason: in.Body.text()}
	})
}

func (a *API) listParticipants(ctx context.Context, in *rosterCall) (*rosterAnswer, error) {
	s, err := a.cfg.Control.Get(ctx, rotunda.RoomID(in.Room))
	if err != nil {
		return nil, err
	}
	people := []rosterEntry{}
	for _, p := range s.Stage() {
		said, _ := a.cfg.People.Profile(p.User)
		if in.Role != "" && p.Role != in.Role || !strings.Contains(strings.ToLower(p.Name+"\n"+said.Bio), strings.ToLower(in.Query)) {
			continue
		}
		people = append(people, rosterEntry{
			User: p.User, Name: p.Name, Role: p.Role, Muted: p.Muted, SSRC: p.SSRC, Live: p.Live, Node: p.Node, Since: p.Since,
			Bio: said.Bio, Avatar: personOf(p.User, said).Avatar,
		})
	}
	some, next, err := page(people, func(p rosterEntry) place { return place{0, string(p.User)} }, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &rosterAnswer{Body: rosterBody{Participants: some, NextCursor: next}}
	if next != "" {
		out.Link = nextLink("/v1/rooms/"+in.Room+"/participants", map[string]string{"role": string(in.Role), "q": in.Query}, in.Limit, next)
	}
	return out, nil
}
