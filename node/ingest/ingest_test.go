package ingest

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rotunda"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// voice is a sound packet of 20 ms: SILK wideband, one frame.
var voice = []byte{9 << 3, 1, 2, 3}

func at(d time.Duration) time.Time { return start.Add(d) }

func open() *Gate {
	g := New(Config{})
	g.SetOpen(true)
	return g
}

type step struct {
	seq  uint16
	ts   uint32
	at   time.Duration
	want rotunda.Seq // 0: dropped
	drop Drop
	out  uint32 // timestamp of the frame
}

func run(t *testing.T, g *Gate, steps []step) {
	t.Helper()
	for i, s := range steps {
		f, drop := g.Packet(Packet{Sequence: s.seq, Timestamp: s.ts, Payload: voice, Arrival: at(s.at)})
		if drop != s.drop || f.Seq != s.want || drop == None && f.Timestamp != s.out {
			t.Fatalf("step %d (packet %d at %v): Packet = seq %d, timestamp %d, drop %q; want %d, %d, %q",
				i, s.seq, s.at, f.Seq, f.Timestamp, drop, s.want, s.out, s.drop)
		}
	}
}

const ms = time.Millisecond

func TestSequence(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"in order over the wrap", []step{
			{65534, 100, 0, 1, None, 100}, {65535, 1060, 20 * ms, 2, None, 1060}, {0, 2020, 40 * ms, 3, None, 2020},
		}},
		{"a loss leaves a hole", []step{{10, 0, 0, 1, None, 0}, {12, 1920, 40 * ms, 3, None, 1920}}},
		{"reordered", []step{
			{10, 0, 0, 1, None, 0}, {12, 1920, 40 * ms, 3, None, 1920}, {11, 960, 41 * ms, 2, None, 960}, {13, 2880, 60 * ms, 4, None, 2880},
		}},
		{"twice", []step{
			{10, 0, 0, 1, None, 0}, {11, 960, 20 * ms, 2, None, 960}, {10, 0, 21 * ms, 0, Duplicate, 0}, {11, 960, 22 * ms, 0, Duplicate, 0},
		}},
		{"before the first", []step{{10, 0, 0, 1, None, 0}, {9, 0, 1 * ms, 0, Late, 0}}},
		{"a stray", []step{{10, 0, 0, 1, None, 0}, {40000, 7, 20 * ms, 0, Late, 0}, {11, 960, 21 * ms, 2, None, 960}}},
		{"a restart is believed when two agree, and time goes on", []step{
			{10, 5000, 0, 1, None, 5000}, {40000, 7, 100 * ms, 0, Late, 0}, {40001, 967, 120 * ms, 2, None, 5000 + 5760}, {40002, 1927, 140 * ms, 3, None, 5000 + 6720},
		}},
	} {
		t.Run(c.name, func(t *testing.T) { run(t, open(), c.steps) })
	}
}

func TestGateIsShutUntilTheLogOpensIt(t *testing.T) {
	g := New(Config{})
	run(t, g, []step{{1, 0, 0, 0, NotGranted, 0}})
	g.SetOpen(true)
	run(t, g, []step{{2, 960, 20 * ms, 1, None, 960}})
	g.SetOpen(false)
	if g.Open() {
		t.Error("open after SetOpen(false)")
	}
	run(t, g, []step{{3, 1920, 40 * ms, 0, Muted, 0}})
	g.Shut(NotGranted)
	run(t, g, []step{{4, 2880, 60 * ms, 0, NotGranted, 0}})
	// Five seconds of silence leave no hole: the next number, and the sender's own timestamp.
	g.SetOpen(true)
	run(t, g, []step{{260, 240960, 5 * time.Second, 2, None, 240960}, {259, 240000, 5 * time.Second, 0, Late, 0}})
}

func TestWhatIsAccepted(t *testing.T) {
	for _, c := range []struct {
		name    string
		payload []byte
		want    Drop
	}{
		{"20 ms", voice, None},
		{"40 ms", []byte{10 << 3, 1}, None},
		{"60 ms", []byte{11 << 3, 1}, None},
		{"three frames of 20 ms", []byte{9<<3 | 3, 3, 1, 2, 3}, None},
		{"dtx", []byte{9 << 3}, None},
		{"the longest", append([]byte{31 << 3}, make([]byte, rotunda.PayloadMax-1)...), None},
		{"empty", nil, Size},
		{"too long", append([]byte{31 << 3}, make([]byte, rotunda.PayloadMax)...), Size},
		{"10 ms", []byte{8 << 3, 1}, Codec},
		{"80 ms", []byte{9<<3 | 3, 4, 1, 2, 3, 4}, Codec},
		{"no frames", []byte{9<<3 | 3, 0}, Malformed},
		{"cut off", []byte{9<<3 | 2, 200, 1}, Malformed},
	} {
		f, drop := open().Packet(Packet{Payload: c.payload, Arrival: start})
		if drop != c.want {
			t.Errorf("%s: drop %q, want %q", c.name, drop, c.want)
		}
		if (drop == None) != (len(f.Payload) > 0) {
			t.Errorf("%s: dropped with %q and a payload of %d bytes", c.name, drop, len(f.Payload))
		}
	}
}

