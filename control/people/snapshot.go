package people

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"rotunda"
	"rotunda/control/eventlog"
)

const (
	// snapshotEvery is after how many facts the state is kept as a snapshot and what was before it is folded.
	snapshotEvery = 512
	// stateMax bounds a state that is unpacked, in bytes.
	stateMax = 32 << 20
)

// encode packs the state; the caller holds no lock that a slow reader could need, only the state itself.
func (s *State) encode() ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := errors.Join(json.NewEncoder(z).Encode(s), z.Close()); err != nil {
		return nil, fmt.Errorf("encode the state: %v", err)
	}
	return b.Bytes(), nil
}

// decodeState is the inverse of encode.
func decodeState(data []byte) (*State, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("decode the state: %v", err)
	}
	s := NewState()
	if err := json.NewDecoder(io.LimitReader(z, stateMax)).Decode(s); err != nil {
		return nil, fmt.Errorf("decode the state: %v", err)
	}
	if s.Profiles == nil || s.Reports == nil || s.Revoked == nil || s.SignedOut == nil || s.Banned == nil {
		return nil, errors.New("decode the state: a part is missing")
	}
	profiles := s.Profiles
	s.Profiles = make(map[rotunda.UserID]Profile, len(profiles))
	for u, p := range profiles {
		s.show(u, p)
	}
	return s, nil
}

// fold keeps a snapshot where the last one is far behind, and lets the log forget what was before it. What the operator
// decided stays whole.
func (s *Store) fold(ctx context.Context) error {
	s.mu.RLock()
	at, due := s.at, s.at.Seq >= s.folded+snapshotEvery
	var data []byte
	var err error
	if due {
		data, err = s.state.encode()
	}
	s.mu.RUnlock()
	if !due || err != nil {
		return err
	}
	if err := s.cfg.Log.PutSnapshot(ctx, Chain, eventlog.NewSnapshot(Chain, at, data)); err != nil {
		return err
	}
	s.mu.Lock()
	s.folded = max(s.folded, at.Seq)
	s.mu.Unlock()
	return s.cfg.Log.Prune(ctx, Chain, func(e eventlog.Entry) bool {
		var f Fact
		if err := json.Unmarshal(e.Data, &f); err != nil {
			return true // of a newer version, which knows
		}
		switch f.Type {
		case FactBanned, FactUnbanned, FactReported, FactAnswered:
			return true
		}
		return false
	})
}

// load takes over the latest sound snapshot that is newer than what this node has seen.
func (s *Store) load(ctx context.Context) error {
	snapshots, err := s.cfg.Log.Snapshots(ctx, Chain)
	if err != nil {
		return err
	}
	for _, snapshot := range snapshots {
		if !snapshot.Sound(Chain) {
			s.cfg.Logger.Warn("damaged snapshot of the people's chain", "at", snapshot.At.Seq)
			continue
		}
		state, err := decodeState(snapshot.Data)
		if err != nil {
			s.cfg.Logger.Warn("snapshot of the people's chain that cannot be read", "at", snapshot.At.Seq, "error", err)
			continue
		}
		s.mu.Lock()
		if snapshot.At.Seq > s.at.Seq {
			s.state, s.at, s.folded = state, snapshot.At, snapshot.At.Seq
		}
		s.mu.Unlock()
		s.tell()
		return nil
	}
	return nil
}
