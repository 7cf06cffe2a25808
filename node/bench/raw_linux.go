package bench

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// rawConfig is what the plain loop sends.
type rawConfig struct {
	listeners int
	size      int           // bytes of a datagram, encrypted
	every     time.Duration // between two packets of a listener
	likePID   int           // the loop runs on the processors that this process may use; 0: on any
}

// rawFigures are what the machine can do without any server in the way.
type rawFigures struct {
	perPacket float64 // µs of processor time, at the load's own pace
	perSecond float64 // packets, as fast as it goes
}

const (
	rawBatch   = 64 // datagrams to a system call
	rawPaced   = 3 * time.Second
	rawFlat    = time.Second
	rawSizeMin = rtpMin + 16
)

// rawLimit measures a loop that does nothing but what cannot be left out: for each listener and packet write the header,
// encrypt with AES-128-GCM as SRTP does (RFC 7714), and hand 64 datagrams at a time to sendmmsg. It sends to as many
// sockets on loopback as there were listeners, each read by this package's own reader, at the pace of the load and then as
// fast as it goes. Processor time is the sending thread's.
func rawLimit(ctx context.Context, cfg rawConfig) (rawFigures, error) {
	if sendmmsg == 0 {
		return rawFigures{}, fmt.Errorf("no sendmmsg on %s", runtime.GOARCH)
	}
	cfg.size = max(cfg.size, rawSizeMin)
	in, to, err := rawListeners(cfg.listeners)
	if err != nil {
		return rawFigures{}, err
	}
	stop, done := make(chan struct{}), make(chan struct{}) // closed here; closed by the reader
	go in.drain(stop, done)
	type outcome struct {
		figures rawFigures
		err     error
	}
	result := make(chan outcome, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, whose affinity is not the process's, ends with the goroutine
		likeProcess(cfg.likePID)
		s, err := newRawSender(cfg, to)
		if err != nil {
			result <- outcome{err: err}
			return
		}
		defer syscall.Close(s.fd)
		var f rawFigures
		if f.perPacket, _, err = s.send(ctx, cfg.every, rawPaced); err == nil {
			_, f.perSecond, err = s.send(ctx, 0, rawFlat)
		}
		result <- outcome{f, err}
	}()
	o := <-result
	close(stop)
	<-done
	return o.figures, o.err
}

// rawInbox is the sockets that the loop sends to.
type rawInbox struct {
	*sockets
	fds []int
}

func rawListeners(n int) (rawInbox, []netip.AddrPort, error) {
	s, err := newSockets()
	if err != nil {
		return rawInbox{}, nil, err
	}
	in := rawInbox{sockets: s}
	var to []netip.AddrPort
	for i := range n {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err == nil {
			in.fds = append(in.fds, fd)
			err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: loopback.As4()})
		}
		var name syscall.Sockaddr
		if err == nil {
			name, err = syscall.Getsockname(fd)
		}
		if err == nil {
			err = s.watch(fd, i)
		}
		if err != nil {
			in.closeAll()
			return rawInbox{}, nil, fmt.Errorf("socket %d of %d: %w", i+1, n, err)
		}
		to = append(to, netip.AddrPortFrom(loopback, uint16(name.(*syscall.SockaddrInet4).Port)))
	}
	return in, to, nil
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func (in rawInbox) closeAll() {
	for _, fd := range in.fds {
		in.closeOne(fd)
	}
	in.close()
}

// drain reads everything until stop is closed, and closes the sockets.
func (in rawInbox) drain(stop, done chan struct{}) {
	defer close(done)
	defer in.closeAll()
	buf := make([]byte, datagramMax)
	for {
		select {
		case <-stop:
			return
		default:
		}
		for _, i := range in.wait(readWait) {
			_, _, _ = in.read(in.fds[i], buf)
		}
	}
}

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	header syscall.Msghdr
	length uint32
	_      [unsafe.Sizeof(uintptr(0)) - 4]byte
}

// sendmmsg is the number of the system call, which package syscall does not know everywhere; 0: nor do we.
var sendmmsg = map[string]uintptr{"amd64": 307, "arm64": 269, "riscv64": 269, "loong64": 269}[runtime.GOARCH]

