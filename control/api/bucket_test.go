package api

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"rotunda/control/token"
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

// A new rate holds for those who are here and those who come; what is left of a larger burst is cut.
func TestRateChanges(t *testing.T) {
	b := newBuckets(Rate{1, 100}, 10)
	if wait := b.take(noon, "ada"); wait != 0 {
		t.Fatalf("wait %v", wait)
	}
	b.setRate(Rate{0.5, 1})
	at := noon.Add(time.Second)
	if first, second := b.take(at, "ada"), b.take(at, "ada"); first != 0 || second != 2*time.Second {
		t.Errorf("after the change: %v, %v; want 0 and 2 s", first, second)
	}
	if first, second := b.take(at, "bob"), b.take(at, "bob"); first != 0 || second != 2*time.Second {
		t.Errorf("a newcomer: %v, %v; want 0 and 2 s", first, second)
	}
}

// Fewer places end nobody's stream, and let nobody in until there is one.
func TestSeatsChange(t *testing.T) {
	s := &seats{perAddress: 5, total: 5, byName: map[string]int{}, open: map[*seat]struct{}{}}
	ended := func() { t.Error("a stream was ended") }
	var open []*seat
	for range 3 {
		seat, err := s.take("ada", token.Claims{}, ended)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, seat)
	}
	s.allow(2, 3)
	if _, err := s.take("ada", token.Claims{}, ended); !errors.Is(err, errStreams) {
		t.Errorf("a fourth of two: %v", err)
	}
	if _, err := s.take("bob", token.Claims{}, ended); !errors.Is(err, ErrOverloaded) {
		t.Errorf("a fourth of three: %v", err)
	}
	s.free(open[0])
	if _, err := s.take("bob", token.Claims{}, ended); err != nil {
		t.Error(err)
	}
}
