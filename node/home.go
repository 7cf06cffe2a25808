package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rotunda"
	"rotunda/cascade"
	"rotunda/metrics"
	"rotunda/node/duty"
	"rotunda/node/mix"
	"rotunda/node/opus"
)

// home mixes one room's program, while somebody takes it: only then are the speakers pulled, decoded and encoded.
type home struct {
	stream  rotunda.StreamID
	pub     *cascade.Publication
	metrics *metrics.Set
	stop    chan struct{} // closed by close
	done    chan struct{}

	mu      sync.Mutex // guards sources, mixing, pulls
	sources []duty.Pull
	mixing  bool
	pulls   pulls

	mixMu sync.Mutex // guards what follows; taken for each frame
	mixer *mix.Mixer
	users map[rotunda.SSRC]rotunda.UserID  // who was ever mixed
	talk  map[rotunda.UserID]time.Duration // how long each was heard, as far as it has not been reported
}

func openHome(bg *background, mesh *cascade.Mesh, stream rotunda.StreamID, m *metrics.Set, logger *slog.Logger) (*home, error) {
	pub, err := mesh.Publish(stream)
	if err != nil {
		return nil, err
	}
	h := &home{stream: stream, pub: pub, metrics: m, stop: make(chan struct{}), done: make(chan struct{})}
	h.mixer = mix.New(mix.Options{}, opus.Codecs())
	h.users, h.talk = map[rotunda.SSRC]rotunda.UserID{}, map[rotunda.UserID]time.Duration{}
	h.pulls = pulls{mesh: mesh, logger: logger, sink: h.frame, begin: h.begin, gone: h.gone}
	if !bg.start(h.run) {
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

// setSources says who is mixed.
func (h *home) setSources(sources []duty.Pull) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sources = sources
	h.pull()
}

// pull brings the subscriptions into line; called with mu held.
func (h *home) pull() {
	if h.mixing {
		h.pulls.set(h.sources)
	} else {
		h.pulls.set(nil)
	}
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
	h.mixer.Push(time.Now(), p.SSRC, f)
}

func (h *home) begin(p duty.Pull) {
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
		}
		timer.Reset(time.Until(h.tick()))
	}
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	h.mixer.Pause()
}

// tick makes the frames that are due and returns when the next one is.
func (h *home) tick() time.Time {
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	for {
		now := time.Now()
		if next := h.mixer.Next(); next.After(now) {
			return next
		}
		if f, ok := h.mixer.Tick(now); ok {
			h.metrics.MixedFrames.Inc()
			h.pub.Write(&f)
			for i := range f.Sources.Len() {
				h.talk[h.users[f.Sources.At(i)]] += rotunda.FrameDuration
			}
		}
	}
}
