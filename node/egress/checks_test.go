package egress

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/egress/srtp"
	"rotunda/node/egress/stun"
)

var (
	here  = netip.MustParseAddrPort("198.51.100.1:5000")
	there = netip.MustParseAddrPort("203.0.113.9:6000")
)

// checker sends the checks of one client.
type checker struct {
	s    *Server
	w    *wire
	n    *Session
	next uint64
}

func (c *checker) check(now time.Time, from netip.AddrPort, nominate bool) []byte {
	c.next++
	var id stun.TransactionID
	binary.BigEndian.PutUint64(id[4:], c.next)
	b := stun.AppendRequest(nil, id, c.n.fragment+":Xo3f", c.n.password, nominate)
	c.s.received(now, b, from)
	return b
}

func (c *checker) at(t *testing.T, want netip.AddrPort, what string) {
	t.Helper()
	var got netip.AddrPort
	if to := c.n.to.Load(); to != nil {
		got = to.at
	}
	if got != want {
		t.Errorf("%s: media goes to %s, want %s", what, got, want)
	}
}

// Media goes where the client nominates, follows it to another address, and back.
func TestRoaming(t *testing.T) {
	s, w := still(t, nil, 1)
	n, _, err := s.Play(t.Context(), s.Room(), offered())
	if err != nil {
		t.Fatal(err)
	}
	c := &checker{s: s, w: w, n: n}
	now := time.Now()
	c.at(t, netip.AddrPort{}, "before any check")
	b := c.check(now, here, false)
	c.at(t, here, "the first address that works")
	answers := w.take(here)
	if len(answers) != 1 || !stun.IsSuccess(answers[0], stun.TransactionID(b[8:20]), n.password) || len(answers[0]) > len(b) {
		t.Errorf("answers %x", answers)
	}
	c.check(now, there, false)
	c.at(t, here, "another one that works too")
	c.check(now, there, true)
	c.at(t, there, "the one that is nominated")
	replayed := c.check(now.Add(time.Second), here, true)
	c.at(t, here, "another nomination")
	c.check(now.Add(2*time.Second), there, true)
	w.take(there)
	thief := netip.MustParseAddrPort("192.0.2.66:666")
	s.received(now.Add(3*time.Second), replayed, thief)
	c.at(t, there, "a check that was overheard")
	if got := w.take(thief); len(got) != 0 {
		t.Error("who repeats what was overheard is answered")
	}
	w.take(here)
	s.received(now.Add(3*time.Second), replayed, here)
	if got := w.take(here); len(got) != 1 {
		t.Error("a repetition from the same address is not answered")
	}
	c.check(now.Add(2*time.Second+strayAfter+time.Second), here, false)
	c.at(t, here, "the old address has fallen silent: a NAT has given another port")
	for i := range 20 {
		c.check(now.Add(time.Minute), netip.AddrPortFrom(here.Addr(), uint16(7000+i)), false)
	}
	if len(n.addresses) > provedMax || len(s.byAddress) > provedMax {
		t.Errorf("%d addresses of one session are kept", len(s.byAddress))
	}
	if s.byAddress[n.to.Load().at] != n {
		t.Error("the address in use was forgotten")
	}
}

