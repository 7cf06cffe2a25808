package link_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"rotunda/cascade/link"
	"rotunda/cascade/nodecert/certtest"
	"rotunda/cascade/wire"
)

// greeted is an ear that says when the peer has said hello.
type greeted struct {
	ear
	hello chan uint8
}

func newGreeted() greeted { return greeted{newEar(), make(chan uint8, 1)} }

func (g greeted) Control(m wire.Message) error {
	if h, is := m.(wire.Hello); is {
		g.hello <- h.Revision
	}
	return g.ear.Control(m)
}

// Of the notes for one stream that wait, the newest is sent and no other, however slowly the peer reads; floods are sent
// each.
func TestNewestNoteWins(t *testing.T) {
	ca := certtest.NewCA()
	a, b := newNode(t, ca, "a"), newNode(t, ca, "b")
	la, lb := pair(t, a, b)
	ea, eb := newGreeted(), newGreeted()
	if la.Up(wire.Up{Alias: 1}) || la.Flood(wire.Flood{Payload: []byte("x")}) {
		t.Error("sent to a peer before its hello")
	}
	stopA, _ := run(la, ea)
	stopB, _ := run(lb, eb)
	if r := <-ea.hello; r != wire.Revision {
		t.Errorf("the peer speaks revision %d, want %d", r, wire.Revision)
	}
	const last = 5000
	for i := range last + 1 { // more than the ear holds, and it reads nothing yet
		if !la.Up(wire.Up{Alias: 7, Payload: []byte(fmt.Sprint(i))}) || !la.Down(wire.Down{Alias: 7, Payload: []byte(fmt.Sprint(i))}) {
			t.Fatalf("note %d is not taken", i)
		}
	}
	if !la.Flood(wire.Flood{Kind: 3, Payload: []byte("end")}) {
		t.Error("the flood is not taken")
	}
	var up, down, flood int
	ended := time.After(time.Minute)
	for upLast, downLast := "", ""; upLast != fmt.Sprint(last) || downLast != fmt.Sprint(last) || flood == 0; {
		select {
		case m := <-eb.messages:
			switch m := m.(type) {
			case wire.Up:
				up, upLast = up+1, string(m.Payload)
			case wire.Down:
				down, downLast = down+1, string(m.Payload)
			case wire.Flood:
				flood++
			}
		case <-ended:
			t.Fatalf("the newest notes do not come: up %q, down %q, %d floods", upLast, downLast, flood)
		}
	}
	if up > last/2 || down > last/2 || flood != 1 {
		t.Errorf("%d ups, %d downs and %d floods of %d came to a slow peer", up, down, flood, last)
	}
	stopA()
	stopB()
}

// A peer of an older revision gets nothing that it does not know, and what a newer one sends is passed over.
func TestOtherRevisions(t *testing.T) {
	ca := certtest.NewCA()
	b := newNode(t, ca, "b")
	for _, revision := range []uint8{1, 2, 3, 4, 9} {
		conn, err := quic.DialAddr(t.Context(), b.address, &tls.Config{Certificates: []tls.Certificate{ca.Node("eu", "x")}, NextProtos: []string{link.ALPN}, InsecureSkipVerify: true}, &quic.Config{EnableDatagrams: true})
		if err != nil {
			t.Fatal(err)
		}
		s, err := conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		s.Write(wire.AppendMessage(nil, wire.Hello{Revision: revision}))
		go func() { // it is alive, however busy this machine is
			for conn.SendDatagram(wire.AppendHeartbeat(nil)) == nil {
				time.Sleep(50 * time.Millisecond)
			}
		}()
		l, e := <-b.links, newGreeted()
		stop, done := run(l, e)
		if r := <-e.hello; r != revision {
			t.Errorf("hello of revision %d, want %d", r, revision)
		}
		sent := l.Flood(wire.Flood{Kind: 1, Payload: []byte("x")}) && l.Up(wire.Up{Alias: 1}) && l.Down(wire.Down{Alias: 1})
		if sent != (revision >= 2) {
			t.Errorf("sent to revision %d: %v", revision, sent)
		}
		asked := l.Ask(wire.Ask{Alias: 1, Payload: []byte("x")}) && l.Answer(wire.Answer{Alias: 1})
		if asked != (revision >= 3) || l.Asks() != asked || !l.Greeted() {
			t.Errorf("asked revision %d: %v; it takes questions: %v, greeted: %v", revision, asked, l.Asks(), l.Greeted())
		}
		if revision > 2 {
			s.Write(wire.AppendMessage(nil, wire.Unknown{Type: 200, Body: []byte("of the future")}))
		}
		s.Write(wire.AppendMessage(nil, wire.Unsubscribe{Alias: 3}))
		select {
		case m := <-e.messages:
			if m != (wire.Unsubscribe{Alias: 3}) {
				t.Errorf("revision %d: %v", revision, m)
			}
		case err := <-done:
			t.Fatalf("revision %d: the link ended with %v", revision, err)
		}
		want := []wire.Message{wire.Hello{Revision: wire.Revision}, wire.Unsubscribe{Alias: 9}}
		if revision == 1 {
			l.Control(want[1])
			for _, w := range want {
				if m := readMessage(t, s); m != w {
					t.Errorf("a peer of revision 1 is sent %v, want %v", m, w)
				}
			}
		}
		if err := stop(); !errors.Is(err, link.ErrClosed) {
			t.Errorf("revision %d: the link ended with %v", revision, err)
		}
		conn.CloseWithError(0, "")
	}
}

func readMessage(t *testing.T, r io.Reader) wire.Message {
	t.Helper()
	b := make([]byte, wire.LengthSize)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	n, err := wire.MessageLength(b)
	if err != nil {
		t.Fatal(err)
	}
	b = make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	m, err := wire.ParseMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
