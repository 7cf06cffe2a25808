package api

import (
	"fmt"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestBucket(t *testing.T) {
	b := newBuckets(Rate{PerSecond: 2, Burst: 3}, 10)
	steps := []struct {
		at   time.Duration
		name string
		want time.Duration
	}{
		{0, "ada", 0}, {0, "ada", 0}, {0, "ada", 0},
		{0, "ada", 500 * time.Millisecond},
		{0, "bob", 0}, // has a bucket of his own
		{200 * time.Millisecond, "ada", 300 * time.Millisecond},
		{500 * time.Millisecond, "ada", 0},
		{500 * time.Millisecond, "ada", 500 * time.Millisecond},
		{100 * time.Millisecond, "ada", 500 * time.Millisecond}, // the clock went back
		{time.Hour, "ada", 0}, {time.Hour, "ada", 0}, {time.Hour, "ada", 0},
		{time.Hour, "ada", 500 * time.Millisecond},
	}
	for i, s := range steps {
		if got := b.take(noon.Add(s.at), s.name); got != s.want {
			t.Errorf("step %d: take(%v, %s) = %v, want %v", i, s.at, s.name, got, s.want)
		}
	}
}

func TestBucketsAreBounded(t *testing.T) {
	b := newBuckets(Rate{PerSecond: 1, Burst: 5}, 100)
	for i := range 100_000 { // a flood that lasts 10 s, from an address of its own each time
		b.take(noon.Add(time.Duration(i)*100*time.Microsecond), fmt.Sprint("bot", i))
		if len(b.byName) > 100 {
			t.Fatalf("%d buckets after %d callers, want at most 100", len(b.byName), i)
		}
	}
	later := noon.Add(time.Minute)
	if b.take(later, "ada") != 0 {
		t.Error("a newcomer a minute later has to wait")
	}
	if _, ok := b.byName["ada"]; !ok {
		t.Error("a newcomer a minute later has no bucket of her own")
	}
}

// Whoever was there before a flood keeps a bucket.
func TestFloodLeavesOthersAlone(t *testing.T) {
	b := newBuckets(Rate{PerSecond: 1, Burst: 5}, 100)
	for range 4 {
		b.take(noon, "ada")
	}
	for i := range 1000 {
		b.take(noon, fmt.Sprint("bot", i))
	}
	if b.take(noon, "ada") != 0 {
		t.Error("ada's fifth request was refused")
	}
	if b.take(noon, "newcomer") == 0 {
		t.Error("the shared bucket never runs dry")
	}
}
