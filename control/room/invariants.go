package room

import (
	"errors"
	"fmt"
	"slices"

	"rotunda"
)

// CheckInvariants says what is wrong with the state, or nil. It holds after every event that Decide made; tests and the
// simulator call it after each one.
func (s *State) CheckInvariants() error {
	if s.Seq == 0 {
		return nil
	}
	return errors.Join(s.checkRoom(), s.checkHost(), s.checkStage(), s.checkQueue(), s.checkFloor(), s.checkBounds())
}

func (s *State) checkRoom() error {
	switch {
	case s.Phase != Scheduled && s.Phase != Live && s.Phase != Ended:
		return fmt.Errorf("phase %q", s.Phase)
	case s.Home == "" || s.Epoch == 0:
		return fmt.Errorf("home %q, epoch %d", s.Home, s.Epoch)
	case s.given < s.Epoch || s.given < s.Standby.Epoch:
		return fmt.Errorf("epoch %d and %d of the standby, of %d given", s.Epoch, s.Standby.Epoch, s.given)
	case s.Standby != Standby{} && (s.Standby.Node == "" || s.Standby.Node == s.Home || s.Standby.Epoch <= s.Epoch || s.Phase == Ended):
		return fmt.Errorf("home %s@%d, standby %s@%d, %s", s.Home, s.Epoch, s.Standby.Node, s.Standby.Epoch, s.Phase)
	case s.stage[s.Host].Role != rotunda.Host:
		return fmt.Errorf("host %s has the role %q", s.Host, s.stage[s.Host].Role)
	case len(s.stage) > s.Details.Policy.SpeakersMax:
		return fmt.Errorf("%d on stage, at most %d", len(s.stage), s.Details.Policy.SpeakersMax)
	case (s.Phase == Ended) == s.EndedAt.IsZero():
		return fmt.Errorf("%s, ended at %v", s.Phase, s.EndedAt)
	case s.Phase == Scheduled != s.StartedAt.IsZero() && s.Phase != Ended:
		return fmt.Errorf("%s, started at %v", s.Phase, s.StartedAt)
	}
	_, err := s.Details.checked()
	return err
}

func (s *State) checkStage() error {
	taken := map[rotunda.SSRC]rotunda.UserID{}
	for u, v := range s.voices {
		if v.ssrc == 0 {
			return fmt.Errorf("%s has SSRC 0", u)
		}
		if other, ok := taken[v.ssrc]; ok {
			return fmt.Errorf("%s and %s share SSRC %d", u, other, v.ssrc)
		}
		taken[v.ssrc] = u
	}
	for u, p := range s.stage {
		v := s.voices[u]
		switch {
		case p.User != u || !p.Role.OnStage():
			return fmt.Errorf("%s on stage as %s, %q", u, p.User, p.Role)
		case p.Role == rotunda.Host && u != s.Host:
			return fmt.Errorf("two hosts, %s and %s", u, s.Host)
		case s.Banned(u):
			return fmt.Errorf("%s is banned and on stage", u)
		case p.SSRC != v.ssrc:
			return fmt.Errorf("%s has SSRC %d and %d", u, p.SSRC, v.ssrc)
		case p.Epoch != v.epoch:
			return fmt.Errorf("%s has mic epoch %d and %d", u, p.Epoch, v.epoch)
		case p.Live && (p.Node == "" || p.Epoch == 0 || s.Phase != Live):
			return fmt.Errorf("%s is live at %q, epoch %d, in a room that is %s", u, p.Node, p.Epoch, s.Phase)
		}
	}
	return nil
}

