package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rotunda/sim"
)

func TestSim(t *testing.T) {
	status, out, errs := call(t, "sim", "--seed", "17", "--json")
	var a, b simSummary
	if err := json.Unmarshal([]byte(out), &a); err != nil || status != exitDone || a.Seeds != 1 || len(a.Hash) != 16 || a.Played == 0 {
		t.Fatalf("status %d, %v, %q, %q", status, err, out, errs)
	}
	if _, out, _ := call(t, "sim", "--seed", "17", "--json"); json.Unmarshal([]byte(out), &b) != nil || b != a {
		t.Errorf("the same seed again: %+v and %+v", a, b)
	}
	if status, out, _ := call(t, "sim", "--seeds", "3"); status != exitDone || !strings.Contains(out, "3 worlds") || !strings.Contains(out, "hash ") {
		t.Errorf("status %d, %q", status, out)
	}
	for _, args := range []string{"--seeds 0", "--nodes 0", "--nodes 100000", "--regions 31", "--listeners -1"} {
		if status, _, errs := call(t, append([]string{"sim"}, strings.Fields(args)...)...); status != exitUsage {
			t.Errorf("%s: status %d, %q", args, status, errs)
		}
	}
}

// A broken rule is told with its story, and how to see it again.
func TestSimTellsWhatBroke(t *testing.T) {
	var out strings.Builder
	o := simOptions{Config: sim.Config{Nodes: 5}}
	err := tellSimulated(newTerminal(nil, &out, nil), o, simSummary{Seeds: 4, Broken: 1, Failure: &sim.Result{Seed: 20, Broken: "it broke", Story: []string{"and so it came"}}})
	if err == nil || !strings.Contains(err.Error(), "rotunda sim --seed 20 --nodes 5 --faults=false") || !strings.Contains(err.Error(), "it broke") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out.String(), "and so it came") {
		t.Errorf("printed %q", out.String())
	}
}

func TestSimScale(t *testing.T) {
	dir := t.TempDir()
	status, out, errs := call(t, "sim", "scale", "--nodes", "60", "--regions", "4", "--listeners", "6000", "--out", dir, "--json")
	var r sim.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || status != exitDone || r.Nodes != 60 || r.Age.P99 == 0 {
		t.Fatalf("status %d, %v, %q, %q", status, err, out, errs)
	}
	page, err := os.ReadFile(filepath.Join(dir, "scale.md"))
	if err != nil || !strings.Contains(string(page), "6,000 listeners") {
		t.Errorf("the page: %v, %.100q", err, page)
	}
	if _, err := os.Stat(filepath.Join(dir, "images", "scale-age.svg")); err != nil {
		t.Error(err)
	}
	if status, _, errs := call(t, "sim", "scale", "--regions", "2"); status != exitUsage {
		t.Errorf("two regions: status %d, %q", status, errs)
	}
}
