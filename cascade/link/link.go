package link

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sync/errgroup"

	"rotunda"
	"rotunda/cascade/nodecert"
	"rotunda/cascade/wire"
)

const (
	// heartbeatEvery is how often each side makes sure that it has sent something lately.
	heartbeatEvery = 50 * time.Millisecond
	// fresh is how long ago a datagram may have left for no heartbeat to be needed. With heartbeatEvery it bounds the
	// pause between two datagrams to 70 ms: six would have to be lost in a row to look like silence, one time in sixty
	// million at 5 % loss.
	fresh = 20 * time.Millisecond
	// quickFresh is the same with quickEvery: a tick that comes a little early is no reason to leave one out.
	quickFresh = quickEvery - time.Millisecond
	// silentTicks of heartbeatEvery without a datagram or message from the peer mean that it is dead. Ticks are counted
	// and not time, because a process that did not get to run misses ticks too and must not blame its peers.
	silentTicks = 9
	// SilenceMax is when a silent peer is given up at the latest.
	SilenceMax = (silentTicks + 1) * heartbeatEvery
	// quickEvery, suspectTicks and quickTicks take the places of these on a link that carries streams, to a peer of
	// revision 3 or later: after suspectTicks of quickEvery, 60 to 80 ms, other ways are looked for, and that is what keeps
	// the sound. The link itself ends after quickTicks, half a second: to bring up another one costs a busy machine more than it
	// gains, and two nodes that are short of processor time would do nothing else. A peer that says that it has heard nothing is suspect for as long as the next such word may take.
	quickEvery   = 20 * time.Millisecond
	suspectTicks = 4
	quickTicks   = 25
	deafMin      = suspectTicks * quickEvery
	deafTicks    = 5
	// A link that was silent for strainTicks and came back loses packets, or its peer is short of processor time: for strainMax
	// ticks, five minutes, it has strainedTicks, 120 to 140 ms, and at 5 % is suspect for nothing once in a week. Of the silences
	// that strain it, one in about twenty goes on until it is suspect at once.
	strainTicks   = 3
	strainedTicks = 7
	strainMax     = 15000
	// helloTicks is how long the peer may take for its first sign of life.
	helloTicks = int64(handshakeMax / heartbeatEvery)
	// controlMax bounds the control messages that wait for a peer, in octets: some thousands. Floods, questions and
	// answers get no more than floodMax of it, so that they end no link.
	controlMax = 1 << 20
	floodMax   = controlMax / 2
	// notesMax is for how many streams notes wait for a peer at most, in either direction; of each only the newest does.
	notesMax = 4096
	// notesAtOnce is how many of them are written at a time: those after them may still be replaced by newer ones.
	notesAtOnce = 32
)

// Why a link ended. Run's error wraps one of these or is something that happened to the network.
var (
	ErrClosed    = errors.New("closed by this node")
	ErrLeaving   = errors.New("peer leaves")
	ErrDuplicate = errors.New("there is another link to the peer")
	ErrIdle      = errors.New("nothing to carry")
	ErrProtocol  = errors.New("protocol violation")
	ErrSilent    = errors.New("peer is silent")
	ErrOverflow  = errors.New("peer does not take its control messages")
)

// codes are the application's close codes (RFC 9000 §20.2), part of the protocol.
var codes = map[quic.ApplicationErrorCode]error{
	0: ErrLeaving, 1: ErrDuplicate, 2: ErrIdle, 3: ErrProtocol, 4: ErrSilent, 5: ErrOverflow, 6: ErrNotMember,
}

func code(why error) quic.ApplicationErrorCode {
	for c, err := range codes {
		if errors.Is(why, err) {
			return c
		}
	}
	return 0
}

// Handler takes what a link brings. Frame, Control and Suspect are called on the link's own goroutines, each by one
// at a time, and must not block; the frame is valid during the call only. The first message is the peer's hello. An error from Control
// closes the link.
type Handler interface {
	Frame(wire.Alias, *rotunda.Frame)
	Control(wire.Message) error
	// Suspect says that nothing has come through the link lately, or nothing arrives at the peer (is); and that it does
	// again.
	Suspect(is bool)
}

// Link is one connection to a peer.
type Link struct {
	Peer    nodecert.Identity
	Dialled bool // by this node

	e        *Endpoint
	conn     *quic.Conn
	ring     *ring
	silent   atomic.Int64  // ticks since the peer was heard
	deaf     atomic.Int64  // ticks for which the peer's word still holds that it hears nothing; at most 0: it does not
	busy     atomic.Bool   // carries streams
	peerBusy atomic.Bool   // as the peer knows
	unheard  atomic.Int64  // ticks since the peer was heard, if so many that the peer should know; else 0
	revision atomic.Uint32 // of the peer; 0 before its hello
	closing  chan error    // capacity 1; why this node wants the end. Never closed
	control  outbox

	name   string          // of the lanes
	joined chan *quic.Conn // lanes of the peer's. Never closed
	wanted chan struct{}   // capacity dialsMax; the writer wants a lane. Never closed
	grown  chan *quic.Conn // the lane it wanted; nil: could not be had. Never closed
	frame  sync.Mutex      // guards gaps; held while the handler takes frames: each lane is read by a goroutine
	gaps   gaps

	questions questions
}

