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
	Queue        Wait                               `json:"queue" doc:"How many wait for the stage, and how long that takes."`

	RulesVersion uint64                            `json:"rulesVersion" doc:"Counts the changes of the rules." example:"1"`
	Askers       []rotunda.UserID                  `json:"askers" nullable:"false" doc:"Who may ask to speak where policy.requests is list."`
	Locked       bool                              `json:"locked" doc:"Whether nobody new is let in." example:"false"`
	Floor        rotunda.UserID                    `json:"floor" doc:"Who has the one open microphone, where only one may be open." example:""`
	HeldUntil    *time.Time                        `json:"heldUntil" doc:"When the room ends unless somebody comes who can be its host."`
	Refreshed    *ViewRefresh                      `json:"refreshed,omitempty" doc:"When the host told everybody anew what the room is about."`
	Rotation     *ViewRotation                     `json:"rotation,omitempty" doc:"How people take turns, where they do."`
	SpeakerLink  *ViewLink                         `json:"speakerLink,omitempty" doc:"The link for speakers, where there is one. Its key is known to whoever made it."`
	Invitations  map[rotunda.UserID]ViewInvitation `json:"invitations" doc:"Who is invited to the stage and has not answered, by user id."`
	Pins         map[PinID]ViewPin                 `json:"pins" doc:"The links that the room shows, by id."`
	Warnings     map[rotunda.UserID]ViewWarning    `json:"warnings" doc:"Who was warned, by user id: before everybody, or for the reader's eyes."`
	History      []Revision                        `json:"history" nullable:"false" doc:"The latest changes of what the room says of itself, the oldest first."`
	Talk         map[rotunda.UserID]ViewTalk       `json:"talk" doc:"Who has had how much of the time, by user id: the hundred who spoke most."`
	Regions      []rotunda.Region                  `json:"regions,omitempty" nullable:"false" doc:"The only regions that the room's audio and content are in; not there: it may be anywhere." example:"[\"eu-west\"]"`
	Hitless      Hitless                           `json:"hitless,omitempty" enum:"program,off" doc:"By how many ways the sound travels between nodes: program, two; off, one; not there: as each node is configured." example:"off"`
	SpokeSeconds Seconds                           `json:"spokeSeconds" doc:"How long people were heard talking, all together, in seconds." example:"1520"`
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

	Away *time.Time `json:"away" doc:"Nowhere connected since."`
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

// ViewRefresh is the latest time that a room told everybody anew what it is about.
type ViewRefresh struct {
	At     time.Time      `json:"at" doc:"When." example:"2026-11-23T12:20:00Z"`
	By     rotunda.UserID `json:"by" doc:"Who did." example:"g_7h2k9m4p"`
	Joined int            `json:"joined" doc:"How many had come since the time before." example:"12"`
}

// ViewRotation is a rotation and its present turn.
type ViewRotation struct {
	TurnSeconds Seconds        `json:"turnSeconds" doc:"How long a turn lasts, in seconds." example:"120"`
	WarnSeconds Seconds        `json:"warnSeconds" doc:"How long before its end the speaker is warned, in seconds." example:"10"`
	User        rotunda.UserID `json:"user" doc:"Who has a turn; empty: nobody." example:"g_7h2k9m4p"`
	Began       *time.Time     `json:"began" doc:"When the turn began."`
	Until       *time.Time     `json:"until" doc:"When the turn ends."`
	Warned      bool           `json:"warned" doc:"Whether the turn is nearly over." example:"false"`
}

// ViewLink is the link by which people come to the stage.
type ViewLink struct {
	By rotunda.UserID `json:"by" doc:"Who made it, and invites by it." example:"g_7h2k9m4p"`
	At time.Time      `json:"at" doc:"When." example:"2026-11-23T12:02:00Z"`
}

// ViewInvitation is an invitation that waits for an answer.
type ViewInvitation struct {
	By rotunda.UserID `json:"by" doc:"Who invited." example:"g_7h2k9m4p"`
	At time.Time      `json:"at" doc:"When." example:"2026-11-23T12:03:00Z"`
}

