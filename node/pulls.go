package node

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rotunda"
	"rotunda/cascade"
	"rotunda/node/duty"
	"rotunda/node/edge"
)

const (
	// replacedMax is how long a speaker's old session is pulled beside the one that is to take its place, where that is not heard.
	replacedMax = 2 * time.Second
	// overtakenMax is how long it is pulled once the new one is heard: for what is under way.
	overtakenMax = 300 * time.Millisecond
)

// pulls keeps subscriptions to a changing set of microphones. It is owned by whoever holds it. When a speaker changes over to
// another session, both are pulled until the new one is heard, and what comes through them is one stream.
type pulls struct {
	mesh   *cascade.Mesh
	ways   []cascade.Option // of each subscription
	logger *slog.Logger
	sink   func(duty.Pull, *rotunda.Frame) // gets the frames of those who are not muted; of one speaker one at a time
	begin  func(duty.Pull)                 // is told of each that is pulled anew or may be heard again, before its first frame
	gone   func(duty.Pull)                 // is told of each speaker who is pulled no more or muted, after their last frame
	have   map[rotunda.StreamID]*pulled
	old    []*pulled // whose place another session is taking
}

// pulled is a subscription and what it is for.
type pulled struct {
	duty.Pull
	sub    *cascade.Subscription
	voice  *joined     // nil: the program
	over   *time.Timer // of one whose place another takes: closes it
	closed atomic.Bool // by over
}

func (p *pulled) close() {
	p.sub.Close()
	p.closed.Store(true)
}

// joined is what comes of one speaker, through one session after another.
type joined struct {
	mu    sync.Mutex // guards what follows
	muted bool       // nothing passes, through whichever session
	seam  edge.Seam
	as    duty.Pull   // whose frames they are said to be
	next  duty.Pull   // will be, if what it brings does not go on where the other ends
	old   *time.Timer // of the subscription to the session that is being replaced; nil: none is
}

func (ps *pulls) join(first duty.Pull) *joined {
	j := &joined{muted: first.Muted}
	ps.start(j, first)
	return j
}

// start has j begin with that session, as if nothing had been heard.
func (ps *pulls) start(j *joined, first duty.Pull) {
	j.as, j.old = first, nil
	j.seam = edge.Seam{
		Pass: func(f *rotunda.Frame) { ps.sink(j.as, f) },
		Fresh: func() {
			j.as = j.next
			ps.begin(j.as)
		},
		Joined: func() {
			if j.old != nil {
				j.old.Reset(overtakenMax)
			}
		},
	}
	j.seam.Expect(first.Stream.Epoch)
	ps.begin(first)
}

func (j *joined) take(now time.Time, epoch rotunda.Epoch, f *rotunda.Frame) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.muted {
		j.seam.Frame(now, epoch, f)
	}
}

// audible reports whether what comes is passed on.
func (j *joined) audible() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !j.muted
}

// expect says which session takes the place of old.
func (j *joined) expect(next duty.Pull, old *pulled) {
	old.over = time.AfterFunc(replacedMax, old.close)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next, j.old = next, old.over
	j.seam.Expect(next.Stream.Epoch)
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
		if p := ps.pull(w); p != nil {
			keep[w.Stream] = p
		}
	}
	stay := map[rotunda.SSRC]*joined{}
	for _, p := range keep {
		stay[p.SSRC] = p.voice
	}
	for stream, p := range ps.have {
		switch {
		case keep[stream] == p:
		case stay[p.SSRC] == p.voice:
			ps.old = append(ps.old, p)
		default:
			p.sub.Close()
			if stay[p.SSRC] == nil {
				ps.gone(p.Pull)
			}
		}
	}
	ps.have = keep
	ps.letGo(stay)
}

// pull subscribes to a microphone. Where another session of the speaker is heard, it is to take its place.
func (ps *pulls) pull(w duty.Pull) *pulled {
	p := &pulled{Pull: w}
	var before *pulled
	for _, q := range ps.have {
		if q.SSRC == w.SSRC && q.Stream.Epoch < w.Stream.Epoch && !w.Muted && q.voice.audible() {
			before = q
		}
	}
	if before != nil {
		p.voice = before.voice
		p.voice.expect(w, before)
	} else {
		p.voice = ps.join(w)
	}
	sub, err := ps.mesh.Subscribe(w.Stream, w.Origin, func(f *rotunda.Frame) {
		p.voice.take(time.Now(), w.Stream.Epoch, f)
	}, ps.ways...)
	if err != nil {
		ps.logger.Error("a speaker cannot be pulled", "stream", w.Stream.String(), "origin", w.Origin, "error", err)
		return nil
	}
	p.sub = sub
	return p
}

// letGo closes the old sessions of speakers who are not pulled any more, and forgets those that are closed.
func (ps *pulls) letGo(stay map[rotunda.SSRC]*joined) {
	var old []*pulled
	for _, p := range ps.old {
		switch {
		case stay[p.SSRC] != p.voice:
			p.over.Stop()
			p.sub.Close()
		case !p.closed.Load():
			old = append(old, p)
		}
	}
	ps.old = old
}

// mute lets what is pulled through or not. Nothing that has arrived before is heard after a mute either, and the session that
// is being replaced ends with it.
func (ps *pulls) mute(p *pulled, muted bool) {
	j := p.voice
	j.mu.Lock()
	was := j.muted
	j.muted = muted
	if was && !muted {
		ps.start(j, p.Pull)
	}
	j.mu.Unlock()
	if was || !muted {
		return
	}
	ps.gone(p.Pull)
	for _, q := range ps.old {
		if q.voice == j {
			q.over.Stop()
			q.close()
		}
	}
}
