package pcm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
)

func sine(hertz, amplitude float64, n int) []float32 {
	x := make([]float32, n)
	(&Tone{Hertz: hertz, Amplitude: amplitude}).Fill(x)
	return x
}

func TestLevel(t *testing.T) {
	square := make([]float32, 960)
	for i := range square {
		square[i] = float32(1 - 2*(i/50%2))
	}
	nan := []float32{float32(math.NaN())}
	for _, c := range []struct {
		name string
		x    []float32
		want uint8
	}{
		{"nothing", nil, 127}, {"silence", make([]float32, 960), 127}, {"full-scale square", square, 0},
		{"full-scale sine", sine(1000, 1, 4800), 3}, {"-20 dB", sine(1000, .1, 4800), 23}, {"-40 dB", sine(1000, .01, 4800), 43},
		{"fainter than the scale", sine(1000, 1e-7, 4800), 127}, {"beyond full scale", sine(1000, 10, 4800), 0}, {"no number", nan, 127},
	} {
		if got := Level(c.x); got != c.want {
			t.Errorf("%s: Level = %d, want %d", c.name, got, c.want)
		}
	}
}

func TestToneAmplitude(t *testing.T) {
	x := sine(440, .3, 9600)
	for i, v := range sine(1000, .05, 9600) {
		x[i] += v
	}
	for _, c := range []struct{ hertz, want float64 }{{440, .3}, {1000, .05}, {700, 0}, {2000, 0}} {
		if got := ToneAmplitude(x, c.hertz); math.Abs(got-c.want) > .003 {
			t.Errorf("ToneAmplitude(%v Hz) = %.4f, want %v", c.hertz, got, c.want)
		}
	}
	if got := ToneAmplitude(nil, 440); got != 0 {
		t.Errorf("amplitude of nothing = %v", got)
	}
}

func TestToneGoesOn(t *testing.T) {
	whole, g := sine(441, .5, 2000), Tone{Hertz: 441, Amplitude: .5}
	parts := make([]float32, 2000)
	g.Fill(parts[:777])
	g.Fill(parts[777:])
	for i := range whole {
		if math.Abs(float64(whole[i]-parts[i])) > 1e-6 {
			t.Fatalf("sample %d differs by %v where the tone goes on", i, whole[i]-parts[i])
		}
	}
}

func TestCorrelate(t *testing.T) {
	x := Speech(1, Rate)
	y := append(make([]float32, 1234), x...)
	for i := range y {
		y[i] *= -.1
	}
	if r, _ := Correlate(x, y, 3000); r > .7 {
		t.Errorf("upside down: correlation %.3f", r)
	}
	for i := range y {
		y[i] *= -1
	}
	if r, lag := Correlate(x, y, 3000); r < .999 || lag != 1234 {
		t.Errorf("Correlate = %.4f at %d, want 1 at 1234", r, lag)
	}
	if r, _ := Correlate(x, Speech(99, Rate), 3000); r > .4 {
		t.Errorf("another voice: correlation %.3f", r)
	}
	if r, _ := Correlate(x, make([]float32, Rate), 3000); r != 0 {
		t.Errorf("silence: correlation %.3f", r)
	}
	if r, _ := Correlate(x, nil, 100); r != 0 {
		t.Errorf("nothing: correlation %.3f", r)
	}
}

func TestCompare(t *testing.T) {
	x := Speech(1, 6*Rate)
	whole := func(lead int, parts ...[]float32) []float32 {
		return slices.Concat(append([][]float32{make([]float32, lead)}, parts...)...)
	}
	third := Power(x[2*Rate:4*Rate]) / (3 * Power(x)) // its share of the energy
	for _, c := range []struct {
		name          string
		got           []float32
		like, missing float64 // at least, about
		lag, drift    int
	}{
		{"a copy", whole(5000, x), .999, 0, 5000, 0},
		{"10 ms cut out in the middle", whole(5000, x[:3*Rate], x[3*Rate+480:]), .95, 0, 5000, -480},
		{"20 ms put in", whole(0, x[:2*Rate], make([]float32, 960), x[2*Rate:]), .95, 0, 0, 960},
		{"a third silent", whole(0, x[:2*Rate], make([]float32, 2*Rate), x[4*Rate:]), .5, third, 0, 0},
	} {
		got := Compare(x, c.got, Rate/5)
		if got.Correlation < c.like || math.Abs(got.Missing-c.missing) > .05 || got.Lag != c.lag || got.Drift != c.drift {
			t.Errorf("%s: Compare = %+v, want at least %v, missing about %v, lag %d, drift %d", c.name, got, c.like, c.missing, c.lag, c.drift)
		}
	}
	if got := Compare(x, Speech(7, 6*Rate), Rate/5); got.Missing < .8 {
		t.Errorf("another voice: %+v", got)
	}
	if got := Compare(make([]float32, Rate), x, Rate/5); got.Segments != 0 || got.Lag != -1 {
		t.Errorf("silence: %+v", got)
	}
}

