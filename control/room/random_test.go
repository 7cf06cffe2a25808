package room

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"rotunda"
)

// dice draws whole numbers from 0 up to n: rapid's, which it makes smaller when something fails, or a seed's, which is fast.
type dice func(n int) int

func oneOf[T any](d dice, from ...T) T { return from[d(len(from))] }

// Whatever is commanded, the room stays whole after every event; deciding changes nothing; the events say all (they pass
// through JSON as they do in the log); a snapshot loses nothing; and a refusal is one of the three kinds.
func TestRandomCommands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := dice(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "n") })
		now := time.Unix(1_700_000_000, 0)
		s := New("room")
		for range 150 {
			now = now.Add(time.Duration(d(90)) * time.Second)
			actor, cmd := d.command(s)
			before, was := s.Clone(), encoded(t, s)
			events, err := s.Decide(now, actor, cmd)
			if is := encoded(t, s); is != was {
				t.Fatalf("%T changed the state while it was decided:\n%s\n%s", cmd, was, is)
			}
			if err != nil {
				if len(events) > 0 || !errors.Is(err, ErrForbidden) && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrInvalid) {
					t.Fatalf("%#v: %d events and %v", cmd, len(events), err)
				}
				continue
			}
			for i, e := range events {
				if e.Seq != s.Seq+1 {
					t.Fatalf("%#v: event %d has seq %d after %d", cmd, i, e.Seq, s.Seq)
				}
				s.Apply(throughJSON(t, e))
				if err := s.CheckInvariants(); err != nil {
					t.Fatalf("%+v by %+v: after %+v: %v", cmd, actor, e, err)
				}
			}
			if diff := cmp.Diff(encoded(t, fold(before, events)), encoded(t, s)); diff != "" {
				t.Fatalf("the log says something else than the decision:\n%s", diff)
			}
		}
		checkSnapshot(t, s)
	})
}

// decisionMax is how many events one decision may take: the log has a bound.
const decisionMax = 32

// randomSteps is how many commands TestRandomRooms gives.
const randomSteps, randomStepsShort = 250_000, 20_000

// Many rooms, many commands: invariants after every event, and a clock that always gets somewhere.
func TestRandomRooms(t *testing.T) {
	steps := randomSteps
	if testing.Short() {
		steps = randomStepsShort
	}
	happened := map[EventType]int{}
	for seed, given := uint64(rand.Uint32()), 0; given < steps; seed++ {
		d := dice(rand.New(rand.NewPCG(seed, 0)).IntN)
		now := time.Unix(1_700_000_000, 0)
		s := New("room")
		owners := epochs{}
		for i := 0; i < 500 && (s.Phase != Ended || d(20) > 0); i++ {
			given++
			now = now.Add(time.Duration(d(30_000)) * time.Millisecond)
			actor, cmd := d.command(s)
			if due := s.Deadline(); d(2) == 0 && !due.IsZero() && !due.After(now) {
				actor, cmd = Actor{System: true}, Tick{}
			}
			events, err := s.Decide(now, actor, cmd)
			if err != nil {
				continue
			}
			if len(events) > decisionMax {
				t.Fatalf("seed %d: %+v by %+v: %d events", seed, cmd, actor, len(events))
			}
			for _, e := range events {
				was := s.Epoch
				s.Apply(e)
				happened[e.Type]++
				if err := errors.Join(s.CheckInvariants(), owners.check(s, was), checkWait(s, now)); err != nil {
					t.Fatalf("seed %d: %+v by %+v: after %+v: %v", seed, cmd, actor, e, err)
				}
			}
			due := s.Deadline()
			if _, ticked := cmd.(Tick); ticked && !due.IsZero() && !due.After(now) {
				t.Fatalf("seed %d: at %v a tick leaves something to do at %v", seed, now, due)
			}
			if !due.IsZero() && len(events) > 0 {
				if again, err := s.Decide(due.Add(-time.Millisecond), Actor{System: true}, Tick{}); err != nil || len(again) > 0 {
					t.Fatalf("seed %d: a tick before the deadline: %v, %v", seed, again, err)
				}
			}
		}
	}
	for _, e := range everyEvent {
		if happened[e] < steps/20_000 {
			t.Errorf("%s happened %d times in %d steps", e, happened[e], steps)
		}
	}
	t.Log(happened)
}

