package main

import (
	"math"
	"time"

	"rotunda"
)

// What a summary measures by.
const (
	// playoutDelay is the buffer of the player that "late" is judged by: what comes later than this after the earliest
	// packets of the stream could not have been played in time.
	playoutDelay = 60 * time.Millisecond
	// orderDepth is how many packets a packet may be behind the newest and still find its place: 1.3 s.
	orderDepth = 64
	// quietLevel is the audio level, in -dBov, at which a stream may fall silent without anything being lost.
	quietLevel = 60
	// ageMax is the longest age that is told apart from longer ones.
	ageMax = 10 * time.Second
)

// summary is what `rotunda listen` heard, in the words of the contract. Pointers are nil where nothing was measured.
type summary struct {
	Expected   uint64   `json:"expected"`       // packets from the first to the last that came
	Missing    uint64   `json:"missing"`        // of these, never came
	Late       uint64   `json:"late"`           // came too late for a player that buffers playoutDelay
	LongestGap float64  `json:"longest_gap_ms"` // most audio in a row that was missing, too late, or skipped
	Age        ages     `json:"age_ms"`
	Join       *float64 `json:"join_ms"`  // from asking for the session to the first packet
	Node       string   `json:"node"`     // who served; of several, the last
	Sessions   int      `json:"sessions"` // how many it took: 1, and one for each node that was left or died
}

// ages are percentiles of how old the audio was when it came, in milliseconds: from the instant that the sender's clock
// says it was (RFC 3550 §6.4.1 ties packet times to wall-clock time) to its arrival by this machine's clock. Two machines'
// clocks may differ; on one machine they are the same.
type ages struct {
	P50 *float64 `json:"p50"`
	P95 *float64 `json:"p95"`
	P99 *float64 `json:"p99"`
}

// packet is one RTP packet as a listener got it.
type packet struct {
	seq      uint64        // extended (RFC 3550 §A.1)
	at       int64         // instant of its first sample, 48 kHz ticks, extended
	duration time.Duration // of its audio
	late     bool
	level    uint8 // in -dBov, filled in when it is decoded
	payload  []byte
	sources  rotunda.Sources
}

// unwrapper extends RTP's 16 and 32 bit counters, which wrap, to ones that do not.
type unwrapper struct {
	begun bool
	seq   uint64
	at    int64
}

// unwrapBase keeps what came just before the first packet above zero.
const unwrapBase = 1 << 16

func (u *unwrapper) unwrap(seq uint16, ts uint32) (uint64, int64) {
	if !u.begun {
		u.begun, u.seq, u.at = true, unwrapBase|uint64(seq), int64(ts)
		return u.seq, u.at
	}
	s := uint64(int64(u.seq) + int64(int16(seq-uint16(u.seq))))
	t := u.at + int64(int32(ts-uint32(u.at)))
	if s > u.seq {
		u.seq, u.at = s, t
	}
	return s, t
}

// tally counts what came. Arrived takes packets as they come, played in their order; both are needed.
type tally struct {
	earliest time.Duration // least of arrival minus media time seen, relative to the first packet
	started  time.Time
	first    int64 // media time of the first packet

	received, late, missing uint64
	last                    packet // the packet before, in order
	begun                   bool
	gap, gapMax             time.Duration
	ages                    histogram
}

// arrived judges a packet's time and reports whether it is late.
func (t *tally) arrived(now time.Time, at int64) (late bool) {
	if t.started.IsZero() {
		t.started, t.first = now, at
	}
	transit := now.Sub(t.started) - ticksToDuration(at-t.first)
	t.earliest = min(t.earliest, transit)
	return transit-t.earliest > playoutDelay
}

// turn begins to judge times anew: the next packet comes another way, whose delay is another.
func (t *tally) turn() { t.started, t.earliest = time.Time{}, 0 }

// aged notes how old a packet's audio was when it came.
func (t *tally) aged(d time.Duration) { t.ages.add(d) }

