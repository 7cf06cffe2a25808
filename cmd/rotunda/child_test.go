package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rotunda"
)

func TestPrefixes(t *testing.T) {
	ids := []rotunda.NodeID{"us-east-1", "eu-1"}
	if got := prefix(1, ids[1], ids, false); got != "eu-1      | " {
		t.Errorf("prefix = %q", got)
	}
	if got := prefix(1, ids[1], ids, true); got != "\x1b[33meu-1     \x1b[0m | " {
		t.Errorf("coloured prefix = %q", got)
	}
}

// Lines come out whole, whatever pieces they were written in, and two nodes' lines never mix.
func TestPrefixWriter(t *testing.T) {
	var mu sync.Mutex
	var out bytes.Buffer
	a, b := &prefixWriter{mu: &mu, out: &out, prefix: "a | "}, &prefixWriter{mu: &mu, out: &out, prefix: "b | ", json: true}
	for _, w := range []struct {
		to   *prefixWriter
		text string
	}{{a, "one "}, {b, "{\"node\":\"b\"}\npan"}, {a, "line\ntwo\n"}, {b, "ic\n"}} {
		if n, err := io.WriteString(w.to, w.text); n != len(w.text) || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
	}
	if want := "{\"node\":\"b\"}\na | one line\na | two\nb | panic\n"; out.String() != want {
		t.Errorf("wrote %q, want %q", out.String(), want)
	}
	out.Reset()
	_, _ = io.WriteString(a, strings.Repeat("x", 10*lineMax))
	if len(a.line) > lineMax {
		t.Errorf("keeps %d bytes of an endless line", len(a.line))
	}
}

func TestChildEnvironment(t *testing.T) {
	got := childEnvironment([]string{"HOME=/root", "ROTUNDA_HTTP_LISTEN=:1", "PATH=/bin"}, true)
	if want := []string{"HOME=/root", "PATH=/bin", "CLICOLOR_FORCE=1"}; !slices.Equal(got, want) {
		t.Errorf("childEnvironment = %v, want %v", got, want)
	}
}

func TestPorts(t *testing.T) {
	first, err := pickPorts(3, loopback, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range first {
		for _, port := range []int{p.HTTP, p.Admin, p.Peer, p.Client, p.PeerBehind, p.ClientBehind} { // all TCP
			if port == 0 || seen[port] {
				t.Errorf("port %d of %+v", port, p)
			}
			seen[port] = true
		}
	}
	again, err := pickPorts(3, loopback, 0, first)
	if err != nil {
		t.Fatal(err)
	}
	for i := range again {
		if again[i].Peer != first[i].Peer || again[i].Client != first[i].Client {
			t.Errorf("second time %+v, want the log's ports of %+v", again[i], first[i])
		}
	}
	l, err := net.Listen("tcp", address(loopback, first[1].Peer))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := pickPorts(3, loopback, 0, first); err == nil || !strings.Contains(err.Error(), "the control log wants 127.0.0.1") {
		t.Errorf("a remembered port that is taken: %v", err)
	}
}

// The delay carries bytes unchanged, late by as much in each direction, and passes the ends on.
func TestDelay(t *testing.T) {
	defer goleak.VerifyNone(t)
	const late = 50 * time.Millisecond
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		c, err := target.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		c.Close()
	}()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan struct{})
	var from netip.AddrPort
	go func() {
		defer close(served)
		(&delay{target.Addr().String(), func(c netip.AddrPort) time.Duration { from = c; return late }}).run(ctx, front)
	}()
	c, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<14) // a quarter of a megabyte: many chunks
	began := time.Now()
	go func() {
		_, _ = c.Write(sent)
		closeWrite(c)
	}()
	first := make([]byte, 1)
	if _, err := io.ReadFull(c, first); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 2*late || took > 2*late+time.Second {
		t.Errorf("there and back took %v, want %v", took, 2*late)
	}
	rest, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(append(first, rest...), sent) {
		t.Errorf("%d bytes came back, %v, want %d", len(rest)+1, err, len(sent))
	}
	if from.String() != c.LocalAddr().String() {
		t.Errorf("the client was taken for %v, want %v", from, c.LocalAddr())
	}
	c.Close()
	<-echoed
	target.Close()
	cancel()
	<-served
}

func TestOwnerOf(t *testing.T) {
	if !processesAreKnown {
		t.Skip("not on this system")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	local := c.LocalAddr().(*net.TCPAddr).AddrPort()
	if got := ownerOf(local, []int{0, 1, os.Getpid()}); got != os.Getpid() {
		t.Errorf("ownerOf = %d, want %d", got, os.Getpid())
	}
	if got := ownerOf(local, []int{0, os.Getppid()}); got == os.Getpid() {
		t.Errorf("found process %d, which was not asked about", got)
	}
	if got := ownerOf(netip.MustParseAddrPort("127.0.0.1:1"), []int{os.Getpid()}); got != 0 {
		t.Errorf("a socket that is not there belongs to %d", got)
	}
}
