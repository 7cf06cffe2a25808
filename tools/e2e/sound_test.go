package e2e

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"rotunda/node/pcm"
)

// voice is what a fake microphone says: two tones that no other voice of the test has, rising and falling three times a
// second so that nobody on the way takes them for the hum of a fridge.
type voice [2]float64

var (
	adasVoice = voice{440, 1170}
	bobsVoice = voice{700, 1830}
)

const sampleRate = 48000

// record writes the voice to a WAV file; browsers play it again and again. Its length is a whole number of swells.
func (v voice) record(t *testing.T) string {
	t.Helper()
	samples := make([]float32, 4*sampleRate)
	for i := range samples {
		at := float64(i) / sampleRate
		swell := 0.65 - 0.35*math.Cos(2*math.Pi*3*at)
		samples[i] = float32(0.22 * swell * (math.Sin(2*math.Pi*v[0]*at) + math.Sin(2*math.Pi*v[1]*at)))
	}
	var b bytes.Buffer
	if err := pcm.WriteWAV(&b, sampleRate, samples); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "voice.wav")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// ear is page script. It puts an analyser behind every audio element that plays, and answers what each one gives now: the
// level (root mean square, 1 is full scale) and how far each asked frequency stands above the middle of the spectrum. An
// AnalyserNode gets a remote stream only while a real element plays it, so what is measured here is what a person hears.
const ear = `(asked) => {
	const ears = (window.testEars ??= { context: new AudioContext(), analysers: new Map() });
	const heard = [];
	for (const audio of document.querySelectorAll("audio")) {
		const track = audio.srcObject?.getAudioTracks()[0];
		if (!track || track.readyState !== "live" || audio.paused || audio.muted || audio.volume === 0) continue;
		let analyser = ears.analysers.get(track.id);
		if (!analyser) {
			analyser = ears.context.createAnalyser();
			analyser.fftSize = 8192;
			analyser.smoothingTimeConstant = 0;
			ears.context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
			ears.analysers.set(track.id, analyser);
		}
		const samples = new Float32Array(analyser.fftSize);
		analyser.getFloatTimeDomainData(samples);
		const spectrum = new Float32Array(analyser.frequencyBinCount);
		analyser.getFloatFrequencyData(spectrum);
		const width = ears.context.sampleRate / analyser.fftSize;
		const finite = (decibels) => Math.max(decibels, -200);
		// The middle of the band in which voices are: the floor that a tone has to stand above.
		const band = [...spectrum.slice(Math.round(200 / width), Math.round(4000 / width))].map(finite).sort((a, b) => a - b);
		const floor = band[band.length >> 1];
		const above = asked.map((hertz) => {
			const bin = Math.round(hertz / width);
			return Math.max(...[...spectrum.slice(bin - 1, bin + 2)].map(finite)) - floor;
		});
		let peak = 0;
		spectrum.forEach((decibels, bin) => { if (decibels > spectrum[peak]) peak = bin; });
		heard.push({ level: Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length), peak: peak * width, above });
	}
	return heard;
}`

// heard is what one audio element of a page plays.
type heard struct {
	Level float64   `json:"level"`
	Peak  float64   `json:"peak"`  // Hz, the strongest frequency
	Above []float64 `json:"above"` // dB over the floor, for each frequency asked
}

const (
	loud  = 0.02  // root mean square; the voices have about 0.15 before they travel
	quiet = 0.002 // comfort noise and rounding stay below
	clear = 25    // dB that a tone stands above the floor
)

// listen answers what the page plays now.
func (p *page) listen(frequencies ...float64) []heard {
	p.t.Helper()
	asked := "["
	for _, f := range frequencies {
		asked += fmt.Sprintf("%g,", f)
	}
	got, err := chromedp.Run(p.ctx, chromedp.Evaluate[[]heard]("("+ear+")("+asked+"])"))
	if err != nil {
		p.t.Fatalf("%s: listen: %v", p.who, err)
	}
	return got
}

// hears waits until both tones of the voice stand out of what the page plays, on one element, and the strongest frequency
// is one of theirs where nobody else speaks.
func (p *page) hears(v voice, alone bool) time.Duration {
	p.t.Helper()
	return p.waitFor(fmt.Sprintf("hears %v", v), v[:], func(all []heard) bool {
		for _, h := range all {
			peaks := math.Abs(h.Peak-v[0]) < 15 || math.Abs(h.Peak-v[1]) < 15
			if h.Level > loud && h.Above[0] > clear && h.Above[1] > clear && (peaks || !alone) {
				return true
			}
		}
		return false
	})
}

// hearsNothing waits until everything that the page plays is silent, and stays so for a second.
func (p *page) hearsNothing() time.Duration {
	p.t.Helper()
	var since time.Time
	took := p.waitFor("hears nothing for a second", nil, func(all []heard) bool {
		for _, h := range all {
			if h.Level > quiet {
				since = time.Time{}
				return false
			}
		}
		if since.IsZero() {
			since = time.Now()
		}
		return time.Since(since) >= time.Second
	})
	return took - time.Second
}

func (p *page) waitFor(what string, frequencies []float64, ok func([]heard) bool) time.Duration {
	p.t.Helper()
	start := time.Now()
	for {
		all := p.listen(frequencies...)
		if ok(all) {
			return time.Since(start)
		}
		if time.Since(start) > patience {
			p.t.Fatalf("%s: not within %v: %s; plays %+v", p.who, patience, what, all)
		}
		time.Sleep(40 * time.Millisecond)
	}
}