// played takes the next packet in order.
func (t *tally) played(p packet) {
	t.received++
	if t.begun {
		hole := p.seq - t.last.seq - 1
		t.missing += hole
		skipped := ticksToDuration(p.at-t.last.at) - t.last.duration
		switch {
		case hole > 0: // silence (DTX) inside a hole cannot be told from loss; the packets that would have come are
			t.gap += min(max(0, skipped), time.Duration(hole)*max(t.last.duration, p.duration))
		case skipped > 0 && t.last.level < quietLevel: // not silence: somebody was cut off in the middle
			t.gap += skipped
		}
	}
	if p.late {
		t.late++
		t.gap += p.duration
	}
	t.gapMax = max(t.gapMax, t.gap)
	if !p.late {
		t.gap = 0
	}
	t.begun, t.last = true, p
}

// expected is how many packets should have come.
func (t *tally) expected() uint64 { return t.received + t.missing }

// summary returns the counts in the contract's words.
func (t *tally) summary(join time.Duration, node string) summary {
	s := summary{Expected: t.expected(), Missing: t.missing, Late: t.late, LongestGap: milliseconds(t.gapMax), Node: node}
	if t.received > 0 {
		j := milliseconds(join)
		s.Join = &j
	}
	s.Age = ages{t.ages.percentile(50), t.ages.percentile(95), t.ages.percentile(99)}
	return s
}

func ticksToDuration(ticks int64) time.Duration {
	return time.Duration(ticks) * time.Second / rotunda.ClockRate
}

func milliseconds(d time.Duration) float64 { return math.Round(d.Seconds()*1e4) / 10 }

// histogramStep is how finely ages are told apart.
const histogramStep = 100 * time.Microsecond

// histogram keeps percentiles of any number of ages in a fixed space.
type histogram struct {
	count uint64
	bins  [ageMax/histogramStep + 1]uint32
}

// add counts d. Clocks that differ can make it negative: then it counts as 0.
func (h *histogram) add(d time.Duration) {
	h.count++
	h.bins[min(max(0, d), ageMax)/histogramStep]++
}

// percentile is the least age that p percent of all do not exceed (nearest rank), nil where there are none.
func (h *histogram) percentile(p uint64) *float64 {
	if h.count == 0 {
		return nil
	}
	rank := max(1, (h.count*p+99)/100)
	seen := uint64(0)
	for i, n := range h.bins {
		if seen += uint64(n); seen >= rank {
			ms := milliseconds(time.Duration(i) * histogramStep)
			return &ms
		}
	}
	panic("histogram: fewer values than were counted")
}

// sequencer hands packets on in order: at once where nothing is missing before them, else when what is missing comes or is
// given up, orderDepth packets later.
type sequencer struct {
	begun   bool
	next    uint64 // the lowest number not handed on
	waiting [orderDepth]packet
	held    [orderDepth]bool
	newest  uint64
}

// push takes a packet and hands on what is due by it. It reports false for a packet that is a duplicate or comes after it
// was given up. The packet's payload must stay as it is until it is handed on.
func (s *sequencer) push(p packet, emit func(packet)) (taken bool) {
	if !s.begun {
		s.begun, s.next, s.newest = true, p.seq, p.seq
	}
	if p.seq < s.next || p.seq < s.next+orderDepth && s.held[p.seq%orderDepth] {
		return false
	}
	for p.seq >= s.next+orderDepth { // too far ahead: give up what is missing at the other end
		if s.newest < s.next { // nothing waits: jump
			s.next = p.seq
			break
		}
		s.pop(emit)
	}
	s.waiting[p.seq%orderDepth], s.held[p.seq%orderDepth] = p, true
	s.newest = max(s.newest, p.seq)
	for s.held[s.next%orderDepth] {
		s.pop(emit)
	}
	return true
}

// pop moves on by one number.
func (s *sequencer) pop(emit func(packet)) {
	i := s.next % orderDepth
	s.next++
	if s.held[i] {
		s.held[i] = false
		emit(s.waiting[i])
	}
}

// flush hands on everything that waits.
func (s *sequencer) flush(emit func(packet)) {
	for s.begun && s.next <= s.newest {
		s.pop(emit)
	}
}
