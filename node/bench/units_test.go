package bench

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTally(t *testing.T) {
	for _, c := range []struct {
		name string
		seqs []uint16
		want counts
	}{
		{"in order, over the wrap", []uint16{65534, 65535, 0, 1}, counts{4, 4, 0, 0}},
		{"a hole", []uint16{1, 2, 5}, counts{5, 3, 0, 0}},
		{"reordered and twice", []uint16{1, 3, 2, 3, 2}, counts{3, 3, 2, 1}},
		{"before the first", []uint16{10, 9, 11}, counts{2, 2, 0, 0}},
		{"another numbering", []uint16{1, 2, 4, 30000, 30001}, counts{6, 5, 0, 0}},
		{"a hole wider than the window", []uint16{1, 101, 2}, counts{101, 2, 0, 0}},
	} {
		var s tally
		for _, n := range c.seqs {
			s.take(n)
		}
		if got := s.counts(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	var s tally
	for _, n := range []uint16{65535, 0, 2} {
		s.take(n)
	}
	if f, lost, highest := s.report(); f != 64 || lost != 1 || highest != 1<<16+2 {
		t.Errorf("report = %d, %d, %d; want 64, 1, %d", f, lost, highest, 1<<16+2)
	}
	s.take(1)
	s.take(3)
	if f, lost, _ := s.report(); f != 0 || lost != 0 {
		t.Errorf("report = %d, %d; want nothing lost in the interval nor over all", f, lost)
	}
}

// A percentile is that of the sorted list, to one part in histogramSub.
func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Hour)), 1, 50).Draw(t, "durations")
		var h histogram
		most := time.Duration(0)
		for _, d := range list {
			h.add(time.Duration(d))
			most = max(most, time.Duration(d))
		}
		if got := h.percentile(100); got != most {
			t.Fatalf("the longest is %v, want %v", got, most)
		}
		var one histogram
		one.add(time.Duration(list[0]))
		one.add(most + time.Hour)
		want := time.Duration(list[0])
		if got := one.percentile(50); got < want.Truncate(time.Microsecond) || got > want+want/histogramSub+time.Microsecond {
			t.Fatalf("half of it is %v, want %v and at most one part in %d more", got, want, histogramSub)
		}
	})
}

func TestFanout(t *testing.T) {
	var f fanout
	f.heard(7, 960)
	f.heard(8, 1920)
	f.heard(8, 2880) // silence: of no use
	f.heard(8, 3840)
	if at, ok := f.when(7); !ok || at != 960 {
		t.Errorf("when = %d, %v; want 960", at, ok)
	}
	if _, ok := f.when(8); ok {
		t.Error("a sound that was heard twice tells a time")
	}
	f.arrived(10*time.Millisecond, 960)
	f.arrived(12*time.Millisecond, 960)
	f.arrived(30*time.Millisecond, 1920)
	f.arrived(33*time.Millisecond, 960+frameTicks*frameSlots) // takes the place of the first
	f.arrived(34*time.Millisecond, 960)                       // and this is too late to be counted
	if f.spread.count != 4 || f.spread.most != 2*time.Millisecond {
		t.Errorf("%d counted, at most %v; want 4, 2 ms", f.spread.count, f.spread.most)
	}
}

const goodAnswer = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=fingerprint:sha-256 ab:cd\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=setup:passive\r\na=extmap:3/sendonly " + captureTime + "\r\n" +
	"a=candidate:1 1 udp 100 198.51.100.7 8081 typ host\r\na=candidate:2 1 UDP 900 127.0.0.1 8082 typ host\r\n" +
	"a=candidate:3 1 tcp 999 127.0.0.1 9 typ host tcptype passive\r\na=candidate:4 2 udp 999 127.0.0.1 9 typ host\r\n" +
	"a=candidate:5 1 udp 999 2001:db8::1 9 typ host\r\na=candidate:6 1 udp 999 x.local 9 typ host\r\n"

