// Package trace is what the nodes of a room say about their part in it, so that one of them can draw the whole: who carries
// which stream, by which ways, how old its frames are there and how many are missing.
//
// The invariant: what another node says is checked and bounded before it is believed; joining is the same in any order and
// grouping, and does not mind a part that comes twice. A page has at most PageMax octets, so that it fits one answer of the
// mesh (cascade.AnswerMax); nodes come in the order of their ids, and the next page begins after the last one.
//
// All functions are pure and may be called concurrently.
package trace

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"rotunda"
)

// Kind is the first octet of a question and of an answer; those of package presence are lower.
const Kind = 3

// Limits.
const (
	PageMax    = 12<<10 - 128 // octets of an answer
	streamsMax = 48           // streams that a node tells of
	waysMax    = 4            // ways of a stream
)

// ErrMalformed is what every error of this package wraps.
var ErrMalformed = errors.New("malformed trace")

// Part is one node's.
type Part struct {
	Node      rotunda.NodeID `json:"node"`
	Region    rotunda.Region `json:"region"`
	Listeners int            `json:"listeners"`                 // sessions that take the room's audio here
	RTT       float64        `json:"listener_rtt_ms,omitempty"` // between this node and its listeners, the middle one; 0: not known
	Lost      float64        `json:"listener_lost"`             // share of packets that the listeners miss, their latest reports' mean
	Streams   []Stream       `json:"streams"`
}

// Stream is one stream of the room on a node.
type Stream struct {
	Track  rotunda.Track  `json:"track"` // "program", or "mic/" and whose microphone it is
	Origin rotunda.NodeID `json:"origin"`
	Epoch  rotunda.Epoch  `json:"epoch"`
	Local  bool           `json:"local"` // somebody on the node takes it; else it only passes
	Outs   int            `json:"outs"`  // other nodes that take it from here
	Age    float64        `json:"age_ms"`
	Oldest float64        `json:"oldest_ms"`
	Ways   []Way          `json:"ways,omitempty"` // none where the node is the origin
}

// Way is one of the ways that a stream comes to a node by.
type Way struct {
	Path   []rotunda.NodeID `json:"path"`   // from the next hop to the origin
	RTT    float64          `json:"rtt_ms"` // of the link to the next hop; 0: there is none yet
	Heard  bool             `json:"heard"`
	Lost   float64          `json:"lost"`   // share of the last minute's frames that did not come by it
	Frames uint64           `json:"frames"` // over so many
	First  float64          `json:"first"`  // share that came by it before any other way
}

// Page is the parts of nodes in the order of their ids: all there are up to the last of them.
type Page struct {
	Parts []Part `json:"parts"`
	More  bool   `json:"more"`
}

// Question asks all nodes after one, by id; empty: from the first.
func Question(after rotunda.NodeID) []byte { return append([]byte{Kind}, after...) }

// Asked reads what Question wrote.
func Asked(b []byte) (after rotunda.NodeID, err error) {
	if len(b) == 0 || b[0] != Kind {
		return "", fmt.Errorf("%w: no question", ErrMalformed)
	}
	if after = rotunda.NodeID(b[1:]); after != "" && after.Valid() != nil {
		return "", fmt.Errorf("%w: no question", ErrMalformed)
	}
	return after, nil
}

// Own is the page of one node. Its streams beyond what fits are left out, microphones that only pass first.
func Own(p Part) Page {
	slices.SortStableFunc(p.Streams, func(a, b Stream) int { return cmp.Compare(rank(a), rank(b)) })
	p.Streams = p.Streams[:min(len(p.Streams), streamsMax)]
	for i, s := range p.Streams {
		p.Streams[i].Ways = s.Ways[:min(len(s.Ways), waysMax)]
	}
	for len(p.Streams) > 0 && len(Page{Parts: []Part{p}}.Encode()) > PageMax {
		p.Streams = p.Streams[:len(p.Streams)-1]
	}
	return Page{Parts: []Part{p}}
}

