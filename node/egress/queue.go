package egress

import (
	"time"

	"rotunda"
	"rotunda/node/edge"
)

// queueLen is how many jobs wait for a shard at most: half a second of ten rooms. The shard waits for the kernel only, so a full
// queue belongs to a machine that cannot keep up, and old audio helps nobody.
const queueLen = 256

// jobFor says for whom a packet is.
type jobFor struct {
	room      *Room // all of its listeners who take this rendition
	rendition rendition
	begins    bool // before it listeners may change their renditions
	frames    int  // that share a packet from there on

	session *Session // or one session
	track   int
}

// job is a packet to be sent.
type job struct {
	jobFor
	made      time.Time
	sequence  uint16
	timestamp uint32
	marker    bool
	level     uint8
	sources   rotunda.Sources
	origin    int64
	payload   []byte // owned by the job
}

// set makes j a job of its own.
func (j *job) set(for_ jobFor, now time.Time, p *edge.Packet) {
	j.jobFor, j.made = for_, now
	j.sequence, j.timestamp, j.marker, j.level = p.Sequence, p.Timestamp, p.Marker, p.Level
	j.sources, j.origin = p.Sources, p.Origin
	j.payload = append(j.payload[:0], p.Payload...)
}

// copyFrom is set from another job.
func (j *job) copyFrom(o *job) {
	payload := append(j.payload[:0], o.payload...)
	*j = *o
	j.payload = payload
}

// queue is a ring that drops the oldest when it is full. Its places keep their buffers, so that it allocates only until each has
// held the longest packet. The zero value is empty.
type queue struct {
	jobs [queueLen]job
	head int // the oldest
	n    int
}

// push copies p into the ring and reports whether an older job had to go.
func (q *queue) push(for_ jobFor, now time.Time, p *edge.Packet) (dropped bool) {
	if q.n == queueLen {
		q.head = (q.head + 1) % queueLen
		q.n--
		dropped = true
	}
	q.jobs[(q.head+q.n)%queueLen].set(for_, now, p)
	q.n++
	return dropped
}

// pop takes the oldest job; ok is false when there is none. j's buffer goes into the ring in exchange.
func (q *queue) pop(j *job) (ok bool) {
	if q.n == 0 {
		return false
	}
	s := &q.jobs[q.head]
	*j, s.payload = *s, j.payload
	s.room, s.session = nil, nil
	q.head = (q.head + 1) % queueLen
	q.n--
	return true
}

// recentLen is how many packets of a series can be sent again: 640 ms of single frames.
const recentLen = 32

// recent is the newest packets of one series. The zero value is empty.
type recent struct{ jobs *[recentLen]job }

func (r *recent) put(j *job) {
	if r.jobs == nil {
		r.jobs = new([recentLen]job)
	}
	r.jobs[j.sequence%recentLen].copyFrom(j)
}

// find returns the packet with that number; nil where it is not known (any more).
func (r *recent) find(sequence uint16) *job {
	if r.jobs == nil {
		return nil
	}
	j := &r.jobs[sequence%recentLen]
	if j.sequence != sequence || len(j.payload) == 0 {
		return nil
	}
	return j
}
