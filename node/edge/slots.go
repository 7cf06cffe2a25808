package edge

import (
	"time"

	"rotunda"
)

// SlotsMax is how many of the other speakers a speaker hears at once, each on a track of their own.
const SlotsMax = 4

// speakersMax bounds what one session remembers of a room's stage; the policy allows 20.
const speakersMax = 64

// How slots are given away. They are sticky: a change is heard as a cut, so it must be worth one.
const (
	voiceLevel    = 60                     // -dBov: louder than this counts as wanting to be heard
	idleAfter     = 400 * time.Millisecond // without voice, a slot's holder may be put aside
	holdMin       = time.Second            // a talking holder keeps the slot this long
	louderBy      = 12                     // dB that a newcomer must be above a talking holder
	decayPerFrame = 0.5                    // dB that the remembered loudness falls in 20 ms: 25 dB a second
)

// Slots chooses which of the other speakers' streams one speaker's session gets, at most one to a track, and keeps
// each track a continuous RTP stream while its speakers change. The packet's only source is the speaker, so that the
// client knows who is on the track. Make it with NewSlots.
type Slots struct {
	slots    [SlotsMax]slot
	n        int
	speakers map[rotunda.SSRC]*speaker
}

type slot struct {
	out    rewriter
	holder *speaker // nil: free
	ssrc   rotunda.SSRC
	since  time.Time
}

type speaker struct {
	epoch rotunda.Epoch
	slot  int     // index, -1 for none
	loud  float64 // remembered loudness in dB above silence (127 - level), as of at
	at    time.Time
	voice time.Time // last frame above voiceLevel
}

// NewSlots makes slots for a session with the given number of tracks (1 to SlotsMax; more are not used). Every track's
// first packet has the given sequence number and timestamp.
func NewSlots(tracks int, sequence uint16, timestamp uint32) *Slots {
	s := &Slots{n: max(0, min(tracks, SlotsMax)), speakers: map[rotunda.SSRC]*speaker{}}
	for i := range s.slots {
		s.slots[i].out = rewriter{seq: sequence, ts: timestamp}
	}
	return s
}

// Frame takes a frame of one of the other speakers' microphones; with None it returns the track and the packet to send
// on it, whose Payload aliases the frame's.
func (s *Slots) Frame(now time.Time, ssrc rotunda.SSRC, epoch rotunda.Epoch, f *rotunda.Frame) (track int, p Packet, drop Drop) {
	sp := s.speakers[ssrc]
	switch {
	case sp == nil:
		if len(s.speakers) >= speakersMax {
			return 0, Packet{}, Unheard
		}
		sp = &speaker{epoch: epoch, slot: -1, at: now}
		s.speakers[ssrc] = sp
	case epoch < sp.epoch:
		return 0, Packet{}, OldEpoch
	case epoch > sp.epoch:
		sp.epoch = epoch
		if sp.slot >= 0 {
			s.slots[sp.slot].out.detach()
		}
	}
	sp.hear(now, f.Level)
	if sp.slot < 0 && !s.seat(now, ssrc, sp) {
		return 0, Packet{}, Unheard
	}
	p, drop = s.slots[sp.slot].out.packet(now, f)
	if drop != None {
		return 0, Packet{}, drop
	}
	p.Sources = rotunda.SourcesOf(ssrc)
	return sp.slot, p, None
}

// Remove forgets a speaker who left the stage; their track stays, free for another.
func (s *Slots) Remove(ssrc rotunda.SSRC) {
	sp := s.speakers[ssrc]
	if sp == nil {
		return
	}
	if sp.slot >= 0 {
		s.slots[sp.slot].holder = nil
		s.slots[sp.slot].out.detach()
	}
	delete(s.speakers, ssrc)
}

// On returns who is on a track; ok is false for a free one.
func (s *Slots) On(track int) (ssrc rotunda.SSRC, ok bool) {
	if track < 0 || track >= s.n || s.slots[track].holder == nil {
		return 0, false
	}
	return s.slots[track].ssrc, true
}

// hear remembers how loud a speaker is: up at once, down slowly.
func (sp *speaker) hear(now time.Time, level uint8) {
	sp.loud = max(sp.loudness(now), 127-float64(level&0x7f))
	sp.at = now
	if level <= voiceLevel {
		sp.voice = now
	}
}

func (sp *speaker) loudness(now time.Time) float64 {
	return max(0, sp.loud-decayPerFrame*float64(now.Sub(sp.at))/float64(rotunda.FrameDuration))
}

// seat finds a slot for a speaker who has none: a free one for anybody, another's only for a voice.
func (s *Slots) seat(now time.Time, ssrc rotunda.SSRC, sp *speaker) bool {
	best, bestLoud := -1, 0.0
	for i := range s.slots[:s.n] {
		sl := &s.slots[i]
		h := sl.holder
		if h == nil {
			best = i
			break
		}
		loud := h.loudness(now)
		idle := now.Sub(h.voice) >= idleAfter
		yields := idle || now.Sub(sl.since) >= holdMin && sp.loud >= loud+louderBy
		if sp.voice.Equal(now) && yields && (best < 0 || loud < bestLoud) {
			best, bestLoud = i, loud
		}
	}
	if best < 0 {
		return false
	}
	sl := &s.slots[best]
	if sl.holder != nil {
		sl.holder.slot = -1
	}
	sl.holder, sl.ssrc, sl.since = sp, ssrc, now
	sl.out.detach()
	sp.slot = best
	return true
}
