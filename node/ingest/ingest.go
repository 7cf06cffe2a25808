// Package ingest turns one speaker's RTP packets into frames of the mesh, or into a reason why not.
//
// Its invariant: nothing passes a gate that the room's log has not opened, and whatever passes is bounded in size and
// rate and is a well-formed Opus packet, so that no node behind it has to ask again.
//
// The package is pure: the arrival time comes with the packet. A Gate is not safe for concurrent use; whoever owns the
// media session serialises its calls (SetOpen comes from the room's log, Packet from the network).
package ingest

import (
	"time"

	"rotunda"
	"rotunda/node/opus/packet"
)

// Packet is one RTP packet of a speaker, as far as the ingest looks at it.
type Packet struct {
	Sequence  uint16 // RFC 3550 §5.1
	Timestamp uint32 // 48 kHz ticks (RFC 7587 §4.1)
	Level     uint8  // RFC 6464 §3: 0 (loudest) to 127 (silence), in -dBov; only where HasLevel
	Voice     bool   // the sender's own opinion that this is speech (RFC 6464 §3, bit V); only where HasLevel
	HasLevel  bool   // the packet carried the extension
	Payload   []byte // one Opus packet; aliases the reader's buffer
	Arrival   time.Time
}

// Drop says why a packet went no further. The values are labels of rotunda_ingest_dropped_total; None is no drop.
type Drop string

// The reasons.
const (
	None       Drop = ""
	Muted      Drop = "muted"       // the gate is shut: the speaker is muted
	NotGranted Drop = "not_granted" // the gate is shut: the log has not put this person on stage
	Rate       Drop = "rate"        // more packets than anybody's voice needs
	Size       Drop = "size"        // empty, or longer than rotunda.PayloadMax
	Malformed  Drop = "malformed"   // breaks the framing rules of RFC 6716 §3.4
	Late       Drop = "late"        // too far from the newest sequence number to belong to the stream
	Duplicate  Drop = "duplicate"   // came before
	Codec      Drop = "codec"       // sound Opus, but of a length that the mesh does not carry
)

// Drops lists every reason, for the test that compares them with the metric's labels.
var Drops = [...]Drop{Muted, NotGranted, Rate, Size, Malformed, Late, Duplicate, Codec}

// LevelUnknown is the level given to frames whose sender does not measure it: that of ordinary speech, so that nobody
// takes such a speaker for silent.
const LevelUnknown = 30

// Bounds of a sound stream.
const (
	dropoutMax  = 3000 // a forward jump beyond this is another stream (RFC 3550 §A.1, MAX_DROPOUT: a minute)
	misorderMax = 64   // how far behind the newest a packet may come: the width of the duplicate window, 1.3 s
)

// Config are the limits of a gate. The zero value is the default.
type Config struct {
	RateMax float64 // sustained packets a second; 0 means 60: 20 ms packets, and a sender's clock and catching up
	Burst   int     // packets at once after a stall; 0 means 50: one second of voice
}

// Gate is the way into the mesh of one microphone session. Make it with New.
type Gate struct {
	shut Drop // why nothing passes; None when open

	// token bucket
	rate, burst float64
	tokens      float64
	filled      time.Time // when tokens was right; zero before the first packet

	// sequence (RFC 3550 §A.1)
	running bool        // newest and seen are those of the current run
	newest  uint16      // highest sequence number of the run
	seen    uint64      // bit i: newest-i came
	expect  uint16      // the sequence number that would confirm a jump
	suspect bool        // a packet out of range came and expect waits for its successor
	seq     rotunda.Seq // number given to newest
	floor   rotunda.Seq // first number of the run: what belongs before it is late

	// timestamp
	shift   uint32    // added to the sender's timestamps since its last restart
	newTS   uint32    // timestamp given out last
	newAt   time.Time // its arrival
	restart bool      // the next run is another stream of the sender: its timestamps mean nothing
}

// New makes a gate that is shut with NotGranted.
func New(c Config) *Gate {
	if c.RateMax <= 0 {
		c.RateMax = 60
	}
	if c.Burst <= 0 {
		c.Burst = 50
	}
	return &Gate{shut: NotGranted, rate: c.RateMax, burst: float64(c.Burst), tokens: float64(c.Burst)}
}

// SetOpen opens the gate, or shuts it with Muted.
func (g *Gate) SetOpen(open bool) {
	if open {
		g.shut = None
		return
	}
	g.Shut(Muted)
}

