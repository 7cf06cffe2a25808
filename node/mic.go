package node

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"rotunda"
	"rotunda/cascade"
	"rotunda/metrics"
	"rotunda/node/duty"
	"rotunda/node/ingest"
	"rotunda/node/rtc"
)

// mic is one microphone session: its packets become frames of its publication while the log keeps the gate open.
type mic struct {
	user    rotunda.UserID
	metrics *metrics.Set

	mu      sync.Mutex // guards what follows; taken for each packet
	session *rtc.Session
	epoch   rotunda.Epoch // 0 until the log has given one
	gate    *ingest.Gate
	pub     *cascade.Publication // nil until the log knows the session
	last    time.Time            // when a packet was forwarded
}

func newMic(user rotunda.UserID, m *metrics.Set) *mic {
	return &mic{user: user, metrics: m, gate: ingest.New(ingest.Config{})}
}

func (m *mic) duty() duty.Mic { return duty.Mic{User: m.user, Epoch: m.epoch} }

// packet is the sink of the media session.
func (m *mic) packet(p ingest.Packet) {
	m.metrics.IngestPackets.Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	f, drop := m.gate.Packet(p)
	if drop != ingest.None || m.pub == nil {
		m.metrics.IngestDropped.With(string(drop)).Inc()
		return
	}
	m.pub.Write(&f)
	m.last = p.Arrival
}

// lastForwarded is when the last packet came that passed the gate; zero: none has.
func (m *mic) lastForwarded() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// apply brings the session into line with the log.
func (m *mic) apply(g duty.Gate, publish func(rotunda.StreamID) (*cascade.Publication, error)) (err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pub == nil {
		if m.pub, err = publish(g.Stream); err != nil {
			return err
		}
		m.gate.SetOpen(g.Open)
	}
	if g.Open != m.gate.Open() {
		m.gate.SetOpen(g.Open)
	}
	return nil
}

// publication is what the session publishes; nil where it is nothing.
func (m *mic) publication() *cascade.Publication {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pub
}

// yielded waits until nobody takes what the session publishes any more, or it has ended, at most for a while.
func (m *mic) yielded(ctx context.Context, atMost time.Duration) {
	over := time.NewTimer(atMost)
	defer over.Stop()
	for {
		pub := m.publication()
		if pub == nil || !pub.Wanted() {
			return
		}
		select {
		case <-pub.WantedChanged():
		case <-m.session.Done():
			return
		case <-over.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// end shuts the gate for good and takes the publication out of the mesh. It is safe to call twice.
func (m *mic) end() {
	m.mu.Lock()
	pub, session := m.pub, m.session
	m.pub = nil
	m.gate.Shut(ingest.NotGranted)
	m.mu.Unlock()
	if pub != nil {
		pub.Close()
	}
	if session != nil {
		session.Close()
	}
}

// replacedMics is how long a session may go on beside the one that takes its place: who pulls it lets go of it before (pulls.go).
const replacedMics = 3 * time.Second

// replace ends the sessions that are over, and has those whose place another takes end when nobody takes what they publish.
// Called with r.mu held.
func (r *roomServer) replace(d duty.Duties) {
	for _, m := range r.mics {
		if slices.Contains(d.Replaced, m.duty()) {
			delete(r.mics, m.user)
			r.yield(m)
		}
	}
	for _, m := range append(slices.Collect(maps.Values(r.mics)), r.old...) {
		if slices.Contains(d.Over, m.duty()) {
			r.forget(m)
		}
	}
}

// yield keeps a session whose place another takes for a while. Called with r.mu held.
func (r *roomServer) yield(m *mic) {
	r.old = append(r.old, m)
	if !r.bg.start(func(ctx context.Context) {
		m.yielded(ctx, replacedMics)
		r.hush(m)
	}) {
		r.forget(m)
	}
}

// forget ends a session. Called with r.mu held.
func (r *roomServer) forget(m *mic) {
	m.end()
	if r.mics[m.user] == m {
		delete(r.mics, m.user)
	}
	r.old = slices.DeleteFunc(r.old, func(o *mic) bool { return o == m })
}
