package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"rotunda"
	"rotunda/control/room"
	"rotunda/node/opus"
	"rotunda/node/pcm"
	"rotunda/node/rtc"
)

type listenOptions struct {
	out, token, name string
	duration         time.Duration
	json             bool
}

func newListen(t *terminal) *cobra.Command {
	var o listenOptions
	c := &cobra.Command{
		Use:   "listen ROOM_URL [--out heard.opus]",
		Short: "Listen to a room from the terminal",
		Long: `Listen to a room: level, loss and latency while it runs, a summary at the end.

  rotunda listen http://127.0.0.1:8081/r/k3v9 --out heard.opus --duration 30s
  rotunda listen http://127.0.0.1:8081/r/k3v9 --duration 30s --json

The file keeps time: what was lost or silent is as long in it as it was. The summary's words:
  expected, missing   packets that should have come, and of these those that never did
  late                came too late for a player that buffers 60 ms
  longest_gap_ms      most audio in a row that was missing, late or cut off
  age_ms              how old audio was when it came, by the sender's and this machine's clocks
  join_ms             from asking for the session to the first packet
Without --token you are a guest, where the node takes guests.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.duration < 0 {
				return usagef("--duration %v is negative", o.duration)
			}
			return listen(c.Context(), t, args[0], o)
		},
	}
	c.Flags().StringVar(&o.out, "out", "", "Ogg Opus file to write")
	c.Flags().DurationVar(&o.duration, "duration", 0, "how long to listen (default: until Ctrl-C, or the room's end)")
	c.Flags().BoolVar(&o.json, "json", false, "print the summary as JSON")
	c.Flags().StringVar(&o.token, "token", "", "your token; without one you are a guest")
	c.Flags().StringVar(&o.name, "name", "Terminal", "your name, as a guest")
	return c
}

func listen(ctx context.Context, t *terminal, link string, o listenOptions) (err error) {
	base, id, err := parseRoomURL(link)
	if err == nil && id == "" {
		err = fmt.Errorf("%q is a node's address: which room? (after it comes /r/ and the room)", link)
	}
	if err != nil {
		return usageError{err}
	}
	e := newEar()
	if o.out != "" {
		f, err := os.Create(o.out)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if e.file, err = opus.NewWriter(f); err != nil {
			return err
		}
	}
	if e.decoder, err = opus.NewDecoder(); err != nil {
		return err
	}
	c, err := newClient(ctx, base, o.token, o.name)
	if err != nil {
		return err
	}
	l := &listener{client: c, room: id, log: t.logger("info", ""), ear: e}
	if t.errIsTerminal {
		l.meter = &meter{to: t.err}
	}
	node, listenErr := l.listen(ctx, o.duration)
	if listenErr != nil && e.tally.received == 0 {
		return unlessAsked(ctx, listenErr)
	}
	s := e.tally.summary(e.join(), node)
	if o.json {
		err = t.printJSON(s)
	} else {
		fmt.Fprintln(t.out, s)
	}
	return errors.Join(listenErr, e.err, err)
}

// listener is a person listening to a room.
type listener struct {
	*client
	room  rotunda.RoomID
	log   *slog.Logger
	ear   *ear
	meter *meter // nil: nobody watches
}

// errLost says that the audio stopped before anybody asked it to.
var errLost = errors.New("the media connection was lost")

// receivedMax is how many packets may wait between the network and the file: two seconds. Should the disk be slower than
// that, packets count as missing.
const receivedMax = 100

// listen hears the room until ctx ends, the time is over, or the room ends; node is who served.
func (l *listener) listen(ctx context.Context, duration time.Duration) (node string, err error) {
	v, err := l.client.room(ctx, l.room)
	if err != nil {
		return "", err
	}
	came := make(chan rtc.Received, receivedMax) // never closed
	l.ear.asked = time.Now()
	player, err := l.play(ctx, func(r rtc.Received) {
		r.Payload = bytes.Clone(r.Payload) // it is kept past this call
		select {
		case came <- r:
		default:
		}
	})
	if err != nil {
		return "", err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		_ = player.Close(ctx) // the node notices
	}()
	node = l.served(ctx, player.NodeURL())
	l.log.Info("listening", "room", l.room, "title", v.Title, "node", node)
	err = l.hear(ctx, player, came, duration, v)
	return node, errors.Join(err, l.ear.finish())
}

func (l *listener) play(ctx context.Context, got func(rtc.Received)) (*rtc.Player, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	return rtc.DialPlayer(ctx, rtc.ClientConfig{URL: l.base + l.roomPath(l.room, "/whep"), Token: l.token, Logger: l.log}, got)
}

// hear takes packets as they come. It owns the ear while it runs.
func (l *listener) hear(ctx context.Context, player *rtc.Player, came <-chan rtc.Received, duration time.Duration, v room.View) error {
	feedCtx, stop := context.WithCancel(ctx)
	views := make(chan room.View, 1)
	feedEnded := make(chan struct{})
	go func() {
		defer close(feedEnded)
		_ = l.watch(feedCtx, l.room, func(v room.View) (bool, error) { // without the feed there are no names, and audio all the same
			select {
			case <-views: // only the newest counts
			default:
			}
			views <- v
			return v.State != room.Ended, nil
		})
	}()
	defer func() { stop(); <-feedEnded }()
	var over <-chan time.Time
	if duration > 0 {
		t := time.NewTimer(duration)
		defer t.Stop()
		over = t.C
	}
	show := time.NewTicker(meterEvery)
	defer show.Stop()
	defer l.meter.clear()
	for {
		select {
		case r := <-came:
			l.ear.hear(r, clockOf(player, r.Track))
		case v = <-views:
		case <-show.C:
			l.meter.show(l.ear, v)
		case <-over:
			return nil
		case <-ctx.Done():
			return nil
		case <-player.Done():
			return l.whyDone(ctx)
		}
	}
}

// whyDone tells a room that has ended from a connection that was lost.
func (l *listener) whyDone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	if v, err := l.client.room(ctx, l.room); err == nil && v.State == room.Ended {
		l.log.Info("the room has ended")
		return nil
	}
	return errLost
}

// served names the node that serves the endpoint: by its id where the mesh tells it, else by its address.
func (l *listener) served(ctx context.Context, endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return endpoint
	}
	base := u.Scheme + "://" + u.Host
	var edges struct {
		Edges []struct{ Node, URL string }
	}
	if err := l.call(ctx, http.MethodGet, "/v1/edges", nil, &edges); err == nil {
		for _, e := range edges.Edges {
			if e.URL == base {
				return e.Node
			}
		}
	}
	return base
}

// senderClock is a player that ties RTP timestamps to the sender's wall clock, as sender reports do (RFC 3550 §6.4.1): the
// timestamp is that of the sound of the instant at. ok is false before the first report.
type senderClock interface {
	SenderClock(track int) (at time.Time, timestamp uint32, ok bool)
}

// clockOf returns when the sound of a timestamp was, by the sender's clock; nil where that is not known (yet).
func clockOf(player any, track int) func(timestamp uint32) time.Time {
	c, ok := player.(senderClock)
	if !ok {
		return nil
	}
	at, reference, ok := c.SenderClock(track)
	if !ok {
		return nil
	}
	return func(timestamp uint32) time.Time { return at.Add(ticksToDuration(int64(int32(timestamp - reference)))) }
}

// ear is what becomes of the packets: counts, a file, and what the meter shows. It belongs to one goroutine.
type ear struct {
	asked, first time.Time // when the session was asked for, and when its first packet came
	counters     unwrapper
	order        sequencer
	tally        tally
	decoder      *opus.Decoder
	file         *opus.Writer // nil: none
	err          error        // the first of writing the file
	samples      [opus.SamplesMax]float32

	level   uint8 // of the newest packet, in -dBov
	age     time.Duration
	sources rotunda.Sources
}

func newEar() *ear { return &ear{level: pcm.Silence} }

// hear takes a packet as it comes; clock may be nil.
func (e *ear) hear(r rtc.Received, clock func(uint32) time.Time) {
	if e.first.IsZero() {
		e.first = r.Arrival
	}
	p := packet{payload: r.Payload, sources: r.Sources}
	p.seq, p.at = e.counters.unwrap(r.Sequence, r.Timestamp)
	p.late = e.tally.arrived(r.Arrival, p.at)
	if e.order.push(p, e.play) && clock != nil {
		e.age = r.Arrival.Sub(clock(r.Timestamp))
		e.tally.aged(e.age)
	}
}

// play takes the packets in their order.
func (e *ear) play(p packet) {
	p.level = pcm.Silence
	p.duration = rotunda.FrameDuration
	if n, err := e.decoder.Decode(p.payload, e.samples[:]); err == nil {
		p.level, p.duration = pcm.Level(e.samples[:n]), ticksToDuration(int64(n))
	}
	e.level, e.sources = p.level, p.sources
	e.tally.played(p)
	if e.file != nil && e.err == nil {
		if err := e.file.Write(uint32(p.at), p.payload); err != nil && !errors.Is(err, opus.ErrCorrupt) {
			e.err = fmt.Errorf("write what was heard: %w", err)
		}
	}
}

// finish plays what still waits, and ends the file.
func (e *ear) finish() error {
	e.order.flush(e.play)
	if e.file == nil {
		return nil
	}
	return e.file.Close()
}

// join is how long it took from asking to hearing.
func (e *ear) join() time.Duration { return e.first.Sub(e.asked) }
