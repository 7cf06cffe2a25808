// Package jitter puts one speaker's frames in order and says, for every piece of audio that the mixer needs, what it is to
// be made of: a packet, a repair, concealment or silence. A frame is waited for no longer than the target delay, which follows
// the measured jitter between 20 and 200 ms; where the audio runs ahead of or behind its time (a clock that drifts, a burst,
// a target that moved), the buffer says by how much the mixer may shorten or stretch it.
//
// Its invariant: audio leaves in the order it was spoken, nothing twice, and never later than staleMax behind its time.
// Silence is not loss: where consecutive sequence numbers carry timestamps that are apart, the speaker said nothing (DTX).
//
// The package is pure and a Buffer is not safe for concurrent use. No method allocates.
package jitter

import (
	"time"

	"rotunda"
	"rotunda/node/opus/packet"
)

const (
	// Slots is how many frames a buffer holds: 640 ms, well over TargetMax.
	Slots = 32
	// staleMax is how late audio may be played; older audio is discarded, because the way back to the target by
	// shortening speech (about a tenth at a time) would take seconds.
	staleMax = 120 * time.Millisecond
	// adjustFrom and adjustTo are where correcting the delay begins and ends; between them nothing is touched.
	adjustFrom = 12 * time.Millisecond
	adjustTo   = 2 * time.Millisecond
	// spareMin is by how much the packets that take as long as the target allows must come before their window; a clock
	// that is 200 ppm slow uses it up in 15 s, time enough to find a place to stretch.
	spareMin = 3 * time.Millisecond
	// concealMax is how many frames in a row are made up before the voice has faded anyway.
	concealMax = 4
	// quietLevel is the level, in -dBov, from which the end of the frames is taken for a pause and not for loss.
	quietLevel = 55
	// restartMin is how far back the sequence must jump to mean another count.
	restartMin = 3000
	// reorderStart is how many frames before the first that arrived may still come.
	reorderStart = 8
	windowTicks  = rotunda.FrameTicks
)

// Drop says why a frame did not enter the buffer; None is no drop.
type Drop string

// The reasons.
const (
	None      Drop = ""
	Late      Drop = "late"      // its time has passed, or it is no Opus packet of up to 60 ms
	Duplicate Drop = "duplicate" // is already here
)

// Kind is what the next piece of audio is made of.
type Kind uint8

// The kinds.
const (
	Silence Kind = iota // nothing until the next window
	Play                // decode Payload
	Repair              // a packet is lost; Payload is the one after it, which may carry a copy (RFC 6716 §2.1.7)
	Conceal             // a packet is lost or late: make something up
)

// Item is the next piece of audio.
type Item struct {
	Kind    Kind
	Payload []byte // aliases the buffer; valid until the next call
	Ticks   int    // length of the audio, 48 kHz ticks; 0 for Silence
	Level   uint8  // the frame's, -dBov; only with Play
	Offset  int    // ticks of silence before it, where a voice begins inside the window
	Adjust  int    // ticks by which it may be shortened (positive) or stretched (negative) to get nearer to its time
	Late    int    // ticks by which the start of the window is after its time (negative: before); only with Play
}

// Stats counts what became of the frames.
type Stats struct {
	Played, Repaired, Concealed uint64 // items by kind
	Late, Duplicate             uint64 // frames dropped on arrival
	Discarded                   uint64 // frames dropped because their audio had become too old, or the buffer full
	Restarts                    uint64 // changes of the sender's count or clock
}

type slot struct {
	full  bool
	seq   rotunda.Seq
	ts    uint32
	ticks int
	level uint8
	empty bool // a DTX packet
	n     int
	data  [rotunda.PayloadMax]byte
}

// Buffer is the jitter buffer of one speaker. Make it with New.
type Buffer struct {
	est     estimate
	started bool        // anything arrived
	playing bool        // a voice is going on: next and nextTS must follow without a pause
	next    rotunda.Seq // the frame to be played next
	nextTS  uint32      // its timestamp, if no silence comes between
	newest  rotunda.Seq // highest in the buffer
	held    int         // slots that are full

	ticks      int  // length of the last packet
	quiet      bool // it was near silence
	run        int  // made-up pieces in a row
	debt       int  // ticks made up while waiting for next, which may yet come
	correcting bool
	stats      Stats
	slots      [Slots]slot
}

