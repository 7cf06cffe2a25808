package edge

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"rotunda"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const ms = time.Millisecond

func fr(seq int, ts uint32) *rotunda.Frame {
	return &rotunda.Frame{Seq: rotunda.Seq(seq), Timestamp: ts, Payload: []byte{0x78, byte(seq)}}
}

type step struct {
	at     time.Duration
	epoch  rotunda.Epoch
	seq    int
	ts     uint32
	drop   Drop
	outSeq uint16
	outTS  uint32
	marker bool
	gap    time.Duration
}

func TestProgram(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"in order, over both wraps", []step{
			{0, 1, 7, 4294967000, None, 65535, 1000, true, 0},
			{20 * ms, 1, 8, 664, None, 0, 1960, false, 0},
		}},
		{"lost: the hole stays", []step{
			{0, 1, 7, 0, None, 65535, 1000, true, 0}, {40 * ms, 1, 9, 1920, None, 1, 2920, false, 20 * ms},
		}},
		{"silence is no gap, and what follows is marked", []step{
			{0, 1, 7, 0, None, 65535, 1000, true, 0}, {400 * ms, 1, 8, 19200, None, 0, 20200, true, 0},
		}},
		{"reordered, and twice", []step{
			{0, 1, 7, 0, None, 65535, 1000, true, 0}, {40 * ms, 1, 9, 1920, None, 1, 2920, false, 20 * ms},
			{41 * ms, 1, 8, 960, None, 0, 1960, false, 0}, {42 * ms, 1, 8, 960, Duplicate, 0, 0, false, 0},
			{43 * ms, 1, 9, 1920, Duplicate, 0, 0, false, 0},
		}},
		{"before the first", []step{{0, 1, 7, 960, None, 65535, 1000, true, 0}, {1 * ms, 1, 6, 0, Late, 0, 0, false, 0}}},
		{"far behind", []step{
			{0, 1, 7, 0, None, 65535, 1000, true, 0}, {2 * time.Second, 1, 107, 96000, None, 99, 97000, false, 1980 * ms},
			{2001 * ms, 1, 43, 34560, Late, 0, 0, false, 0},
		}},
		{"a stalled path", []step{
			{0, 1, 7, 0, None, 65535, 1000, true, 0}, {320 * ms, 1, 8, 960, None, 0, 1960, false, 300 * ms},
			{320 * ms, 1, 9, 1920, None, 1, 2920, false, 0},
		}},
		// The home dies: 480 ms later the standby's epoch comes. Sequence without a hole, timestamp as much later as it is.
		{"a new epoch", []step{
			{0, 1, 7, 0, None, 65535, 1000, true, 0}, {20 * ms, 1, 8, 960, None, 0, 1960, false, 0},
			{500 * ms, 2, 1, 777, None, 1, 1960 + 23040, true, 460 * ms}, {520 * ms, 2, 2, 777 + 960, None, 2, 1960 + 24000, false, 0},
			{521 * ms, 1, 9, 1920, OldEpoch, 0, 0, false, 0}, {540 * ms, 2, 3, 777 + 1920, None, 3, 1960 + 24960, false, 0},
		}},
		{"a new epoch at once still moves time on", []step{
			{0, 1, 7, 0, None, 65535, 1000, true, 0}, {1 * ms, 5, 1, 0, None, 0, 1960, true, 0},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := NewProgram(65535, 1000)
			for i, s := range c.steps {
				got, drop := p.Frame(start.Add(s.at), s.epoch, fr(s.seq, s.ts))
				if drop != s.drop || got.Sequence != s.outSeq || got.Timestamp != s.outTS || got.Marker != s.marker || p.Gap() != s.gap {
					t.Fatalf("step %d (at %v): Frame = %d, %d, marker %v, drop %q, gap %v; want %d, %d, %v, %q, %v", i, s.at,
						got.Sequence, got.Timestamp, got.Marker, drop, p.Gap(), s.outSeq, s.outTS, s.marker, s.drop, s.gap)
				}
			}
		})
	}
}

