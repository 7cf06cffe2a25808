package rtc

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"rotunda"
	"rotunda/node/edge"
)

// Received is one RTP packet that a Player got.
type Received struct {
	Track     int // which of the player's tracks, from 0, in the order of the offer
	Sequence  uint16
	Timestamp uint32 // 48 kHz ticks
	Marker    bool
	Sources   rotunda.Sources // the CSRC list: who is heard, loudest first
	Payload   []byte          // one Opus packet, valid until the callback returns
	Arrival   time.Time
}

// Player is the client half of WHEP: a listener.
type Player struct {
	*client

	mu     sync.Mutex // guards clocks
	clocks [edge.SlotsMax]clock
}

// clock is what a sender report says of a track.
type clock struct {
	at        time.Time
	timestamp uint32
	known     bool
}

// SenderClock ties a track's RTP timestamps to the clock of where its sound comes from, as the latest sender report does (RFC
// 3550 §6.4.1): timestamp is that of the sound of the instant at. ok is false before the first report.
func (p *Player) SenderClock(track int) (at time.Time, timestamp uint32, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.clocks[track]
	return c.at, c.timestamp, c.known
}

// takeClock takes the sender report out of one RTCP datagram, where there is one.
func (p *Player) takeClock(track int, datagram []byte) error {
	packets, err := rtcp.Unmarshal(datagram)
	if err != nil {
		return err
	}
	for _, packet := range packets {
		if report, ok := packet.(*rtcp.SenderReport); ok {
			p.mu.Lock()
			p.clocks[track] = clock{fromNTP(report.NTPTime), report.RTPTime, true}
			p.mu.Unlock()
		}
	}
	return nil
}

// DialPlayer connects to a WHEP endpoint; it returns when audio can flow, or with an *HTTPError when the server refuses. got
// is called for each packet, from one goroutine per track, may be called before DialPlayer returns, and must not block. ctx
// bounds the connecting, not the session. Close ends it.
func DialPlayer(ctx context.Context, cfg ClientConfig, got func(Received)) (*Player, error) {
	tracks := max(cfg.Tracks, 1)
	if tracks > edge.SlotsMax {
		return nil, fmt.Errorf("rtc: %d tracks, at most %d", tracks, edge.SlotsMax)
	}
	p := &Player{}
	c, err := dial(ctx, cfg, func(c *client) error {
		index := map[*webrtc.RTPReceiver]int{}
		for i := range tracks {
			transceiver, err := c.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
			if err != nil {
				return err
			}
			index[transceiver.Receiver()] = i
		}
		c.pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
			i, ok := index[receiver]
			if !ok {
				return
			}
			c.readers.start(func() { // sender reports reach the interceptor, which needs them, only when somebody reads
				buf := make([]byte, datagramMax)
				untilClosed(func() error {
					size, _, err := receiver.Read(buf)
					if err != nil {
						return err
					}
					return p.takeClock(i, buf[:size])
				})
			})
			c.readers.start(func() { receive(track, i, got) })
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.client = c
	return p, nil
}

// receive hands the packets of a track to got until the connection ends.
func receive(track *webrtc.TrackRemote, index int, got func(Received)) {
	var packet rtp.Packet
	buf := make([]byte, datagramMax)
	untilClosed(func() error {
		size, _, err := track.Read(buf)
		if err != nil {
			return err
		}
		arrival := time.Now()
		if err := packet.Unmarshal(buf[:size]); err != nil {
			return err
		}
		r := Received{
			Track: index, Sequence: packet.SequenceNumber, Timestamp: packet.Timestamp, Marker: packet.Marker,
			Payload: packet.Payload, Arrival: arrival,
		}
		for _, id := range packet.CSRC {
			r.Sources.Add(rotunda.SSRC(id))
		}
		got(r)
		return nil
	})
}

// Close takes leave of the server (DELETE) and frees everything; got is not called after, and so must not be where
// Close is called from. ctx bounds the leave-taking.
func (p *Player) Close(ctx context.Context) error { return p.close(ctx) }
