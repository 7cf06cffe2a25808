package presence

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"rotunda"
)

// This file is what nodes ask each other about the people of a room, and answer.
//
// A question is one of these; the kind comes first:
//
//	octets  field
//	1       kind: 1, list
//	1       limit, 1 to PageMax
//	text    user id after which to begin; empty: from the first
//	varint  length of what to search for, at most SearchMax, and its octets (UTF-8)
//
//	1       kind: 2, find
//	1       number of people, 1 to FindMax
//	8 n     the hashes of their ids
//
// and an answer is one of these:
//
//	1       kind: 1, list
//	1       1: there are more after the last of these people, who is there then; 0: there are none
//	1       number of people, at most PageMax, ascending by id
//	        each: id (text), name (text)
//
//	1       kind: 2, find
//	1       number of people who are there, at most FindMax, ascending
//	        each: place in the question (1), id of a node where they are (text)

// Limits.
const (
	PageMax   = 60      // people on a page
	SearchMax = 4 * 256 // octets of what is searched for: as many characters as a query may have
	FindMax   = 128     // people to look for in one question
	// shareLeast is how many people a node names at least, if it has them: up to so many that match a search it need not
	// know how many others have.
	shareLeast = 8
)

const (
	kindList = 1
	kindFind = 2
)

// List asks for one page of the people who may be named: those after a user id, by id, whose name or words about
// themselves hold Search, in any case.
type List struct {
	After  rotunda.UserID // empty: from the first
	Search string         // empty: everybody
	Limit  int            // 1 to PageMax
}

// Named is somebody on a page.
type Named struct {
	User rotunda.UserID
	Name string
}

// Page is people in the order of their ids, all there are up to the last of them; More says that there are others after
// that one.
type Page struct {
	People []Named
	More   bool
}

// Candidate is somebody who may be named.
type Candidate struct {
	User  rotunda.UserID
	Name  string
	About string // what they say of themselves
}

// Encode is the question in octets. A limit out of range is brought into it; what is too long to be asked is cut.
func (q List) Encode() []byte {
	b := appendText([]byte{kindList, byte(min(max(q.Limit, 1), PageMax))}, string(q.After))
	search := cutTo(strings.ToValidUTF8(q.Search, "\uFFFD"), SearchMax)
	return append(binary.AppendUvarint(b, uint64(len(search))), search...)
}

// EncodeFind is the question who of these people is there, the first FindMax of them.
func EncodeFind(users []rotunda.UserID) []byte {
	users = users[:min(len(users), FindMax)]
	b := []byte{kindFind, byte(len(users))}
	for _, u := range users {
		b = binary.BigEndian.AppendUint64(b, hash(u))
	}
	return b
}

// Share is how many of a page's people a node names that has here of all people: twice its share and a few more. Where it
// turns out to have had more than its share, the page is shorter, and nobody is missed.
func (q List) Share(here, all int) int {
	return min(q.Limit, shareLeast+(2*q.Limit*here+max(all, 1)-1)/max(all, 1))
}

// Page is the first few of the people who match, in the order of their ids; limit is at most q.Limit. People may come in any
// order, and more than once.
func (q List) Page(people iter.Seq[Candidate], limit int) Page {
	limit = min(max(limit, 1), q.Limit)
	search := strings.ToLower(q.Search)
	var p Page
	for c := range people {
		if c.User <= q.After || c.User.Valid() != nil || p.More && c.User > p.People[limit-1].User {
			continue
		}
		one := Named{c.User, cut(c.Name)}
		i, known := slices.BinarySearchFunc(p.People, one, compareNamed)
		if known || search != "" && !strings.Contains(strings.ToLower(c.Name+"\n"+c.About), search) {
			continue
		}
		if i > 0 && p.People[i-1].User == c.User {
			continue // by another name
		}
		p.People = slices.Insert(p.People, i, one)
		if i+1 < len(p.People) && p.People[i+1].User == c.User {
			p.People = slices.Delete(p.People, i+1, i+2)
		}
		if len(p.People) > limit {
			p.People, p.More = p.People[:limit], true
		}
	}
	return p
}

func compareNamed(a, b Named) int {
	return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Name, b.Name))
}

// MergePages makes one page of several, of which some may be of the same people: the same whatever is merged first. Beyond the last
// of a page that has more nothing is known, so the page ends there.
func MergePages(limit int, pages ...Page) Page {
	var all []Named
	var end rotunda.UserID
	more := false
	for _, p := range pages {
		all = append(all, p.People...)
		if n := len(p.People); p.More && n > 0 && (!more || p.People[n-1].User < end) {
			end, more = p.People[n-1].User, true
		}
	}
	slices.SortFunc(all, compareNamed)
	all = slices.CompactFunc(all, func(a, b Named) bool { return a.User == b.User })
	if more {
		all = slices.DeleteFunc(all, func(n Named) bool { return n.User > end })
	}
	if len(all) > limit {
		all, more = all[:limit], true
	}
	return Page{People: slices.Clip(all), More: more}
}

