package egress

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"rotunda"
	"rotunda/node/edge"
	"rotunda/node/egress/rtp"
)

// rendition is how a session takes a room's program.
type rendition uint8

const (
	undecided    rendition = iota // it has just come: it begins where a group of frames does
	singleFrames                  // a packet for each frame
	mergedFrames                  // two or three frames to a packet
	redundant                     // a packet for each frame, with the two before it once more
	renditions   = iota
)

// Room is the listeners of one room on this node.
type Room struct {
	server    *Server
	home      int           // the shard of a small room's sessions
	seats     []*seats      // by shard
	listeners atomic.Int32  // sessions
	changes   atomic.Uint32 // counts what may have a session take another rendition

	mu      sync.Mutex   // guards what follows
	newer   job          // the newest packet of the program; no payload: there is none
	frames  int          // that share a packet from the next group on
	merger  *edge.Merger // nil: never needed
	merging bool
	timer   *time.Timer            // of the merger
	earlier [rtp.BlocksMax]earlier // the newest last
	buf     []byte
}

// earlier is a frame that is sent once more.
type earlier struct {
	timestamp uint32
	payload   []byte
}

// Room makes the fan-out of one room. It costs nothing that has to be given back.
func (s *Server) Room() *Room {
	r := &Room{server: s, home: rand.IntN(len(s.shards)), frames: 1}
	for range s.shards {
		r.seats = append(r.seats, &seats{room: r})
	}
	return r
}

// smallRoom is how many sessions of a room stay on one shard: waking another core costs more than they do.
const smallRoom = 64

// shard chooses the one for a new session.
func (r *Room) shard() *shard {
	if r.listeners.Load() < smallRoom {
		return r.server.shards[r.home]
	}
	best := r.server.shards[0]
	for _, sh := range r.server.shards[1:] {
		if sh.sessions.Load() < best.sessions.Load() {
			best = sh
		}
	}
	return best
}

// Thresholds of merging, in listeners of a room on this node. A small room is not made to wait: three frames to a packet make
// the first of them 40 ms older.
const (
	twoFrom, threeFrom = 500, 1000
	twoDown, threeDown = 400, 800
)

// framesFor is how many frames share a packet in a room of so many listeners where now share one.
func framesFor(listeners, now int) int {
	switch {
	case listeners >= threeFrom || now == 3 && listeners >= threeDown:
		return 3
	case listeners >= twoFrom || now >= 2 && listeners >= twoDown:
		return 2
	}
	return 1
}

// Program sends a packet of the room's program to all who hear it. It copies p, never blocks and allocates nothing.
func (r *Room) Program(now time.Time, p *edge.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.newer.has() || int16(p.Sequence-r.newer.sequence) > 0 {
		r.newer.set(jobFor{}, now, p)
	}
	if frames := framesFor(int(r.listeners.Load()), r.frames); frames != r.frames {
		r.frames = frames
		r.changes.Add(1)
	}
	begins := r.merge(now, p)
	r.spread(now, jobFor{room: r, rendition: singleFrames, begins: begins, frames: r.frames}, p)
	r.again(now, p)
	r.spreadMerged(now)
}

func (j *job) has() bool { return len(j.payload) > 0 }

// merge gives the packet to the merger, where there is a use for it, and sends what was waiting for it to come; begins says
// that it begins a group.
func (r *Room) merge(now time.Time, p *edge.Packet) (begins bool) {
	if r.frames == 1 && r.taken(mergedFrames) == 0 {
		r.merging = false
		return true
	}
	if r.merger == nil {
		r.merger = &edge.Merger{}
		r.timer = time.AfterFunc(time.Hour, r.timeout)
	}
	if !r.merging {
		r.merging = true
		r.merger.Resume(p.Sequence)
	}
	r.merger.SetFrames(r.frames)
	begins = r.merger.Begins(p.Sequence)
	r.merger.Push(now, *p)
	if due := r.merger.NextTimeout(); !due.IsZero() && begins {
		r.timer.Reset(due.Sub(now))
	}
	if begins { // what comes out now was before it, but for a group of one
		for m, ok := r.merger.Peek(); ok && int32(m.Timestamp-p.Timestamp) < 0; m, ok = r.merger.Peek() {
			r.merger.Pop()
			r.spread(now, jobFor{room: r, rendition: mergedFrames}, &m)
		}
	}
	return begins
}

// spreadMerged sends what the merger has made.
func (r *Room) spreadMerged(now time.Time) {
	if !r.merging {
		return
	}
	for m, ok := r.merger.Pop(); ok; m, ok = r.merger.Pop() {
		r.spread(now, jobFor{room: r, rendition: mergedFrames}, &m)
	}
}

