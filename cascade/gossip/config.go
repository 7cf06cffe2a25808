package gossip

import (
	"context"
	"net"
)

// Config is what the operator decides about gossip.
type Config struct {
	Listen    string   // host:port, UDP and TCP; port 0 picks a free one
	Advertise string   // host:port that the other nodes use; empty: the address listened on
	Keys      [][]byte // 16, 24 or 32 bytes each; the first one encrypts, all of them decrypt. Empty: no encryption
	Label     string   // name of the mesh: packets with another label are dropped. At most 255 bytes
	Seeds     []string // host:port of nodes to find the mesh by; this node's own address may be among them
	Network   Network  // nil: real sockets
}

// Network is how gossip reaches other nodes: real sockets where it is nil, or a simulated network in tests.
type Network interface {
	// ListenPacket opens the datagram socket at address (host:port).
	ListenPacket(address string) (net.PacketConn, error)
	// Listen opens the stream socket at address (host:port).
	Listen(address string) (net.Listener, error)
	// Dial opens a stream to address (host:port); it gives up when ctx ends.
	Dial(ctx context.Context, address string) (net.Conn, error)
}

// Sockets is the Network of real sockets.
func Sockets() Network { return sockets{} }

type sockets struct{}

func (sockets) ListenPacket(address string) (net.PacketConn, error) {
	return net.ListenPacket("udp", address)
}

func (sockets) Listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

func (sockets) Dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}