func rank(s Stream) int {
	switch {
	case s.Track == rotunda.Program:
		return 0
	case s.Local || len(s.Ways) == 0:
		return 1
	}
	return 2
}

// Encode is the page in octets.
func (p Page) Encode() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts and finite numbers always encode; Decode and the caller let no others in
	}
	return append([]byte{Kind}, b...)
}

// Decode reads what Encode wrote, by whichever node. What it does not know in it is left out.
func Decode(b []byte) (Page, error) {
	var p Page
	if len(b) == 0 || len(b) > PageMax || b[0] != Kind {
		return Page{}, fmt.Errorf("%w: no page", ErrMalformed)
	}
	if err := json.Unmarshal(b[1:], &p); err != nil {
		return Page{}, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	if p.More && len(p.Parts) == 0 {
		return Page{}, fmt.Errorf("%w: more than nothing", ErrMalformed)
	}
	for i, part := range p.Parts {
		if !part.good() || i > 0 && part.Node <= p.Parts[i-1].Node {
			return Page{}, fmt.Errorf("%w: part %d", ErrMalformed, i)
		}
	}
	return p, nil
}

// good reports whether a part is one that a node may say.
func (p Part) good() bool {
	if p.Node.Valid() != nil || p.Region.Valid() != nil || p.Listeners < 0 || len(p.Streams) > streamsMax || !measures(p.RTT, p.Lost) {
		return false
	}
	for _, s := range p.Streams {
		if s.Track.Valid() != nil || s.Origin.Valid() != nil || s.Outs < 0 || len(s.Ways) > waysMax || !numbers(s.Age, s.Oldest) {
			return false
		}
		for _, w := range s.Ways {
			if len(w.Path) == 0 || len(w.Path) > rotunda.HopsMax || !measures(w.RTT, w.Lost, w.First) {
				return false
			}
			for _, n := range w.Path {
				if n.Valid() != nil {
					return false
				}
			}
		}
	}
	return true
}

// measures are numbers that are not below zero; an age may be, where two clocks differ.
func measures(all ...float64) bool {
	return numbers(all...) && !slices.ContainsFunc(all, func(f float64) bool { return f < 0 })
}

func numbers(all ...float64) bool {
	return !slices.ContainsFunc(all, func(f float64) bool { return math.IsNaN(f) || math.IsInf(f, 0) })
}

// Merge makes one page of several: the same whatever is merged first. Beyond the last of a page that has more nothing is
// known, so the page ends there, and where PageMax octets are full.
func Merge(pages ...Page) Page {
	var all []Part
	var end rotunda.NodeID
	more := false
	for _, p := range pages {
		all = append(all, p.Parts...)
		if n := len(p.Parts); p.More && n > 0 && (!more || p.Parts[n-1].Node < end) {
			end, more = p.Parts[n-1].Node, true
		}
	}
	slices.SortStableFunc(all, func(a, b Part) int { return cmp.Compare(a.Node, b.Node) })
	all = slices.CompactFunc(all, func(a, b Part) bool { return a.Node == b.Node })
	if more {
		all = slices.DeleteFunc(all, func(p Part) bool { return p.Node > end })
	}
	size := len(Page{More: true}.Encode())
	for i, p := range all {
		size += len(Page{Parts: []Part{p}}.Encode())
		if i > 0 && size > PageMax {
			all, more = all[:i], true
			break
		}
	}
	return Page{Parts: slices.Clip(all), More: more}
}

// Join makes one answer to a question of several; ok is false where one of them is no answer to it.
func Join(question []byte, parts [][]byte) (answer []byte, ok bool) {
	after, err := Asked(question)
	if err != nil {
		return nil, false
	}
	ok = true
	var pages []Page
	for _, b := range parts {
		if len(b) == 0 {
			continue // a node that has nothing to say
		}
		p, err := Decode(b)
		ok = ok && err == nil
		p.Parts = slices.DeleteFunc(p.Parts, func(x Part) bool { return x.Node <= after })
		pages = append(pages, p)
	}
	return Merge(pages...).Encode(), ok
}