// New makes an empty buffer with a target of TargetStart. It holds 33 kB.
func New() *Buffer {
	b := &Buffer{}
	b.Reset()
	return b
}

// Reset forgets everything but the statistics.
func (b *Buffer) Reset() {
	for i := range b.slots {
		b.slots[i].full = false
	}
	b.est.reset()
	b.started, b.playing, b.quiet, b.correcting = false, false, false, false
	b.run, b.debt, b.held = 0, 0, 0
	b.ticks = rotunda.FrameTicks
}

// Target is the delay that frames are given at present.
func (b *Buffer) Target() time.Duration { return b.est.target }

// Stats returns the counts so far.
func (b *Buffer) Stats() Stats { return b.stats }

// Push takes a frame that arrived now, and copies it.
func (b *Buffer) Push(now time.Time, f *rotunda.Frame) Drop {
	info, err := packet.Parse(f.Payload)
	if err != nil || info.Ticks() > 3*rotunda.FrameTicks || len(f.Payload) > rotunda.PayloadMax {
		b.stats.Late++
		return Late
	}
	if b.started && f.Seq+restartMin < b.next || !b.est.arrived(now, f.Timestamp) {
		b.Reset()
		b.stats.Restarts++
		b.est.arrived(now, f.Timestamp)
	}
	if !b.started {
		b.started = true
		b.next = f.Seq - min(f.Seq, reorderStart)
		b.newest = f.Seq
	}
	if f.Seq < b.next {
		b.stats.Late++
		return Late
	}
	s := &b.slots[f.Seq%Slots]
	if s.full && s.seq == f.Seq {
		b.stats.Duplicate++
		return Duplicate
	}
	if f.Seq-b.next >= Slots {
		b.discardBefore(f.Seq - Slots + 1)
	}
	s.full, s.seq, s.ts, s.level = true, f.Seq, f.Timestamp, f.Level
	s.ticks, s.empty = info.Ticks(), info.Empty
	s.n = copy(s.data[:], f.Payload)
	b.held++
	if f.Seq > b.newest {
		b.est.missed(f.Seq - b.newest - 1)
		b.newest = f.Seq
	} else if f.Seq < b.newest {
		b.est.overtaken()
	}
	return None
}

// discardBefore lets go of all frames before seq.
func (b *Buffer) discardBefore(seq rotunda.Seq) {
	for i := range b.slots {
		if s := &b.slots[i]; s.full && s.seq < seq {
			s.full = false
			b.held--
			b.stats.Discarded++
		}
	}
	b.next = seq
	b.playing, b.debt, b.run = false, 0, 0
}

// head is the oldest frame held, nil when there is none.
func (b *Buffer) head() *slot {
	if b.held == 0 {
		return nil
	}
	for seq := b.next; seq <= b.newest; seq++ {
		if s := &b.slots[seq%Slots]; s.full && s.seq == seq {
			return s
		}
	}
	panic("jitter: frames held but none in the window")
}

// Pop says what is played next. now is the start of the mixer's window of 20 ms, and queued, less than FrameTicks, how many
// ticks of it are filled already. The mixer calls Pop until the window is full or the answer is Silence.
func (b *Buffer) Pop(now time.Time, queued int) Item {
	at := now.Add(ticksToTime(int64(queued)))
	for {
		h := b.head()
		switch {
		case h == nil:
			return b.drained()
		case b.stale(now, at, h):
			b.stats.Discarded++
			b.release(h)
		case !b.playing:
			return b.begin(now, at, queued, h)
		case h.seq == b.next:
			if int32(h.ts-b.nextTS) >= windowTicks/2 { // a pause (DTX)
				b.playing = false
				continue
			}
			return b.play(now, at, queued, h)
		default:
			if it, ok := b.lost(h); ok {
				return it
			}
		}
	}
}

// stale reports that h is too old to be played and that there is something newer to play instead.
func (b *Buffer) stale(now, at time.Time, h *slot) bool {
	return b.held > 1 && at.Sub(b.est.due(now, h.ts)) > staleMax
}

