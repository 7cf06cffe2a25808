package sim

import (
	"slices"
	"time"

	"rotunda"
	"rotunda/cascade/relay"
	"rotunda/control/room"
	"rotunda/node/duty"
	"rotunda/node/edge"
)

// served is one node's part in one room: package node's room server, with the real duties and the real edge.
type served struct {
	n       *node
	log     *roomLog
	state   *room.State // this node's own fold of the log
	applied int         // events
	ready   bool        // the log knows that this node has started anew: it may be home

	mics    map[rotunda.UserID]*mic
	players []rotunda.UserID
	duties  duty.Duties
	keys    []relay.Key // what is pulled
	home    *home
	retired []*home       // old ones, that go on until the new one is heard
	taken   rotunda.Epoch // with which this node has taken over, until the log knows
	listen  relay.Key     // the program
	before  *relay.Key    // the one of before, for a while

	program    *edge.Program
	sent       once           // of what listeners got
	epoch      rotunda.Epoch  // heard last
	origin     rotunda.NodeID // whose it is
	vouches    bool           // vouch is under way
	names      map[rotunda.SSRC]rotunda.UserID
	heard      map[rotunda.UserID]time.Duration // when a speaker was heard last in the program
	stageHeard map[rotunda.UserID]time.Duration // and on a stream of their own
}

// mic is a microphone session on a node.
type mic struct {
	epoch  rotunda.Epoch
	stream *relay.Stream
	seq    rotunda.Seq
}

// overlapFor is for how long two epochs of a program are taken when it moves.
const overlapFor = time.Second

func newServed(n *node, l *roomLog) *served {
	return &served{
		n: n, log: l, state: room.New(l.id), ready: n.life == 1, mics: map[rotunda.UserID]*mic{}, names: map[rotunda.SSRC]rotunda.UserID{},
		program: edge.NewProgram(uint16(n.w.dice.n(1<<16)), uint32(n.w.dice.n(1<<30))),
		heard:   map[rotunda.UserID]time.Duration{}, stageHeard: map[rotunda.UserID]time.Duration{},
	}
}

// apply takes the log up to the event numbered to.
func (s *served) apply(to int) {
	w := s.n.w
	if to <= s.applied || !s.unseals() {
		return
	}
	for ; s.applied < to; s.applied++ {
		e := s.log.events[s.applied]
		if w.cfg.broken.skipEvent && s.n.index == 0 && e.Type == room.EventMuted {
			continue
		}
		if e.Seq != s.state.Seq+1 && !w.cfg.broken.skipEvent {
			w.fail("%s: event %d of %s after %d", s.n.id, e.Seq, s.log.id, s.state.Seq)
		}
		s.state.Apply(e)
		if err := s.state.CheckInvariants(); err != nil {
			w.fail("%s: %s after %s: %v", s.n.id, s.log.id, e.Type, err)
		}
		w.note(tagEvent, uint64(s.n.index), e.Seq)
	}
	w.checkSealed(s.n)
	s.reconcile()
	if !s.ready && w.failure == "" {
		s.restart()
	}
}

// unseals reports whether this node can read the room's log.
func (s *served) unseals() bool { return s.n.within(s.log.fence) || s.n.w.cfg.broken.openSeal }

// restart tells the log that this node has begun anew, until it knows.
func (s *served) restart() {
	w := s.n.w
	w.command(s.n, s.log, room.Actor{System: true}, room.Restart{Node: s.n.id}, func(ok bool) {
		if s.ready = ok; ok {
			s.reconcile()
		} else {
			w.after(time.Second, func() { s.n.whenWell(func() { s.retry() }) })
		}
	})
}

func (s *served) retry() {
	if s.n.served[s.log.index] == s && !s.ready {
		s.restart()
	}
}

// view is a room's state as far as package duty looks at it.
func (s *served) view() duty.Room {
	v := duty.Room{
		ID: s.log.id, Live: s.state.Phase == room.Live, Home: s.state.Home, Epoch: s.state.Epoch,
		Standby: s.state.Standby.Node, Next: s.state.Standby.Epoch,
	}
	for _, p := range s.state.Stage() {
		s.names[p.SSRC] = p.User
		if p.Live && s.state.CanSpeak(p.User) {
			v.Speakers = append(v.Speakers, duty.Speaker{User: p.User, SSRC: p.SSRC, Node: p.Node, Epoch: p.Epoch, Muted: p.Muted})
		}
	}
	return v
}

// reconcile does what the log and the sessions ask.
func (s *served) reconcile() {
	n := s.n
	if s.state.Seq == 0 {
		return
	}
	local := duty.Local{Node: n.id, Players: s.players, Taken: s.taken}
	for _, u := range sortedUsers(s.mics) {
		local.Mics = append(local.Mics, duty.Mic{User: u, Epoch: s.mics[u].epoch})
	}
	s.duties = duty.Of(s.view(), local)
	s.vouch()
	for _, u := range sortedUsers(s.duties.Mics) {
		if m := s.mics[u]; m.stream == nil {
			m.stream = n.core.Publish(s.duties.Mics[u].Stream)
		}
	}
	for _, o := range s.duties.Over {
		if m := s.mics[o.User]; m.stream != nil {
			n.core.Unpublish(m.stream.Key.Stream)
		}
		delete(s.mics, o.User)
	}
	s.mix()
	s.pull()
	n.check()
}

