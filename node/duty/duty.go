// Package duty says what one node has to do for one room: which streams it publishes, which it pulls and from where,
// whether it mixes, whose microphone passes, who hears what, and whose session is over.
//
// It is a pure function of two facts, the room as its log has it and the sessions that this node holds, so a node that
// is told the same twice has nothing to do the second time. Its one invariant is the product's promise about decisions:
// no microphone passes that the log does not let pass at this node in this epoch (reliability.md, I4), or, while the person
// changes over to another session, in an earlier one: for them the same word of the log holds, and the node bounds the time.
package duty

import (
	"cmp"
	"slices"
	"time"

	"rotunda"
)

// Room is what the log says of a room, as far as audio is concerned.
type Room struct {
	ID       rotunda.RoomID
	Live     bool
	Home     rotunda.NodeID // mixes the program
	Epoch    rotunda.Epoch  // of the program
	Standby  rotunda.NodeID // takes over when home is silent; empty: nobody
	Next     rotunda.Epoch  // that the program gets then
	Speakers []Speaker      // everybody with a microphone session, in any order
}

// Speaker is one person with a microphone session somewhere in the mesh.
type Speaker struct {
	User  rotunda.UserID
	SSRC  rotunda.SSRC
	Node  rotunda.NodeID // where the session is
	Epoch rotunda.Epoch  // of the session: a newer one takes the place of an older
	Muted bool
}

// Mic is a microphone session that this node holds.
type Mic struct {
	User  rotunda.UserID
	Epoch rotunda.Epoch
}

// Local is what this node holds of the room.
type Local struct {
	Node    rotunda.NodeID
	Mics    []Mic
	Players []rotunda.UserID // one entry for each session that takes audio
	Lingers bool             // one of them left the stage and hears it until the program is here
	// Taken is the epoch with which this node has begun to mix because home was silent; 0: it has not. It goes on, whoever is
	// named as standby meanwhile, until the log has an epoch at least as high.
	Taken rotunda.Epoch
}

// Pull is a stream to subscribe to, and the node to get it from.
type Pull struct {
	Stream rotunda.StreamID
	Origin rotunda.NodeID
	SSRC   rotunda.SSRC // of the speaker; 0 for the program
	// Muted: what arrives is dropped. The stream is pulled all the same, so that the first word after unmuting is heard.
	Muted bool
}

// Duties is a node's whole part in a room.
type Duties struct {
	// Home: this node is the room's home and offers its program, under the stream Program.
	Home    bool
	Program rotunda.StreamID
	// Standby: this node takes over when home's program stops, under the stream Next. Until then it offers that stream and
	// writes nothing. Next is named on every node of a room that has a standby.
	Standby bool
	Next    rotunda.StreamID
	// Mix lists the microphones that go into the program; empty where the node is neither home nor standby. They are pulled
	// only while somebody takes the stream.
	Mix []Pull
	// Watch is the other one's stream: home's for the standby, the standby's for home. Nil where there is none.
	Watch *Pull
	// Mics lists the microphone sessions of this node that are current, by user: each publishes the stream named.
	Mics map[rotunda.UserID]Gate
	// Replaced lists those whose place a newer session of the same person takes, here or elsewhere: they go on as they are until
	// that one is heard, for a while at most.
	Replaced []Mic
	// Over lists the microphone sessions of this node that the log knows no more: to be closed. So are those that are replaced
	// where the person is muted.
	Over []Mic
	// Listen is what is pulled for the listeners here: home's program and, so that a takeover needs no new way, the standby's.
	// Empty where nobody listens.
	Listen []Pull
	// Stage lists the microphones to be pulled for the speakers here, who hear each other unmixed.
	Stage []Pull
}

// Gate is what becomes of one microphone session.
type Gate struct {
	Stream rotunda.StreamID
	SSRC   rotunda.SSRC
	Open   bool // its packets pass
}

// Mixes is the stream that this node offers as home or as standby; ok is false where it is neither.
func (d Duties) Mixes() (stream rotunda.StreamID, ok bool) {
	switch {
	case d.Home:
		return d.Program, true
	case d.Standby:
		return d.Next, true
	}
	return stream, false
}

