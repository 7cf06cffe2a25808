package mix_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/edge"
	"rotunda/node/mix"
	"rotunda/node/opus"
	"rotunda/node/pcm"
)

func dB(ratio float64) float64 { return 20 * math.Log10(ratio) }

// Three people hum at once over bad paths: all three are in the program, as loud as they were.
func TestThreeTonesOverBadPaths(t *testing.T) {
	tones := map[rotunda.SSRC]float64{1: 330, 2: 620, 3: 1100}
	var talkers []talker
	for id, hertz := range tones {
		talkers = append(talkers, talker{ssrc: id, audio: tone(hertz, .15, 5*time.Second), from: time.Duration(id) * 7 * time.Millisecond,
			delay: jittery(40*time.Millisecond, 25*time.Millisecond, .02)})
	}
	h := play(t, 5*time.Second, mix.Options{}, talkers...)
	for id, hertz := range tones {
		var levels []float64
		for at := 2 * pcm.Rate; at < 9*pcm.Rate/2; at += pcm.Rate / 4 {
			levels = append(levels, dB(pcm.ToneAmplitude(h.audio[at:at+pcm.Rate/4], hertz)/.15))
		}
		slices.Sort(levels)
		if median := levels[len(levels)/2]; math.Abs(median) > 2 || levels[1] < -6 {
			t.Errorf("tone of %d (%v Hz): %.1f dB of its level, at worst %.1f", id, hertz, median, levels[0])
		}
	}
	if n := h.frames[len(h.frames)/2].Sources.Len(); n != 3 {
		t.Errorf("%d sources, want 3", n)
	}
}