func (e *Endpoint) newLink(conn *quic.Conn, dialled bool) (*Link, error) {
	chain := conn.ConnectionState().TLS.PeerCertificates
	var id nodecert.Identity
	err := fmt.Errorf("%w: none shown", ErrNotMember)
	if len(chain) > 0 {
		id, err = nodecert.Named(chain[0]) // verified in the handshake
	}
	if err != nil {
		conn.CloseWithError(code(ErrProtocol), "")
		return nil, err
	}
	name, err := laneName(conn)
	if err != nil {
		conn.CloseWithError(code(ErrProtocol), "")
		return nil, err
	}
	l := &Link{
		Peer: id, Dialled: dialled, e: e, conn: conn, ring: newRing(e.cfg.Metrics.CascadeDropped), closing: make(chan error, 1),
		name: name, joined: make(chan *quic.Conn, lanesMax), wanted: make(chan struct{}, dialsMax), grown: make(chan *quic.Conn),
	}
	l.silent.Store(-helloTicks)
	l.questions.wake = make(chan struct{}, 1)
	l.control.wake, l.control.notes = make(chan struct{}, 1), map[noteKey]wire.Message{}
	l.control.put(wire.Hello{Revision: wire.Revision}, controlMax) // before anybody else's first message
	return l, nil
}

// usage is what the peer has shown its certificate for.
func (l *Link) usage() nodecert.Usage {
	if l.Dialled {
		return x509.ExtKeyUsageServerAuth
	}
	return x509.ExtKeyUsageClientAuth
}

// Send queues a frame for the peer; it never blocks and allocates nothing. The oldest frame gives way when the queue is
// full. The alias must be Valid and the frame Encodable.
func (l *Link) Send(a wire.Alias, f *rotunda.Frame) { l.ring.push(time.Now(), a, f) }

// Control queues a message of the first revision for the peer; it never blocks. Control messages are never dropped: a peer
// that does not take them loses the link.
func (l *Link) Control(m wire.Message) {
	if !l.control.put(m, controlMax) {
		l.Close(ErrOverflow)
	}
}

// Flood queues a flood for the peer and reports whether it did: not when the peer has said no hello yet, is too old for it,
// or takes its messages too slowly. It never blocks.
func (l *Link) Flood(m wire.Flood) bool { return l.offer(m) }

// Ask and Answer queue a question or an answer to one for the peer, as Flood does.
func (l *Link) Ask(m wire.Ask) bool { return l.offer(m) }

// Answer is Ask's way back.
func (l *Link) Answer(m wire.Answer) bool { return l.offer(m) }

// Greeted reports whether the peer has said what it takes.
func (l *Link) Greeted() bool { return l.revision.Load() > 0 }

// Asks reports whether the peer is one that takes questions.
func (l *Link) Asks() bool { return l.takes(wire.Ask{}) }

func (l *Link) offer(m wire.Message) bool {
	if !l.takes(m) {
		return false
	}
	if !l.control.put(m, floodMax) {
		l.e.dropped(dropQueueFull)
		return false
	}
	return true
}

// Up and Down queue a note for the peer, in the place of the one for the same alias that still waits, and report whether
// they did, as Flood does. They never block.
func (l *Link) Up(m wire.Up) bool { return l.note(noteKey{m.Alias, true}, m) }

// Down is Up's other direction.
func (l *Link) Down(m wire.Down) bool { return l.note(noteKey{m.Alias, false}, m) }

func (l *Link) note(k noteKey, m wire.Message) bool {
	if !l.takes(m) {
		return false
	}
	if !l.control.note(k, m) {
		l.e.dropped(dropQueueFull)
		return false
	}
	return true
}

// Resumes reports whether the peer is known to take a Resume.
func (l *Link) Resumes() bool { return l.takes(wire.Resume{}) }

func (l *Link) takes(m wire.Message) bool { return l.revision.Load() >= uint32(m.Since()) }

// RTT is the smoothed round trip.
func (l *Link) RTT() time.Duration { return l.conn.ConnectionStats().SmoothedRTT }

// Close has Run end the link and tell the peer why: one of this package's errors. It does not wait for it.
func (l *Link) Close(why error) {
	select {
	case l.closing <- why:
	default: // somebody was first
	}
}

