package link

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sync/errgroup"

	"rotunda/cascade/nodecert"
	"rotunda/cascade/wire"
	"rotunda/metrics"
)

// ALPNLane is the protocol of a lane: a connection that carries datagrams of a link in one direction, beside the link's own.
// Under loss one connection's congestion window is small, whatever the path could carry; each end adds lanes for what it
// sends, until its frames need not wait. A lane is no promise: it may end at any time, and both ends go on without it. Its
// server name is the link's: see laneName.
const ALPNLane = "rotunda-lane/1"

const (
	// lanesMax is how many connections a link has in one direction, its own included.
	lanesMax = 48
	// dialsMax is how many lanes are dialled at once: where packets are lost a handshake may take a second.
	dialsMax = 4
	// growEvery is the least time between two dials, growAgain the time after one that failed.
	growEvery, growAgain = 100 * time.Millisecond, 2 * time.Second
	// repeatReserve is the share of all windows that copies leave to frames.
	repeatReserve = .1
	// strainedAbove is the share of all windows that may be in use before there should be more of them: each packet that is
	// lost makes one smaller.
	strainedAbove = .6
	// enoughFor is for how long no frame and no copy may have been held back before a lane is closed again.
	enoughFor = 30 * time.Second
	// laneIdle is how long a lane may carry nothing before its sender closes it; below idleMax.
	laneIdle = 3 * time.Second
)

// laneName names a link in the handshakes of its lanes: a value that only its ends know before the first of these. It is no
// secret after that; who may use it is the link's peer, by its certificate.
func laneName(conn *quic.Conn) (string, error) {
	tls := conn.ConnectionState().TLS
	b, err := tls.ExportKeyingMaterial("EXPERIMENTAL rotunda lane", nil, 16)
	if err != nil {
		return "", fmt.Errorf("name of the link's lanes: %w", err)
	}
	return hex.EncodeToString(b) + ".lane", nil
}

// lane is a connection as its sender sees it, owned by the writer.
type lane struct {
	conn   *quic.Conn
	budget budget
	lost   uint64
	last   time.Time // when a datagram left
}

// links finds the running link that a lane belongs to.
type links struct {
	mu     sync.Mutex
	byName map[string]*Link
}

func (s *links) add(l *Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byName[l.name] = l
}

// remove says that l has ended, and closes the lanes that it has not taken.
func (s *links) remove(l *Link) {
	s.mu.Lock()
	delete(s.byName, l.name)
	s.mu.Unlock()
	for { // nobody adds to them any more
		select {
		case conn := <-l.joined:
			conn.CloseWithError(0, "")
		default:
			return
		}
	}
}

// join gives an accepted lane to its link, or closes it.
func (s *links) join(conn *quic.Conn) {
	if !s.joins(conn) {
		conn.CloseWithError(code(ErrProtocol), "") // waits for the connection's own goroutine
	}
}

// joins reports whether a link takes the lane. The lock is held until it has, so that nothing joins a link that has ended.
func (s *links) joins(conn *quic.Conn) bool {
	tls := conn.ConnectionState().TLS
	id, err := nodecert.Named(tls.PeerCertificates[0]) // verified in the handshake
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.byName[tls.ServerName]
	if err != nil || l == nil || l.Peer != id {
		return false
	}
	select {
	case l.joined <- conn:
		return true
	default: // too many at once
		return false
	}
}

// hearLanes reads the lanes that the peer adds. A lane that ends does the link no harm.
func (l *Link) hearLanes(ctx context.Context, g *errgroup.Group, h Handler) error {
	room := make(chan struct{}, lanesMax)
	for {
		var conn *quic.Conn
		select {
		case <-ctx.Done():
			return ctx.Err()
		case conn = <-l.joined:
		}
		select {
		case room <- struct{}{}:
		default:
			conn.CloseWithError(code(ErrProtocol), "")
			continue
		}
		g.Go(func() error {
			l.hearLane(ctx, conn, h)
			<-room
			return nil
		})
	}
}

// closeWith closes a lane when the link ends.
func (l *Link) closeWith(ctx context.Context, conn *quic.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { conn.CloseWithError(0, "") })
}

