// Package room is the room itself: who is on stage, who asked, who is muted, removed or banned, what it is called and
// where it is mixed. It is pure: an append-only list of events and the fold over them.
//
// Decide may refuse and changes nothing; Apply may change and never refuses. Whoever decides appends the events to the
// room's log (package eventlog) under the condition that nobody appended in between; every node applies the log in its
// order, and so every node has the same state at the same sequence number. The invariant, checked by
// CheckInvariants: a room has exactly one host, nobody who is banned is on stage or in the queue, nobody comes on stage
// with an open microphone, and every list has a bound.
//
// Who may do what is one table, Permissions; the code asks it and the documentation prints it.
//
// Nothing happens by itself: Deadline says when something is due, and whoever is first to command Tick then does it. So
// the host's role passes on, turns end and dead rooms end by events, at one sequence number, on all nodes.
//
// While the log is away, Restrict decides what only takes away. Such facts are laid over a state (Overlay) until the log
// has them (Adopt), by one rule that does not mind their order.
//
// A State is not safe for concurrent use while Apply runs. Package control hands out states that are never applied to
// again: those may be read from any goroutine.
package room

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"rotunda"
)

// The refusals. Every error of Decide wraps ErrForbidden, ErrConflict or ErrInvalid.
var (
	// ErrForbidden: this person may not do that here.
	ErrForbidden = errors.New("not allowed")
	// ErrBanned is the ErrForbidden of a person who is banned from the room.
	ErrBanned = fmt.Errorf("banned from this room: %w", ErrForbidden)
	// ErrConflict: the command does not fit the state that the room is in.
	ErrConflict = errors.New("does not fit the state of the room")
	// ErrFull is the ErrConflict of a stage or a queue that has no place left.
	ErrFull = fmt.Errorf("no place left: %w", ErrConflict)
	// ErrEnded is the ErrConflict of a room that is over.
	ErrEnded = fmt.Errorf("the room is over: %w", ErrConflict)
	// ErrNotLive is the ErrConflict of a room that has not started yet.
	ErrNotLive = fmt.Errorf("the room is not live: %w", ErrConflict)
	// ErrInvalid: the command itself is malformed; the text says which field and what is allowed.
	ErrInvalid = errors.New("invalid")
)

// Phase is where a room is in its life. The values are those of the label state of rotunda_rooms.
type Phase string

// The phases, in their only order.
const (
	Scheduled Phase = "scheduled"
	Live      Phase = "live"
	Ended     Phase = "ended"
)

// Bounds of a room. They are inclusive.
const (
	StageMax   = 100     // people on stage whatever the policy says
	StageUsual = 20      // policy.speakersMax where none is given
	QueueMax   = 500     // requests waiting
	BansMax    = 5_000   // banned people
	removalMax = 256     // removals without a ban that are remembered, the latest ones
	barsMax    = 4 << 10 // bytes of the list of people banned from all rooms of the host: every node keeps it of every room
	spentMax   = 5_000   // people whose grants no longer count
	voicesMax  = 2_000   // people whose time on stage is remembered, the latest ones
)

// State is a room at one sequence number. The exported fields are for reading.
type State struct {
	ID        rotunda.RoomID
	Seq       uint64 // of the event applied last; 0: there is no room yet
	Phase     Phase
	Details   Details
	CreatedAt time.Time
	StartedAt time.Time // zero: not yet
	EndedAt   time.Time // zero: not yet
	Host      rotunda.UserID
	Home      rotunda.NodeID // where the program is mixed
	Epoch     rotunda.Epoch  // of the program; grows when home moves
	Standby   Standby        // who takes over when home is silent; zero: nobody
	Fence     rotunda.Fence  // the regions that the room stays in; empty: no fence. Never changed
	Hitless   Hitless        // never changed

	RulesVersion uint64    // counts the changes of Details.Rules
	LockedAt     time.Time // no new listeners since; zero: open
	HostSince    time.Time // the present host's time in office
	HeldSince    time.Time // the host is away and nobody on stage could follow; zero: not so
	Rotation     Rotation  // zero: none
	Refreshed    Refreshed // zero: never
	Link         SpeakerLink

	stage     map[rotunda.UserID]Participant
	queue     map[rotunda.UserID]Ask
	invited   map[rotunda.UserID]Invitation
	removed   map[rotunda.UserID]Removal
	spent     map[rotunda.UserID]rotunda.Role // grants up to this role no longer count
	spentAll  bool                            // nor does any grant of anybody else: too many to remember
	voices    map[rotunda.UserID]voice        // people who were on stage
	warnings  map[rotunda.UserID]Warning
	pins      map[PinID]Pin
	reporters map[rotunda.UserID]int // reports by person

	// Slices are never changed in place: clones share them.
	formers []former   // hosts who lost the room by being away, the first one first
	history []Revision // the latest changes of Details, the oldest first
	adopted []string   // ids of the facts that came into the log last, the oldest first

	asked      uint64        // requests so far
	pinned     uint64        // pins so far
	reports    int           // so far
	epochFloor rotunda.Epoch // no mic epoch of anybody who is no longer in voices was higher
	spokeAt    time.Time     // the latest report of talk time
	pace       pace          // of the queue
	given      rotunda.Epoch // the highest epoch of the program that anybody was given
}

