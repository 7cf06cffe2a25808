package eventlog

import (
	"fmt"
	"slices"

	"rotunda"
)

// Stored is what a store has of a room, whether or not it fits together: what Mend compares with a copy.
type Stored struct {
	Head     Mark
	Base     Mark
	Entries  []Slot // ascending by key
	Segments []FoldedSlot
}

// Mark is a position that a store has under a key; the zero Position where there is no such key.
type Mark struct {
	Position
	Unreadable bool
}

// Slot is the record that a store has under a number.
type Slot struct {
	Key        string // the store's own name of the place
	Seq        uint64 // 0: the key is that of no record
	Entry      Entry
	Unreadable bool // what is there is no entry
}

// FoldedSlot is the segment that a store has under a number.
type FoldedSlot struct {
	Key string
	Seq uint64 // 0 is that of the first one
	Segment
	Unreadable bool
}

// Copy is the end of a room's chain, as somebody has seen it: the entries after From without a gap.
type Copy struct {
	From    Position
	Entries []Entry
}

// Repair is what makes a store whole again.
type Repair struct {
	Put      []Entry   // in the place of whatever is under their numbers
	Drop     []Slot    // records of the chain once more, under numbers that are not theirs
	Segments []Segment // in the place of whatever is under the numbers of their From
	Base     *Position // nil: it stays
	Head     *Position // nil: it stays
}

// Names says what was damaged; none: the store is whole as far as the copy can tell.
func (r Repair) Names() (out []string) {
	for _, s := range r.Segments {
		out = append(out, fmt.Sprintf("segment from %d", s.From.Seq))
	}
	if r.Base != nil {
		out = append(out, "base")
	}
	for _, e := range r.Put {
		out = append(out, fmt.Sprintf("entry %d", e.Seq))
	}
	for _, s := range r.Drop {
		out = append(out, fmt.Sprintf("key %.100q, one entry too many", s.Key))
	}
	if r.Head != nil {
		out = append(out, "head")
	}
	return out
}

// Mend compares what a store has with a copy and says what to put right. It believes the copy where the store itself has
// proof that its history is the copy's: the head, or the last record. Where the store goes on past the copy, that stays as it
// is. It does not put back an end that the store has lost: that is an ordinary append.
//
// The error wraps ErrBroken where the store is damaged, or has another history, and the copy does not tell what was there.
func (s Stored) Mend(room rotunda.RoomID, c Copy, keep func(Entry) bool) (Repair, error) {
	m := mending{room: room, stored: s, copy: c, slots: map[uint64]Slot{}, chain: map[uint64]Position{}}
	for _, step := range []func() error{m.learn, func() error { return m.segments(keep) }, m.base, m.walk, m.head, m.compare} {
		if err := step(); err != nil {
			return Repair{}, err
		}
	}
	return m.repair, nil
}

type mending struct {
	room   rotunda.RoomID
	stored Stored
	copy   Copy

	slots  map[uint64]Slot     // of stored.Entries
	own    Position            // the copy's end
	chain  map[uint64]Position // of the history: the copy's, and what of the store leads to it and on from it
	from   Position            // the folded part ends here
	folded Position            // where the segments end
	end    Position            // where the store's history ends when it is whole
	repair Repair
}

func (m *mending) broken(format string, args ...any) error {
	return fmt.Errorf("room %s: %s: %w", m.room, fmt.Sprintf(format, args...), ErrBroken)
}

// learn checks the copy and takes its positions.
func (m *mending) learn() (err error) {
	for _, s := range m.stored.Entries {
		m.slots[s.Seq] = s
	}
	m.own = m.copy.From
	m.chain[m.own.Seq] = m.own
	for _, e := range m.copy.Entries {
		if m.own, err = m.own.Next(m.room, e); err != nil {
			return fmt.Errorf("this node's copy: %w", err)
		}
		m.chain[m.own.Seq] = m.own
	}
	return nil
}

