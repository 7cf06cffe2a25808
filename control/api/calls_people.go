package api

import (
	"net/http"

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
	reasonCall struct {
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
)

func (a *API) registerPeople() {
	a.registerRequests()
	const tag, one = "People", "/v1/rooms/{room}/participants/{user}"
	a.registerRoster(tag)
	a.registerRewind("Rooms")
	command(a, operation{
		id: "setRole", method: http.MethodPut, path: one + "/role", tag: tag, summary: "Give somebody another role",
		about: "Host and co-hosts, to roles below their own; the host may hand the room over. Oneself to listener is stepping down.",
	}, func(in *roleCall) (string, room.Command) {
		return in.Room, room.SetRole{User: in.User, Role: in.Body.Role}
	})
	command(a, operation{
		id: "mute", method: http.MethodPost, path: one + "/mute", tag: tag, summary: "Mute somebody",
		about: "Oneself, or as host or co-host somebody of a lower role.", operator: true,
	}, func(in *reasonCall) (string, room.Command) {
		return in.Room, room.Mute{User: in.User, Reason: in.Body.text()}
	})
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
	}, func(in *reasonCall) (string, room.Command) {
		return in.Room, room.Deny{User: in.User, Reason: in.Body.text()}
	})
}
