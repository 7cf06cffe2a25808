package edge

import (
	"time"

	"rotunda"
)

// Splice keeps one track of a session one RTP stream while its packets come from one maker after another: from the
// Program while somebody listens, from Slots while they speak. The zero value is ready.
type Splice struct {
	maker  int
	begun  bool
	seq    uint16 // highest sent
	ts     uint32 // its timestamp
	at     time.Time
	addSeq uint16
	addTS  uint32
}

// Packet returns p, which maker numbered in a way of its own, as the track's own packet. A new maker's first packet goes
// right behind the last one sent, with a timestamp as much later as it is, and is marked as a beginning. The first
// maker's numbers are kept as they are.
func (s *Splice) Packet(now time.Time, maker int, p Packet) Packet {
	if !s.begun {
		s.begun, s.maker = true, maker
		s.seq, s.ts = p.Sequence-1, p.Timestamp
	} else if maker != s.maker {
		elapsed := max(rotunda.FrameDuration, now.Sub(s.at).Round(rotunda.FrameDuration))
		s.maker = maker
		s.addSeq = s.seq + 1 - p.Sequence
		s.addTS = s.ts + uint32(elapsed.Milliseconds()*(rotunda.ClockRate/1000)) - p.Timestamp
		p.Marker = true
	}
	p.Sequence += s.addSeq
	p.Timestamp += s.addTS
	if int16(p.Sequence-s.seq) > 0 {
		s.seq, s.ts, s.at = p.Sequence, p.Timestamp, now
	}
	return p
}
