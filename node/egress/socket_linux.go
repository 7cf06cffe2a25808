package egress

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr is an address as the kernel takes it.
type sockaddr struct {
	b [unix.SizeofSockaddrInet6]byte
	n uint32
}

// udpSocket is the system's.
type udpSocket struct {
	*net.UDPConn
	raw syscall.RawConn
	v6  bool
}

func newSocket(conn net.PacketConn) (socket, error) {
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return plainSocket{conn}, nil
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		return nil, err
	}
	var domain int
	var inner error
	if err := raw.Control(func(fd uintptr) { domain, inner = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN) }); err != nil {
		return nil, err
	}
	if inner != nil {
		return nil, inner
	}
	return &udpSocket{UDPConn: udp, raw: raw, v6: domain == unix.AF_INET6}, nil
}

func (s *udpSocket) localAddr() net.Addr { return s.LocalAddr() }
func (s *udpSocket) close() error        { return s.Close() }

func (s *udpSocket) peer(at netip.AddrPort) *peer { return &peer{at: at, name: s.name(at)} }

// name is an address as the socket's family has it.
func (s *udpSocket) name(at netip.AddrPort) (n sockaddr) {
	b := n.b[:]
	binary.BigEndian.PutUint16(b[2:], at.Port())
	if !s.v6 {
		binary.NativeEndian.PutUint16(b, unix.AF_INET)
		ip := at.Addr().Unmap().As4()
		copy(b[4:], ip[:])
		n.n = unix.SizeofSockaddrInet4
		return n
	}
	binary.NativeEndian.PutUint16(b, unix.AF_INET6)
	ip := at.Addr().As16()
	copy(b[8:], ip[:])
	binary.NativeEndian.PutUint32(b[24:], scope(at.Addr().Zone()))
	n.n = unix.SizeofSockaddrInet6
	return n
}

// scope is the number of a link-local address's zone.
func scope(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0
	}
	return uint32(i.Index)
}

// The system calls here never block (MSG_DONTWAIT), so they are made without telling the scheduler (RawSyscall): a process that is
// idle fifty times a second otherwise wakes its monitor thread each time, which looks around every 20 µs and cost a sixth of all
// that 500 listeners did. A full batch keeps its thread for a quarter of a millisecond.

// mmsghdr is struct mmsghdr of sendmmsg(2) and recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32 // how much was read
}

// receiveLen is how many datagrams are read with one call.
const receiveLen = 16

// mmsgReader reads datagrams in batches.
type mmsgReader struct {
	raw   syscall.RawConn
	read  func(fd uintptr) bool // what raw.Read is given, which waits
	msgs  [receiveLen]mmsghdr
	iovs  [receiveLen]unix.Iovec
	names [receiveLen]unix.RawSockaddrInet6
	bufs  [receiveLen][readMax]byte
	n     int // what the last call read
	err   error
	zones map[uint32]string // names of the interfaces that link-local addresses came by
}

func (s *udpSocket) receiver() receiver {
	r := &mmsgReader{raw: s.raw, zones: map[uint32]string{}}
	r.read = r.call
	for i := range r.msgs {
		r.iovs[i].Base = &r.bufs[i][0]
		r.iovs[i].SetLen(readMax)
		h := &r.msgs[i].hdr
		h.Name, h.Iov = (*byte)(unsafe.Pointer(&r.names[i])), &r.iovs[i]
		h.SetIovlen(1)
	}
	return r
}

func (r *mmsgReader) receive(take func(b []byte, from netip.AddrPort)) error {
	for i := range r.msgs {
		r.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet6
	}
	r.n, r.err = 0, nil
	if err := r.raw.Read(r.read); err != nil {
		return err
	}
	for i := range r.n {
		take(r.bufs[i][:r.msgs[i].len], r.from(i))
	}
	return r.err
}

