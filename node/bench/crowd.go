package bench

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/maphash"
	mrand "math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/stun/v4"

	"rotunda/node/whip/resource"
)

// crowd is all listeners and the goroutine that reads for them.
type crowd struct {
	cfg       Config
	http      *resource.Client
	identity  identity
	sockets   *sockets
	listeners []listener
	base      time.Time     // instants are durations since then
	asks      chan func()   // run by the reader, between packets; never closed
	stop      chan struct{} // closed by close
	done      chan struct{} // closed by the reader

	packets atomic.Uint64 // for whoever shows progress

	overheardAt atomic.Int64           // the listener whose checks are overheard, and 1; 0: nobody's
	overheard   atomic.Pointer[[]byte] // the last of them

	// what follows belongs to the reader
	stats    stats
	ages     histogram
	captured bool // ages are by capture times in packets
	fanout   fanout
	pilot    int // of fanout; -1: nobody yet
	seed     maphash.Seed
	plain    []byte // for what is decrypted
	turn     int    // whose duties are looked at next
	looked   time.Duration
}

// stats counts what all listeners have seen since listening began.
type stats struct {
	Packets, Octets         uint64 // audio, each packet of each listener once
	Foreign, Bad, Malformed uint64 // of another stream; not authentic; not Opus
	Checked, Ticks          uint64 // decrypted and good, and how much audio was in them
	ConsentLost, SaidClosed uint64
	Reports, Refused        uint64 // reports sent; errors of sockets
}

func newCrowd(cfg Config) (*crowd, error) {
	base := time.Now()
	id, err := newIdentity(base)
	if err != nil {
		return nil, err
	}
	s, err := newSockets()
	if err != nil {
		return nil, err
	}
	c := &crowd{
		cfg: cfg, http: resource.New(cfg.URL, cfg.Token, cfg.HTTP, cfg.Concurrency), identity: id, sockets: s,
		listeners: make([]listener, cfg.Listeners), base: base, asks: make(chan func()), stop: make(chan struct{}), done: make(chan struct{}),
		pilot: -1, seed: maphash.MakeSeed(), plain: make([]byte, 0, datagramMax),
	}
	go c.read()
	return c, nil
}

// close ends the reader and closes every socket. No join may be under way.
func (c *crowd) close() {
	close(c.stop)
	<-c.done
	for i := range c.listeners {
		if l := &c.listeners[i]; l.open.Load() {
			c.sockets.closeOne(l.fd)
		}
	}
	c.sockets.close()
	c.http.Close()
}

func (c *crowd) now() time.Duration { return time.Since(c.base) }

const (
	datagramMax = 1500
	readWait    = 5 * time.Millisecond // how long the reader sleeps at most
	lookEvery   = 20 * time.Millisecond
	lookRound   = 50 // everybody's duties are looked at once in so many times lookEvery: a second
)

// read is the crowd's one reader.
func (c *crowd) read() {
	defer close(c.done)
	buf := make([]byte, datagramMax)
	for {
		select {
		case <-c.stop:
			return
		case f := <-c.asks:
			f()
		default:
		}
		ready := c.sockets.wait(readWait)
		for _, i := range ready {
			l := &c.listeners[i]
			if !l.open.Load() {
				continue
			}
			switch n, at, err := c.sockets.read(l.fd, buf); {
			case err == nil:
				c.receive(i, buf[:n], c.arrival(at))
			case !errors.Is(err, errNothing):
				c.stats.Refused++
			}
		}
		if now := c.now(); now-c.looked >= lookEvery {
			c.looked = now
			c.look(now)
		}
	}
}

// arrival is the instant at which the kernel had a datagram; now, where it does not say.
func (c *crowd) arrival(unix int64) time.Duration {
	if unix == 0 {
		return c.now()
	}
	return time.Duration(unix - c.base.UnixNano())
}

// ask has the reader run f and waits for it.
func (c *crowd) ask(f func()) {
	ran := make(chan struct{})
	c.asks <- func() { defer close(ran); f() }
	<-ran
}

// look does what is due, for a part of the listeners.
func (c *crowd) look(now time.Duration) {
	share := (len(c.listeners) + lookRound - 1) / lookRound
	for range share {
		l := &c.listeners[c.turn]
		if c.pilot < 0 && l.fate == there && l.heard.Load() && l.keys.Load() != nil {
			c.fly(c.turn)
		}
		c.turn = (c.turn + 1) % len(c.listeners)
		if l.open.Load() && l.joining.Load() == nil && l.fate == there && l.keys.Load() != nil {
			c.duties(l, now)
		}
	}
}

