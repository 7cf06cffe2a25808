package room

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"rotunda"
)

// ask answers the questions of a story.
func (s *story) ask(words []string) (string, bool) {
	var out []string
	switch words[0] {
	case "host":
		return string(s.state.Host), true
	case "pins":
		shown, waiting := s.state.Pins()
		for _, p := range shown {
			out = append(out, fmt.Sprintf("%s by %s", p.URL, p.User))
		}
		for _, p := range waiting {
			out = append(out, fmt.Sprintf("(%s by %s)", p.URL, p.User))
		}
	case "invited":
		for _, u := range sortedKeys(s.state.invited) {
			if s.state.invited[u].Open {
				out = append(out, string(u))
			}
		}
	case "talk":
		for _, t := range s.state.Talk() {
			out = append(out, fmt.Sprintf("%s spoke %v in %d turns of %v", t.User, t.Spoke, t.Turns, t.Held.Round(time.Second)))
		}
	case "turn":
		if r := s.state.Rotation; r.User != "" {
			out = append(out, fmt.Sprintf("%s for %v", r.User, r.Until.Sub(r.Began)))
		}
	case "waiting": // [PLACE]
		return s.waiting(words[1:]), true
	case "floor":
		return orNobody(nonEmpty(string(s.state.Floor()))), true
	case "history":
		for _, r := range s.state.history {
			out = append(out, fmt.Sprintf("%s: %s", r.By, strings.Join(r.Changed, " ")))
		}
	case "policy":
		p := s.state.Details.Policy
		return fmt.Sprintf("requests %s, floor lock %v, mute on entry %v", p.Requests, p.FloorLock, p.MuteOnEntry), true
	case "warned":
		w := s.state.Warned(rotunda.UserID(words[1]))
		return fmt.Sprintf("%d %s", w.Count, w.Reason), true
	case "admit": // WHO [since TIME AGO]
		var since time.Time
		if len(words) > 2 {
			ago, _ := time.ParseDuration(words[2])
			since = s.now.Add(-ago)
		}
		if err := s.state.Admitted(rotunda.UserID(words[1]), since); err != nil {
			return refusal(err), true
		}
		return "yes", true
	default:
		return "", false
	}
	return orNobody(out), true
}

