package link_test

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"rotunda"
	"rotunda/cascade/link"
	"rotunda/cascade/nodecert/certtest"
	"rotunda/cascade/wire"
)

// leaky is a socket that loses a tenth of what it sends.
type leaky struct {
	net.PacketConn
	mu  sync.Mutex
	rng *rand.Rand
}

func (l *leaky) WriteTo(b []byte, to net.Addr) (int, error) {
	l.mu.Lock()
	lost := l.rng.IntN(10) == 0
	l.mu.Unlock()
	if lost {
		return len(b), nil
	}
	return l.PacketConn.WriteTo(b, to)
}

// newSocket is a socket on loopback; one that loses a tenth costs quic-go a little more, having nothing but WriteTo.
func newSocket(tb testing.TB, loses bool) net.PacketConn {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	if !loses {
		return conn
	}
	return &leaky{PacketConn: conn, rng: rand.New(rand.NewPCG(1, 1))}
}

// processor is the processor time that this process has used.
func processor() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const (
	loadTick  = 5 * time.Millisecond
	loadFrame = 25   // each: 5,000 a second
	loadTicks = 1000 // five seconds
)

// load calls send every loadTick, at last n times that count, and returns the processor time for each frame.
func load(n int, send func()) (nsPerFrame float64) {
	tick := time.NewTicker(loadTick)
	defer tick.Stop()
	for range 3 * time.Second / loadTick { // until the loss has been measured
		<-tick.C
		send()
	}
	before := processor()
	for range n {
		<-tick.C
		send()
	}
	return float64(processor()-before) / float64(n*loadFrame)
}

// What a frame and hop cost the processors at 5,000 frames a second, both ends together; and how many times what the same
// octets in as many datagrams cost through quic-go alone.
func BenchmarkFrames(b *testing.B) {
	for b.Loop() { // once: it lasts
		measureFrames(b, false)
	}
}

// The same on a link that loses a tenth and sends two copies of each frame.
func BenchmarkCopies(b *testing.B) {
	for b.Loop() {
		measureFrames(b, true)
	}
}

func measureFrames(b *testing.B, loses bool) {
	ca := certtest.NewCA()
	x, y := newNodeOn(b, ca, "x", newSocket(b, loses)), newNodeOn(b, ca, "y", newSocket(b, loses))
	lx, ly := pair(b, x, y)
	stopX, _ := run(lx, newEar())
	stopY, _ := run(ly, newEar())
	f := &rotunda.Frame{Payload: make([]byte, 100)}
	ticks := 0
	ns := load(loadTicks, func() {
		ticks++
		for s := range loadFrame {
			f.Seq = rotunda.Seq(ticks / 4)
			lx.Send(wire.Alias(ticks%4*loadFrame+s+1), f)
		}
	})
	datagrams, frames := x.count(b, `rotunda_cascade_datagrams_total{direction="out"}`), x.count(b, `rotunda_cascade_frames_total{direction="out"}`)
	copies := x.count(b, "rotunda_cascade_repeated_frames_total")
	lanes := x.count(b, `rotunda_cascade_lanes{direction="out"}`)
	stopX()
	stopY()
	size := float64(len(wire.AppendFrame(nil, 100, f))) * (frames + copies) / datagrams
	bare := bareLoad(b, ca, loses, datagrams/float64(ticks), int(size))
	b.ReportMetric(ns, "ns/frame")
	b.ReportMetric(ns/bare, "x-bare")
	b.ReportMetric(copies/frames, "copies/frame")
	b.ReportMetric(lanes, "lanes")
	b.ReportMetric((frames+copies)/datagrams, "frames/datagram")
}

// bareLoad sends datagrams of size octets, so many a tick in the mean.
func bareLoad(b *testing.B, ca *certtest.CA, loses bool, datagrams float64, size int) (nsPerFrame float64) {
	config := &quic.Config{EnableDatagrams: true}
	to, from := quic.Transport{Conn: newSocket(b, loses)}, quic.Transport{Conn: newSocket(b, loses)}
	defer to.Conn.Close()
	defer from.Conn.Close()
	defer to.Close()
	defer from.Close()
	l, err := to.Listen(&tls.Config{Certificates: []tls.Certificate{ca.Node("eu", "b")}, NextProtos: []string{link.ALPN}}, config)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	conn, err := from.Dial(ctx, to.Conn.LocalAddr(), &tls.Config{NextProtos: []string{link.ALPN}, InsecureSkipVerify: true}, config)
	if err != nil {
		b.Fatal(err)
	}
	accepted, err := l.Accept(ctx)
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := accepted.ReceiveDatagram(context.Background()); err != nil {
				return
			}
		}
	}()
	buf, due := make([]byte, size), 0.
	ns := load(loadTicks, func() {
		for due += datagrams; due >= 1; due-- {
			if err := conn.SendDatagram(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
	conn.CloseWithError(0, "")
	<-done
	return ns
}
