package link

import (
	"sync"
	"time"

	"rotunda"
	"rotunda/cascade/wire"
	"rotunda/metrics"
)

const (
	// ringSize is how many frames wait for one peer. At 50 frames a second and stream it is ageMax of 20 streams; when it
	// is full the oldest goes, so that a slow peer costs itself its past and nobody else anything.
	ringSize = 256
	// ageMax is how long a frame may wait to be sent: past it the receiver has concealed the gap already, and sending it
	// would only make the next ones late too.
	ageMax = 250 * time.Millisecond
	// slotCap is what a slot can hold at first: the usual frame of 20 ms at 40 kbit/s with its header and a few sources.
	slotCap = 192
)

// ring holds encoded frames between those who forward and the one goroutine that sends.
type ring struct {
	dropped *metrics.CounterVec
	wake    chan struct{} // capacity 1; a token when there is something to send. Never closed

	mu    sync.Mutex // guards what follows
	slots [ringSize]slot
	first int // index of the oldest
	n     int
}

type slot struct {
	at      time.Time // when it was put in
	encoded []byte
}

func newRing(dropped *metrics.CounterVec) *ring {
	r := &ring{dropped: dropped, wake: make(chan struct{}, 1)}
	block := make([]byte, ringSize*slotCap)
	for i := range r.slots {
		r.slots[i].encoded = block[i*slotCap : i*slotCap : (i+1)*slotCap]
	}
	return r
}

// push encodes f into the ring. It never blocks.
func (r *ring) push(now time.Time, a wire.Alias, f *rotunda.Frame) {
	r.mu.Lock()
	full := r.n == ringSize
	if full {
		r.first = (r.first + 1) % ringSize
		r.n--
	}
	s := &r.slots[(r.first+r.n)%ringSize]
	s.at = now
	s.encoded = wire.AppendFrame(s.encoded[:0], a, f)
	r.n++
	r.mu.Unlock()
	if full {
		r.dropped.With(dropQueueFull).Inc()
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// fill appends as many waiting frames to b as fit into a datagram of sizeMax octets, oldest first, and returns how many.
// Frames that have waited too long are dropped.
func (r *ring) fill(now time.Time, b []byte, sizeMax int) (_ []byte, frames int) {
	late := 0
	r.mu.Lock()
	for r.n > 0 {
		s := &r.slots[r.first]
		if now.Sub(s.at) > ageMax {
			late++
		} else {
			if len(b)+len(s.encoded) > sizeMax {
				break
			}
			b = append(b, s.encoded...)
			frames++
		}
		r.first = (r.first + 1) % ringSize
		r.n--
	}
	r.mu.Unlock()
	if late > 0 {
		r.dropped.With(dropLate).Add(float64(late))
	}
	return b, frames
}
