package egress

import (
	"sync"
	"time"

	"rotunda"
	"rotunda/metrics"
	"rotunda/node/egress/rtp"
)

// cname is the canonical name of all that this process sends (RFC 7022: it says nothing about anybody).
const cname = "rotunda"

// reportMax is the room for one of our RTCP packets.
const reportMax = 128

// When a session counts as losing packets, by a running mean of what its client reports, and when no more.
const (
	lossyFrom = 0.03
	lossyTo   = 0.01
	// lossWeight is the share of the newest report in the mean.
	lossWeight = 0.4
	// againMax is how many packets a session may have sent again within a second.
	againMax = 50
)

// quality is what is known of a session's reception. It is guarded by Session.mu.
type quality struct {
	mean   float64
	second int64 // that again counts for
	again  int
}

// reported takes an RTP or RTCP packet of a session's client. b is decrypted in place.
func (n *Session) reported(now time.Time, b []byte) {
	if b[1] < 192 || b[1] > 223 { // RFC 5761 §4: audio, which nobody takes here
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.secrets == nil {
		return
	}
	compound, ok := n.secrets.receiver.RTCP(b)
	if !ok {
		return
	}
	n.heard.Store(now.UnixNano())
	for p, rest, ok := rtp.Next(compound); ok; p, rest, ok = rtp.Next(rest) {
		for i := range 31 {
			r, ok := p.Report(i)
			if !ok {
				break
			}
			if n.trackOf(r.SSRC) >= 0 {
				n.report(now, r)
			}
		}
		n.missing(now, p)
	}
}

// trackOf is the index of the track with an SSRC, -1 for none. SSRCs never change.
func (n *Session) trackOf(ssrc uint32) int {
	for i := range n.tracks {
		if n.tracks[i].ssrc == ssrc {
			return i
		}
	}
	return -1
}

// report takes in one report block (RFC 3550 §6.4.1). The caller holds n.mu.
func (n *Session) report(now time.Time, r rtp.Report) {
	n.loss.Store(uint32(r.Lost) + 1)
	lost := float64(r.Lost) / 256
	n.server.losses.report(n, lost)
	if rtt, ok := roundTrip(now, r.LastReport, r.SinceReport); ok {
		n.rtt.Store(int64(rtt))
		n.server.metrics.EgressRTT.Observe(rtt.Seconds())
	}
	n.server.metrics.EgressJitter.Observe(float64(r.Jitter) / rotunda.ClockRate)
	n.quality.mean += lossWeight * (lost - n.quality.mean)
	lossy := n.lossy.Load()
	if !lossy && n.quality.mean > lossyFrom || lossy && n.quality.mean < lossyTo {
		n.lossy.Store(!lossy)
		n.seats.room.changes.Add(1)
	}
}

// missing has packets sent again that a NACK asks for, within bounds. The caller holds n.mu.
func (n *Session) missing(now time.Time, p rtp.Packet) {
	for i := 0; ; i++ {
		ssrc, m, ok := p.Missing(i)
		if !ok {
			return
		}
		track := n.trackOf(ssrc)
		if second := now.Unix(); second != n.quality.second {
			n.quality.second, n.quality.again = second, 0
		}
		n.quality.again++
		for also := m.Also; also != 0; also &= also - 1 {
			n.quality.again++
		}
		if track < 0 || n.quality.again > againMax {
			return
		}
		n.shard.order(order{kind: orderAgain, session: n, track: track, missing: m})
	}
}

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
	next            int64 // ns since 1970; 0: nothing has been sent
}

// sent counts a packet that goes out and returns a report when one is due. The caller fills in the SSRC. origin is when the sound
// entered the stream, in microseconds since 1970; 0: it begins here.
func (c *senderClock) sent(now time.Time, timestamp uint32, origin int64, octets int) (r rtp.SenderReport, due bool) {
	c.packets++
	c.octets += uint32(octets)
	at := now.UnixNano()
	if c.next == 0 {
		c.next = at + int64(reportFirst)
	}
	if at < c.next {
		return rtp.SenderReport{}, false
	}
	c.next = at + int64(reportEvery)
	var age time.Duration
	if origin != 0 {
		age = now.Sub(time.UnixMicro(origin))
	}
	return rtp.SenderReport{
		NTP: ntpTime(now), Timestamp: timestamp + uint32(age.Microseconds()*rotunda.ClockRate/1e6), Packets: c.packets, Octets: c.octets,
	}, true
}

// ntpEpoch is 1900 in Unix seconds, negated.
const ntpEpoch = 2208988800

// ntpTime is t as NTP counts: seconds since 1900 and a fraction of 32 bits (RFC 3550 §4).
func ntpTime(t time.Time) uint64 {
	return uint64(t.Unix()+ntpEpoch)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

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
