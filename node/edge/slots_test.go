package edge

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"rotunda"
)

const (
	loud   = 20
	soft   = 45
	silent = 120
)

// stage drives Slots with one frame of every speaker each 20 ms.
type stage struct {
	*Slots
	now time.Duration
	seq rotunda.Seq
}

// say sends frames of the given levels for as long as told, and returns who was heard on which track in the end.
func (s *stage) say(t *testing.T, length time.Duration, levels map[rotunda.SSRC]uint8) map[rotunda.SSRC]int {
	t.Helper()
	heard := map[rotunda.SSRC]int{}
	for end := s.now + length; s.now < end; s.now += 20 * ms {
		s.seq++
		clear(heard)
		for id := rotunda.SSRC(1); id <= 9; id++ {
			level, ok := levels[id]
			if !ok {
				continue
			}
			f := &rotunda.Frame{Seq: s.seq, Timestamp: uint32(s.now/ms) * 48, Level: level, Payload: []byte{0x78, 1}}
			track, p, drop := s.Frame(start.Add(s.now), id, 1, f)
			if drop != None {
				continue
			}
			heard[id] = track
			if p.Sources.Len() != 1 || p.Sources.At(0) != id {
				t.Fatalf("packet of %d lists %d sources", id, p.Sources.Len())
			}
			if on, ok := s.On(track); !ok || on != id {
				t.Fatalf("On(%d) = %d, %v after a packet of %d", track, on, ok, id)
			}
		}
	}
	return heard
}

func hears(t *testing.T, what string, heard map[rotunda.SSRC]int, want ...rotunda.SSRC) {
	t.Helper()
	if len(heard) != len(want) {
		t.Fatalf("%s: hears %v, want %v", what, heard, want)
	}
	for _, id := range want {
		if _, ok := heard[id]; !ok {
			t.Fatalf("%s: hears %v, want %v", what, heard, want)
		}
	}
}

func TestSlotsGoToVoices(t *testing.T) {
	s := &stage{Slots: NewSlots(2, 100, 5000)}
	hears(t, "free slots go to anybody", s.say(t, 100*ms, map[rotunda.SSRC]uint8{1: silent, 2: silent}), 1, 2)
	hears(t, "silence takes no slot", s.say(t, 3*time.Second, map[rotunda.SSRC]uint8{1: silent, 2: silent, 3: silent}), 1, 2)
	hears(t, "a voice does, at once", s.say(t, 40*ms, map[rotunda.SSRC]uint8{1: soft, 2: silent, 3: loud}), 1, 3)
	hears(t, "voices keep theirs", s.say(t, 3*time.Second, map[rotunda.SSRC]uint8{1: soft, 2: soft, 3: soft}), 1, 3)
	hears(t, "until one is much louder", s.say(t, 40*ms, map[rotunda.SSRC]uint8{1: soft, 2: loud, 3: soft + 5}), 1, 2)
	hears(t, "and then for a while", s.say(t, 500*ms, map[rotunda.SSRC]uint8{1: soft, 2: soft, 3: loud - 10}), 2, 3)
	s.Remove(2)
	hears(t, "who left makes room", s.say(t, 40*ms, map[rotunda.SSRC]uint8{1: silent, 3: soft}), 1, 3)
	s.Remove(9) // unknown
}

