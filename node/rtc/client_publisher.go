package rtc

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"rotunda"
)

// Publisher is the client half of WHIP (RFC 9725): a microphone in another room. Its methods may be called concurrently.
type Publisher struct {
	*client
	track *webrtc.TrackLocalStaticRTP
	level uint8 // the audio level extension's id, 0 when it was not accepted

	mu     sync.Mutex // guards the rest
	next   rtp.Header
	silent bool
}

// ErrDone says that the connection has ended.
var ErrDone = errors.New("the media connection has ended")

// DialPublisher connects to a WHIP endpoint; it returns when audio can flow, or with an *HTTPError when the server refuses. ctx
// bounds the connecting, not the session. Close ends it.
func DialPublisher(ctx context.Context, cfg ClientConfig) (*Publisher, error) {
	track, err := webrtc.NewTrackLocalStaticRTP(opus, "audio", "microphone")
	if err != nil {
		return nil, err
	}
	p := &Publisher{track: track, silent: true}
	p.next = rtp.Header{Version: 2, SequenceNumber: uint16(rand.Uint32()), Timestamp: rand.Uint32()}
	var sender *webrtc.RTPSender
	if p.client, err = dial(ctx, cfg, func(c *client) error {
		transceiver, err := c.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			return err
		}
		sender = transceiver.Sender()
		return nil
	}); err != nil {
		return nil, err
	}
	for _, x := range sender.GetParameters().HeaderExtensions {
		if x.URI == audioLevelURI {
			p.level = uint8(x.ID)
		}
	}
	return p, nil
}

// Write sends one Opus packet that lasts duration. level is its audio level in -dBov, 0 (loudest) to 127 (silence), and
// voice the opinion that it is speech (RFC 6464). The caller keeps time: packets go out as they come. It returns ErrDone
// when the connection has ended.
func (p *Publisher) Write(opus []byte, duration time.Duration, level uint8, voice bool) error {
	select {
	case <-p.done:
		return ErrDone
	default:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	packet := rtp.Packet{Header: p.next, Payload: opus}
	packet.Marker = p.silent // the first after silence (RFC 7587 §4.2)
	if p.level != 0 {
		value := level & 0x7f
		if voice {
			value |= 0x80
		}
		if err := packet.SetExtension(p.level, []byte{value}); err != nil {
			return err
		}
	}
	p.silent = false
	p.next.SequenceNumber++
	p.next.Timestamp += ticks(duration)
	return p.track.WriteRTP(&packet)
}

// Skip lets duration pass without a packet: silence that DTX does not send.
func (p *Publisher) Skip(duration time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next.Timestamp += ticks(duration)
	p.silent = true
}

// Close takes leave of the server (DELETE) and frees everything; ctx bounds the leave-taking.
func (p *Publisher) Close(ctx context.Context) error { return p.close(ctx) }

func ticks(d time.Duration) uint32 { return uint32(d * rotunda.ClockRate / time.Second) }

// clientReports makes sender and receiver reports, by which each side knows loss and round trip.
func clientReports(logger *slog.Logger) *interceptor.Registry {
	registry := &interceptor.Registry{}
	receiver, _ := report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(pionLogs{logger})) // their errors are
	sender, _ := report.NewSenderInterceptor(report.WithSenderLoggerFactory(pionLogs{logger}))       // those of options
	registry.Add(receiver)
	registry.Add(sender)
	return registry
}