// grow dials a lane each time the writer wants one, dialsMax at once.
func (l *Link) grow(ctx context.Context, g *errgroup.Group) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.wanted:
		}
		g.Go(func() error {
			conn := l.dialLane(ctx)
			select {
			case l.grown <- conn:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
}

// dialLane returns a lane that the peer is known to read: who has dialled is through the handshake before the peer is, and
// what it sends until then may be lost. So the peer opens a stream, with nothing in it, to say so. nil: there is none.
func (l *Link) dialLane(ctx context.Context) *quic.Conn {
	config := quicConfig(-1)
	config.MaxIncomingUniStreams = 1
	conn, err := l.e.transport.Dial(ctx, l.conn.RemoteAddr(), l.e.laneTLS(l.Peer, l.name), config)
	if err != nil {
		return nil
	}
	l.closeWith(ctx, conn)
	ready, cancel := context.WithTimeout(ctx, handshakeMax)
	defer cancel()
	if _, err := conn.AcceptUniStream(ready); err != nil {
		conn.CloseWithError(0, "")
		return nil
	}
	return conn
}

// hearLane reads a lane of the peer's until it ends.
func (l *Link) hearLane(ctx context.Context, conn *quic.Conn, h Handler) {
	stop := l.closeWith(ctx, conn)
	defer stop()
	defer conn.CloseWithError(0, "")
	open := l.e.cfg.Metrics.CascadeLanes.With("in")
	open.Add(1)
	defer open.Add(-1)
	if s, err := conn.OpenUniStream(); err == nil && s.Close() == nil {
		l.readFrames(ctx, conn, h)
	}
}

// lanes is what a writer sends on; the first is the link's own connection. It belongs to the writer's goroutine.
type lanes struct {
	open    *metrics.Gauge // those but the first, of all links
	all     []*lane
	gone    uint64    // packets that lanes which have ended had lost
	pending int       // are being dialled
	after   time.Time // when the next one may be
	pressed time.Time // when something was held back last
}

// dialled takes the lane that was wanted; nil: it could not be had.
func (s *lanes) dialled(now time.Time, conn *quic.Conn) {
	s.pending--
	s.pressed = now
	if conn == nil {
		s.after = now.Add(growAgain)
		return
	}
	s.open.Add(1)
	s.add(now, conn)
}

func (s *lanes) add(now time.Time, conn *quic.Conn) {
	s.all = append(s.all, &lane{conn: conn, last: now})
}

// best is the lane of whose window most is left: so all are used alike, and none grows old unused.
func (s *lanes) best() *lane {
	best, most := s.all[0], s.all[0].budget.left()
	for _, l := range s.all[1:] {
		if left := l.budget.left(); left > most {
			best, most = l, left
		}
	}
	return best
}

// use returns the octets in flight on all lanes and what their windows take in all. known is false while no round trip has
// been measured.
func (s *lanes) use() (flying, window float64, known bool) {
	for _, l := range s.all {
		flying += l.budget.flying
		window += float64(l.budget.last.window)
		known = known || l.budget.last.rtt > 0
	}
	return flying, window, known
}

// repeats reports whether copies may go.
func (s *lanes) repeats() bool {
	flying, window, known := s.use()
	return !known || !s.best().budget.full() && flying < (1-repeatReserve)*window
}

// strained reports whether frames will soon have to wait while packets are lost.
func (s *lanes) strained() bool {
	flying, window, known := s.use()
	return known && flying > strainedAbove*window
}

// look takes what the connections say and returns the packets that all have lost.
func (s *lanes) look(now time.Time) (lost uint64) {
	lost = s.gone
	for _, l := range s.all {
		c := l.conn.ConnectionStats()
		l.budget.update(now, flow{window: c.CongestionWindow, rtt: c.SmoothedRTT, bytes: c.BytesSent, pkts: c.PacketsSent})
		l.lost = c.PacketsLost
		lost += l.lost
	}
	return lost
}

// close says that the link has ended, with which its connections do.
func (s *lanes) close() { s.open.Add(-float64(len(s.all) - 1)) }

// shrink closes what is not needed: lanes that have ended or carry nothing, and one in a while when nothing was held back.
func (s *lanes) shrink(now time.Time) {
	for i := len(s.all) - 1; i > 0; i-- {
		l := s.all[i]
		spare := i == len(s.all)-1 && now.Sub(s.pressed) > enoughFor
		if spare {
			s.pressed = now
		}
		if spare || now.Sub(l.last) > laneIdle || l.conn.Context().Err() != nil {
			s.remove(i)
		}
	}
}

func (s *lanes) remove(i int) {
	l := s.all[i]
	s.gone += l.lost
	s.open.Add(-1)
	l.conn.CloseWithError(0, "")
	s.all = append(s.all[:i], s.all[i+1:]...)
}

// wants says that something is held back, and reports whether another lane is to be dialled.
func (s *lanes) wants(now time.Time) bool {
	s.pressed = now
	if s.pending >= dialsMax || len(s.all)+s.pending >= lanesMax || now.Before(s.after) {
		return false
	}
	s.pending++
	s.after = now.Add(growEvery)
	return true
}

// press asks for another lane, if the peer knows them.
func (w *writer) press(now time.Time) {
	if w.l.revision.Load() >= wire.SinceLanes && w.lanes.wants(now) {
		w.l.wanted <- struct{}{} // has room: no more than dialsMax are pending
	}
}