// release takes h out; the frame after it is next.
func (b *Buffer) release(h *slot) {
	h.full = false
	b.held--
	b.next, b.nextTS = h.seq+1, h.ts+uint32(h.ticks)
	b.debt = 0
}

// drained answers when nothing is held: the pause of a speaker who stopped, or a frame that is late.
func (b *Buffer) drained() Item {
	if !b.playing {
		return Item{}
	}
	if b.quiet || b.run >= concealMax {
		b.playing, b.debt, b.run = false, 0, 0
		return Item{}
	}
	return b.conceal(rotunda.FrameTicks, false)
}

// conceal makes up audio. lost says that the packet in turn is known to be lost; else it may still come and is played then,
// later than it should have been, until the delay has been corrected.
func (b *Buffer) conceal(ticks int, lost bool) Item {
	if lost {
		b.next++
		b.nextTS += uint32(b.ticks)
		b.debt = 0
	} else {
		b.debt += ticks
	}
	b.run++
	b.stats.Concealed++
	return Item{Kind: Conceal, Ticks: ticks}
}

// begin starts a voice with h when its time falls into this window.
func (b *Buffer) begin(now, at time.Time, queued int, h *slot) Item {
	early := b.est.due(now, h.ts).Sub(at)
	offset := int(max(0, early) * rotunda.ClockRate / time.Second)
	if early > rotunda.FrameDuration || queued+offset > windowTicks-int(guard*rotunda.ClockRate/time.Second) {
		return Item{}
	}
	b.playing, b.correcting = true, false
	b.nextTS = h.ts
	it := b.play(now, at.Add(max(0, early)), queued+offset, h)
	it.Offset = offset
	return it
}

// play hands out h, whose audio starts at at, where queued ticks of the window are full.
func (b *Buffer) play(now, at time.Time, queued int, h *slot) Item {
	late := at.Sub(b.est.due(now, h.ts))
	it := Item{Kind: Play, Payload: h.data[:h.n], Ticks: h.ticks, Level: h.level, Late: timeToTicks(late) - queued}
	if late > adjustFrom || late < -adjustFrom {
		b.correcting = true
	} else if late < adjustTo && late > -adjustTo {
		b.correcting = false
	}
	if b.correcting {
		it.Adjust = timeToTicks(late)
	}
	// A packet is taken from the buffer at the start of a window, so a speaker whose clock is slow runs dry by missing a window, however
	// the delay is within it. Before that happens the window is filled up, so that its packet is needed one window later.
	if spare := late - ticksToTime(int64(queued)) + rotunda.FrameDuration; spare < spareMin {
		it.Adjust = min(it.Adjust, queued-windowTicks)
	}
	b.release(h)
	b.ticks, b.quiet, b.run = h.ticks, h.empty || h.level >= quietLevel, 0
	b.stats.Played++
	return it
}

// lost deals with the hole between next and h, the oldest frame held. It answers with what fills the hole; with ok false
// the hole is settled and Pop looks again.
func (b *Buffer) lost(h *slot) (it Item, ok bool) {
	hole := int(int32(h.ts - b.nextTS))
	switch {
	case hole < b.ticks/2: // the timestamps leave no room for it
		b.next, b.nextTS = h.seq, h.ts
		return Item{}, false
	case b.debt >= b.ticks: // made up already, while it might have been late
		b.debt -= b.ticks
		b.next++
		b.nextTS += uint32(b.ticks)
		return Item{}, false
	case b.quiet || b.run >= concealMax: // a pause, or the voice has faded: the rest of the hole is silence
		b.next, b.playing = h.seq, false
		return Item{}, false
	case h.seq == b.next+1 && hole <= 3*rotunda.FrameTicks && b.debt == 0:
		b.next, b.nextTS = h.seq, h.ts
		b.run++
		b.stats.Repaired++
		return Item{Kind: Repair, Payload: h.data[:h.n], Ticks: hole / 120 * 120}, true // whole 2.5 ms, the codec's grain
	}
	return b.conceal(b.ticks-b.debt, true), true
}
