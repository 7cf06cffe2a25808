package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/opus"
	"rotunda/node/pcm"
)

// driftMax is by how much what a speaker says may be moved in time when their node is drained: what is left out or said twice.
// The mixer corrects a voice's delay by as much at any time.
const driftMax = 30 * time.Millisecond

// movedMissingMax is the share of the energy that may not be found: less than one lost frame of ten seconds. A jitter buffer that gets
// shorter leaves 0.01 %.
const movedMissingMax = 0.001

// TestASpeakersNodeIsDrained: the node that Bob speaks at is emptied in the middle of his speech. Who listens at another node, to
// a room that is mixed at a third one, hears all of it.
func TestASpeakersNodeIsDrained(t *testing.T) { trials(t, speakersNodeIsDrained) }

func speakersNodeIsDrained(t *testing.T, r *trial) {
	mesh := startMesh(t)
	if mesh.output == nil {
		t.Skip("nodes of a mesh that ran already are not stopped")
	}
	talk, said := speech(t)
	ada, bob := newCaller(t, mesh.urls[0], "Ada"), newCaller(t, mesh.urls[1], "Bob")
	room := ada.room("Go on")
	bob.stage(ada, room)
	out := filepath.Join(t.TempDir(), "heard.opus")
	listen := terminal(t, "listen", mesh.urls[2]+"/r/"+room, "--out", out, "--json", "--duration", "16s")
	until(t, "the listener is there", func() bool { return mesh.series(t, 2, "rotunda_listeners") == 1 })
	speak := terminal(t, "speak", mesh.urls[1]+"/r/"+room, "--token", bob.Token, "--file", talk)
	until(t, "Bob speaks", func() bool { return mesh.series(t, 1, "rotunda_ingest_packets_total") > 120 })
	seconds := mesh.drain(t, 1)
	p, _ := ada.member(room, bob.User)
	if !p.Live || p.Muted || p.Node == regions[1]+"-1" {
		t.Errorf("Bob is %+v", p)
	}
	if seconds > 6 {
		t.Errorf("the node was empty after %.1f s: what was heard may have been its last words", seconds)
	}
	speak.wait(60 * time.Second)
	summary := listen.wait(60 * time.Second)
	var h listened
	if err := json.Unmarshal([]byte(summary), &h); err != nil {
		t.Fatalf("summary %q: %v", summary, err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := opus.DecodeFile(bytes.NewReader(b), 60*pcm.Rate)
	if err != nil {
		t.Fatal(err)
	}
	like := pcm.Compare(said, got, len(got))
	drift := time.Duration(like.Drift) * time.Second / pcm.Rate
	r.heard("speaker_drained", h, 0)
	t.Logf("empty after %.1f s; correlation %.3f over %d segments, %.2f %% of the energy missing, drift %v", seconds, like.Correlation, like.Segments,
		100*like.Missing, drift)
	if h.Expected < 400 {
		t.Errorf("only %d packets were expected", h.Expected)
	}
	if like.Correlation < correlationMin || like.Missing > movedMissingMax {
		r.miss(rotunda.FrameDuration, "what was heard correlates %.3f with what was said, want %.2f; %.2f %% of the energy is missing", like.Correlation, correlationMin, 100*like.Missing)
	}
	if drift > driftMax || drift < -driftMax {
		r.miss(drift.Abs()-driftMax, "the voice has moved by %v", drift)
	}
}
