package main

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Bounds of one delayed connection: what is on its way in one direction. A control log sends little; a snapshot is slowed
// to queue × chunk per delay, some 20 MB/s at 100 ms.
const (
	delayChunk = 16 << 10 // bytes read at once
	delayQueue = 128      // chunks on their way; more wait in the sender's socket
)

// delay carries the TCP connections of the control log between nodes of this machine as late as if the nodes were apart.
// QUIC and gossip are delayed in the nodes themselves; etcd's own connections cannot be, so `up` stands in between.
type delay struct {
	target string                                    // where the node itself listens
	from   func(client netip.AddrPort) time.Duration // one way, from whoever connects
}

// run serves l until ctx ends, and returns when every connection has ended.
func (d *delay) run(ctx context.Context, l net.Listener) {
	var all sync.WaitGroup
	defer all.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil { // closed; a listener on loopback fails in no other way
			return
		}
		all.Go(func() { d.carry(ctx, c) })
	}
}

// carry joins one connection to the target.
func (d *delay) carry(ctx context.Context, client net.Conn) {
	defer client.Close()
	late := d.from(client.RemoteAddr().(*net.TCPAddr).AddrPort())
	var dialer net.Dialer
	node, err := dialer.DialContext(ctx, "tcp", d.target)
	if err != nil {
		return // the node is down: so is this connection
	}
	defer node.Close()
	stop := context.AfterFunc(ctx, func() { client.Close(); node.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { carryLate(node, client, late) })
	both.Go(func() { carryLate(client, node, late) })
	both.Wait()
}

// chunk is bytes on their way.
type chunk struct {
	data []byte
	due  time.Time
}

// carryLate copies from src to dst, each byte late by d, until either ends; then it passes the end on, as late.
func carryLate(dst, src net.Conn, d time.Duration) {
	way := make(chan chunk, delayQueue) // closed by the reader
	var reader sync.WaitGroup
	gone := make(chan struct{}) // closed when dst takes no more
	reader.Go(func() {
		defer close(way)
		for {
			buf := make([]byte, delayChunk)
			n, err := src.Read(buf)
			if n > 0 {
				select {
				case way <- chunk{buf[:n], time.Now().Add(d)}:
				case <-gone:
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for c := range way {
		time.Sleep(time.Until(c.due)) // bounded by d, at most some 170 ms
		if _, err := dst.Write(c.data); err != nil {
			break
		}
	}
	close(gone)
	time.Sleep(d)
	closeWrite(dst)
	closeRead(src)
	reader.Wait()
}

func closeWrite(c net.Conn) {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite() // it may be gone already
	}
}

// closeRead frees a reader that waits for bytes that nobody wants.
func closeRead(c io.Closer) {
	if h, ok := c.(interface{ CloseRead() error }); ok {
		_ = h.CloseRead() // it may be gone already
	}
}
