package link_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"go.uber.org/goleak"

	"rotunda"
	"rotunda/cascade/link"
	"rotunda/cascade/nodecert"
	"rotunda/cascade/nodecert/certtest"
	"rotunda/cascade/wire"
	"rotunda/metrics"
)

// node is one end on a real loopback socket.
type node struct {
	*link.Endpoint
	id      nodecert.Identity
	address string
	metrics *metrics.Set
	links   chan *link.Link // accepted
	answer  atomic.Pointer[func(context.Context, nodecert.Identity, []byte) []byte]
}

// answers has n answer fetches.
func (n *node) answers(f func(ctx context.Context, from nodecert.Identity, question []byte) []byte) {
	n.answer.Store(&f)
}

func newNode(t testing.TB, ca *certtest.CA, id rotunda.NodeID) *node {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newNodeOn(t, ca, id, conn)
}

func newNodeOn(t testing.TB, ca *certtest.CA, id rotunda.NodeID, conn net.PacketConn) *node {
	t.Helper()
	var err error
	n := &node{id: nodecert.Identity{Region: "eu", ID: id}, address: conn.LocalAddr().String(), metrics: metrics.New("", ""), links: make(chan *link.Link, 16)}
	n.Endpoint, err = link.New(link.Config{
		Conn: conn, Self: n.id, Certificate: ca.Node("eu", id), Roots: ca.Roots(), Metrics: n.metrics,
		Answer: func(ctx context.Context, from nodecert.Identity, q []byte) []byte {
			return (*n.answer.Load())(ctx, from, q)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx, func(l *link.Link) { n.links <- l }) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-done, n.Close()); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (n *node) count(t testing.TB, series string) float64 {
	t.Helper()
	r := httptest.NewRecorder()
	n.metrics.Handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	b, _ := io.ReadAll(r.Body)
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindSubmatch(b)
	if m == nil {
		return 0
	}
	v, _ := strconv.ParseFloat(string(m[1]), 64)
	return v
}

// reaches waits until a series has the value; counting happens on other goroutines.
func (n *node) reaches(t testing.TB, series string, want float64) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for n.count(t, series) < want {
		if time.Now().After(deadline) {
			t.Fatalf("%s is %v, want %v", series, n.count(t, series), want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// ear takes what a link brings.
type ear struct {
	frames   chan rotunda.Seq
	messages chan wire.Message
	suspects chan bool
}

func newEar() ear {
	return ear{make(chan rotunda.Seq, 4096), make(chan wire.Message, 16), make(chan bool, 64)}
}

func (e ear) Suspect(is bool) { e.suspects <- is }

func (e ear) Frame(_ wire.Alias, f *rotunda.Frame) {
	select {
	case e.frames <- f.Seq:
	default:
	}
}

func (e ear) Control(m wire.Message) error {
	if _, is := m.(wire.Hello); !is {
		e.messages <- m
	}
	return nil
}

// run runs a link until stop, which returns why it ended.
func run(l *link.Link, h link.Handler) (stop func() error, done chan error) {
	ctx, cancel := context.WithCancel(context.Background())
	done = make(chan error, 1)
	go func() { done <- l.Run(ctx, h) }()
	return func() error { cancel(); return <-done }, done
}

// pair connects a to b.
func pair(t testing.TB, a, b *node) (dialled, accepted *link.Link) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := a.Dial(ctx, b.address, b.id)
	if err != nil {
		t.Fatal(err)
	}
	return l, <-b.links
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFramesAndMessagesOverLoopback(t *testing.T) {
	ca := certtest.NewCA()
	a, b := newNode(t, ca, "a"), newNode(t, ca, "b")
	la, lb := pair(t, a, b)
	if la.Peer != b.id || lb.Peer != a.id || !la.Dialled || lb.Dialled {
		t.Errorf("a sees %v (dialled %t), b sees %v (dialled %t)", la.Peer, la.Dialled, lb.Peer, lb.Dialled)
	}
	ea, eb := newEar(), newEar()
	stopA, _ := run(la, ea)
	_, doneB := run(lb, eb)
	want := wire.Subscribe{Alias: 1, Stream: rotunda.StreamID{Room: "r", Track: rotunda.Program}}
	la.Control(want)
	if m := <-eb.messages; m.(wire.Subscribe).Stream != want.Stream {
		t.Errorf("message %v, want %v", m, want)
	}
	lb.Control(wire.Gone{Alias: 1, Reason: wire.Refused, Node: "b"})
	if _, ok := (<-ea.messages).(wire.Gone); !ok {
		t.Error("no gone")
	}
	for i := range rotunda.Seq(10) {
		lb.Send(1, &rotunda.Frame{Seq: i, Payload: make([]byte, 100)})
	}
	for i := range rotunda.Seq(10) {
		if got := <-ea.frames; got != i {
			t.Errorf("frame %d, want %d", got, i)
		}
	}
	if frames, datagrams := b.count(t, `rotunda_cascade_frames_total{direction="out"}`), b.count(t, `rotunda_cascade_datagrams_total{direction="out"}`); frames != 10 || datagrams < 1 {
		t.Errorf("%v frames in %v datagrams, want 10", frames, datagrams)
	}
	if err := stopA(); !errors.Is(err, link.ErrClosed) {
		t.Errorf("a's link ended with %v, want ErrClosed", err)
	}
	if err := <-doneB; !errors.Is(err, link.ErrLeaving) {
		t.Errorf("b's link ended with %v, want ErrLeaving", err)
	}
}

// Whoever is not a node of the mesh, or not the one that was dialled, gets no link, is counted, and does no harm.
func TestStrangersGetNoLink(t *testing.T) {
	ca := certtest.NewCA()
	b := newNode(t, ca, "b")
	good := nodecert.Identity{Region: "eu", ID: "x"}
	refused := 0.0
	for name, c := range map[string]struct {
		cert []tls.Certificate
		alpn string
	}{
		"wrong CA":       {[]tls.Certificate{certtest.NewCA().Node("eu", "x")}, link.ALPN},
		"no certificate": {nil, link.ALPN},
		"wrong SAN":      {[]tls.Certificate{ca.Named("spiffe://rotunda/user/eu/x")}, link.ALPN},
		"no SAN":         {[]tls.Certificate{ca.Named()}, link.ALPN},
		"two SANs":       {[]tls.Certificate{ca.Named(good.URI(), "spiffe://rotunda/node/eu/y")}, link.ALPN},
		"b itself":       {[]tls.Certificate{ca.Node("eu", "b")}, link.ALPN},
		"wrong ALPN":     {[]tls.Certificate{ca.Node("eu", "x")}, "h3"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		conn, err := quic.DialAddr(ctx, b.address, &tls.Config{Certificates: c.cert, NextProtos: []string{c.alpn}, InsecureSkipVerify: true}, &quic.Config{EnableDatagrams: true})
		if err == nil { // TLS 1.3: the client is through before the server has looked at its certificate
			_, err = conn.ReceiveDatagram(ctx)
		}
		var tr *quic.TransportError
		if !errors.As(err, &tr) || !tr.ErrorCode.IsCryptoError() {
			t.Errorf("%s: %v, want a TLS alert", name, err)
		}
		refused++
		b.reaches(t, `rotunda_cascade_dropped_total{reason="not_member"}`, refused)
		cancel()
	}
	foreign := newNode(t, certtest.NewCA(), "f")
	a := newNode(t, ca, "a")
	for name, c := range map[string]struct {
		address string
		want    nodecert.Identity
	}{
		"another node answers":   {b.address, nodecert.Identity{Region: "eu", ID: "c"}},
		"another region answers": {b.address, nodecert.Identity{Region: "us", ID: "b"}},
		"a stranger answers":     {foreign.address, foreign.id},
	} {
		if _, err := a.Dial(context.Background(), c.address, c.want); !errors.Is(err, link.ErrNotMember) {
			t.Errorf("%s: %v, want ErrNotMember", name, err)
		}
	}
	a.reaches(t, `rotunda_cascade_dropped_total{reason="not_member"}`, 3)
	la, lb := pair(t, a, b)
	stopA, _ := run(la, newEar())
	stopB, _ := run(lb, newEar())
	stopA()
	stopB()
}

// A member that breaks the protocol loses its link; what is wrong in a datagram costs the datagram.
func TestMembersThatMisbehave(t *testing.T) {
	ca := certtest.NewCA()
	b := newNode(t, ca, "b")
	hello := wire.AppendMessage(nil, wire.Hello{Revision: wire.Revision})
	for name, stream := range map[string][]byte{
		"no hello":       wire.AppendMessage(nil, wire.Unsubscribe{Alias: 1}),
		"hello twice":    append(hello[:len(hello):len(hello)], hello...),
		"oversized":      append(hello[:len(hello):len(hello)], 0xff, 0xff, 1, 2, 3),
		"empty":          append(hello[:len(hello):len(hello)], 0, 0),
		"type zero":      append(hello[:len(hello):len(hello)], 0, 1, 0),
		"garbage inside": append(hello[:len(hello):len(hello)], 0, 3, 2, 0xff, 0xff),
		"old revision":   {0, 2, 1, 0},
	} {
		before := b.count(t, `rotunda_cascade_dropped_total{reason="malformed"}`)
		conn, err := quic.DialAddr(t.Context(), b.address, &tls.Config{Certificates: []tls.Certificate{ca.Node("eu", "x")}, NextProtos: []string{link.ALPN}, InsecureSkipVerify: true}, &quic.Config{EnableDatagrams: true})
		if err != nil {
			t.Fatal(err)
		}
		s, err := conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		conn.SendDatagram([]byte{1, 0xff, 0xff})
		conn.SendDatagram([]byte{77})
		b.readyFor(t, <-b.links, name, s, stream)
		b.reaches(t, `rotunda_cascade_dropped_total{reason="malformed"}`, before+1)
		conn.CloseWithError(0, "")
	}
}

// A member that names no link of its own gets no lane.
func TestLaneOfNoLink(t *testing.T) {
	ca := certtest.NewCA()
	b := newNode(t, ca, "b")
	conn, err := quic.DialAddr(t.Context(), b.address, &tls.Config{Certificates: []tls.Certificate{ca.Node("eu", "x")}, NextProtos: []string{link.ALPNLane}, ServerName: "00.lane", InsecureSkipVerify: true}, &quic.Config{EnableDatagrams: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.ReceiveDatagram(t.Context())
	var app *quic.ApplicationError
	if !errors.As(err, &app) || !app.Remote {
		t.Errorf("a lane of no link ended with %v, want the peer to close it", err)
	}
	if len(b.links) > 0 {
		t.Error("a lane was taken for a link")
	}
}

func (n *node) readyFor(t *testing.T, l *link.Link, name string, s io.Writer, b []byte) {
	t.Helper()
	_, done := run(l, newEar())
	s.Write(b)
	select {
	case err := <-done:
		if !errors.Is(err, link.ErrProtocol) {
			t.Errorf("%s: link ended with %v, want ErrProtocol", name, err)
		}
	case <-time.After(time.Minute):
		t.Errorf("%s: the link goes on", name)
	}
}

// Anything at all on the port: counted where it cannot be QUIC, and the node goes on.
func TestGarbageOnThePort(t *testing.T) {
	ca := certtest.NewCA()
	a, b := newNode(t, ca, "a"), newNode(t, ca, "b")
	c, err := net.Dial("udp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, first := range []byte{0x00, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff} {
		for _, size := range []int{1, 20, 1200, 1500} {
			p := make([]byte, size)
			rand.Read(p)
			p[0] = first
			c.Write(p)
		}
	}
	b.reaches(t, `rotunda_cascade_dropped_total{reason="malformed"}`, 8) // at the least what cannot be QUIC at all
	la, lb := pair(t, a, b)
	stopA, _ := run(la, newEar())
	stopB, _ := run(lb, newEar())
	stopA()
	stopB()
}

func TestSendAllocatesNothing(t *testing.T) {
	ca := certtest.NewCA()
	a, b := newNode(t, ca, "a"), newNode(t, ca, "b")
	la, lb := pair(t, a, b)
	f := &rotunda.Frame{Payload: make([]byte, 100)}
	if n := testing.AllocsPerRun(1000, func() { la.Send(1, f); f.Seq++ }); n != 0 { // not running: the ring overflows
		t.Errorf("%v allocations per frame, want none", n)
	}
	if n := a.count(t, `rotunda_cascade_dropped_total{reason="queue_full"}`); n < 450 {
		t.Errorf("%v frames dropped from the full queue, want all but 512", n)
	}
	e := newEar()
	stopA, _ := run(la, newEar())
	stopB, _ := run(lb, e)
	la.Send(1, f) // on a busy machine those before are too old by now
	if first := <-e.frames; first < 450 {
		t.Errorf("first frame sent is %d, want one of the newest 512", first)
	}
	stopA()
	stopB()
}

// One frame at a time there and back: what a hop costs in time. Its datagrams are quic-go's, which allocates.
func BenchmarkRoundTrip(b *testing.B) {
	ca := certtest.NewCA()
	x, y := newNode(b, ca, "x"), newNode(b, ca, "y")
	lx, ly := pair(b, x, y)
	ex, ey := newEar(), newEar()
	stopX, _ := run(lx, ex)
	stopY, _ := run(ly, ey)
	f := &rotunda.Frame{Payload: make([]byte, 100)}
	b.ReportAllocs()
	for b.Loop() {
		lx.Send(1, f)
		<-ey.frames
		ly.Send(1, f)
		<-ex.frames
		f.Seq++
	}
	b.StopTimer()
	stopX()
	stopY()
}

// Twenty frames that are ready together, as twenty rooms would have: what a frame costs in a full datagram.
func BenchmarkBurst(b *testing.B) {
	ca := certtest.NewCA()
	x, y := newNode(b, ca, "x"), newNode(b, ca, "y")
	lx, ly := pair(b, x, y)
	ey := newEar()
	stopX, _ := run(lx, newEar())
	stopY, _ := run(ly, ey)
	f := &rotunda.Frame{Payload: make([]byte, 100)}
	const burst = 20
	b.ReportAllocs()
	for b.Loop() {
		for range burst {
			f.Seq++
			lx.Send(1, f)
		}
		for range burst {
			<-ey.frames
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*burst), "ns/frame")
	b.ReportMetric(x.count(b, `rotunda_cascade_frames_total{direction="out"}`)/x.count(b, `rotunda_cascade_datagrams_total{direction="out"}`), "frames/datagram")
	stopX()
	stopY()
}
