package egress

import (
	"context"
	crandom "crypto/rand"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"rotunda"
	"rotunda/node/edge"
	"rotunda/node/egress/rtp"
	"rotunda/node/egress/srtp"
)

// Session is one listener.
type Session struct {
	id     string
	server *Server
	shard  *shard
	seats  *seats // of its room, in its shard
	frames int    // that may share a packet, by the offer
	mid    string // of its first track
	asked  time.Time

	up    atomic.Bool          // the handshake is done
	ended atomic.Bool          // nothing goes out any more
	heard atomic.Int64         // when the client was last heard, ns since 1970
	to    atomic.Pointer[peer] // nil: it has not proved an address
	lossy atomic.Bool          // it loses packets
	loss  atomic.Uint32        // fraction lost of the latest report, of 256; plus one, so that 0 is "none yet"
	rtt   atomic.Int64         // ns; 0: not known

	connected chan struct{} // closed when the handshake is done
	done      chan struct{} // closed when it has ended
	endOnce   sync.Once

	credentials                  // guarded by Server.mu
	former      credentials      // before a restart of ICE, until the new ones are used; guarded by Server.mu
	addresses   []netip.AddrPort // that it has proved, the newest last; guarded by Server.mu
	wasUp       bool             // it is not among the pending; guarded by Server.mu

	mu        sync.Mutex // guards what follows
	after     []func()   // to be called when it has ended
	over      bool       // they have been
	checks    checks
	handshake *handshake // while there is one
	secrets   *secrets   // after it
	quality   quality

	// What follows belongs to the shard's goroutine.
	sender  *srtp.Sender
	tracks  []track
	hears   bool // takes the program
	place   int  // in its list; meaningful while seated
	seated  bool
	takes   rendition
	changed bool // nothing has been sent since its rendition changed
	greeted bool
	first   bool      // something has been sent
	sentAt  time.Time // when it was sent something that is not its room's program
	pulsed  bool      // it is among the shard's pulses
}

// credentials are those of ICE.
type credentials struct{ fragment, password string }

// track is one RTP stream of a session. It belongs to the shard's goroutine.
type track struct {
	ssrc    uint32
	payload payloadTypes
	sent    srtp.Sent
	splice  edge.Splice
	series  uint16 // from here on all was sent in the present rendition, and may be sent again
	clock   senderClock
}

// makers of a track's packets.
var (
	singly     = edge.Maker{Clock: 0, Series: 0}
	merged     = edge.Maker{Clock: 0, Series: 1}
	separately = edge.Maker{Clock: 1}
)

// Play answers the offer of somebody who takes audio: a track for each of its audio m-lines, at most edge.SlotsMax. On the first
// the session hears the room's program, until Hear says otherwise. ctx bounds the negotiation, not the session. An error that
// is the offer's fault wraps ErrOffer; ErrBusy and ErrClosed say that no offer would do.
func (s *Server) Play(_ context.Context, room *Room, offer string) (*Session, string, error) {
	facts, err := readOffer(offer)
	if err != nil {
		return nil, "", err
	}
	now := time.Now()
	cert, err := s.cert.newest(now)
	if err != nil {
		return nil, "", err
	}
	var id [16]byte
	crandom.Read(id[:])
	n := &Session{
		id: hex.EncodeToString(id[:]), server: s, frames: facts.frames, mid: facts.mid(), asked: now, credentials: newCredentials(), hears: true,
		connected: make(chan struct{}), done: make(chan struct{}), tracks: make([]track, len(facts.tracks)),
	}
	base := rand.Uint32() &^ 7 // RFC 3550 §8.1: random; no two of a session are the same
	for i := range n.tracks {
		n.tracks[i] = track{ssrc: base | uint32(i), payload: facts.tracks[i]}
	}
	n.shard = room.shard()
	n.seats = room.seats[n.shard.index]
	answer, err := facts.answer(n, cert.fingerprint)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %v", ErrOffer, err)
	}
	n.handshake = newHandshake(n, cert, facts.fingerprint)
	if err := s.admit(n); err != nil {
		return nil, "", err
	}
	n.shard.sessions.Add(1)
	room.listeners.Add(1)
	return n, answer, nil
}

// newCredentials makes those of one ICE session: RFC 8445 §5.3 asks for 24 and 128 bits of randomness.
func newCredentials() credentials {
	var b [8 + 16]byte
	crandom.Read(b[:])
	text := hex.EncodeToString(b[:])
	return credentials{fragment: text[:16], password: text[16:]}
}