// copied returns the copy's entry with that number.
func (m *mending) copied(seq uint64) (Entry, bool) {
	if seq <= m.copy.From.Seq || seq > m.own.Seq {
		return Entry{}, false
	}
	return m.copy.Entries[seq-m.copy.From.Seq-1], true
}

// segments walks the folded part. What of it is damaged or gone is folded again where the copy reaches back so far.
func (m *mending) segments(keep func(Entry) bool) error {
	for i, s := range m.stored.Segments {
		if s.Seq > m.folded.Seq && !s.Unreadable {
			if err := m.foldAgain(s.From, keep); err != nil {
				return err
			}
		}
		next := m.stored.Base.Position // what follows says where this one has to end
		if i+1 < len(m.stored.Segments) {
			next = m.stored.Segments[i+1].From
		}
		end, err := s.End(m.room)
		sound := !s.Unreadable && err == nil && s.Seq == m.folded.Seq && s.From == m.folded && len(s.Digests) > 0
		if sound && (end == next || m.has(end)) {
			m.folded = end
			continue
		}
		if s.Seq != m.folded.Seq {
			return m.broken("a segment from %d, where one from %d belongs", s.Seq, m.folded.Seq)
		}
		if err := m.foldAgain(next, keep); err != nil {
			return err
		}
	}
	if base := m.stored.Base.Position; base.Seq > m.folded.Seq && m.has(base) {
		return m.foldAgain(base, keep)
	}
	return nil
}

// foldAgain makes the segments from where the walk is up to a position.
func (m *mending) foldAgain(to Position, keep func(Entry) bool) error {
	if !m.has(m.folded) || !m.has(to) || to.Seq <= m.folded.Seq || to.Seq > m.own.Seq {
		return m.broken("segment from %d is damaged or gone, and this node's copy begins after %d", m.folded.Seq, m.copy.From.Seq)
	}
	for m.folded != to {
		entries := m.copy.Entries[m.folded.Seq-m.copy.From.Seq : to.Seq-m.copy.From.Seq]
		s, end, err := Fold(m.room, m.folded, entries[:min(len(entries), ReadMax)], keep)
		if err != nil {
			return err
		}
		m.repair.Segments, m.folded = append(m.repair.Segments, s), end
	}
	return nil
}

// has reports whether a position is one of the copy.
func (m *mending) has(p Position) bool { at, known := m.chain[p.Seq]; return known && at == p }

// base is where the folded part ends; the segments say so too.
func (m *mending) base() error {
	m.from = m.folded
	if b := m.stored.Base; !b.Unreadable && b.Position == m.from {
		return nil
	}
	if _, known := m.chain[m.from.Seq]; !m.has(m.from) && (known || !m.leadsOn(m.from)) {
		return m.broken("what is folded ends at %v, the base says %v", m.from, m.stored.Base.Position)
	}
	m.repair.Base = &m.from
	return nil
}

// leadsOn reports whether the store's next entry follows p.
func (m *mending) leadsOn(p Position) bool {
	s, ok := m.slots[p.Seq+1]
	return ok && m.fits(s, p)
}

func (m *mending) fits(s Slot, after Position) bool {
	return !s.Unreadable && s.Entry.Prev == after.Hash
}

// walk goes from the base to where the copy begins.
func (m *mending) walk() (err error) {
	if m.from.Seq > m.own.Seq {
		return m.broken("folded up to %v, and this node's copy ends at %v", m.from, m.own)
	}
	at := m.from
	for at.Seq < m.copy.From.Seq {
		s, ok := m.slots[at.Seq+1]
		if !ok || s.Unreadable {
			return m.broken("entry %d is damaged or gone, and this node's copy begins after %d", at.Seq+1, m.copy.From.Seq)
		}
		if at, err = at.Next(m.room, s.Entry); err != nil {
			return err
		}
		if at.Seq < m.copy.From.Seq {
			m.chain[at.Seq] = at
		}
	}
	if !m.has(at) {
		return m.broken("the log has %v, this node has seen %v", at, m.chain[at.Seq])
	}
	m.chain[m.from.Seq] = m.from
	return nil
}

