package rtc

import (
	"sync"
	"time"

	"github.com/pion/rtcp"

	"rotunda"
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

// How often a track's sender reports go out: soon, so that a new listener knows the clock, and then as RFC 3550 §6.2 has it.
const (
	reportFirst = time.Second
	reportEvery = 5 * time.Second
)

// senderClock makes the sender reports of one track. They tie the RTP timestamp to the clock of the node where the sound
// entered the stream and not to this node's: what a listener reads from them is how old the sound is, the way through
// the mesh included. The zero value is ready.
type senderClock struct {
	packets, octets uint32
	next            time.Time
}

// sent counts a packet that went out and returns a report when one is due. The caller fills in the SSRC.
func (c *senderClock) sent(now time.Time, p *queued) *rtcp.SenderReport {
	c.packets++
	c.octets += uint32(len(p.payload))
	if c.next.IsZero() {
		c.next = now.Add(reportFirst)
	}
	if now.Before(c.next) {
		return nil
	}
	c.next = now.Add(reportEvery)
	var age time.Duration
	if p.origin != 0 { // else the sound begins here
		age = now.Sub(time.UnixMicro(p.origin))
	}
	return &rtcp.SenderReport{
		NTPTime: ntpTime(now), RTPTime: p.timestamp + uint32(age.Microseconds()*rotunda.ClockRate/1e6),
		PacketCount: c.packets, OctetCount: c.octets,
	}
}

// ntpTime is t as NTP counts: seconds since 1900 and a fraction of 32 bits (RFC 3550 §4).
func ntpTime(t time.Time) uint64 {
	return uint64(t.Unix()+ntpEpoch)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

// fromNTP is the inverse of ntpTime, until 2036 and again from then on.
func fromNTP(ntp uint64) time.Time {
	return time.Unix(int64(ntp>>32)-ntpEpoch, int64(ntp&0xffffffff*uint64(time.Second)>>32))
}

// ntpEpoch is 1900 in Unix seconds, negated.
const ntpEpoch = 2208988800

// ntpShort is the middle 32 bits of an NTP time: seconds modulo 65,536 and a fraction (RFC 3550 §4).
func ntpShort(t time.Time) uint32 { return uint32(ntpTime(t) >> 16) }

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
