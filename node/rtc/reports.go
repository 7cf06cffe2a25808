package rtc

import (
	"sync"
	"time"

	"rotunda/metrics"
)

// losses is the mean of what the listeners of the node last reported as lost.
type losses struct {
	gauge *metrics.Gauge

	mu   sync.Mutex // guards the rest
	last map[*Session]float64
	sum  float64
}

func (l *losses) report(n *Session, lost float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		l.last = map[*Session]float64{}
	}
	l.sum += lost - l.last[n]
	l.last[n] = lost
	l.publish()
}

func (l *losses) forget(n *Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lost, ok := l.last[n]; ok {
		l.sum -= lost
		delete(l.last, n)
		l.publish()
	}
}

// publish runs with the lock held.
func (l *losses) publish() {
	if len(l.last) == 0 {
		l.sum = 0 // what rounding has left
		l.gauge.Set(0)
		return
	}
	l.gauge.Set(l.sum / float64(len(l.last)))
}

// ntpEpoch is 1900 in Unix seconds, negated.
const ntpEpoch = 2208988800

// ntpShort is the middle 32 bits of an NTP time: seconds modulo 65,536 and a fraction (RFC 3550 §4).
func ntpShort(t time.Time) uint32 {
	seconds := uint64(t.Unix() + ntpEpoch)
	fraction := uint64(t.Nanosecond()) << 32 / uint64(time.Second)
	return uint32(seconds<<16 | fraction>>16)
}

// roundTrip is A - LSR - DLSR of RFC 3550 §6.4.1. ok is false when the peer has not had a sender report yet or claims what
// cannot be.
func roundTrip(now time.Time, lastReport, delay uint32) (rtt time.Duration, ok bool) {
	if lastReport == 0 {
		return 0, false
	}
	ticks := int32(ntpShort(now) - lastReport - delay) // of 1/65536 s
	if ticks < 0 {
		return 0, ticks > -65 // a millisecond of rounding: as good as none
	}
	return time.Duration(ticks) * time.Second / 65536, true
}
