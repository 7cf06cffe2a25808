package egress

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"rotunda/node/edge"
	"rotunda/node/egress/rtp"
	"rotunda/node/egress/srtp"
)

// shard sends the media of its sessions. Its goroutine takes orders and jobs one after another.
type shard struct {
	server   *Server
	index    int
	sessions atomic.Int32
	lag      atomic.Int64  // how long jobs wait until they are begun: a running mean, ns
	busy     atomic.Int64  // ns that jobs have taken, all together
	load     atomic.Uint32 // the share of the last second that they took, of 1000
	measured struct {      // belongs to measure's caller
		at   time.Time
		busy int64
	}
	wake chan struct{} // a token when there is something to do; never closed

	mu     sync.Mutex // guards what follows
	queue  queue
	orders []order // bounded by the sessions: a few each; what clients cause by ordersMax

	// What follows belongs to run.
	pulses pulses
	sender batchSender
	batch  batch
	media  int // of the batch's packets, how many are not RTCP and the like
	head   [rtp.HeaderMax]byte
	plain  [reportMax]byte
	report [reportMax]byte
	doing  []order
	job    job
}

// ordersMax bounds the orders that a client can cause.
const ordersMax = 4096

// order changes what a shard knows of a session.
type order struct {
	kind    orderKind
	session *Session
	sender  *srtp.Sender // orderUp
	track   int          // orderAgain
	missing rtp.Missing  // orderAgain
}

type orderKind uint8

const (
	orderUp    orderKind = iota // the session may be sent to
	orderHear                   // it takes the program
	orderLeave                  // it does not
	orderAgain                  // it misses packets
	orderEnd                    // take leave
)

func newShard(s *Server, index int) *shard {
	return &shard{server: s, index: index, wake: make(chan struct{}, 1), pulses: newPulses(), sender: s.socket.sender()}
}

func (sh *shard) signal() {
	select {
	case sh.wake <- struct{}{}:
	default:
	}
}

func (sh *shard) order(o order) {
	sh.mu.Lock()
	if o.kind == orderAgain && len(sh.orders) >= ordersMax {
		sh.mu.Unlock()
		return
	}
	sh.orders = append(sh.orders, o)
	sh.mu.Unlock()
	sh.signal()
}

// push queues a copy of p.
func (sh *shard) push(for_ jobFor, now time.Time, p *edge.Packet) {
	sh.mu.Lock()
	dropped := sh.queue.push(for_, now, p)
	sh.mu.Unlock()
	if dropped {
		sh.server.metrics.EgressDropped.With("queue_full").Inc()
	}
	sh.signal()
}

// late is how long packets wait for the shard, lately.
func (sh *shard) late() time.Duration { return time.Duration(sh.lag.Load()) }

// share is the share of its time that the shard was busy with packets in the last second.
func (sh *shard) share() float64 { return float64(sh.load.Load()) / 1000 }

// lagWeight is the share of the newest job in the running mean: one of 16.
const lagWeight = 16

// begun notes that a job's turn has come; the time that it takes itself is its room's size and no delay. now is the instant.
func (sh *shard) begun(now time.Time, j *job) {
	lag := sh.lag.Load()
	sh.lag.Store(lag + (int64(now.Sub(j.made))-lag)/lagWeight)
}

// measure takes the shard's load since it was called last, about a second ago. It has one caller.
func (sh *shard) measure(now time.Time) {
	m := &sh.measured
	busy := sh.busy.Load()
	if past := now.Sub(m.at); past > 0 && !m.at.IsZero() {
		sh.load.Store(uint32(min(1000, (busy-m.busy)*1000/int64(past))))
	}
	sh.mu.Lock()
	idle := sh.queue.n == 0
	sh.mu.Unlock()
	if busy == m.busy && idle { // nothing is sent, so nothing waits
		sh.lag.Store(0)
	}
	m.at, m.busy = now, busy
}

