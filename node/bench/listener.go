package bench

import (
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/stun/v4"

	"rotunda/node/opus/packet"
)

// session is what a listener and the server agreed on. It does not change once the listener's socket is open.
type session struct {
	ufrag, pwd string
	tieBreaker [8]byte
	ssrc       uint32 // of its reports
	remote     answer
	resource   string // URL
}

// joining is what a listener has only while it joins. The reader sends without blocking; no channel is ever closed.
type joining struct {
	wire  *wire
	check [stun.TransactionIDSize]byte
	paths chan struct{}      // a token when the check was answered
	first chan time.Duration // when the first audio packet came
}

// fate is how it ended for a listener who had joined, before it was to.
type fate uint8

const (
	there   fate = iota // it has not ended
	closed              // the server said so
	unheard             // no consent any more (RFC 7675 §5.1)
)

// listener is one of many. What is not atomic belongs to the crowd's reader once open is set.
type listener struct {
	open    atomic.Bool // set when session and fd are there; the reader looks at nothing before
	fd      int
	session session
	joining atomic.Pointer[joining]
	keys    atomic.Pointer[keys]
	heard   atomic.Bool // audio has come

	fate    fate
	tally   tally
	then    counts // when listening began
	streams uint32 // the stream that is heard; 0: none yet
	transit uint32 // RFC 3550 §A.8, 48 kHz ticks
	jitter  uint32 // of the same, times 16
	clock   clock
	shift   uint32 // from the pilot's timestamps to this listener's
	matched bool   // shift is known
	sampled uint64 // hash of the payload that was decrypted last and not matched; 0: none
	at      uint32 // its timestamp
	due     time.Duration
	consent [stun.TransactionIDSize]byte
	agreed  time.Duration // when the last check was answered
}

// clock ties timestamps to the sender's clock, as the last sender report (RFC 3550 §6.4.1) or capture time in a packet does.
type clock struct {
	middle    uint32        // of the last report's NTP time, for the answer; 0: there was none
	came      time.Duration // when that report came
	at        time.Duration // the instant of timestamp, since the crowd's base; where known
	timestamp uint32
	known     bool
}

// rtpMin is the length of an RTP header; an SRTCP packet is longer still.
const rtpMin = 12

// receive takes a datagram as the reader found it. It allocates nothing for audio that is not sampled.
func (c *crowd) receive(i int, b []byte, now time.Duration) {
	l := &c.listeners[i]
	switch {
	case len(b) < rtpMin:
	case b[0] <= 3: // RFC 7983 §7
		c.stun(l, b, now)
	case b[0] >= 20 && b[0] <= 63:
		if j := l.joining.Load(); j != nil {
			j.wire.deliver(b)
		} else if b[0] == 21 && l.fate == there { // an alert: nothing else is said after a handshake
			c.gone(l, closed)
		}
	case b[0]>>6 != 2:
	case b[1] >= 192 && b[1] <= 223: // RFC 5761 §4
		c.control(l, b, now)
	default:
		c.audio(i, l, b, now)
	}
}

func (c *crowd) stun(l *listener, b []byte, now time.Duration) {
	if j := l.joining.Load(); j != nil && l.session.answered(b, j.check) {
		l.agreed = now
		select {
		case j.paths <- struct{}{}:
		default:
		}
		return
	}
	if l.session.answered(b, l.consent) {
		l.agreed = now
		return
	}
	if out := l.session.respond(b, l.session.remote.candidates[0]); out != nil {
		_ = c.sockets.write(l.fd, out) // it asks again
	}
}

// audio takes an RTP packet.
func (c *crowd) audio(i int, l *listener, b []byte, now time.Duration) {
	timestamp, ssrc := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	seq := binary.BigEndian.Uint16(b[2:])
	if l.streams == 0 {
		l.streams = ssrc
	}
	if ssrc != l.streams {
		c.stats.Foreign++
		return
	}
	if !l.heard.Load() {
		l.heard.Store(true)
		if j := l.joining.Load(); j != nil {
			select {
			case j.first <- now:
			default:
			}
		}
	}
	if !l.tally.take(seq) {
		return
	}
	c.packets.Add(1)
	c.stats.Packets++
	c.stats.Octets += uint64(len(b))
	transit := uint32(now*48/time.Millisecond) - timestamp
	if d := int32(transit - l.transit); l.transit != 0 {
		l.jitter += uint32(max(d, -d)) - (l.jitter+8)>>4
	}
	l.transit = transit
	if l.clock.known {
		c.ages.add(l.clock.age(timestamp, now))
	}
	if i == c.pilot || !l.matched || int(seq)%c.cfg.Sample == i%c.cfg.Sample {
		c.inspect(i, l, b, timestamp)
	}
	switch {
	case i == c.pilot:
		c.fanout.arrived(now, timestamp)
	case l.matched:
		c.fanout.arrived(now, timestamp-l.shift)
	}
}

