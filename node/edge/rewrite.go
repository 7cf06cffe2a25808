// Package edge makes RTP packets of frames: what one listener's or speaker's session sees of the room. Program serves all
// listeners of a room on this node with one and the same packets; Slots chooses for one speaker which of the others are
// heard on the session's few tracks.
//
// Its invariant: what leaves on one track is one RTP stream (RFC 3550 §5.1). No sequence number is used twice, frames of
// an older epoch never follow a newer one's, a hole in the sequence is a real loss and nothing else, and timestamps run
// with the wall clock across changes of the source.
//
// The package is pure: time is an argument. No type is safe for concurrent use.
package edge

import (
	"time"

	"rotunda"
)

// Packet is what a session sends: an RTP packet without what differs between sessions (SSRC, payload type, keys).
type Packet struct {
	Sequence  uint16
	Timestamp uint32          // 48 kHz ticks
	Marker    bool            // first packet after silence (RFC 3551 §4.1)
	Sources   rotunda.Sources // the CSRC list
	Level     uint8           // audio level (RFC 6464), -dBov
	Origin    int64           // when the sound entered the stream, by the origin's clock: Frame.Origin, microseconds
	Payload   []byte          // one Opus packet; aliases the frame's
}

// Drop says why a frame became no packet; None is no drop.
type Drop string

// The reasons.
const (
	None      Drop = ""
	OldEpoch  Drop = "old_epoch" // of an incarnation of the stream that has been superseded
	Duplicate Drop = "duplicate" // came before, by another path
	Late      Drop = "late"      // too far behind the newest to be of use
	Unheard   Drop = "unheard"   // the speaker has no slot: others are louder
)

const (
	misorderMax = 64                        // how far behind the newest a frame may come: the width of the window, 1.3 s
	jumpMax     = 3000                      // a jump of the sequence beyond this is not loss but another count (RFC 3550 §A.1)
	stallMin    = 2 * rotunda.FrameDuration // a frame that comes this much behind its time leaves a player without audio
)

// rewriter makes one RTP stream out of the frames of one source after another.
type rewriter struct {
	seq    uint16 // RTP sequence number of the newest packet
	ts     uint32 // RTP timestamp of the newest packet
	at     time.Time
	shift  uint32      // RTP timestamp = frame timestamp + shift
	source bool        // newest, floor and seen belong to the source that is being sent
	newest rotunda.Seq // highest frame number of the source
	floor  rotunda.Seq // its first frame: what came before has no number in the RTP stream
	seen   uint64      // bit i: newest-i came
	sent   bool        // anything was ever sent
	paused bool        // nobody took the source since the newest frame
	gap    time.Duration
}

// detach ends the source: the next frame begins another one.
func (r *rewriter) detach() { r.source = false }

// pause says that nobody takes the source for a while: what it sends meanwhile is not missing.
func (r *rewriter) pause() { r.paused = true }

// packet numbers the next frame of the source. Payload and Sources are the frame's.
func (r *rewriter) packet(now time.Time, f *rotunda.Frame) (Packet, Drop) {
	r.gap = 0
	p := Packet{Sources: f.Sources, Level: f.Level, Origin: f.Origin, Payload: f.Payload}
	ahead := int64(f.Seq - r.newest)
	switch {
	case !r.source || ahead > jumpMax || r.paused && ahead > 0:
		r.begin(now, f)
		p.Marker = true
	case ahead > 0:
		p.Marker = r.forward(now, f, ahead)
	default:
		return r.behind(p, f, -ahead)
	}
	p.Sequence, p.Timestamp = r.seq, r.ts
	return p, None
}

// begin puts a new source behind what was sent: the next sequence number, and a timestamp as much later as it really is.
func (r *rewriter) begin(now time.Time, f *rotunda.Frame) {
	if r.sent {
		elapsed := max(rotunda.FrameDuration, now.Sub(r.at).Round(rotunda.FrameDuration))
		if !r.paused {
			r.gap = elapsed - rotunda.FrameDuration
		}
		r.seq++
		r.ts += uint32(elapsed.Milliseconds() * (rotunda.ClockRate / 1000))
	}
	r.shift = r.ts - f.Timestamp
	r.at, r.newest, r.floor, r.seen, r.source, r.sent, r.paused = now, f.Seq, f.Seq, 1, true, true, false
}

// forward takes a frame newer than all and reports whether it ends a silence.
func (r *rewriter) forward(now time.Time, f *rotunda.Frame, ahead int64) (afterSilence bool) {
	ts := f.Timestamp + r.shift
	audio := time.Duration(int32(ts-r.ts)) * time.Second / rotunda.ClockRate // from the newest frame to this one
	if missing := audio - rotunda.FrameDuration; ahead > 1 && missing > 0 {
		r.gap = missing
	}
	if stall := now.Sub(r.at) - audio; stall >= stallMin {
		r.gap = max(r.gap, stall)
	}
	afterSilence = ahead == 1 && audio > 3*rotunda.FrameDuration // the longest packet of the mesh is 60 ms
	r.seq += uint16(ahead)
	r.seen = r.seen<<ahead | 1
	r.ts, r.at, r.newest = ts, now, f.Seq
	return afterSilence
}

// behind takes a frame that others overtook.
func (r *rewriter) behind(p Packet, f *rotunda.Frame, back int64) (Packet, Drop) {
	if back >= misorderMax || f.Seq < r.floor {
		return Packet{}, Late
	}
	bit := uint64(1) << back
	if r.seen&bit != 0 {
		return Packet{}, Duplicate
	}
	r.seen |= bit
	p.Sequence, p.Timestamp = r.seq-uint16(back), f.Timestamp+r.shift
	return p, None
}
