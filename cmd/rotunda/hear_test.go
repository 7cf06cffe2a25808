package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/room"
	"rotunda/node/opus"
	"rotunda/node/pcm"
)

// What is said in one region is what is heard in another; and whoever asks to speak waits for the host.
func TestSpeakAndListen(t *testing.T) {
	_, rows := startUp(t)
	host, id := openRoom(t, rows[0].url)
	dir := t.TempDir()

	said := pcm.Speech(1, 6*pcm.Rate)
	wav := filepath.Join(dir, "talk.wav")
	writeWAV(t, wav, 16000, pcm.Resample(said, pcm.Rate, 16000))
	heard := filepath.Join(dir, "heard.opus")
	ear := start(t, "listen", rows[2].url+"/r/"+string(id), "--out", heard, "--json")
	ear.stderr.waitFor(t, "listening")
	if status, stdout, stderr := call(t, "speak", rows[0].url+"/r/"+string(id), "--file", wav, "--token", host.token); status != exitDone || stdout != "" {
		t.Fatalf("speak: status %d, %q, %s", status, stdout, stderr)
	}

	late := filepath.Join(dir, "late.opus")
	if status, _, stderr := call(t, "listen", rows[2].url+"/r/"+string(id), "--rewind", "20s", "--out", late, "--duration", "500ms", "--json"); status != exitDone {
		t.Fatalf("listen --rewind: status %d, %s", status, stderr)
	}

	guest := start(t, "speak", rows[1].url+"/r/"+string(id), "--tone", "880", "--duration", "2s", "--name", "Bob")
	guest.stderr.waitFor(t, "asked to speak")
	answerRequest(t, host, id, "approve")
	if status := guest.ended(t); status != exitDone {
		t.Errorf("the guest's status is %d", status)
	}
	if err := host.call(t.Context(), http.MethodPost, host.roomPath(id, "/end"), nil, nil); err != nil {
		t.Fatal(err)
	}
	if status := ear.ended(t); status != exitDone {
		t.Errorf("the listener's status is %d after the room's end", status)
	}

	var s summary
	if err := json.Unmarshal([]byte(ear.stdout.String()), &s); err != nil {
		t.Fatalf("%q: %v", ear.stdout, err)
	}
	t.Logf("%s", ear.stdout)
	if s.Node != "ap-south-1" || s.Expected < 300 || s.Join == nil {
		t.Errorf("summary %s", ear.stdout)
	}
	got := decoded(t, heard)
	checkRewound(t, late, said, got)
	// On a quiet machine the correlation is 0.95 and nothing is missing; on one that does ten other things at the same time
	// the mixer may come late. Another recording has below 0.2 and all missing. How well the mesh carries sound is measured
	// elsewhere: this is about saying and hearing the right thing.
	like := pcm.Compare(said, got, 3*pcm.Rate)
	t.Logf("likeness %+v", like)
	if !underRace && (like.Correlation < 0.6 || like.Missing > 0.5) {
		t.Errorf("heard %+v, want a correlation of 0.6 and at most half missing", like)
	}
	if loudest := loudestTone(got, 880); loudest < toneAmplitude/2 {
		t.Errorf("the guest's tone is heard at %.2f, was said at %v", loudest, toneAmplitude)
	}
}

