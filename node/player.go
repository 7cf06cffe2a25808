package node

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rotunda"
	"rotunda/metrics"
	"rotunda/node/duty"
	"rotunda/node/edge"
)

// output is where a player's packets go: a WebRTC session, or a plain HTTP stream.
type output interface {
	Tracks() int
	Send(track int, p *edge.Packet) // never blocks; copies
	Close()
}

// hearer is an output that takes the room's program by itself, from the room's fan-out. Others are sent it packet by packet.
type hearer interface{ Hear(program bool) }

// player is one session that takes audio.
type player struct {
	user    rotunda.UserID // empty: nobody in particular, who takes the program
	name    string         // as the token has it
	session output
	fanned  hearer // nil: it is sent the program packet by packet

	mu      sync.Mutex // guards what follows; never held while another lock of this package is waited for
	hearing duty.Hearing
	until   time.Time   // when it stops lingering, at the latest; zero: it does not linger
	slots   *edge.Slots // nil: it was never on stage
}

func newPlayer(user rotunda.UserID, name string, s output) *player {
	p := &player{user: user, name: name, session: s, hearing: duty.Mixed}
	p.fanned, _ = s.(hearer)
	return p
}

// setHearing says what the player takes from now on, and reports whether that is something else than before.
func (p *player) setHearing(h duty.Hearing) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = time.Time{}
	if h == p.hearing {
		return false
	}
	p.hearing = h
	if h == duty.Stage && p.slots == nil {
		p.slots = edge.NewSlots(p.session.Tracks(), 1, 0)
	}
	if p.fanned != nil {
		p.fanned.Hear(h == duty.Mixed)
	}
	return true
}

func (p *player) hears() duty.Hearing {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hearing
}

// lingers reports whether a player who is to hear the program goes on hearing the stage, because the program is not here.
func (p *player) lingers(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until.IsZero() {
		p.until = now.Add(lingerMax)
	}
	return now.Before(p.until)
}

// voice sends a frame of another speaker, where the session takes the stage and the speaker has a slot.
func (p *player) voice(now time.Time, v voice, f *rotunda.Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hearing != duty.Stage || v.user == p.user {
		return
	}
	track, pkt, drop := p.slots.Frame(now, v.ssrc, v.epoch, f)
	if drop == edge.None {
		p.session.Send(track, &pkt)
	}
}

// voiceGone frees the slot of a speaker who left the stage.
func (p *player) voiceGone(v voice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots != nil {
		p.slots.Remove(v.ssrc)
	}
}

// voice is a speaker whose microphone is pulled for the speakers here.
type voice struct {
	user  rotunda.UserID
	ssrc  rotunda.SSRC
	epoch rotunda.Epoch
}

// fanOut sends the program to all the WebRTC sessions of a room that hear it.
type fanOut interface {
	Program(now time.Time, p *edge.Packet)
}

// audience is everybody who takes audio of one room on this node. The media path reads the lists without waiting for
// anybody; joining and leaving copy them.
type audience struct {
	metrics *metrics.Set
	fan     fanOut
	players atomic.Pointer[[]*player] // replaced, never changed
	plain   atomic.Pointer[[]*player] // those who are sent the program packet by packet; likewise
	stage   atomic.Pointer[[]*player] // those who take the stage; likewise
	// enforced is told what goes out. It is set before the first packet.
	enforced *enforcement
	tape     tape

	mu      sync.Mutex          // guards what follows
	program *edge.Program       // makes one packet for all
	epoch   rotunda.Epoch       // heard last
	origin  rotunda.NodeID      // whose it is
	newer   chan struct{}       // closed and replaced when a higher one is heard
	since   time.Time           // the program has been heard; zero: it is not
	onNewer func(rotunda.Epoch) // is told of it; does not block. It is set before the first packet
}

func newAudience(m *metrics.Set, fan fanOut, sequence uint16, timestamp uint32) *audience {
	a := &audience{metrics: m, fan: fan, program: edge.NewProgram(sequence, timestamp), newer: make(chan struct{})}
	for _, list := range []*atomic.Pointer[[]*player]{&a.players, &a.plain, &a.stage} {
		list.Store(&[]*player{})
	}
	return a
}

// with and without copy a list.
func with(list *[]*player, p *player) *[]*player {
	grown := append(slices.Clip(*list), p)
	return &grown
}

func without(list *[]*player, p *player) *[]*player {
	i := slices.Index(*list, p)
	if i < 0 {
		return list
	}
	rest := slices.Concat((*list)[:i], (*list)[i+1:])
	return &rest
}