// rawSender is the loop's state. It belongs to one locked thread.
type rawSender struct {
	fd     int
	to     []syscall.RawSockaddrInet4
	seals  []cipher.AEAD // one for each listener, as keys are
	plain  []byte
	nonce  [12]byte
	out    [rawBatch][]byte
	vector [rawBatch]syscall.Iovec
	batch  [rawBatch]mmsghdr
	sent   uint64
}

func newRawSender(cfg rawConfig, to []netip.AddrPort) (*rawSender, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4<<20) // less does
	s := &rawSender{fd: fd, plain: make([]byte, cfg.size-16)}
	for _, a := range to {
		raw := syscall.RawSockaddrInet4{Family: syscall.AF_INET, Addr: a.Addr().As4()}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&raw.Port))[:], a.Port())
		s.to = append(s.to, raw)
		var key [16]byte
		_, _ = rand.Read(key[:])
		block, err := aes.NewCipher(key[:])
		if err != nil {
			return nil, err
		}
		seal, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		s.seals = append(s.seals, seal)
	}
	_, _ = rand.Read(s.plain[rtpMin:])
	s.plain[0], s.plain[1] = 0x80, payloadType
	for i := range s.batch {
		s.out[i] = make([]byte, cfg.size)
		s.vector[i].Base = &s.out[i][0]
		s.vector[i].SetLen(cfg.size)
		s.batch[i].header.Iov, s.batch[i].header.Iovlen = &s.vector[i], 1
	}
	return s, nil
}

// send goes round the listeners for a time: every so often, or without a pause. It returns the thread's microseconds for
// each packet, and packets a second.
func (s *rawSender) send(ctx context.Context, every, atMost time.Duration) (perPacket, perSecond float64, err error) {
	s.sent = 0
	began, used := time.Now(), threadCPU()
	for round := 0; time.Since(began) < atMost && ctx.Err() == nil; round++ {
		if every > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(round) * every)))
		}
		if err := s.round(uint16(round)); err != nil {
			return 0, 0, err
		}
	}
	took := time.Since(began)
	if s.sent == 0 {
		return 0, 0, ctx.Err()
	}
	return micros(threadCPU()-used) / float64(s.sent), float64(s.sent) / took.Seconds(), nil
}

// round sends one packet to every listener.
func (s *rawSender) round(seq uint16) error {
	binary.BigEndian.PutUint16(s.plain[2:], seq)
	binary.BigEndian.PutUint16(s.nonce[10:], seq)
	n := 0
	for i := range s.to {
		binary.BigEndian.PutUint32(s.plain[8:], uint32(i))
		out := s.out[n]
		copy(out, s.plain[:rtpMin])
		s.seals[i].Seal(out[rtpMin:rtpMin], s.nonce[:], s.plain[rtpMin:], out[:rtpMin])
		s.batch[n].header.Name = (*byte)(unsafe.Pointer(&s.to[i]))
		s.batch[n].header.Namelen = syscall.SizeofSockaddrInet4
		if n++; n == rawBatch || i == len(s.to)-1 {
			if err := s.flush(n); err != nil {
				return err
			}
			n = 0
		}
	}
	return nil
}

func (s *rawSender) flush(n int) error {
	for from := 0; from < n; {
		r, _, errno := syscall.Syscall6(sendmmsg, uintptr(s.fd), uintptr(unsafe.Pointer(&s.batch[from])), uintptr(n-from), 0, 0, 0)
		switch errno {
		case 0:
			from += int(r)
			s.sent += uint64(r)
		case syscall.EINTR:
		default:
			return fmt.Errorf("sendmmsg: %w", errno)
		}
	}
	return nil
}

// threadCPU is the processor time of the calling thread.
func threadCPU() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if syscall.Getrusage(thread, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// likeProcess lets the calling thread run where another process may; where that cannot be known it stays as it is.
func likeProcess(pid int) {
	if pid == 0 {
		return
	}
	var mask [128]byte
	n, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, uintptr(pid), uintptr(len(mask)), uintptr(unsafe.Pointer(&mask[0])))
	if errno == 0 {
		_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, n, uintptr(unsafe.Pointer(&mask[0])))
	}
}