// Encode is the page in octets; people above PageMax are left to the next one.
func (p Page) Encode() []byte {
	more := p.More
	if len(p.People) > PageMax {
		p.People, more = p.People[:PageMax], true
	}
	b := []byte{kindList, 0, byte(len(p.People))}
	if more {
		b[1] = 1
	}
	for _, n := range p.People {
		b = appendText(appendText(b, string(n.User)), cut(n.Name))
	}
	return b
}

// DecodePage reads what Page.Encode wrote, and nothing else.
func DecodePage(b []byte) (Page, error) {
	var page Page
	p := parser{b: b}
	kind, more := p.number(255), p.number(1)
	for i := range p.number(PageMax) {
		one := Named{rotunda.UserID(p.text(textMax)), p.text(textMax)}
		if one.User.Valid() != nil || i > 0 && one.User <= page.People[i-1].User {
			p.fail()
		}
		page.People = append(page.People, one)
	}
	page.More = more == 1
	if kind != kindList || p.bad || len(p.b) > 0 || page.More && len(page.People) == 0 {
		return Page{}, fmt.Errorf("%w: a page", ErrMalformed)
	}
	return page, nil
}

// Found is where people are: by their place in the question, the first by id of the nodes that have them.
type Found map[int]rotunda.NodeID

// Encode is the answer in octets.
func (f Found) Encode() []byte {
	b := []byte{kindFind, 0}
	for i := range FindMax {
		if node, ok := f[i]; ok && node.Valid() == nil {
			b = appendText(append(b, byte(i)), string(node))
			b[1]++
		}
	}
	return b
}

// DecodeFound reads what Found.Encode wrote, and nothing else.
func DecodeFound(b []byte) (Found, error) {
	p, f, last := parser{b: b}, Found{}, -1
	kind := p.number(255)
	for range p.number(FindMax) {
		i, node := p.number(FindMax-1), rotunda.NodeID(p.text(textMax))
		if i <= last || node.Valid() != nil {
			p.fail()
		}
		last, f[i] = i, node
	}
	if kind != kindFind || p.bad || len(p.b) > 0 {
		return nil, fmt.Errorf("%w: who was found", ErrMalformed)
	}
	return f, nil
}

// Question is what was asked.
type Question struct {
	List   *List    // nil: who is to be found
	Hashes []uint64 // of those to be found
}

// DecodeQuestion reads what List.Encode or EncodeFind wrote, and nothing else.
func DecodeQuestion(b []byte) (Question, error) {
	var q Question
	p := parser{b: b}
	switch p.number(255) {
	case kindList:
		l := List{Limit: p.number(PageMax), After: rotunda.UserID(p.text(textMax))}
		n := p.count(0)
		if n > SearchMax || n != len(p.b) || l.Limit < 1 || l.After != "" && l.After.Valid() != nil || cutTo(string(p.b), SearchMax) != string(p.b) {
			p.fail()
		}
		l.Search = string(p.b)
		p.b, q.List = nil, &l
	case kindFind:
		n := p.number(FindMax)
		if n < 1 || len(p.b) != 8*n {
			p.fail()
			break
		}
		for range n {
			q.Hashes = append(q.Hashes, binary.BigEndian.Uint64(p.b))
			p.b = p.b[8:]
		}
	default:
		p.fail()
	}
	if p.bad {
		return Question{}, fmt.Errorf("%w: a question", ErrMalformed)
	}
	return q, nil
}

// Find is who of those asked for is among the people at node.
func (q Question) Find(node rotunda.NodeID, people iter.Seq[rotunda.UserID]) Found {
	places := map[uint64][]int{}
	for i, h := range q.Hashes {
		places[h] = append(places[h], i)
	}
	f := Found{}
	for u := range people {
		for _, i := range places[hash(u)] {
			f[i] = node
		}
	}
	return f
}

// Join makes one answer to a question of several; ok is false where one of them is no answer to it.
func Join(question []byte, parts [][]byte) (answer []byte, ok bool) {
	q, err := DecodeQuestion(question)
	if err != nil {
		return nil, false
	}
	ok = true
	if q.List != nil {
		var pages []Page
		for _, b := range parts {
			p, err := DecodePage(b)
			ok = ok && err == nil
			pages = append(pages, p)
		}
		return MergePages(q.List.Limit, pages...).Encode(), ok
	}
	all := Found{}
	for _, b := range parts {
		f, err := DecodeFound(b)
		ok = ok && err == nil
		for i, node := range f {
			if known, is := all[i]; !is || node < known {
				all[i] = node
			}
		}
	}
	return all.Encode(), ok
}