func TestResample(t *testing.T) {
	for _, from := range []int{8000, 11025, 16000, 22050, 44100, 44101, 48000, 96000} {
		n := from * 2
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(.5 * math.Sin(2*math.Pi*1000*float64(i)/float64(from)))
		}
		y := Resample(x, from, Rate)
		if want := 2 * Rate; len(y) < want-1 || len(y) > want+1 {
			t.Errorf("%d Hz: %d samples, want %d", from, len(y), want)
		}
		worst := 0.0
		for i := 2000; i < len(y)-2000; i++ {
			worst = max(worst, math.Abs(float64(y[i])-.5*math.Sin(2*math.Pi*1000*float64(i)/Rate)))
		}
		if worst > .002 { // -48 dB of the tone
			t.Errorf("%d Hz: off by %.5f", from, worst)
		}
	}
	// What the lower rate cannot hold is gone, not folded back.
	if x := Resample(sine(15000, .5, Rate), Rate, 16000); Level(x[1000:15000]) < 70 {
		t.Errorf("15 kHz at 16,000 samples a second: -%d dBov", Level(x[1000:15000]))
	}
	if Resample(nil, 8000, Rate) != nil {
		t.Error("nothing becomes something")
	}
}

func wav(format uint16, channels, bits int, data []byte, extra ...byte) []byte {
	le := binary.LittleEndian
	b := []byte("RIFF\x00\x00\x00\x00WAVELIST\x03\x00\x00\x00abc\x00fmt ")
	b = le.AppendUint32(b, uint32(16+len(extra)))
	b = le.AppendUint16(b, format)
	b = le.AppendUint16(b, uint16(channels))
	b = le.AppendUint32(b, 8000)
	b = le.AppendUint32(b, uint32(8000*channels*bits/8))
	b = le.AppendUint16(b, uint16(channels*bits/8))
	b = le.AppendUint16(b, uint16(bits))
	b = append(b, extra...)
	b = append(b, "data"...)
	b = le.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

func TestReadWAV(t *testing.T) {
	float := binary.LittleEndian.AppendUint32(nil, math.Float32bits(-.25))
	double := binary.LittleEndian.AppendUint64(nil, math.Float64bits(-.25))
	nan := binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(math.NaN())))
	extensible := append([]byte{22, 0, 16, 0, 4, 0, 0, 0, 1, 0}, make([]byte, 14)...)
	endless := wav(1, 1, 16, []byte{0, 0x40, 0, 0xc0})
	copy(endless[len(endless)-8:], []byte{255, 255, 255, 255})
	for _, c := range []struct {
		name string
		b    []byte
		want []float32 // nil: refused
	}{
		{"16 bits", wav(1, 1, 16, []byte{0, 0x40, 0, 0xc0}), []float32{.5, -.5}},
		{"8 bits", wav(1, 1, 8, []byte{128, 192, 0}), []float32{0, .5, -1}},
		{"24 bits", wav(1, 1, 24, []byte{0, 0, 0x40, 0, 0, 0x80}), []float32{.5, -1}},
		{"32 bits", wav(1, 1, 32, []byte{0, 0, 0, 0xc0}), []float32{-.5}},
		{"float", wav(3, 1, 32, float), []float32{-.25}},
		{"double", wav(3, 1, 64, double), []float32{-.25}},
		{"not a number", wav(3, 1, 32, nan), []float32{0}},
		{"stereo", wav(1, 2, 16, []byte{0, 0x40, 0, 0, 0, 0x20, 0, 0xe0}), []float32{.25, 0}},
		{"extensible", wav(0xfffe, 1, 16, []byte{0, 0x40}, extensible...), []float32{.5}},
		{"written to a pipe", endless, []float32{.5, -.5}},
		{"cut off", wav(1, 1, 16, []byte{0, 0x40, 9})[:], []float32{.5}},
		{"no samples", wav(1, 1, 16, nil), []float32{}},
		{"a law", wav(6, 1, 8, []byte{1}), nil},
		{"12 bits", wav(1, 1, 12, []byte{1, 2}), nil},
		{"no channels", wav(1, 0, 16, []byte{1, 2}), nil},
		{"99 channels", wav(1, 99, 16, []byte{1, 2}), nil},
		{"header only", wav(1, 1, 16, nil)[:30], nil},
		{"mp3", []byte("ID3\x04 something else"), nil},
	} {
		got, err := ReadWAV(bytes.NewReader(c.b), 1000)
		if (err == nil) != (c.want != nil) || err != nil && !errors.Is(err, ErrNotWAV) {
			t.Errorf("%s: error %v, want ok=%v", c.name, err, c.want != nil)
			continue
		}
		if !slices.Equal(got.Samples, c.want) {
			t.Errorf("%s: samples %v, want %v", c.name, got.Samples, c.want)
		}
	}
	if got, err := ReadWAV(bytes.NewReader(wav(1, 1, 16, make([]byte, 100))), 7); err != nil || len(got.Samples) != 7 {
		t.Errorf("bounded to 7 samples: %d, %v", len(got.Samples), err)
	}
}

