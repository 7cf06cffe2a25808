//go:build !linux

package bench

import (
	"errors"
	"net/netip"
	"time"
)

// sockets would be the listeners'; they need Linux's epoll.
type sockets struct{}

var (
	errNothing = errors.New("nothing to read")
	errSystem  = errors.New("thousands of listeners in one process need Linux")
)

func newSockets() (*sockets, error)                   { return nil, errSystem }
func (*sockets) close()                               {}
func (*sockets) open(netip.AddrPort) (int, error)     { return 0, errSystem }
func (*sockets) connect(int, netip.AddrPort) error    { return errSystem }
func (*sockets) closeOne(int)                         {}
func (*sockets) watch(int, int) error                 { return errSystem }
func (*sockets) wait(time.Duration) []int             { return nil }
func (*sockets) read(int, []byte) (int, int64, error) { return 0, 0, errNothing }
func (*sockets) write(int, []byte) error              { return errSystem }
func descriptors(int) error                           { return errSystem }
