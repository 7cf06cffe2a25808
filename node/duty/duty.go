// Package duty says what one node has to do for one room: which streams it publishes, which it pulls and from where,
// whether it mixes, whose microphone passes, who hears what, and whose session is over.
//
// It is a pure function of two facts, the room as its log has it and the sessions that this node holds, so a node that
// is told the same twice has nothing to do the second time. Its one invariant is the product's promise about decisions:
// no microphone passes that the log does not let pass at this node in this epoch (reliability.md, I4).
package duty

import (
	"cmp"
	"slices"

	"rotunda"
)

// Room is what the log says of a room, as far as audio is concerned.
type Room struct {
	ID       rotunda.RoomID
	Live     bool
	Home     rotunda.NodeID // mixes the program
	Epoch    rotunda.Epoch  // of the program
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
	// Mix lists the microphones that go into the program; empty where the node is not home. They are pulled only while
	// somebody takes the program.
	Mix []Pull
	// Mics lists the microphone sessions of this node that are current, by user: each publishes the stream named.
	Mics map[rotunda.UserID]Gate
	// Over lists the microphone sessions of this node that the log knows no more: to be closed.
	Over []Mic
	// Listen is the program, to be pulled for the listeners here; nil where nobody listens.
	Listen *Pull
	// Stage lists the microphones to be pulled for the speakers here, who hear each other unmixed.
	Stage []Pull
}

// Gate is what becomes of one microphone session.
type Gate struct {
	Stream rotunda.StreamID
	SSRC   rotunda.SSRC
	Open   bool // its packets pass
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

	speakers := slices.SortedFunc(slices.Values(r.Speakers), func(a, b Speaker) int { return cmp.Compare(a.User, b.User) })
	for _, m := range l.Mics {
		s, ok := find(speakers, m.User)
		if !ok || s.Node != l.Node || s.Epoch != m.Epoch {
			d.Over = append(d.Over, m)
			continue
		}
		d.Mics[m.User] = Gate{Stream: stream(r.ID, s), SSRC: s.SSRC, Open: !s.Muted}
	}

	var listeners, onStage bool
	for _, u := range l.Players {
		if r.Hears(u) == Stage {
			onStage = true
		} else {
			listeners = true
		}
	}
	if listeners {
		d.Listen = &Pull{Stream: d.Program, Origin: r.Home}
	}
	for _, s := range speakers {
		p := Pull{Stream: stream(r.ID, s), Origin: s.Node, SSRC: s.SSRC, Muted: s.Muted}
		if onStage {
			d.Stage = append(d.Stage, p)
		}
		if d.Home {
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
