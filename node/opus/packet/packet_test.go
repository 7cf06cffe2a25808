package packet

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func TestParse(t *testing.T) {
	frame := func(toc byte, n int) []byte { return append([]byte{toc}, bytes.Repeat([]byte{1}, n)...) }
	for _, c := range []struct {
		name  string
		b     []byte
		ticks int // 0: malformed
		want  Info
	}{
		{"nothing", nil, 0, Info{}},
		{"silk 10 ms", frame(0<<3, 10), 480, Info{SILK, false, 1, 480, false}},
		{"silk 60 ms stereo", frame(3<<3|4, 10), 2880, Info{SILK, true, 1, 2880, false}},
		{"silk wideband 20 ms", frame(9<<3, 10), 960, Info{SILK, false, 1, 960, false}},
		{"hybrid 20 ms", frame(15<<3, 10), 960, Info{Hybrid, false, 1, 960, false}},
		{"celt 2.5 ms", frame(16<<3, 10), 120, Info{CELT, false, 1, 120, false}},
		{"celt 20 ms", frame(31<<3, 10), 960, Info{CELT, false, 1, 960, false}},
		{"dtx", []byte{15 << 3}, 960, Info{Hybrid, false, 1, 960, true}},
		{"longest frame", frame(31<<3, 1275), 960, Info{CELT, false, 1, 960, false}},
		{"frame too long", frame(31<<3, 1276), 0, Info{}},
		{"two equal", frame(15<<3|1, 10), 1920, Info{Hybrid, false, 2, 960, false}},
		{"two equal of odd bytes", frame(15<<3|1, 11), 0, Info{}},
		{"two empty", []byte{15<<3 | 1}, 1920, Info{Hybrid, false, 2, 960, true}},
		{"two", []byte{15<<3 | 2, 1, 9, 9, 9}, 1920, Info{Hybrid, false, 2, 960, false}},
		{"two without a length", []byte{15<<3 | 2}, 0, Info{}},
		{"two, half a length", []byte{15<<3 | 2, 252}, 0, Info{}},
		{"two, first too long", []byte{15<<3 | 2, 4, 9, 9, 9}, 0, Info{}},
		{"two, both empty", []byte{15<<3 | 2, 0}, 1920, Info{Hybrid, false, 2, 960, true}},
		{"two, long length", append([]byte{15<<3 | 2, 252, 1}, make([]byte, 256)...), 1920, Info{Hybrid, false, 2, 960, false}},
		{"three constant", []byte{15<<3 | 3, 3, 1, 2, 3}, 2880, Info{Hybrid, false, 3, 960, false}},
		{"three constant of four bytes", []byte{15<<3 | 3, 3, 1, 2, 3, 4}, 0, Info{}},
		{"none", []byte{15<<3 | 3, 0}, 0, Info{}},
		{"no count", []byte{15<<3 | 3}, 0, Info{}},
		{"120 ms", []byte{15<<3 | 3, 6}, 5760, Info{Hybrid, false, 6, 960, true}},
		{"140 ms", []byte{15<<3 | 3, 7}, 0, Info{}},
		{"48 of 2.5 ms", []byte{16<<3 | 3, 48}, 5760, Info{CELT, false, 48, 120, true}},
		{"variable", []byte{15<<3 | 3, 0x80 | 3, 1, 2, 9, 9, 9, 9}, 2880, Info{Hybrid, false, 3, 960, false}},
		{"variable, lengths beyond the end", []byte{15<<3 | 3, 0x80 | 3, 1, 9, 9}, 0, Info{}},
		{"variable, lengths missing", []byte{15<<3 | 3, 0x80 | 3, 1}, 0, Info{}},
		{"padded", []byte{15<<3 | 3, 0x40 | 1, 2, 9, 0, 0}, 960, Info{Hybrid, false, 1, 960, false}},
		{"padded by 254 and more", append([]byte{15<<3 | 3, 0x40 | 1, 255, 1, 9}, make([]byte, 255)...), 960, Info{Hybrid, false, 1, 960, false}},
		{"padding beyond the end", []byte{15<<3 | 3, 0x40 | 1, 9, 9}, 0, Info{}},
		{"padding without a length", []byte{15<<3 | 3, 0x40 | 1}, 0, Info{}},
		{"padding without an end", []byte{15<<3 | 3, 0x40 | 1, 255}, 0, Info{}},
	} {
		got, err := Parse(c.b)
		if (err == nil) != (c.ticks > 0) {
			t.Errorf("%s: Parse error %v, want ok=%v", c.name, err, c.ticks > 0)
			continue
		}
		if got != c.want || got.Ticks() != c.ticks {
			t.Errorf("%s: Parse = %+v (%d ticks), want %+v (%d)", c.name, got, got.Ticks(), c.want, c.ticks)
		}
	}
}

// What parses is within the bounds that everything behind relies on.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "78", "7b06", "7bc30102ff00", "f8fffe", "7a0109", "7b41ff0109"} {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := Parse(b)
		if err != nil {
			return
		}
		if in.Ticks() < 120 || in.Ticks() > TicksMax || in.Frames < 1 || in.Frames > 48 {
			t.Errorf("Parse(%x) = %+v", b, in)
		}
	})
}

func TestParseAllocatesNothing(t *testing.T) {
	b := append([]byte{15<<3 | 3, 0xc0 | 3, 1, 2, 9, 9, 9, 9}, 0)
	if n := testing.AllocsPerRun(100, func() { _, _ = Parse(b) }); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}