// timeout ends a group that waits in vain.
func (r *Room) timeout() {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.merging {
		return
	}
	r.merger.Timeout(now)
	r.spreadMerged(now)
	if due := r.merger.NextTimeout(); !due.IsZero() {
		r.timer.Reset(max(due.Sub(now), time.Millisecond))
	}
}

// again sends the packet with those before it once more, to those who lose some.
func (r *Room) again(now time.Time, p *edge.Packet) {
	if r.taken(redundant) > 0 || r.unsettled() {
		var blocks [rtp.BlocksMax]rtp.Block
		n := 0
		for i := range r.earlier {
			e := &r.earlier[i]
			if age := p.Timestamp - e.timestamp; len(e.payload) > 0 && age > 0 && age <= 3*rtp.BlocksMax*rotunda.FrameTicks {
				blocks[n] = rtp.Block{Age: age, Payload: e.payload}
				n++
			}
		}
		more := *p
		r.buf = rtp.AppendRedundant(r.buf[:0], opusUsual, blocks[:n], p.Payload)
		more.Payload = r.buf
		r.spread(now, jobFor{room: r, rendition: redundant}, &more)
	}
	first := r.earlier[0].payload
	copy(r.earlier[:], r.earlier[1:])
	r.earlier[rtp.BlocksMax-1] = earlier{p.Timestamp, append(first[:0], p.Payload...)}
}

// taken is how many sessions take a rendition.
func (r *Room) taken(what rendition) (n int) {
	for _, st := range r.seats {
		n += int(st.counts[what].Load())
	}
	return n
}

// spread queues a packet with the shards that have somebody for it, or may have by the time they come to it.
func (r *Room) spread(now time.Time, for_ jobFor, p *edge.Packet) {
	for i, st := range r.seats {
		if st.counts[for_.rendition].Load() > 0 || st.unsettled() {
			r.server.shards[i].push(for_, now, p)
		}
	}
}

// unsettled reports whether somebody may be about to take another rendition.
func (r *Room) unsettled() bool {
	for _, st := range r.seats {
		if st.unsettled() {
			return true
		}
	}
	return false
}

// newest copies the newest packet of the program; ok is false where there is none.
func (r *Room) newest(j *job) (ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.newer.has() {
		return false
	}
	j.copyFrom(&r.newer)
	return true
}

// seats is the part of a room's listeners that one shard has. It belongs to the shard's goroutine, but for the numbers.
type seats struct {
	room   *Room
	lists  [renditions][]*Session
	recent [2]recent // by series
	sentAt time.Time // when they were sent something last
	pulsed bool      // it is among the shard's pulses

	counts [renditions]atomic.Int32 // how long the lists are
	seen   atomic.Uint32            // Room.changes at the last reseating
}

func (st *seats) add(n *Session) {
	if n.seated {
		return
	}
	n.seated = true
	st.put(n, undecided)
}

func (st *seats) put(n *Session, what rendition) {
	n.takes, n.place = what, len(st.lists[what])
	st.lists[what] = append(st.lists[what], n)
	st.counts[what].Add(1)
}

func (st *seats) remove(n *Session) {
	if n.seated {
		n.seated = false
		st.take(n)
	}
}

func (st *seats) take(n *Session) {
	list := st.lists[n.takes]
	last := list[len(list)-1]
	list[n.place], last.place = last, n.place
	list[len(list)-1] = nil
	st.lists[n.takes] = list[:len(list)-1]
	st.counts[n.takes].Add(-1)
}

func (st *seats) unsettled() bool {
	return st.counts[undecided].Load() > 0 || st.seen.Load() != st.room.changes.Load() && st.any()
}

func (st *seats) any() bool {
	for i := range st.counts {
		if st.counts[i].Load() > 0 {
			return true
		}
	}
	return false
}

// reseat has every session take what is best for it, where so many frames share a packet.
func (st *seats) reseat(frames int) {
	changes := st.room.changes.Load()
	all := st.seen.Load() != changes
	for what := range rendition(renditions) {
		if what != undecided && !all {
			break
		}
		for i := 0; i < len(st.lists[what]); {
			n := st.lists[what][i]
			best := n.best(frames)
			if best == what {
				i++
				continue
			}
			st.take(n) // another one has its place now
			st.put(n, best)
			n.changed = true
		}
	}
	st.seen.Store(changes)
}

// best is the rendition for a session.
func (n *Session) best(frames int) rendition {
	switch {
	case n.lossy.Load() && n.tracks[0].payload.red != 0:
		return redundant
	case n.lossy.Load() || frames == 1 || n.frames < frames:
		return singleFrames
	}
	return mergedFrames
}
