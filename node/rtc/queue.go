package rtc

import (
	"rotunda"
	"rotunda/node/edge"
)

// queueLen is how many packets wait for one session's writer at most: 640 ms of one track. The writer only waits for the
// socket, so a queue that is full belongs to a machine that cannot keep up, and old audio helps nobody.
const queueLen = 32

// queued is an edge.Packet on its way to the writer.
type queued struct {
	track     int
	sequence  uint16
	timestamp uint32
	marker    bool
	sources   rotunda.Sources
	origin    int64
	payload   []byte // owned by the slot
}

// queue is a ring that drops the oldest when it is full. Its slots keep their buffers, so that it allocates only until
// each has held the longest packet. The zero value is empty. It has one reader.
type queue struct {
	slots [queueLen]queued
	head  int // the oldest
	n     int
}

// push copies p into the ring and reports whether an older packet had to go.
func (q *queue) push(track int, p *edge.Packet) (dropped bool) {
	if q.n == queueLen {
		q.head = (q.head + 1) % queueLen
		q.n--
		dropped = true
	}
	s := &q.slots[(q.head+q.n)%queueLen]
	s.track, s.sequence, s.timestamp, s.marker = track, p.Sequence, p.Timestamp, p.Marker
	s.sources, s.origin = p.Sources, p.Origin
	s.payload = append(s.payload[:0], p.Payload...)
	q.n++
	return dropped
}

// pop takes the oldest packet; ok is false when there is none. item's buffer goes into the ring in exchange, so that what
// was popped stays valid until the next pop.
func (q *queue) pop(item *queued) (ok bool) {
	if q.n == 0 {
		return false
	}
	s := &q.slots[q.head]
	*item, s.payload = *s, item.payload
	q.head = (q.head + 1) % queueLen
	q.n--
	return true
}
