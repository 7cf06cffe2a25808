package opus

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"rotunda/node/pcm"
)

type timed struct {
	ts uint32
	b  []byte
}

func file(t testing.TB, ps []timed) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		if err := w.Write(p.ts, p.b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(t testing.TB, b []byte) (out []FilePacket) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if r.PreSkip() != Lookahead {
		t.Errorf("pre-skip %d, want %d", r.PreSkip(), Lookahead)
	}
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
}

var a, b2 = []byte{15 << 3, 1, 2, 3}, []byte{15 << 3, 4, 5}

// A file keeps the stream's time: holes are filled, old packets left out.
func TestFileKeepsTime(t *testing.T) {
	fill := func(n byte) []byte { return []byte{15<<3 | 3, n} }
	one := []byte{15 << 3}
	for _, c := range []struct {
		name string
		in   []timed
		want [][]byte
	}{
		{"in order, over the wrap", []timed{{4294967000, a}, {664, b2}}, [][]byte{a, b2}},
		{"one lost", []timed{{0, a}, {1920, b2}}, [][]byte{a, one, b2}},
		{"400 ms of silence", []timed{{0, a}, {960 + 19200, b2}}, [][]byte{a, fill(6), fill(6), fill(6), fill(2), b2}},
		{"late and twice", []timed{{1920, a}, {0, b2}, {1920, b2}, {2880, b2}}, [][]byte{a, b2}},
		{"less than a frame", []timed{{0, a}, {960 + 100, b2}}, [][]byte{a, b2}},
		{"another clock", []timed{{0, a}, {1 << 31, b2}}, [][]byte{a, b2}},
	} {
		got := read(t, file(t, c.in))
		if len(got) != len(c.want) {
			t.Errorf("%s: %d packets, want %d", c.name, len(got), len(c.want))
			continue
		}
		for i := range got {
			if !bytes.Equal(got[i].Payload, c.want[i]) {
				t.Errorf("%s: packet %d is %x, want %x", c.name, i, got[i].Payload, c.want[i])
			}
		}
	}
	var w Writer
	if err := w.Write(0, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("writing an empty packet: %v", err)
	}
}

func TestSpeechThroughAFile(t *testing.T) {
	x := pcm.Speech(4, 3*pcm.Rate)
	var ps []timed
	for i, b := range packets(t, EncoderConfig{}, x) {
		if i%10 == 7 {
			continue // lost: the file conceals it and everything after stays in its place
		}
		ps = append(ps, timed{uint32(i) * 960, b})
	}
	got, err := DecodeFile(bytes.NewReader(file(t, ps)), 10*pcm.Rate)
	if err != nil {
		t.Fatal(err)
	}
	if r, lag := pcm.Correlate(x, got, 960); r < .75 || lag > 12 {
		t.Errorf("correlation %.3f at lag %d, want .75 at 0", r, lag)
	}
	if short, _ := DecodeFile(bytes.NewReader(file(t, ps)), 1000); len(short) != 1000 {
		t.Errorf("%d samples, want no more than 1000", len(short))
	}
}

func TestFileCutOffPlaysAsFarAsItGoes(t *testing.T) {
	whole := file(t, []timed{{0, a}, {960, b2}, {1920, a}})
	r, err := NewReader(bytes.NewReader(whole[:len(whole)-60]))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		if _, err = r.Next(); err != nil {
			break
		}
		n++
	}
	if !errors.Is(err, io.EOF) || n < 1 {
		t.Errorf("%d packets, then %v", n, err)
	}
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestNotOpus(t *testing.T) {
	for name, r := range map[string]io.Reader{
		"nothing": bytes.NewReader(nil), "text": bytes.NewReader([]byte("hello")), "endless": zeros{},
	} {
		if _, err := NewReader(r); !errors.Is(err, ErrNotOpus) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := DecodeFile(r, 10); !errors.Is(err, ErrNotOpus) {
			t.Errorf("DecodeFile of %s: %v", name, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(file(f, []timed{{0, a}, {1920, b2}, {96000, a}}))
	f.Add([]byte("OggS"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		for range len(b) + 1 {
			p, err := r.Next()
			if err != nil {
				return
			}
			if len(p.Payload) == 0 || p.Ticks <= 0 || p.Ticks > SamplesMax {
				t.Fatalf("packet of %d bytes and %d ticks", len(p.Payload), p.Ticks)
			}
		}
		t.Fatal("more packets than bytes")
	})
}