// good reports whether a record is the one that belongs under its number.
func (m *mending) good(s Slot) bool {
	at, known := m.chain[s.Seq]
	return known && s.Seq > m.from.Seq && !s.Unreadable && s.Entry.Hash(m.room) == at.Hash
}

// head finds out where the history ends, of which the store's head or its last record has to be part: everything before it
// hangs on its hash.
func (m *mending) head() error {
	head := m.stored.Head
	m.onward()
	last := m.chain[m.from.Seq] // that the store has
	for _, s := range m.stored.Entries {
		if m.good(s) && s.Seq > last.Seq {
			last = m.chain[s.Seq]
		}
	}
	if at, known := m.chain[head.Seq]; !head.Unreadable && head.Seq > 0 && head.Seq >= m.from.Seq && known && at == head.Position {
		m.end = at
		if last.Seq > at.Seq { // the head alone was set back
			m.end, m.repair.Head = last, &last
		}
		return nil
	}
	if head.Position == (Position{}) && !head.Unreadable && last == (Position{}) && len(m.stored.Entries) == 0 {
		return nil // the room is gone altogether
	}
	if !head.Unreadable && head.Position != (Position{}) && head.Seq != last.Seq && head.Hash != last.Hash || !m.has(last) || last.Seq > m.own.Seq {
		return m.broken("the log ends at %v, which is not of the history that this node has seen up to %v", head.Position, m.own)
	}
	if last == (Position{}) || last == m.from && len(m.stored.Entries) > 0 {
		return m.broken("the head is damaged, and no record is left that says where the log ended")
	}
	m.end, m.repair.Head = last, &last
	return nil
}

// onward takes the store's entries after the copy's end into the chain, if they lead to its head.
func (m *mending) onward() {
	head := m.stored.Head
	if head.Unreadable || head.Seq <= m.own.Seq || head.Seq > m.own.Seq+uint64(len(m.stored.Entries)) {
		return
	}
	on, at := map[uint64]Position{}, m.own
	for at.Seq < head.Seq {
		s, ok := m.slots[at.Seq+1]
		if !ok || !m.fits(s, at) {
			return
		}
		at = Position{Seq: at.Seq + 1, Hash: s.Entry.Hash(m.room)}
		on[at.Seq] = at
	}
	if at != head.Position {
		return
	}
	for seq, p := range on {
		m.chain[seq] = p
	}
}

// compare says what is not as it has to be.
func (m *mending) compare() error {
	there := map[uint64]bool{}
	for _, s := range m.stored.Entries {
		switch {
		case m.good(s) && s.Seq <= m.end.Seq:
			there[s.Seq] = true
		case s.Seq > m.from.Seq && s.Seq <= m.end.Seq: // put over it
		case m.doubled(s):
			m.repair.Drop = append(m.repair.Drop, s)
		default:
			return m.broken("key %.100q is not of the history that this node has seen up to %v", s.Key, m.own)
		}
	}
	for seq := m.from.Seq + 1; seq <= m.end.Seq; seq++ {
		if there[seq] {
			continue
		}
		e, ok := m.copied(seq)
		if !ok {
			return m.broken("entry %d is damaged or gone, and this node's copy has those from %d to %d", seq, m.copy.From.Seq+1, m.own.Seq)
		}
		m.repair.Put = append(m.repair.Put, e)
	}
	return nil
}

// doubled reports whether what is under a number that is none of the chain's is a record that the copy has in its own place.
func (m *mending) doubled(s Slot) bool {
	return !s.Unreadable && slices.ContainsFunc(m.copy.Entries, func(e Entry) bool {
		return e.Prev == s.Entry.Prev && e.Digest() == s.Entry.Digest()
	})
}
