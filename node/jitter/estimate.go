package jitter

import (
	"time"

	"rotunda"
)

// Bounds of the target delay.
const (
	TargetStart = 40 * time.Millisecond
	TargetMin   = 20 * time.Millisecond
	TargetMax   = 200 * time.Millisecond
)

const (
	bucketWidth = 5 * time.Millisecond
	// guard is how much before the end of a window the first packet of a talkspurt is not started any more: it would
	// have to arrive to the millisecond ever after. Excesses are rounded so that they stay within it.
	guard      = 3 * time.Millisecond
	buckets    = int((TargetMax-TargetMin)/bucketWidth) + 1
	beyond     = .01  // share of packets that may come later than the target allows
	forgetMax  = .997 // weight of the past: a half-life of 231 packets, 4.6 s of speech
	windowHalf = 2 * time.Second
	// burstGap: packets that come closer together than this, each less late than the one before, were held up by one and the
	// same event, and the first of them stands for all. Else a single stall would raise the target for seconds.
	burstGap   = 10 * time.Millisecond
	lossWeight = .01             // of one packet in the measured loss: a memory of 2 s
	lossRunMax = 3               // of packets missing in a row that count: error correction helps against single losses
	lossHigh   = .015            // loss from which waiting for in-band error correction pays
	lossLow    = .005            // loss below which it no longer does
	strangeMin = 2 * time.Second // a transit this far from the last ones belongs to another clock
)

// estimate learns when a speaker's packets arrive: the quickest transit of the last seconds, and how much longer the
// others take. Transit is arrival minus the sender's timestamp; only its differences mean anything, because the two
// clocks are strangers. The quickest transit is over two half-windows of 2 s, so a drift of 200 ppm moves it by at most 0.8 ms behind
// the truth, and a path that became longer is believed after 4 s.
type estimate struct {
	epoch   time.Time // arrival of the first packet; transits count from it
	base    uint32    // its timestamp
	lastTS  uint32
	ticks   int64 // lastTS, extended, since base
	current half
	before  half
	share   [buckets]float64 // of packets by how much their transit exceeded the quickest
	seen    float64          // packets learnt from
	quick   time.Duration    // the quickest transit that share counts from
	last    time.Time        // arrival of the packet before
	excess  time.Duration    // its excess
	loss    float64          // share of packets that are missing when the one after them comes
	lossy   bool             // wait for in-band error correction
	target  time.Duration
}

// half is the quickest transit of one half-window.
type half struct {
	since time.Time // zero: nothing came
	min   time.Duration
}

func (e *estimate) reset() { *e = estimate{target: TargetStart} }

// extend counts a timestamp on from the first one, over its wrap.
func (e *estimate) extend(ts uint32) int64 { return e.ticks + int64(int32(ts-e.lastTS)) }

func ticksToTime(n int64) time.Duration { return time.Duration(n) * time.Second / rotunda.ClockRate }

func timeToTicks(d time.Duration) int { return int(d * rotunda.ClockRate / time.Second) }

// arrived learns from a packet and reports false when it fits nothing that came before: the caller starts afresh.
func (e *estimate) arrived(now time.Time, ts uint32) bool {
	if e.epoch.IsZero() {
		share := [buckets]float64{}
		share[(TargetStart-TargetMin)/bucketWidth] = 1 // as if one packet had needed the start value
		*e = estimate{epoch: now, base: ts, lastTS: ts, share: share, seen: 1, target: TargetStart}
	}
	n := e.extend(ts)
	transit := now.Sub(e.epoch) - ticksToTime(n)
	if q, ok := e.quickest(now); ok && (transit-q > strangeMin || q-transit > strangeMin) {
		return false
	}
	if n > e.ticks {
		e.ticks, e.lastTS = n, ts
	}
	if e.current.since.IsZero() || now.Sub(e.current.since) >= windowHalf {
		e.before = e.current
		if now.Sub(e.current.since) >= 2*windowHalf {
			e.before = half{}
		}
		e.current = half{since: now, min: transit}
	}
	e.current.min = min(e.current.min, transit)
	q, _ := e.quickest(now)
	if rise := q - e.quick; rise >= bucketWidth {
		e.rebase(int(rise / bucketWidth))
	}
	e.quick = q
	excess := transit - q
	if rush := now.Sub(e.last) < burstGap && excess < e.excess; !rush {
		e.learn(excess)
	}
	e.last, e.excess = now, excess
	return true
}

// rebase makes good that the path has become longer by so many bucketWidths: what seemed late on the old path is not on this.
func (e *estimate) rebase(by int) {
	for i := range e.share {
		v := e.share[i]
		e.share[i] = 0
		e.share[max(0, i-by)] += v
	}
}

// missed learns how many packets are missing right before one that came.
func (e *estimate) missed(n rotunda.Seq) {
	e.loss = e.loss*(1-lossWeight) + float64(min(n, lossRunMax))*lossWeight
}

// overtaken takes back what missed learnt: a packet was not lost but slow.
func (e *estimate) overtaken() { e.loss = max(0, e.loss-lossWeight) }

// quickest is the least transit of the last two to four seconds.
func (e *estimate) quickest(now time.Time) (time.Duration, bool) {
	switch {
	case e.current.since.IsZero():
		return 0, false
	case e.before.since.IsZero():
		return e.current.min, true
	}
	return min(e.current.min, e.before.min), true
}

// learn adds one packet's excess to the distribution and sets the target to what all but `beyond` of them need.
func (e *estimate) learn(excess time.Duration) {
	at := min(int((excess+guard)/bucketWidth), buckets-1)
	forget := min(forgetMax, e.seen/(e.seen+1))
	e.seen++
	for i := range e.share {
		e.share[i] *= forget
	}
	e.share[at] += 1 - forget
	tail, i := 0.0, buckets-1
	for ; i > 0; i-- {
		if tail += e.share[i]; tail >= beyond {
			break
		}
	}
	e.target = TargetMin + time.Duration(i)*bucketWidth
	e.lossy = e.loss > lossHigh || e.lossy && e.loss > lossLow
	if e.lossy { // a copy of what was lost comes with the packet after it: wait for that one
		e.target = min(e.target+rotunda.FrameDuration, TargetMax)
	}
}

// due is when the audio of timestamp ts is to be played.
func (e *estimate) due(now time.Time, ts uint32) time.Time {
	q, _ := e.quickest(now)
	return e.epoch.Add(ticksToTime(e.extend(ts)) + q + e.target)
}