// A listener goes through a tunnel and comes out behind another address: the first check brings the audio back, in the round trip that it
// takes, without a handshake, and what was said meanwhile is nobody's loss but theirs. Who stays away for longer has no session any more.
func TestTunnel(t *testing.T) {
	for _, away := range []time.Duration{10 * time.Second, 20 * time.Second, goneAfter - time.Second} {
		s, w := still(t, nil, 1)
		r := s.Room()
		e := join(t, s, w, r, offered(), srtp.GCM)
		s.work()
		c := &checker{s: s, w: w, n: e.n}
		began := time.Now()
		c.check(began, e.at, true)
		w.take(e.at)
		say := func(i int) {
			r.Program(began.Add(time.Duration(i)*rotunda.FrameDuration), speech(i))
			s.work()
		}
		for i := range 10 {
			say(i)
		}
		if got := e.got(); len(got) != 10 {
			t.Fatalf("%d packets before the tunnel", len(got))
		}
		e.n.heard.Store(began.Add(-away).UnixNano()) // it was heard last so long ago
		s.sweep(began)
		for i := 10; i < 60; i++ {
			say(i)
		}
		if got := len(w.take(e.at)); got != 0 {
			t.Errorf("after %v of silence: %d packets for somebody who cannot hear them", away, got)
		}
		e.at = netip.AddrPortFrom(there.Addr(), there.Port()+uint16(away/time.Second))
		id := c.check(began, e.at, true)[8:20]
		answers := w.take(e.at)
		if len(answers) != 1 || !stun.IsSuccess(answers[0], stun.TransactionID(id), e.n.password) {
			t.Fatalf("after %v the check from the new address is not answered", away)
		}
		say(60)
		got := e.got()
		if len(got) != 1 || string(got[0].payload) != string(speech(60).Payload) {
			t.Errorf("after %v: %d packets, want the one that was said when the check had come", away, len(got))
		}
		if e.n.ended.Load() || e.n.handshake != nil {
			t.Errorf("after %v: there is another handshake, or no session", away)
		}
		e.n.heard.Store(began.Add(-goneAfter - time.Second).UnixNano())
		s.sweep(began)
		if !e.n.ended.Load() {
			t.Error("the session of somebody who is gone goes on")
		}
	}
}

// Who does not know the password gets no answer and moves nothing; what no session here has said goes to the others.
func TestUnauthentic(t *testing.T) {
	s, w := still(t, nil, 1)
	n, _, err := s.Play(t.Context(), s.Room(), offered())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s.received(now, stun.AppendRequest(nil, stun.TransactionID{1}, n.fragment+":Xo3f", "guessed", true), here)
	s.received(now, stun.AppendRequest(nil, stun.TransactionID{2}, "nobody:Xo3f", "guessed", true), here)
	hello := append([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1, 0, 0, 48}, make([]byte, 56)...)
	s.received(now, hello, here)
	s.received(now, append([]byte{0x80, 200}, make([]byte, 40)...), here)
	if n.to.Load() != nil || len(w.sent) != 0 || n.handshake.started {
		t.Error("a stranger got somewhere")
	}
	var rest [1500]byte
	for range 3 { // all but the wrong password, which is answered by silence
		if _, from, ok, _ := s.rest.take(rest[:]); !ok || from != here {
			t.Error("the others' datagrams do not reach them")
		}
	}
	if _, _, ok, _ := s.rest.take(rest[:]); ok {
		t.Error("more than the others' datagrams")
	}
}

// ICE restarts: the old credentials hold until the new ones are used, and no longer.
func TestRestart(t *testing.T) {
	s, w := still(t, nil, 1)
	r := s.Room()
	e := join(t, s, w, r, offered(), srtp.GCM)
	s.work()
	old := checker{s: s, w: w, n: e.n}
	fragment, password := e.n.fragment, e.n.password
	answer, ok := e.n.Restart()
	if !ok || !strings.Contains(answer, "a=ice-ufrag:"+e.n.fragment+"\r\n") || !strings.Contains(answer, "a=mid:0\r\n") || e.n.fragment == fragment {
		t.Fatalf("%v\n%s", ok, answer)
	}
	with := func(fragment, password string, from netip.AddrPort) bool {
		old.next++
		s.received(time.Now(), stun.AppendRequest(nil, stun.TransactionID{9, byte(old.next)}, fragment+":x", password, true), from)
		return len(w.take(from)) == 1
	}
	if !with(fragment, password, here) {
		t.Error("the old credentials are refused before the new ones are used")
	}
	e.n.Restart()
	if !with(e.n.fragment, e.n.password, there) {
		t.Error("the new credentials are refused")
	}
	if with(fragment, password, here) || len(s.byFragment) != 1 {
		t.Error("the old credentials hold")
	}
	r.Program(time.Now(), speech(1))
	s.work()
	e.at = there
	if got := e.got(); len(got) != 1 {
		t.Errorf("%d packets at the new address, want 1: no new handshake is needed", len(got))
	}
	e.n.Close()
	s.work()
	if _, ok := e.n.Restart(); ok || len(s.byFragment) != 0 {
		t.Error("a session that has ended was restarted")
	}
}

