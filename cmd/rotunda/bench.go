package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rotunda/node/bench"
)

type benchOptions struct {
	bench.Config
	admin   string
	hostile []string
	json    bool
}

func newBench(t *terminal) *cobra.Command {
	var o benchOptions
	c := &cobra.Command{
		Use:   "bench ROOM_URL|WHEP_URL",
		Short: "Thousands of listeners: what they hear, and what they cost the server",
		Long: `Have thousands of listeners join a live room, or any WHEP endpoint, and measure what they hear and what they cost.

  rotunda bench http://127.0.0.1:8080/r/k3v9 --listeners 500
  rotunda bench http://127.0.0.1:8080/r/k3v9 --listeners 2000 --ramp 200 --duration 1m --json
  rotunda bench http://127.0.0.1:8080/r/k3v9 --listeners 1000 --duration 30m --admin 127.0.0.1:9090
  rotunda bench https://example.org/whep --token T --listeners 50

Each listener checks its path, shakes hands by DTLS, gets SRTP, keeps up its consent and reports what it receives, as a
browser does. All packets are counted and timed; one of --sample is decrypted and must be Opus. The words of the result:
  lost             packets that never came, between the first and the last that did, of each listener
  join_ms          from the request to the first audio packet
  age_ms           how old the sound was when it came, by the sender's clock and this machine's
  spread_ms        how much later than at the earliest listener the same packet came; arrivals are as the kernel noted them
  server_…         of the process that serves the address, where it is on this machine (or --pid); all it does meanwhile
                   is in it. Goroutines need --admin
  ratio_to_raw     server_us_per_packet, and how many times that of a plain loop which encrypts and sends (sendmmsg) as
                   many packets of that size at that pace to as many sockets, on the server's processors
  growth           of the server's memory and goroutines: the last quarter of the time against the second
For figures that mean something give server and load a processor each (taskset). --hostile attacks the media port
meanwhile: wrong-password, replay, unchecked, half-open, or all; do that to your own servers only.

Ctrl-C ends the load and tells what was measured. Exit status 1: nobody could join.`,
		Args: oneArgument,
		RunE: func(c *cobra.Command, args []string) error { return runBench(c.Context(), t, args[0], o) },
	}
	c.Flags().IntVar(&o.Listeners, "listeners", 100, "how many listen")
	c.Flags().DurationVar(&o.Duration, "duration", 10*time.Second, "how long all of them listen, once they have joined")
	c.Flags().Float64Var(&o.Ramp, "ramp", 0, "joins a second (default: as fast as they are answered)")
	c.Flags().IntVar(&o.Concurrency, "concurrency", 32, "joins under way at once")
	c.Flags().DurationVar(&o.JoinWithin, "join-within", 0, "then begin to listen with those who are there (default: a minute, and what --ramp takes)")
	c.Flags().IntVar(&o.Sample, "sample", 50, "decrypt one packet of so many of each listener")
	c.Flags().BoolVar(&o.Raw, "raw", true, "measure the machine's own limit afterwards")
	c.Flags().StringVar(&o.Token, "token", "", "bearer token; without one the listeners of a room are one guest")
	c.Flags().IntVar(&o.Server.PID, "pid", 0, "the server's process (default: whoever serves the address on this machine)")
	c.Flags().StringVar(&o.admin, "admin", "", "the node's admin address, for its goroutines")
	c.Flags().StringSliceVar(&o.hostile, "hostile", nil, "attacks meanwhile: wrong-password, replay, unchecked, half-open, all")
	c.Flags().BoolVar(&o.json, "json", false, "print the result as JSON")
	return c
}

func runBench(ctx context.Context, t *terminal, link string, o benchOptions) error {
	for _, a := range o.hostile {
		o.Hostile = append(o.Hostile, bench.Attack(a))
	}
	if slices.Contains(o.hostile, "all") {
		o.Hostile = bench.Attacks()
	}
	o.URL = link
	if err := o.Validate(); err != nil { // before anybody is asked for a token
		return usageError{err}
	}
	endpoint, err := whepOf(ctx, link, &o)
	if err != nil {
		return err
	}
	o.URL, o.Logger = endpoint.String(), t.logger("info", "")
	if o.Server.PID == 0 {
		o.Server.PID = localServer(endpoint)
	}
	if o.admin != "" {
		o.Server.Metrics = "http://" + o.admin + "/metrics"
	}
	if t.errIsTerminal {
		o.Progress = func(p bench.Progress) { fmt.Fprintf(t.err, "\r\x1b[K%s", progressLine(p)) }
		defer fmt.Fprint(t.err, "\r\x1b[K")
	}
	r, err := bench.Run(ctx, o.Config)
	if err != nil {
		return err
	}
	if t.errIsTerminal {
		fmt.Fprint(t.err, "\r\x1b[K")
	}
	if o.json {
		return t.printJSON(r)
	}
	tellBench(t, r)
	return nil
}

