package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"rotunda"
	"rotunda/control/room"
	"rotunda/node/console"
	"rotunda/node/trace"
)

const (
	// tracedMax is how many live rooms top asks the nodes about each time, and tracesAtOnce how many of them together.
	tracedMax    = 12
	tracesAtOnce = 4
	// topMin is the shortest pause between two looks.
	topMin = 250 * time.Millisecond
)

// What a terminal is told: another screen without a cursor; back; to the top; the rest of the line, of the screen.
const (
	screenOn  = "\x1b[?1049h\x1b[?25l"
	screenOff = "\x1b[?25h\x1b[?1049l"
	goHome    = "\x1b[H"
	clearLine = "\x1b[K"
	clearRest = "\x1b[J"
)

func newTop(t *terminal) *cobra.Command {
	var admin string
	var asJSON, once bool
	var every time.Duration
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch a mesh: regions, nodes, live rooms, listeners, age and loss",
		Long: `Watch a mesh, as the node at --admin sees it, until Ctrl-C.

  rotunda top
  rotunda top --once                    one look, for a pipe or a note
  rotunda top --json --every 10s        one JSON object a line

AGE is how old the program's frames are when they reach a node, by the clocks of both nodes; LOST the share
that did not reach it by any way, in the last minute. They are asked of the nodes for the first ` + fmt.Sprint(tracedMax) + ` live rooms.
HOME and STANDBY are how many rooms a node mixes, and would go on to mix. ` + "`rotunda trace ROOM`" + ` shows one room.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if every < topMin {
				return usagef("--every %v is less than %v", every, topMin)
			}
			look := func(ctx context.Context) (console.Top, error) { return lookAtMesh(ctx, admin) }
			switch {
			case asJSON:
				return t.watch(c.Context(), every, once, look, func(top console.Top) error { return t.printJSON(top) })
			case once, !t.outIsScreen():
				return t.watch(c.Context(), every, once, look, func(top console.Top) error {
					return t.printLines(append(top.Render(t.width(), 0), ""))
				})
			}
			return t.screen(c.Context(), every, look)
		},
	}
	adminFlags(c, &admin, &asJSON)
	c.Flags().BoolVar(&once, "once", false, "look once and end")
	c.Flags().DurationVar(&every, "every", 2*time.Second, "pause between two looks")
	return c
}

// watch looks from time to time until ctx ends; once: one time. A mesh that does not answer at first is an error; later it is
// said, and asked again.
func (t *terminal) watch(ctx context.Context, every time.Duration, once bool, look func(context.Context) (console.Top, error), show func(console.Top) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		top, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (first || once):
			return err
		case err != nil:
			fmt.Fprintf(t.err, "rotunda: %v\n", err)
		default:
			if err := show(top); err != nil || once {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// screen shows the newest look on the whole terminal, drawn anew when it is resized, until ctx ends.
func (t *terminal) screen(ctx context.Context, every time.Duration, look func(context.Context) (console.Top, error)) error {
	top, err := look(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	defer looking.Wait()
	defer cancel()
	type seen struct {
		top console.Top
		err error
	}
	news := make(chan seen)
	looking.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			top, err := look(ctx)
			select {
			case <-ctx.Done():
				return
			case news <- seen{top, err}:
			}
		}
	})
	resized := make(chan os.Signal, 1)
	notifyResize(resized)
	defer signal.Stop(resized)
	if _, err := fmt.Fprint(t.out, screenOn); err != nil {
		return err
	}
	defer fmt.Fprint(t.out, screenOff)
	trouble := ""
	for {
		if err := t.draw(top, trouble); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-resized:
		case s := <-news:
			if trouble = ""; s.err != nil {
				trouble = "no news: " + s.err.Error()
			} else {
				top = s.top
			}
		}
	}
}

// draw writes one screen at once.
func (t *terminal) draw(top console.Top, trouble string) error {
	width, height := screenSize(t.out)
	lines := top.Render(width, height)
	if trouble != "" {
		lines = append([]string{console.Cut(console.Printable(trouble), width)}, lines[:min(len(lines), height-1)]...)
	}
	var b bytes.Buffer
	b.WriteString(goHome)
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l + clearLine)
	}
	b.WriteString(clearRest)
	_, err := t.out.Write(b.Bytes())
	return err
}

func (t *terminal) printLines(lines []string) error {
	_, err := t.out.Write([]byte(strings.Join(lines, "\n") + "\n"))
	return err
}

// lookAtMesh asks one node for all that top shows.
func lookAtMesh(ctx context.Context, admin string) (console.Top, error) {
	var ready struct {
		Node             rotunda.NodeID
		Reason, Degraded string
	}
	err := fromAdmin(ctx, admin, "/readyz", &ready)
	var busy *apiError
	if errors.As(err, &busy) && busy.Status == http.StatusServiceUnavailable {
		err = json.Unmarshal(busy.body, &ready) // draining, or starting: it says so
	}
	if err != nil {
		return console.Top{}, err
	}
	var members []rotunda.Member
	if err := fromAdmin(ctx, admin, "/v1/members", &members); err != nil {
		return console.Top{}, err
	}
	var all []room.Summary
	if err := fromAdmin(ctx, admin, "/v1/rooms", &all); err != nil && !refused(err, http.StatusServiceUnavailable) {
		return console.Top{}, err
	}
	var live []console.RoomRow
	for _, r := range all {
		if r.State == room.Live {
			live = append(live, console.RoomRow{
				Room: r.ID, Title: r.Title, Home: r.Home, Standby: r.Standby, Host: cmp.Or(r.HostName, string(r.Host)), Stage: r.Speakers,
			})
		}
	}
	top := console.Sum(time.Now(), ready.Node, members, live, tracesOf(ctx, admin, live))
	top.Ready = cmp.Or(ready.Reason, ready.Degraded)
	return top, nil
}

// tracesOf asks about the first few rooms; those that cannot be traced just now are left out.
func tracesOf(ctx context.Context, admin string, live []console.RoomRow) (traces []trace.Room) {
	live = live[:min(len(live), tracedMax)]
	found := make([]*trace.Room, len(live))
	slots := make(chan struct{}, tracesAtOnce)
	var g sync.WaitGroup
	for i, r := range live {
		g.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var one trace.Room
			if fromAdmin(ctx, admin, tracePath(r.Room), &one) == nil {
				found[i] = &one
			}
		})
	}
	g.Wait()
	for _, one := range found {
		if one != nil {
			traces = append(traces, *one)
		}
	}
	return traces
}

func tracePath(id rotunda.RoomID) string { return "/v1/rooms/" + url.PathEscape(string(id)) + "/trace" }

func newTrace(t *terminal) *cobra.Command {
	var admin string
	var asJSON bool
	c := &cobra.Command{
		Use:   "trace ROOM",
		Short: "Show one room: who speaks where, and how audio gets to each node",
		Long: `Show one room as all nodes that have a part in it see it: who speaks where, by which ways the program
and each voice come to each node, how old the frames are there and how many are missing.

  rotunda trace k3v9m2
  rotunda trace http://127.0.0.1:8080/r/k3v9m2 --admin 127.0.0.1:9091 --json

PROGRAM   age of the program at the node; OLDEST its worst of late; both by the clocks of two nodes
LOST      share of the last minute's frames that came by no way, or by this way
LAST MILE half the round trip to the listeners there, and LOST THERE what they say they miss
SUM       oldest open voice's age at home + program + last mile; the mixer and the listener's buffer
          add some 40 to 100 ms to that
ADDED     what the hop adds to the age
FIRST     share of frames that came by this way before the other one`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("which room? `rotunda rooms` lists them, then `rotunda trace ROOM`")
			}
			return nil
		},
		ValidArgsFunction: completeRooms(&admin),
		RunE: func(c *cobra.Command, args []string) error {
			id := rotunda.RoomID(args[0])
			if strings.Contains(args[0], "://") {
				_, named, err := parseRoomURL(args[0])
				if err != nil || named == "" {
					return usagef("%q is no link of a room", args[0])
				}
				id = named
			}
			if err := id.Valid(); err != nil {
				return usageError{err}
			}
			var r trace.Room
			err := fromAdmin(c.Context(), admin, tracePath(id), &r)
			switch {
			case refused(err, http.StatusNotFound):
				return errors.New("there is no room " + string(id) + " in this mesh: `rotunda rooms` lists those that there are")
			case err != nil:
				return err
			case asJSON:
				return t.printJSON(r)
			}
			return t.printLines(console.Trace(r, t.width()))
		},
	}
	adminFlags(c, &admin, &asJSON)
	return c
}
