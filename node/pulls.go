package node

import (
	"log/slog"
	"sync/atomic"

	"rotunda"
	"rotunda/cascade"
	"rotunda/node/duty"
)

// pulls keeps subscriptions to a changing set of microphones. It is owned by whoever holds it.
type pulls struct {
	mesh   *cascade.Mesh
	logger *slog.Logger
	sink   func(duty.Pull, *rotunda.Frame) // gets the frames of those who are not muted
	begin  func(duty.Pull)                 // is told of each that is pulled anew or may be heard again, before its first frame
	gone   func(duty.Pull)                 // is told of each speaker who is pulled no more or muted, after their last frame
	have   map[rotunda.StreamID]*pulled
}

// pulled is a subscription and what it is for.
type pulled struct {
	duty.Pull
	sub   *cascade.Subscription
	muted atomic.Bool
}

// set makes want the set that is pulled. What is pulled already stays as it is.
func (ps *pulls) set(want []duty.Pull) {
	keep := map[rotunda.StreamID]*pulled{}
	for _, w := range want {
		p := ps.have[w.Stream]
		if p != nil && p.Origin == w.Origin && p.SSRC == w.SSRC {
			ps.mute(p, w.Muted)
			keep[w.Stream] = p
			continue
		}
		p = &pulled{Pull: w}
		p.muted.Store(w.Muted)
		ps.begin(w)
		sub, err := ps.mesh.Subscribe(w.Stream, w.Origin, func(f *rotunda.Frame) {
			if !p.muted.Load() {
				ps.sink(p.Pull, f)
			}
		})
		if err != nil {
			ps.logger.Error("a speaker cannot be pulled", "stream", w.Stream.String(), "origin", w.Origin, "error", err)
			continue
		}
		p.sub = sub
		keep[w.Stream] = p
	}
	stay := map[rotunda.SSRC]bool{}
	for _, p := range keep {
		stay[p.SSRC] = true
	}
	for stream, p := range ps.have {
		if keep[stream] == p {
			continue
		}
		p.sub.Close()
		if !stay[p.SSRC] {
			ps.gone(p.Pull)
		}
	}
	ps.have = keep
}

// mute lets what is pulled through or not. Nothing that has arrived before is heard after a mute either.
func (ps *pulls) mute(p *pulled, muted bool) {
	switch {
	case muted && !p.muted.Swap(true):
		ps.gone(p.Pull)
	case !muted && p.muted.Load():
		ps.begin(p.Pull)
		p.muted.Store(false)
	}
}
