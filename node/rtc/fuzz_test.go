package rtc

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/stun/v4"

	"rotunda/node/ingest"
)

// FuzzIngestPacket: no RTP packet, however it is made, gets more out of its payload or level than is there.
func FuzzIngestPacket(f *testing.F) {
	f.Add(uint8(0), []byte("\x80\x6f\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03opus"))
	f.Add(uint8(1), []byte("\x90\x6f\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\xbe\xde\x00\x01\x10\x85\x00\x00opus"))
	f.Add(uint8(1), []byte("\xb0\x6f\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\xbe\xde\x00\x01\x1f\x85\x00\x00\x00"))
	var p rtp.Packet // used again for every packet, as read does
	f.Fuzz(func(t *testing.T, level uint8, b []byte) {
		if p.Unmarshal(b) != nil {
			return
		}
		got := ingestPacket(&p, level, time.Time{})
		if got.Level > 127 || len(got.Payload) > len(b)-12 || !got.HasLevel && (got.Voice || got.Level != 0) {
			t.Errorf("%+v of %x", got, b)
		}
	})
}

func TestIngestPacketAllocatesNothing(t *testing.T) {
	var p rtp.Packet
	b := []byte("\x90\x6f\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\xbe\xde\x00\x01\x10\x85\x00\x00opus")
	var got ingest.Packet
	if n := testing.AllocsPerRun(100, func() {
		if err := p.Unmarshal(b); err != nil {
			t.Fatal(err)
		}
		got = ingestPacket(&p, 1, time.Time{})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if !got.HasLevel || !got.Voice || got.Level != 5 || string(got.Payload) != "opus" {
		t.Errorf("%+v", got)
	}
}

// wire is a socket whose incoming datagrams a test makes up. It notes when one is sent to a stranger.
type wire struct {
	recorder
	in       chan datagram // never closed
	stranger net.UDPAddr
	answered atomic.Bool
}

type datagram struct {
	b    []byte
	from *net.UDPAddr
}

func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-w.in:
		return copy(b, d.b), d.from, nil
	case <-w.closed:
		return 0, nil, net.ErrClosed
	}
}

func (w *wire) WriteTo(b []byte, to net.Addr) (int, error) {
	if to.(*net.UDPAddr).IP.Equal(w.stranger.IP) {
		w.answered.Store(true)
	}
	return len(b), nil
}

// FuzzDatagrams: strangers are not answered, whatever they send, and neither they nor a peer that holds a session's
// password make the server panic.
func FuzzDatagrams(f *testing.F) {
	f.Add(false, []byte("\x00\x01\x00\x00\x21\x12\xa4\x42............"))
	f.Add(true, []byte{0, 0x25, 0, 0, 0x80, 0x29, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add(true, []byte{0x80, 0x2a, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add(true, append([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1, 0, 0, 48}, make([]byte, 56)...))
	w := &wire{recorder: recorder{at: net.IPv4zero, closed: make(chan struct{})}, in: make(chan datagram), stranger: net.UDPAddr{IP: net.IPv4(198, 51, 100, 66), Port: 666}}
	s, err := NewServer(Config{Conn: w, Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:8081")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	peer := &net.UDPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 7}
	var mu sync.Mutex // the fuzzer may run bodies in parallel
	var session *Session
	var answer string
	f.Fuzz(func(t *testing.T, authentic bool, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		if session == nil || ended(session) {
			if session, answer, err = s.Publish(t.Context(), chromium, func(ingest.Packet) {}); err != nil {
				t.Fatal(err)
			}
		}
		value := func(name string) string {
			_, v, _ := strings.Cut(answer, "a="+name+":")
			v, _, _ = strings.Cut(v, "\r\n")
			return v
		}
		if !authentic {
			w.in <- datagram{b, &w.stranger}
		} else {
			w.in <- datagram{check(value("ice-ufrag")+":Xo3f", value("ice-pwd"), b), peer}
			w.in <- datagram{b, peer} // from an address that is the session's by now
		}
		if w.answered.Load() {
			t.Fatal("a stranger was answered")
		}
	})
}

func ended(n *Session) bool {
	select {
	case <-n.Done():
		return true
	default:
		return false
	}
}

// check is a path check with valid integrity and with attributes that a fuzzer has made.
func check(user, password string, attributes []byte) []byte {
	m := stun.New()
	m.SetType(stun.BindingRequest)
	_ = m.NewTransactionID()
	m.WriteHeader()
	_ = stun.NewUsername(user).AddTo(m)
	for len(attributes) >= 4 && len(m.Raw) < 1000 {
		size := min(int(attributes[2])<<8|int(attributes[3]), len(attributes)-4)
		m.Add(stun.AttrType(uint16(attributes[0])<<8|uint16(attributes[1])), attributes[4:4+size])
		attributes = attributes[4+size:]
	}
	if stun.NewShortTermIntegrity(password).AddTo(m) == nil {
		_ = stun.Fingerprint.AddTo(m)
	}
	return m.Raw
}
