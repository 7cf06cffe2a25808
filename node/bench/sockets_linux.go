package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
	"unsafe"
)

// sockets are the listeners' UDP sockets: one each, because a server knows its listeners apart by their addresses; and one
// epoll for all, because a goroutine each would cost more than what it reads.
type sockets struct {
	epoll int

	// what follows is the reader's
	events  []syscall.EpollEvent
	ready   []int
	message syscall.Msghdr
	vector  syscall.Iovec
	control [64]byte
}

const eventsMax = 512

// errNothing says that a socket has nothing to read.
var errNothing = errors.New("nothing to read")

func newSockets() (*sockets, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &sockets{epoll: fd, events: make([]syscall.EpollEvent, eventsMax), ready: make([]int, 0, eventsMax)}, nil
}

func (s *sockets) close() { _ = syscall.Close(s.epoll) }

// open makes a socket that sends to and hears one address only. Any goroutine may open.
func (s *sockets) open(to netip.AddrPort) (fd int, err error) {
	family := syscall.AF_INET
	if to.Addr().Is6() {
		family = syscall.AF_INET6
	}
	if fd, err = syscall.Socket(family, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0); err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1) // else the reader's clock does
	if err := s.connect(fd, to); err != nil {
		s.closeOne(fd)
		return 0, err
	}
	return fd, nil
}

// connect has a socket send to and hear another address of the same family.
func (s *sockets) connect(fd int, to netip.AddrPort) error {
	var address syscall.Sockaddr = &syscall.SockaddrInet4{Port: int(to.Port()), Addr: v4(to.Addr())}
	if to.Addr().Is6() {
		address = &syscall.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	if err := syscall.Connect(fd, address); err != nil {
		return fmt.Errorf("connect to %s: %w", to, err)
	}
	return nil
}

func v4(a netip.Addr) (b [4]byte) {
	if a.Is4() {
		b = a.As4()
	}
	return b
}

func (s *sockets) closeOne(fd int) { _ = syscall.Close(fd) }

// watch has wait return i when there is something to read.
func (s *sockets) watch(fd, i int) error {
	return syscall.EpollCtl(s.epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)})
}

// wait returns those whose sockets can be read, until the next call, after at most that long. The reader alone waits.
func (s *sockets) wait(atMost time.Duration) []int {
	s.ready = s.ready[:0]
	n, err := syscall.EpollWait(s.epoll, s.events, int(atMost.Milliseconds()))
	if err != nil { // interrupted by a signal
		return nil
	}
	for _, e := range s.events[:n] {
		s.ready = append(s.ready, int(e.Fd))
	}
	return s.ready
}

// read takes one datagram, and when the kernel had it, in Unix nanoseconds: however long a busy load takes to come round,
// that is when it arrived; 0: the kernel does not say. Go's scheduler is not told of the call, which never blocks: telling
// would cost as much. The reader alone reads.
func (s *sockets) read(fd int, b []byte) (n int, at int64, err error) {
	s.vector.Base = unsafe.SliceData(b)
	s.vector.SetLen(len(b))
	s.message = syscall.Msghdr{Iov: &s.vector, Iovlen: 1, Control: &s.control[0]}
	s.message.SetControllen(len(s.control))
	r, _, errno := syscall.RawSyscall(syscall.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.message)), 0)
	switch errno {
	case 0:
		return int(r), s.stamp(), nil
	case syscall.EAGAIN, syscall.EINTR:
		return 0, 0, errNothing
	}
	return 0, 0, errno
}

// stamp takes the time out of the control data of the message that was read (socket(7), SO_TIMESTAMPNS).
func (s *sockets) stamp() int64 {
	header := (*syscall.Cmsghdr)(unsafe.Pointer(&s.control[0]))
	if uint64(s.message.Controllen) < uint64(syscall.CmsgLen(int(unsafe.Sizeof(syscall.Timespec{})))) ||
		header.Level != syscall.SOL_SOCKET || header.Type != syscall.SO_TIMESTAMPNS {
		return 0
	}
	return (*syscall.Timespec)(unsafe.Pointer(&s.control[syscall.CmsgLen(0)])).Nano()
}

// write sends a datagram; one that finds the socket's buffer full is lost, as on any network.
func (s *sockets) write(fd int, b []byte) error {
	_, err := syscall.Write(fd, b)
	return err
}

// descriptors reports whether the process may have the sockets of so many listeners. Go has raised the soft limit as far as
// it goes.
func descriptors(listeners int) error {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return nil
	}
	if need := uint64(listeners + descriptorsMore); limit.Cur < need {
		return fmt.Errorf("%d listeners need %d open files and this process may have %d: raise the limit (ulimit -n)", listeners, need, limit.Cur)
	}
	return nil
}

// descriptorsMore is what else a load has open: HTTP connections above all.
const descriptorsMore = 2*ConcurrencyMax + 64