// A slot is one RTP stream while its speakers change: no hole in the sequence, time goes on with the clock, marked.
func TestSlotIsOneStream(t *testing.T) {
	s := NewSlots(1, 65535, 1000)
	send := func(at time.Duration, id rotunda.SSRC, epoch rotunda.Epoch, seq int, ts uint32, level uint8) (Packet, Drop) {
		f := fr(seq, ts)
		f.Level = level
		_, p, drop := s.Frame(start.Add(at), id, epoch, f)
		return p, drop
	}
	for i, c := range []struct {
		at    time.Duration
		id    rotunda.SSRC
		epoch rotunda.Epoch
		seq   int
		ts    uint32
		level uint8
		drop  Drop
		want  Packet
	}{
		{0, 1, 1, 50, 9000, loud, None, Packet{Sequence: 65535, Timestamp: 1000, Marker: true}},
		{20 * ms, 1, 1, 51, 9960, silent, None, Packet{Sequence: 0, Timestamp: 1960}},
		{100 * ms, 2, 1, 8, 77, loud, Unheard, Packet{}},
		{520 * ms, 2, 1, 29, 99, loud, None, Packet{Sequence: 1, Timestamp: 1960 + 24000, Marker: true}},
		{540 * ms, 1, 1, 77, 40000, silent, Unheard, Packet{}},
		{540 * ms, 2, 2, 1, 5, loud, None, Packet{Sequence: 2, Timestamp: 1960 + 24960, Marker: true}},
		{560 * ms, 2, 1, 31, 2000, loud, OldEpoch, Packet{}},
		{560 * ms, 2, 2, 1, 5, loud, Duplicate, Packet{}},
		{560 * ms, 2, 2, 2, 965, loud, None, Packet{Sequence: 3, Timestamp: 1960 + 25920}},
	} {
		got, drop := send(c.at, c.id, c.epoch, c.seq, c.ts, c.level)
		if drop != c.drop || got.Sequence != c.want.Sequence || got.Timestamp != c.want.Timestamp || got.Marker != c.want.Marker {
			t.Fatalf("step %d (at %v): %d, %d, marker %v, drop %q; want %d, %d, %v, %q", i, c.at, got.Sequence, got.Timestamp, got.Marker,
				drop, c.want.Sequence, c.want.Timestamp, c.want.Marker, c.drop)
		}
	}
}

func TestSlotsAreBounded(t *testing.T) {
	s := NewSlots(99, 0, 0)
	tracks := map[int]bool{}
	for id := range rotunda.SSRC(1000) {
		track, _, drop := s.Frame(start, id, 1, &rotunda.Frame{Seq: 1, Level: loud, Payload: []byte{0x78}})
		if drop == None {
			tracks[track] = true
		}
	}
	if len(s.speakers) > speakersMax || len(tracks) != SlotsMax {
		t.Errorf("remembers %d speakers on %d tracks, want at most %d on %d", len(s.speakers), len(tracks), speakersMax, SlotsMax)
	}
	if _, _, drop := NewSlots(0, 0, 0).Frame(start, 1, 1, fr(1, 0)); drop != Unheard {
		t.Errorf("a session without tracks: drop %q, want %q", drop, Unheard)
	}
	if _, ok := s.On(-1); ok {
		t.Error("somebody is on track -1")
	}
}

// Any levels, any speakers: each track's sequence numbers are used once and nobody is on two tracks.
func TestSlotsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewSlots(rapid.IntRange(1, SlotsMax).Draw(t, "tracks"), rapid.Uint16().Draw(t, "sequence"), 0)
		next := map[int]uint16{}
		for i := range rapid.IntRange(1, 200).Draw(t, "frames") {
			id := rotunda.SSRC(rapid.IntRange(1, 6).Draw(t, "speaker"))
			if rapid.IntRange(0, 30).Draw(t, "event") == 0 {
				s.Remove(id)
			}
			f := fr(i+1, uint32(i)*960)
			f.Level = uint8(rapid.IntRange(0, 127).Draw(t, "level"))
			track, p, drop := s.Frame(start.Add(time.Duration(i)*5*ms), id, 1, f)
			if drop != None {
				continue
			}
			if want, ok := next[track]; ok && int16(p.Sequence-want) < 0 {
				t.Fatalf("track %d: sequence number %d after %d", track, p.Sequence, want-1)
			}
			next[track] = p.Sequence + 1
			for other := range s.n {
				if on, ok := s.On(other); ok && on == id && other != track {
					t.Fatalf("%d is on tracks %d and %d", id, track, other)
				}
			}
		}
	})
}

func TestSlotsAllocateNothing(t *testing.T) {
	s := NewSlots(2, 0, 0)
	f := fr(1, 0)
	f.Level = loud
	now := start
	if n := testing.AllocsPerRun(1000, func() {
		f.Seq++
		f.Timestamp += 960
		now = now.Add(20 * ms)
		for id := rotunda.SSRC(1); id <= 4; id++ {
			s.Frame(now, id, 1, f)
		}
	}); n > 0 {
		t.Errorf("%v allocations for four frames", n)
	}
}
