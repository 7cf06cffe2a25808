package room

import (
	"cmp"
	"fmt"
	"time"
)

// Mode is a preset of a room's policy.
type Mode string

// The modes.
const (
	Discussion Mode = "discussion" // everybody may ask
	Questions  Mode = "qa"         // everybody may ask; whoever connects a microphone is muted
	Lecture    Mode = "lecture"    // the queue is closed; whoever connects a microphone is muted
	Rotating   Mode = "rotation"   // everybody may ask, and gets a turn; one open microphone at a time
)

// Policy is what the host allows.
type Policy struct {
	SpeakersMax int    `json:"speakersMax" doc:"How many people may be on stage, the host included." example:"20"` // 1 to StageMax
	CohostsMax  int    `json:"cohostsMax" doc:"How many co-hosts there may be." example:"4"`                       // 0 to StageMax
	Requests    Asking `json:"requests" doc:"Who may ask to speak." example:"everyone"`
	FloorLock   bool   `json:"floorLock" doc:"Whether only one microphone may be open at a time." example:"false"`
	// MuteOnEntry: a new microphone session is muted, also of somebody who had unmuted an earlier one, unless it takes that
	// one's place while it lasts: who changes over to another node goes on as they were. Whoever comes on
	// stage is muted in any case.
	MuteOnEntry bool     `json:"muteOnEntry" doc:"Whether a microphone is muted when it comes into the room; one that moves to another node while it is open stays open." example:"false"`
	Reactions   Reacting `json:"reactions" doc:"Who may react." example:"everyone"`
	WarningsMax int      `json:"warningsMax" doc:"With this warning the sanction follows; 0: never." example:"3"` // 0 to warningsMax
	Sanction    Sanction `json:"sanction" doc:"What follows too many warnings." example:"remove"`
	Turn        Seconds  `json:"turnSeconds" doc:"How long a turn lasts in rotation, in seconds." example:"120"`                                     // turnMin to turnMax
	HostHold    Seconds  `json:"hostHoldSeconds" doc:"How long the host may be away before the role passes on, in seconds." example:"30"`            // 5 s to 1 h
	HoldMax     Seconds  `json:"holdMaxSeconds" doc:"How long the room waits with nobody on stage who could be host, in seconds." example:"300"`     // 10 s to 24 h
	ReturnMax   Seconds  `json:"returnMaxSeconds" doc:"Until when a host who was away gets the room back on coming back, in seconds." example:"600"` // 0 to 24 h
}

// Asking says who may ask to speak.
type Asking string

// The values of Policy.Requests.
const (
	Everyone Asking = "everyone"
	Listed   Asking = "list"    // the people in Details.Askers
	Invited  Asking = "invited" // whoever has been invited, whatever they said to it
	Closed   Asking = "closed"
)

// Reacting says who may react.
type Reacting string

// The values of Policy.Reactions.
const (
	ReactAll    Reacting = "everyone"
	ReactStage  Reacting = "stage" // people on stage
	ReactNobody Reacting = "nobody"
)

// Sanction is what follows too many warnings.
type Sanction string

// The values of Policy.Sanction.
const (
	SanctionMute   Sanction = "mute" // somebody who is not on stage is removed
	SanctionRemove Sanction = "remove"
	SanctionBan    Sanction = "ban"
)

// Seconds is a time span as policies and events have it.
type Seconds int64

// Duration returns s as the standard library has it.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// PolicyEdit changes a policy; nil fields stay as they are.
type PolicyEdit struct {
	SpeakersMax *int
	CohostsMax  *int
	Requests    *Asking
	FloorLock   *bool
	MuteOnEntry *bool
	Reactions   *Reacting
	WarningsMax *int
	Sanction    *Sanction
	Turn        *Seconds
	HostHold    *Seconds
	HoldMax     *Seconds
	ReturnMax   *Seconds
}

func (p Policy) with(e PolicyEdit) Policy {
	set(&p.SpeakersMax, e.SpeakersMax)
	set(&p.CohostsMax, e.CohostsMax)
	set(&p.Requests, e.Requests)
	set(&p.FloorLock, e.FloorLock)
	set(&p.MuteOnEntry, e.MuteOnEntry)
	set(&p.Reactions, e.Reactions)
	set(&p.WarningsMax, e.WarningsMax)
	set(&p.Sanction, e.Sanction)
	set(&p.Turn, e.Turn)
	set(&p.HostHold, e.HostHold)
	set(&p.HoldMax, e.HoldMax)
	set(&p.ReturnMax, e.ReturnMax)
	return p
}

// set is an assignment where there is something to assign.
func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (m Mode) known() bool { return m == Discussion || m == Questions || m == Lecture || m == Rotating }

// usual is the policy of a new room in mode m.
func (m Mode) usual() Policy {
	return m.preset(Policy{
		SpeakersMax: StageUsual, CohostsMax: 4, Reactions: ReactAll, WarningsMax: 3, Sanction: SanctionRemove, Turn: 120,
		HostHold: 30, HoldMax: 5 * 60, ReturnMax: 10 * 60,
	})
}

// preset is p with what the mode is about. Places and times stay as they are.
func (m Mode) preset(p Policy) Policy {
	p.Requests = Everyone
	if m == Lecture {
		p.Requests = Closed
	}
	p.FloorLock = m == Rotating
	p.MuteOnEntry = m == Lecture || m == Questions
	return p
}

// filled is p with the usual values where it has none that are possible: events of an older version lack what is new.
func (p Policy) filled() Policy {
	usual := Discussion.usual()
	p.SpeakersMax = cmp.Or(p.SpeakersMax, usual.SpeakersMax)
	p.Requests = cmp.Or(p.Requests, usual.Requests)
	p.Reactions = cmp.Or(p.Reactions, usual.Reactions)
	p.Sanction = cmp.Or(p.Sanction, usual.Sanction)
	p.Turn = cmp.Or(p.Turn, usual.Turn)
	p.HostHold = cmp.Or(p.HostHold, usual.HostHold)
	p.HoldMax = cmp.Or(p.HoldMax, usual.HoldMax)
	return p
}

// check returns the first thing that is wrong with p.
func (p Policy) check() error {
	for _, n := range []struct {
		field           string
		value, min, max int64
	}{
		{"speakersMax", int64(p.SpeakersMax), 1, StageMax},
		{"cohostsMax", int64(p.CohostsMax), 0, StageMax},
		{"warningsMax", int64(p.WarningsMax), 0, warningsMax},
		{"turnSeconds", int64(p.Turn), int64(turnMin), int64(turnMax)},
		{"hostHoldSeconds", int64(p.HostHold), 5, 3600},
		{"holdMaxSeconds", int64(p.HoldMax), 10, 24 * 3600},
		{"returnMaxSeconds", int64(p.ReturnMax), 0, 24 * 3600},
	} {
		if n.value < n.min || n.value > n.max {
			return fmt.Errorf("policy.%s: %w: %d to %d", n.field, ErrInvalid, n.min, n.max)
		}
	}
	switch p.Requests {
	case Everyone, Listed, Invited, Closed:
	default:
		return fmt.Errorf("policy.requests: %w: everyone, list, invited or closed", ErrInvalid)
	}
	switch p.Reactions {
	case ReactAll, ReactStage, ReactNobody:
	default:
		return fmt.Errorf("policy.reactions: %w: everyone, stage or nobody", ErrInvalid)
	}
	switch p.Sanction {
	case SanctionMute, SanctionRemove, SanctionBan:
	default:
		return fmt.Errorf("policy.sanction: %w: mute, remove or ban", ErrInvalid)
	}
	return nil
}
