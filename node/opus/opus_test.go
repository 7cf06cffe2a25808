package opus

import (
	"errors"
	"math"
	"testing"

	"github.com/thesyncim/gopus"

	"rotunda/node/opus/packet"
	"rotunda/node/pcm"
)

func encoder(t testing.TB, c EncoderConfig) *Encoder {
	t.Helper()
	e, err := NewEncoder(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func decoder(t testing.TB) *Decoder {
	t.Helper()
	d, err := NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// packets encodes x, frame by frame.
func packets(t testing.TB, c EncoderConfig, x []float32) (out [][]byte) {
	t.Helper()
	e := encoder(t, c)
	for ; len(x) >= FrameSamples; x = x[FrameSamples:] {
		b := make([]byte, PacketMax)
		n, err := e.Encode(x[:FrameSamples], b)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b[:n])
	}
	return out
}

func TestSpeechSurvivesTheCodec(t *testing.T) {
	x := pcm.Speech(1, 5*pcm.Rate)
	for _, c := range []EncoderConfig{{}, {Application: Music}, {Bitrate: 48000, Complexity: 10, LossPercent: -1}} {
		d := decoder(t)
		var got []float32
		bytes := 0
		buf := make([]float32, SamplesMax)
		for _, b := range packets(t, c, x) {
			n, err := d.Decode(b, buf)
			if err != nil || n != FrameSamples {
				t.Fatalf("Decode = %d, %v", n, err)
			}
			bytes += len(b)
			got = append(got, buf[:n]...)
		}
		r, lag := pcm.Correlate(x, got, 2000)
		if r < .95 || lag < Lookahead-12 || lag > Lookahead+12 {
			t.Errorf("%+v: correlation %.3f at lag %d, want .95 at %d", c, r, lag, Lookahead)
		}
		if rate := bytes * 8 / 5; rate > c.filled().Bitrate*11/10 {
			t.Errorf("%+v: %d bit/s", c, rate)
		}
	}
}

// In-band error correction brings a lost packet back from the one after it, better than concealment does.
func TestLostPacketIsRepaired(t *testing.T) {
	x := pcm.Speech(2, 5*pcm.Rate)
	ps := packets(t, EncoderConfig{LossPercent: 20}, x)
	play := func(lost func(d *Decoder, next []byte, pcm []float32) (int, error)) float64 {
		d := decoder(t)
		var got []float32
		buf := make([]float32, SamplesMax)
		for i, b := range ps {
			n, err := FrameSamples, error(nil)
			if i%5 == 4 && i+1 < len(ps) {
				n, err = lost(d, ps[i+1], buf[:FrameSamples])
			} else {
				n, err = d.Decode(b, buf)
			}
			if err != nil || n != FrameSamples {
				t.Fatalf("packet %d: %d samples, %v", i, n, err)
			}
			got = append(got, buf[:n]...)
		}
		r, _ := pcm.Correlate(x, got, 2000)
		return r
	}
	repaired := play(func(d *Decoder, next []byte, pcm []float32) (int, error) { return d.DecodeLost(next, pcm) })
	concealed := play(func(d *Decoder, _ []byte, pcm []float32) (int, error) { return d.Conceal(pcm) })
	t.Logf("one packet in five lost: correlation %.3f repaired, %.3f concealed", repaired, concealed)
	if repaired < .85 || repaired < concealed+.05 {
		t.Errorf("correlation %.3f repaired and %.3f concealed", repaired, concealed)
	}
}

func TestDTX(t *testing.T) {
	x := append(pcm.Speech(1, pcm.Rate), make([]float32, 4*pcm.Rate)...)
	sent := 0
	ps := packets(t, EncoderConfig{DTX: true}, x)
	for _, b := range ps[100:] {
		if len(b) > 2 {
			sent++
		}
	}
	if sent == 0 || sent > 12 { // 3 s at one each 400 ms, and slack
		t.Errorf("%d of %d silent packets to send, want about 8", sent, len(ps)-100)
	}
}

func TestDecoderTakesWhatItIsGiven(t *testing.T) {
	d := decoder(t)
	buf := make([]float32, SamplesMax)
	for _, c := range []struct {
		name string
		b    []byte
		n    int
		err  error
	}{
		{"nothing", nil, 0, ErrCorrupt},
		{"no frames", []byte{15<<3 | 3, 0}, 0, ErrCorrupt},
		{"silence", []byte{0xf8, 0xff, 0xfe}, 960, nil},
		{"stand-in of 120 ms", []byte{15<<3 | 3, 6}, 5760, nil},
		{"stereo", []byte{0xfc, 0xff, 0xfe}, 960, nil},
	} {
		n, err := d.Decode(c.b, buf)
		if n != c.n || !errors.Is(err, c.err) {
			t.Errorf("%s: Decode = %d, %v; want %d, %v", c.name, n, err, c.n, c.err)
		}
	}
	if _, err := d.DecodeLost(nil, buf[:960]); !errors.Is(err, ErrCorrupt) {
		t.Errorf("DecodeLost of nothing: %v", err)
	}
}

func TestEncoderConfig(t *testing.T) {
	for _, c := range []struct {
		c  EncoderConfig
		ok bool
	}{
		{EncoderConfig{}, true},
		{EncoderConfig{Bitrate: 6000, Complexity: 10, LossPercent: 100}, true},
		{EncoderConfig{Bitrate: 5999}, false},
		{EncoderConfig{Bitrate: 300000}, false},
		{EncoderConfig{Complexity: 11}, false},
		{EncoderConfig{LossPercent: 101}, false},
		{EncoderConfig{Application: 7}, false},
	} {
		if _, err := NewEncoder(c.c); (err == nil) != c.ok {
			t.Errorf("NewEncoder(%+v): %v, want ok=%v", c.c, err, c.ok)
		}
	}
	if _, err := encoder(t, EncoderConfig{}).Encode(make([]float32, 100), make([]byte, PacketMax)); err == nil {
		t.Error("encoded 100 samples")
	}
}

func TestAllocations(t *testing.T) {
	x := pcm.Speech(1, pcm.Rate)
	b, buf := make([]byte, PacketMax), make([]float32, SamplesMax)
	encode := func(c EncoderConfig) func() {
		e, i := encoder(t, c), 0
		return func() {
			_, _ = e.Encode(x[i*960:(i+1)*960], b)
			i = (i + 1) % 50
		}
	}
	ps, d, i := packets(t, EncoderConfig{}, x), decoder(t), 0
	for _, c := range []struct {
		name string
		max  float64
		f    func()
	}{
		{"encode", 0, encode(EncoderConfig{LossPercent: -1})},
		{"encode with error correction", 5, encode(EncoderConfig{})}, // the library's copy of its quantiser's state
		{"decode", 0, func() { _, _ = d.Decode(ps[i], buf); i = (i + 1) % 50 }},
	} {
		if n := testing.AllocsPerRun(200, c.f); n > c.max {
			t.Errorf("%s: %v allocations a frame, want at most %v", c.name, n, c.max)
		}
	}
}

// Our reading of the framing and the codec library's agree, and no bytes break the decoder.
func FuzzDecode(f *testing.F) {
	for _, b := range packets(f, EncoderConfig{}, pcm.Speech(1, pcm.Rate/5)) {
		f.Add(b)
	}
	f.Add([]byte{15<<3 | 3, 0xc0 | 3, 1, 2, 9, 9, 9, 9, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := packet.Parse(b)
		theirs, theirErr := gopus.ParsePacket(b)
		if (err == nil) != (theirErr == nil) || err == nil && info.Frames != theirs.FrameCount {
			t.Fatalf("%x: we read %+v, %v; they %+v, %v", b, info, err, theirs, theirErr)
		}
		d := decoder(t)
		buf := make([]float32, SamplesMax)
		for range 2 {
			n, err := d.Decode(b, buf)
			if err == nil && n != info.Ticks() {
				t.Fatalf("%x: %d samples of %d ticks", b, n, info.Ticks())
			}
			for _, v := range buf[:n] {
				if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
					t.Fatalf("%x decodes to %v", b, v)
				}
			}
		}
		_, _ = d.DecodeLost(b, buf[:FrameSamples])
		_, _ = d.Conceal(buf[:FrameSamples])
	})
}

func BenchmarkEncode(b *testing.B) {
	x := pcm.Speech(1, 10*pcm.Rate)
	for name, c := range map[string]EncoderConfig{
		"complexity=2": {Complexity: 2}, "complexity=3": {Complexity: 3}, "complexity=5": {}, "complexity=10": {Complexity: 10},
		"complexity=3/nofec": {Complexity: 3, LossPercent: -1},
	} {
		b.Run(name, func(b *testing.B) {
			e, out, i := encoder(b, c), make([]byte, PacketMax), 0
			b.ReportAllocs()
			for b.Loop() {
				_, _ = e.Encode(x[i*960:(i+1)*960], out)
				i = (i + 1) % 500
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	ps := packets(b, EncoderConfig{}, pcm.Speech(1, 10*pcm.Rate))
	d, buf, i := decoder(b), make([]float32, SamplesMax), 0
	b.ReportAllocs()
	for b.Loop() {
		_, _ = d.Decode(ps[i], buf)
		i = (i + 1) % len(ps)
	}
}