// epochs is whom each epoch of the program was given to.
type epochs map[rotunda.Epoch]rotunda.NodeID

// check says what is wrong with the state that follows one with the epoch was: epochs only grow, and each is one node's.
func (g epochs) check(s *State, was rotunda.Epoch) error {
	if s.Epoch < was {
		return fmt.Errorf("epoch %d after %d", s.Epoch, was)
	}
	for _, is := range []Standby{{s.Home, s.Epoch}, s.Standby} {
		if owner, known := g[is.Epoch]; is.Node != "" && known && owner != is.Node {
			return fmt.Errorf("epoch %d was given to %s and %s", is.Epoch, owner, is.Node)
		}
		g[is.Epoch] = is.Node
	}
	return nil
}

// checkWait says what is wrong with what the state says of waiting: it counts the queue, and whoever stands further behind
// does not wait less.
func checkWait(s *State, now time.Time) error {
	w := s.Wait()
	var before time.Duration
	for place := 1; place <= w.Waiting+1; place++ {
		d, ok := w.Expected(now, place)
		if ok != (w.EachSeconds != nil) || d < before || d > time.Duration(place+1)*4*turnMax.Duration() {
			return fmt.Errorf("%+v: place %d waits %v, %v after %v", w, place, d, ok, before)
		}
		before = d
	}
	if w.Waiting != len(s.Queue()) || (w.Since != nil) != (w.Waiting > 0) || w.NextAt != nil && s.Rotation.User == "" {
		return fmt.Errorf("%+v of a queue of %d and the turn of %q", w, len(s.queue), s.Rotation.User)
	}
	return nil
}

// everyEvent lists the types of events, for tests that want to have seen each.
var everyEvent = []EventType{
	EventCreated, EventStarted, EventEnded, EventEdited, EventRefreshed, EventLocked, EventUnlocked, EventRequested, EventWithdrawn,
	EventApproved, EventDenied, EventLinkOpened, EventLinkClosed, EventInvited, EventAccepted, EventDeclined, EventRole, EventClaimed, EventSucceeded, EventMuted,
	EventUnmuted, EventMutedAll, EventWarned, EventRemoved, EventUnbanned, EventReported, EventPublished, EventUnpublished, EventHomed, EventStandby,
	EventPresent, EventAbsent, EventGone, EventHeld, EventSpoke, EventPinProposed, EventPinned, EventPinMoved, EventUnpinned, EventRotationStarted,
	EventRotationStopped, EventTurn, EventTurnWarned, EventTurnExtended, EventTurnEnded,
}

// Two futures of one state do not touch each other, nor the state.
func TestForksShareNothing(t *testing.T) {
	for seed := range uint64(200) {
		d := dice(rand.New(rand.NewPCG(seed, 6)).IntN)
		now := time.Unix(1_700_000_000, 0)
		grow := func(s *State) string {
			for i := range 60 {
				now = now.Add(time.Duration(d(20)) * time.Second)
				actor, cmd := d.command(s)
				if events, err := s.Decide(now, actor, cmd); err == nil {
					fold(s, events)
				}
				fold(s, s.Adopt([]Event{{ID: fmt.Sprint("f", seed, i, d(1000)), At: now, Type: EventMuted, User: d.user()}}))
			}
			return encoded(t, s)
		}
		s := New("room")
		before := grow(s)
		one, two := s.Clone(), s.Clone()
		first := grow(one)
		grow(two)
		if encoded(t, one) != first || encoded(t, s) != before {
			t.Fatalf("seed %d: a fork changed another one, or what it came from", seed)
		}
	}
}

