package edge

import (
	"time"

	"rotunda"
)

// Maker is who numbered a packet that is to go out on a track.
type Maker struct {
	Clock  uint8 // makers of one clock give the same instant the same timestamp
	Series uint8 // and of one series too the same packet the same number
}

// Splice keeps one track of a session one RTP stream while its packets come from one maker after another: from the
// Program while somebody listens, frame by frame or merged, from Slots while they speak. The zero value is ready.
type Splice struct {
	maker  Maker
	begun  bool
	seq    uint16 // highest sent
	ts     uint32 // its timestamp
	at     time.Time
	addSeq uint16
	addTS  uint32
}

// Number returns the track's own numbers for a packet that maker numbered in a way of its own. A new maker's first packet goes
// right behind the last one sent; where its clock is another one too, its timestamp is as much later as it is, and begun says
// that it is to be marked as a beginning. The first maker's numbers are kept as they are.
func (s *Splice) Number(now time.Time, maker Maker, sequence uint16, timestamp uint32) (seq uint16, ts uint32, begun bool) {
	if !s.begun {
		s.begun, s.maker = true, maker
		s.seq, s.ts = sequence-1, timestamp
	} else if maker != s.maker {
		s.addSeq = s.seq + 1 - sequence
		if begun = maker.Clock != s.maker.Clock; begun {
			elapsed := max(rotunda.FrameDuration, now.Sub(s.at).Round(rotunda.FrameDuration))
			s.addTS = s.ts + uint32(elapsed.Milliseconds()*(rotunda.ClockRate/1000)) - timestamp
		}
		s.maker = maker
	}
	seq, ts = sequence+s.addSeq, timestamp+s.addTS
	if int16(seq-s.seq) > 0 {
		s.seq, s.ts, s.at = seq, ts, now
	}
	return seq, ts, begun
}

// Back is the inverse of Number for packets of the maker that numbered last: what sequence was in its way of numbering, and how
// much later the track's timestamps are than its.
func (s *Splice) Back(sequence uint16) (maker Maker, theirs uint16, later uint32) {
	return s.maker, sequence - s.addSeq, s.addTS
}

// Packet returns p with the track's own numbers, as Number does.
func (s *Splice) Packet(now time.Time, maker Maker, p Packet) Packet {
	var begun bool
	p.Sequence, p.Timestamp, begun = s.Number(now, maker, p.Sequence, p.Timestamp)
	p.Marker = p.Marker || begun
	return p
}
