// Package presence sums up who is in a room and what they show, for rooms of any size: every node says what it has itself,
// the nodes on the way to the room's home add up what they are told, and everybody gets the one sum.
//
// The invariant: a sum is as large as a part. Merging is the same in any order and grouping (for counts below CountMax), so
// the sum does not depend on the shape of the tree. A sample of people is those with the smallest hash of their id, so
// merging samples samples the union.
//
// A summary travels as these octets; integers are varints (encoding/binary), a text is one octet of length and its octets:
//
//	octets  field
//	1       format: 1
//	varint  listeners
//	varint  joined
//	1       number of reactions, at most KindsMax, in the order of their texts
//	        each: text (1 to kindMax), count (varint, not 0)
//	1       number of people, at most RosterMax, in the order of their hashes
//	        each: id (text), name (text), avatar (text)
//
// All functions are pure and may be called concurrently.
package presence

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"unicode/utf8"

	"rotunda"
)

// Limits.
const (
	SizeMax   = 1024    // octets of an encoded summary; what does not fit of the roster is left out
	RosterMax = 24      // people in a sample
	KindsMax  = 16      // different reactions
	CountMax  = 1 << 30 // anything counted
	kindMax   = 32      // octets of a reaction
	textMax   = 128     // octets of a name or an avatar
	format    = 1
)

// Summary is a room, or a part of it, at one moment.
type Summary struct {
	Listeners int            `json:"listeners"` // people who listen
	Joined    int            `json:"joined"`    // how many have come since the room was refreshed
	Reactions map[string]int `json:"reactions"` // of the last seconds, by emoji; nil: none
	Roster    []Person       `json:"roster"`    // a sample of those who are there, in no order that means anything
}

// Person is somebody in the room.
type Person struct {
	User   rotunda.UserID `json:"user"`
	Name   string         `json:"name"`
	Avatar string         `json:"avatar,omitempty"` // path of the picture
}

// Merge adds up the parts.
func Merge(parts ...Summary) Summary {
	var sum Summary
	people := map[rotunda.UserID]Person{}
	for _, p := range parts {
		sum.Listeners = add(sum.Listeners, p.Listeners)
		sum.Joined = add(sum.Joined, p.Joined)
		for kind, n := range p.Reactions {
			if sum.Reactions == nil {
				sum.Reactions = map[string]int{}
			}
			sum.Reactions[kind] = add(sum.Reactions[kind], n)
		}
		for _, one := range p.Roster {
			if known, ok := people[one.User]; !ok || compare(one, known) < 0 {
				people[one.User] = one
			}
		}
	}
	sum.Reactions = bounded(sum.Reactions)
	sum.Roster = Sample(slices.Collect(maps.Values(people)))
	return sum
}

func add(a, b int) int { return min(max(a, 0)+max(b, 0), CountMax) }

// bounded keeps the reactions that come first by text.
func bounded(reactions map[string]int) map[string]int {
	for len(reactions) > KindsMax {
		delete(reactions, slices.Max(slices.Collect(maps.Keys(reactions))))
	}
	return reactions
}

// Sample is up to RosterMax of the people, who must be different: always the same ones of the same people.
func Sample(people []Person) []Person {
	people = slices.Clone(people)
	slices.SortFunc(people, compare)
	return slices.Clip(people[:min(len(people), RosterMax)])
}

func compare(a, b Person) int {
	return cmp.Or(cmp.Compare(hash(a.User), hash(b.User)), cmp.Compare(a.User, b.User), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Avatar, b.Avatar))
}

// hash is FNV-1a with the finish of splitmix64, so that ids that are alike are far apart. The same on every node.
func hash(u rotunda.UserID) uint64 {
	f := fnv.New64a()
	f.Write([]byte(u))
	h := f.Sum64()
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// Encode is the summary in at most SizeMax octets: texts are cut, reactions that are none left out, and so are people for
// whom there is no room.
func (s Summary) Encode() []byte {
	b := []byte{format}
	b = binary.AppendUvarint(b, uint64(add(s.Listeners, 0)))
	b = binary.AppendUvarint(b, uint64(add(s.Joined, 0)))
	reactions := map[string]int{}
	for kind, n := range s.Reactions {
		if kind != "" && len(kind) <= kindMax && utf8.ValidString(kind) && n > 0 {
			reactions[kind] = add(n, 0)
		}
	}
	reactions = bounded(reactions)
	b = append(b, byte(len(reactions)))
	for _, kind := range slices.Sorted(maps.Keys(reactions)) {
		b = binary.AppendUvarint(appendText(b, kind), uint64(reactions[kind]))
	}
	count := len(b)
	b = append(b, 0)
	for _, p := range Sample(s.Roster) {
		if p.User.Valid() != nil {
			continue
		}
		avatar := p.Avatar
		if len(avatar) > textMax || !utf8.ValidString(avatar) {
			avatar = "" // half a path leads nowhere
		}
		one := appendText(appendText(appendText(nil, string(p.User)), cut(p.Name)), avatar)
		if len(b)+len(one) > SizeMax {
			break
		}
		b = append(b, one...)
		b[count]++
	}
	return b
}

// cut shortens a name to textMax octets, at a character.
func cut(s string) string { return cutTo(s, textMax) }

func cutTo(s string, lenMax int) string {
	if !utf8.ValidString(s) {
		return ""
	}
	for len(s) > lenMax {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

func appendText(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// ErrMalformed is wrapped by Decode's errors.
var ErrMalformed = errors.New("malformed summary")

// Decode reads what Encode wrote, and nothing else: it encodes back to the same octets.
func Decode(b []byte) (Summary, error) {
	var s Summary
	if len(b) == 0 || len(b) > SizeMax || b[0] != format {
		return s, fmt.Errorf("%w: length or format", ErrMalformed)
	}
	p := parser{b: b[1:]}
	s.Listeners, s.Joined = p.count(0), p.count(0)
	last := ""
	for i := range p.number(KindsMax) {
		kind := p.text(kindMax)
		if kind == "" || i > 0 && kind <= last {
			p.bad = true
		}
		last = kind
		if s.Reactions == nil {
			s.Reactions = map[string]int{}
		}
		s.Reactions[kind] = p.count(1)
	}
	for i := range p.number(RosterMax) {
		one := Person{User: rotunda.UserID(p.text(textMax)), Name: p.text(textMax), Avatar: p.text(textMax)}
		if one.User.Valid() != nil || i > 0 && (compare(s.Roster[i-1], one) >= 0 || s.Roster[i-1].User == one.User) {
			p.bad = true
		}
		s.Roster = append(s.Roster, one)
	}
	if p.bad || len(p.b) > 0 {
		return Summary{}, fmt.Errorf("%w: its fields", ErrMalformed)
	}
	return s, nil
}

// parser takes one field after the other; after the first error it returns zero values.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) fail() { p.bad, p.b = true, nil }

func (p *parser) count(least uint64) int {
	v, n := binary.Uvarint(p.b)
	if n <= 0 || v > CountMax || v < least || n > 1 && p.b[n-1] == 0 { // not in its shortest form
		p.fail()
		return 0
	}
	p.b = p.b[n:]
	return int(v)
}

func (p *parser) number(most int) int {
	if len(p.b) == 0 || int(p.b[0]) > most {
		p.fail()
		return 0
	}
	n := int(p.b[0])
	p.b = p.b[1:]
	return n
}

func (p *parser) text(lenMax int) string {
	n := p.number(lenMax)
	if len(p.b) < n || !utf8.Valid(p.b[:n]) {
		p.fail()
		return ""
	}
	s := string(p.b[:n])
	p.b = p.b[n:]
	return s
}
