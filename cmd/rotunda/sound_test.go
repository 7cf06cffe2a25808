package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/node/opus"
	"rotunda/node/pcm"
	"rotunda/node/rtc"
)

// all says a sound to its end.
func all(t *testing.T, s sound) (us []utterance) {
	t.Helper()
	for {
		u, err := s.next()
		if errors.Is(err, io.EOF) {
			return us
		}
		if err != nil {
			t.Fatal(err)
		}
		u.payload = bytes.Clone(u.payload)
		us = append(us, u)
	}
}

func lengthOf(us []utterance) (d time.Duration) {
	for _, u := range us {
		d += u.duration
	}
	return d
}

func TestWAVIsEncoded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "talk.wav")
	writeWAV(t, path, 44100, pcm.Resample(pcm.Speech(1, pcm.Rate), pcm.Rate, 44100))
	s, err := openSound(path)
	if err != nil {
		t.Fatal(err)
	}
	us := all(t, s)
	if got := lengthOf(us); got != time.Second {
		t.Errorf("a second of sound lasts %v", got)
	}
	loud := slices.ContainsFunc(us, func(u utterance) bool { return u.level < 40 })
	if !loud || slices.ContainsFunc(us, func(u utterance) bool { return len(u.payload) > rotunda.PayloadMax }) {
		t.Errorf("utterances %+v", us)
	}
}

// oggOf makes an Opus file of n packets of the given bytes.
func oggOf(t *testing.T, packet []byte, ticks, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "talk.opus")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := opus.NewWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := w.Write(uint32(i*ticks), packet); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// An Opus file is sent as it is where the mesh takes its packets, and encoded anew where it does not.
func TestOpusFiles(t *testing.T) {
	encoder, err := opus.NewEncoder(opus.EncoderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, opus.PacketMax)
	n, err := encoder.Encode(pcm.Speech(1, opus.FrameSamples), packet)
	if err != nil {
		t.Fatal(err)
	}
	packet = packet[:n]
	s, err := openSound(oggOf(t, packet, rotunda.FrameTicks, 10))
	if err != nil {
		t.Fatal(err)
	}
	us := all(t, s)
	if len(us) != 10 || !bytes.Equal(us[3].payload, packet) || us[3].duration != rotunda.FrameDuration {
		t.Errorf("20 ms packets: %d utterances, the fourth %+v", len(us), us[3])
	}
	// RFC 6716 §3.2.5: configuration 15, code 3, six frames of the same size: 120 ms in one packet.
	long := append([]byte{packet[0] | 3, 6}, bytes.Repeat(packet[1:], 6)...)
	s, err = openSound(oggOf(t, long, 6*rotunda.FrameTicks, 5))
	if err != nil {
		t.Fatal(err)
	}
	if us = all(t, s); us[0].duration != rotunda.FrameDuration || math.Abs(lengthOf(us).Seconds()-.6) > .02 {
		t.Errorf("120 ms packets: %d utterances of %v, %v in all, want 0.6 s in packets of 20 ms", len(us), us[0].duration, lengthOf(us))
	}
}

func TestNotSound(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"empty": "", "text": "hello, world", "RIFF": "RIFF....AVI ", "OggS": "OggS and no more", "no sound": "RIFF\x00\x00\x00\x00WAVE"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openSound(path); err == nil {
			t.Errorf("%s is taken for sound", name)
		}
	}
	for _, hertz := range []float64{0, -440, 19, 20001, math.NaN(), math.Inf(1)} {
		if _, err := newTone(hertz); err == nil {
			t.Errorf("a tone of %v Hz", hertz)
		}
	}
}

// Silence frames the sound, and is sent although it is silence: it opens the way.
func TestFramed(t *testing.T) {
	tone, err := newTone(440)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFramed(tone, 100*time.Millisecond, 200*time.Millisecond, 60*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	var levels []bool // loud
	for _, u := range all(t, f) {
		if len(u.payload) == 0 {
			t.Error("something is not sent")
		}
		levels = append(levels, u.level < 40)
	}
	want := slices.Concat(slices.Repeat([]bool{false}, 5), slices.Repeat([]bool{true}, 10), slices.Repeat([]bool{false}, 3))
	if !slices.Equal(levels, want) {
		t.Errorf("loud: %v, want %v", levels, want)
	}
}

// tape is a microphone that notes when it was spoken into.
type tape struct {
	at      []time.Duration
	skipped time.Duration
	begun   time.Time
}

func (m *tape) Write([]byte, time.Duration, uint8, bool) error {
	m.at = append(m.at, time.Since(m.begun))
	return nil
}

func (m *tape) Skip(d time.Duration) { m.skipped += d }

// Packets go out when they are due, not as fast as they can be made.
func TestSayKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tone, err := newTone(440)
		if err != nil {
			t.Fatal(err)
		}
		f, err := newFramed(tone, 0, time.Second, 0)
		if err != nil {
			t.Fatal(err)
		}
		m := &tape{begun: time.Now()}
		said, err := say(t.Context(), f, m)
		if err != nil || said != time.Second || len(m.at) != 50 {
			t.Fatalf("said %v in %d packets, %v", said, len(m.at), err)
		}
		for i, at := range m.at {
			if want := time.Duration(i) * rotunda.FrameDuration; at != want {
				t.Errorf("packet %d after %v, want %v", i, at, want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Millisecond)
		defer cancel()
		if said, err := say(ctx, tone, m); err != nil || said != 100*time.Millisecond {
			t.Errorf("cut off after 90 ms: said %v, %v, want five packets", said, err)
		}
	})
}

// reports is a player whose sender said when the sound of timestamp 0 was.
type reports struct {
	at    time.Time
	known bool
}

func (r reports) SenderClock(int) (time.Time, uint32, bool) { return r.at, 0, r.known }

// Age is measured from the instant that the sender ties to a packet's timestamp.
func TestAge(t *testing.T) {
	start := time.Unix(1000, 0)
	e := newEar()
	var err error
	if e.decoder, err = opus.NewDecoder(); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		ts := uint32(i * rotunda.FrameTicks)
		r := rtc.Received{Sequence: uint16(i), Timestamp: ts, Payload: []byte{15 << 3}, Arrival: start.Add(time.Duration(i)*rotunda.FrameDuration + 80*time.Millisecond)}
		e.hear(r, clockOf(reports{start, i >= 50}, 0))
	}
	s := e.tally.summary(0, "n")
	if s.Age.P50 == nil || *s.Age.P50 != 80 || *s.Age.P99 != 80 || e.tally.ages.count != 50 {
		t.Errorf("ages %v, %v of %d, want 80 ms of the 50 packets after the first report", deref(s.Age.P50), deref(s.Age.P99), e.tally.ages.count)
	}
	if clockOf(struct{}{}, 0) != nil {
		t.Error("a clock of a player without one")
	}
}
