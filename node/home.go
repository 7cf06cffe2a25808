package node

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rotunda"
	"rotunda/cascade"
	"rotunda/metrics"
	"rotunda/node/duty"
	"rotunda/node/mix"
	"rotunda/node/opus"
)

// home mixes one room's program, while somebody takes it: only then are the speakers pulled, decoded and encoded. The room's
// standby is one too, that writes nothing until home's program stops (standby.go).
type home struct {
	stream  rotunda.StreamID
	pub     *cascade.Publication
	mesh    *cascade.Mesh
	metrics *metrics.Set
	logger  *slog.Logger
	took    func()        // is told that this standby has begun to mix; does not block
	doubt   func(*home)   // is told that this process stood still, so that the log be asked; does not block
	active  atomic.Bool   // it mixes; false: it stands by
	begun   chan struct{} // capacity 1; a token when active is set from outside
	stop    chan struct{} // closed by close
	done    chan struct{}

	mu       sync.Mutex // guards what follows
	sources  []duty.Pull
	mixing   bool
	pulls    pulls
	other    *duty.Pull // the stream to watch: home's, the standby's; nil: none
	watching *pulled    // other, while it is watched

	mixMu sync.Mutex // guards what follows; taken for each frame
	mixer *mix.Mixer
	watch duty.Watch
	due   time.Time                        // of the next step; zero: the first one
	held  time.Time                        // nothing is written before: somebody else may be home; zero: not so
	over  bool                             // somebody else is
	heard time.Time                        // from then on silence is written too; zero: always
	users map[rotunda.SSRC]rotunda.UserID  // who was ever mixed
	talk  map[rotunda.UserID]time.Duration // how long each was heard, as far as it has not been reported
}

func (r *roomServer) openHome(stream rotunda.StreamID, active bool) (*home, error) {
	pub, err := r.mesh.Publish(stream)
	if err != nil {
		return nil, err
	}
	h := &home{
		stream: stream, pub: pub, mesh: r.mesh, metrics: r.metrics, logger: r.logger, begun: make(chan struct{}, 1), stop: make(chan struct{}),
		done: make(chan struct{}), took: func() { r.claim(stream.Epoch) }, doubt: r.doubt,
	}
	h.active.Store(active)
	h.mixer = mix.New(mix.Options{}, opus.Codecs())
	h.users, h.talk = map[rotunda.SSRC]rotunda.UserID{}, map[rotunda.UserID]time.Duration{}
	h.pulls = pulls{mesh: r.mesh, ways: r.ways, logger: r.logger, sink: h.frame, begin: h.add, gone: h.gone}
	if !r.bg.start(h.run) {
		pub.Close()
		return nil, errStopping
	}
	return h, nil
}

// close takes the program out of the mesh.
func (h *home) close() {
	close(h.stop)
	<-h.done
}

// set says who is mixed, and which stream is to be watched.
func (h *home) set(sources []duty.Pull, other *duty.Pull) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sources, h.other = sources, other
	h.pull()
}

// pull brings the subscriptions into line; called with mu held.
func (h *home) pull() {
	if h.mixing {
		h.pulls.set(h.sources)
	} else {
		h.pulls.set(nil)
	}
	h.pullOther()
}

func (h *home) setMixing(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mixing = on
	h.pull()
}

// frame is the sink of a speaker's microphone.
func (h *home) frame(p duty.Pull, f *rotunda.Frame) {
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	if h.active.Load() {
		h.mixer.Push(time.Now(), p.SSRC, f)
	}
}

func (h *home) add(p duty.Pull) {
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	h.mixer.Add(p.SSRC)
	h.users[p.SSRC] = voiceOf(p).user
}

func (h *home) gone(p duty.Pull) {
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	h.mixer.Remove(p.SSRC)
}

func (h *home) run(ctx context.Context) {
	defer close(h.done)
	defer h.pub.Close()
	defer h.setMixing(false)
	for {
		if h.pub.Wanted() {
			h.setMixing(true)
			h.mix(ctx)
			h.setMixing(false)
		}
		select {
		case <-ctx.Done():
			return
		case <-h.stop:
			return
		case <-h.pub.WantedChanged():
		}
	}
}

// mix makes a frame every 20 ms while the program is wanted, by the mixer's own grid of time.
func (h *home) mix(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for h.pub.Wanted() {
		select {
		case <-ctx.Done():
			return
		case <-h.stop:
			return
		case <-timer.C:
		case <-h.begun:
		}
		timer.Reset(time.Until(h.step(time.Now())))
	}
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	h.mixer.Pause()
	h.due = time.Time{}
}

// tick makes the frames that are due and returns when the next one is. Called with mixMu held.
func (h *home) tick() time.Time {
	for {
		now := time.Now()
		if next := h.mixer.Next(); next.After(now) {
			return next
		}
		if f, ok := h.mixer.Tick(now); ok && h.worth(now, &f) {
			h.metrics.MixedFrames.Inc()
			h.pub.Write(&f)
			for i := range f.Sources.Len() {
				h.talk[h.users[f.Sources.At(i)]] += rotunda.FrameDuration
			}
		}
	}
}
