package egress

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rotunda/metrics"
	"rotunda/node/egress/rtp"
)

// After the handshake: the last flight is sent again to who has not got it, within bounds, and a goodbye is understood.
func TestSecrets(t *testing.T) {
	var log keyLog
	var random [randomLen]byte
	rand.Read(random[:])
	fmt.Fprintf(&log, "CLIENT_RANDOM %064x %096x\n", 1, 2)
	s, err := newSecrets(log, random)
	if err != nil {
		t.Fatal(err)
	}
	s.flight = [][]byte{[]byte("change cipher spec and finished")}
	client := &secrets{read: s.write, write: s.read}
	now := time.Now()
	hello := append([]byte{recordHandshake, 254, 253, 0, 0, 0, 0, 0, 0, 0, 5, 0, 12}, make([]byte, 12)...)
	sent := 0
	for i := range 100 {
		again, closed := s.record(now.Add(time.Duration(i)*20*time.Millisecond), hello)
		if closed {
			t.Fatal("closed by a handshake record")
		}
		sent += len(again)
	}
	if sent != resentMax {
		t.Errorf("sent again %d times, want %d", sent, resentMax)
	}
	goodbye := client.closeNotify()
	for i := range goodbye {
		forged := bytes.Clone(goodbye)
		forged[i] ^= 0x10
		if _, closed := s.record(now, forged); closed {
			t.Errorf("closed by a record whose byte %d was changed", i)
		}
	}
	if _, closed := s.record(now, goodbye); !closed {
		t.Error("the client's goodbye is not understood")
	}
	if again, closed := s.record(now, []byte{recordAlert, 254, 253}); again != nil || closed {
		t.Error("a record that is too short")
	}
}

// So many handshakes run at a time; the others wait, and all come to their turn.
func TestHandshakesAreBounded(t *testing.T) {
	h := handshakes{max: 3, cores: 1, late: func() time.Duration { return 0 }}
	begun, finish := make(chan int, 10), make(chan struct{})
	for i := range 10 {
		h.begin(func() { begun <- i; <-finish })
	}
	for range 3 {
		<-begun
	}
	select {
	case i := <-begun:
		t.Errorf("number %d has begun, too", i)
	case <-time.After(20 * time.Millisecond):
	}
	close(finish)
	h.wait()
	if len(begun) != 7 || h.running != 0 || len(h.waiting) != 0 {
		t.Errorf("%d of 7 others have begun; %d run, %d wait", len(begun), h.running, len(h.waiting))
	}
}

// Handshakes begin no faster than the cores afford, and slower the longer listeners' packets have to wait.
func TestHandshakesArePaced(t *testing.T) {
	for _, c := range []struct {
		cores int
		late  time.Duration
		want  time.Duration // for a hundred
	}{
		{1, 0, 100 * time.Millisecond},
		{2, 0, 50 * time.Millisecond},
		{1, lateAllowed, 100 * time.Millisecond},
		{1, 10 * time.Millisecond, 2900 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := handshakes{max: 64, cores: c.cores, late: func() time.Duration { return c.late }}
			began := time.Now()
			var last atomic.Int64
			for range 100 {
				h.begin(func() { last.Store(int64(time.Since(began))) })
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if took := time.Duration(last.Load()); took < c.want-2*handshakeBurst-c.want/50 || took > c.want {
				t.Errorf("%d cores, listeners late by %v: a hundred began within %v, want %v", c.cores, c.late, took, c.want)
			}
			h.wait()
		})
	}
}

// A certificate is for a day.
func TestCertificateRenews(t *testing.T) {
	var c certificates
	now := time.Now()
	first, err := c.newest(now)
	if err != nil {
		t.Fatal(err)
	}
	if same, _ := c.newest(now.Add(certificateRenew - time.Second)); same != first {
		t.Error("another certificate within a day")
	}
	if other, _ := c.newest(now.Add(certificateRenew)); other == first || other.fingerprint == first.fingerprint {
		t.Error("the same certificate after a day")
	}
}