func TestLevel(t *testing.T) {
	f, _ := open().Packet(Packet{Payload: voice, Level: 0x80 | 42, HasLevel: true, Arrival: start})
	if f.Level != 42 || f.Origin != rotunda.Micros(start) {
		t.Errorf("level %d, origin %d; want 42, %d", f.Level, f.Origin, rotunda.Micros(start))
	}
	if f, _ = open().Packet(Packet{Payload: voice, Level: 42, Arrival: start}); f.Level != LevelUnknown {
		t.Errorf("level %d without the extension, want %d", f.Level, LevelUnknown)
	}
}

// A second at once passes after a stall, then one packet each 1/60 s.
func TestRate(t *testing.T) {
	g := open()
	seq, passed := uint16(0), 0
	send := func(n int, when time.Duration) {
		for range n {
			seq++
			if _, drop := g.Packet(Packet{Sequence: seq, Payload: voice, Arrival: at(when)}); drop == None {
				passed++
			} else if drop != Rate {
				t.Fatalf("drop %q, want %q", drop, Rate)
			}
		}
	}
	send(200, 0)
	if passed != 50 {
		t.Errorf("%d packets passed at once, want 50", passed)
	}
	passed = 0
	for i := range 1000 { // ten seconds at 100 a second
		send(1, time.Duration(i)*10*ms)
	}
	if passed < 595 || passed > 605 {
		t.Errorf("%d of 1000 packets in 10 s passed, want 600", passed)
	}
	send(1, -time.Hour) // a clock that goes back gives no credit
}

// Whatever order packets come in: no number twice, and nothing older than the duplicate window.
func TestNumbersAreUsedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := New(Config{RateMax: 1e6, Burst: 1e6})
		g.SetOpen(true)
		seen := map[rotunda.Seq]bool{}
		seq := rapid.Uint16().Draw(t, "first")
		for i := range rapid.IntRange(1, 300).Draw(t, "packets") {
			seq += uint16(rapid.IntRange(-80, 90).Draw(t, "step"))
			switch rapid.IntRange(0, 20).Draw(t, "event") {
			case 0:
				g.SetOpen(rapid.Bool().Draw(t, "open"))
			case 1:
				seq = rapid.Uint16().Draw(t, "jump")
			}
			f, drop := g.Packet(Packet{Sequence: seq, Timestamp: uint32(seq) * 960, Payload: voice, Arrival: at(time.Duration(i) * 20 * ms)})
			if drop != None {
				continue
			}
			if seen[f.Seq] || f.Seq == 0 {
				t.Fatalf("packet %d: number %d given out twice", i, f.Seq)
			}
			seen[f.Seq] = true
		}
	})
}

func TestDropsAreLabels(t *testing.T) {
	for _, d := range Drops {
		if d == None || strings.ToLower(string(d)) != string(d) {
			t.Errorf("%q is no label", d)
		}
	}
}

func TestPacketAllocatesNothing(t *testing.T) {
	g := open()
	p := Packet{Payload: voice, Arrival: start}
	if n := testing.AllocsPerRun(1000, func() {
		p.Sequence++
		p.Arrival = p.Arrival.Add(20 * ms)
		if _, drop := g.Packet(p); drop != None {
			t.Fatalf("drop %q", drop)
		}
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(uint64(1), voice)
	f.Add(uint64(2), []byte{9<<3 | 3, 0xc3, 1, 2})
	f.Fuzz(func(t *testing.T, seed uint64, payload []byte) {
		r := rand.New(rand.NewPCG(seed, 0))
		g := open()
		for i := range 8 {
			fr, drop := g.Packet(Packet{Sequence: uint16(r.Uint32()), Timestamp: r.Uint32(), Payload: payload, Arrival: at(time.Duration(i) * 20 * ms)})
			if drop == None && (fr.Seq == 0 || len(fr.Payload) == 0 || len(fr.Payload) > rotunda.PayloadMax) {
				t.Errorf("frame %d of %d bytes passed", fr.Seq, len(fr.Payload))
			}
		}
	})
}

func BenchmarkPacket(b *testing.B) {
	g := open()
	p := Packet{Payload: voice, Arrival: start}
	b.ReportAllocs()
	for b.Loop() {
		p.Sequence++
		p.Arrival = p.Arrival.Add(20 * ms)
		g.Packet(p)
	}
}
