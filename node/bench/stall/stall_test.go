package stall

import (
	"testing"
	"testing/synctest"
	"time"
)

// A machine that is never late has not stood still; one that is has, for as long as it was late, also while it still is.
func TestStood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := Start("")
		time.Sleep(10 * time.Second)
		if d := w.Stood(); d != 0 {
			t.Errorf("stood still for %v in a world that is never late", d)
		}
		synctest.Wait()
		w.mu.Lock() // nobody gets on
		w.since = w.since.Add(-time.Second)
		w.mu.Unlock()
		if d := w.Stood(); d < time.Second-w.max || d > time.Second {
			t.Errorf("stood still for %v, want a second but for what is usual", d)
		}
		time.Sleep(time.Second)
		if d := w.Stop(); d < time.Second-w.max || d > time.Second {
			t.Errorf("stood still for %v in the end, want a second but for what is usual", d)
		}
	})
	w := &Watch{}
	at := time.Unix(1_700_000_000, 0)
	for _, late := range []struct{ after, long time.Duration }{{0, 300}, {10_000, 100}, {500, 100}, {1000, 150}, {5000, 340}, {3000, 10}} { // ms
		at = at.Add(late.after * time.Millisecond)
		w.add(at, late.long*time.Millisecond)
	}
	if w.Worst() != 350*time.Millisecond || w.stood != time.Second {
		t.Errorf("within two seconds at most %v, in all %v; want 350 ms, 1 s", w.Worst(), w.stood)
	}
	w = Start(t.TempDir())
	for w.turned() < 2 {
		time.Sleep(time.Millisecond)
	}
	w.Stop()
}

// turned is how often the disk was written to.
func (w *Watch) turned() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.turns
}
