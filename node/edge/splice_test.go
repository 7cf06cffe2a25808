package edge

import (
	"testing"
	"time"
)

func TestSplice(t *testing.T) {
	start := time.Unix(0, 0)
	const ms = time.Millisecond
	var s Splice
	for i, step := range []struct {
		at         time.Duration
		maker      uint8
		seq        uint16
		ts         uint32
		wantSeq    uint16
		wantTS     uint32
		wantMarker bool
		what       string
	}{
		{0, 0, 100, 1000, 100, 1000, false, "the first maker's numbers are kept"},
		{20 * ms, 0, 101, 1960, 101, 1960, false, "and go on"},
		{40 * ms, 1, 9, 50, 102, 2920, true, "another maker goes on where the first stopped"},
		{60 * ms, 1, 11, 1970, 104, 4840, false, "a hole stays a hole"},
		{61 * ms, 1, 10, 1010, 103, 3880, false, "a late packet fills it"},
		{1060 * ms, 0, 65535, 7, 105, 4840 + 48000, true, "back after a second, over the wrap"},
		{1080 * ms, 0, 0, 967, 106, 4840 + 48960, false, "the wrap is nothing special"},
	} {
		got := s.Packet(start.Add(step.at), Maker{Clock: step.maker}, Packet{Sequence: step.seq, Timestamp: step.ts})
		if got.Sequence != step.wantSeq || got.Timestamp != step.wantTS || got.Marker != step.wantMarker {
			t.Errorf("step %d, %s: got %d %d %v, want %d %d %v", i, step.what, got.Sequence, got.Timestamp, got.Marker,
				step.wantSeq, step.wantTS, step.wantMarker)
		}
	}
}

// Another series of the same clock goes on with the next number and the same time; numbers can be traced back.
func TestSpliceSeries(t *testing.T) {
	var s Splice
	now := time.Unix(0, 0)
	single, merged := Maker{}, Maker{Series: 1}
	s.Number(now, Maker{Clock: 1}, 1000, 50)
	for i, c := range []struct {
		maker      Maker
		seq        uint16
		ts         uint32
		wantSeq    uint16
		wantTS     uint32
		wantMarker bool
	}{
		{single, 7, 0, 1001, 1010, true},
		{single, 8, 960, 1002, 1970, false},
		{merged, 400, 1920, 1003, 2930, false},
		{merged, 401, 4800, 1004, 5810, false},
		{single, 14, 7680, 1005, 8690, false},
	} {
		now = now.Add(20 * time.Millisecond)
		seq, ts, begun := s.Number(now, c.maker, c.seq, c.ts)
		if seq != c.wantSeq || ts != c.wantTS || begun != c.wantMarker {
			t.Errorf("step %d: %d %d %v, want %d %d %v", i, seq, ts, begun, c.wantSeq, c.wantTS, c.wantMarker)
		}
		if maker, theirs, later := s.Back(seq); maker != c.maker || theirs != c.seq || c.ts+later != ts {
			t.Errorf("step %d: back to %v %d", i, maker, theirs)
		}
	}
}
