package bench

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/pion/stun/v4"
)

// Attack is something that strangers do to a media port. All of it goes to the address of the endpoint's answer, for as
// long as the load listens.
type Attack string

// The attacks.
const (
	WrongPassword Attack = "wrong-password" // checks with the name of somebody's session and another password
	Replay        Attack = "replay"         // somebody's own check, overheard, from other addresses
	Unchecked     Attack = "unchecked"      // DTLS from addresses that no check came from
	HalfOpen      Attack = "half-open"      // sessions that are opened, checked and begin a handshake that never ends
)

// Assault is what an attack came to, in UDP payload.
type Assault struct {
	Sent          uint64 `json:"sent"` // datagrams
	SentBytes     uint64 `json:"sent_bytes"`
	Received      uint64 `json:"received"` // datagrams that the server sent to attackers
	ReceivedBytes uint64 `json:"received_bytes"`
	Sessions      uint64 `json:"sessions,omitempty"` // opened by HTTP
	Refused       uint64 `json:"refused,omitempty"`  // of these, not
}

// The pace of attacks.
const (
	attackRate    = 2000 // datagrams a second of each attack
	attackSources = 32   // addresses that they come from
	halfOpenRate  = 100  // sessions a second
	halfOpenMax   = 1024 // handshakes under way
	halfOpenFor   = 8 * time.Second
	overhearEvery = 50 * time.Millisecond
)

var attacks = map[Attack]func(*assault, context.Context, *Assault){
	WrongPassword: (*assault).wrongPassword, Replay: (*assault).replay, Unchecked: (*assault).unchecked, HalfOpen: (*assault).halfOpen,
}

// Attacks lists them.
func Attacks() []Attack { return []Attack{WrongPassword, Replay, Unchecked, HalfOpen} }

// assault is all attacks of a load. Victim is one of its listeners.
type assault struct {
	crowd  *crowd
	victim *session
	cancel context.CancelFunc
	done   sync.WaitGroup
	result map[Attack]*Assault
}

// startAssault begins the attacks; stop ends them. The reader must not open sockets any more.
func startAssault(ctx context.Context, cfg Config, c *crowd) *assault {
	ctx, cancel := context.WithCancel(ctx)
	a := &assault{crowd: c, cancel: cancel, result: map[Attack]*Assault{}}
	for i := range c.listeners {
		if l := &c.listeners[i]; l.open.Load() && l.keys.Load() != nil {
			a.victim = &l.session
			c.overheardAt.Store(int64(i) + 1)
			break
		}
	}
	for _, kind := range cfg.Hostile {
		r := &Assault{}
		a.result[kind] = r
		a.done.Go(func() { attacks[kind](a, ctx, r) })
	}
	return a
}

func (a *assault) stop() map[Attack]*Assault {
	a.cancel()
	a.done.Wait()
	return a.result
}

// source is one address that datagrams come from; what the server sends back is counted and dropped.
type source struct {
	*net.UDPConn
	*Assault
}

func (a *assault) from(r *Assault) (*source, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(a.target()))
	if err != nil {
		return nil, err
	}
	return &source{c, r}, nil
}

func (a *assault) target() netip.AddrPort { return a.victim.remote.candidates[0] }

func (s *source) send(b []byte) error {
	_, err := s.Write(b)
	if err == nil {
		atomic.AddUint64(&s.Sent, 1)
		atomic.AddUint64(&s.SentBytes, uint64(len(b)))
	}
	return err
}

// receive counts what comes until the source is closed, and shows each datagram to see, which may be nil.
func (s *source) receive(see func([]byte)) {
	buf := make([]byte, datagramMax)
	for {
		n, err := s.Read(buf)
		if err != nil {
			if closed := s.SetReadDeadline(time.Time{}) != nil; closed {
				return
			}
			continue // refused, by ICMP
		}
		atomic.AddUint64(&s.Received, 1)
		atomic.AddUint64(&s.ReceivedBytes, uint64(n))
		if see != nil {
			see(buf[:n])
		}
	}
}