// ViewPin is a link that the room shows or, where the reader may know, that waits for approval.
type ViewPin struct {
	URL      string         `json:"url" doc:"An http or https link." example:"https://example.org/tides"`
	Note     string         `json:"note" doc:"What it is." example:"The tide table."`
	User     rotunda.UserID `json:"user" doc:"Who proposed it." example:"g_7h2k9m4p"`
	Name     string         `json:"name" doc:"What others see of them." example:"Ada"`
	At       time.Time      `json:"at" doc:"When." example:"2026-11-23T12:09:00Z"`
	Approved bool           `json:"approved" doc:"Whether everybody sees it." example:"true"`
	Place    int            `json:"place" doc:"The lowest comes first." example:"1"`
}

// viewTalkMax is how many people's talk time a view has: those who spoke most.
const viewTalkMax = 100

// ViewTalk is how much of the room's time a person has had, whether on stage still or not.
type ViewTalk struct {
	SpokeSeconds Seconds `json:"spokeSeconds" doc:"How long the person was heard talking, in seconds." example:"310"`
	Turns        int     `json:"turns" doc:"How many turns the person has had." example:"2"`
	TurnSeconds  Seconds `json:"turnSeconds" doc:"How long those turns lasted that are over, in seconds." example:"240"`
}

// ViewWarning is what a person was warned of.
type ViewWarning struct {
	Count  int       `json:"count" doc:"How often, so far." example:"1"`
	At     time.Time `json:"at" doc:"The last time." example:"2026-11-23T12:11:00Z"`
	Reason string    `json:"reason" doc:"What for, the last time." example:"Let others finish."`
	Public bool      `json:"public" doc:"Whether everybody knows." example:"false"`
}

// View returns the room as everybody sees it, whoever they are. It shares nothing with the state.
func (s *State) View() View { return s.ViewFor("") }

// ViewFor returns the room as u sees it: with the warnings and proposed pins that are u's own or, for the host and
// co-hosts, everybody's. It shares nothing with the state.
func (s *State) ViewFor(u rotunda.UserID) View {
	v := View{
		ID: s.ID, Seq: s.Seq, State: s.Phase, Title: s.Details.Title, Description: s.Details.Description,
		Rules: s.Details.Rules, Mode: s.Details.Mode, Tags: append([]string{}, s.Details.Tags...), Language: s.Details.Language,
		StartsAt: unlessZero(s.Details.StartsAt), CreatedAt: s.CreatedAt, StartedAt: unlessZero(s.StartedAt),
		EndedAt: unlessZero(s.EndedAt), Host: s.Host, Home: s.Home, Epoch: s.Epoch, Policy: s.Details.Policy, Queue: s.Wait(),
		Participants: make(map[rotunda.UserID]ViewParticipant, len(s.stage)),
		Requests:     make(map[rotunda.UserID]ViewRequest, len(s.queue)),
		Removed:      make(map[rotunda.UserID]ViewRemoval, len(s.removed)),
		RulesVersion: s.RulesVersion, Askers: append([]rotunda.UserID{}, s.Details.Askers...), Locked: s.Locked(), Floor: s.Floor(),
		HeldUntil: unlessZero(s.HeldUntil()), Invitations: map[rotunda.UserID]ViewInvitation{},
		Pins: map[PinID]ViewPin{}, Warnings: map[rotunda.UserID]ViewWarning{}, Talk: map[rotunda.UserID]ViewTalk{}, History: append([]Revision{}, s.history...),
	}
	for u, p := range s.stage {
		v.Participants[u] = ViewParticipant{
			Name: p.Name, Role: p.Role, Muted: p.Muted, SSRC: p.SSRC, Live: p.Live, Node: p.Node, Since: p.Since, Away: unlessZero(p.Away),
		}
	}
	for u, r := range s.queue {
		v.Requests[u] = ViewRequest{Name: r.Name, At: r.At, Order: r.Order, Note: r.Note}
	}
	for u, r := range s.removed {
		v.Removed[u] = ViewRemoval{At: r.At, Ban: r.Ban}
	}
	for i, t := range s.Talk() {
		v.SpokeSeconds += seconds(t.Spoke)
		if i < viewTalkMax {
			v.Talk[t.User] = ViewTalk{SpokeSeconds: seconds(t.Spoke), Turns: t.Turns, TurnSeconds: seconds(t.Held)}
		}
	}
	s.viewMore(&v, u)
	return v
}

