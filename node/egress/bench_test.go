package egress

import (
	"net"
	"testing"
	"time"

	"rotunda"
	"rotunda/metrics"
	"rotunda/node/egress/srtp"
)

// BenchmarkFanOut is what one packet costs in user space for each listener of a room of 500: finding whom it is for, header,
// encryption, its place in a batch; with the kernel's share (sendmmsg to as many sockets that nobody reads) in the second. An
// operation is one packet to one listener.
func BenchmarkFanOut(b *testing.B) {
	b.Run("without-kernel", func(b *testing.B) {
		s, w := still(b, metrics.New("bench", "none"), 1)
		w.silent = true
		s.socket = wireSocket{plainSocket{w}, w}
		s.shards[0].sender = nowhere{}
		fanOut(b, s, w, func(e *ear) {})
	})
	b.Run("with-kernel", func(b *testing.B) {
		s, w := still(b, metrics.New("bench", "none"), 1)
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		out, err := newSocket(conn)
		if err != nil {
			b.Fatal(err)
		}
		s.shards[0].sender = out.sender()
		fanOut(b, s, w, func(e *ear) {
			c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { c.Close() })
			e.n.to.Store(out.peer(c.LocalAddr().(*net.UDPAddr).AddrPort()))
		})
	})
}

// nowhere is a kernel that takes everything.
type nowhere struct{}

func (nowhere) send(*batch) int { return 0 }

func fanOut(b *testing.B, s *Server, w *wire, place func(*ear)) {
	const listeners = 499 // as many as get a packet for each frame
	r := s.Room()
	for range listeners {
		e := join(b, s, w, r, offered(), srtp.GCM)
		e.n.heard.Store(time.Now().Add(time.Hour).UnixNano())
		place(e)
	}
	s.work()
	p := speech(1)
	p.Payload = make([]byte, 80)
	p.Payload[0] = 0x78
	now := time.Now()
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += listeners {
		p.Sequence++
		p.Timestamp += rotunda.FrameTicks
		now = now.Add(rotunda.FrameDuration)
		r.Program(now, p)
		s.work()
	}
}
