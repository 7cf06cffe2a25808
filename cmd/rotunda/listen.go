package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"rotunda"
	"rotunda/control/room"
	"rotunda/node/opus"
	framing "rotunda/node/opus/packet"
	"rotunda/node/pcm"
	"rotunda/node/rtc"
)

type listenOptions struct {
	out, token, name string
	duration         time.Duration
	rewind           time.Duration
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
  sessions            1, and one more for each node that was left or died
A node that dies or is drained is left for another one; what could not be heard meanwhile counts as missing.
Without --token you are a guest, where the node takes guests.`,
		Args: oneArgument,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case o.duration < 0:
				return usagef("--duration %v is negative", o.duration)
			case o.rewind < 0 || o.rewind > time.Minute || o.rewind%time.Second != 0:
				return usagef("--rewind %v: a node keeps a minute; whole seconds, at most 60", o.rewind)
			case o.rewind > 0 && o.out == "":
				return usagef("--rewind goes into a file: which --out?")
			}
			return listen(c.Context(), t, args[0], o)
		},
	}
	c.Flags().StringVar(&o.out, "out", "", "Ogg Opus file to write")
	c.Flags().DurationVar(&o.duration, "duration", 0, "how long to listen (default: until Ctrl-C, or the room's end)")
	c.Flags().DurationVar(&o.rewind, "rewind", 0, "begin the file with what was heard in the last seconds, at most 60, where others listen at the node; not in the summary")
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
	l := &listener{client: c, rewound: o.rewind, room: id, log: t.logger("info", ""), ear: e}
	if t.errIsTerminal {
		l.meter = &meter{to: t.err}
	}
	node, listenErr := l.listen(ctx, o.duration)
	if listenErr != nil && e.tally.received == 0 {
		return unlessAsked(ctx, listenErr)
	}
	s := e.tally.summary(e.join(), node)
	s.Sessions = l.sessions
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
	room    rotunda.RoomID
	rewound time.Duration // how far back the file begins
	log     *slog.Logger
	ear     *ear
	meter   *meter // nil: nobody watches

	news     news
	route    route
	edges    []edge // as the first node named them
	sessions int
}

// errLost says that the audio stopped before anybody asked it to.
var errLost = errors.New("the media connection was lost")

// receivedMax is how many packets may wait between the network and the file: two seconds. Should the disk be slower than
// that, packets count as missing.
const receivedMax = 100

// listen hears the room until ctx ends, the time is over, or the room ends; node is who served, the last where there were
// several.
func (l *listener) listen(ctx context.Context, duration time.Duration) (node string, err error) {
	l.news, l.route, l.sessions = newNews(), route{[]string{l.base}}, 1
	l.ear.asked = time.Now()
	first, err := l.open(ctx, l.base, connectTime)
	if err != nil {
		return "", err
	}
	l.route = route{[]string{first.at.base}}
	if edges, err := first.at.edges(ctx, l.room); err == nil { // without an answer there is one node
		l.edges = edges
		l.route.learn(basesOf(edges))
	}
	l.log.Info("listening", "room", l.room, "title", first.title, "node", l.served(first))
	if l.rewound > 0 { // what comes meanwhile waits
		if err := first.at.rewind(ctx, l.room, l.rewound, l.ear); err != nil {
			l.log.Warn("the last seconds cannot be heard again", "error", err)
		}
	}
	c := newContinuity(l, first)
	err = l.hear(ctx, c, duration)
	node = l.served(c.cur)
	c.end()
	return node, errors.Join(err, l.ear.finish())
}

// hear takes packets as they come, from one session after another. It owns the ear and the sessions while it runs.
func (l *listener) hear(ctx context.Context, c *continuity, duration time.Duration) error {
	var over <-chan time.Time
	if duration > 0 {
		t := time.NewTimer(duration)
		defer t.Stop()
		over = t.C
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	defer l.meter.clear()
	var v room.View
	for {
		select {
		case r := <-c.cur.came:
			l.ear.hear(r, clockOf(c.cur.player, r.Track))
		case r := <-c.coming():
			c.turn()
			l.ear.hear(r, clockOf(c.cur.player, r.Track))
			l.log.Info("listening", "room", l.room, "title", c.cur.title, "node", l.served(c.cur))
		case v = <-l.news.views:
		case bases := <-l.news.moves:
			if l.route.move(bases) {
				l.log.Info("the node is being emptied: going on at another", "node", l.route.base())
				c.want(moved)
			}
		case base := <-l.news.lost:
			if base == c.cur.at.base {
				c.check(ctx)
			}
		case alive := <-c.checked:
			if c.checking = false; !alive {
				l.log.Warn("the node does not answer: going on at another", "node", l.served(c.cur))
				c.want(lost)
			}
		case o := <-c.openings:
			if err := c.answered(o, time.Now()); err != nil {
				return l.whyDone(err)
			}
		case <-c.done:
			c.gone(time.Now())
		case l.edges = <-l.news.edges:
			l.route.learn(basesOf(l.edges))
		case <-over:
			return nil
		case <-ctx.Done():
			return nil
		case now := <-look.C:
			l.meter.show(l.ear, v)
			if err := c.step(ctx, now); err != nil {
				return err
			}
		}
	}
}

// whyDone tells a room that has ended from a session that is refused.
func (l *listener) whyDone(err error) error {
	if errors.Is(err, errEnded) {
		l.log.Info("the room has ended")
		return nil
	}
	return fmt.Errorf("%w: %w", errLost, err)
}

// served names the node of a session: by its id where the mesh tells it, else by its address.
func (l *listener) served(h *hearing) string {
	for _, e := range l.edges {
		if originOf(e.URL) == h.at.base {
			return e.Node
		}
	}
	return h.at.base
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
	asked, first time.Time // when the first session was asked for, and when its first packet came
	turn         turn
	order        sequencer
	tally        tally
	decoder      *opus.Decoder
	file         *opus.Writer // nil: none
	rewound      uint32       // ticks of the file that are from before
	shift        uint32       // from the packets' times to the file's
	begun        bool         // the first packet is in the file
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
	p := packet{payload: r.Payload, sources: r.Sources, duration: durationOf(r.Payload)}
	p.seq, p.at = e.turn.take(r.Arrival, r.Sequence, r.Timestamp, p.duration, e.level < quietLevel)
	p.late = e.tally.arrived(r.Arrival, p.at)
	if e.order.push(p, e.play) && clock != nil {
		e.age = r.Arrival.Sub(clock(r.Timestamp))
		e.tally.aged(e.age)
	}
}

// durationOf is how long a packet plays: in a large room several frames share one.
func durationOf(payload []byte) time.Duration {
	in, err := framing.Parse(payload)
	if err != nil {
		return rotunda.FrameDuration
	}
	return ticksToDuration(int64(in.Ticks()))
}

// over says that the next packets come through another session.
func (e *ear) over() {
	e.order.flush(e.play)
	e.turn.over()
	e.tally.turn()
}

// heard is when something came last, at the earliest since.
func (e *ear) heard(since time.Time) time.Time {
	if e.turn.heard.Before(since) {
		return since
	}
	return e.turn.heard
}

// play takes the packets in their order.
func (e *ear) play(p packet) {
	p.level = pcm.Silence
	if n, err := e.decoder.Decode(p.payload, e.samples[:]); err == nil {
		p.level, p.duration = pcm.Level(e.samples[:n]), ticksToDuration(int64(n))
	}
	e.level, e.sources = p.level, p.sources
	e.tally.played(p)
	if e.file != nil && e.err == nil {
		if !e.begun { // it follows what is there already
			e.begun, e.shift = true, e.rewound-uint32(p.at)
		}
		if err := e.file.Write(uint32(p.at)+e.shift, p.payload); err != nil && !errors.Is(err, opus.ErrCorrupt) {
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