// age is how old the sound of a timestamp is.
func (t *clock) age(timestamp uint32, now time.Duration) time.Duration {
	return now - t.at - time.Duration(int32(timestamp-t.timestamp))*time.Second/48000
}

// inspect decrypts a packet, and learns from it which of the pilot's it is.
func (c *crowd) inspect(i int, l *listener, b []byte, timestamp uint32) {
	k := l.keys.Load()
	if k == nil {
		return
	}
	var header rtp.Header
	plain, err := k.in.DecryptRTP(c.plain[:0], b, &header)
	if err != nil {
		c.stats.Bad++
		return
	}
	c.plain = plain[:0]
	payload, ok := payloadOf(plain)
	info, err := packet.Parse(payload)
	if !ok || err != nil {
		c.stats.Malformed++
		return
	}
	c.stats.Checked++
	c.stats.Ticks += uint64(info.Ticks())
	if l.clock.capture(&header, c, timestamp, l.session.remote.capture) {
		c.captured = true
	}
	hash := maphash.Bytes(c.seed, payload)
	if i == c.pilot {
		c.fanout.heard(hash, timestamp)
		return
	}
	for _, h := range [2]struct {
		hash      uint64
		timestamp uint32
	}{{hash, timestamp}, {l.sampled, l.at}} {
		if when, ok := c.fanout.when(h.hash); ok {
			l.shift, l.matched, l.sampled = h.timestamp-when, true, 0
			return
		}
	}
	l.sampled, l.at = hash, timestamp // the pilot may be later
}

// capture takes the absolute capture time out of a header, where it has one: the sender's clock, as a report would tell.
func (t *clock) capture(h *rtp.Header, c *crowd, timestamp uint32, id uint8) bool {
	if id == 0 || !h.Extension {
		return false
	}
	var e rtp.AbsCaptureTimeExtension
	if b := h.GetExtension(id); b == nil || e.Unmarshal(b) != nil {
		return false
	}
	t.at, t.timestamp, t.known = fromNTP(e.Timestamp).Sub(c.base), timestamp, true
	return true
}

// payloadOf is what follows the header of a decrypted packet (RFC 3550 §5.1).
func payloadOf(b []byte) ([]byte, bool) {
	n := rtpMin + 4*int(b[0]&15)
	if b[0]&16 != 0 {
		if len(b) < n+4 {
			return nil, false
		}
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	if len(b) < n {
		return nil, false
	}
	b = b[n:]
	return b, len(b) > 0
}

// control takes RTCP: sender reports, and goodbyes.
func (c *crowd) control(l *listener, b []byte, now time.Duration) {
	k := l.keys.Load()
	if k == nil {
		return
	}
	plain, err := k.in.DecryptRTCP(nil, b, nil)
	if err != nil {
		c.stats.Bad++
		return
	}
	packets, err := rtcp.Unmarshal(plain)
	if err != nil {
		c.stats.Malformed++
		return
	}
	for _, p := range packets {
		if r, ok := p.(*rtcp.SenderReport); ok && (l.streams == 0 || r.SSRC == l.streams) {
			if l.clock.known && c.captured {
				l.clock.middle, l.clock.came = uint32(r.NTPTime>>16), now
				continue
			}
			l.clock = clock{middle: uint32(r.NTPTime >> 16), came: now, at: fromNTP(r.NTPTime).Sub(c.base), timestamp: r.RTPTime, known: true}
		}
	}
}

// fromNTP is the instant of an NTP time (RFC 3550 §4), until 2036 and again from then on.
func fromNTP(ntp uint64) time.Time {
	const epoch = 2208988800 // 1900 in Unix seconds, negated
	return time.Unix(int64(ntp>>32)-epoch, int64(ntp&0xffffffff*uint64(time.Second)>>32))
}
