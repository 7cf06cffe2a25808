package control

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"rotunda"
	"rotunda/control/disk"
	"rotunda/control/eventlog"
)

func position(seq uint64) eventlog.Position {
	return eventlog.Position{Seq: seq, Hash: eventlog.Hash{byte(seq), byte(seq >> 8), 7}}
}

func TestWitnessFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "witness")
	w := newWitness(new(disk.Disk), path, slog.New(slog.DiscardHandler))
	w.load() // there is none
	w.note("a", position(5))
	w.note("b", position(300))
	w.note("a", position(4)) // late
	for range 2 {
		if err := w.save(); err != nil {
			t.Fatal(err)
		}
	}
	again := newWitness(new(disk.Disk), path, w.logger)
	again.load()
	for id, want := range map[rotunda.RoomID]eventlog.Position{"a": position(5), "b": position(300)} {
		if got, ok := again.position(id); !ok || got != want {
			t.Errorf("room %s: %v, %v; want %v", id, got, ok, want)
		}
	}
	if _, ok := again.position("c"); ok {
		t.Error("it knows a room that it has never seen")
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole { // every byte counts
		if err := newWitness(new(disk.Disk), "", w.logger).parse(flipped(whole, i)); !errors.Is(err, errWitness) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
		if err := newWitness(new(disk.Disk), "", w.logger).parse(whole[:i]); !errors.Is(err, errWitness) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	if err := os.WriteFile(path, whole[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	damaged := newWitness(new(disk.Disk), path, slog.New(slog.NewTextHandler(&said, nil)))
	damaged.load()
	if _, ok := damaged.position("a"); ok || !bytes.Contains(said.Bytes(), []byte("level=ERROR")) {
		t.Errorf("a damaged file vouches for something, or nothing is said: %s", said.String())
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
}

func flipped(b []byte, at int) []byte {
	out := bytes.Clone(b)
	out[at] ^= 1
	return out
}

// A node that has seen more rooms than it may remember forgets those that it has had nothing to do with for longest.
func TestWitnessIsBounded(t *testing.T) {
	w := newWitness(new(disk.Disk), filepath.Join(t.TempDir(), "witness"), slog.New(slog.DiscardHandler))
	w.note("first", position(1))
	for i := range 2 * witnessMax {
		w.note(rotunda.RoomID(fmt.Sprintf("%064d", i)), eventlog.Position{Seq: ^uint64(0)})
		if i == witnessMax/2 {
			w.note("first", position(2))
		}
	}
	if len(w.seen) > witnessMax {
		t.Errorf("%d rooms, at most %d", len(w.seen), witnessMax)
	}
	if _, ok := w.position(rotunda.RoomID(fmt.Sprintf("%064d", 2*witnessMax-1))); !ok {
		t.Error("the latest room is forgotten")
	}
	if _, ok := w.position("0"); ok {
		t.Error("it knows a room that it has never seen")
	}
	if err := w.save(); err != nil {
		t.Fatal(err)
	}
	again := newWitness(new(disk.Disk), w.path, w.logger)
	again.load()
	if len(again.seen) != len(w.seen) {
		t.Errorf("%d rooms come back of %d", len(again.seen), len(w.seen))
	}
}
