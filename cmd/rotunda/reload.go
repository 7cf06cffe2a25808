package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"rotunda/node"
	"rotunda/node/config"
)

// reloader reads a running node's configuration again when SIGHUP asks for it.
type reloader struct {
	node  *node.Node
	load  func() (config.Config, error) // from the same file, environment and flags as at the start
	began config.Config                 // what the node was started with
	level *slog.LevelVar
	log   *slog.Logger
}

// start begins to listen for SIGHUP and returns what ends that, which waits for a reload under way.
func (r *reloader) start(ctx context.Context) (stop func()) {
	hangups := make(chan os.Signal, 1) // one that waits asks for as much as two
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	var g sync.WaitGroup
	g.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				r.reload()
			}
		}
	})
	return func() { signal.Stop(hangups); cancel(); g.Wait() }
}

// reload takes over a good configuration and leaves everything as it is where there is a mistake.
func (r *reloader) reload() {
	cfg, err := r.load()
	if err == nil {
		err = r.node.Reload(cfg)
	}
	r.node.Reloaded(err)
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			r.log.Error("configuration not reloaded", "problem", p.String())
		}
		return
	case err != nil:
		r.log.Error("configuration not reloaded", "problem", err)
		return
	}
	r.level.Set(levelOf(cfg.LogLevel))
	waiting := config.Restart(r.began, cfg)
	if len(waiting) > 0 {
		r.log.Warn("configuration reloaded; some keys wait for the next start", "keys", waiting)
		return
	}
	r.log.Info("configuration reloaded")
}
