package main

import (
	"io"
	"strings"
	"testing"
)

// writes keeps what was written, a string for each call.
type writes []string

func (w *writes) Write(b []byte) (int, error) {
	*w = append(*w, string(b))
	return len(b), nil
}

// A table stays whole beside what other processes write to the same place: `rotunda up` prints one while its nodes write their
// logs.
func TestATableIsWrittenAtOnce(t *testing.T) {
	var out writes
	if err := newTerminal(strings.NewReader(""), &out, io.Discard).printTable([][]string{{"NODE", "REGION"}, {"us-east-1", "us-east"}, {"x\x1b[2J", "y"}}); err != nil {
		t.Fatal(err)
	}
	if want := "NODE       REGION\nus-east-1  us-east\nx\ufffd[2J      y\n"; len(out) != 1 || out[0] != want {
		t.Errorf("%d writes %q, want one of %q", len(out), []string(out), want)
	}
}