// Speech through encoder, path, mixer, encoder and decoder is the speech that was said, whatever the path does.
func TestSpeechThroughTheMixer(t *testing.T) {
	const length = 6 * time.Second
	x := pcm.Speech(3, int(length.Seconds())*pcm.Rate)
	clean := jittery(0, 0, 0)
	for _, c := range []struct {
		name  string
		k     talker
		like  float64 // at least
		lagMS float64 // at most, at the end: what the mixer and two codecs add
	}{
		{"clean", talker{delay: clean}, .94, 60},
		{"just before the grid", talker{from: 19 * time.Millisecond, delay: clean}, .94, 60},
		{"dtx", talker{delay: clean, dtx: true}, .93, 60},
		{"clock fast by 200 ppm", talker{ppm: 200, delay: clean}, .93, 75},
		{"clock slow by 200 ppm", talker{ppm: -200, delay: clean}, .93, 75},
		{"jitter of 30 ms", talker{delay: jittery(0, 30*time.Millisecond, 0)}, .93, 100},
		{"loss of 5 %", talker{delay: jittery(0, 0, .05)}, .90, 80},
		{"jitter of 60 ms and loss of 5 %", talker{delay: jittery(0, 60*time.Millisecond, .05)}, .88, 160},
		{"a stall of 300 ms", talker{delay: func(_ *rand.Rand, at time.Duration) time.Duration {
			if at > 3*time.Second && at < 3300*time.Millisecond {
				return 3300*time.Millisecond - at
			}
			return 0
		}}, .90, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.k.ssrc, c.k.audio = 7, x
			h := play(t, length+time.Second, mix.Options{}, c.k)
			got := pcm.Compare(x, h.audio, pcm.Rate/5)
			lag := (float64(got.Lag+got.Drift)/pcm.Rate - c.k.from.Seconds()) * 1000
			t.Logf("correlation %.3f, missing %.3f, lag %.1f ms at the end, target %v, %+v", got.Correlation, got.Missing, lag, h.mixer.Target(7), h.mixer.Stats())
			if got.Correlation < c.like || got.Missing > .03 || lag > c.lagMS {
				t.Errorf("correlation %.3f (want %.2f), missing %.3f, lag %.1f ms (want at most %.0f)", got.Correlation, c.like, got.Missing, lag, c.lagMS)
			}
			if st := h.mixer.Stats(); st.Corrupt+st.EncodeFailed+st.Unknown > 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// recorder is an encoder that keeps what it is given, and a decoder of what it made: a codec without loss or memory.
type recorder struct {
	heard []float32
	made  int
}

func (r *recorder) Encode(x []float32, b []byte) (int, error) {
	r.heard = append(r.heard, x...)
	return copy(b, []byte{15 << 3, 1}), nil
}

func (r *recorder) Reset()           {}
func (r *recorder) Independent(bool) {}

// hum decodes every packet to a full-scale tone of its own.
type hum struct{ pcm.Tone }

func (h *hum) Decode(_ []byte, x []float32) (int, error) {
	h.Fill(x[:frame])
	return frame, nil
}
func (h *hum) DecodeLost(_ []byte, x []float32) (int, error) { return h.Conceal(x) }
func (h *hum) Conceal(x []float32) (int, error)              { h.Fill(x); return len(x), nil }

// Ten people shout at full scale: nothing clips, and the level stands still.
func TestTenShoutersDoNotClip(t *testing.T) {
	rec, hertz := &recorder{}, 200.0
	m := mix.New(mix.Options{}, mix.Codecs{
		NewDecoder: func() (mix.Decoder, error) {
			hertz += 173
			return &hum{pcm.Tone{Hertz: hertz, Amplitude: 1}}, nil
		},
		NewEncoder: func(mix.Options) (mix.Encoder, error) { return rec, nil },
	})
	for i := range 300 {
		now := start.Add(time.Duration(i) * rotunda.FrameDuration)
		for id := rotunda.SSRC(1); id <= 10; id++ {
			if i == 0 {
				m.Add(id)
			}
			m.Push(now, id, &rotunda.Frame{Seq: rotunda.Seq(i), Timestamp: uint32(i) * frame, Level: 3, Payload: []byte{15 << 3, 1}})
		}
		m.Tick(now)
	}
	peak := float32(0)
	for _, v := range rec.heard {
		peak = max(peak, v, -v)
	}
	if peak > .95 || peak < .7 {
		t.Errorf("peak %v, want just under the ceiling", peak)
	}
	lo, hi := uint8(127), uint8(0)
	for at := pcm.Rate; at+pcm.Rate/10 < len(rec.heard); at += pcm.Rate / 10 {
		l := pcm.Level(rec.heard[at : at+pcm.Rate/10])
		lo, hi = min(lo, l), max(hi, l)
	}
	if hi-lo > 2 {
		t.Errorf("the level goes from -%d to -%d dBov", lo, hi)
	}
}

// One speaker alone passes at unity gain, bit for bit but for the limiter's look-ahead.
func TestOneSpeakerIsUntouched(t *testing.T) {
	rec := &recorder{}
	m := mix.New(mix.Options{}, mix.Codecs{
		NewDecoder: func() (mix.Decoder, error) { return &hum{pcm.Tone{Hertz: 300, Amplitude: .5}}, nil },
		NewEncoder: func(mix.Options) (mix.Encoder, error) { return rec, nil },
	})
	m.Add(1)
	for i := range 100 {
		now := start.Add(time.Duration(i) * rotunda.FrameDuration)
		m.Push(now, 1, &rotunda.Frame{Seq: rotunda.Seq(i), Timestamp: uint32(i) * frame, Level: 9, Payload: []byte{15 << 3, 1}})
		m.Tick(now)
	}
	if got := pcm.ToneAmplitude(rec.heard[pcm.Rate:], 300); math.Abs(got-.5) > .001 {
		t.Errorf("amplitude %.4f, want .5", got)
	}
}

func TestSourcesAreWhoIsHeard(t *testing.T) {
	silence := make([]float32, 3*pcm.Rate)
	loud := tone(300, .5, 3*time.Second)
	soft := append(tone(500, .05, 3*time.Second/2), silence[:3*pcm.Rate/2]...)
	faint := tone(700, .0005, 3*time.Second) // -69 dBov
	h := play(t, 3*time.Second, mix.Options{}, talker{ssrc: 30, audio: soft}, talker{ssrc: 10, audio: silence}, talker{ssrc: 20, audio: loud}, talker{ssrc: 40, audio: faint})
	for i, f := range h.frames {
		var want []rotunda.SSRC
		switch at := h.times[i]; {
		case at > 300*time.Millisecond && at < 3*time.Second/2:
			want = []rotunda.SSRC{20, 30}
		case at > 2200*time.Millisecond:
			want = []rotunda.SSRC{20}
		default:
			continue
		}
		var got []rotunda.SSRC
		for k := range f.Sources.Len() {
			got = append(got, f.Sources.At(k))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("at %v: sources %v, want %v", h.times[i], got, want)
		}
	}
	if got := h.mixer.Active(nil); !slices.Equal(got, []rotunda.SSRC{20}) {
		t.Errorf("Active = %v, want 20", got)
	}
}

// In silence one small frame goes out every 400 ms, timestamps run on, and the codecs are given back; the next voice is heard.
func TestSilence(t *testing.T) {
	decoders, encoders := 0, 0
	codecs := opus.Codecs()
	counted := mix.Codecs{
		NewDecoder: func() (mix.Decoder, error) { decoders++; return codecs.NewDecoder() },
		NewEncoder: func(o mix.Options) (mix.Encoder, error) { encoders++; return codecs.NewEncoder(o) },
	}
	m := mix.New(mix.Options{}, counted)
	var in []arrival
	for id := rotunda.SSRC(1); id <= 2; id++ { // one alone would be passed on
		m.Add(id)
		speech := talker{ssrc: id, audio: pcm.Speech(5, 2*pcm.Rate)}.arrivals(t, nil)
		again := talker{ssrc: id, audio: pcm.Speech(5, 2*pcm.Rate), from: 62 * time.Second}.arrivals(t, nil)
		for i := range again {
			again[i].frame.Seq += rotunda.Seq(len(speech))
			again[i].frame.Timestamp += 62 * rotunda.ClockRate
		}
		in = slices.Concat(in, speech, again)
	}
	slices.SortStableFunc(in, func(a, b arrival) int { return int(a.at - b.at) })
	var sent []time.Duration
	bytes := 0
	for at := time.Duration(0); at < 64*time.Second; at += rotunda.FrameDuration {
		for len(in) > 0 && in[0].at <= at {
			m.Push(start.Add(in[0].at), in[0].ssrc, &in[0].frame)
			in = in[1:]
		}
		f, ok := m.Tick(start.Add(at))
		if ok && f.Timestamp != uint32(at.Milliseconds()*48) {
			t.Fatalf("at %v: timestamp %d, want %d", at, f.Timestamp, at.Milliseconds()*48)
		}
		if !ok || at < 3*time.Second || at > 62*time.Second {
			continue
		}
		sent = append(sent, at)
		bytes = max(bytes, len(f.Payload))
		if f.Level != pcm.Silence || f.Sources.Len() != 0 {
			t.Fatalf("at %v: level %d and %d sources in silence", at, f.Level, f.Sources.Len())
		}
	}
	if n := len(sent); n < 145 || n > 149 { // 59 s of one each 400 ms
		t.Errorf("%d frames in 59 s of silence, want 147", n)
	}
	if bytes > 30 {
		t.Errorf("a silent frame of %d bytes", bytes)
	}
	if decoders != 4 || encoders != 2 {
		t.Errorf("%d decoders and %d encoders made, want 2 of each person's and 2: before the silence, and after", decoders, encoders)
	}
}

// Packets that their sender calls silent are not decoded, and what follows them still sounds right.
func TestSilentPacketsAreNotDecoded(t *testing.T) {
	x := slices.Concat(make([]float32, 3*pcm.Rate), pcm.Speech(6, 3*pcm.Rate))
	h := play(t, 6*time.Second, mix.Options{}, talker{ssrc: 1, audio: x})
	if st := h.mixer.Stats(); st.Skipped < 145 || st.Decoded > 160 {
		t.Errorf("%d packets skipped and %d decoded of 150 silent and 150 spoken", st.Skipped, st.Decoded)
	}
	if got := pcm.Compare(x, h.audio, pcm.Rate/5); got.Correlation < .9 || got.Missing > 0 {
		t.Errorf("%+v", got)
	}
}

// Who joins in the middle hears at once: the decoder starts on any frame.
func TestLateJoiner(t *testing.T) {
	x := pcm.Speech(8, 6*pcm.Rate)
	h := play(t, 6*time.Second, mix.Options{}, talker{ssrc: 1, audio: x})
	late := heard{frames: slices.Clone(h.frames[137:])}
	base := late.frames[0].Timestamp
	for i := range late.frames {
		late.frames[i].Timestamp -= base
	}
	late.decode(t)
	if got := pcm.Compare(x[base:], late.audio, pcm.Rate/5); got.Correlation < .87 || got.Missing > 0 {
		t.Errorf("joined at %d ms: %+v", base/48, got)
	}
}

// The home dies and another takes over, mixing the same speaker: the listener's RTP is one stream, and the speech goes on.
func TestHandover(t *testing.T) {
	x := pcm.Speech(9, 5*pcm.Rate)
	first := play(t, 5*time.Second, mix.Options{}, talker{ssrc: 1, audio: x})
	second := first // the standby mixed the same microphones all the time
	out := edge.NewProgram(65500, 4_294_000_000)
	var got heard
	var last edge.Packet
	for at := time.Duration(0); at < 5*time.Second; at += rotunda.FrameDuration {
		var pkt edge.Packet
		ok := false
		take := func(h heard, epoch rotunda.Epoch) {
			if i, there := slices.BinarySearch(h.times, at); there {
				f := h.frames[i]
				f.Timestamp += uint32(epoch) * 12345 // each mixer counts in its own way
				if p, drop := out.Frame(start.Add(at), epoch, &f); drop == edge.None {
					pkt, ok = p, true
				}
			}
		}
		if at < 2500*time.Millisecond {
			take(first, 1)
		}
		if at > 2900*time.Millisecond {
			take(second, 2)
			take(first, 1) // the dead one comes back: nobody listens
		}
		if !ok {
			continue
		}
		if last.Payload != nil && (pkt.Sequence != last.Sequence+1 || int32(pkt.Timestamp-last.Timestamp) <= 0) {
			t.Fatalf("at %v: packet %d, %d after %d, %d", at, pkt.Sequence, pkt.Timestamp, last.Sequence, last.Timestamp)
		}
		last = pkt
		got.frames = append(got.frames, rotunda.Frame{Timestamp: pkt.Timestamp + 967296, Payload: pkt.Payload})
	}
	got.decode(t)
	l, undisturbed := pcm.Compare(x, got.audio, pcm.Rate/5), pcm.Compare(x, first.audio, pcm.Rate/5)
	if l.Correlation < .75 || l.Missing > .2 || math.Abs(float64(l.Lag+l.Drift-undisturbed.Lag-undisturbed.Drift)) > 10 {
		t.Errorf("%+v: want the speech but for 400 ms, and in its place after, as in %+v", l, undisturbed)
	}
}

func TestClock(t *testing.T) {
	m := mix.New(mix.Options{}, opus.Codecs())
	if !m.Next().IsZero() {
		t.Error("the first tick is not due at once")
	}
	tick := func(at time.Duration, want uint32, ok bool) {
		t.Helper()
		f, got := m.Tick(start.Add(at))
		if got != ok || ok && f.Timestamp != want {
			t.Fatalf("Tick at %v = timestamp %d, %v; want %d, %v", at, f.Timestamp, got, want, ok)
		}
	}
	tick(0, 0, true)
	tick(5*time.Millisecond, 0, false) // before its time: nothing happens
	for at := 20; at < 400; at += 20 {
		tick(time.Duration(at+3)*time.Millisecond, 0, false)
	}
	tick(403*time.Millisecond, 19200, true)
	if want := start.Add(420 * time.Millisecond); !m.Next().Equal(want) {
		t.Errorf("Next = %v, want %v: late ticks do not move the grid", m.Next(), want)
	}
	tick(10*time.Second+5*time.Millisecond, 480000, true) // the caller was away: time went on
	m.Pause()
	tick(20*time.Second, 960000, true)
}

func TestStage(t *testing.T) {
	m := mix.New(mix.Options{}, opus.Codecs())
	f := &rotunda.Frame{Seq: 1, Payload: []byte{15 << 3, 1}}
	if m.Push(start, 5, f); m.Stats().Unknown != 1 {
		t.Errorf("a frame of a stranger: %+v", m.Stats())
	}
	for id := range rotunda.SSRC(mix.SpeakersMax) {
		if !m.Add(id) {
			t.Fatalf("no room for speaker %d", id)
		}
	}
	if m.Add(1000) || !m.Add(5) {
		t.Error("the stage has no bound, or a new epoch of somebody on it was refused")
	}
	m.Push(start, 5, f)
	m.Remove(5)
	m.Remove(5)
	if m.Target(5) != 0 || !m.Add(1000) || m.Target(1000) == 0 {
		t.Error("who was removed is still there")
	}
}

// A codec that cannot be made or breaks costs its sound and nothing else.
func TestBrokenCodec(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]mix.Codecs{
		"no decoder": {NewDecoder: func() (mix.Decoder, error) { return nil, boom }, NewEncoder: opus.Codecs().NewEncoder},
		"no encoder": {NewDecoder: func() (mix.Decoder, error) { return &hum{pcm.Tone{Hertz: 300, Amplitude: .5}}, nil },
			NewEncoder: func(mix.Options) (mix.Encoder, error) { return nil, boom }},
		"noise": {NewDecoder: func() (mix.Decoder, error) { return &hum{pcm.Tone{Hertz: 300, Amplitude: math.Inf(1)}}, nil },
			NewEncoder: opus.Codecs().NewEncoder},
	} {
		m := mix.New(mix.Options{}, c)
		m.Add(1)
		for i := range 20 {
			now := start.Add(time.Duration(i) * rotunda.FrameDuration)
			m.Push(now, 1, &rotunda.Frame{Seq: rotunda.Seq(i), Timestamp: uint32(i) * frame, Level: 9, Payload: []byte{15 << 3, 1}})
			if f, ok := m.Tick(now); ok && f.Level != pcm.Silence {
				t.Errorf("%s: a frame at level %d", name, f.Level)
			}
		}
		if st := m.Stats(); st.Corrupt+st.EncodeFailed == 0 {
			t.Errorf("%s: not counted: %+v", name, st)
		}
	}
}

func TestTickAllocatesNothing(t *testing.T) {
	enc := &recorder{}
	m := mix.New(mix.Options{}, mix.Codecs{
		NewDecoder: func() (mix.Decoder, error) { return &hum{pcm.Tone{Hertz: 300, Amplitude: .5}}, nil },
		NewEncoder: func(mix.Options) (mix.Encoder, error) { return enc, nil },
	})
	for id := range rotunda.SSRC(10) {
		m.Add(id)
	}
	f, now := rotunda.Frame{Level: 9, Payload: []byte{15 << 3, 1}}, start
	if n := testing.AllocsPerRun(500, func() {
		now = now.Add(rotunda.FrameDuration)
		f.Seq++
		f.Timestamp += frame
		enc.heard = enc.heard[:0]
		for id := range rotunda.SSRC(10) {
			m.Push(now, id, &f)
		}
		m.Tick(now)
	}); n != 0 {
		t.Errorf("%v allocations for ten speakers' frames and a mixed one", n)
	}
}
