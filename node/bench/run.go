package bench

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// run is one load from its beginning to its end. It belongs to one goroutine.
type run struct {
	cfg   Config
	crowd *crowd
	watch *watch

	idle struct { // the server before anybody came
		Usage
		goroutines int
	}
	result  Result
	phase   Phase
	began   time.Time // of the phase
	assault *assault  // nil: nobody attacks
}

// all goes through the phases.
func (r *run) all(ctx context.Context) (Result, error) {
	r.idle.Usage, r.idle.goroutines = r.watch.usage(), r.watch.goroutines(ctx)
	r.result.Wanted = r.cfg.Listeners
	j := &joins{crowd: r.crowd, failed: map[stage]int{}, examples: map[stage]string{}}
	r.join(ctx, j)
	if j.joined == 0 {
		err := ErrNobody
		for _, at := range []stage{answering, checking, shaking, hearing, missed, stopping} {
			if text := j.examples[at]; text != "" {
				err = fmt.Errorf("%w: %s", ErrNobody, text)
				break
			}
		}
		r.leave(ctx)
		return r.result, err
	}
	r.listen(ctx)
	r.leave(ctx)
	if r.cfg.Raw && ctx.Err() == nil {
		r.enter(Raw, 0)
		if err := r.raw(ctx); err != nil {
			return r.result, fmt.Errorf("the machine's own limit: %w", err)
		}
	}
	return r.result, nil
}

func (r *run) enter(p Phase, d time.Duration) {
	r.phase, r.began = p, time.Now()
	r.cfg.Progress(Progress{Phase: p, Wanted: r.cfg.Listeners, Duration: d})
}

// join has everybody join, and shows how it goes.
func (r *run) join(ctx context.Context, j *joins) {
	r.enter(Joining, r.cfg.JoinWithin)
	done := make(chan struct{}) // closed when all have joined or failed
	go func() { defer close(done); j.run(ctx) }()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		case <-tick.C:
		}
		j.mu.Lock()
		p := Progress{Phase: Joining, Duration: r.cfg.JoinWithin, Wanted: r.cfg.Listeners, Joined: j.joined, Failed: failures(j.failed)}
		j.mu.Unlock()
		r.show(p)
	}
	took := time.Since(r.began)
	used := r.watch.usage().CPU - r.idle.CPU
	res := &r.result
	res.Listeners, res.Deferred, res.Joins, res.JoinSeconds = j.joined, j.deferred, j.took.percentiles(), round(took.Seconds())
	res.Failed, res.Errors = map[string]int{}, map[string]string{}
	for at, n := range j.failed {
		res.Failed[string(at)], res.Errors[string(at)] = n, j.examples[at]
	}
	if j.joined > 0 {
		res.JoinsPerSecond = round(float64(j.joined) / took.Seconds())
		if used > 0 {
			res.ServerPerJoin = figure(float64(used.Microseconds()) / 1000 / float64(j.joined))
		}
	}
}

func failures(by map[stage]int) (n int) {
	for _, f := range by {
		n += f
	}
	return n
}

// show completes and reports progress.
func (r *run) show(p Progress) {
	p.Packets, p.Elapsed = r.crowd.packets.Load(), time.Since(r.began)
	r.cfg.Progress(p)
}

// listen has everybody listen for the time, and takes the figures.
func (r *run) listen(ctx context.Context) {
	r.crowd.ask(func() {
		all, _, _ := r.crowd.sum()
		r.result.LostJoining = all.expected - all.received
		r.crowd.begin()
	})
	r.enter(Listening, r.cfg.Duration)
	if len(r.cfg.Hostile) > 0 {
		r.assault = startAssault(ctx, r.cfg, r.crowd)
	}
	before, own := r.watch.usage(), ownCPU()
	silent := r.hold(ctx)
	used, took := r.watch.usage().CPU-before.CPU, time.Since(r.began)
	ownUsed := ownCPU() - own
	if r.assault != nil {
		r.result.Hostile = r.assault.stop()
	}
	goroutines, resident := r.watch.goroutines(ctx), r.watch.usage().Resident
	r.crowd.ask(func() { r.take(took, silent) })
	res := &r.result
	if res.Packets > 0 {
		res.LoadPerPacket = figure(micros(ownUsed) / float64(res.Packets))
		if before.CPU > 0 {
			res.ServerPerPacket = figure(micros(used) / float64(res.Packets))
			res.ServerCorePercent = figure(used.Seconds() / took.Seconds() * 100)
		}
	}
	if resident > 0 && r.idle.Resident > 0 {
		res.ServerPerListener = figure(float64(resident-r.idle.Resident) / 1024 / float64(res.Listeners))
	}
	if goroutines > 0 && r.idle.goroutines > 0 {
		res.ServerGoroutines = figure(float64(goroutines-r.idle.goroutines) / float64(res.Listeners))
	}
	if g := growth(res.Samples); g != nil {
		res.Growth = g
	}
}

