package people

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"rotunda"
	"rotunda/control/token"
)

// FactType says what a Fact is.
type FactType string

// The facts. A node may meet others, written by a newer version; it passes them over.
const (
	FactProfile   FactType = "profile"    // User, Profile, whole
	FactForgotten FactType = "forgotten"  // User's profile is no more
	FactReported  FactType = "reported"   // Report
	FactAnswered  FactType = "answered"   // Token = report's id, Reason = the answer, By
	FactRevoked   FactType = "revoked"    // Token = jti, Until (zero: for ever)
	FactSignedOut FactType = "signed_out" // User: tokens issued up to At are no longer good
	FactBanned    FactType = "banned"     // User, Reason, By
	FactUnbanned  FactType = "unbanned"   // User
)

// Fact is one entry of the chain, as it stands in the log. Which fields count follows from Type.
type Fact struct {
	ID      string         `json:"id"`
	At      time.Time      `json:"at"`
	By      rotunda.UserID `json:"by,omitempty"`
	Type    FactType       `json:"type"`
	User    rotunda.UserID `json:"user,omitempty"`
	Token   string         `json:"token,omitempty"`
	Until   time.Time      `json:"until,omitzero"`
	Reason  string         `json:"reason,omitempty"`
	Profile *Profile       `json:"profile,omitempty"`
	Report  *Report        `json:"report,omitempty"`
}

// State is the fold of the chain: Apply may change it and never refuses; what may be written is decided before (Store).
// The exported fields are its encoding, too.
type State struct {
	Profiles  map[rotunda.UserID]Profile   `json:"profiles"`
	Reports   map[string]Report            `json:"reports"`
	Revoked   map[string]time.Time         `json:"revoked"`   // jti → when the token would have ended; zero: not known
	SignedOut map[rotunda.UserID]time.Time `json:"signedOut"` // tokens issued up to then are refused
	Banned    map[rotunda.UserID]Ban       `json:"banned"`
	Facts     uint64                       `json:"facts"` // applied so far

	pictures map[Hash]picture // of the profiles
}

// picture is a picture that profiles show.
type picture struct {
	profiles int
	origin   rotunda.NodeID // took it last
}

// NewState is the state before the first fact.
func NewState() *State {
	return &State{
		Profiles: map[rotunda.UserID]Profile{}, Reports: map[string]Report{}, Revoked: map[string]time.Time{},
		SignedOut: map[rotunda.UserID]time.Time{}, Banned: map[rotunda.UserID]Ban{}, pictures: map[Hash]picture{},
	}
}

const (
	// sweepEvery is after how many facts what is over is thrown out; looking at everything each time would cost more.
	sweepEvery = 256
	// answeredLife is how long an answered report is kept for its reporter to look up.
	answeredLife = 90 * 24 * time.Hour
)

// Apply makes f part of the state.
func (s *State) Apply(f Fact) {
	s.Facts++
	switch f.Type {
	case FactProfile:
		if f.Profile != nil {
			s.show(f.User, *f.Profile)
		}
	case FactForgotten:
		s.forget(f.User)
	case FactReported:
		if f.Report != nil {
			r := *f.Report
			r.ID, r.Order = f.ID, s.Facts
			s.Reports[r.ID] = r
		}
	case FactAnswered:
		if r, ok := s.Reports[f.Token]; ok {
			r.Answer, r.AnsweredBy, r.Closed = f.Reason, f.By, f.At
			s.Reports[f.Token] = r
		}
	case FactRevoked:
		s.Revoked[f.Token] = f.Until
	case FactSignedOut:
		s.SignedOut[f.User] = f.At
	case FactBanned:
		s.Banned[f.User] = Ban{At: f.At, By: f.By, Reason: f.Reason}
	case FactUnbanned:
		delete(s.Banned, f.User)
	}
	if s.Facts%sweepEvery == 0 {
		s.sweep(f.At)
	}
}

func (s *State) show(u rotunda.UserID, p Profile) {
	s.forget(u)
	s.Profiles[u] = p
	if p.Avatar != "" {
		s.pictures[p.Avatar] = picture{s.pictures[p.Avatar].profiles + 1, p.Origin}
	}
}

func (s *State) forget(u rotunda.UserID) {
	h := s.Profiles[u].Avatar
	if p := s.pictures[h]; p.profiles > 1 {
		s.pictures[h] = picture{p.profiles - 1, p.origin}
	} else {
		delete(s.pictures, h)
	}
	delete(s.Profiles, u)
}

// sweep throws out what is over. It depends on the facts alone, so that all nodes keep the same.
func (s *State) sweep(now time.Time) {
	for u, p := range s.Profiles {
		if !p.Until.IsZero() && p.Until.Before(now) {
			s.forget(u)
		}
	}
	maps.DeleteFunc(s.Revoked, func(_ string, until time.Time) bool {
		return !until.IsZero() && until.Add(token.Leeway).Before(now)
	})
	maps.DeleteFunc(s.Reports, func(_ string, r Report) bool { return !r.Open() && r.Closed.Add(answeredLife).Before(now) })
}

// Refused says whether the token of these claims is believed no more: the error wraps ErrRevoked or ErrBanned. A token
// that does not say when it was issued counts as issued before any sign-out.
func (s *State) Refused(c token.Claims) error {
	if b, ok := s.Banned[c.User]; ok {
		return fmt.Errorf("%w: %s", ErrBanned, b.Reason)
	}
	if _, ok := s.Revoked[c.ID]; ok {
		return ErrRevoked
	}
	if at, ok := s.SignedOut[c.User]; ok && !c.Issued.After(at) {
		return ErrRevoked
	}
	return nil
}

// reports lists those that keep accepts, the oldest first.
func (s *State) reports(keep func(Report) bool) []Report {
	var list []Report
	for _, r := range s.Reports {
		if keep(r) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b Report) int { return cmp.Compare(a.Order, b.Order) })
	return list
}