// fly makes a listener the pilot of fanout.
func (c *crowd) fly(i int) {
	c.pilot = i
	spread := c.fanout.spread
	c.fanout = fanout{spread: spread}
	for j := range c.listeners {
		if c.listeners[j].open.Load() {
			c.listeners[j].matched = false
		}
	}
}

const (
	dutyEvery   = 5 * time.Second  // RFC 7675 §5.1, and what browsers' reports come to
	consentLost = 30 * time.Second // RFC 7675 §5.1
)

// duties are a check of consent and a receiver report, every five seconds give or take a fifth.
func (c *crowd) duties(l *listener, now time.Duration) {
	if l.due == 0 { // just joined: somewhere within the interval, so that a crowd that came together does not act together
		l.due, l.agreed = now+time.Duration(mrand.Int64N(int64(dutyEvery))), now
		return
	}
	if now < l.due {
		return
	}
	l.due = now + dutyEvery*4/5 + time.Duration(mrand.Int64N(int64(dutyEvery*2/5)))
	if now-l.agreed > consentLost {
		c.stats.ConsentLost++
		c.gone(l, unheard)
		return
	}
	_, _ = rand.Read(l.consent[:])
	if b, err := l.session.check(l.consent); err == nil {
		c.send(l, b)
		if i := c.overheardAt.Load(); i > 0 && l == &c.listeners[i-1] {
			c.overheard.Store(&b)
		}
	}
	if l.tally.begun {
		c.report(l, now)
	}
}

// report sends a receiver report (RFC 3550 §6.4.2).
func (c *crowd) report(l *listener, now time.Duration) {
	r := rtcp.ReceptionReport{SSRC: l.streams, Jitter: l.jitter >> 4, LastSenderReport: l.clock.middle}
	r.FractionLost, r.TotalLost, r.LastSequenceNumber = l.tally.report()
	if l.clock.middle != 0 {
		r.Delay = uint32((now - l.clock.came) * 65536 / time.Second)
	}
	b, err := (&rtcp.ReceiverReport{SSRC: l.session.ssrc, Reports: []rtcp.ReceptionReport{r}}).Marshal()
	if err != nil {
		return
	}
	if b, err = l.keys.Load().out.EncryptRTCP(nil, b, nil); err == nil {
		c.stats.Reports++
		c.send(l, b)
	}
}

func (c *crowd) send(l *listener, b []byte) {
	if c.sockets.write(l.fd, b) != nil {
		c.stats.Refused++
	}
}

// gone ends a listener before its time.
func (c *crowd) gone(l *listener, f fate) {
	l.fate = f
	if f == closed {
		c.stats.SaidClosed++
	}
	if c.pilot >= 0 && l == &c.listeners[c.pilot] {
		c.pilot = -1
	}
}

// begin starts the counts of listening; the reader runs it.
func (c *crowd) begin() {
	c.stats, c.ages, c.fanout.spread = stats{}, histogram{}, histogram{}
	for i := range c.listeners {
		if l := &c.listeners[i]; l.open.Load() {
			l.then = l.tally.counts()
		}
	}
}

// sum is what all have got since begin, and how many of those who had joined are there no more; the reader runs it.
func (c *crowd) sum() (all counts, before counts, gone int) {
	for i := range c.listeners {
		l := &c.listeners[i]
		if !l.open.Load() || l.keys.Load() == nil {
			continue
		}
		if l.fate != there {
			gone++
		}
		n := l.tally.counts()
		before.expected += l.then.expected
		before.received += l.then.received
		all.expected += n.expected - l.then.expected
		all.received += n.received - l.then.received
		all.duplicate += n.duplicate - l.then.duplicate
		all.reordered += n.reordered - l.then.reordered
	}
	return all, before, gone
}

// credential is n random bytes in the characters that ICE takes (RFC 8839 §5.4: ALPHA, DIGIT, + and /).
func credential(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return base64.RawStdEncoding.EncodeToString(b)
}

// newSession makes what a listener brings itself.
func newSession() session {
	s := session{ufrag: credential(6), pwd: credential(18)}
	_, _ = rand.Read(s.tieBreaker[:])
	var b [4]byte
	_, _ = rand.Read(b[:])
	s.ssrc = binary.BigEndian.Uint32(b[:])
	return s
}

// newCheck is a transaction's id: what nobody who is not on the path can guess.
func newCheck() (id [stun.TransactionIDSize]byte) {
	_, _ = rand.Read(id[:])
	return id
}