// voice is what stays with a person once they have been on stage: for the room's life, unless voicesMax others came after.
type voice struct {
	ssrc  rotunda.SSRC
	epoch rotunda.Epoch // of the latest publication
	left  uint64        // the event with which they left the stage last; 0: never
	talk  Talk
}

// Participant is a person with a role on stage.
type Participant struct {
	User  rotunda.UserID
	Name  string
	Role  rotunda.Role // Speaker, Cohost or Host
	Muted bool
	SSRC  rotunda.SSRC
	Live  bool           // has a mic session
	Node  rotunda.NodeID // where the latest mic session is or was; empty: never had one
	Epoch rotunda.Epoch  // of the latest mic session; 0: never had one
	Since time.Time      // on stage since

	Appointed uint64           // the event that made a co-host; 0: is none
	Nodes     []rotunda.NodeID // where they are connected, sorted; never changed in place
	Away      time.Time        // nowhere connected since; zero: connected, or not heard of yet
}

// Ask is a request to speak.
type Ask struct {
	User  rotunda.UserID
	Name  string
	At    time.Time
	Order uint64 // grows with every request of the room: the queue's order
	Note  string
}

// Removal says that a person was taken out of the room.
type Removal struct {
	By  rotunda.UserID // empty: the node itself
	At  time.Time
	Ban bool           // refused everything in this room from then on
	Bar rotunda.UserID // the host who banned them from all of their rooms; empty: this room only
}

// New is the state before the first event of a room.
func New(id rotunda.RoomID) *State { return &State{ID: id} }

// Clone returns a copy that shares nothing that Apply changes.
func (s *State) Clone() *State {
	c := *s
	c.stage = maps.Clone(s.stage)
	c.queue = maps.Clone(s.queue)
	c.removed = maps.Clone(s.removed)
	c.spent = maps.Clone(s.spent)
	c.voices = maps.Clone(s.voices)
	c.invited = maps.Clone(s.invited)
	c.warnings = maps.Clone(s.warnings)
	c.pins = maps.Clone(s.pins)
	c.reporters = maps.Clone(s.reporters)
	return &c
}

// Role is u's role; whoever is not on stage is a Listener.
func (s *State) Role(u rotunda.UserID) rotunda.Role {
	if p, ok := s.stage[u]; ok {
		return p.Role
	}
	return rotunda.Listener
}

// Participant returns what is known of u; ok is false for people who are not on stage.
func (s *State) Participant(u rotunda.UserID) (p Participant, ok bool) {
	p, ok = s.stage[u]
	return p, ok
}

// Stage lists the people on stage by user id.
func (s *State) Stage() []Participant {
	return slices.SortedFunc(maps.Values(s.stage), func(a, b Participant) int { return cmp.Compare(a.User, b.User) })
}

// Queue lists the requests to speak, the oldest first.
func (s *State) Queue() []Ask {
	return slices.SortedFunc(maps.Values(s.queue), func(a, b Ask) int { return cmp.Compare(a.Order, b.Order) })
}

// CanSpeak reports whether u may have a mic session now: on stage of a live room, and not banned.
func (s *State) CanSpeak(u rotunda.UserID) bool {
	_, on := s.stage[u]
	return on && s.Phase == Live && !s.Banned(u)
}

// Audible reports whether what u says may be forwarded now: CanSpeak and not muted.
func (s *State) Audible(u rotunda.UserID) bool { return s.CanSpeak(u) && !s.Muted(u) }

// Muted reports whether u's microphone is shut. Whoever is not on stage is muted.
func (s *State) Muted(u rotunda.UserID) bool {
	p, ok := s.stage[u]
	return !ok || p.Muted
}

// Banned reports whether u is refused everything in this room.
func (s *State) Banned(u rotunda.UserID) bool { return s.removed[u].Ban }

// Removed returns the latest removal of u, with or without a ban.
func (s *State) Removed(u rotunda.UserID) (r Removal, ok bool) {
	r, ok = s.removed[u]
	return r, ok
}

// SSRC is u's identity on the wire in this room, from the first time on stage on; 0: never on stage, or long ago.
func (s *State) SSRC(u rotunda.UserID) rotunda.SSRC { return s.voices[u].ssrc }

// MicEpoch is the epoch of u's latest mic session in this room; 0: none yet.
func (s *State) MicEpoch(u rotunda.UserID) rotunda.Epoch { return s.voices[u].epoch }

// Spent reports whether a grant of role r in u's token no longer counts, because it was used or because the room has
// taken the stage away from u since.
func (s *State) Spent(u rotunda.UserID, r rotunda.Role) bool {
	spent, known := s.spent[u]
	return r.Rank() <= spent.Rank() || !known && s.spentAll
}