// run sends until ctx ends, and then does what was ordered before.
func (sh *shard) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			sh.obey()
			sh.flush()
			return nil
		case <-sh.wake:
		case <-sh.pulses.timer.C:
			sh.pulses.armed = false
		}
		sh.work()
	}
}

// work does all that there is to do.
func (sh *shard) work() {
	sh.obey()
	for sh.take(&sh.job) {
		now := time.Now()
		sh.begun(now, &sh.job)
		sh.do(&sh.job)
		sh.flush()
		sh.busy.Add(int64(time.Since(now)))
		sh.obey()
	}
	if !sh.pulses.armed {
		sh.pulse(time.Now())
	}
}

// take takes the oldest job.
func (sh *shard) take(j *job) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.queue.pop(j)
}

// obey does what has been ordered. Orders are done between jobs: while one is done, nobody comes or goes.
func (sh *shard) obey() {
	sh.mu.Lock()
	sh.orders, sh.doing = sh.doing[:0], sh.orders
	sh.mu.Unlock()
	if len(sh.doing) == 0 {
		return
	}
	now := time.Now()
	for i := range sh.doing {
		o := &sh.doing[i]
		n := o.session
		switch o.kind {
		case orderUp:
			n.sender = o.sender
			if n.ended.Load() { // while it shook hands: the client is to know
				sh.farewell(n)
			} else if n.hears {
				sh.seat(now, n)
			} else {
				sh.pulses.apart(n)
			}
		case orderHear:
			n.hears = true
			if n.sender != nil {
				sh.seat(now, n)
			}
		case orderLeave:
			n.hears = false
			n.seats.remove(n)
			sh.pulses.apart(n)
		case orderAgain:
			sh.again(n, o.track, o.missing)
		case orderEnd:
			sh.leave(n)
		}
		*o = order{}
	}
	sh.flush()
}

// seat gives a session its place among those who hear the program, and lets it hear the newest packet: in a silent room the next
// one may be 400 ms away, and a join is not done before the first.
func (sh *shard) seat(now time.Time, n *Session) {
	if n.ended.Load() {
		return
	}
	n.seats.add(n)
	sh.pulses.among(n.seats)
	if n.greeted {
		return
	}
	n.greeted = true
	var j job
	if n.seats.room.newest(&j) {
		sh.send(now, n, 0, singly, &j)
	}
}

// leave takes leave of a session that has ended.
func (sh *shard) leave(n *Session) {
	n.seats.remove(n)
	sh.farewell(n)
	sh.flush()
	n.finish()
}

func (sh *shard) farewell(n *Session) {
	if to := n.to.Load(); n.sender != nil && to != nil {
		for _, b := range n.goodbye(sh.plain[:0], sh.report[:0]) {
			sh.put(to, b)
		}
	}
	if to := n.to.Load(); to != nil && to.stream != nil {
		to.stream.end()
	}
	n.sender = nil
}

// put adds bytes to the batch.
func (sh *shard) put(to *peer, b []byte) {
	if len(b) > 0 {
		sh.commit(to, copy(sh.batch.slots[sh.batch.n][:], b))
	}
}

// commit adds what has been written to the batch's next slot.
func (sh *shard) commit(to *peer, length int) {
	if to.stream != nil {
		if to.stream.put(sh.batch.slots[sh.batch.n][:length]) {
			sh.server.metrics.EgressDropped.With("queue_full").Inc()
		}
		return
	}
	sh.batch.lengths[sh.batch.n], sh.batch.peers[sh.batch.n] = length, to
	if sh.batch.n++; sh.batch.n == batchLen {
		sh.flush()
	}
}

// flush hands the batch to the kernel.
func (sh *shard) flush() {
	if sh.batch.n == 0 && sh.media == 0 {
		return
	}
	failed := 0
	if sh.batch.n > 0 { // else all went by connections
		failed = sh.sender.send(&sh.batch)
	}
	m := sh.server.metrics
	m.EgressPackets.Add(float64(max(0, sh.media-failed)))
	if failed > 0 {
		m.EgressDropped.With("unreachable").Add(float64(failed))
	}
	sh.batch.n, sh.media = 0, 0
}