const (
	samplesKeep = time.Minute // shorter loads take no samples: they are all alike, and each costs the server a scrape (12 % of what 500 listeners cost it)
	silentAfter = 2 * time.Second
)

// hold waits, shows progress and samples the server. What it returns tells, for the reader, who was silent in the end.
func (r *run) hold(ctx context.Context) (silent func(*listener) bool) {
	over := time.NewTimer(r.cfg.Duration)
	defer over.Stop()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	var sampled time.Time
	last := map[*listener]int64{}
	look := time.NewTimer(max(0, r.cfg.Duration-silentAfter))
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return func(*listener) bool { return false }
		case <-over.C:
			return func(l *listener) bool { n, ok := last[l]; return ok && l.tally.counts().received == n }
		case <-look.C:
			r.crowd.ask(func() {
				for i := range r.crowd.listeners {
					if l := &r.crowd.listeners[i]; l.heard.Load() && l.keys.Load() != nil {
						last[l] = l.tally.counts().received
					}
				}
			})
		case <-tick.C:
			var p Progress
			r.crowd.ask(func() {
				all, _, gone := r.crowd.sum()
				p = Progress{Phase: Listening, Wanted: r.cfg.Listeners, Joined: r.result.Listeners, Gone: gone, Missing: uint64(all.expected - all.received)}
			})
			p.Duration = r.cfg.Duration
			r.show(p)
			if r.cfg.Duration >= samplesKeep && time.Since(sampled) >= sampleEvery(r.cfg.Duration) {
				sampled = time.Now()
				r.result.Samples = append(r.result.Samples, Sample{
					At: round(time.Since(r.began).Seconds()), Resident: r.watch.usage().Resident >> 10, Goroutines: r.watch.goroutines(ctx),
					Packets: p.Packets, Lost: int64(p.Missing),
				})
			}
		}
	}
}

// take takes the counts of listening; the reader runs it.
func (r *run) take(took time.Duration, silent func(*listener) bool) {
	c, res := r.crowd, &r.result
	all, _, gone := c.sum()
	s := c.stats
	res.Seconds, res.Packets, res.Gone = round(took.Seconds()), s.Packets, gone
	res.Lost, res.Duplicates, res.Reordered = all.expected-all.received, all.duplicate, all.reordered
	res.Checked, res.Bad = s.Checked, s.Bad+s.Malformed+s.Foreign
	if s.Packets > 0 {
		res.PacketBytes = round(float64(s.Octets) / float64(s.Packets))
	}
	if s.Checked > 0 {
		res.PacketMs = round(float64(s.Ticks) / 48 / float64(s.Checked))
	}
	for i := range c.listeners {
		if l := &c.listeners[i]; l.fate == there && silent(l) {
			res.Silent++
		}
	}
	if res.Silent == res.Listeners { // nothing was said
		res.Silent = 0
	}
	if res.Ages = c.ages.percentiles(); res.Ages != nil {
		res.AgesBy = bySenderReports
		if c.captured {
			res.AgesBy = byCaptureTimes
		}
	}
	res.Spread = c.fanout.spread.percentiles()
}

// leave says goodbye for all, even when the load was stopped.
func (r *run) leave(ctx context.Context) {
	r.enter(Leaving, 0)
	if failed := r.crowd.leave(context.WithoutCancel(ctx)); failed > 0 {
		r.cfg.Logger.Warn("goodbyes that failed", "sessions", failed)
	}
}

// raw measures the machine on the packets that came.
func (r *run) raw(ctx context.Context) error {
	res := &r.result
	if res.Packets == 0 || res.PacketMs == 0 {
		return errors.New("there were no packets to go by")
	}
	m, err := rawLimit(ctx, rawConfig{
		listeners: res.Listeners, size: int(res.PacketBytes + .5), every: time.Duration(res.PacketMs * float64(time.Millisecond)), likePID: r.cfg.Server.PID,
	})
	if err != nil {
		return err
	}
	res.RawPerPacket, res.RawPacketsPerSecond = figure(m.perPacket), figure(m.perSecond)
	if res.ServerPerPacket != nil && m.perPacket > 0 {
		res.Ratio = figure(*res.ServerPerPacket / m.perPacket)
	}
	return nil
}

// ownCPU is the processor time that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// round keeps three decimals.
func round(v float64) float64 { return float64(int64(v*1000+.5)) / 1000 }

func figure(v float64) *float64 {
	v = round(v)
	return &v
}
