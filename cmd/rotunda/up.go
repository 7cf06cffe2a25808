package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"rotunda"
)

type upOptions struct {
	regions []string
	wan     bool
	http    string
	data    string
}

func newUp(t *terminal) *cobra.Command {
	var o upOptions
	delayed := "The control log's own traffic is delayed as well."
	if !processesAreKnown {
		delayed = "On this system the control log's own traffic is not delayed."
	}
	c := &cobra.Command{
		Use:   "up",
		Short: "Run a mesh on this machine: one node per region",
		Long: `Run a mesh on this machine: one node per region, each a process of its own, with keys and
certificates made on the spot. Ctrl-C stops all of it. A node that dies, or that you kill, is reported,
and the others go on.

  rotunda up
  rotunda up --wan                                       the regions as far apart as they are
  rotunda up --regions us-east,eu-west --http 127.0.0.1:9000 --data ~/mesh

--wan delays what nodes send to each other by real one-way latencies between these regions:
` + wrapped(wanRegions) + `
` + delayed + `

With three or more regions the first three (of five or more, the first five) keep the control log
between them and outlive one (two) of them; with two the first node keeps it alone.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return up(c.Context(), t, o) },
	}
	c.Flags().StringSliceVar(&o.regions, "regions", []string{"us-east", "eu-west", "ap-south"}, "a node in each of these regions")
	c.Flags().BoolVar(&o.wan, "wan", false, "delay what the nodes send to each other as the regions are really apart")
	c.Flags().StringVar(&o.http, "http", "127.0.0.1:8080", "address of the first node's page; the others are on the ports after it (port 0: any)")
	c.Flags().StringVar(&o.data, "data", "", "folder that keeps keys, certificates and rooms for the next run (default: a temporary one)")
	return c
}

// wrapped lists regions in lines of a help text.
func wrapped(regions []rotunda.Region) string {
	var b strings.Builder
	for line := range slices.Chunk(regions, 7) {
		b.WriteString(" ")
		for _, r := range line {
			b.WriteString(" " + string(r))
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// up runs a mesh until ctx ends or no node is left.
func up(ctx context.Context, t *terminal, o upOptions) error {
	began := time.Now()
	regions, err := parseRegions(o.regions, o.wan)
	if err != nil {
		return err
	}
	folder := o.data
	if folder == "" {
		if folder, err = os.MkdirTemp("", "rotunda-up-"); err != nil {
			return err
		}
		defer os.RemoveAll(folder) // after every node has ended
	} else if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	m, err := newLocalMesh(folder, o.http, regions, o.wan, t.errIsTerminal)
	if err != nil {
		return err
	}
	r := &runner{mesh: m, log: t.logger("info", "")}
	delays, err := r.delays()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var carriers sync.WaitGroup
	defer carriers.Wait()
	defer cancel()
	for _, d := range delays {
		carriers.Go(func() { d.run(ctx, d.listener) })
	}
	return r.run(ctx, t, began)
}

// runner runs the nodes of a mesh.
type runner struct {
	mesh     *localMesh
	log      *slog.Logger
	children []*child // one for each node, in order; written before the goroutines that read it start

	mu   sync.Mutex // guards pids
	pids []int      // the same, 0 for a node that is not running
}

// run starts every node, tells when all are ready, and waits for their end.
func (r *runner) run(ctx context.Context, t *terminal, began time.Time) error {
	gone := make(chan error, 1)
	starter := make(chan error)
	go func() { // the kernel ends a child with the thread that started it, so this thread must outlive the children
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		starter <- r.start(t)
		for _, c := range r.children {
			<-c.ended
		}
		gone <- nil
	}()
	if err := <-starter; err != nil {
		r.stop()
		<-gone
		return err
	}
	watch := sync.WaitGroup{}
	for i, c := range r.children {
		watch.Go(func() { r.watch(ctx, i, c) })
	}
	err := r.ready(ctx)
	if err == nil {
		r.tell(t, time.Since(began))
		select {
		case <-ctx.Done():
		case err := <-gone:
			gone <- err
		}
	}
	asked := ctx.Err() != nil
	if asked {
		r.log.Info("stopping all nodes")
	}
	r.stop()
	<-gone
	watch.Wait()
	switch {
	case asked:
		return nil
	case err == nil:
		return errAlone
	}
	return err
}

// errAlone says that there is no mesh any more.
var errAlone = errors.New("every node is down")

// start starts every node's process. What it has started when it fails is in children.
func (r *runner) start(t *terminal) error {
	var output sync.Mutex
	environ := childEnvironment(os.Environ(), t.colour)
	r.mu.Lock()
	r.pids = make([]int, len(r.mesh.ids))
	r.mu.Unlock()
	for i, id := range r.mesh.ids {
		log := &prefixWriter{mu: &output, out: t.err, prefix: prefix(i, id, r.mesh.ids, t.colour), json: !t.errIsTerminal}
		c, err := startChild(id, r.mesh.configFile(i), log, environ)
		if err != nil {
			return err
		}
		r.children = append(r.children, c)
		r.mu.Lock()
		r.pids[i] = c.pid()
		r.mu.Unlock()
		go c.wait() // ends with the process; everybody waits for c.ended
	}
	return nil
}

// prefix is what stands before a node's lines: its name, in a colour of its own, as wide as the longest name.
func prefix(i int, id rotunda.NodeID, all []rotunda.NodeID, colour bool) string {
	width := 0
	for _, other := range all {
		width = max(width, len(other))
	}
	name := fmt.Sprintf("%-*s", width, id)
	if colour {
		name = fmt.Sprintf("\x1b[%dm%s\x1b[0m", 31+(i+1)%6, name)
	}
	return name + " | "
}

// watch reports the end of a node's process that nobody asked for.
func (r *runner) watch(ctx context.Context, i int, c *child) {
	<-c.ended
	r.mu.Lock()
	r.pids[i] = 0
	left := 0
	for _, pid := range r.pids {
		if pid != 0 {
			left++
		}
	}
	r.mu.Unlock()
	if ctx.Err() == nil {
		r.log.Error("node is down", "node", c.id, "why", c.how(), "pid", c.pid(), "still_up", left)
	}
}

// ready waits until every node serves.
func (r *runner) ready(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for i, c := range r.children {
		g.Go(func() error { return c.ready(gctx, r.mesh.admin(i), len(r.children)) })
	}
	return g.Wait()
}

// stop ends every node, all at the same time.
func (r *runner) stop() {
	var all sync.WaitGroup
	for _, c := range r.children {
		all.Go(c.stop)
	}
	all.Wait()
}

// tell prints the mesh and what to do with it.
func (r *runner) tell(t *terminal, took time.Duration) {
	m := r.mesh
	rows := [][]string{{"NODE", "REGION", "URL", "ADMIN", "PID"}}
	for i, id := range m.ids {
		rows = append(rows, []string{string(id), string(m.regions[i]), m.url(i), m.admin(i), fmt.Sprint(r.children[i].pid())})
	}
	fmt.Fprintln(t.out)
	_ = t.printTable(rows) // nobody is there to be told that nobody is there
	fmt.Fprintf(t.out, `
Open %s and open a room there; listen to it at %s.
Without a browser: this opens a room, prints its link and speaks in it, and this listens to it:

  rotunda speak %s --tone 440
  rotunda listen LINK --out heard.opus

Ctrl-C stops all nodes.
`, m.url(0), m.url(len(m.ids)-1), m.url(0))
	if m.wan {
		fmt.Fprintf(t.out, "%s\n", farthest(m.regions))
	}
	fmt.Fprintf(t.out, "ready in %.1fs\n", took.Seconds())
}

// farthest says how far apart the regions are that are farthest apart.
func farthest(regions []rotunda.Region) string {
	var a, b rotunda.Region
	var most time.Duration
	for _, x := range regions {
		for _, y := range regions {
			if d, _ := oneWay(x, y); d > most {
				a, b, most = x, y, d
			}
		}
	}
	if most == 0 {
		return "--wan: all nodes are in one region, so nothing is delayed."
	}
	return fmt.Sprintf("Distances as in the world: %s to %s takes %v one way.", a, b, most)
}

// placedDelay is a delay with the socket that it serves.
type placedDelay struct {
	delay
	listener net.Listener
}

// delays makes the delays in front of the control nodes' ports: none without --wan.
func (r *runner) delays() (all []placedDelay, err error) {
	m := r.mesh
	if !m.delayed() {
		return nil, nil
	}
	defer func() {
		if err != nil {
			closeAll(all)
		}
	}()
	for i := range m.control() {
		from := func(client netip.AddrPort) time.Duration { return r.distance(client, i) }
		for _, port := range []struct{ front, behind int }{
			{m.ports[i].Peer, m.ports[i].PeerBehind}, {m.ports[i].Client, m.ports[i].ClientBehind},
		} {
			l, err := net.Listen("tcp", address(loopback, port.front))
			if err != nil {
				return all, err
			}
			all = append(all, placedDelay{delay{address(loopback, port.behind), from}, l})
		}
	}
	return all, nil
}

func closeAll[C io.Closer](all []C) {
	for _, c := range all {
		c.Close()
	}
}

// Close closes the delay's socket.
func (d placedDelay) Close() error { return d.listener.Close() }

// distance is the one-way delay from whoever has that socket to node i.
func (r *runner) distance(client netip.AddrPort, i int) time.Duration {
	r.mu.Lock()
	pids := slices.Clone(r.pids)
	r.mu.Unlock()
	owner := ownerOf(client, pids)
	from := slices.Index(pids, owner)
	if owner == 0 || from < 0 { // none of our nodes: not ours to delay
		return 0
	}
	d, _ := oneWay(r.mesh.regions[from], r.mesh.regions[i])
	return d
}
