package egress

import (
	"bytes"
	"context"
	"crypto/mlkem"
	"crypto/sha256"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	message "github.com/pion/dtls/v3/pkg/protocol/handshake"
	"go.uber.org/goleak"

	"rotunda/node/egress/stun"
)

// raw is an extension of a ClientHello as its octets.
type raw struct {
	kind extension.TypeValue
	data []byte
}

func (r raw) TypeValue() extension.TypeValue { return r.kind }
func (r raw) Unmarshal([]byte) error         { return nil }
func (r raw) Marshal() ([]byte, error) {
	b := binary.BigEndian.AppendUint16(nil, uint16(r.kind))
	return append(binary.BigEndian.AppendUint16(b, uint16(len(r.data))), r.data...), nil
}

// postQuantum is what browsers of 2025 and later add to a ClientHello: DTLS 1.3 among the versions (RFC 9147 §5.3), and shares of
// X25519MLKEM768 and X25519, so that it is longer than a datagram may be.
func postQuantum(t *testing.T) []extension.Extension {
	key, err := mlkem.GenerateKey768()
	if err != nil {
		t.Fatal(err)
	}
	hybrid := append(key.EncapsulationKey().Bytes(), make([]byte, 32)...)
	share := func(group uint16, key []byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, group)
		return append(binary.BigEndian.AppendUint16(b, uint16(len(key))), key...)
	}
	shares := append(share(0x11ec, hybrid), share(0x001d, make([]byte, 32))...)
	return []extension.Extension{
		raw{extension.SupportedVersionsTypeValue, []byte{4, 0xfe, 0xfc, 0xfe, 0xfd}},
		raw{extension.KeyShareTypeValue, append(binary.BigEndian.AppendUint16(nil, uint16(len(shares))), shares...)},
	}
}

// browser is a client's socket, on which the first datagrams of the handshake meet with something.
type browser struct {
	*net.UDPConn
	meet func(send func([]byte), n int, b []byte)

	mu   sync.Mutex
	sent int // guarded by mu
}

func (c *browser) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.Read(b)
	return n, c.RemoteAddr(), err
}

func (c *browser) WriteTo(b []byte, _ net.Addr) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent++
	c.meet(func(b []byte) { _, _ = c.Write(b) }, c.sent, b)
	return len(b), nil
}

// A ClientHello that comes in pieces, as those of today's browsers do, is understood whatever happens to the pieces on the way.
func TestHelloInPieces(t *testing.T) {
	var held []byte
	for name, c := range map[string]struct {
		mtu  int
		meet func(send func([]byte), n int, b []byte)
	}{
		"two datagrams":  {1200, func(send func([]byte), _ int, b []byte) { send(b) }},
		"small pieces":   {300, func(send func([]byte), _ int, b []byte) { send(b) }},
		"each one twice": {600, func(send func([]byte), _ int, b []byte) { send(b); send(b) }},
		"the first one lost": {1200, func(send func([]byte), n int, b []byte) {
			if n > 1 {
				send(b)
			}
		}},
		"the second one lost": {600, func(send func([]byte), n int, b []byte) {
			if n != 2 {
				send(b)
			}
		}},
		"the second one first": {600, func(send func([]byte), n int, b []byte) {
			switch n {
			case 1:
				held = bytes.Clone(b)
			case 2:
				send(b)
				send(held)
			default:
				send(b)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) { helloInPieces(t, c.mtu, c.meet) })
	}
}

func helloInPieces(t *testing.T, mtu int, meet func(send func([]byte), n int, b []byte)) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := udp.LocalAddr().(*net.UDPAddr)
	s, err := New(Config{Conn: udp, Addresses: []netip.AddrPort{at.AddrPort()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}()
	cert, err := newCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	mine := fingerprintText(sha256.Sum256(cert.tls.Certificate[0]))
	_, rest, _ := strings.Cut(offered(), "a=fingerprint:sha-256 ")
	old, _, _ := strings.Cut(rest, "\r\n")
	n, _, err := s.Play(t.Context(), s.Room(), strings.Replace(offered(), old, mine, 1))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp4", nil, at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	id, b := stun.TransactionID{7}, make([]byte, 1500)
	if _, err := conn.Write(stun.AppendRequest(nil, id, n.fragment+":Xo3f", n.password, true)); err != nil {
		t.Fatal(err)
	}
	size, err := conn.Read(b)
	if err != nil || !stun.IsSuccess(b[:size], id, n.password) {
		t.Fatalf("the check is not answered: %v", err)
	}
	length := 0
	c, err := dtls.ClientWithOptions(&browser{UDPConn: conn, meet: meet}, at, dtls.WithCertificates(cert.tls), dtls.WithInsecureSkipVerify(true),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM), dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithMTU(mtu), dtls.WithFlightInterval(200*time.Millisecond),
		dtls.WithClientHelloMessageHook(func(m message.MessageClientHello) message.Message {
			m.Extensions = append(m.Extensions, postQuantum(t)...)
			if b, err := m.Marshal(); err == nil {
				length = len(b)
			}
			return &m
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.HandshakeContext(hctx); err != nil {
		t.Fatal(err)
	}
	if length < 1300 {
		t.Errorf("the ClientHello has %d octets, which fits a datagram", length)
	}
	select {
	case <-n.Connected():
	case <-hctx.Done():
		t.Error("the session is not connected")
	}
}
