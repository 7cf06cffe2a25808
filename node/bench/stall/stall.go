// Package stall tells how long the machine itself stood still while something was measured on it: how much later than it should have a
// process was woken that had nothing to do, and where a disk is in the way, how much longer than usual it kept a write. A time that real
// processes take is the program's and the machine's; what the machine took is not the program's fault.
//
// It underrates the machine's part, never the program's: it sees one thread, which wants the processor for microseconds, so that a
// machine that is merely slow stands still for nobody.
//
// A Watch may be asked from any goroutine.
package stall

import (
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// turn is how long one look lasts where nothing is late.
	turn = 5 * time.Millisecond
	// span is the time within which Worst adds up: longer than a time that is measured by itself.
	span = 2 * time.Second
	// wakeMax and writeMax are how late a machine that is well wakes somebody, and how long it takes to write a block.
	wakeMax, writeMax = 3 * time.Millisecond, 10 * time.Millisecond
)

// Watch looks at the machine until it is stopped.
type Watch struct {
	stop chan struct{} // closed by Stop
	done chan struct{} // closed by the watch's goroutine

	mu    sync.Mutex // guards what follows
	stood time.Duration
	late  []lateness // of the last span
	worst time.Duration
	turns int
	since time.Time     // when the turn under way began
	max   time.Duration // that it may take
}

// lateness is for how long the machine stood still, and until when.
type lateness struct {
	until time.Time
	time.Duration
}

// Start watches how this process is woken, and with a folder, how the disk there writes.
func Start(dir string) *Watch {
	w := &Watch{stop: make(chan struct{}), done: make(chan struct{}), since: time.Now(), max: turn + wakeMax}
	var file *os.File
	if dir != "" {
		if f, err := os.Create(filepath.Join(dir, "stall")); err == nil { // without it the processor is watched
			file, w.max = f, w.max+writeMax
		}
	}
	go w.run(file)
	return w
}

func (w *Watch) run(file *os.File) {
	defer close(w.done)
	block := make([]byte, 512)
	for {
		select {
		case <-w.stop:
			if file != nil {
				file.Close()
				os.Remove(file.Name())
			}
			return
		case <-time.After(turn):
		}
		if file != nil {
			file.WriteAt(block, 0) // what fails stands still for nobody
			file.Sync()
		}
		now := time.Now()
		w.mu.Lock()
		w.add(now, max(0, now.Sub(w.since)-w.max))
		w.since = now
		w.turns++
		w.mu.Unlock()
	}
}

// add notes a turn; called with mu held.
func (w *Watch) add(now time.Time, late time.Duration) {
	if late == 0 {
		return
	}
	w.stood += late
	w.late = append(w.late, lateness{now, late})
	sum := time.Duration(0)
	for i := len(w.late) - 1; i >= 0; i-- {
		if now.Sub(w.late[i].until) > span {
			w.late = append(w.late[:0], w.late[i+1:]...)
			break
		}
		sum += w.late[i].Duration
	}
	w.worst = max(w.worst, sum)
}

// Worst is the most for which the machine has stood still within two seconds, up to its last turn.
func (w *Watch) Worst() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.worst
}

// Stood is for how long the machine has stood still in all, so far.
func (w *Watch) Stood() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stood + max(0, time.Since(w.since)-w.max)
}

// Stop ends it, and returns what Stood does.
func (w *Watch) Stop() time.Duration {
	close(w.stop)
	<-w.done
	return w.Stood()
}