// whepOf is the endpoint of what was named: a room's, where it is a room's link, with a guest's token if there is none; else
// the address itself.
func whepOf(ctx context.Context, link string, o *benchOptions) (*url.URL, error) {
	base, id, err := parseRoomURL(strings.TrimSuffix(link, "/whep"))
	if err != nil || id == "" {
		u, err := url.Parse(link)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, usagef("%q is neither a room's link, like http://127.0.0.1:8080/r/k3v9, nor a WHEP endpoint", link)
		}
		if strings.Trim(u.Path, "/") == "" {
			return nil, usagef("%q is a server's address: which room? (after it comes /r/ and the room)", link)
		}
		return u, nil
	}
	c, err := newClient(ctx, base, o.Token, "Load")
	if err != nil {
		return nil, err
	}
	if _, err := c.room(ctx, id); err != nil {
		return nil, err
	}
	o.Token = c.token
	return url.Parse(base + c.roomPath(id, "/whep"))
}

// localServer is the process that serves an address of this machine's, 0 where there is none.
func localServer(u *url.URL) int {
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	host := u.Hostname()
	if host == "localhost" {
		host = "127.0.0.1"
	}
	at, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	if err != nil || !at.Addr().IsLoopback() {
		return 0
	}
	return listenerOf(at)
}

// progressLine is how far a load has come.
func progressLine(p bench.Progress) string {
	line := fmt.Sprintf("%s  %s", p.Phase, p.Elapsed.Round(time.Second))
	if p.Duration > 0 {
		line += " of " + p.Duration.String()
	}
	switch p.Phase {
	case bench.Joining:
		line += fmt.Sprintf("  %d of %d joined", p.Joined, p.Wanted)
		if p.Failed > 0 {
			line += fmt.Sprintf(", %d failed", p.Failed)
		}
	case bench.Listening:
		line += fmt.Sprintf("  %d listeners  %d packets  %d lost", p.Joined-p.Gone, p.Packets, p.Missing)
	}
	return line
}

// tellBench prints a result for people.
func tellBench(t *terminal, r bench.Result) {
	say := func(name, format string, a ...any) { fmt.Fprintf(t.out, "%-22s %s\n", name, fmt.Sprintf(format, a...)) }
	say("listeners", "%d of %d joined, %d gone before the end, %d silent", r.Listeners, r.Wanted, r.Gone, r.Silent)
	for _, at := range slices.Sorted(maps.Keys(r.Failed)) {
		say("failed: "+at, "%d, for example: %s", r.Failed[at], r.Errors[at])
	}
	if r.Deferred > 0 {
		say("deferred", "%d times the server said to come later", r.Deferred)
	}
	say("joins", "%.0f a second; %s; %d packets lost meanwhile", r.JoinsPerSecond, spoken(r.Joins), r.LostJoining)
	share := 0.0
	if n := float64(r.Packets) + float64(r.Lost); n > 0 {
		share = float64(r.Lost) / n * 100
	}
	say("packets", "%d in %.1f s, of %.0f bytes and %.0f ms; %d lost (%.4f %%), %d twice, %d out of order", r.Packets, r.Seconds, r.PacketBytes, r.PacketMs,
		r.Lost, share, r.Duplicates, r.Reordered)
	say("checked", "%d decrypted and good, %d bad", r.Checked, r.Bad)
	say("age", "%s", spoken(r.Ages))
	say("after the earliest", "%s", spoken(r.Spread))
	for _, f := range []struct {
		name, unit string
		value      *float64
	}{
		{"server CPU", "µs a packet", r.ServerPerPacket}, {"  and while joining", "ms a join", r.ServerPerJoin}, {"  share", "% of a core", r.ServerCorePercent},
		{"server memory", "KiB a listener", r.ServerPerListener}, {"server goroutines", "a listener", r.ServerGoroutines},
		{"this process", "µs a packet", r.LoadPerPacket}, {"plain loop", "µs a packet", r.RawPerPacket},
		{"  at its fastest", "packets a second", r.RawPacketsPerSecond}, {"ratio to the loop", "", r.Ratio},
	} {
		if f.value != nil {
			say(f.name, "%.4g %s", *f.value, f.unit)
		}
	}
	if g := r.Growth; g != nil {
		say("growth", "memory %.1f %%, goroutines %.1f %% (flat: %v)", g.Resident, g.Goroutines, g.Flat)
	}
	for _, a := range bench.Attacks() {
		if h := r.Hostile[a]; h != nil {
			say("hostile: "+string(a), "%d datagrams, %d bytes out; %d bytes back; %d sessions, %d refused", h.Sent, h.SentBytes, h.ReceivedBytes, h.Sessions, h.Refused)
		}
	}
}

func spoken(p *bench.Percentiles) string {
	if p == nil {
		return "not measured"
	}
	return fmt.Sprintf("p50 %.4g, p95 %.4g, p99 %.4g, at most %.4g ms", p.P50, p.P95, p.P99, p.Max)
}