// A report says how old the sound is that goes out now, whatever the way it has come.
func TestSenderClock(t *testing.T) {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var c senderClock
	var reports int
	for i := range 600 { // twelve seconds
		now := start.Add(time.Duration(i) * 20 * time.Millisecond)
		timestamp := uint32(1000 + 960*i)
		r, due := c.sent(now, timestamp, now.Add(-130*time.Millisecond).UnixMicro(), 80)
		if !due {
			continue
		}
		reports++
		if r.NTP != ntpTime(now) || r.Timestamp != timestamp+48*130 || r.Packets != uint32(i+1) || r.Octets != uint32(80*(i+1)) {
			t.Errorf("packet %d: %+v, want timestamp %d: 130 ms after what goes out", i, r, timestamp+48*130)
		}
	}
	if reports != 3 {
		t.Errorf("%d reports in twelve seconds, want those after 1, 6 and 11 s", reports)
	}
	if r, due := (&senderClock{next: start.UnixNano()}).sent(start, 77, 0, 1); !due || r.Timestamp != 77 {
		t.Errorf("sound that begins here: %+v", r)
	}
}

func TestRoundTrip(t *testing.T) {
	now := time.Date(2036, 2, 7, 6, 28, 20, 0, time.UTC) // just after NTP's seconds wrap
	for _, c := range []struct {
		sent, held, want time.Duration // sent: before now
		ok               bool
	}{
		{180 * time.Millisecond, 100 * time.Millisecond, 80 * time.Millisecond, true},
		{10 * time.Second, 0, 10 * time.Second, true},
		{100 * time.Millisecond, 100 * time.Millisecond, 0, true},
		{100 * time.Millisecond, time.Second, 0, false}, // held it before it was sent
	} {
		got, ok := roundTrip(now, ntpShort(now.Add(-c.sent)), uint32(c.held*65536/time.Second))
		if ok != c.ok || (got-c.want).Abs() > 50*time.Microsecond {
			t.Errorf("sent %v ago, held %v: %v, %v, want %v, %v", c.sent, c.held, got, ok, c.want, c.ok)
		}
	}
	if _, ok := roundTrip(now, 0, 5); ok {
		t.Error("a round trip without a sender report")
	}
}

func TestLosses(t *testing.T) {
	m := metrics.New("test", "none")
	l := losses{gauge: m.EgressLost}
	a, b := &Session{}, &Session{}
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() { l.report(a, .5) }, "0.5"}, {func() { l.report(b, 0) }, "0.25"}, {func() { l.report(a, .25) }, "0.125"},
		{func() { l.forget(b) }, "0.25"}, {func() { l.forget(b) }, "0.25"}, {func() { l.forget(a) }, "0"},
	} {
		step.do()
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if !strings.Contains(w.Body.String(), "rotunda_egress_lost_ratio "+step.want+"\n") {
			t.Errorf("the mean is not %s", step.want)
		}
	}
}

// Who reports loss is lossy after some reports, and recovers later than it would have fallen ill.
func TestLossyByReports(t *testing.T) {
	s, _ := still(t, nil, 1)
	n, _, err := s.Play(t.Context(), s.Room(), offered())
	if err != nil {
		t.Fatal(err)
	}
	report := func(lost uint8, times int) bool {
		for range times {
			n.report(time.Now(), rtp.Report{Lost: lost})
		}
		return n.lossy.Load()
	}
	for _, c := range []struct {
		lost  uint8
		times int
		want  bool
	}{{0, 5, false}, {12, 1, false}, {12, 3, true}, {4, 20, true}, {0, 3, false}, {5, 20, false}, {255, 1, true}} {
		if got := report(c.lost, c.times); got != c.want {
			t.Errorf("%d of 256 lost, %d times: lossy %v, want %v", c.lost, c.times, got, c.want)
		}
	}
	if r, ok := n.Reception(); !ok || r.Lost != 255.0/256 {
		t.Errorf("Reception = %+v %v", r, ok)
	}
}
