package edge

import (
	"time"

	"rotunda"
	"rotunda/node/opus/packet"
)

// MergeMax is how many frames share a packet at most.
const MergeMax = packet.MergeMax

const (
	// mergeSlack is how long after its time the last frame of a group is still waited for.
	mergeSlack = 10 * time.Millisecond
	// mergedMax is the longest merged payload, in bytes: what fits into a datagram on any path.
	mergedMax = 1150
)

// Merger makes fewer packets of a program: two or three consecutive frames share one, as they are. It numbers its packets
// in a way of its own (Maker.Series), in which a hole is a real loss as well; timestamps are the program's.
//
// Frames are taken in groups of so many numbers; a group is done when all of it is there, when the next one's frames come, or
// when its time is over. Within it order does not matter. The zero value makes packets of one frame.
type Merger struct {
	frames int // of a group: 1 to MergeMax; 0 is 1
	next   int // of the groups to come

	open  bool
	base  uint16 // sequence number of the group's first frame
	due   time.Time
	group [MergeMax]held

	begun bool
	seq   uint16               // number of the newest packet made
	last  uint16               // sequence number of the newest frame in it
	made  [MergeMax + 1]Packet // of one group, and of one frame right behind it
	n, at int                  // packets made, and handed out
	buf   [MergeMax + 1][mergedMax]byte
	parts [MergeMax][]byte
}

// held is a frame that waits for its group.
type held struct {
	is      bool
	p       Packet
	payload [rotunda.PayloadMax]byte
}

// SetFrames says how many frames share a packet from the next group on.
func (m *Merger) SetFrames(n int) { m.next = max(1, min(n, MergeMax)) }

// Resume begins anew with the packet of that number, after packets that were not pushed and that nobody missed.
func (m *Merger) Resume(sequence uint16) {
	m.open, m.n, m.at = false, 0, 0
	m.last = sequence - 1
	for i := range m.group {
		m.group[i].is = false
	}
}

// Begins reports whether a packet of the program with this sequence number begins a group: who takes the program frame by
// frame until here may take it merged from here on, and the other way round, and misses nothing and hears nothing twice.
func (m *Merger) Begins(sequence uint16) bool {
	return !m.open || int16(sequence-m.base) >= int16(m.frames)
}

// Frames is how many frames share a packet in the group that is open or opened last.
func (m *Merger) Frames() int { return max(1, m.frames) }

// Push takes a packet of the program, of one frame; what it makes is to be fetched with Pop. Packets of a group that is
// over are dropped: late is true.
func (m *Merger) Push(now time.Time, p Packet) (late bool) {
	m.n, m.at = 0, 0
	if m.open && int16(p.Sequence-m.base) >= int16(m.frames) {
		m.finish()
		m.base += uint16(m.frames)
		if ahead := p.Sequence - m.base; m.next != m.frames || ahead >= uint16(m.frames) {
			m.base = p.Sequence
		}
		m.begin(now)
	}
	if !m.open {
		if m.begun && int16(p.Sequence-m.last) <= 0 {
			return true
		}
		m.base = p.Sequence
		if next := m.last + 1; m.begun && p.Sequence-next < uint16(max(1, m.next)) {
			m.base = next // what is missing may have been overtaken
		}
		m.begin(now)
	}
	i := int16(p.Sequence - m.base)
	if i < 0 {
		return true
	}
	h := &m.group[i]
	h.is, h.p = true, p
	h.p.Payload = h.payload[:copy(h.payload[:], p.Payload)]
	for i := range m.frames {
		if !m.group[i].is {
			return false
		}
	}
	m.finish()
	m.open = false
	return false
}

func (m *Merger) begin(now time.Time) {
	m.frames = max(1, m.next)
	m.open, m.due = true, now.Add(time.Duration(m.frames-1)*rotunda.FrameDuration+mergeSlack)
}

// NextTimeout is when Timeout is to be called, zero for never.
func (m *Merger) NextTimeout() time.Time {
	if !m.open {
		return time.Time{}
	}
	return m.due
}

// Timeout ends a group whose time is over; what it makes is to be fetched with Pop.
func (m *Merger) Timeout(now time.Time) {
	m.n, m.at = 0, 0
	if m.open && !now.Before(m.due) {
		m.finish()
		m.open = false
	}
}

// Peek is Pop without taking the packet.
func (m *Merger) Peek() (p Packet, ok bool) {
	if m.at == m.n {
		return Packet{}, false
	}
	return m.made[m.at], true
}

// Pop returns the next packet made; its Payload is valid until the next call of Push or Timeout.
func (m *Merger) Pop() (p Packet, ok bool) {
	if m.at == m.n {
		return Packet{}, false
	}
	m.at++
	return m.made[m.at-1], true
}

// finish makes packets of what the group has: of runs without a hole or a silence in them.
func (m *Merger) finish() {
	for i := 0; i < m.frames; {
		if !m.group[i].is {
			i++
			continue
		}
		end := i + 1
		size := len(m.group[i].p.Payload)
		for end < m.frames && m.follows(i, end, size) {
			size += len(m.group[end].p.Payload)
			end++
		}
		m.make(i, end)
		i = end
	}
	for i := range m.group {
		m.group[i].is = false
	}
}

// follows reports whether frame i can share a packet with those from first on before it, which have so many bytes.
func (m *Merger) follows(first, i, size int) bool {
	a, b := &m.group[first], &m.group[i]
	return b.is && !b.p.Marker && b.p.Timestamp == a.p.Timestamp+uint32(i-first)*rotunda.FrameTicks &&
		size+len(b.p.Payload)+2*MergeMax <= mergedMax &&
		packet.Mergeable(a.p.Payload, rotunda.FrameTicks) && packet.Mergeable(b.p.Payload, rotunda.FrameTicks) && a.p.Payload[0] == b.p.Payload[0]
}

// make makes the packet of the frames from first to before end.
func (m *Merger) make(first, end int) {
	if end-first > 1 {
		for i := first; i < end; i++ {
			m.parts[i-first] = m.group[i].p.Payload
		}
	}
	p := m.group[first].p
	if end-first > 1 {
		p.Payload, _ = packet.Merge(m.buf[m.n][:0], m.parts[:end-first]) // follows has seen to it that they fit
	}
	for i := first + 1; i < end; i++ {
		p.Level = min(p.Level, m.group[i].p.Level) // the loudest
		for k := range m.group[i].p.Sources.Len() {
			addSource(&p.Sources, m.group[i].p.Sources.At(k))
		}
	}
	sequence := m.base + uint16(first)
	if m.begun {
		missing := sequence - m.last - 1
		m.seq += 1 + (missing+uint16(m.frames)-1)/uint16(m.frames)
	} else {
		m.seq = sequence
	}
	m.begun, m.last = true, m.base+uint16(end-1)
	p.Sequence = m.seq
	m.made[m.n] = p
	m.n++
}

// addSource adds a speaker who is not in the list yet.
func addSource(s *rotunda.Sources, id rotunda.SSRC) {
	for i := range s.Len() {
		if s.At(i) == id {
			return
		}
	}
	s.Add(id)
}