// answerRequest waits until somebody asks to speak in the host's room, and answers.
func answerRequest(t *testing.T, host *client, id rotunda.RoomID, answer string) {
	t.Helper()
	if err := host.watch(t.Context(), id, func(v room.View) (more bool, err error) {
		for user := range v.Requests {
			return false, host.call(t.Context(), http.MethodPost, host.roomPath(id, "/requests/"+string(user)+"/"+answer), nil, nil)
		}
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
}

// loudestTone is the amplitude of a tone in the tenth of a second where it is loudest.
func loudestTone(x []float32, hertz float64) (most float64) {
	for ; len(x) >= pcm.Rate/10; x = x[pcm.Rate/10:] {
		most = max(most, pcm.ToneAmplitude(x[:pcm.Rate/10], hertz))
	}
	return most
}

func writeWAV(t *testing.T, path string, rate int, samples []float32) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := pcm.WriteWAV(f, rate, samples); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// With a node's bare address speak makes a room, prints its link, and ends it; Ctrl-C is a polite end for both.
func TestSpeakOpensARoom(t *testing.T) {
	t.Parallel()
	_, rows := startUp(t, "--regions", "us-east")
	speaker := start(t, "speak", rows[0].url, "--tone", "440", "--title", "From here", "--name", "Ada")
	link := strings.TrimSpace(speaker.stdout.waitFor(t, `http\S+/r/\S+\n`)[0])
	ear := start(t, "listen", link)
	ear.stderr.waitFor(t, `"title":"From here"`)
	time.Sleep(time.Second) // of sound: what is tested is that there is some
	ear.cancel()
	if status := ear.ended(t); status != exitDone || !strings.HasPrefix(ear.stdout.String(), "from us-east-1: ") || strings.Contains(ear.stdout.String(), " 0 packets expected") {
		t.Errorf("listen: status %d, %s", status, ear.stdout)
	}
	speaker.cancel()
	if status := speaker.ended(t); status != exitDone {
		t.Errorf("speak: status %d", status)
	}
	if status, stdout, _ := call(t, "rooms", "--admin", strings.TrimPrefix(rows[0].admin, "http://")); status != exitDone || !strings.Contains(stdout, "ended") {
		t.Errorf("the room afterwards: %s", stdout)
	}
	if status, _, stderr := call(t, "listen", link); status != exitFailed || stderr == "" {
		t.Errorf("listen to a room that has ended: status %d, %s", status, stderr)
	}
}

// A host who says no is understood.
func TestSpeakIsDeclined(t *testing.T) {
	t.Parallel()
	_, rows := startUp(t, "--regions", "us-east")
	host, id := openRoom(t, rows[0].url)
	guest := start(t, "speak", rows[0].url+"/r/"+string(id), "--tone", "880")
	guest.stderr.waitFor(t, "asked to speak")
	answerRequest(t, host, id, "deny")
	if status := guest.ended(t); status != exitFailed || !strings.Contains(guest.stderr.String(), "the host declined") {
		t.Errorf("status %d, %s", status, guest.stderr)
	}
	if status, _, stderr := call(t, "listen", rows[0].url+"/r/nosuchroom"); status != exitFailed || !strings.Contains(stderr, "there is no room nosuchroom") {
		t.Errorf("a room that is not there: status %d, %s", status, stderr)
	}
}

// decoded is what a file of Opus holds.
func decoded(t *testing.T, file string) []float32 {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := opus.DecodeFile(f, 120*pcm.Rate)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// checkRewound finds what was heard before anybody listened to this file, at its length: most of what somebody heard who was there (a
// listener makes up what comes late, a file does not), and all that was said where the race detector does not slow the nodes. What
// rewinding sounds like is measured in tools/e2e.
func checkRewound(t *testing.T, file string, said, heard []float32) {
	t.Helper()
	got := decoded(t, file)
	loud, want := loudFrames(got), loudFrames(heard)*3/4
	if !underRace {
		want = loudFrames(said) * 9 / 10
	}
	t.Logf("rewound: %.1f s, %d loud frames; %d were said and %d heard at once", float64(len(got))/pcm.Rate, loud, loudFrames(said), loudFrames(heard))
	if loud < want || loud < 10 || len(got) > 22*pcm.Rate {
		t.Errorf("%d loud frames in %.1f s, want at least %d", loud, float64(len(got))/pcm.Rate, want)
	}
}

// loudFrames counts the frames that are no silence, and not the guest's tone.
func loudFrames(x []float32) (n int) {
	for ; len(x) >= rotunda.FrameTicks; x = x[rotunda.FrameTicks:] {
		if frame := x[:rotunda.FrameTicks]; pcm.Level(frame) < 40 && pcm.ToneAmplitude(frame, 880) < toneAmplitude/4 {
			n++
		}
	}
	return n
}