// Shut shuts the gate for reason, Muted or NotGranted. What the speaker sends meanwhile leaves no hole in the sequence:
// after SetOpen(true) the frames go on with the next number, and the jump of the timestamp says how long it was silent.
func (g *Gate) Shut(reason Drop) {
	if reason != Muted && reason != NotGranted {
		panic("ingest: shut for " + string(reason))
	}
	g.shut = reason
	g.running = false
}

// Open reports whether packets pass.
func (g *Gate) Open() bool { return g.shut == None }

// Packet takes the next packet from the network. With None it returns its frame, whose Payload aliases p's; otherwise the
// frame is zero. The frame's Seq counts from 1 and has holes only where packets were lost or refused. Accepted are
// packets of 20, 40 and 60 ms: shorter ones break the rate bound and longer ones the latency (contract of the SDP
// answer: ptime 20, maxptime 60).
func (g *Gate) Packet(p Packet) (rotunda.Frame, Drop) {
	if g.shut != None {
		return rotunda.Frame{}, g.shut
	}
	if !g.admit(p.Arrival) {
		return rotunda.Frame{}, Rate
	}
	if len(p.Payload) == 0 || len(p.Payload) > rotunda.PayloadMax {
		return rotunda.Frame{}, Size
	}
	info, err := packet.Parse(p.Payload)
	if err != nil {
		return rotunda.Frame{}, Malformed
	}
	switch info.Ticks() {
	case rotunda.FrameTicks, 2 * rotunda.FrameTicks, 3 * rotunda.FrameTicks:
	default:
		return rotunda.Frame{}, Codec
	}
	seq, drop := g.extend(p)
	if drop != None {
		return rotunda.Frame{}, drop
	}
	f := rotunda.Frame{
		Seq: seq, Timestamp: p.Timestamp + g.shift, Origin: rotunda.Micros(p.Arrival), Level: LevelUnknown, Payload: p.Payload,
	}
	if p.HasLevel {
		f.Level = p.Level & 0x7f
	}
	if seq == g.seq {
		g.newTS, g.newAt = f.Timestamp, p.Arrival
	}
	return f, None
}

// admit is the token bucket.
func (g *Gate) admit(now time.Time) bool {
	if elapsed := now.Sub(g.filled); g.filled.IsZero() || elapsed > 0 {
		if !g.filled.IsZero() {
			g.tokens = min(g.burst, g.tokens+elapsed.Seconds()*g.rate)
		}
		g.filled = now
	}
	if g.tokens < 1 {
		return false
	}
	g.tokens--
	return true
}

// extend gives a packet its number in the stream.
func (g *Gate) extend(p Packet) (rotunda.Seq, Drop) {
	if !g.running {
		g.begin(p)
		return g.seq, None
	}
	ahead := int(int16(p.Sequence - g.newest))
	switch {
	case ahead > 0 && ahead <= dropoutMax:
		g.suspect = false
		g.newest = p.Sequence
		g.seen = g.seen<<ahead | 1
		g.seq += rotunda.Seq(ahead)
		return g.seq, None
	case ahead <= 0 && ahead > -misorderMax:
		bit := uint64(1) << -ahead
		if g.seen&bit != 0 {
			return 0, Duplicate
		}
		seq := g.seq - rotunda.Seq(-ahead)
		if seq < g.floor || seq > g.seq {
			return 0, Late
		}
		g.seen |= bit
		return seq, None
	}
	// Far away: two in a row mean that the sender began again (RFC 3550 §A.1), one alone is a stray.
	if g.suspect && p.Sequence == g.expect {
		g.restart = true
		g.begin(p)
		return g.seq, None
	}
	g.suspect, g.expect = true, p.Sequence+1
	return 0, Late
}

// begin starts a run of sequence numbers at p, right behind the last number given out.
func (g *Gate) begin(p Packet) {
	if g.restart {
		elapsed := max(rotunda.FrameDuration, p.Arrival.Sub(g.newAt))
		ticks := uint32(elapsed.Milliseconds() * (rotunda.ClockRate / 1000))
		g.shift = g.newTS + ticks - p.Timestamp
		g.restart = false
	}
	g.seq++
	g.floor = g.seq
	g.newest, g.seen = p.Sequence, 1
	g.running, g.suspect = true, false
}
