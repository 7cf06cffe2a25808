package mix_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rotunda"
	"rotunda/node/mix"
	"rotunda/node/opus"
	"rotunda/node/opus/packet"
	"rotunda/node/pcm"
)

// passed is how many of the frames with sound are packets of a talker as they were sent.
func (h heard) passed(t testing.TB, k talker) (n int) {
	t.Helper()
	sent := map[string]bool{}
	for _, a := range k.arrivals(t, rand.New(rand.NewPCG(1, 2))) {
		sent[string(a.frame.Payload)] = true
	}
	for _, f := range h.frames {
		if f.Sources.Len() == 1 && sent[string(f.Payload)] {
			n++
		}
	}
	return n
}

// Somebody alone is passed on: every packet of the voice, as it came, and no codec is made.
func TestOneVoiceIsPassedOn(t *testing.T) {
	ada := talker{ssrc: 7, audio: slices.Concat(make([]float32, pcm.Rate/2), pcm.Speech(3, 3*pcm.Rate), make([]float32, pcm.Rate))}
	others := talker{ssrc: 8, audio: make([]float32, 2*pcm.Rate)}
	h := play(t, 4*time.Second, mix.Options{}, ada, others)
	st := h.mixer.Stats()
	if n := h.passed(t, ada); uint64(n) < st.Passed || st.Passed < 140 || st.Decoded > 0 {
		t.Errorf("%d packets of 150 were passed on, %d of them as they came; %+v", st.Passed, n, st)
	}
	for i, f := range h.frames {
		if f.Sources.Len() > 0 && (f.Sources.Len() > 1 || f.Sources.At(0) != 7) {
			t.Fatalf("at %v: sources %v", h.times[i], f.Sources)
		}
		if info, err := packet.Parse(f.Payload); err != nil || info.Ticks() != frame {
			t.Fatalf("at %v: %+v, %v", h.times[i], info, err)
		}
	}
	got := pcm.Compare(ada.audio, h.audio, pcm.Rate/5)
	if got.Correlation < .98 || got.Missing > 0 {
		t.Errorf("%+v: want the voice as its own encoder made it", got)
	}
}

// What may not be passed on is mixed.
func TestWhatIsMixed(t *testing.T) {
	in := talker{ssrc: 1, audio: pcm.Speech(5, 2*pcm.Rate)}.arrivals(t, nil)
	for _, c := range []struct {
		name string
		make func(a *arrival)
	}{
		{"a sender that does not measure levels", func(a *arrival) { a.frame.Level = 30 }},
		{"stereo", func(a *arrival) { a.frame.Payload[0] |= 4 }},
		{"twice the program's bytes", func(a *arrival) {
			a.frame.Payload[0] |= 3 // code 3: one frame, padded (RFC 6716 §3.2.5)
			a.frame.Payload = slices.Concat(a.frame.Payload[:1], []byte{1 | 1<<6, 100}, a.frame.Payload[1:], make([]byte, 100))
		}},
	} {
		m := mix.New(mix.Options{}, opus.Codecs())
		m.Add(1)
		for _, a := range in {
			a.frame.Payload = slices.Clone(a.frame.Payload)
			c.make(&a)
			m.Push(start.Add(a.at), 1, &a.frame)
			m.Tick(start.Add(a.at))
		}
		if st := m.Stats(); st.Passed > 20 || st.Decoded < 70 {
			t.Errorf("%s: %+v", c.name, st)
		}
	}
}

// A second voice comes and goes: both are heard at once, in one stream, nothing clicks or is missing where passing on ends, and it begins
// again in a pause.
func TestSecondVoice(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			ada := talker{ssrc: 1, audio: pcm.Speech(10+seed, 7*pcm.Rate)}
			tones := slices.Concat(make([]float32, 3*pcm.Rate), tone(900, .2, time.Second), make([]float32, 3*pcm.Rate))
			h := play(t, 7*time.Second, mix.Options{}, ada, talker{ssrc: 2, audio: tones})
			sent, last, both, again := map[string]bool{}, 0, 0, 0
			for _, a := range ada.arrivals(t, nil) {
				sent[string(a.frame.Payload)] = true
			}
			for i, f := range h.frames {
				n := f.Sources.Len()
				if n == 2 {
					both++
				}
				if n == 1 && sent[string(f.Payload)] && last == 1 && !sent[string(h.frames[i-1].Payload)] {
					again++
					if f.Level < 50 {
						t.Errorf("at %v: her packets are passed on again in the middle of a word, at -%d dBov", h.times[i], f.Level)
					}
				}
				last = n
			}
			if both < 35 || both > 75 || again == 0 {
				t.Errorf("%d frames of both, passed on again %d times", both, again)
			}
			if st := h.mixer.Stats(); st.Passed < 200 || st.Decoded > 220 { // a second's 100 packets of both, and one's until a pause a second later
				t.Errorf("%+v", st)
			}
			sum := slices.Clone(ada.audio)
			for i, v := range tones {
				sum[i] += v
			}
			if got := pcm.Compare(sum, h.audio, pcm.Rate/5); got.Correlation < .93 || got.Missing > 0 {
				t.Errorf("%+v", got)
			}
			if level := dB(pcm.ToneAmplitude(h.audio[3300*48:3900*48], 900) / .2); math.Abs(level) > 1.5 {
				t.Errorf("the tone is heard at %.1f dB of its level", level)
			}
		})
	}
}