// do sends what a job says to whom it is for.
func (sh *shard) do(j *job) {
	now := time.Now()
	if j.session != nil {
		j.session.sentAt = now
		sh.send(now, j.session, j.track, separately, j)
		return
	}
	st := j.room.seats[sh.index]
	st.sentAt = now
	if j.begins {
		st.reseat(j.frames)
	}
	maker := singly
	if j.rendition == mergedFrames {
		maker = merged
	}
	if j.rendition != redundant {
		st.recent[maker.Series].put(j)
	}
	for _, n := range st.lists[j.rendition] {
		sh.send(now, n, 0, maker, j)
	}
}

// send makes one packet of one session.
func (sh *shard) send(now time.Time, n *Session, index int, maker edge.Maker, j *job) {
	to := n.to.Load()
	if to == nil || n.sender == nil || n.ended.Load() || n.paused(now) {
		return
	}
	t := &n.tracks[index]
	was, _, _ := t.splice.Back(0)
	sequence, timestamp, begun := t.splice.Number(now, maker, j.sequence, j.timestamp)
	if was != maker || n.changed && index == 0 {
		n.changed = n.changed && index != 0
		t.series = t.sent.Next(sequence)
		if begun { // it has a mark that is the track's own
			t.series = sequence + 1
		}
	}
	h := rtp.Header{
		PayloadType: t.payload.opus, Marker: j.marker || begun, Sequence: sequence, Timestamp: timestamp, SSRC: t.ssrc,
		Sources: &j.sources, LevelID: t.payload.level, Level: j.level,
	}
	if j.rendition == redundant {
		h.PayloadType = t.payload.red
		if j.payload[0]&0x7f != t.payload.opus {
			rtp.Retype(j.payload, t.payload.opus)
		}
	}
	head := sh.head[:h.Put(sh.head[:])]
	b, err := n.sender.RTP(sh.batch.slots[sh.batch.n][:], head, j.payload, &t.sent)
	if err != nil {
		sh.server.metrics.EgressDropped.With("duplicate").Inc()
		return
	}
	sh.media++
	sh.commit(to, len(b))
	if !n.first {
		n.first = true
		sh.server.metrics.JoinTime.Observe(now.Sub(n.asked).Seconds())
	}
	if report, due := t.clock.sent(now, timestamp, j.origin, len(j.payload)); due {
		report.SSRC = t.ssrc
		sh.put(to, n.sender.RTCP(sh.report[:0], rtp.AppendSenderReport(sh.plain[:0], report, cname)))
	}
}

// again sends packets of the program once more, as they were.
func (sh *shard) again(n *Session, index int, m rtp.Missing) {
	to := n.to.Load()
	if to == nil || n.sender == nil || n.ended.Load() || n.takes == redundant {
		return
	}
	t := &n.tracks[index]
	for i := range 17 {
		if i > 0 && m.Also>>(i-1)&1 == 0 {
			continue
		}
		sequence := m.Sequence + uint16(i)
		maker, theirs, later := t.splice.Back(sequence)
		if int16(sequence-t.series) < 0 || maker == separately {
			continue // it was another packet, and would not be the same to the bit
		}
		j := n.seats.recent[maker.Series].find(theirs)
		if j == nil {
			continue
		}
		h := rtp.Header{
			PayloadType: t.payload.opus, Marker: j.marker, Sequence: sequence, Timestamp: j.timestamp + later, SSRC: t.ssrc,
			Sources: &j.sources, LevelID: t.payload.level, Level: j.level,
		}
		head := sh.head[:h.Put(sh.head[:])]
		if b := n.sender.AgainRTP(sh.batch.slots[sh.batch.n][:], head, j.payload, &t.sent); b != nil {
			sh.media++
			sh.commit(to, len(b))
			sh.server.metrics.EgressResent.Inc()
		}
	}
}
