package egress_test

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/egress"
	"rotunda/node/egress/stun"
	"rotunda/node/rtc"
)

// Fifty listeners hear every packet, on one socket.
func TestFiftyListeners(t *testing.T) {
	noLeaks(t)
	const listeners, packets = 50, 25
	d := open(t, nil)
	var heard [listeners]atomic.Int32
	var all sync.WaitGroup
	all.Add(listeners)
	players := make(chan *rtc.Player, listeners)
	for i := range listeners {
		go func() {
			p, err := rtc.DialPlayer(t.Context(), rtc.ClientConfig{URL: d.URL}, func(r rtc.Received) {
				if want := heard[i].Load(); r.Sequence != uint16(want) || r.Sources.Len() != 1 {
					t.Errorf("listener %d: packet %d with %d sources, want number %d", i, r.Sequence, r.Sources.Len(), want)
				}
				if heard[i].Add(1) == packets {
					all.Done()
				}
			})
			if err != nil {
				t.Error(err)
			}
			players <- p
		}()
	}
	for range listeners {
		session := await(t, d.sessions, "session")
		await(t, session.Connected(), "connection")
	}
	defer func() {
		for range listeners {
			if p := <-players; p != nil {
				p.Close(context.Background())
			}
		}
	}()
	tick := time.NewTicker(rotunda.FrameDuration)
	defer tick.Stop()
	for i := range packets {
		d.room.Program(time.Now(), program(i))
		<-tick.C
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	await(t, done, "all packets at all listeners")
}

// What strangers send to the media port is not answered, neither for listeners nor for microphones, and disturbs nobody.
func TestStrangers(t *testing.T) {
	noLeaks(t)
	d := open(t, nil)
	mics, err := rtc.NewServer(rtc.Config{Conn: d.egress.Rest(), Addresses: []netip.AddrPort{d.at}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mics.Close() })
	got := make(chan rtc.Received, 1024)
	p, err := rtc.DialPlayer(t.Context(), rtc.ClientConfig{URL: d.URL}, func(r rtc.Received) { got <- r })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	session := await(t, d.sessions, "session")
	await(t, session.Connected(), "connection")
	stranger, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(d.at))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	answer, _ := d.answers.Load(session)
	_, ufrag, _ := strings.Cut(answer.(string), "a=ice-ufrag:")
	ufrag, _, _ = strings.Cut(ufrag, "\r\n")
	random := rand.New(rand.NewChaCha8([32]byte{1}))
	for i := range 500 {
		for _, b := range garbage(random, ufrag) {
			if _, err := stranger.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		d.room.Program(time.Now(), program(i))
		if r := await(t, got, "packet in the storm"); r.Sequence != uint16(i) {
			t.Fatalf("sequence %d, want %d", r.Sequence, i)
		}
	}
	// All of it has been read by now, being before the last packets in the same queue of the kernel's.
	if err := stranger.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := stranger.Read(make([]byte, 1500)); err == nil {
		t.Errorf("a stranger got an answer of %d bytes", n)
	}
}

// garbage is one of each kind of datagram that a stranger may send.
func garbage(random *rand.Rand, ufrag string) [][]byte {
	noise := make([]byte, 1+random.IntN(1400))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	hello := append([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1, 0, 0, 48, 0, 0, 0, 0, 0, 0, 0, 48, 254, 253}, noise[:min(len(noise), 46)]...)
	media := append([]byte{0x80, 111}, noise...)
	var id stun.TransactionID
	copy(id[:], noise)
	return [][]byte{
		noise, hello, media,
		stun.AppendRequest(nil, id, ufrag+":x", "guessed", true),
		stun.AppendRequest(nil, id, "nobody:x", "guessed", false),
		stun.AppendRequest(nil, id, ufrag+":x", "guessed", false)[:40],
	}
}

// A socket bound to all addresses of both families serves the address that is offered.
func TestWildcardSocket(t *testing.T) {
	for _, network := range []string{"udp4", "udp"} {
		t.Run(network, func(t *testing.T) {
			noLeaks(t)
			conn, err := net.ListenUDP(network, nil)
			if err != nil {
				t.Fatal(err)
			}
			port := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
			d := openOn(t, conn, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), egress.Config{})
			heard := make(chan rtc.Received, 4)
			p, err := rtc.DialPlayer(t.Context(), rtc.ClientConfig{URL: d.URL}, func(r rtc.Received) { heard <- r })
			if err != nil {
				t.Fatal(err)
			}
			d.room.Program(time.Now(), program(1))
			await(t, heard, "packet")
			p.Close(t.Context())
		})
	}
}