// ID is the session's name: 128 random bits in hex.
func (n *Session) ID() string { return n.id }

// Tracks is the number of tracks that Send takes packets for.
func (n *Session) Tracks() int { return len(n.tracks) }

// Connected is closed when the client's DTLS handshake is complete. It stays open in a session that ends before.
func (n *Session) Connected() <-chan struct{} { return n.connected }

// Done is closed when the session has ended and nothing goes out any more.
func (n *Session) Done() <-chan struct{} { return n.done }

// AfterDone calls f once, on a goroutine of its own, when the session has ended; at once if it has. It costs nothing while the
// session lives.
func (n *Session) AfterDone(f func()) {
	n.mu.Lock()
	over := n.over
	if !over {
		n.after = append(n.after, f)
	}
	n.mu.Unlock()
	if over {
		go f()
	}
}

// Close begins to end the session: nothing more goes out but a goodbye. It does not wait, and is safe to call twice.
func (n *Session) Close() {
	if n.ended.Swap(true) {
		return
	}
	n.server.forget(n)
	n.shard.order(order{kind: orderEnd, session: n})
}

// finish is called by the shard when it has taken leave.
func (n *Session) finish() {
	n.mu.Lock()
	if n.over {
		n.mu.Unlock()
		return
	}
	n.over = true
	after := n.after
	n.after = nil
	h := n.handshake
	n.handshake = nil
	n.mu.Unlock()
	if h != nil {
		h.cancel()
	}
	n.server.losses.forget(n)
	n.shard.sessions.Add(-1)
	n.seats.room.listeners.Add(-1)
	if len(after) > 0 {
		n.server.running.Go(func() {
			for _, f := range after {
				f()
			}
		})
	}
	close(n.done)
}

// Hear says whether the session takes its room's program. Who does not is sent what Send is given.
func (n *Session) Hear(program bool) {
	kind := orderLeave
	if program {
		kind = orderHear
	}
	n.shard.order(order{kind: kind, session: n})
}

// Send sends a copy of p on a track, 0 ≤ track < Tracks, and never blocks. Until the client is connected there is nobody to
// send to, and nothing is counted. It allocates nothing.
func (n *Session) Send(track int, p *edge.Packet) {
	if len(p.Payload) > rotunda.PayloadMax {
		panic(fmt.Sprintf("egress: a payload of %d bytes; frames have at most %d", len(p.Payload), rotunda.PayloadMax))
	}
	if track < 0 || track >= len(n.tracks) {
		panic(fmt.Sprintf("egress: track %d of %d", track, len(n.tracks)))
	}
	if n.ended.Load() {
		n.server.metrics.EgressDropped.With("closed").Inc()
		return
	}
	if n.up.Load() {
		n.shard.push(jobFor{session: n, track: track}, time.Now(), p)
	}
}

// paused reports whether the client has been silent for so long that nothing may be sent to it (RFC 7675 §5.1).
func (n *Session) paused(now time.Time) bool {
	return now.UnixNano()-n.heard.Load() > int64(pausedAfter)
}

// connectedNow is called by the handshake, which hands over its keys.
func (n *Session) connectedNow(sender *srtp.Sender, secrets *secrets) {
	n.mu.Lock()
	n.secrets, n.handshake = secrets, nil
	n.mu.Unlock()
	n.server.mu.Lock()
	if _, ok := n.server.sessions[n]; ok && !n.wasUp {
		n.wasUp = true
		n.server.pending.Add(-1)
	}
	n.server.mu.Unlock()
	n.heard.Store(time.Now().UnixNano())
	n.shard.order(order{kind: orderUp, session: n, sender: sender})
	if !n.ended.Load() {
		n.up.Store(true)
		close(n.connected)
	}
}

// Reception is what a listener has last reported.
type Reception struct {
	Lost      float64       // share of packets lost between its last two reports, 0 to 1
	RoundTrip time.Duration // 0: not known
}

// Reception returns the latest report of a listener; ok is false before the first.
func (n *Session) Reception() (r Reception, ok bool) {
	loss := n.loss.Load()
	if loss == 0 {
		return Reception{}, false
	}
	return Reception{Lost: float64(loss-1) / 256, RoundTrip: time.Duration(n.rtt.Load())}, true
}

// goodbye tells the client that the session is over, by RTCP and by a DTLS alert; it writes to the two buffers.
func (n *Session) goodbye(plain, dst []byte) (packets [2][]byte) {
	return [2][]byte{n.sender.RTCP(dst, rtp.AppendBye(plain, n.tracks[0].ssrc, cname)), n.secrets.closeNotify()}
}
