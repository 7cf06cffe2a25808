package people

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rotunda"
)

// Revoke takes one token back, by its jti. until is when the token ends by itself, zero where that is not known. Errors:
// ErrInvalid, ErrFull, ErrUnavailable, ErrUnknownOutcome.
func (s *Store) Revoke(ctx context.Context, by rotunda.UserID, jti string, until time.Time) error {
	if err := rotunda.UserID(jti).Valid(); err != nil { // a jti has the alphabet of a user id
		return fmt.Errorf("jti: %w", ErrInvalid)
	}
	_, err := s.write(ctx, FactRevoked, func(st *State, now time.Time) (Fact, error) {
		if len(st.Revoked) >= revokedMax {
			return Fact{}, fmt.Errorf("revoked tokens: %w", ErrFull)
		}
		return Fact{At: now, By: by, Token: jti, Until: until.UTC()}, nil
	})
	return err
}

// SignOut takes back every token of u that was issued until now. Errors: ErrFull, ErrUnavailable, ErrUnknownOutcome.
func (s *Store) SignOut(ctx context.Context, by, u rotunda.UserID) error {
	_, err := s.write(ctx, FactSignedOut, func(st *State, now time.Time) (Fact, error) {
		if _, known := st.SignedOut[u]; !known && len(st.SignedOut) >= revokedMax {
			return Fact{}, fmt.Errorf("people signed out: %w", ErrFull)
		}
		return Fact{At: now, By: by, User: u}, nil
	})
	return err
}

// Ban keeps u out of the mesh, whatever token they have. Errors: ErrInvalid, ErrFull, ErrUnavailable, ErrUnknownOutcome.
func (s *Store) Ban(ctx context.Context, by, u rotunda.UserID, reason string) error {
	reason = strings.TrimSpace(reason)
	if err := validText("reason", reason, ReasonMax, false); err != nil {
		return err
	}
	_, err := s.write(ctx, FactBanned, func(st *State, now time.Time) (Fact, error) {
		if _, known := st.Banned[u]; !known && len(st.Banned) >= bannedMax {
			return Fact{}, fmt.Errorf("bans: %w", ErrFull)
		}
		return Fact{At: now, By: by, User: u, Reason: reason}, nil
	})
	return err
}

// Unban lets u in again. Errors: ErrUnknown, ErrUnavailable, ErrUnknownOutcome.
func (s *Store) Unban(ctx context.Context, by, u rotunda.UserID) error {
	_, err := s.write(ctx, FactUnbanned, func(st *State, now time.Time) (Fact, error) {
		if _, ok := st.Banned[u]; !ok {
			return Fact{}, fmt.Errorf("ban: %w", ErrUnknown)
		}
		return Fact{At: now, By: by, User: u}, nil
	})
	return err
}

// BannedUser is one of Bans.
type BannedUser struct {
	User rotunda.UserID
	Ban
}

// Bans lists who is banned from the mesh, by user id.
func (s *Store) Bans() []BannedUser {
	s.mu.RLock()
	bans := maps.Clone(s.state.Banned)
	s.mu.RUnlock()
	list := make([]BannedUser, 0, len(bans))
	for u, b := range bans {
		list = append(list, BannedUser{u, b})
	}
	slices.SortFunc(list, func(a, b BannedUser) int { return cmp.Compare(a.User, b.User) })
	return list
}
