package room

import (
	"encoding/json"
	"fmt"
	"time"

	"rotunda"
)

// snapshotVersion grows when an older reader would misunderstand what a newer writer keeps. New fields alone do not need
// it: whoever does not know them folds on without them, as with unknown events.
const snapshotVersion = 1

// snapshot is a State as Encode writes it. A field of State that is missing here fails the tests.
type snapshot struct {
	Version      int            `json:"version"`
	ID           rotunda.RoomID `json:"id"`
	Seq          uint64         `json:"seq"`
	Phase        Phase          `json:"phase,omitempty"`
	Details      Details        `json:"details"`
	CreatedAt    time.Time      `json:"createdAt,omitzero"`
	StartedAt    time.Time      `json:"startedAt,omitzero"`
	EndedAt      time.Time      `json:"endedAt,omitzero"`
	Host         rotunda.UserID `json:"host,omitempty"`
	Home         rotunda.NodeID `json:"home,omitempty"`
	Epoch        rotunda.Epoch  `json:"epoch,omitempty"`
	RulesVersion uint64         `json:"rulesVersion,omitempty"`
	LockedAt     time.Time      `json:"lockedAt,omitzero"`
	HostSince    time.Time      `json:"hostSince,omitzero"`
	HeldSince    time.Time      `json:"heldSince,omitzero"`
	Rotation     Rotation       `json:"rotation,omitzero"`
	Refreshed    Refreshed      `json:"refreshed,omitzero"`
	Link         SpeakerLink    `json:"link,omitzero"`

	Stage     map[rotunda.UserID]Participant   `json:"stage,omitempty"`
	Queue     map[rotunda.UserID]Ask           `json:"queue,omitempty"`
	Invited   map[rotunda.UserID]Invitation    `json:"invited,omitempty"`
	Removed   map[rotunda.UserID]Removal       `json:"removed,omitempty"`
	Spent     map[rotunda.UserID]rotunda.Role  `json:"spent,omitempty"`
	SpentAll  bool                             `json:"spentAll,omitempty"`
	Voices    map[rotunda.UserID]snapshotVoice `json:"voices,omitempty"`
	Warnings  map[rotunda.UserID]Warning       `json:"warnings,omitempty"`
	Pins      map[PinID]Pin                    `json:"pins,omitempty"`
	Reporters map[rotunda.UserID]int           `json:"reporters,omitempty"`

	Formers []snapshotFormer `json:"formers,omitempty"`
	History []Revision       `json:"history,omitempty"`
	Adopted []string         `json:"adopted,omitempty"`

	Asked      uint64        `json:"asked,omitempty"`
	Pinned     uint64        `json:"pinned,omitempty"`
	Reports    int           `json:"reports,omitempty"`
	EpochFloor rotunda.Epoch `json:"epochFloor,omitempty"`
	SpokeAt    time.Time     `json:"spokeAt,omitzero"`
	Standby    Standby       `json:"standby,omitzero"`
	Given      rotunda.Epoch `json:"given,omitempty"` // not there: Epoch was the highest
	Fence      rotunda.Fence `json:"fence,omitempty"`
	Hitless    Hitless       `json:"hitless,omitempty"`
	Pace       pace          `json:"pace,omitzero"`
}

type snapshotVoice struct {
	SSRC  rotunda.SSRC  `json:"ssrc"`
	Epoch rotunda.Epoch `json:"epoch,omitempty"`
	Left  uint64        `json:"left,omitempty"`
	Spoke time.Duration `json:"spoke,omitempty"`
	Turns int           `json:"turns,omitempty"`
	Held  time.Duration `json:"held,omitempty"`
}

type snapshotFormer struct {
	User  rotunda.UserID `json:"user"`
	Until time.Time      `json:"until"`
}

// Encode returns the whole state, for Decode: what a snapshot of the room's log keeps. Equal states have equal encodings.
func (s *State) Encode() ([]byte, error) {
	out := snapshot{
		Version: snapshotVersion, ID: s.ID, Seq: s.Seq, Phase: s.Phase, Details: s.Details, CreatedAt: s.CreatedAt,
		StartedAt: s.StartedAt, EndedAt: s.EndedAt, Host: s.Host, Home: s.Home, Epoch: s.Epoch, RulesVersion: s.RulesVersion,
		LockedAt: s.LockedAt, HostSince: s.HostSince, HeldSince: s.HeldSince, Rotation: s.Rotation, Refreshed: s.Refreshed, Link: s.Link,
		Stage: s.stage, Queue: s.queue, Invited: s.invited, Removed: s.removed, Spent: s.spent, SpentAll: s.spentAll,
		Voices: make(map[rotunda.UserID]snapshotVoice, len(s.voices)), Warnings: s.warnings, Pins: s.pins, Reporters: s.reporters,
		History: s.history, Adopted: s.adopted, Asked: s.asked, Pinned: s.pinned, Reports: s.reports, EpochFloor: s.epochFloor,
		SpokeAt: s.spokeAt, Standby: s.Standby, Given: s.given, Fence: s.Fence, Hitless: s.Hitless, Pace: s.pace,
	}
	for u, v := range s.voices {
		out.Voices[u] = snapshotVoice{v.ssrc, v.epoch, v.left, v.talk.Spoke, v.talk.Turns, v.talk.Held}
	}
	for _, f := range s.formers {
		out.Formers = append(out.Formers, snapshotFormer{f.user, f.until})
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("room %s at %d: encode: %w", s.ID, s.Seq, err)
	}
	return b, nil
}

// Decode returns the state that Encode was called on. It fails on what does not parse and on a version that it does not
// know; whether the bytes are the right ones is for the caller to know (the log's hash chain).
func Decode(b []byte) (*State, error) {
	var in snapshot
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, fmt.Errorf("decode room: %w", err)
	}
	if in.Version != snapshotVersion {
		return nil, fmt.Errorf("decode room %s: version %d, this node knows %d", in.ID, in.Version, snapshotVersion)
	}
	s := &State{
		ID: in.ID, Seq: in.Seq, Phase: in.Phase, Details: in.Details, CreatedAt: in.CreatedAt, StartedAt: in.StartedAt,
		EndedAt: in.EndedAt, Host: in.Host, Home: in.Home, Epoch: in.Epoch, RulesVersion: in.RulesVersion, LockedAt: in.LockedAt,
		HostSince: in.HostSince, HeldSince: in.HeldSince, Rotation: in.Rotation, Refreshed: in.Refreshed, Link: in.Link, stage: in.Stage,
		queue: in.Queue, invited: in.Invited, removed: in.Removed, spent: in.Spent, spentAll: in.SpentAll, warnings: in.Warnings, pins: in.Pins,
		reporters: in.Reporters, history: in.History, adopted: in.Adopted, asked: in.Asked, pinned: in.Pinned, reports: in.Reports,
		epochFloor: in.EpochFloor, spokeAt: in.SpokeAt, Standby: in.Standby, given: max(in.Given, in.Epoch, in.Standby.Epoch), Fence: in.Fence, Hitless: in.Hitless, pace: in.Pace,
	}
	for u, v := range in.Voices {
		put(&s.voices, u, voice{ssrc: v.SSRC, epoch: v.Epoch, left: v.Left, talk: Talk{Spoke: v.Spoke, Turns: v.Turns, Held: v.Held}})
	}
	for _, f := range in.Formers {
		s.formers = append(s.formers, former{f.User, f.Until})
	}
	return s, nil
}
