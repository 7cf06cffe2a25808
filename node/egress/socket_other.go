//go:build !linux

package egress

import "net"

// sockaddr is an address as the kernel takes it: not needed packet by packet.
type sockaddr struct{}

func newSocket(conn net.PacketConn) (socket, error) { return plainSocket{conn}, nil }
