package node

import (
	"context"
	"errors"
	"sync"
)

// errStopping says that the node takes on nothing any more.
var errStopping = errors.New("the node is stopping")

// background runs what outlives the call that began it: rooms, sessions, mixers. All of it ends before run returns.
type background struct {
	tasks   chan func(context.Context) // unbuffered; never closed
	stopped chan struct{}              // closed when no more tasks are taken
}

func newBackground() *background {
	return &background{tasks: make(chan func(context.Context)), stopped: make(chan struct{})}
}

// run runs the tasks that start is given, each in a goroutine of its own, until ctx ends; their context is ctx. It returns
// after the last of them.
func (b *background) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(b.stopped)
	for {
		select {
		case <-ctx.Done():
			return nil
		case task := <-b.tasks:
			wg.Go(func() { task(ctx) })
		}
	}
}

// start has task run in the background and reports whether it will be. It waits only until run has come around.
func (b *background) start(task func(context.Context)) bool {
	select {
	case b.tasks <- task:
		return true
	case <-b.stopped:
		return false
	}
}