// waiting says how many wait and, for a place in the queue, how long.
func (s *story) waiting(place []string) string {
	w := s.state.Wait()
	if len(place) == 0 {
		each := "nobody knows how long"
		if w.EachSeconds != nil {
			each = fmt.Sprintf("%v each", w.EachSeconds.Duration())
		}
		return fmt.Sprintf("%d, %s", w.Waiting, each)
	}
	n, _ := strconv.Atoi(place[0])
	d, ok := w.Expected(s.now, n)
	if !ok {
		return "nobody knows"
	}
	return d.String()
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func command(verb string, args []string) (Command, error) {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	number := func(i int) int { n, _ := strconv.Atoi(arg(i)); return n }
	user, text := rotunda.UserID(arg(0)), strings.Join(args, " ")
	reason := strings.Join(args[min(1, len(args)):], " ")
	if cmd, ok := roomCommand(verb, text, args); ok {
		return cmd, nil
	}
	switch verb {
	case "request":
		return Request{Note: text}, nil
	case "withdraw":
		return Withdraw{User: user}, nil
	case "approve":
		return Approve{user}, nil
	case "deny":
		return Deny{user, reason}, nil
	case "invite":
		return Invite{user}, nil
	case "accept":
		return Accept{user}, nil
	case "decline":
		return Decline{user}, nil
	case "role":
		return SetRole{user, rotunda.Role(arg(1))}, nil
	case "mute":
		return Mute{user, reason}, nil
	case "unmute":
		return Unmute{user}, nil
	case "mute_all":
		return MuteAll{}, nil
	case "warn":
		return Warn{User: user, Reason: reason}, nil
	case "warn_publicly":
		return Warn{User: user, Reason: reason, Public: true}, nil
	case "remove":
		return Remove{User: user, Reason: reason}, nil
	case "ban":
		return Remove{User: user, Ban: true, Reason: reason}, nil
	case "ban_everywhere":
		return Remove{User: user, Everywhere: true, Reason: reason}, nil
	case "unban":
		return Unban{user}, nil
	case "report":
		return Report{User: user, Reason: reason}, nil
	case "publish":
		return Publish{rotunda.NodeID(arg(0))}, nil
	case "unpublish":
		return Unpublish{user, rotunda.Epoch(number(1))}, nil
	case "present":
		return Present{user, rotunda.NodeID(arg(1))}, nil
	case "absent":
		return Absent{user, rotunda.NodeID(arg(1))}, nil
	case "restart":
		return Restart{rotunda.NodeID(arg(0))}, nil
	case "lost":
		return Lost{rotunda.NodeID(arg(0))}, nil
	case "claim":
		return Claim{}, nil
	case "stand_by": // NODE BY; "nobody" stands down
		return StandBy{rotunda.NodeID(strings.TrimPrefix(arg(0), "nobody")), rotunda.NodeID(arg(1))}, nil
	case "take_home":
		return TakeHome{rotunda.NodeID(arg(0)), rotunda.Epoch(number(1))}, nil
	case "hand_over":
		return HandOver{rotunda.NodeID(arg(0))}, nil
	}
	return nil, fmt.Errorf("nobody knows how to %q", verb)
}

// roomCommand reads what is about the room.
func roomCommand(verb, text string, args []string) (Command, bool) {
	first := strings.SplitN(text+" ", " ", 2)[0]
	n, _ := strconv.Atoi(first)
	switch verb {
	case "create":
		return Create{Title: text, Node: "n1"}, true
	case "schedule":
		at := time.Date(2026, 12, 1, 20, 0, 0, 0, time.UTC)
		return Create{Title: text, Node: "n1", StartsAt: &at}, true
	case "link":
		return OpenLink{Key: text}, true
	case "unlink":
		return CloseLink{}, true
	case "by_link":
		return TakeLink{Key: text}, true
	case "start":
		return Start{}, true
	case "end":
		return End{}, true
	case "title":
		return Edit{Title: &text}, true
	case "rules":
		return Edit{Rules: &text}, true
	case "mode":
		mode := Mode(text)
		return Edit{Mode: &mode}, true
	case "askers":
		askers := []rotunda.UserID{}
		for _, a := range args {
			askers = append(askers, rotunda.UserID(a))
		}
		return Edit{Askers: &askers}, true
	case "policy": // FIELD VALUE, as in JSON
		return Edit{Policy: policyEdit(first, strings.TrimSpace(strings.TrimPrefix(text, first)))}, true
	case "places":
		return Edit{Policy: PolicyEdit{SpeakersMax: &n}}, true
	case "lock":
		return Lock{}, true
	case "unlock":
		return Unlock{}, true
	case "refresh":
		return Refresh{Joined: n}, true
	case "pin":
		return ProposePin{URL: first}, true
	case "pin_approve":
		return ApprovePin{PinID(first)}, true
	case "pin_move":
		place, _ := strconv.Atoi(args[1])
		return MovePin{PinID(first), place}, true
	case "unpin":
		return Unpin{PinID(first)}, true
	case "rotate":
		return Rotate{Turn: Seconds(n)}, true
	case "next":
		return NextTurn{}, true
	case "extend":
		return ExtendTurn{Seconds(n)}, true
	case "stop_rotation":
		return StopRotation{}, true
	case "speaking": // NODE WHO=SECONDS …
		c := Speaking{Node: rotunda.NodeID(first), Talk: map[rotunda.UserID]Seconds{}}
		for _, a := range args[1:] {
			u, n, _ := strings.Cut(a, "=")
			seconds, _ := strconv.Atoi(n)
			c.Talk[rotunda.UserID(u)] = Seconds(seconds)
		}
		return c, true
	case "tick":
		return Tick{}, true
	}
	return nil, false
}

func policyEdit(field, value string) (e PolicyEdit) {
	n, _ := strconv.Atoi(value)
	seconds, on := Seconds(n), value == "on"
	switch field {
	case "speakersMax":
		e.SpeakersMax = &n
	case "cohostsMax":
		e.CohostsMax = &n
	case "requests":
		v := Asking(value)
		e.Requests = &v
	case "floorLock":
		e.FloorLock = &on
	case "muteOnEntry":
		e.MuteOnEntry = &on
	case "reactions":
		v := Reacting(value)
		e.Reactions = &v
	case "warningsMax":
		e.WarningsMax = &n
	case "sanction":
		v := Sanction(value)
		e.Sanction = &v
	case "turn":
		e.Turn = &seconds
	case "hostHold":
		e.HostHold = &seconds
	case "holdMax":
		e.HoldMax = &seconds
	case "returnMax":
		e.ReturnMax = &seconds
	}
	return e
}

func refusal(err error) string {
	for _, r := range []struct {
		err  error
		word string
	}{
		{ErrBanned, "banned"}, {ErrLocked, "locked"}, {ErrForbidden, "forbidden"}, {ErrFull, "full"}, {ErrEnded, "over"},
		{ErrNotLive, "not live"}, {ErrFloorTaken, "floor taken"}, {ErrConflict, "conflict"}, {ErrInvalid, "invalid"}, {ErrGrants, "needs the log"},
	} {
		if errors.Is(err, r.err) {
			return r.word
		}
	}
	return err.Error()
}

func happened(e Event) string {
	switch e.Type {
	case EventCreated, EventStarted, EventEdited, EventLocked, EventUnlocked, EventHeld, EventSpoke, EventRotationStopped:
		return string(e.Type)
	case EventEnded:
		return strings.TrimSpace(string(e.Type) + " " + e.Reason)
	case EventRole, EventClaimed:
		return fmt.Sprintf("%s %s %s", e.Type, e.User, e.Role)
	case EventSucceeded:
		return fmt.Sprintf("host %s %s", e.User, e.Reason)
	case EventMutedAll:
		return "muted " + strings.Trim(fmt.Sprint(e.Users), "[]")
	case EventRemoved:
		switch {
		case e.Bar != "":
			return fmt.Sprintf("banned %s everywhere", e.User)
		case e.Ban:
			return fmt.Sprintf("banned %s", e.User)
		}
		return fmt.Sprintf("removed %s", e.User)
	case EventWarned:
		return fmt.Sprintf("warned %s %d", e.User, e.Count)
	case EventPublished:
		return fmt.Sprintf("%s %s at %s@%d", e.Type, e.User, e.Node, e.Epoch)
	case EventGone:
		return fmt.Sprintf("gone %s", e.Node)
	case EventHomed:
		return fmt.Sprintf("home %s@%d", e.Node, e.Epoch)
	case EventStandby:
		if e.Node == "" {
			return "nobody stands by"
		}
		return fmt.Sprintf("standby %s@%d", e.Node, e.Epoch)
	case EventRefreshed:
		return fmt.Sprintf("refreshed %d joined", e.Joined)
	case EventPinProposed, EventPinned, EventPinMoved, EventUnpinned:
		return fmt.Sprintf("%s %s", e.Type, e.Pin)
	case EventRotationStarted:
		return fmt.Sprintf("rotation of %ds", e.Turn)
	case EventTurn, EventTurnExtended:
		return fmt.Sprintf("%s %s", e.Type, e.User)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s", e.Type, e.User))
}

func sortedKeys[V any](m map[rotunda.UserID]V) []rotunda.UserID { return slices.Sorted(maps.Keys(m)) }