func encoded(t interface{ Fatal(...any) }, s *State) string {
	b, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Facts decided while the log was away: the same overlay whatever their order and however often they are heard, whole,
// taking away only; and once they are in the log, they are no more.
func TestRandomFacts(t *testing.T) {
	rooms := 1_000
	if testing.Short() {
		rooms = 200
	}
	for seed := range uint64(rooms) {
		d := dice(rand.New(rand.NewPCG(seed, 1)).IntN)
		now := time.Unix(1_700_000_000, 0)
		s := New("room")
		grow := func(steps int) {
			for range steps {
				now = now.Add(time.Duration(d(20)) * time.Second)
				actor, cmd := d.command(s)
				if events, err := s.Decide(now, actor, cmd); err == nil {
					fold(s, events)
				}
			}
		}
		grow(80)
		var facts []Event
		for i := range 12 { // each decided by a node that knows some of the others' facts
			actor, cmd := d.command(s)
			seen := s.Overlay(facts[:d(len(facts)+1)])
			events, err := seen.Restrict(now.Add(time.Duration(i)*time.Second), actor, cmd)
			if err != nil {
				continue
			}
			for j := range events {
				events[j].ID = fmt.Sprintf("f%d-%d", i, j)
			}
			facts = append(facts, events...)
		}
		grow(d(2) * 10) // the log moved on where somebody could reach it
		over := s.Overlay(facts)
		shuffled := append(slices.Clone(facts), facts...)
		rand.New(rand.NewPCG(seed, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if diff := cmp.Diff(over, s.Overlay(shuffled), whole); diff != "" {
			t.Fatalf("seed %d: the order of facts matters:\n%s", seed, diff)
		}
		if err := over.CheckInvariants(); err != nil {
			t.Fatalf("seed %d: under the overlay: %v", seed, err)
		}
		for _, u := range people {
			if s.Muted(u) && !over.Muted(u) || s.Banned(u) && !over.Banned(u) || s.Role(u).Rank() < over.Role(u).Rank() || s.Locked() && !over.Locked() {
				t.Fatalf("seed %d: facts gave %s something", seed, u)
			}
		}
		fold(s, s.Adopt(facts))
		if again := s.Adopt(shuffled); len(again) > 0 {
			t.Fatalf("seed %d: facts that are in the log count again: %+v", seed, again)
		}
		if diff := cmp.Diff(over, s, whole, cmpopts.IgnoreFields(State{}, "Seq")); diff != "" {
			t.Fatalf("seed %d: the log says something else than the overlay:\n%s", seed, diff)
		}
		for _, e := range facts { // what has changed nothing is settled by name, as the log does (control.settling)
			if !s.Adopted(e.ID) {
				fold(s, []Event{{Seq: s.Seq + 1, ID: e.ID, At: e.At, Type: EventSettled, Fact: true}})
			}
		}
		grow(30) // people unmute, are let in again, …
		if again := s.Adopt(shuffled); len(again) > 0 {
			t.Fatalf("seed %d: facts that were in the log before count again: %+v", seed, again)
		}
	}
}

var (
	people  = []rotunda.UserID{"ada", "bob", "cyd", "dan", "eve", "fay", "gus"}
	linkKey = "a-key-that-nobody-guesses"
	nodes   = []rotunda.NodeID{"n1", "n2", "n3"}
	roles   = []rotunda.Role{rotunda.Listener, rotunda.Speaker, rotunda.Cohost, rotunda.Host}
)

func (d dice) user() rotunda.UserID { return oneOf(d, people...) }

func (d dice) node() rotunda.NodeID { return oneOf(d, nodes...) }

func (d dice) actor(s *State) Actor {
	a := Actor{User: d.user(), Name: "Name"}
	switch d(14) {
	case 0:
		return Actor{System: true}
	case 1:
		a.Role = oneOf(d, roles...)
	case 2:
		a.Role, a.Grant = oneOf(d, roles...), true
	case 3, 4, 5, 6, 7:
		if s.Host != "" {
			a.User = s.Host
		}
	}
	return a
}

// command draws who does what: anything by anybody, with what keeps a room going drawn more often.
func (d dice) command(s *State) (Actor, Command) {
	a, u, node := d.actor(s), d.user(), d.node()
	if s.Seq == 0 {
		c := Create{Title: oneOf(d, "One", "Two", "", "\x00"), Node: node, Mode: oneOf(d, "", Rotating, Lecture)}
		if d(5) == 0 {
			at := time.Unix(1_700_000_100, 0)
			c.StartsAt = &at
		}
		return a, c
	}
	switch d(20) {
	case 0, 1, 2:
		return a, d.roomCommand(s)
	case 3, 4, 5, 6:
		return Actor{System: true}, oneOf[Command](d,
			Present{u, node}, Present{u, node}, Present{u, node}, Present{s.Host, node}, Absent{u, node}, Absent{s.Host, node}, Restart{node},
			Lost{node}, StandBy{node, s.Home}, StandBy{node, s.Home}, TakeHome{node, s.Standby.Epoch}, TakeHome{node, rotunda.Epoch(d(20))},
			TakeHome{s.Standby.Node, s.Standby.Epoch}, HandOver{s.Home}, Tick{}, Speaking{s.Home, map[rotunda.UserID]Seconds{u: Seconds(d(60)), d.user(): 1}}, Withdraw{User: u},
		)
	case 7:
		return a, oneOf[Command](d,
			Remove{User: u}, Remove{User: u, Ban: true}, Remove{User: u, Everywhere: true}, Unban{u}, Unban{u}, Warn{User: u, Reason: "Hush", Public: d(2) == 0},
			Report{User: u, Reason: "Spam"}, Lock{}, Unlock{}, MuteAll{}, Mute{User: u}, Deny{User: u},
		)
	case 8, 9, 10:
		a.User, a.Role, a.Grant = u, rotunda.NoRole, false
		return a, oneOf[Command](d, Request{}, Request{}, Publish{node}, Unmute{u}, Accept{u}, TakeLink{linkKey})
	}
	return a, oneOf[Command](d,
		Request{}, Withdraw{}, Approve{u}, Approve{u}, Approve{u}, Deny{User: u}, Invite{u}, Invite{u}, Accept{}, Decline{u},
		SetRole{u, oneOf(d, roles...)}, SetRole{u, oneOf(d, roles...)}, Mute{User: u}, Unmute{u}, Unmute{a.User}, Publish{node}, Publish{node},
		Unpublish{u, s.MicEpoch(u)}, Claim{}, NextTurn{}, ExtendTurn{Seconds(d(40))},
		ProposePin{URL: fmt.Sprintf("https://example.org/%d", d(30))}, ApprovePin{PinID(fmt.Sprintf("p%d", d(20)))},
		MovePin{PinID(fmt.Sprintf("p%d", d(20))), d(12)}, Unpin{PinID(fmt.Sprintf("p%d", d(20)))},
	)
}

// roomCommand draws what is about the room.
func (d dice) roomCommand(s *State) Command {
	title, mode := oneOf(d, "One", "Two", "", "\x00"), oneOf[Mode](d, Discussion, Lecture, Questions, Rotating, "other")
	places, cohosts, on := 2+d(6), d(4), d(2) == 0
	requests, sanction := oneOf(d, Everyone, Everyone, Listed, Invited, Closed), oneOf(d, SanctionMute, SanctionRemove, SanctionBan)
	askers := []rotunda.UserID{d.user(), d.user()}
	if d(200) == 0 {
		return End{}
	}
	return oneOf[Command](d,
		Create{Title: title, Node: d.node()}, Start{}, Edit{Title: &title}, Edit{Mode: &mode}, Edit{Rules: &title}, Edit{Askers: &askers},
		Edit{Policy: PolicyEdit{SpeakersMax: &places}}, Edit{Policy: PolicyEdit{CohostsMax: &cohosts}}, Edit{Policy: PolicyEdit{FloorLock: &on}},
		Edit{Policy: PolicyEdit{Requests: &requests}}, Edit{Policy: PolicyEdit{Sanction: &sanction, MuteOnEntry: &on}}, Refresh{Joined: d(9)},
		Rotate{Turn: Seconds(10 + d(60))}, Rotate{}, StopRotation{}, OpenLink{linkKey}, OpenLink{fmt.Sprint(linkKey, d(9))}, CloseLink{},
	)
}
