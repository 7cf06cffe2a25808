package rtc

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"rotunda/node/ingest"
)

// readErrorsMax is how many packets in a row may be unreadable before a session is given up.
const readErrorsMax = 1000

// Publish answers the offer of somebody who gives audio, exactly one track of it. sink gets each RTP packet in the order of
// arrival, from one goroutine, and must not block; the payload is valid until it returns. It may be called before Publish
// returns and is not called after Done. ctx bounds the negotiation, not the session. An error that is the offer's fault
// wraps ErrOffer; ErrBusy and ErrClosed say that no offer would do.
func (s *Server) Publish(ctx context.Context, offer string, sink func(ingest.Packet)) (*Session, string, error) {
	return s.open(ctx, offer, func(n *Session) {
		var taken atomic.Bool
		n.pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
			if taken.Swap(true) || track.Kind() != webrtc.RTPCodecTypeAudio {
				return // one m-line, one stream: a second SSRC is not the microphone
			}
			n.readers.start(func() {
				defer n.recovered("ingest")
				n.read(track, levelID(receiver), sink)
			})
			n.readers.start(func() { // sender reports reach the interceptor, which needs them, only when somebody reads
				defer n.recovered("ingest reports")
				buf := make([]byte, datagramMax)
				untilClosed(func() error { _, _, err := receiver.Read(buf); return err })
			})
		})
	})
}

// levelID is the id that was negotiated for the audio level, 0 for none.
func levelID(receiver *webrtc.RTPReceiver) uint8 {
	for _, x := range receiver.GetParameters().HeaderExtensions {
		if x.URI == audioLevelURI && x.ID > 0 && x.ID < 256 {
			return uint8(x.ID)
		}
	}
	return 0
}

// read hands the packets of a track to sink until the session ends.
func (n *Session) read(track *webrtc.TrackRemote, level uint8, sink func(ingest.Packet)) {
	var packet rtp.Packet
	buf := make([]byte, datagramMax)
	untilClosed(func() error {
		size, _, err := track.Read(buf)
		if err != nil {
			return err
		}
		arrival := time.Now()
		select {
		case <-n.stop:
			return io.EOF
		default:
		}
		if err := packet.Unmarshal(buf[:size]); err != nil {
			n.server.metrics.IngestDropped.With(string(ingest.Malformed)).Inc()
			return nil
		}
		sink(ingestPacket(&packet, level, arrival))
		return nil
	})
	n.Close() // a publisher without its track is none
}

// ingestPacket is what ingest needs to know of an RTP packet. level is the extension's id (RFC 6464 §3: one byte, its first
// bit says voice, the rest is the level).
func ingestPacket(p *rtp.Packet, level uint8, arrival time.Time) ingest.Packet {
	out := ingest.Packet{
		Sequence: p.SequenceNumber, Timestamp: p.Timestamp, Payload: p.Payload, Arrival: arrival,
	}
	if level == 0 {
		return out
	}
	if x := p.GetExtension(level); len(x) == 1 {
		out.HasLevel, out.Voice, out.Level = true, x[0]&0x80 != 0, x[0]&0x7f
	}
	return out
}

// untilClosed calls read until its stream is closed. Other errors are packets that could not be understood: they are
// skipped, within bounds.
func untilClosed(read func() error) {
	for failed := 0; failed < readErrorsMax; failed++ {
		switch err := read(); {
		case err == nil:
			failed = -1
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed):
			return
		}
	}
}
