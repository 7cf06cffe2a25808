package relay

import "rotunda"

// Drop is why a frame goes no further; the values are labels of rotunda_cascade_dropped_total. The zero value is no drop.
type Drop string

// The reasons of this package.
const (
	DropDuplicate Drop = "duplicate"      // was here before
	DropLate      Drop = "late"           // so old that nobody remembers whether it was here
	DropHops      Drop = "hops"           // has crossed rotunda.HopsMax links
	DropUnknown   Drop = "unknown_stream" // comes under an alias that was not asked for, or not any more
	DropSilenced  Drop = "silenced"       // whose frames it is may not be heard
)

const (
	// windowSize is how many sequence numbers behind the newest are remembered: 5 s of 20 ms frames, far more than two
	// paths of one stream are ever apart.
	windowSize = 256
	// jumpMax is the longest step forward that is believed at once: RFC 3550 §A.1, MAX_DROPOUT. A longer one, or one to
	// before the window, is believed when the next number follows, so that no single frame can shut a stream up.
	jumpMax = 3000
)

// window remembers which sequence numbers of a stream were here. The zero value is ready.
type window struct {
	started bool
	newest  rotunda.Seq
	resync  rotunda.Seq // what must come next for an unlikely step to be believed; 0: nothing
	seen    [windowSize / 64]uint64
}

// accept notes seq and returns "" when it is new.
func (w *window) accept(seq rotunda.Seq) Drop {
	switch {
	case !w.started:
		w.restart(seq)
	case seq > w.newest && seq-w.newest <= jumpMax:
		w.forward(seq)
	case seq <= w.newest && w.newest-seq < windowSize:
		if w.has(seq) {
			return DropDuplicate
		}
	case w.resync != 0 && seq == w.resync:
		w.restart(seq)
	default:
		w.resync = seq + 1
		return DropLate
	}
	w.resync = 0
	w.set(seq)
	return ""
}

func (w *window) restart(seq rotunda.Seq) { *w = window{started: true, newest: seq} }

// forward makes seq the newest and forgets the numbers that leave the window.
func (w *window) forward(seq rotunda.Seq) {
	if seq-w.newest >= windowSize {
		w.seen = [windowSize / 64]uint64{}
	} else {
		for s := w.newest + 1; s <= seq; s++ {
			w.seen[s%windowSize/64] &^= 1 << (s % 64)
		}
	}
	w.newest = seq
}

func (w *window) has(seq rotunda.Seq) bool { return w.seen[seq%windowSize/64]&(1<<(seq%64)) != 0 }
func (w *window) set(seq rotunda.Seq)      { w.seen[seq%windowSize/64] |= 1 << (seq % 64) }