// Written, read, and the same to half a step of 16 bits.
func TestWAVRoundTrip(t *testing.T) {
	x := Speech(1, Rate/2)
	x[0], x[1] = 7, float32(math.NaN())
	var b bytes.Buffer
	if err := WriteWAV(&b, Rate, x); err != nil {
		t.Fatal(err)
	}
	golden := []byte("RIFF\xa4\xbb\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\xbb\x00\x00\x00\x77\x01\x00\x02\x00\x10\x00data\x80\xbb\x00\x00")
	if !bytes.Equal(b.Bytes()[:44], golden) {
		t.Errorf("header % x, want % x", b.Bytes()[:44], golden)
	}
	got, err := ReadWAV(&b, Rate)
	if err != nil || got.Rate != Rate || got.Channels != 1 || len(got.Samples) != len(x) {
		t.Fatalf("read %d samples at %d Hz, %v", len(got.Samples), got.Rate, err)
	}
	x[0], x[1] = 1, 0
	for i := range x {
		if math.Abs(float64(got.Samples[i]-x[i])) > 1e-4 {
			t.Fatalf("sample %d is %v, want %v", i, got.Samples[i], x[i])
		}
	}
	if got := (Recording{Rate: 24000, Samples: make([]float32, 240)}).At48k(); len(got) != 480 {
		t.Errorf("%d samples at 48 kHz, want 480", len(got))
	}
}

func TestSpeechIsTheSameEverywhere(t *testing.T) {
	x := Speech(1, Rate)
	if Level(x) < 15 || Level(x) > 40 || slices.Max(x) > .5 {
		t.Errorf("speech at -%d dBov with a peak of %v", Level(x), slices.Max(x))
	}
	if !slices.Equal(x, Speech(1, Rate)) {
		t.Error("the same seed speaks otherwise")
	}
}

func FuzzReadWAV(f *testing.F) {
	f.Add(wav(1, 2, 16, make([]byte, 64)))
	f.Add(wav(3, 1, 64, make([]byte, 64)))
	f.Add(wav(0xfffe, 1, 24, make([]byte, 64), make([]byte, 24)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ReadWAV(bytes.NewReader(b), 100)
		if err != nil {
			return
		}
		if len(r.Samples) > 100 || r.Rate < rateMin || r.Rate > rateMax {
			t.Fatalf("%d samples at %d Hz", len(r.Samples), r.Rate)
		}
		for _, v := range r.Samples {
			if !(v >= -8 && v <= 8) {
				t.Fatalf("sample %v", v)
			}
		}
	})
}

func BenchmarkLevel(b *testing.B) {
	x := Speech(1, 960)
	b.ReportAllocs()
	for b.Loop() {
		Level(x)
	}
}

// What is shortened in the middle of a segment is not missing, and what is gone is.
func TestCompareTellsShortenedFromLost(t *testing.T) {
	ref := Speech(7, 4*Rate)
	const at = Rate + Rate/2
	shortened := append(slices.Clone(ref[:at]), ref[at+Rate/50:]...)
	if got := Compare(ref, shortened, Rate/10); got.Missing > 0.01 {
		t.Errorf("20 ms taken out: %.3f missing", got.Missing)
	}
	for _, long := range []int{Rate * 4 / 10, Rate * 8 / 10} {
		gone := slices.Clone(ref)
		clear(gone[at : at+long])
		want := Power(ref[at:at+long]) * float64(long) / (Power(ref) * float64(len(ref)))
		if got := Compare(ref, gone, Rate/10); got.Missing < want/2 || got.Missing > want*3/2 {
			t.Errorf("%d samples gone, %.3f of the energy: %.3f missing", long, want, got.Missing)
		}
	}
}
