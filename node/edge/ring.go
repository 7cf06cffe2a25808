package edge

import (
	"encoding/binary"
	"slices"
	"time"

	"rotunda"
)

// RewindMax is how much of a program a Ring keeps.
const RewindMax = time.Minute

// The bounds of a Ring. It is cut into pieces: what reads it holds up nobody for longer than it takes to copy one.
const (
	pieceFor   = time.Second
	piecesMax  = int(RewindMax/pieceFor) + 2 // the newest is begun, the oldest half over
	pieceLen   = 64                          // packets of 20 ms, and some that came at once
	pieceBytes = 16 << 10                    // 120 kbit/s, several times what a room takes: with more less than a minute is kept
	// RingBytesMax is the most memory that a ring takes: a megabyte. At 32 kbit/s it is about 350 kB.
	RingBytesMax = piecesMax * (pieceBytes + pieceLen*32)
)

// withheldFor is how long what comes of somebody who has lost their place is kept out: what was under way has arrived then.
const withheldFor = time.Second

// Ring keeps the packets of a room's program of the last minute, for those who missed some. The zero value is empty. It grows to
// at most RingBytesMax, and then allocates nothing.
type Ring struct {
	pieces   [piecesMax]piece
	next     uint64 // number of the piece that will be begun next; n is in pieces[n % piecesMax]
	withheld []withheld
}

// piece is the packets that came within a second.
type piece struct {
	begun   time.Time
	entries []entry // at most pieceLen
	bytes   []byte  // of each entry its sources, four bytes each, and its payload; at most pieceBytes
}

type entry struct {
	origin    int64 // Packet.Origin
	timestamp uint32
	after     uint32 // milliseconds since the piece was begun
	start     uint16 // in bytes
	length    uint16 // of the payload; 0: it is not given out any more
	sources   uint8  // how many
}

type withheld struct {
	ssrc  rotunda.SSRC
	until time.Time
}

// Kept is one packet of the last minute.
type Kept struct {
	At        time.Time // when it came
	Origin    int64     // Packet.Origin
	Timestamp uint32
	Payload   []byte
}

// Push keeps a copy of p. Packets may come a little out of order.
func (r *Ring) Push(now time.Time, p *Packet) {
	need := 4*p.Sources.Len() + len(p.Payload)
	q := r.newest()
	if q == nil || now.Sub(q.begun) >= pieceFor || now.Before(q.begun) || len(q.entries) == pieceLen || len(q.bytes)+need > pieceBytes {
		q = r.begin(now)
	}
	if len(p.Payload) == 0 || r.keptOut(now, &p.Sources) {
		return
	}
	e := entry{
		origin: p.Origin, timestamp: p.Timestamp, after: uint32(now.Sub(q.begun).Milliseconds()), start: uint16(len(q.bytes)),
		length: uint16(len(p.Payload)), sources: uint8(p.Sources.Len()),
	}
	for i := range p.Sources.Len() {
		q.bytes = binary.BigEndian.AppendUint32(q.bytes, uint32(p.Sources.At(i)))
	}
	q.bytes = append(q.bytes, p.Payload...)
	q.entries = append(q.entries, e)
}

func (r *Ring) newest() *piece {
	if r.next == 0 {
		return nil
	}
	return &r.pieces[(r.next-1)%uint64(piecesMax)]
}

func (r *Ring) begin(now time.Time) *piece {
	q := &r.pieces[r.next%uint64(piecesMax)]
	q.begun, q.entries, q.bytes = now, q.entries[:0], q.bytes[:0]
	r.next++
	return q
}

func (r *Ring) keptOut(now time.Time, sources *rotunda.Sources) bool {
	for _, w := range r.withheld {
		if now.After(w.until) {
			continue
		}
		for i := range sources.Len() {
			if sources.At(i) == w.ssrc {
				return true
			}
		}
	}
	return false
}

// Withhold forgets every packet in which somebody is heard, those that come within the next second too.
func (r *Ring) Withhold(now time.Time, ssrc rotunda.SSRC) {
	r.withheld = slices.DeleteFunc(r.withheld, func(w withheld) bool { return now.After(w.until) })
	r.withheld = append(r.withheld, withheld{ssrc, now.Add(withheldFor)})
	for i := range r.pieces {
		q := &r.pieces[i]
		for j := range q.entries {
			q.entries[j].withhold(q.bytes, ssrc)
		}
	}
}

func (e *entry) withhold(bytes []byte, ssrc rotunda.SSRC) {
	b := bytes[e.start:]
	for i := range int(e.sources) {
		if binary.BigEndian.Uint32(b[4*i:]) == uint32(ssrc) {
			at := 4 * int(e.sources)
			clear(b[at : at+int(e.length)])
			e.length = 0
			return
		}
	}
}

// Read appends the packets of piece n that came at since or later, or of the oldest piece that is still kept, and returns the number of
// the next; ok is false when there is none with that number. Begin with 0. Payloads are copies.
func (r *Ring) Read(kept []Kept, n uint64, since time.Time) (_ []Kept, next uint64, ok bool) {
	if r.next > uint64(piecesMax) {
		n = max(n, r.next-uint64(piecesMax))
	}
	if n >= r.next {
		return kept, n, false
	}
	q := &r.pieces[n%uint64(piecesMax)]
	copied := slices.Clone(q.bytes)
	for _, e := range q.entries {
		at := q.begun.Add(time.Duration(e.after) * time.Millisecond)
		if e.length == 0 || at.Before(since) {
			continue
		}
		from := int(e.start) + 4*int(e.sources)
		kept = append(kept, Kept{At: at, Origin: e.origin, Timestamp: e.timestamp, Payload: copied[from : from+int(e.length)]})
	}
	return kept, n + 1, true
}

// Over reports whether nothing of it is of the last minute.
func (r *Ring) Over(now time.Time) bool {
	q := r.newest()
	return q == nil || now.Sub(q.begun) > RewindMax+pieceFor
}

// Replay puts what was read into order, as one stream whose timestamps begin at 0. Where nothing was kept for longer than pauseMax, the pause
// is made that long: the program was not carried there, or is withheld.
func Replay(kept []Kept) []Kept {
	if len(kept) == 0 {
		return kept
	}
	first := kept[0].Timestamp
	slices.SortStableFunc(kept, func(a, b Kept) int { return int(int32(a.Timestamp-first)) - int(int32(b.Timestamp-first)) })
	last, at := kept[0].Timestamp, uint32(0)
	for i := range kept {
		step := kept[i].Timestamp - last
		last = kept[i].Timestamp
		at += min(step, pauseMax)
		kept[i].Timestamp = at
	}
	return kept
}

// pauseMax is the longest silence of a replay, in ticks: a silent room sends a packet each 400 ms.
const pauseMax = rotunda.ClockRate
