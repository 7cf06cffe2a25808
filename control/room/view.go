package room

import (
	"slices"
	"time"

	"rotunda"
)

// View is a room as everybody sees it: the answer of GET /v1/rooms/{room} and the snapshot of the event feed. People are
// keyed by user id, so that changes travel as JSON merge patches (RFC 7396).
type View struct {
	ID           rotunda.RoomID                     `json:"id"`
	Seq          uint64                             `json:"seq"`
	State        Phase                              `json:"state"`
	Title        string                             `json:"title"`
	Description  string                             `json:"description"`
	Rules        string                             `json:"rules"`
	Mode         Mode                               `json:"mode"`
	Tags         []string                           `json:"tags"`
	Language     string                             `json:"language"`
	StartsAt     *time.Time                         `json:"startsAt"`
	CreatedAt    time.Time                          `json:"createdAt"`
	StartedAt    *time.Time                         `json:"startedAt"`
	EndedAt      *time.Time                         `json:"endedAt"`
	Host         rotunda.UserID                     `json:"host"`
	Home         rotunda.NodeID                     `json:"home"`
	Epoch        rotunda.Epoch                      `json:"epoch"`
	Participants map[rotunda.UserID]ViewParticipant `json:"participants"`
	Requests     map[rotunda.UserID]ViewRequest     `json:"requests"`
	Removed      map[rotunda.UserID]ViewRemoval     `json:"removed"`
	Policy       Policy                             `json:"policy"`
}

// ViewParticipant is a person with a role on stage.
type ViewParticipant struct {
	Name  string         `json:"name"`
	Role  rotunda.Role   `json:"role"`
	Muted bool           `json:"muted"`
	SSRC  rotunda.SSRC   `json:"ssrc"`
	Live  bool           `json:"live"` // has a mic session
	Node  rotunda.NodeID `json:"node"` // where; empty: never had one
	Since time.Time      `json:"since"`
}

// ViewRequest is a request to speak; the queue's order is that of Order.
type ViewRequest struct {
	Name  string    `json:"name"`
	At    time.Time `json:"at"`
	Order uint64    `json:"order"`
	Note  string    `json:"note"`
}

// ViewRemoval is a person who was taken out of the room.
type ViewRemoval struct {
	At  time.Time `json:"at"`
	Ban bool      `json:"ban"`
}

// View returns the room as everybody sees it. It shares nothing with the state.
func (s *State) View() View {
	v := View{
		ID: s.ID, Seq: s.Seq, State: s.Phase, Title: s.Details.Title, Description: s.Details.Description,
		Rules: s.Details.Rules, Mode: s.Details.Mode, Tags: append([]string{}, s.Details.Tags...), Language: s.Details.Language,
		StartsAt: unlessZero(s.Details.StartsAt), CreatedAt: s.CreatedAt, StartedAt: unlessZero(s.StartedAt),
		EndedAt: unlessZero(s.EndedAt), Host: s.Host, Home: s.Home, Epoch: s.Epoch, Policy: s.Details.Policy,
		Participants: make(map[rotunda.UserID]ViewParticipant, len(s.stage)),
		Requests:     make(map[rotunda.UserID]ViewRequest, len(s.queue)),
		Removed:      make(map[rotunda.UserID]ViewRemoval, len(s.removed)),
	}
	for u, p := range s.stage {
		v.Participants[u] = ViewParticipant{Name: p.Name, Role: p.Role, Muted: p.Muted, SSRC: p.SSRC, Live: p.Live, Node: p.Node, Since: p.Since}
	}
	for u, r := range s.queue {
		v.Requests[u] = ViewRequest{Name: r.Name, At: r.At, Order: r.Order, Note: r.Note}
	}
	for u, r := range s.removed {
		v.Removed[u] = ViewRemoval{At: r.At, Ban: r.Ban}
	}
	return v
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Summary is a room in a list of rooms: what the lobby shows and a node's directory keeps of every room of the mesh.
type Summary struct {
	ID        rotunda.RoomID `json:"id"`
	Seq       uint64         `json:"seq"`
	State     Phase          `json:"state"`
	Title     string         `json:"title"`
	Mode      Mode           `json:"mode"`
	Tags      []string       `json:"tags"`
	Language  string         `json:"language"`
	StartsAt  *time.Time     `json:"startsAt"`
	CreatedAt time.Time      `json:"createdAt"`
	StartedAt *time.Time     `json:"startedAt"`
	EndedAt   *time.Time     `json:"endedAt"`
	Host      rotunda.UserID `json:"host"`
	HostName  string         `json:"hostName"`
	Home      rotunda.NodeID `json:"home"`
	Speakers  int            `json:"speakers"` // people on stage, the host included
}

// Summary returns the room as lists show it. It shares nothing with the state.
func (s *State) Summary() Summary {
	return Summary{
		ID: s.ID, Seq: s.Seq, State: s.Phase, Title: s.Details.Title, Mode: s.Details.Mode,
		Tags: append([]string{}, s.Details.Tags...), Language: s.Details.Language, StartsAt: unlessZero(s.Details.StartsAt),
		CreatedAt: s.CreatedAt, StartedAt: unlessZero(s.StartedAt), EndedAt: unlessZero(s.EndedAt), Host: s.Host,
		HostName: s.stage[s.Host].Name, Home: s.Home, Speakers: len(s.stage),
	}
}

// Clone returns a copy that shares nothing with v.
func (v Summary) Clone() Summary {
	v.Tags = slices.Clone(v.Tags)
	return v
}
