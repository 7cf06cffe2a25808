package link_test

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"rotunda/cascade/link"
	"rotunda/cascade/nodecert/certtest"
	"rotunda/cascade/wire"
)

// dialRaw is a peer that says and hears only what the test does: revision is what its hello claims.
func dialRaw(t *testing.T, ca *certtest.CA, b *node, revision uint8) *quic.Conn {
	t.Helper()
	conn, err := quic.DialAddr(t.Context(), b.address, &tls.Config{Certificates: []tls.Certificate{ca.Node("eu", "x")}, NextProtos: []string{link.ALPN}, InsecureSkipVerify: true}, &quic.Config{EnableDatagrams: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(wire.AppendMessage(nil, wire.Hello{Revision: revision})); err != nil {
		t.Fatal(err)
	}
	return conn
}

// A busy link's peer that says it hears nothing is suspect until it says so no more; one that says nothing is suspect, and
// then the link ends, in about 0.3 s. A peer that does not know these words gets none, and has the time it always had.
func TestSilenceOfABusyLink(t *testing.T) {
	ca := certtest.NewCA()
	b := newNode(t, ca, "b")
	for _, revision := range []uint8{2, 3} {
		conn := dialRaw(t, ca, b, revision)
		l, e := <-b.links, newGreeted()
		l.SetBusy(true)
		_, done := run(l, e)
		<-e.hello
		saysHeard := false
		for range 5 {
			d, err := conn.ReceiveDatagram(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.SendDatagram([]byte{0}); err != nil { // alive, however slow this machine is
				t.Fatal(err)
			}
			_, rest, err := wire.ParseDatagram(d)
			if err != nil {
				t.Fatal(err)
			}
			_, ok := wire.HeartbeatHeard(rest)
			saysHeard = saysHeard || ok
		}
		if saysHeard != (revision >= 3) {
			t.Errorf("a peer of revision %d is told when it was heard: %t", revision, saysHeard)
		}
		if revision >= 3 { // that it says so at all means that it knows the link is busy
			say(t, conn, e, 10, true)
			say(t, conn, e, 0, false)
		}
		quiet := time.Now()
		var err error
		select {
		case err = <-done:
		case <-time.After(time.Minute):
			t.Fatal("a silent peer keeps its link")
		}
		if !errors.Is(err, link.ErrSilent) {
			t.Errorf("revision %d: the link ended with %v, want ErrSilent", revision, err)
		}
		t.Logf("revision %d: given up after %v", revision, time.Since(quiet))
		if suspected := len(e.suspects) > 0 && <-e.suspects; suspected != (revision >= 3) {
			t.Errorf("revision %d: suspected before the end: %t", revision, suspected)
		}
		conn.CloseWithError(0, "")
	}
}

// say sends heartbeats with the octet heard until the link is suspect, or not.
func say(t *testing.T, conn *quic.Conn, e greeted, heard byte, want bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(time.Minute); ; {
		select {
		case is := <-e.suspects:
			if is == want {
				return
			}
		case <-tick.C:
			if err := conn.SendDatagram([]byte{0, heard}); err != nil {
				t.Fatal(err)
			}
		case <-end:
			t.Fatalf("heartbeats that say %d: the link is not suspect: %t", heard, want)
		}
	}
}
