package egress

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// TCP is for listeners behind firewalls that let no UDP through: ICE-TCP with passive candidates (RFC 6544), each datagram
// behind its length in two bytes (RFC 4571 §2). Such a listener has two goroutines and a queue.
const (
	// streamsMax bounds the connections, strangersMax those on which nobody has shown a session's password yet, strangersEach
	// those of them that come from one network: whoever opens many keeps out no more than those who share it.
	streamsMax    = 4096
	strangersMax  = 1024
	strangersEach = 64
	// strangerFor is how long a connection may be a stranger's.
	strangerFor = 5 * time.Second
	// streamQueue is how many packets wait for a connection at most: 1.3 s of single frames. What does not fit pushes out the oldest.
	streamQueue = 64
	// writeMax is how long the kernel may take to accept what waits. Who does not read for so long is cut off.
	writeMax = 5 * time.Second
)

// origin is where something came from: an address, and with TCP the connection.
type origin struct {
	at     netip.AddrPort
	stream *stream // nil: UDP
}

// stream is one TCP connection.
type stream struct {
	conn    net.Conn
	from    netip.AddrPort
	session *Session // that it has proved itself to; owned by its reader

	mu     sync.Mutex // guards what follows
	queue  [streamQueue][]byte
	head   int
	n      int
	ending bool // it is closed when all has been written
	closed bool
	ready  chan struct{} // a token when the queue may hold something, or is closed; never closed
}

// put queues a copy of b and reports whether an older packet had to go.
func (c *stream) put(b []byte) (dropped bool) {
	c.mu.Lock()
	if c.n == streamQueue {
		c.head = (c.head + 1) % streamQueue
		c.n--
		dropped = true
	}
	place := &c.queue[(c.head+c.n)%streamQueue]
	*place = append(binary.BigEndian.AppendUint16((*place)[:0], uint16(len(b))), b...)
	c.n++
	c.mu.Unlock()
	c.signal()
	return dropped
}

func (c *stream) signal() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// take appends all that waits to b; ok is false when the connection is closed, or nothing more is to be written.
func (c *stream) take(b []byte) (_ []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == 0 && c.ending {
		return b, false
	}
	for ; c.n > 0; c.n-- {
		b = append(b, c.queue[c.head]...)
		c.head = (c.head + 1) % streamQueue
	}
	return b, !c.closed
}

func (c *stream) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.signal()
	_ = c.conn.Close()
}

// end closes the connection when what waits has been written.
func (c *stream) end() {
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	c.signal()
}

// write hands what is queued to the kernel until the connection is closed.
func (c *stream) write() {
	defer c.close()
	var b []byte
	for {
		var ok bool
		if b, ok = c.take(b[:0]); !ok {
			return
		}
		if len(b) == 0 {
			<-c.ready
			continue
		}
		if c.conn.SetWriteDeadline(time.Now().Add(writeMax)) != nil {
			return
		}
		if _, err := c.conn.Write(b); err != nil {
			return
		}
	}
}

// streams is the connections of a server.
type streams struct {
	listener net.Listener // nil: no TCP

	mu        sync.Mutex // guards what follows
	open      map[*stream]struct{}
	strangers int
	near      map[netip.Prefix]int // strangers of each network
	closed    bool
	running   sync.WaitGroup
}

// accept serves connections until the listener is closed.
func (s *Server) accept() error {
	for {
		conn, err := s.streams.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			time.Sleep(readPause)
			continue
		}
		at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		c := &stream{conn: conn, from: unmapped(at), ready: make(chan struct{}, 1)}
		if err != nil || !s.streams.add(c) {
			_ = conn.Close()
			continue
		}
		s.streams.running.Go(c.write)
		s.streams.running.Go(func() { s.readStream(c) })
	}
}

// add takes in a connection unless there is no place for it.
func (t *streams) add(c *stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	near := network(c.from.Addr())
	if t.closed || len(t.open) >= streamsMax || t.strangers >= strangersMax || t.near[near] >= strangersEach {
		return false
	}
	if t.open == nil {
		t.open, t.near = map[*stream]struct{}{}, map[netip.Prefix]int{}
	}
	t.open[c] = struct{}{}
	t.near[near]++
	t.strangers++
	return true
}

func (t *streams) remove(c *stream, stranger bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c)
	if stranger {
		t.met(c)
	}
}

// known says that c is no stranger's any more.
func (t *streams) known(c *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.met(c)
}

// met counts one stranger less. The caller holds t.mu.
func (t *streams) met(c *stream) {
	near := network(c.from.Addr())
	t.strangers--
	if t.near[near]--; t.near[near] == 0 {
		delete(t.near, near)
	}
}

// network is what one person may have of the addresses: an IPv4 address, or 64 bits of an IPv6 address (RFC 6177 §2).
func network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// lingerMax is how long the last packets have to be read when the server closes.
const lingerMax = 500 * time.Millisecond

// close ends all connections and waits for their goroutines.
func (t *streams) close() {
	if t.listener == nil {
		return
	}
	_ = t.listener.Close()
	t.mu.Lock()
	t.closed = true
	t.each((*stream).end)
	t.mu.Unlock()
	late := time.AfterFunc(lingerMax, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.each((*stream).close)
	})
	t.running.Wait()
	late.Stop()
}

// each runs with the lock held.
func (t *streams) each(do func(*stream)) {
	for c := range t.open {
		do(c)
	}
}

// readStream takes the datagrams of a connection until it is closed, or proves nothing in time.
func (s *Server) readStream(c *stream) {
	stranger := true
	defer func() {
		c.close()
		s.streams.remove(c, stranger)
		if n := c.session; n != nil { // it may come back by another connection
			if to := n.to.Load(); to != nil && to.stream == c {
				n.to.CompareAndSwap(to, nil)
			}
		}
	}()
	from := origin{c.from, c}
	_ = c.conn.SetReadDeadline(time.Now().Add(strangerFor))
	var head [2]byte
	var buf [datagramMax]byte
	for {
		if _, err := io.ReadFull(c.conn, head[:]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint16(head[:]))
		if size > datagramMax {
			return
		}
		if _, err := io.ReadFull(c.conn, buf[:size]); err != nil {
			return
		}
		s.receivedBy(time.Now(), buf[:size], from)
		if c.session == nil {
			continue
		}
		if stranger {
			stranger = false
			s.streams.known(c)
		}
		if c.session.ended.Load() {
			return
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(goneAfter))
	}
}

// receivedBy is received for a connection: what is on it is its session's, or a check.
func (s *Server) receivedBy(now time.Time, b []byte, from origin) {
	if len(b) < 12 {
		return
	}
	switch first, n := b[0], from.stream.session; {
	case first <= 3:
		s.checked(now, b, from)
	case n == nil:
	case first >= 20 && first <= 63:
		n.handshaken(now, b, from)
	case first >= 128 && first <= 191:
		n.reported(now, b)
	}
}
