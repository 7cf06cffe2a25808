package mix_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/mix"
	"rotunda/node/opus"
	"rotunda/node/pcm"
)

// start is when every scene begins; only differences matter.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const frame = rotunda.FrameTicks

// talker is a speaker with a microphone, an encoder, a clock of their own and a path to the mixer.
type talker struct {
	ssrc  rotunda.SSRC
	audio []float32 // what they say, 48 kHz of their own clock
	from  time.Duration
	ppm   float64                                            // how much their clock runs fast
	delay func(r *rand.Rand, at time.Duration) time.Duration // transit of a packet sent at; negative: lost
	dtx   bool
}

type arrival struct {
	at    time.Duration
	ssrc  rotunda.SSRC
	frame rotunda.Frame
}

// arrivals encodes what a talker says and sends it over their path.
func (k talker) arrivals(t testing.TB, r *rand.Rand) (out []arrival) {
	t.Helper()
	enc, err := opus.NewEncoder(opus.EncoderConfig{DTX: k.dtx, Bitrate: 40000})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, opus.PacketMax)
	seq := rotunda.Seq(0)
	for i := 0; (i+1)*frame <= len(k.audio); i++ {
		x := k.audio[i*frame : (i+1)*frame]
		n, err := enc.Encode(x, buf)
		if err != nil {
			t.Fatal(err)
		}
		if k.dtx && n <= 2 {
			continue
		}
		seq++
		sent := k.from + time.Duration(float64(i+1)*float64(rotunda.FrameDuration)/(1+k.ppm*1e-6))
		late := time.Duration(0)
		if k.delay != nil {
			late = k.delay(r, sent)
		}
		if late < 0 {
			continue
		}
		out = append(out, arrival{sent + late, k.ssrc, rotunda.Frame{
			Seq: seq, Timestamp: uint32(i*frame) + 4_294_900_000, Level: pcm.Level(x), Payload: slices.Clone(buf[:n]),
		}})
	}
	return out
}

// heard is what a listener got of a scene.
type heard struct {
	audio  []float32 // from the first frame's timestamp on, silence where nothing was sent
	frames []rotunda.Frame
	times  []time.Duration
	mixer  *mix.Mixer
}

// play runs a scene of the given length in virtual time.
func play(t testing.TB, length time.Duration, o mix.Options, talkers ...talker) heard {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	m := mix.New(o, opus.Codecs())
	var all []arrival
	for _, k := range talkers {
		m.Add(k.ssrc)
		all = append(all, k.arrivals(t, r)...)
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return int(a.at - b.at) })
	h := heard{mixer: m}
	for at := time.Duration(0); at < length; at += rotunda.FrameDuration {
		for len(all) > 0 && all[0].at <= at {
			m.Push(start.Add(all[0].at), all[0].ssrc, &all[0].frame)
			all = all[1:]
		}
		f, ok := m.Tick(start.Add(at))
		if !ok {
			continue
		}
		f.Payload = slices.Clone(f.Payload)
		h.frames = append(h.frames, f)
		h.times = append(h.times, at)
	}
	h.decode(t)
	return h
}

// decode plays the program as a listener without a jitter buffer would.
func (h *heard) decode(t testing.TB) {
	t.Helper()
	dec, err := opus.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]float32, opus.SamplesMax)
	for _, f := range h.frames {
		n, err := dec.Decode(f.Payload, buf)
		if err != nil {
			t.Fatal(err)
		}
		if gap := int(f.Timestamp) - len(h.audio); gap > 0 {
			h.audio = append(h.audio, make([]float32, gap)...)
		}
		h.audio = append(h.audio, buf[:n]...)
	}
}

func tone(hertz, amplitude float64, length time.Duration) []float32 {
	x := make([]float32, int(length.Seconds()*pcm.Rate))
	(&pcm.Tone{Hertz: hertz, Amplitude: amplitude}).Fill(x)
	return x
}

// jittery is a path with loss and a transit of base plus up to spread, evenly.
func jittery(base, spread time.Duration, loss float64) func(*rand.Rand, time.Duration) time.Duration {
	return func(r *rand.Rand, _ time.Duration) time.Duration {
		if r.Float64() < loss {
			return -1
		}
		return base + time.Duration(r.Float64()*float64(spread))
	}
}
