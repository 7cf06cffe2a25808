package rtc

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"rotunda"
	"rotunda/node/edge"
)

// player is the part of a Session that only players have.
type player struct {
	tracks []*webrtc.TrackLocalStaticRTP // set before the session is handed out
	ssrcs  []uint32                      // of the tracks; set with them

	mu    sync.Mutex // guards queue
	queue queue
	ready chan struct{} // a token when the queue may hold something; never closed

	loss atomic.Uint32 // fraction lost of the latest report, of 256; plus one, so that 0 is "none yet"
	rtt  atomic.Int64  // nanoseconds; 0: not known
}

// Play answers the offer of somebody who takes audio: a track for each of its audio m-lines, at most edge.SlotsMax. ctx and
// errors are those of Publish.
func (s *Server) Play(ctx context.Context, offer string) (*Session, string, error) {
	return s.open(ctx, play, offer, func(n *Session, facts offerFacts) error {
		n.ready = make(chan struct{}, 1)
		for i := range facts.audio {
			// One stream each: tracks of one stream are lip-synced, which would hold all back to the slowest speaker.
			track, err := webrtc.NewTrackLocalStaticRTP(opus, fmt.Sprintf("audio%d", i), fmt.Sprintf("room%d", i))
			if err != nil {
				return err
			}
			transceiver, err := n.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
			if err != nil {
				return err
			}
			sender := transceiver.Sender()
			n.tracks = append(n.tracks, track)
			n.ssrcs = append(n.ssrcs, uint32(sender.GetParameters().Encodings[0].SSRC))
			n.readers.start(func() {
				defer n.recovered("receiver reports")
				n.readReports(sender)
			})
		}
		return nil
	})
}

// Tracks is the number of tracks that Send takes packets for; 0 in a session of Publish.
func (n *Session) Tracks() int { return len(n.tracks) }

// Send queues a copy of p for a track, 0 ≤ track < Tracks, and never blocks. While the peer is not connected yet there is
// nobody to send to, and nothing is counted. A listener that cannot keep up loses its oldest packets; those and the ones
// for a session that has ended are counted in rotunda_egress_dropped_total. It allocates nothing.
func (n *Session) Send(track int, p *edge.Packet) {
	select {
	case <-n.stop:
		n.server.metrics.EgressDropped.With("closed").Inc()
		return
	default:
	}
	select {
	case <-n.connected:
	default:
		return
	}
	if len(p.Payload) > rotunda.PayloadMax {
		panic(fmt.Sprintf("rtc: a payload of %d bytes; frames have at most %d", len(p.Payload), rotunda.PayloadMax))
	}
	_ = n.tracks[track] // our caller's bug, not the writer's
	n.mu.Lock()
	dropped := n.queue.push(track, p)
	n.mu.Unlock()
	if dropped {
		n.server.metrics.EgressDropped.With("queue_full").Inc()
	}
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

// send is the session's one writer: from the queue to the wire until the session ends.
func (n *Session) send() {
	var packet rtp.Packet
	var item queued
	csrc := make([]uint32, 0, rotunda.SourcesMax)
	sent := n.server.metrics.EgressPackets
	first := true
	var clocks [edge.SlotsMax]senderClock
	for {
		select {
		case <-n.stop:
			return
		case <-n.ready:
		}
		for n.pop(&item) {
			csrc = csrc[:0]
			for i := range item.sources.Len() {
				csrc = append(csrc, uint32(item.sources.At(i)))
			}
			packet.Header = rtp.Header{
				Version: 2, Marker: item.marker, SequenceNumber: item.sequence, Timestamp: item.timestamp, CSRC: csrc,
			}
			packet.Payload = item.payload
			if n.tracks[item.track].WriteRTP(&packet) != nil {
				continue // the transport is going down; the state change ends the session
			}
			sent.Inc()
			if report := clocks[item.track].sent(time.Now(), &item); report != nil {
				report.SSRC = n.ssrcs[item.track]
				n.pc.WriteRTCP([]rtcp.Packet{report}) // lost ones are followed by others
			}
			if first {
				first = false
				n.server.metrics.JoinTime.Observe(time.Since(n.asked).Seconds())
			}
		}
	}
}

func (n *Session) pop(item *queued) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.queue.pop(item)
}

// readReports reads what a listener says of a track's reception.
func (n *Session) readReports(sender *webrtc.RTPSender) {
	buf := make([]byte, datagramMax)
	untilClosed(func() error {
		size, _, err := sender.Read(buf)
		if err != nil {
			return err
		}
		return n.takeReports(time.Now(), buf[:size])
	})
}

// takeReports takes in the report blocks of one RTCP datagram.
func (n *Session) takeReports(now time.Time, datagram []byte) error {
	packets, err := rtcp.Unmarshal(datagram)
	if err != nil {
		return err
	}
	for _, p := range packets {
		if report, ok := p.(*rtcp.ReceiverReport); ok {
			for _, r := range report.Reports {
				n.reported(now, r)
			}
		}
	}
	return nil
}

// reported takes in one report block (RFC 3550 §6.4.1).
func (n *Session) reported(now time.Time, r rtcp.ReceptionReport) {
	n.loss.Store(uint32(r.FractionLost) + 1)
	n.server.losses.report(n, float64(r.FractionLost)/256)
	if rtt, ok := roundTrip(now, r.LastSenderReport, r.Delay); ok {
		n.rtt.Store(int64(rtt))
	}
}

// Reception is what a listener has last reported.
type Reception struct {
	Lost      float64       // share of packets lost between its last two reports, 0 to 1
	RoundTrip time.Duration // 0: not known
}

// Reception returns the latest report of a player; ok is false before the first.
func (n *Session) Reception() (r Reception, ok bool) {
	loss := n.loss.Load()
	if loss == 0 {
		return Reception{}, false
	}
	return Reception{Lost: float64(loss-1) / 256, RoundTrip: time.Duration(n.rtt.Load())}, true
}
