package egress

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"rotunda/node/egress/srtp"
)

// pulsesOf counts the empty reports that came since the last call.
func (e *ear) pulsesOf() (count int) {
	e.t.Helper()
	for _, b := range e.w.take(e.at) {
		if b[1] < 192 || b[1] > 223 {
			continue
		}
		plain, err := e.rtp.DecryptRTCP(nil, b, nil)
		if err != nil {
			e.t.Fatalf("a report does not open: %v", err)
		}
		if len(plain) == 8 && plain[0] == 0x80 && plain[1] == 201 { // not a sender's report, nor a goodbye
			count++
		}
	}
	return count
}

// Whoever has been sent nothing for a while is shown that the node lives, whether the room is silent, has no program at all, or the
// session is a speaker's to whom nobody speaks; and nobody else is.
func TestPulses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := still(t, nil, 1)
		silent, loud := s.Room(), s.Room()
		listener, other := join(t, s, w, silent, offered(), srtp.GCM), join(t, s, w, loud, offered(), srtp.CM80)
		speaker, heard := join(t, s, w, silent, offered(), srtp.GCM), join(t, s, w, loud, offered(), srtp.GCM)
		all := []*ear{listener, other, speaker, heard}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.shards[0].run(ctx) }()
		second := 0
		var unheard *ear
		counts := func() (got [4]int) {
			for i := range 50 {
				loud.Program(time.Now(), speech(50*second+i))
				heard.n.Send(0, speech(50*second+i))
				for _, e := range all {
					if e != unheard { // not even for a moment: the shard may look in it
						e.n.heard.Store(time.Now().UnixNano())
					}
				}
				time.Sleep(20 * time.Millisecond)
			}
			second++
			synctest.Wait()
			for i, e := range all {
				got[i] = e.pulsesOf()
			}
			return got
		}
		speaker.n.Hear(false)
		heard.n.Hear(false)
		synctest.Wait()
		counts() // the beginnings, which depend on who came first
		for _, c := range []struct {
			what string
			want [4]int // in a second, of one in pulseAfter: 7
			does func()
		}{
			{"as they are", [4]int{7, 0, 7, 0}, func() {}},
			{"the speaker listens, the listener speaks", [4]int{7, 0, 7, 0}, func() { listener.n.Hear(false); speaker.n.Hear(true) }},
			{"the listener is not heard any more", [4]int{0, 0, 7, 0}, func() {
				unheard = listener
				listener.n.heard.Store(time.Now().Add(-time.Hour).UnixNano())
			}},
			{"and the speaker has gone", [4]int{7, 0, 0, 0}, func() {
				unheard = nil
				speaker.n.Close()
			}},
		} {
			c.does()
			got := counts()
			for i, n := range got {
				if n > c.want[i]+1 || n < c.want[i]-1 || c.want[i] == 0 && n > 0 {
					t.Errorf("%s: %d pulses a second, want %d", c.what, got, c.want)
					break
				}
			}
		}
		for _, e := range all {
			e.n.Close()
		}
		time.Sleep(time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if p := &s.shards[0].pulses; len(p.seats)+len(p.sessions) > 0 || p.armed {
			t.Errorf("pulses are left when nobody is: %+v", p)
		}
	})
}

// A pulse allocates nothing.
func TestPulsesAllocateNothing(t *testing.T) {
	s, w := still(t, nil, 1)
	r := s.Room()
	before, now := 0, time.Now()
	for i := range 2 {
		e := join(t, s, w, r, offered(), srtp.GCM)
		e.n.heard.Store(now.Add(time.Hour).UnixNano())
		e.n.Hear(i == 0)
	}
	s.work()
	w.silent, before, now = true, w.bytes, time.Now()
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(pulseAfter)
		s.shards[0].pulse(now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if each := 8 + 16 + 4; w.bytes-before != 101*2*each { // head, tag, index (RFC 7714 §9.2); nothing is left to encrypt
		t.Errorf("%d bytes went out, want %d", w.bytes-before, 101*2*each)
	}
}