// call reads what there is; false waits until there is something.
func (r *mmsgReader) call(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])), receiveLen, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			r.n = int(n)
			return true
		case unix.EAGAIN:
			return false
		case unix.EINTR:
		default:
			r.err = errno
			return true
		}
	}
}

// from is where the i-th datagram came from.
func (r *mmsgReader) from(i int) netip.AddrPort {
	name := &r.names[i]
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if name.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr), port)
	}
	ip := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 {
		ip = ip.WithZone(r.zone(name.Scope_id))
	}
	return netip.AddrPortFrom(ip, port)
}

// zone is the name of an interface, as the net package has it.
func (r *mmsgReader) zone(scope uint32) string {
	if name, ok := r.zones[scope]; ok {
		return name
	}
	name := strconv.FormatUint(uint64(scope), 10)
	if i, err := net.InterfaceByIndex(int(scope)); err == nil {
		name = i.Name
	}
	r.zones[scope] = name // as many as there are interfaces
	return name
}

// letter is one datagram on its way to the kernel.
type letter struct {
	b    *byte
	n    int
	name sockaddr
	do   func(fd uintptr)
	err  error
}

var letters = sync.Pool{New: func() any {
	l := &letter{}
	l.do = l.call
	return l
}}

func (l *letter) call(fd uintptr) {
	l.err = nil
	if _, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(l.b)), uintptr(l.n), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL,
		uintptr(unsafe.Pointer(&l.name.b[0])), uintptr(l.name.n)); errno != 0 {
		l.err = errno
	}
}

// write sends one datagram. It waits when the socket is full.
func (s *udpSocket) write(b []byte, to netip.AddrPort) error {
	if len(b) == 0 {
		return nil
	}
	if !s.v6 && !to.Addr().Unmap().Is4() {
		return unix.EAFNOSUPPORT
	}
	l := letters.Get().(*letter)
	l.b, l.n, l.name = &b[0], len(b), s.name(to)
	err := s.raw.Control(l.do)
	if err == nil {
		err = l.err
	}
	l.b = nil
	letters.Put(l)
	if err == unix.EAGAIN { //nolint:errorlint // as it was made
		_, err = s.WriteToUDPAddrPort(b, to)
	}
	return err
}

// mmsg sends batches with one call each.
type mmsg struct {
	raw    syscall.RawConn
	try    func(fd uintptr)      // what raw.Control is given: it takes no lock, so shards do not wait for each other
	write  func(fd uintptr) bool // what raw.Write is given, which waits
	msgs   [batchLen]mmsghdr
	iovs   [batchLen]unix.Iovec
	next   int // of msgs, the first that is not sent
	n      int
	failed int
}

func (s *udpSocket) sender() batchSender {
	m := &mmsg{raw: s.raw}
	m.write, m.try = m.call, func(fd uintptr) { m.call(fd) }
	return m
}

func (m *mmsg) send(b *batch) (failed int) {
	for i := range b.n {
		m.iovs[i].Base = &b.slots[i][0]
		m.iovs[i].SetLen(b.lengths[i])
		h := &m.msgs[i].hdr
		h.Name, h.Namelen = &b.peers[i].name.b[0], b.peers[i].name.n
		h.Iov = &m.iovs[i]
		h.SetIovlen(1)
	}
	m.next, m.n, m.failed = 0, b.n, 0
	err := m.raw.Control(m.try)
	if err == nil && m.next < m.n { // the socket is full
		err = m.raw.Write(m.write)
	}
	if err != nil { // it is closed
		m.failed += m.n - m.next
	}
	return m.failed
}

// call hands the kernel what is left; false waits until the socket takes more.
func (m *mmsg) call(fd uintptr) bool {
	for m.next < m.n {
		sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&m.msgs[m.next])), uintptr(m.n-m.next), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == 0:
			m.next += int(sent)
		case errno == unix.EAGAIN:
			return false
		case errno == unix.EINTR:
		default: // about the first one: unreachable, forbidden; the others are not to suffer
			m.next++
			m.failed++
		}
	}
	return true
}
