package packet

import (
	"bytes"
	"testing"
)

// frames takes a packet apart, in a way of its own: the reader of RFC 6716 §3.2 for what Merge makes.
func frames(t *testing.T, b []byte) (parts [][]byte) {
	t.Helper()
	rest := b[1:]
	take := func(n int) { parts, rest = append(parts, rest[:n]), rest[n:] }
	switch b[0] & 3 {
	case 0:
		take(len(rest))
	case 1:
		n := len(rest) / 2
		take(n)
		take(n)
	case 2:
		n, used := length(rest)
		rest = rest[used:]
		take(n)
		take(len(rest))
	case 3:
		m, vbr := int(rest[0]&0x3f), rest[0]&0x80 != 0
		rest = rest[1:]
		sizes := make([]int, m)
		for i := range sizes {
			sizes[i] = len(rest) / m
		}
		if vbr {
			left := 0
			for i := range m - 1 {
				n, used := length(rest)
				sizes[i], rest = n, rest[used:]
				left += n
			}
			sizes[m-1] = len(rest) - left
		}
		for _, n := range sizes {
			take(n)
		}
	}
	return parts
}

func TestMerge(t *testing.T) {
	frame := func(n int, fill byte) []byte { return append([]byte{15 << 3}, bytes.Repeat([]byte{fill}, n)...) }
	for _, c := range []struct {
		name    string
		packets [][]byte
		code    byte
	}{
		{"one", [][]byte{frame(10, 1)}, 0},
		{"two alike", [][]byte{frame(10, 1), frame(10, 2)}, 1},
		{"two", [][]byte{frame(10, 1), frame(11, 2)}, 2},
		{"two, the first long", [][]byte{frame(1275, 1), frame(252, 2)}, 2},
		{"three alike", [][]byte{frame(10, 1), frame(10, 2), frame(10, 3)}, 3},
		{"three", [][]byte{frame(251, 1), frame(252, 2), frame(0, 3)}, 3},
		{"three, long", [][]byte{frame(300, 1), frame(301, 2), frame(299, 3)}, 3},
	} {
		b, ok := Merge(nil, c.packets)
		if !ok || b[0]&3 != c.code {
			t.Errorf("%s: %v, code %d, want %d", c.name, ok, b[0]&3, c.code)
			continue
		}
		in, err := Parse(b)
		if err != nil || in.Frames != len(c.packets) || in.FrameTicks != 960 {
			t.Errorf("%s: Parse = %+v, %v", c.name, in, err)
			continue
		}
		for i, got := range frames(t, b) {
			if !bytes.Equal(got, c.packets[i][1:]) {
				t.Errorf("%s: frame %d is another", c.name, i)
			}
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	a := []byte{15 << 3, 1}
	for name, packets := range map[string][][]byte{
		"nothing": nil, "an empty packet": {a, {}}, "another bandwidth": {a, {13 << 3, 1}}, "stereo and mono": {a, {15<<3 | 4, 1}},
		"two frames in one": {a, {15<<3 | 1, 1, 1}}, "four": {a, a, a, a}, "180 ms": {{3 << 3, 1}, {3 << 3, 1}, {3 << 3, 1}},
		"a frame that is too long": {a, append([]byte{15 << 3}, make([]byte, 1276)...)},
	} {
		if b, ok := Merge([]byte("x"), packets); ok || string(b) != "x" {
			t.Errorf("%s: merged", name)
		}
	}
	if Mergeable([]byte{15 << 3}, 960) || Mergeable([]byte{14 << 3, 1}, 960) || Mergeable(nil, 960) || !Mergeable(a, 960) {
		t.Error("Mergeable is wrong")
	}
}

// Whatever merges parses, with as many frames and of the same bytes.
func FuzzMerge(f *testing.F) {
	f.Add([]byte{120, 1, 2}, []byte{120, 3}, []byte{120, 4, 5, 6})
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		packets := [][]byte{a, b, c}
		m, ok := Merge(nil, packets)
		if !ok {
			return
		}
		in, err := Parse(m)
		if err != nil || in.Frames != 3 {
			t.Fatalf("Parse(%x) = %+v, %v", m, in, err)
		}
		for i, got := range frames(t, m) {
			if !bytes.Equal(got, packets[i][1:]) {
				t.Errorf("frame %d is another", i)
			}
		}
	})
}

func TestMergeAllocatesNothing(t *testing.T) {
	packets := [][]byte{{120, 1, 2}, {120, 3}, {120, 4}}
	dst := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() { Merge(dst, packets) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