func (s *State) checkHost() error {
	hosts := 0
	for _, p := range s.stage {
		if p.Role == rotunda.Host {
			hosts++
		}
		switch {
		case (p.Role == rotunda.Cohost) != (p.Appointed > 0):
			return fmt.Errorf("%s is %s, appointed at %d", p.User, p.Role, p.Appointed)
		case p.Here() && !p.Away.IsZero():
			return fmt.Errorf("%s is at %v and away since %v", p.User, p.Nodes, p.Away)
		case len(p.Nodes) > nodesMax || !slices.IsSorted(p.Nodes):
			return fmt.Errorf("%s is at %v", p.User, p.Nodes)
		}
	}
	if hosts != 1 {
		return fmt.Errorf("%d hosts", hosts)
	}
	if n := s.cohosts(""); n > s.Details.Policy.CohostsMax {
		return fmt.Errorf("%d co-hosts, at most %d", n, s.Details.Policy.CohostsMax)
	}
	if !s.HeldSince.IsZero() && (s.Phase != Live || s.stage[s.Host].Here()) {
		return fmt.Errorf("held in a room that is %s, with its host at %v", s.Phase, s.stage[s.Host].Nodes)
	}
	seen := map[rotunda.UserID]bool{s.Host: true}
	for _, f := range s.formers {
		if seen[f.user] || !s.stage[f.user].Role.OnStage() {
			return fmt.Errorf("%s may have the room back: is host, listed twice or not on stage", f.user)
		}
		seen[f.user] = true
	}
	return nil
}

func (s *State) checkFloor() error {
	if s.Details.Policy.FloorLock {
		var open []rotunda.UserID
		for u, p := range s.stage {
			if !p.Muted {
				open = append(open, u)
			}
		}
		if len(open) > 1 {
			return fmt.Errorf("%v have the floor", open)
		}
	}
	switch r := s.Rotation; {
	case r.User == "":
		if !r.Until.IsZero() || r.Warned {
			return fmt.Errorf("a turn of nobody until %v", r.Until)
		}
	case r.Turn == 0 || s.Phase != Live || s.stage[r.User].Role != rotunda.Speaker || r.Until.IsZero():
		return fmt.Errorf("%s, %q, has a turn until %v in a room that is %s", r.User, s.stage[r.User].Role, r.Until, s.Phase)
	}
	return nil
}

func (s *State) checkBounds() error {
	shown, waiting := s.Pins()
	for i, p := range shown {
		if p.Place != i+1 {
			return fmt.Errorf("pin %s has place %d of %d", p.ID, p.Place, i+1)
		}
	}
	for u, i := range s.invited {
		if i.Open && (s.Banned(u) || s.stage[u].Role.OnStage()) {
			return fmt.Errorf("%s is invited, and banned or on stage", u)
		}
	}
	for _, b := range []struct {
		what   string
		n, max int
	}{
		{"pins", len(shown), PinsMax}, {"proposed pins", len(waiting), ProposalsMax}, {"invitations", len(s.invited), InvitationsMax},
		{"bans", s.bans(), BansMax}, {"bytes of bars", s.barred("", "") - len(`{"user":"","host":""},`), barsMax}, {"spent grants", len(s.spent), spentMax},
		{"removals", len(s.removed) - s.bans(), removalMax},
		{"warned people", len(s.warnings), warnedMax}, {"voices", len(s.voices), max(voicesMax, len(s.stage))},
		{"revisions", len(s.history), HistoryMax}, {"facts", len(s.adopted), adoptedMax}, {"reports", s.reports, ReportsMax},
		{"answers", len(s.pace.Took), answersMax},
	} {
		if b.n > b.max {
			return fmt.Errorf("%d %s, at most %d", b.n, b.what, b.max)
		}
	}
	return nil
}

func (s *State) checkQueue() error {
	if len(s.queue) > QueueMax || s.Phase == Ended && len(s.queue) > 0 {
		return fmt.Errorf("%d requests in a room that is %s", len(s.queue), s.Phase)
	}
	orders := map[uint64]bool{}
	for u, r := range s.queue {
		switch {
		case r.User != u || r.Order == 0 || r.Order > s.asked || orders[r.Order]:
			return fmt.Errorf("request of %s by %s has the order %d of %d", u, r.User, r.Order, s.asked)
		case s.Banned(u):
			return fmt.Errorf("%s is banned and asks to speak", u)
		case s.stage[u].Role.OnStage():
			return fmt.Errorf("%s is on stage and asks to speak", u)
		}
		orders[r.Order] = true
	}
	return nil
}
