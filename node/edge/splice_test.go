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
		maker      int
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
		got := s.Packet(start.Add(step.at), step.maker, Packet{Sequence: step.seq, Timestamp: step.ts})
		if got.Sequence != step.wantSeq || got.Timestamp != step.wantTS || got.Marker != step.wantMarker {
			t.Errorf("step %d, %s: got %d %d %v, want %d %d %v", i, step.what, got.Sequence, got.Timestamp, got.Marker,
				step.wantSeq, step.wantTS, step.wantMarker)
		}
	}
}