// Where a second voice ends a solo in the middle of a word, the step is not heard: ten milliseconds are a little off, at 30 ms all is as it
// was, and nothing clicks. (Without the run-up it is .53 and .67 in the first twenty; with an encoder
// that leans on packets which nobody had, .80 and .88 after.)
func TestJoin(t *testing.T) {
	var like [6]float64 // correlation with what was said, of pieces of 10 ms, from 10 ms before the join
	joins := 0
	for seed := range uint64(12) {
		ada := talker{ssrc: 1, audio: pcm.Speech(10+seed, 5*pcm.Rate/2)}
		tones := make([]float32, 5*pcm.Rate/2)
		copy(tones[pcm.Rate+int(seed)*1777:], tone(900, .02, 2*time.Second)) // as much as there is room for
		h := play(t, 5*time.Second/2, mix.Options{}, ada, talker{ssrc: 2, audio: tones})
		first := slices.IndexFunc(h.frames, func(f rotunda.Frame) bool { return f.Sources.Len() == 2 })
		if first < 0 {
			t.Fatalf("seed %d: the tone was not heard", seed)
		}
		sum := slices.Clone(ada.audio)
		for i, v := range tones {
			sum[i] += v
		}
		begin := int(h.frames[first].Timestamp)
		if pcm.Level(sum[begin-3000:begin+1000]) > 30 || h.mixer.Stats().Passed < 50 {
			continue // it came between two words
		}
		joins++
		if step, most := steepest(h.audio[begin-1000:begin+2000]), 1.1*steepest(sum[begin-4000:begin+2000]); step > most {
			t.Errorf("seed %d: a step of %.3f, want at most %.3f", seed, step, most)
		}
		for k := range like {
			from := begin + (k-1)*480
			like[k] += likeness(sum, h.audio[from:from+480], from-2900, 800)
		}
	}
	if joins < 5 {
		t.Fatalf("%d joins in the middle of a word", joins)
	}
	for k, least := range [...]float64{.85, .6, .8, .85, .9, .9} {
		like[k] /= float64(joins)
		if like[k] < least {
			t.Errorf("%d ms after the join: correlation %.3f, want %.2f", (k-1)*10, like[k], least)
		}
	}
	t.Logf("%d joins: %.3f", joins, like)
}

// likeness is the best correlation of y with a piece of x that begins within reach samples of at, to three samples.
func likeness(x, y []float32, at, reach int) (best float64) {
	for from := max(0, at-reach); from <= at+reach && from+len(y) <= len(x); from += 3 {
		var xy, xx, yy float64
		for i, v := range y {
			w := float64(x[from+i])
			xy, xx, yy = xy+w*float64(v), xx+w*w, yy+float64(v)*float64(v)
		}
		best = max(best, xy/math.Sqrt(xx*yy+1e-12))
	}
	return best
}

// steepest is the greatest step between two samples.
func steepest(x []float32) (most float64) {
	for i := 1; i < len(x); i++ {
		most = max(most, math.Abs(float64(x[i]-x[i-1])))
	}
	return most
}

