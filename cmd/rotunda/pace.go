package main

import "time"

// lagMax is how far behind its time a stream may fall before the pacer gives the lost time up: a laptop that slept must not
// send what it missed all at once.
const lagMax = 200 * time.Millisecond

// pacer says when the packets of a stream are due. It never drifts: each due time is counted from the start, not from the
// packet before. The zero pacer starts with its first packet.
type pacer struct {
	next time.Time // when the next packet is due
}

// wait is how long to wait before the next packet, which lasts d, may go out; 0 when it is due or late.
func (p *pacer) wait(now time.Time, d time.Duration) time.Duration {
	if p.next.IsZero() || now.Sub(p.next) > lagMax {
		p.next = now
	}
	w := p.next.Sub(now)
	p.next = p.next.Add(d)
	return max(0, w)
}
