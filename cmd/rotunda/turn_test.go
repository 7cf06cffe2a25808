package main

import (
	"testing"
	"time"

	"rotunda"
)

// One session after another counts as one stream, with a hole as long as nothing was heard in the middle of speech.
func TestTurn(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, c := range []struct {
		what   string
		pause  time.Duration // from the last packet of the first session to the first of the second
		speech bool
		hole   uint64
	}{
		{"in step", 20 * time.Millisecond, true, 0},
		{"the new one is ahead", 5 * time.Millisecond, true, 0},
		{"some jitter", 28 * time.Millisecond, true, 0},
		{"one frame lost", 41 * time.Millisecond, true, 1},
		{"half a second", 500 * time.Millisecond, true, 24},
		{"half a second of silence", 500 * time.Millisecond, false, 0},
	} {
		var u turn
		now := start
		var seq uint64
		var at int64
		for i := range 10 {
			seq, at = u.take(now, 65530+uint16(i), 4294967000+uint32(i*rotunda.FrameTicks), rotunda.FrameDuration, true)
			now = now.Add(rotunda.FrameDuration)
		}
		u.over()
		now = now.Add(c.pause - rotunda.FrameDuration)
		for i := range uint64(3) {
			seq2, at2 := u.take(now, 7+uint16(i), 99+uint32(i*rotunda.FrameTicks), rotunda.FrameDuration, c.speech)
			if want := seq + 1 + c.hole + i; seq2 != want {
				t.Errorf("%s: packet %d has number %d, want %d", c.what, i, seq2, want)
			}
			if want := at + int64(1+c.hole+i)*rotunda.FrameTicks; at2 != want {
				t.Errorf("%s: packet %d is at %d, want %d", c.what, i, at2, want)
			}
			now = now.Add(rotunda.FrameDuration)
		}
	}
}
