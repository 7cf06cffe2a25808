package api

import (
	"context"
	"net/http"
	"strings"

	"rotunda"
	"rotunda/control/room"
	"rotunda/control/token"
)

// Authenticate returns what the request's bearer token says (RFC 6750 §2.1), with the name that the person has chosen
// since. Errors wrap ErrNoToken, token.ErrInvalid, token.ErrExpired, people.ErrRevoked, people.ErrBanned, or
// people.ErrUnavailable while this node has not read yet whom to refuse.
func (a *API) Authenticate(r *http.Request) (token.Claims, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return token.Claims{}, ErrNoToken
	}
	scheme, raw, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return token.Claims{}, ErrNoToken
	}
	c, err := a.keys.Load().keyring.Check(a.cfg.Now(), raw)
	if err != nil {
		return token.Claims{}, err
	}
	if err := a.cfg.People.Refused(c); err != nil {
		return token.Claims{}, err
	}
	if p, ok := a.cfg.People.Profile(c.User); ok && p.Name != "" {
		c.Name = p.Name
	}
	return c, nil
}

// Actor is the person of a token, as one who acts in room. The error wraps token.ErrWrongRoom. An operator's token makes
// nobody more than they are in the room: see operatorActor.
func Actor(c token.Claims, id rotunda.RoomID) (room.Actor, error) {
	if err := c.For(id); err != nil {
		return room.Actor{}, err
	}
	return room.Actor{User: c.User, Name: c.Name, Role: c.Role, Grant: c.Room != "" && c.Role.OnStage()}, nil
}

// actor is the person of a token in a room, which it returns as this node knows it. Errors: token.ErrWrongRoom, those of
// Control.Get.
func (a *API) actor(ctx context.Context, c token.Claims, id rotunda.RoomID) (room.Actor, *room.State, error) {
	who, err := Actor(c, id)
	if err != nil {
		return who, nil, err
	}
	s, err := a.cfg.Control.Get(ctx, id)
	if err != nil {
		return who, nil, err
	}
	who.Barred = a.cfg.Control.Barred(s.Host, c.User)
	return who, s, nil
}

// readerOf is as whom the holder of a token reads the room: themselves, or nobody in particular where the token is for
// another room, or for less than they are in this one. A token's role is a maximum for reading too.
func readerOf(c token.Claims, s *room.State) rotunda.UserID {
	chair := rotunda.Cohost.Rank()
	if c.For(s.ID) != nil || c.Role != rotunda.NoRole && c.Role.Rank() < chair && s.Role(c.User).Rank() >= chair {
		return ""
	}
	return c.User
}

// operatorActor is an operator as one who acts in a room: the mesh itself. Only the few commands that an operator has use it
// (operation.operator), and all of them restrict or end.
func operatorActor() room.Actor { return room.Actor{System: true} }
