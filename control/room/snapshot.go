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

// snapshot is a State as Encode writes it.
type snapshot struct {
	Version   int                              `json:"version"`
	ID        rotunda.RoomID                   `json:"id"`
	Seq       uint64                           `json:"seq"`
	Phase     Phase                            `json:"phase,omitempty"`
	Details   Details                          `json:"details"`
	CreatedAt time.Time                        `json:"createdAt,omitzero"`
	StartedAt time.Time                        `json:"startedAt,omitzero"`
	EndedAt   time.Time                        `json:"endedAt,omitzero"`
	Host      rotunda.UserID                   `json:"host,omitempty"`
	Home      rotunda.NodeID                   `json:"home,omitempty"`
	Epoch     rotunda.Epoch                    `json:"epoch,omitempty"`
	Stage     map[rotunda.UserID]Participant   `json:"stage,omitempty"`
	Queue     map[rotunda.UserID]Ask           `json:"queue,omitempty"`
	Removed   map[rotunda.UserID]Removal       `json:"removed,omitempty"`
	Spent     map[rotunda.UserID]rotunda.Role  `json:"spent,omitempty"`
	Voices    map[rotunda.UserID]snapshotVoice `json:"voices,omitempty"`
	Asked     uint64                           `json:"asked,omitempty"`
}

type snapshotVoice struct {
	SSRC  rotunda.SSRC  `json:"ssrc"`
	Epoch rotunda.Epoch `json:"epoch,omitempty"`
}

// Encode returns the whole state, for Decode: what a snapshot of the room's log keeps. Equal states have equal encodings.
func (s *State) Encode() ([]byte, error) {
	out := snapshot{
		Version: snapshotVersion, ID: s.ID, Seq: s.Seq, Phase: s.Phase, Details: s.Details, CreatedAt: s.CreatedAt,
		StartedAt: s.StartedAt, EndedAt: s.EndedAt, Host: s.Host, Home: s.Home, Epoch: s.Epoch, Stage: s.stage, Queue: s.queue,
		Removed: s.removed, Spent: s.spent, Asked: s.asked, Voices: make(map[rotunda.UserID]snapshotVoice, len(s.voices)),
	}
	for u, v := range s.voices {
		out.Voices[u] = snapshotVoice{v.ssrc, v.epoch}
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
		EndedAt: in.EndedAt, Host: in.Host, Home: in.Home, Epoch: in.Epoch, stage: in.Stage, queue: in.Queue, removed: in.Removed,
		spent: in.Spent, asked: in.Asked,
	}
	for u, v := range in.Voices {
		put(&s.voices, u, voice{v.SSRC, v.Epoch})
	}
	return s, nil
}
