package link

import "time"

const (
	// packetOverhead is what QUIC adds to a datagram alone in its packet, in octets: header, connection id, packet number,
	// frame header and tag.
	packetOverhead = 1 + 8 + 2 + 3 + 16
	// packetMax is the largest packet of ours, in octets.
	packetMax = 1200
	// overheadMin is what it adds at the least, and drainMin the share of the window's rate at which what waits leaves at the
	// least: what is estimated must not grow by its own errors. That it is too low is found out when QUIC takes no more.
	overheadMin = packetOverhead - 4
	drainMin    = .25
	// ackDelayMax is for how long the peer may keep an acknowledgement to itself (RFC 9000 §13.2.1, the default).
	ackDelayMax = 25 * time.Millisecond
	// holdMin is how many octets may wait inside QUIC, where nothing can overtake or drop them: two datagrams.
	holdMin = 2 * packetMax
	// quicQueue is how many datagrams QUIC takes before it makes the sender wait.
	quicQueue = 32
	// flightMin is the least of these steps.
	flightMin = 250 * time.Microsecond
	// flightSlots is in how many steps the octets in flight are forgotten.
	flightSlots = 16
)

// flow is what the connection says of itself.
type flow struct {
	window      uint64        // congestion window, octets
	rtt         time.Duration // smoothed; 0 when unknown
	bytes, pkts uint64        // sent since the beginning
}

// budget estimates how many octets the congestion window still takes, and how many wait for it inside QUIC, which tells
// neither: what was sent within a round trip is in flight. It is a pure core; the zero value is ready.
type budget struct {
	at     time.Time
	last   flow
	queued float64

	flight [flightSlots]float64 // octets spent, by time, the newest at slot
	slot   int
	since  time.Time // when the newest slot began
	flying float64   // sum of them

	spent time.Time     // when octets were spent last
	every time.Duration // mean time between two such; at most ackDelayMax
}

// update takes what the connection says at now.
func (b *budget) update(now time.Time, f flow) {
	if !b.at.IsZero() {
		// What left was ours but for acknowledgements and control messages, which are small and few beside it.
		left := float64(f.bytes-b.last.bytes) - overheadMin*float64(f.pkts-b.last.pkts)
		rate := float64(f.window) / max(f.rtt, 100*time.Microsecond).Seconds()
		b.queued = max(b.queued-max(left, rate*drainMin*now.Sub(b.at).Seconds()), 0)
	}
	b.at, b.last = now, f
	// A packet that was lost is in flight until those after it have been acknowledged, 9/8 of a round trip at most (RFC 9002
	// §6.1.2); one that arrived, until its acknowledgement comes: with the next packet, but for what the peer may wait.
	step := max((f.rtt+max(f.rtt/8, min(2*b.every, ackDelayMax)))/(flightSlots-1), flightMin)
	if now.Sub(b.since) >= flightSlots*step {
		b.flight, b.flying, b.since = [flightSlots]float64{}, 0, now
	}
	for ; now.Sub(b.since) >= step; b.since = b.since.Add(step) {
		b.slot = (b.slot + 1) % flightSlots
		b.flying -= b.flight[b.slot]
		b.flight[b.slot] = 0
	}
}

// spend says that n octets were given to QUIC; blocked, that it made the sender wait: so it held all it can.
func (b *budget) spend(n int, blocked bool) {
	if !b.spent.IsZero() {
		b.every += (min(b.at.Sub(b.spent), ackDelayMax) - b.every) / 8
	}
	b.spent = b.at
	b.flight[b.slot] += float64(n + packetOverhead)
	b.flying += float64(n + packetOverhead)
	b.queued += float64(n)
	if blocked {
		b.queued = max(b.queued, quicQueue*float64(n))
	}
}

// left is the share of the window that is not taken; below 0 when some wait for it.
func (b *budget) left() float64 {
	if b.last.window == 0 {
		return 0
	}
	return 1 - (b.flying+b.queued)/float64(b.last.window)
}

// full reports whether frames should wait here, where they are dropped when they are late, and not inside QUIC. It sends
// while anything of the window is left, so one packet may go beyond.
func (b *budget) full() bool {
	return b.last.rtt > 0 && (b.queued > holdMin || b.flying >= float64(b.last.window))
}
