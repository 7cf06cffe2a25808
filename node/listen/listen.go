// Package listen gives a room's program to anything that plays a URL: endless Ogg Opus (RFC 7845) over plain HTTP.
//
// Its invariant: a player that reads too slowly loses the oldest packets, and one that does not read at all is cut; neither
// makes anybody wait. Send may be called from any goroutine, Serve once.
package listen

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"rotunda"
	"rotunda/metrics"
	"rotunda/node/edge"
	"rotunda/node/opus"
)

const (
	// queueLen is how many packets wait for a player: 1.3 s, about what players buffer themselves.
	queueLen = 64
	// writeMax is how long one packet may take to be handed to the system.
	writeMax = 5 * time.Second
)

// Stream is one HTTP player of the program. Make it with New.
type Stream struct {
	metrics *metrics.Set
	done    chan struct{} // closed by Close
	once    sync.Once
	ready   chan struct{} // a token when the queue may hold something; never closed

	mu    sync.Mutex // guards queue
	queue []packet   // oldest first, at most queueLen
	free  [][]byte   // buffers to use again
}

type packet struct {
	timestamp uint32
	payload   []byte
}

// New makes a stream that waits for packets.
func New(m *metrics.Set) *Stream {
	return &Stream{metrics: m, done: make(chan struct{}), ready: make(chan struct{}, 1)}
}

// Tracks is 1: there is the program and nothing else.
func (s *Stream) Tracks() int { return 1 }

// Send queues a copy of p and never blocks; the track is ignored. What does not fit pushes out the oldest.
func (s *Stream) Send(_ int, p *edge.Packet) {
	s.mu.Lock()
	if len(s.queue) == queueLen {
		s.free = append(s.free, s.queue[0].payload)
		s.queue = append(s.queue[:0], s.queue[1:]...)
		s.metrics.EgressDropped.With("queue_full").Inc()
	}
	var buf []byte
	if n := len(s.free); n > 0 {
		buf, s.free = s.free[n-1][:0], s.free[:n-1]
	} else {
		buf = make([]byte, 0, rotunda.PayloadMax)
	}
	s.queue = append(s.queue, packet{p.Timestamp, append(buf, p.Payload...)})
	s.mu.Unlock()
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Close ends the stream; Serve returns. It is safe to call twice.
func (s *Stream) Close() { s.once.Do(func() { close(s.done) }) }

// Done is closed when the stream has been closed.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Serve writes what is sent until the player leaves, the stream is closed or ctx ends.
func (s *Stream) Serve(ctx context.Context, w http.ResponseWriter) {
	defer s.Close()
	h := w.Header()
	h.Set("Content-Type", "audio/ogg; codecs=opus")
	h.Set("Cache-Control", "no-store")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("X-Content-Type-Options", "nosniff")
	control := http.NewResponseController(w)
	out, err := opus.NewWriter(w)
	if err != nil {
		return // the player has gone already
	}
	for {
		if err := errors.Join(control.SetWriteDeadline(time.Now().Add(writeMax)), control.Flush()); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-s.done:
			out.Close()
			return
		case <-s.ready:
		}
		if s.drain(out) != nil {
			return
		}
	}
}

// drain writes what is queued.
func (s *Stream) drain(out *opus.Writer) error {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.mu.Unlock()
			return nil
		}
		p := s.queue[0]
		s.queue = append(s.queue[:0], s.queue[1:]...)
		s.mu.Unlock()
		err := out.Write(p.timestamp, p.payload)
		s.metrics.EgressPackets.Inc()
		s.mu.Lock()
		s.free = append(s.free, p.payload)
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
}
