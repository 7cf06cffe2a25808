// Package bench is load: thousands of people who listen, in one process, against any WHEP endpoint. Each of them is a real
// one as the server sees it: an ICE agent with consent (RFC 8445, RFC 7675), a DTLS 1.2 handshake, SRTP, receiver reports
// about every five seconds. What makes them cheap is what they have in common: one goroutine reads all sockets and does
// all that is due, and a listener that has joined has no goroutine, no timer and no queue of its own.
//
// Every packet is counted by its sequence number and timed; a sample is decrypted and must be well-formed Opus.
//
// What always holds: a server can make a listener hold no more than its fixed state, a handshake's eight datagrams and a
// resource.Client's answer; nothing is sent to an address that is not the endpoint's answer; Run returns with every
// goroutine ended and every socket closed. Run may be called concurrently.
package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// The bounds of a load.
const (
	// ListenersMax is bounded by the ports that one address has towards another.
	ListenersMax   = 20_000
	ConcurrencyMax = 256
	holdMin        = time.Second
)

// Config is what a load is. The zero value of a field means its documented default.
type Config struct {
	URL         string        // the WHEP endpoint
	Token       string        // bearer token; empty: none is sent
	HTTP        *http.Client  // nil: one of its own
	Listeners   int           // 1 to ListenersMax
	Duration    time.Duration // how long all of them listen once they have joined; at least one second
	Ramp        float64       // joins a second; 0: as fast as they are answered
	Concurrency int           // joins under way at once, 1 to ConcurrencyMax; 0: 32
	JoinWithin  time.Duration // then listening begins with those who are there; 0: a minute, and what Ramp takes
	Sample      int           // one packet of so many of each listener is decrypted and checked; 0: 50
	Server      Server        // how the server is watched, where that is possible
	Raw         bool          // measure the machine's own limit afterwards, on the packets that came
	Hostile     []Attack      // what is done to the server meanwhile
	Progress    func(Progress)
	Logger      *slog.Logger // nil: silent
}

// Progress is how far a load has come; the figures are since its beginning.
type Progress struct {
	Phase             Phase
	Wanted, Joined    int
	Failed, Gone      int
	Packets, Missing  uint64
	Elapsed, Duration time.Duration // of the phase; Duration 0: open
}

// Phase is what a load is doing.
type Phase string

// The phases, in their order.
const (
	Joining   Phase = "joining"
	Listening Phase = "listening"
	Leaving   Phase = "leaving"
	Raw       Phase = "measuring the machine"
)

// progressEvery is how often Config.Progress is called.
const progressEvery = 250 * time.Millisecond

// Validate reports every problem of a configuration at once.
func (c Config) Validate() error {
	var errs []error
	if c.URL == "" {
		errs = append(errs, errors.New("no WHEP endpoint"))
	}
	if c.Listeners < 1 || c.Listeners > ListenersMax {
		errs = append(errs, fmt.Errorf("%d listeners: 1 to %d", c.Listeners, ListenersMax))
	}
	if c.Duration < holdMin {
		errs = append(errs, fmt.Errorf("a duration of %v: at least %v", c.Duration, holdMin))
	}
	if c.Ramp < 0 {
		errs = append(errs, fmt.Errorf("%v joins a second: 0 or more", c.Ramp))
	}
	if c.Concurrency < 0 || c.Concurrency > ConcurrencyMax {
		errs = append(errs, fmt.Errorf("%d joins at once: 1 to %d", c.Concurrency, ConcurrencyMax))
	}
	if c.JoinWithin < 0 {
		errs = append(errs, fmt.Errorf("joining within %v: 0 or more", c.JoinWithin))
	}
	if c.Sample < 0 {
		errs = append(errs, fmt.Errorf("one packet of %d: 1 or more", c.Sample))
	}
	for _, a := range c.Hostile {
		if _, ok := attacks[a]; !ok {
			errs = append(errs, fmt.Errorf("no attack is called %q", a))
		}
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Concurrency == 0 {
		c.Concurrency = 32
	}
	if c.JoinWithin == 0 {
		c.JoinWithin = time.Minute
		if c.Ramp > 0 {
			c.JoinWithin += time.Duration(float64(c.Listeners) / c.Ramp * float64(time.Second))
		}
	}
	if c.Sample == 0 {
		c.Sample = 50
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	return c
}

// ErrNobody says that not one listener could join.
var ErrNobody = errors.New("nobody could join")

// Run joins the listeners, has them listen, and has them leave. When ctx ends early it returns what was measured until then;
// the error then is nil unless nobody had joined.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if err := cfg.Validate(); err != nil {
		return Result{}, err
	}
	cfg = cfg.withDefaults()
	if err := descriptors(cfg.Listeners); err != nil {
		return Result{}, err
	}
	c, err := newCrowd(cfg)
	if err != nil {
		return Result{}, err
	}
	defer c.close()
	r := &run{cfg: cfg, crowd: c, watch: newWatch(cfg.Server)}
	return r.all(ctx)
}