// While nobody hears it a program goes on elsewhere. Who comes then is greeted with the latest packet and misses nothing between
// that and the next one; and what is late from before the pause is not played behind it.
func TestProgramPauses(t *testing.T) {
	p := NewProgram(65535, 1000)
	take := func(at time.Duration, epoch rotunda.Epoch, seq int, ts uint32) (Packet, Drop) {
		return p.Frame(start.Add(at), epoch, fr(seq, ts))
	}
	take(0, 1, 7, 0)
	p.Pause()
	if _, drop := take(1*ms, 1, 7, 0); drop != Duplicate {
		t.Errorf("by another path: %q", drop)
	}
	pkt, drop := take(5*time.Second, 1, 200, 185280)
	if drop != None || pkt.Sequence != 0 || pkt.Timestamp != 1000+5*48000 || !pkt.Marker || p.Gap() != 0 || p.Stats().Gaps != 0 {
		t.Errorf("after the pause: %+v, %q, gap %v", pkt, drop, p.Gap())
	}
	if _, drop := take(5*time.Second, 1, 199, 184320); drop != Late {
		t.Errorf("from the pause: %q", drop)
	}
	if pkt, _ := take(5*time.Second+40*ms, 1, 202, 187200); pkt.Sequence != 2 || p.Gap() != 20*ms {
		t.Errorf("a hole is one again: %+v, gap %v", pkt, p.Gap())
	}
	p.Pause()
	if pkt, _ := take(7*time.Second, 2, 1, 0); pkt.Sequence != 3 || p.Gap() != 0 {
		t.Errorf("another epoch after a pause: %+v, gap %v", pkt, p.Gap())
	}
}

func TestProgramStats(t *testing.T) {
	p := NewProgram(0, 0)
	p.Frame(start, 1, fr(1, 0))
	p.Frame(start.Add(60*ms), 1, fr(4, 2880))
	p.Frame(start.Add(61*ms), 1, fr(4, 2880))
	p.Frame(start.Add(160*ms), 2, fr(1, 0))
	want := Stats{Packets: 3, Epochs: 1, Dropped: 1, Gaps: 2, GapLength: 120 * ms, GapMax: 80 * ms}
	if got := p.Stats(); got != want {
		t.Errorf("Stats = %+v, want %+v", got, want)
	}
	if p.Epoch() != 2 {
		t.Errorf("Epoch = %d, want 2", p.Epoch())
	}
}

// Who joins in a silence gets the newest packet, and its successor follows without a hole.
func TestLatest(t *testing.T) {
	p := NewProgram(9, 0)
	if _, ok := p.Latest(); ok {
		t.Error("a latest packet before the first")
	}
	f := fr(1, 0)
	p.Frame(start, 1, f)
	f.Payload[1] = 99 // the frame's buffer is its owner's again
	got, ok := p.Latest()
	if !ok || got.Sequence != 9 || got.Payload[1] != 1 {
		t.Errorf("Latest = %+v, %v; want packet 9 as it was sent", got, ok)
	}
	if next, _ := p.Frame(start.Add(400*ms), 1, fr(2, 19200)); next.Sequence != 10 {
		t.Errorf("the packet after is %d, want 10", next.Sequence)
	}
}

// Whatever comes in whatever order: no sequence number is used twice, and no frame of an older epoch follows a newer one's.
func TestProgramIsOneStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := NewProgram(rapid.Uint16().Draw(t, "sequence"), rapid.Uint32().Draw(t, "timestamp"))
		used := map[uint16]bool{}
		newest := rotunda.Epoch(0)
		base := rapid.IntRange(0, 1<<40).Draw(t, "base")
		for i := range rapid.IntRange(1, 200).Draw(t, "frames") {
			epoch := max(1, rotunda.Epoch(i/40)+rotunda.Epoch(rapid.IntRange(0, 2).Draw(t, "epoch"))) // ever newer, not in order
			seq := base + i + rapid.IntRange(-70, 10).Draw(t, "reorder") + 70
			got, drop := p.Frame(start.Add(time.Duration(i)*20*ms), epoch, fr(seq, uint32(seq)*960))
			if drop == None && epoch < newest {
				t.Fatalf("frame %d of epoch %d passed after epoch %d", seq, epoch, newest)
			}
			newest = max(newest, epoch)
			if drop != None {
				continue
			}
			if used[got.Sequence] {
				t.Fatalf("sequence number %d used twice", got.Sequence)
			}
			used[got.Sequence] = true
		}
	})
}

func TestProgramAllocatesNothing(t *testing.T) {
	p := NewProgram(0, 0)
	f := fr(1, 0)
	now := start
	if n := testing.AllocsPerRun(1000, func() {
		f.Seq++
		f.Timestamp += 960
		now = now.Add(20 * ms)
		if _, drop := p.Frame(now, 1, f); drop != None {
			t.Fatalf("drop %q", drop)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkProgram(b *testing.B) {
	p := NewProgram(0, 0)
	f := &rotunda.Frame{Payload: make([]byte, 80)}
	now := start
	b.ReportAllocs()
	for b.Loop() {
		f.Seq++
		f.Timestamp += 960
		now = now.Add(20 * ms)
		p.Frame(now, 1, f)
	}
}
