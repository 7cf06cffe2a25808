package bench

import "time"

// fanout tells how much later than at the earliest listener a packet is at each of the others: what a server adds while it
// goes through its listeners. Sessions number packets as they like, so it first learns which timestamps of two listeners
// mean the same sound: one listener is the pilot, whose packets are all decrypted, and where another's decrypted payload
// is one of the pilot's, the difference of their timestamps holds for the rest of the session. The zero value is ready.
type fanout struct {
	frames [frameSlots]frame
	sounds [soundSlots]sound
	next   int // of sounds
	spread histogram
}

const (
	frameSlots = 512 // ten seconds of 20 ms packets
	soundSlots = 128
	frameTicks = 960 // 20 ms at 48 kHz, the least that a slot of frames stands for
)

// frame is one packet of the pilot's numbering, and when the first of all listeners had it.
type frame struct {
	timestamp uint32
	first     time.Duration
	used      bool
}

// sound is what the pilot heard at a timestamp.
type sound struct {
	hash      uint64 // 0: nothing
	timestamp uint32
	repeated  bool // heard more than once, as silence and steady tones are: it tells no time
}

// heard takes a payload of the pilot's.
func (f *fanout) heard(hash uint64, timestamp uint32) {
	for i := range f.sounds {
		if s := &f.sounds[i]; s.hash == hash && s.timestamp != timestamp {
			s.repeated = true
			return
		}
	}
	f.sounds[f.next] = sound{hash: hash, timestamp: timestamp}
	f.next = (f.next + 1) % soundSlots
}

// when is the pilot's timestamp of a payload.
func (f *fanout) when(hash uint64) (timestamp uint32, ok bool) {
	if hash == 0 {
		return 0, false
	}
	for i := range f.sounds {
		if s := &f.sounds[i]; s.hash == hash {
			return s.timestamp, !s.repeated
		}
	}
	return 0, false
}

// arrived takes the arrival of a packet at any listener, by the pilot's timestamp.
func (f *fanout) arrived(now time.Duration, timestamp uint32) {
	s := &f.frames[timestamp/frameTicks%frameSlots]
	switch {
	case s.used && s.timestamp == timestamp:
		s.first = min(s.first, now) // a reader that has fallen behind does not read in the order of arrival
		f.spread.add(now - s.first)
	case s.used && int32(timestamp-s.timestamp) < 0: // of ten seconds ago, or there are shorter packets than slots
	default:
		*s = frame{timestamp, now, true}
		f.spread.add(0)
	}
}