// Sessions that nobody connects to are bounded, end by themselves and leave nothing.
func TestHalfOpen(t *testing.T) {
	s, w := still(t, nil, 1)
	r := s.Room()
	var open int
	for range pendingMax + 50 {
		if _, _, err := s.Play(t.Context(), r, offered()); err == nil {
			open++
		}
	}
	if open != pendingMax {
		t.Errorf("%d sessions without a client, want %d", open, pendingMax)
	}
	s.sweep(time.Now().Add(connectWithin + time.Second))
	s.work()
	if len(s.sessions)+len(s.byFragment) != 0 || s.pending.Load() != 0 || len(w.sent) != 0 {
		t.Errorf("%d sessions are left", len(s.sessions))
	}
	if _, _, err := s.Play(t.Context(), r, offered()); err != nil {
		t.Error(err)
	}
}

// While packets wait for a shard, or it has no time left, newcomers are sent away.
func TestLateShard(t *testing.T) {
	s, _ := still(t, nil, 2)
	s.shards[1].lag.Store(int64(2 * lateMax))
	if _, _, err := s.Play(t.Context(), s.Room(), offered()); !errors.Is(err, ErrBusy) {
		t.Errorf("a newcomer to a late shard: %v", err)
	}
	now := time.Now()
	for range 100 {
		s.shards[1].begun(now, &job{made: now})
	}
	if _, _, err := s.Play(t.Context(), s.Room(), offered()); err != nil {
		t.Error(err)
	}
	s.shards[0].measure(now)
	for _, c := range []struct {
		busy time.Duration // of a second
		want error
	}{{950 * time.Millisecond, ErrBusy}, {900 * time.Millisecond, nil}} {
		now = now.Add(time.Second)
		s.shards[0].busy.Add(int64(c.busy))
		s.shards[0].measure(now)
		if _, _, err := s.Play(t.Context(), s.Room(), offered()); !errors.Is(err, c.want) {
			t.Errorf("a newcomer to a shard that is busy for %v of a second: %v, want %v", c.busy, err, c.want)
		}
	}
}

// A large room's packet takes its time, and is no delay of those behind which nobody waits.
func TestLatenessIsWaiting(t *testing.T) {
	sh := &shard{}
	now := time.Now()
	for range 100 {
		sh.begun(now, &job{made: now})
		now = now.Add(40 * time.Millisecond) // that it took to send
	}
	if sh.late() != 0 {
		t.Errorf("late by %v", sh.late())
	}
	for range 100 {
		sh.begun(now.Add(20*time.Millisecond), &job{made: now})
	}
	if late := sh.late(); late < 19*time.Millisecond || late > 20*time.Millisecond {
		t.Errorf("late by %v; all waited for 20 ms", late)
	}
	sh.measure(now)
	sh.measure(now.Add(time.Second)) // nothing was sent meanwhile
	if sh.late() != 0 {
		t.Errorf("late by %v with nothing to do", sh.late())
	}
}

// FuzzReceived: whatever arrives, strangers are not answered, nothing panics, and what is kept has its bounds.
func FuzzReceived(f *testing.F) {
	f.Add(true, []byte("\x00\x01\x00\x00\x21\x12\xa4\x42............"))
	f.Add(false, append([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1, 0, 0, 48}, make([]byte, 56)...))
	f.Add(true, append([]byte{21, 254, 253, 0, 1, 0, 0, 0, 0, 0, 0, 0, 26}, make([]byte, 26)...))
	f.Add(true, append([]byte{0x80, 201, 0, 7}, make([]byte, 40)...))
	s, w := still(f, nil, 1)
	r := s.Room()
	e := join(f, s, w, r, offered(), srtp.GCM)
	s.work()
	f.Fuzz(func(t *testing.T, known bool, b []byte) {
		from := there
		if known {
			from = e.at
		}
		s.received(time.Now(), b, from)
		s.work()
		if len(w.take(there)) != 0 {
			t.Error("a stranger was answered")
		}
		w.take(e.at)
		if len(s.byAddress) > provedMax || e.n.ended.Load() {
			t.Errorf("%d addresses; ended: %v", len(s.byAddress), e.n.ended.Load())
		}
	})
}
