package main

import (
	"time"

	"rotunda"
)

// turn lets the packets of one session after another count as one stream: their numbers and times go on where those of the
// session before ended, with a hole as long as nothing was heard. The zero value is ready.
type turn struct {
	counters unwrapper
	begun    bool
	fresh    bool // a session has begun of which nothing has come

	seq  uint64 // added to the session's own
	at   int64
	next struct { // what would follow the newest packet
		seq uint64
		at  int64
	}
	heard time.Time // when the newest came
}

// over begins the next session.
func (u *turn) over() { u.counters, u.fresh = unwrapper{}, true }

// take numbers a packet. speech: what was heard before it was no silence, in which packets are rare by design.
func (u *turn) take(arrival time.Time, sequence uint16, timestamp uint32, duration time.Duration, speech bool) (seq uint64, at int64) {
	seq, at = u.counters.unwrap(sequence, timestamp)
	if u.fresh && u.begun {
		lost := uint64(0)
		if pause := arrival.Sub(u.heard); speech && pause > 0 {
			lost = uint64((pause - rotunda.FrameDuration/2) / rotunda.FrameDuration) // in step it is one frame after the one before
			if pause < rotunda.FrameDuration {
				lost = 0
			}
		}
		u.seq, u.at = u.next.seq+lost-seq, u.next.at+int64(lost)*rotunda.FrameTicks-at // differences may wrap: so do the sums
	}
	u.fresh, u.begun = false, true
	seq, at = seq+u.seq, at+u.at
	if seq >= u.next.seq {
		u.next.seq, u.next.at, u.heard = seq+1, at+int64(duration*rotunda.ClockRate/time.Second), arrival
	}
	return seq, at
}