// wantedChanged is the table's word that somebody takes the program, or nobody any more.
func (s *served) wantedChanged(k relay.Key) {
	if s.home != nil && s.home.id == k.Stream {
		s.home.mixing = s.home.stream.Wanted()
		s.home.watch.Begin(s.n.clock())
		s.pull()
	}
}

// pull brings the subscriptions into line: new ones first, so that nothing is missed in between.
func (s *served) pull() {
	var keys []relay.Key
	add := func(p duty.Pull) {
		if k := (relay.Key{Stream: p.Stream, Origin: p.Origin}); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	for _, p := range s.duties.Listen {
		add(p)
	}
	if len(keys) > 0 {
		s.overlap(keys[0])
		if s.before != nil && !slices.Contains(keys, *s.before) {
			keys = append(keys, *s.before)
		}
	}
	for _, p := range s.duties.Stage {
		add(p)
	}
	if s.home != nil && s.home.mixing {
		for _, p := range s.duties.Mix {
			add(p)
		}
		if w := s.duties.Watch; w != nil && !s.home.active {
			add(*w)
		}
	}
	if len(s.retired) > 0 {
		add(duty.Pull{Stream: s.duties.Program, Origin: s.state.Home})
	}
	old := s.keys
	s.keys = keys
	for _, k := range keys {
		s.n.want(k, s.hitless(k))
	}
	for _, k := range old {
		if !slices.Contains(keys, k) {
			s.n.unwant(k)
		}
	}
}

// hitless reports whether a stream comes by two ways: the program, and what is mixed into it here.
func (s *served) hitless(k relay.Key) bool {
	if k.Stream.Track == rotunda.Program {
		return true
	}
	return s.home != nil && s.home.mixing && slices.ContainsFunc(s.duties.Mix, func(p duty.Pull) bool { return p.Stream == k.Stream })
}

// overlap keeps the program of before for a while when there is another: what is on its way is heard, and the edge sees to
// it that nothing old follows what is new.
func (s *served) overlap(now relay.Key) {
	if s.listen == now {
		return
	}
	if s.listen.Origin != "" {
		old := s.listen
		s.before = &old
		life := s.n.life
		s.n.w.after(overlapFor, func() {
			s.n.whenWell(func() {
				if s.n.life == life && s.before != nil && *s.before == old {
					s.before = nil
					s.pull()
				}
			})
		})
	}
	s.listen = now
}

// take gets a frame of a stream that this node wants.
func (n *node) take(x *want, p *packet) {
	for _, s := range n.served {
		if s.log.id != x.key.Stream.Room {
			continue
		}
		if u, ok := x.key.Stream.Track.Speaker(); ok {
			s.voice(u, x.key)
			continue
		}
		s.outdone(x.key.Stream.Epoch)
		if w := s.duties.Watch; s.home != nil && w != nil && w.Stream == x.key.Stream {
			s.home.watch.Frame(n.clock(), p.frame.Sources.Len() > 0)
		}
		if len(s.players) > 0 {
			s.play(x.key, p)
		}
	}
}

// voice is a frame of one speaker.
func (s *served) voice(u rotunda.UserID, k relay.Key) {
	muted := func(ps []duty.Pull) bool {
		i := slices.IndexFunc(ps, func(p duty.Pull) bool { return p.Stream == k.Stream })
		return i < 0 || ps[i].Muted
	}
	leaves := s.n.w.cfg.broken.deafHome && u == s.n.w.people[0].user
	if s.home != nil && !muted(s.duties.Mix) && !leaves {
		s.home.talking[u] = s.n.w.now
	}
	if !muted(s.duties.Stage) {
		s.stageHeard[u] = s.n.w.now
	}
}

// play gives a frame of the program to the listeners of this node.
func (s *served) play(k relay.Key, p *packet) {
	w, n, epoch := s.n.w, s.n, k.Stream.Epoch
	f := p.frame
	if w.cfg.broken.oldEpochs && epoch != s.epoch {
		s.program = edge.NewProgram(0, 0) // the edge forgets what it has sent
	}
	pkt, drop := s.program.Frame(start.Add(w.now+n.skew), epoch, &f)
	if drop != edge.None {
		return
	}
	w.played++
	switch {
	case epoch < s.epoch:
		w.fail("%s plays epoch %d of %s after %d", n.id, epoch, s.log.id, s.epoch)
	case !s.sent.first(uint64(epoch)<<40 | uint64(f.Seq)):
		w.fail("%s plays frame %d of %s twice", n.id, f.Seq, s.log.id)
	}
	if epoch != s.epoch {
		s.epoch, s.origin = epoch, k.Origin
		s.vouch()
	}
	for i := range f.Sources.Len() {
		s.heard[s.names[f.Sources.At(i)]] = w.now
	}
	w.note(tagProgram, uint64(n.index), uint64(epoch), uint64(pkt.Sequence))
}

func sortedUsers[V any](m map[rotunda.UserID]V) []rotunda.UserID {
	us := make([]rotunda.UserID, 0, len(m))
	for u := range m {
		us = append(us, u)
	}
	slices.Sort(us)
	return us
}