func TestParseAnswer(t *testing.T) {
	a, err := parseAnswer(goodAnswer, netip.MustParseAddr("198.51.100.7"))
	if err != nil {
		t.Fatal(err)
	}
	if a.ufrag != "u" || a.pwd != "p" || a.fingerprint != "AB:CD" || a.client || a.capture != 3 {
		t.Errorf("parseAnswer = %+v", a)
	}
	if len(a.candidates) != 2 || a.candidates[0] != netip.MustParseAddrPort("198.51.100.7:8081") || a.candidates[1] != netip.MustParseAddrPort("127.0.0.1:8082") {
		t.Errorf("candidates %v; want the endpoint's own address first, and one family", a.candidates)
	}
	if _, err := parseAnswer("m=audio 0 UDP/TLS/RTP/SAVPF 111\r\n", netip.Addr{}); err != errRejected {
		t.Errorf("error %v of an answer that takes nothing", err)
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(goodAnswer)
	f.Add("a=candidate:1 1 udp 1 0.0.0.0 1 typ host\na=ice-pwd:\n")
	f.Fuzz(func(t *testing.T, sdp string) {
		a, err := parseAnswer(sdp, netip.Addr{})
		if err != nil {
			return
		}
		if len(a.candidates) == 0 || len(a.candidates) > candidatesMax || a.ufrag == "" || a.pwd == "" {
			t.Errorf("a valid answer: %+v", a)
		}
	})
}

// loner is a crowd of one without a socket.
func loner() *crowd {
	c := &crowd{cfg: Config{Sample: 50}, listeners: make([]listener, 2), pilot: -1, plain: make([]byte, 0, datagramMax)}
	for i := range c.listeners {
		l := &c.listeners[i]
		l.session = newSession()
		l.session.remote = answer{pwd: "p", candidates: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}}
		l.open.Store(true)
	}
	return c
}

// Whatever a server sends, a listener stays what it is. Nothing is authentic here: the keys are not known.
func FuzzReceive(f *testing.F) {
	f.Add(make([]byte, 20))
	f.Add([]byte("\x80\x6f\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01payload"))
	f.Add([]byte("\x80\xc8\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01payload"))
	f.Add([]byte("\x15\xfe\xfd\x00\x01\x00\x00\x00\x00\x00\x01\x00\x02"))
	f.Add([]byte("\x01\x01\x00\x00\x21\x12\xa4\x42aaaaaaaaaaaa"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > datagramMax {
			return
		}
		c := loner()
		c.receive(0, b, time.Second)
		if c.stats.Checked != 0 || c.stats.Packets > 1 {
			t.Errorf("one datagram made of it %+v", c.stats)
		}
	})
}

func FuzzPayload(f *testing.F) {
	f.Add(make([]byte, 12))
	f.Add([]byte("\x90\x6f\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\xbe\xde\x00\x01aaaapayload"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < rtpMin {
			return
		}
		if p, ok := payloadOf(b); ok && (len(p) == 0 || len(p) > len(b)-rtpMin) {
			t.Errorf("a payload of %d in %d bytes", len(p), len(b))
		}
	})
}

func audioPacket() []byte {
	b := make([]byte, 100)
	b[0], b[1] = 0x80, payloadType
	binary.BigEndian.PutUint32(b[8:], 42)
	return b
}

func TestReceiveAllocatesNothing(t *testing.T) {
	c := loner()
	b := audioPacket()
	seq := uint16(0)
	if n := testing.AllocsPerRun(1000, func() {
		seq++
		binary.BigEndian.PutUint16(b[2:], seq)
		binary.BigEndian.PutUint32(b[4:], uint32(seq)*960)
		c.receive(0, b, time.Duration(seq)*20*time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
	if c.stats.Packets == 0 {
		t.Error("nothing was counted")
	}
}

func BenchmarkReceive(b *testing.B) {
	c := loner()
	p := audioPacket()
	c.listeners[0].matched = true
	seq := uint16(0)
	b.ReportAllocs()
	for b.Loop() {
		seq++
		binary.BigEndian.PutUint16(p[2:], seq)
		binary.BigEndian.PutUint32(p[4:], uint32(seq)*960)
		c.receive(0, p, time.Duration(seq)*20*time.Millisecond)
	}
}

func TestGrowth(t *testing.T) {
	var s []Sample
	for i := range 12 {
		s = append(s, Sample{Resident: 1000, Goroutines: 50 + i})
	}
	g := growth(s)
	if g == nil || g.Flat || g.Resident != 0 || g.Goroutines < 10 {
		t.Errorf("growth = %+v, want goroutines that grow", g)
	}
	if growth(s[:samplesMin-1]) != nil {
		t.Error("growth out of next to nothing")
	}
}