// flood sends what next makes, from many addresses in turn, until ctx ends; nil is nothing this time.
func (a *assault) flood(ctx context.Context, r *Assault, next func() []byte) {
	var readers sync.WaitGroup
	defer readers.Wait()
	var sources []*source
	for range attackSources {
		s, err := a.from(r)
		if err != nil {
			break
		}
		defer s.Close()
		readers.Go(func() { s.receive(nil) })
		sources = append(sources, s)
	}
	pace := rate.NewLimiter(attackRate, attackRate/20)
	for i := 0; len(sources) > 0 && pace.Wait(ctx) == nil; i++ {
		if b := next(); b != nil {
			_ = sources[i%len(sources)].send(b) // a full buffer loses some
		}
	}
}

func (a *assault) wrongPassword(ctx context.Context, r *Assault) {
	impostor := *a.victim
	impostor.remote.pwd = credential(18)
	a.flood(ctx, r, func() []byte {
		b, err := impostor.check(newCheck())
		if err != nil {
			return nil
		}
		return b
	})
}

// replay waits for the victim's next check, which comes within seconds, and sends it again and again.
func (a *assault) replay(ctx context.Context, r *Assault) {
	tick := time.NewTicker(overhearEvery)
	defer tick.Stop()
	for a.crowd.overheard.Load() == nil {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	a.flood(ctx, r, func() []byte { return *a.crowd.overheard.Load() })
}

// unchecked sends the first flight of handshakes, and bits of later ones.
func (a *assault) unchecked(ctx context.Context, r *Assault) {
	hello := a.hello(ctx)
	n := uint64(0)
	a.flood(ctx, r, func() []byte {
		if hello == nil {
			return nil
		}
		n++
		b := append([]byte(nil), hello...)
		if len(b) > 13 && n%2 == 0 {
			b[0] = byte(20 + n%6) // every type of record there is
		}
		binary.BigEndian.PutUint32(b[7:], uint32(n)) // of its sequence number: none is a repetition
		return b
	})
}

// hello is a ClientHello as pion/dtls makes it; nil where ctx ends first.
func (a *assault) hello(ctx context.Context) []byte {
	first := make(chan []byte, 1)
	w := newWire(a.target(), func(b []byte) error {
		select {
		case first <- append([]byte(nil), b...):
		default:
		}
		return nil
	})
	defer w.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var handshake sync.WaitGroup
	defer handshake.Wait()
	defer cancel()
	handshake.Go(func() { _, _, _ = a.crowd.identity.handshake(ctx, w, answer{}) })
	select {
	case b := <-first:
		return b
	case <-ctx.Done():
		return nil
	}
}

// halfOpen opens sessions, proves its address, begins the handshake and hears nothing of what comes back.
func (a *assault) halfOpen(ctx context.Context, r *Assault) {
	var under sync.WaitGroup
	defer under.Wait()
	places := make(chan struct{}, halfOpenMax) // a token for each under way; never closed
	pace := rate.NewLimiter(halfOpenRate, 1)
	for pace.Wait(ctx) == nil {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		under.Go(func() {
			defer func() { <-places }()
			ctx, cancel := context.WithTimeout(ctx, halfOpenFor)
			defer cancel()
			a.halfOpenOne(ctx, r)
		})
	}
}

func (a *assault) halfOpenOne(ctx context.Context, r *Assault) {
	own := newSession()
	opened, err := a.crowd.http.Open(ctx, offerOf(own.ufrag, own.pwd, a.crowd.identity.fingerprint))
	if err == nil {
		own.remote, err = parseAnswer(opened.Answer, hostOf(opened.Endpoint))
	}
	if err != nil {
		atomic.AddUint64(&r.Refused, 1)
		return
	}
	atomic.AddUint64(&r.Sessions, 1)
	s, err := a.from(r)
	if err != nil {
		return
	}
	var reader sync.WaitGroup
	defer reader.Wait()
	defer s.Close()
	checked := make(chan struct{}, 1)
	id := newCheck()
	reader.Go(func() {
		s.receive(func(b []byte) {
			if stun.IsMessage(b) && own.answered(b, id) {
				select {
				case checked <- struct{}{}:
				default:
				}
			}
		})
	})
	check, err := own.check(id)
	if err != nil || s.send(check) != nil {
		return
	}
	select {
	case <-checked:
	case <-ctx.Done():
		return
	}
	w := newWire(a.target(), s.send)
	defer w.Close()
	_, _, _ = a.crowd.identity.handshake(ctx, w, own.remote) // ends with ctx: nothing is ever delivered
}