// add, remove and set are serialised by the room's lock. The first two report whether what the node has to pull may be
// something else now.
func (a *audience) add(p *player) (first bool) {
	first = len(*a.players.Load()) == len(*a.stage.Load())
	a.players.Store(with(a.players.Load(), p))
	if p.fanned == nil {
		a.plain.Store(with(a.plain.Load(), p))
	}
	if p.hears() == duty.Stage {
		first = len(*a.stage.Load()) == 0
		a.stage.Store(with(a.stage.Load(), p))
	}
	return first
}

func (a *audience) remove(p *player) (last bool) {
	a.players.Store(without(a.players.Load(), p))
	a.plain.Store(without(a.plain.Load(), p))
	a.stage.Store(without(a.stage.Load(), p))
	onStage := len(*a.stage.Load())
	if p.hears() == duty.Stage {
		return onStage == 0
	}
	return len(*a.players.Load()) == onStage
}

// set says what a player takes.
func (a *audience) set(p *player, h duty.Hearing) {
	switch {
	case !p.setHearing(h):
	case h == duty.Stage:
		a.stage.Store(with(a.stage.Load(), p))
	default:
		a.stage.Store(without(a.stage.Load(), p))
	}
}

// greet sends a plain player the newest packet of the program: in a silent room the next one may be 400 ms away, and a join
// is not done before the first. The fan-out greets its own.
func (a *audience) greet(p *player) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if latest, ok := a.program.Latest(); ok {
		p.session.Send(0, &latest)
	}
}

func (a *audience) users() []rotunda.UserID {
	var users []rotunda.UserID
	for _, p := range *a.players.Load() {
		users = append(users, p.user)
	}
	return users
}

// last is the epoch that is heard, and the node whose it is; 0 before anything is.
func (a *audience) last() (rotunda.Epoch, rotunda.NodeID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.epoch, a.origin
}

// frame is the sink of the program's subscription.
func (a *audience) frame(p duty.Pull, f *rotunda.Frame) {
	now, epoch := time.Now(), p.Stream.Epoch
	a.mu.Lock()
	defer a.mu.Unlock()
	pkt, drop := a.program.Frame(now, epoch, f)
	if drop != edge.None {
		return
	}
	if a.since.IsZero() {
		a.since = now
	}
	if epoch != a.epoch {
		a.epoch, a.origin = epoch, p.Origin
		close(a.newer)
		a.newer = make(chan struct{})
		a.onNewer(epoch)
	}
	a.metrics.FrameAge.Observe(float64(now.UnixMicro()-f.Origin) / 1e6)
	if gap := a.program.Gap(); gap > 0 {
		a.metrics.ProgramGap.Observe(gap.Seconds())
	}
	a.fan.Program(now, &pkt)
	a.tape.keep(now, &pkt)
	for _, p := range *a.plain.Load() {
		p.session.Send(0, &pkt)
	}
	a.enforced.mixed(now, &f.Sources)
}

// rest says that nobody is left who takes the program, and that it is let go of.
func (a *audience) rest() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.program.Pause()
	a.since = time.Time{}
}

const (
	// fadeIn is how long the program has been heard when everybody is in it as loud as they are: it begins when somebody
	// takes it, and each voice is faded in.
	fadeIn = 200 * time.Millisecond
	// lingerMax is how long somebody who left the stage hears it while the program does not come.
	lingerMax = 2 * time.Second
)

// flows reports whether the program is here for who changes over to it.
func (a *audience) flows(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.since.IsZero() && now.Sub(a.since) >= fadeIn
}

// flow waits until the program flows, at most for lingerMax.
func (a *audience) flow(ctx context.Context) {
	look, over := time.NewTicker(rotunda.FrameDuration), time.NewTimer(lingerMax)
	defer look.Stop()
	defer over.Stop()
	for !a.flows(time.Now()) {
		select {
		case <-look.C:
		case <-over.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// reach waits until the program is heard with this epoch or a later one, at most for a while.
func (a *audience) reach(ctx context.Context, epoch rotunda.Epoch, atMost time.Duration) {
	over := time.NewTimer(atMost)
	defer over.Stop()
	for {
		a.mu.Lock()
		is, newer := a.epoch, a.newer
		a.mu.Unlock()
		if is >= epoch {
			return
		}
		select {
		case <-newer:
		case <-over.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// voice is the sink of the subscription to another speaker's microphone.
func (a *audience) voice(v voice, f *rotunda.Frame) {
	now := time.Now()
	for _, p := range *a.stage.Load() {
		p.voice(now, v, f)
	}
	a.enforced.voice(now, v.ssrc)
}

func (a *audience) voiceGone(v voice) {
	for _, p := range *a.stage.Load() {
		p.voiceGone(v)
	}
}
