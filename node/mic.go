package node

import (
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
