package rtc

import "sync"

// group is the goroutines that read from one peer. pion reports tracks from goroutines of its own, also while the peer is
// closed: what is started after wait has begun is not started at all. The zero value is empty.
type group struct {
	mu      sync.Mutex // guards waiting, and Go against Wait
	waiting bool
	running sync.WaitGroup
}

func (g *group) start(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.waiting {
		g.running.Go(f)
	}
}

// wait returns when all that was started has ended.
func (g *group) wait() {
	g.mu.Lock()
	g.waiting = true
	g.mu.Unlock()
	g.running.Wait()
}
