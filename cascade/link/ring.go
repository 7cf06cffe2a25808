package link

import (
	"sync"
	"time"

	"rotunda"
	"rotunda/cascade/wire"
	"rotunda/metrics"
)

const (
	// ringSize is how many frames wait for one peer. At 50 frames a second and stream it is ageMax of 50 streams; when it
	// is full the oldest goes, so that a slow peer costs itself its past and nobody else anything.
	ringSize = 512
	// ageMax is how long a frame may wait to be sent: past it the receiver has concealed the gap already, and sending it
	// would only make the next ones late too.
	ageMax = 100 * time.Millisecond
	// slotCap is what a slot can hold at first: the usual frame of 20 ms at 40 kbit/s with its header and a few sources.
	slotCap = 192
)

// ring holds encoded frames between those who forward and the one goroutine that sends, and behind them those that it has
// sent, for as long as nothing else needs their slots: see again. Positions count from the first frame of all; the slot of
// one is its position modulo ringSize.
type ring struct {
	dropped *metrics.CounterVec
	wake    chan struct{} // capacity 1; a token when there is something to send. Never closed

	mu     sync.Mutex // guards what follows
	slots  [ringSize]slot
	next   uint64                  // where the next frame goes
	first  uint64                  // of the frames that wait, or next
	wanted [wire.MissingMax]uint64 // frames that the peer asks for
	wants  int                     // how many they are
	copied [copiesMax]uint64       // the first frame whose so-manieth copy has not gone yet; at most first
}

type slot struct {
	at      time.Time // when it was put in; from when it went on, that time; zero when it was dropped
	encoded []byte
	missed       // of the frame
	asked   bool // the peer has asked for it
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
	full := r.next-r.first == ringSize
	if full {
		r.first++
	}
	s := &r.slots[r.next%ringSize]
	s.at, s.missed, s.asked = now, missed{a, f.Seq}, false
	s.encoded = wire.AppendFrame(s.encoded[:0], a, f)
	r.next++
	r.mu.Unlock()
	if full {
		r.dropped.With(dropQueueFull).Inc()
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// waits reports whether frames wait.
func (r *ring) waits() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first < r.next
}

// fills reports whether the frames that wait fill a datagram of sizeMax octets.
func (r *ring) fills(sizeMax int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := r.first; c < r.next; c++ {
		if sizeMax -= len(r.slots[c%ringSize].encoded); sizeMax <= 0 {
			return true
		}
	}
	return false
}

// fill appends as many waiting frames to b as fit into a datagram of sizeMax octets, oldest first, and returns how many.
// Frames that have waited too long are dropped.
func (r *ring) fill(now time.Time, b []byte, sizeMax int) (_ []byte, frames int) {
	late := 0
	r.mu.Lock()
	for ; r.first < r.next; r.first++ {
		s := &r.slots[r.first%ringSize]
		if now.Sub(s.at) > ageMax {
			late++
			s.at = time.Time{}
			continue
		}
		if len(b)+len(s.encoded) > sizeMax {
			break
		}
		b = append(b, s.encoded...)
		frames++
		s.at = now
	}
	r.mu.Unlock()
	if late > 0 {
		r.dropped.With(dropLate).Add(float64(late))
	}
	return b, frames
}
