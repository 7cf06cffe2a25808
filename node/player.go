package node

import (
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
	Done() <-chan struct{} // closed when it has ended
}

// player is one session that takes audio.
type player struct {
	user    rotunda.UserID // empty: nobody in particular, who takes the program
	session output

	mu      sync.Mutex // guards what follows; taken for each packet, never while another lock of this package is waited for
	hearing duty.Hearing
	tracks  [edge.SlotsMax]edge.Splice
	slots   *edge.Slots
}

// Makers of a track's packets, as edge.Splice tells them apart.
const (
	fromProgram = iota
	fromSlots
)

func newPlayer(user rotunda.UserID, s output) *player {
	return &player{user: user, session: s, hearing: duty.Mixed, slots: edge.NewSlots(s.Tracks(), 1, 0)}
}

func (p *player) setHearing(h duty.Hearing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hearing = h
}

// program sends a packet of the room's program, where that is what the session takes.
func (p *player) program(now time.Time, pkt edge.Packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hearing != duty.Mixed {
		return
	}
	pkt = p.tracks[0].Packet(now, fromProgram, pkt)
	p.session.Send(0, &pkt)
}

// voice sends a frame of another speaker, where the session takes the stage and the speaker has a slot.
func (p *player) voice(now time.Time, v voice, f *rotunda.Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hearing != duty.Stage || v.user == p.user {
		return
	}
	track, pkt, drop := p.slots.Frame(now, v.ssrc, v.epoch, f)
	if drop != edge.None {
		return
	}
	pkt = p.tracks[track].Packet(now, fromSlots, pkt)
	p.session.Send(track, &pkt)
}

// voiceGone frees the slot of a speaker who left the stage.
func (p *player) voiceGone(v voice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slots.Remove(v.ssrc)
}

// voice is a speaker whose microphone is pulled for the speakers here.
type voice struct {
	user  rotunda.UserID
	ssrc  rotunda.SSRC
	epoch rotunda.Epoch
}

// audience is everybody who takes audio of one room on this node. The media path reads the list without waiting for
// anybody; joining and leaving copy it.
type audience struct {
	metrics *metrics.Set
	players atomic.Pointer[[]*player] // replaced, never changed
	// enforced is told what goes out. It is set before the first packet.
	enforced *enforcement

	mu      sync.Mutex // guards program, which makes one packet for all
	program *edge.Program
}

func newAudience(m *metrics.Set, sequence uint16, timestamp uint32) *audience {
	a := &audience{metrics: m, program: edge.NewProgram(sequence, timestamp)}
	a.players.Store(&[]*player{})
	return a
}

// add and remove are serialised by the room's lock.
func (a *audience) add(p *player) {
	list := append(append([]*player(nil), *a.players.Load()...), p)
	a.players.Store(&list)
}

// greet sends a listener who has just connected the newest packet of the program: in a silent room the next one may be
// 400 ms away, and a join is not done before the first.
func (a *audience) greet(p *player) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if latest, ok := a.program.Latest(); ok {
		p.program(time.Now(), latest)
	}
}

func (a *audience) remove(p *player) {
	var list []*player
	for _, q := range *a.players.Load() {
		if q != p {
			list = append(list, q)
		}
	}
	a.players.Store(&list)
}

func (a *audience) users() []rotunda.UserID {
	var users []rotunda.UserID
	for _, p := range *a.players.Load() {
		users = append(users, p.user)
	}
	return users
}

// frame is the sink of the program's subscription.
func (a *audience) frame(epoch rotunda.Epoch, f *rotunda.Frame) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	pkt, drop := a.program.Frame(now, epoch, f)
	if drop != edge.None {
		return
	}
	a.metrics.FrameAge.Observe(float64(now.UnixMicro()-f.Origin) / 1e6)
	if gap := a.program.Gap(); gap > 0 {
		a.metrics.ProgramGap.Observe(gap.Seconds())
	}
	for _, p := range *a.players.Load() {
		p.program(now, pkt)
	}
	a.enforced.mixed(now, &f.Sources)
}

// voice is the sink of the subscription to another speaker's microphone.
func (a *audience) voice(v voice, f *rotunda.Frame) {
	now := time.Now()
	for _, p := range *a.players.Load() {
		p.voice(now, v, f)
	}
	a.enforced.voice(now, v.ssrc)
}

func (a *audience) voiceGone(v voice) {
	for _, p := range *a.players.Load() {
		p.voiceGone(v)
	}
}
