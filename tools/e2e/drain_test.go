package e2e

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// gapMax is the longest silence that a person may hear when their node is drained under them. 23 to 35 ms were measured, of
// which the window of the measurement is 21.
const gapMax = 100 * time.Millisecond

// silences is page script. It looks at what all audio elements play, a hundred times a second, and keeps the longest silence, and when
// each track was heard first (Unix time in ms): what a browser makes up when nothing comes sounds like sound.
const silences = `(() => {
	const context = new AudioContext();
	const analysers = new Map();
	const found = (window.testSilences = { longest: 0, looks: 0, first: {} });
	let since = null;
	setInterval(() => {
		let level = 0;
		for (const audio of document.querySelectorAll("audio")) {
			const track = audio.srcObject?.getAudioTracks()[0];
			if (!track || audio.paused) continue;
			let analyser = analysers.get(track.id);
			if (!analyser) {
				analyser = context.createAnalyser();
				analyser.fftSize = 1024;
				context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
				analysers.set(track.id, analyser);
			}
			const samples = new Float32Array(analyser.fftSize);
			analyser.getFloatTimeDomainData(samples);
			const loud = Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
			if (loud >= 0.005) found.first[track.id] ??= performance.timeOrigin + performance.now();
			level = Math.max(level, loud);
		}
		const now = performance.now();
		if (level >= 0.005) since = null;
		else found.longest = Math.max(found.longest, now - (since ??= now));
		found.looks++;
	}, 10);
	return true;
})()`

// TestANodeIsDrained: an operator empties the node that Bob listens at. His page goes on at another node, he hears no gap to
// speak of, and the node stops by itself.
func TestANodeIsDrained(t *testing.T) { trials(t, nodeIsDrained) }

func nodeIsDrained(t *testing.T, r *trial) {
	mesh, ada, bob := talkAcross(t)
	seconds := mesh.drain(t, 2)
	bob.until("is at another node", `performance.getEntriesByType("resource").some(e => e.name.endsWith("/whep") && !e.name.startsWith(location.origin))`, patience)
	bob.heardOn(r, seconds)
	bob.until("is calm", phase("live"), patience)
	ada.until("was not disturbed", phase("live"), patience)
}

// TestASpeakersPageIsDrained: the same with the node that Ada speaks at, which mixes the room as well.
func TestASpeakersPageIsDrained(t *testing.T) { trials(t, speakersPageIsDrained) }

func speakersPageIsDrained(t *testing.T, r *trial) {
	mesh, ada, bob := talkAcross(t)
	seconds := mesh.drain(t, 0)
	ada.until("speaks at another node", `performance.getEntriesByType("resource").some(e => e.name.endsWith("/whip") && !e.name.startsWith(location.origin))`, patience)
	bob.heardOn(r, seconds)
	ada.until("is calm", phase("live"), patience)
	ada.sees("You are heard")
	bob.until("was not disturbed", phase("live"), patience)
}

// talkAcross has Ada speak in a room at the first node, and Bob listen to it at the third; the silences that he hears are measured
// from now on.
func talkAcross(t *testing.T) (m *mesh, ada, bob *page) {
	mesh := startMesh(t)
	if mesh.output == nil {
		t.Skip("a mesh that ran already is not drained")
	}
	ada, bob = openBrowser(t, "Ada", adasVoice.record(t)), openBrowser(t, "Bob", bobsVoice.record(t))
	ada.open(mesh.urls[0] + "/?raw")
	ada.press("Start a room")
	ada.fill("What is it about?", "Moving house")
	ada.fill("Your name", "Ada")
	ada.press("Open the room")
	ada.press("Turn on microphone")
	ada.press("Unmute")
	ada.sees("You are heard")
	free := bob.openAndStay(mesh.urls[2]+"/?raw", mesh)
	bob.press("Moving house")
	bob.fill("Your name", "Bob")
	bob.press("Start listening")
	bob.hears(adasVoice, true)
	free()
	bob.measureSilences()
	return mesh, ada, bob
}

// measureSilences measures the silences that the page plays from now on.
func (p *page) measureSilences() {
	p.t.Helper()
	if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](silences)); err != nil {
		p.t.Fatal(err)
	}
	p.until("is listened to", `window.testSilences.looks > 50`, patience)
	reset := `(window.testSilences.longest = 0, true)` // it began in silence
	if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](reset)); err != nil {
		p.t.Fatal(err)
	}
}

// heardOn checks that the page hears Ada still, and heard no silence to speak of.
func (p *page) heardOn(r *trial, seconds float64) {
	p.t.Helper()
	p.hears(adasVoice, true)
	longest, err := chromedp.Run(p.ctx, chromedp.Evaluate[float64](`window.testSilences.longest`))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Logf("drained in %.1f s", seconds)
	r.within(p.who+"_drained_longest_silence", time.Duration(longest*float64(time.Millisecond)), gapMax)
}
