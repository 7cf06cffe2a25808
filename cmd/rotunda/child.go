package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"rotunda"
)

// How long `up` waits for its nodes.
const (
	readyWithin  = 60 * time.Second      // for a node to serve
	readyEvery   = 20 * time.Millisecond // between two looks
	stopWithin   = 5 * time.Second       // for a node to end when asked to; then it is killed
	outputWithin = time.Second           // for the last of a dead node's log
)

// child is one node's process.
type child struct {
	id    rotunda.NodeID
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone; err is set before
	err   error
}

// startChild runs `rotunda node --config file`, its log going to log. The process ends with this one, however that ends.
func startChild(id rotunda.NodeID, file string, log io.Writer, environ []string) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{id: id, cmd: exec.Command(exe, "node", "--config", file), ended: make(chan struct{})}
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr = environ, log, log
	c.cmd.SysProcAttr = childAttributes()
	c.cmd.WaitDelay = outputWithin
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start of node %s: %w", id, err)
	}
	return c, nil
}

// wait waits for the end of the process. It is called once, by the goroutine that owns the child.
func (c *child) wait() {
	c.err = c.cmd.Wait()
	close(c.ended)
}

// pid is the process's id.
func (c *child) pid() int { return c.cmd.Process.Pid }

// stop asks the process to end and waits for that, up to a bound; then it is killed.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-c.ended:
	case <-time.After(stopWithin):
		killGroup(c.pid())
		<-c.ended
	}
}

// how says in a few words how the process ended.
func (c *child) how() string {
	var exit *exec.ExitError
	if c.err == nil {
		return "ended by itself"
	}
	if errors.As(c.err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return "was ended by the signal " + status.Signal().String()
		}
	}
	return "ended with " + c.err.Error()
}

// ready waits until the node whose admin address this is can serve, and knows all the members of its mesh.
func (c *child) ready(ctx context.Context, admin string, members int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("node %s was not ready within %v", c.id, readyWithin))
	defer cancel()
	look := time.NewTicker(readyEvery)
	defer look.Stop()
	node := &client{base: admin, http: &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.ended:
			return fmt.Errorf("node %s %s before it was ready", c.id, c.how())
		case <-look.C:
		}
		var known []rotunda.Member
		if node.call(ctx, http.MethodGet, "/readyz", nil, nil) != nil || node.call(ctx, http.MethodGet, "/v1/members", nil, &known) != nil {
			continue
		}
		if up := slices.DeleteFunc(known, func(m rotunda.Member) bool { return !m.State.Up() }); len(up) >= members {
			return nil
		}
	}
}

// childEnvironment is the environment without what would override the configuration that `up` wrote.
func childEnvironment(environ []string, colour bool) []string {
	var kept []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "ROTUNDA_") {
			kept = append(kept, v)
		}
	}
	if colour {
		kept = append(kept, "CLICOLOR_FORCE=1")
	}
	return kept
}

// lineMax is the longest line of a child's log that is kept together.
const lineMax = 64 << 10

// prefixWriter writes whole lines to a shared writer, each with the name of the node it is from. For machines a line of
// JSON, which names its node itself, stays as it is.
type prefixWriter struct {
	mu     *sync.Mutex // guards out, shared by all that write to it
	out    io.Writer
	prefix string
	json   bool
	line   []byte // begun, not yet ended
}

func (w *prefixWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		w.line = append(w.line, line...)
		rest = after
		if whole || len(w.line) > lineMax {
			w.end()
		}
	}
	return len(p), nil // a log that cannot be written must not stop the node
}

// end writes the line so far.
func (w *prefixWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.json || !bytes.HasPrefix(w.line, []byte("{")) {
		_, _ = io.WriteString(w.out, w.prefix)
	}
	_, _ = w.out.Write(append(w.line, '\n'))
	w.line = w.line[:0]
}
