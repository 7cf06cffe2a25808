package people

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rotunda"
)

// Profile is what a person says of themselves; ok is false where they have said nothing.
func (s *Store) Profile(u rotunda.UserID) (p Profile, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, ok = s.state.Profiles[u]
	if ok && !p.Until.IsZero() && p.Until.Before(s.cfg.Now()) {
		return Profile{}, false // over, and not swept yet
	}
	return p, ok
}

// Hidden reports whether the person wants to be left out of rosters while listening.
func (s *Store) Hidden(u rotunda.UserID) bool {
	p, _ := s.Profile(u)
	return p.Hidden
}

// EditProfile changes what u says of themselves. until is when it is forgotten, zero for never. Errors: ErrInvalid,
// ErrFull, ErrUnavailable, ErrUnknownOutcome.
func (s *Store) EditProfile(ctx context.Context, u rotunda.UserID, until time.Time, edit func(*Profile)) (Profile, error) {
	f, err := s.write(ctx, FactProfile, func(st *State, now time.Time) (Fact, error) {
		p, known := st.Profiles[u]
		if !known && len(st.Profiles) >= profilesMax {
			return Fact{}, fmt.Errorf("profiles: %w", ErrFull)
		}
		edit(&p)
		p.Until = until.UTC()
		if err := p.valid(); err != nil {
			return Fact{}, err
		}
		return Fact{At: now, By: u, User: u, Profile: &p}, nil
	})
	if err != nil {
		return Profile{}, err
	}
	if f.Profile == nil { // a repetition
		p, _ := s.Profile(u)
		return p, nil
	}
	return *f.Profile, nil
}

// Forget takes u's profile away. Errors: ErrUnavailable, ErrUnknownOutcome.
func (s *Store) Forget(ctx context.Context, u rotunda.UserID) error {
	_, err := s.write(ctx, FactForgotten, func(_ *State, now time.Time) (Fact, error) {
		return Fact{At: now, By: u, User: u}, nil
	})
	return err
}

// Shown reports whether some profile shows the picture, and which node took it.
func (s *Store) Shown(h Hash) (origin rotunda.NodeID, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, ok := s.state.pictures[h]
	return p.origin, ok
}

// Report keeps a report for the operator; its ID, At and answer are set here. Errors: ErrInvalid, ErrFull where the
// reporter has openMax open ones or nobody answers any, ErrUnavailable, ErrUnknownOutcome.
func (s *Store) Report(ctx context.Context, r Report) (Report, error) {
	r.Reason, r.Note = strings.TrimSpace(r.Reason), strings.TrimSpace(r.Note)
	if err := r.valid(); err != nil {
		return Report{}, err
	}
	f, err := s.write(ctx, FactReported, func(st *State, now time.Time) (Fact, error) {
		mine := st.reports(func(o Report) bool { return o.By == r.By && o.Open() })
		if len(mine) >= openMax || len(st.Reports) >= reportsMax {
			return Fact{}, fmt.Errorf("open reports: %w", ErrFull)
		}
		r := r
		r.At = now
		return Fact{At: now, By: r.By, Report: &r}, nil
	})
	if err != nil {
		return Report{}, err
	}
	return s.report(f.ID), nil
}

// Answer closes a report with what became of it. Answering again changes the answer. Errors: ErrInvalid, ErrUnknown,
// ErrUnavailable, ErrUnknownOutcome.
func (s *Store) Answer(ctx context.Context, by rotunda.UserID, id, answer string) (Report, error) {
	answer = strings.TrimSpace(answer)
	if err := validText("answer", answer, ReasonMax, true); err != nil {
		return Report{}, err
	}
	if _, err := s.write(ctx, FactAnswered, func(st *State, now time.Time) (Fact, error) {
		if _, ok := st.Reports[id]; !ok {
			return Fact{}, fmt.Errorf("report: %w", ErrUnknown)
		}
		return Fact{At: now, By: by, Token: id, Reason: answer}, nil
	}); err != nil {
		return Report{}, err
	}
	return s.report(id), nil
}

func (s *Store) report(id string) Report {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.Reports[id]
}

// Waiting counts the reports that nobody has answered and says when the oldest of them came; zero: there are none.
func (s *Store) Waiting() (n int, since time.Time) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.state.Reports {
		if !r.Open() {
			continue
		}
		if n++; n == 1 || r.At.Before(since) {
			since = r.At
		}
	}
	return n, since
}

// Reports lists the reports that keep accepts, the oldest first.
func (s *Store) Reports(keep func(Report) bool) []Report {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.reports(keep)
}