const (
	// VouchAfter is how long a node waits until it tells the log of an epoch that is Unknown there: whose it is, tells it as a rule.
	VouchAfter = time.Second
	// VouchSpread is how much longer some wait, so that not all who hear it tell it at once.
	VouchSpread = time.Second
)

// Unknown reports whether a program of this epoch, which is heard here, is one that nobody has by the log: a standby that was
// replaced while it was cut off has taken over, and if it has died since, nobody but those who heard it can say so. They take
// nothing older, so until the log has a higher epoch they hear nobody.
func (r Room) Unknown(heard rotunda.Epoch) bool {
	return r.Live && heard > r.Epoch && heard != r.Next
}

// Of says what the node that holds l must do for r.
func Of(r Room, l Local) Duties {
	d := Duties{Mics: map[rotunda.UserID]Gate{}}
	if !r.Live {
		d.Over = slices.Clone(l.Mics)
		return d
	}
	d.Program = rotunda.StreamID{Room: r.ID, Track: rotunda.Program, Epoch: r.Epoch}
	d.Home = r.Home == l.Node
	if l.Taken > r.Epoch {
		r.Standby, r.Next = l.Node, l.Taken
	}
	program, next := Pull{Stream: d.Program, Origin: r.Home}, Pull{}
	if r.Standby != "" {
		d.Next = rotunda.StreamID{Room: r.ID, Track: rotunda.Program, Epoch: r.Next}
		next = Pull{Stream: d.Next, Origin: r.Standby}
		d.Standby = r.Standby == l.Node && !d.Home
	}
	switch {
	case d.Standby:
		d.Watch = &program
	case d.Home && r.Standby != "":
		d.Watch = &next
	}

	speakers := slices.SortedFunc(slices.Values(r.Speakers), func(a, b Speaker) int { return cmp.Compare(a.User, b.User) })
	for _, m := range l.Mics {
		switch s, ok := find(speakers, m.User); {
		case ok && s.Node == l.Node && s.Epoch == m.Epoch:
			d.Mics[m.User] = Gate{Stream: stream(r.ID, s), SSRC: s.SSRC, Open: !s.Muted}
		case ok && s.Epoch > m.Epoch && !s.Muted:
			d.Replaced = append(d.Replaced, m)
		default:
			d.Over = append(d.Over, m)
		}
	}

	listeners, onStage := false, l.Lingers
	for _, u := range l.Players {
		if r.Hears(u) == Stage {
			onStage = true
		} else {
			listeners = true
		}
	}
	if listeners {
		d.Listen = append(d.Listen, program)
		if r.Standby != "" {
			d.Listen = append(d.Listen, next)
		}
	}
	for _, s := range speakers {
		p := Pull{Stream: stream(r.ID, s), Origin: s.Node, SSRC: s.SSRC, Muted: s.Muted}
		if onStage {
			d.Stage = append(d.Stage, p)
		}
		if d.Home || d.Standby {
			d.Mix = append(d.Mix, p)
		}
	}
	return d
}

func stream(room rotunda.RoomID, s Speaker) rotunda.StreamID {
	return rotunda.StreamID{Room: room, Track: rotunda.Mic(s.User), Epoch: s.Epoch}
}

func find(sorted []Speaker, u rotunda.UserID) (Speaker, bool) {
	i, ok := slices.BinarySearchFunc(sorted, u, func(s Speaker, u rotunda.UserID) int { return cmp.Compare(s.User, u) })
	if !ok {
		return Speaker{}, false
	}
	return sorted[i], true
}

// Hearing is what a session takes.
type Hearing string

// What a session may take.
const (
	Mixed Hearing = "program" // the room's one mixed stream
	Stage Hearing = "stage"   // the other speakers' own streams, the loudest few
)

// Hears says what a session of u takes: who has a microphone in the room would hear themselves in the program, late, so
// they get the others' streams.
func (r Room) Hears(u rotunda.UserID) Hearing {
	if slices.ContainsFunc(r.Speakers, func(s Speaker) bool { return s.User == u }) {
		return Stage
	}
	return Mixed
}