// Run carries the link until it or ctx ends, and says why it ended. It must be called once.
func (l *Link) Run(ctx context.Context, h Handler) error {
	g, gctx := errgroup.WithContext(ctx)
	stream, err := l.open(gctx)
	if err != nil {
		l.conn.CloseWithError(code(ErrProtocol), "")
		return l.why(ctx, err)
	}
	l.e.links.add(l)
	g.Go(func() error { return l.readFrames(gctx, l.conn, h) })
	g.Go(func() error { return l.hearLanes(gctx, g, h) })
	g.Go(func() error { return l.grow(gctx, g) })
	g.Go(func() error { return l.writeFrames(gctx) })
	g.Go(func() error { return l.readControl(stream, h) })
	g.Go(func() error { return l.writeControl(gctx, stream) })
	g.Go(func() error { return l.watch(gctx, h) })
	// Closing frees those who block in the connection without a context. The group's context ends before Wait returns.
	context.AfterFunc(gctx, func() { l.conn.CloseWithError(code(context.Cause(gctx)), "") })
	err = g.Wait()
	l.e.links.remove(l)
	<-l.conn.Context().Done()
	return l.why(ctx, err)
}

// why finds the reason that counts: what the peer said, else what the first goroutine ended with.
func (l *Link) why(ctx context.Context, err error) error {
	var app *quic.ApplicationError
	switch {
	case ctx.Err() != nil:
		err = ErrClosed
	case errors.As(context.Cause(l.conn.Context()), &app) && app.Remote && codes[app.ErrorCode] != nil:
		err = fmt.Errorf("closed by peer: %w", codes[app.ErrorCode])
	}
	return fmt.Errorf("link to %s: %w", l.Peer.ID, err)
}

// open makes the control stream: the side that dialled opens it, and its hello makes it known to the other.
func (l *Link) open(ctx context.Context) (*quic.Stream, error) {
	if l.Dialled {
		return l.conn.OpenStream()
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeMax)
	defer cancel()
	return l.conn.AcceptStream(ctx)
}

func (l *Link) readFrames(ctx context.Context, conn *quic.Conn, h Handler) error {
	datagrams, frames := l.e.cfg.Metrics.CascadeDatagrams.With("in"), l.e.cfg.Metrics.CascadeFrames.With("in")
	var f rotunda.Frame
	for {
		b, err := conn.ReceiveDatagram(ctx)
		if err != nil {
			return err
		}
		l.silent.Store(0)
		datagrams.Inc()
		typ, rest, err := wire.ParseDatagram(b)
		if err == nil && typ == wire.Heartbeat {
			if heard, ok := wire.HeartbeatHeard(rest); ok {
				l.peerBusy.Store(true)
				if heard >= deafMin {
					l.deaf.Store(deafTicks)
				}
			}
			continue
		}
		l.peerBusy.Store(true)
		switch {
		case err != nil:
		case typ == wire.Missing:
			err = l.hearMissing(rest)
		default:
			var n int
			n, err = l.hearFrames(rest, &f, h)
			frames.Add(float64(n))
		}
		if err != nil {
			l.e.dropped(dropMalformed)
		}
	}
}

func (l *Link) readControl(s *quic.Stream, h Handler) error {
	var buf [wire.MessageMax]byte
	for first := true; ; first = false {
		n, err := l.readLength(s, buf[:wire.LengthSize])
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(s, buf[:n]); err != nil {
			return err
		}
		l.silent.Store(0)
		m, err := wire.ParseMessage(buf[:n])
		if err != nil {
			return l.violation(err)
		}
		hello, is := m.(wire.Hello)
		_, newer := m.(wire.Unknown)
		switch {
		case first != is, is && hello.Revision < wire.RevisionMin: // a newer peer speaks ours as well, or has another ALPN
			return l.violation(errors.New("no hello, or not the first"))
		case newer:
			continue
		case is:
			l.revision.Store(uint32(hello.Revision))
		}
		if err := h.Control(m); err != nil {
			return l.violation(err)
		}
	}
}

func (l *Link) readLength(s *quic.Stream, b []byte) (int, error) {
	if _, err := io.ReadFull(s, b); err != nil {
		return 0, err
	}
	n, err := wire.MessageLength(b)
	if err != nil {
		return 0, l.violation(err)
	}
	return n, nil
}

func (l *Link) violation(err error) error {
	l.e.dropped(dropMalformed)
	return fmt.Errorf("%w: %w", ErrProtocol, err)
}

func (l *Link) writeControl(ctx context.Context, s *quic.Stream) error {
	var buf []byte
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.control.wake:
		}
		for {
			if buf = l.control.take(buf[:0]); len(buf) == 0 {
				break
			}
			if _, err := s.Write(buf); err != nil {
				return err
			}
		}
	}
}
