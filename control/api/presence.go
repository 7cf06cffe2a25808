package api

import (
	"context"
	"encoding/json"
	"time"

	"rotunda"
)

// Presence is the ephemeral side of the rooms: who is there and what they show, summed up over the mesh. None of it is in
// the log. Its methods may be called concurrently.
type Presence interface {
	// Listeners is how many listen to the room in the whole mesh; ok is false where this node does not know.
	Listeners(id rotunda.RoomID) (n int, ok bool)
	// Joined is how many have come to the room since it was refreshed last, as far as this node knows.
	Joined(id rotunda.RoomID) int
	// Follow calls fn with the room's newest summary, one JSON object, at once where there is one and then whenever it has
	// changed, a few times a second at most, until ctx ends or fn fails; it returns that error. What fn has not taken yet
	// when a newer one comes is skipped. The bytes are not changed after.
	Follow(ctx context.Context, id rotunda.RoomID, fn func(summary json.RawMessage) error) error
	// React counts a reaction.
	React(id rotunda.RoomID, user rotunda.UserID, emoji string)
	// Since is from when somebody has been in the room on this node without a break; zero: is not here.
	Since(id rotunda.RoomID, user rotunda.UserID) time.Time
	// Roster is one page of the people who are in the room anywhere and may be named, but for those on stage. It may be a
	// second old. Errors are those of following the room.
	Roster(ctx context.Context, id rotunda.RoomID, q RosterQuery) (RosterPage, error)
	// Attend says that somebody follows the room's events at this node. leave, called once, says that they have stopped.
	Attend(id rotunda.RoomID, who Attendee) (leave func())
}

// Attendee is somebody who follows a room's events.
type Attendee struct {
	User   rotunda.UserID
	Name   string
	Avatar string // path of the picture; empty: none
}

// RosterQuery asks for those after After, at most Limit, whose name or words about themselves hold Search, in any case.
type RosterQuery struct {
	After  rotunda.UserID // empty: from the first
	Search string         // empty: everybody
	Limit  int            // the page may be shorter without being the last
}

// RosterPage is people by user id: all there are up to the last of them.
type RosterPage struct {
	People   []RosterPerson
	More     bool // there are others after the last
	Complete bool // every node has answered
}

// RosterPerson is somebody on it.
type RosterPerson struct {
	User rotunda.UserID
	Name string
}

// Reactions are the emoji that people may react with.
var Reactions = []string{"👏", "❤️", "😂", "😮", "👍", "👎", "🎉", "💯"}

// encodePresence is a summary as text/event-stream has it: without an id, so that it does not move the reader's place in
// the log (HTML standard §9.2.6).
func encodePresence(summary json.RawMessage) []byte {
	b := make([]byte, 0, len(summary)+32)
	b = append(b, "event: presence\ndata: "...)
	for _, c := range summary {
		if c != '\n' && c != '\r' { // JSON has them between tokens only
			b = append(b, c)
		}
	}
	return append(b, "\n\n"...)
}

// attendee is a person as Presence gets to know them.
func (a *API) attendee(user rotunda.UserID, name string) Attendee {
	p, _ := a.cfg.People.Profile(user)
	return Attendee{User: user, Name: name, Avatar: personOf(user, p).Avatar}
}
