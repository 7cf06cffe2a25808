package egress

import (
	"slices"
	"time"

	"rotunda/node/egress/rtp"
)

// pulseAfter is how long a session is sent nothing before it is shown that its node lives: in silence packets are 400 ms apart,
// and a room without a home has none. A client that follows package vigil doubts a node after 300 ms; one pulse may be lost on the way.
const pulseAfter = 140 * time.Millisecond

// pulses is whom a shard owes signs of life. The shard itself makes them, between its jobs: a node whose media stand still shows
// none. It belongs to the shard's goroutine.
type pulses struct {
	seats    []*seats   // who hear a room's program; those that are empty by now leave when they are come across
	sessions []*Session // who do not; the same
	timer    *time.Timer
	armed    bool
}

func newPulses() pulses {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return pulses{timer: timer}
}

// among adds those who hear a room's program.
func (p *pulses) among(st *seats) {
	if !st.pulsed {
		st.pulsed = true
		p.seats = append(p.seats, st)
	}
}

// apart adds somebody who does not.
func (p *pulses) apart(n *Session) {
	if !n.pulsed {
		n.pulsed = true
		p.sessions = append(p.sessions, n)
	}
}

// pulse shows those who have been sent nothing for pulseAfter that the node lives, and has the timer wait for the next who are due.
func (sh *shard) pulse(now time.Time) {
	p := &sh.pulses
	next := now.Add(pulseAfter)
	p.seats = slices.DeleteFunc(p.seats, func(st *seats) bool {
		st.pulsed = st.any()
		if !st.pulsed {
			return true
		}
		if now.Sub(st.sentAt) >= pulseAfter {
			st.sentAt = now
			for _, list := range st.lists {
				for _, n := range list {
					sh.pulseOf(now, n)
				}
			}
		}
		next = sooner(next, st.sentAt.Add(pulseAfter))
		return false
	})
	p.sessions = slices.DeleteFunc(p.sessions, func(n *Session) bool {
		n.pulsed = n.sender != nil && !n.hears && !n.ended.Load()
		if !n.pulsed {
			return true
		}
		if now.Sub(n.sentAt) >= pulseAfter {
			n.sentAt = now
			sh.pulseOf(now, n)
		}
		next = sooner(next, n.sentAt.Add(pulseAfter))
		return false
	})
	sh.flush()
	if len(p.seats)+len(p.sessions) > 0 {
		p.armed = true
		p.timer.Reset(next.Sub(now))
	}
}

func (sh *shard) pulseOf(now time.Time, n *Session) {
	if to := n.to.Load(); to != nil && n.sender != nil && !n.ended.Load() && !n.paused(now) {
		sh.put(to, n.sender.RTCP(sh.report[:0], rtp.AppendPulse(sh.plain[:0], n.tracks[0].ssrc)))
	}
}

func sooner(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