// viewMore adds what only some rooms have, and what u may know.
func (s *State) viewMore(v *View, u rotunda.UserID) {
	v.Regions, v.Hitless = append([]rotunda.Region(nil), s.Fence...), s.Hitless
	if r := s.Refreshed; !r.At.IsZero() {
		v.Refreshed = &ViewRefresh{At: r.At, By: r.By, Joined: r.Joined}
	}
	if r := s.Rotation; r.Turn > 0 {
		v.Rotation = &ViewRotation{
			TurnSeconds: r.Turn, WarnSeconds: r.Warn, User: r.User, Began: unlessZero(r.Began), Until: unlessZero(r.Until), Warned: r.Warned,
		}
	}
	if l := s.Link; l.Proof != "" {
		v.SpeakerLink = &ViewLink{By: l.By, At: l.At}
	}
	for who, i := range s.invited {
		if i.Open {
			v.Invitations[who] = ViewInvitation{By: i.By, At: i.At}
		}
	}
	chairs := u != "" && s.Role(u).Rank() >= rotunda.Cohost.Rank()
	for id, p := range s.pins {
		if p.Approved || chairs || u != "" && u == p.User {
			v.Pins[id] = ViewPin{URL: p.URL, Note: p.Note, User: p.User, Name: p.Name, At: p.At, Approved: p.Approved, Place: p.Place}
		}
	}
	for who, w := range s.warnings {
		if w.Public || chairs || u == who {
			v.Warnings[who] = ViewWarning{Count: w.Count, At: w.At, Reason: w.Reason, Public: w.Public}
		}
	}
}

func seconds(d time.Duration) Seconds { return Seconds(d / time.Second) }

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
	Standby   rotunda.NodeID `json:"standby,omitempty" doc:"The node that takes over when home is silent; absent: none." example:"lhr1"`
	Speakers  int            `json:"speakers"` // people on stage, the host included
	Locked    bool           `json:"locked" doc:"Whether nobody new is let in." example:"false"`
	// Regions are those that the room's audio and content stay in. Nodes elsewhere do not list it.
	Regions []rotunda.Region `json:"regions,omitempty" nullable:"false" doc:"The only regions that the room's audio and content are in; not there: it may be anywhere." example:"[\"eu-west\"]"`
	// Barred are the people whom this room's host has banned from all of their rooms. A node refuses them in every room of
	// that host (Actor.Barred).
	Barred []Bar `json:"barred,omitempty" nullable:"false" doc:"Who may enter no room of a host."`
}

// Summary returns the room as lists show it. It shares nothing with the state.
func (s *State) Summary() Summary {
	return Summary{
		ID: s.ID, Seq: s.Seq, State: s.Phase, Title: s.Details.Title, Mode: s.Details.Mode,
		Tags: append([]string{}, s.Details.Tags...), Language: s.Details.Language, StartsAt: unlessZero(s.Details.StartsAt),
		CreatedAt: s.CreatedAt, StartedAt: unlessZero(s.StartedAt), EndedAt: unlessZero(s.EndedAt), Host: s.Host,
		HostName: s.stage[s.Host].Name, Home: s.Home, Standby: s.Standby.Node, Speakers: len(s.stage), Locked: s.Locked(), Regions: slices.Clone(s.Fence), Barred: s.bars(),
	}
}

// Clone returns a copy that shares nothing with v.
func (v Summary) Clone() Summary {
	v.Tags, v.Barred, v.Regions = slices.Clone(v.Tags), slices.Clone(v.Barred), slices.Clone(v.Regions)
	return v
}