// Clocks drift, paths jitter: whoever is passed on stays in time, for the price of a packet left out or one of stillness in a pause.
func TestPassedOnInTime(t *testing.T) {
	for _, ppm := range []float64{-400, 400} {
		// Ten minutes of what sounds like words: 400 ms of voice, 100 ms of pause.
		m := mix.New(mix.Options{}, opus.Codecs())
		m.Add(1)
		enc, err := opus.NewEncoder(opus.EncoderConfig{})
		if err != nil {
			t.Fatal(err)
		}
		x, buf := pcm.Speech(1, frame), make([]byte, opus.PacketMax)
		n, err := enc.Encode(x, buf)
		if err != nil {
			t.Fatal(err)
		}
		const frames = 10 * 60 * 50
		heard, worst := 0, time.Duration(0)
		next := 0
		sentAt := func(i int) time.Duration {
			return time.Duration(float64(i) * float64(rotunda.FrameDuration) / (1 + ppm*1e-6))
		}
		for at := time.Duration(0); next < frames; at += rotunda.FrameDuration {
			for ; next < frames && sentAt(next) <= at; next++ {
				f := rotunda.Frame{Seq: rotunda.Seq(next + 1), Timestamp: uint32(next) * frame, Level: 20, Payload: slices.Concat(buf[:n], []byte{byte(next >> 8), byte(next)})}
				if next%25 >= 20 {
					f.Level = 60
				}
				m.Push(start.Add(sentAt(next)), 1, &f)
			}
			f, ok := m.Tick(start.Add(at))
			if !ok || f.Sources.Len() == 0 || len(f.Payload) != n+2 {
				continue
			}
			heard++
			i := int(f.Payload[n])<<8 | int(f.Payload[n+1])
			worst = max(worst, at-sentAt(i))
		}
		st := m.Stats()
		t.Logf("%v ppm: %d of %d frames passed on, at most %v old; %+v", ppm, heard, frames, worst, st)
		drift := ppm * 1e-6 * frames * frame                                                         // samples
		if moved := float64(st.Shortened) - float64(st.Stretched); math.Abs(moved-drift) > 2*frame { // one that it began with, one that is not yet due
			t.Errorf("%v ppm: %d samples taken out and %d put in, want %.0f more, to two windows", ppm, st.Shortened, st.Stretched, drift)
		}
		if heard < frames*98/100 || worst > 90*time.Millisecond || st.Decoded > frames/100 {
			t.Errorf("%v ppm: %d of %d frames passed on, at most %v old; %+v", ppm, heard, frames, worst, st)
		}
	}
}

// deaf is an encoder that does nothing.
type deaf struct{}

func (deaf) Encode(_ []float32, b []byte) (int, error) { return copy(b, []byte{15 << 3, 1}), nil }
func (deaf) Reset()                                    {}
func (deaf) Independent(bool)                          {}

// Whatever people and paths do: numbers follow one another, time runs on its grid, nobody is named who is not on stage, and no packet is
// heard twice.
func TestProgramProperty(t *testing.T) {
	pool := map[rotunda.SSRC][]arrival{}
	for id := rotunda.SSRC(1); id <= 3; id++ {
		pool[id] = talker{ssrc: id, audio: slices.Concat(pcm.Speech(uint64(id), 2*pcm.Rate), make([]float32, pcm.Rate))}.arrivals(t, nil)
	}
	rapid.Check(t, func(t *rapid.T) {
		m := mix.New(mix.Options{}, mix.Codecs{
			NewDecoder: func() (mix.Decoder, error) { return &hum{pcm.Tone{Hertz: 300, Amplitude: .1}}, nil },
			NewEncoder: func(mix.Options) (mix.Encoder, error) { return deaf{}, nil },
		})
		on, seqs := map[rotunda.SSRC]bool{}, map[rotunda.SSRC]int{}
		var lastSeq rotunda.Seq
		var last rotunda.Frame
		for i := range rapid.IntRange(20, 150).Draw(t, "ticks") {
			now := start.Add(time.Duration(i) * rotunda.FrameDuration)
			switch id := rapid.SampledFrom([]rotunda.SSRC{1, 2, 3}).Draw(t, "who"); rapid.IntRange(0, 40).Draw(t, "does") {
			case 0, 1, 2:
				on[id] = m.Add(id)
			case 3:
				m.Remove(id)
				delete(on, id)
			case 4:
				m.Pause()
			}
			for id := range on {
				seqs[id]++
				if rapid.IntRange(0, 30).Draw(t, "lost") == 0 {
					continue
				}
				f := pool[id][seqs[id]%len(pool[id])].frame
				f.Seq, f.Timestamp = rotunda.Seq(seqs[id]), uint32(seqs[id])*frame
				m.Push(now, id, &f)
			}
			f, ok := m.Tick(now)
			if !ok {
				continue
			}
			for k := range f.Sources.Len() {
				if !on[f.Sources.At(k)] {
					t.Fatalf("tick %d: %d is heard, who is not on stage", i, f.Sources.At(k))
				}
			}
			if f.Seq != lastSeq+1 || f.Timestamp != uint32(i)*frame {
				t.Fatalf("tick %d: frame %d at %d after %d", i, f.Seq, f.Timestamp, lastSeq)
			}
			if len(f.Payload) > 10 && bytes.Equal(f.Payload, last.Payload) && f.Level < 50 {
				t.Fatalf("tick %d: a packet of %d bytes twice", i, len(f.Payload))
			}
			lastSeq, last = f.Seq, f
			last.Payload = slices.Clone(f.Payload)
		}
		if st := m.Stats(); st.EncodeFailed+st.Corrupt > 0 {
			t.Fatalf("%+v", st)
		}
	})
}
