package link_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"rotunda/cascade/link"
	"rotunda/cascade/nodecert"
	"rotunda/cascade/nodecert/certtest"
)

// What is asked is answered, whatever its size, by the node that was meant and to the one that asks.
func TestFetch(t *testing.T) {
	ca := certtest.NewCA()
	a, b := newNode(t, ca, "a"), newNode(t, ca, "b")
	large := bytes.Repeat([]byte("0123456789abcdef"), link.FetchedMax/16)
	b.answers(func(_ context.Context, from nodecert.Identity, q []byte) []byte {
		switch string(q) {
		case "who am I":
			return []byte(from.String())
		case "all":
			return large
		case "too much":
			return append(large[:len(large):len(large)], 0)
		}
		return nil
	})
	for q, want := range map[string][]byte{"who am I": []byte(a.id.String()), "all": large, "too much": nil, "what": nil} {
		if got, err := a.Fetch(t.Context(), b.address, b.id, []byte(q)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q is answered by %d octets (%v), want %d", q, len(got), err, len(want))
		}
	}
	for _, n := range []int{0, link.QuestionMax + 1} {
		if _, err := a.Fetch(t.Context(), b.address, b.id, make([]byte, n)); !errors.Is(err, link.ErrFetch) {
			t.Errorf("a question of %d octets: %v, want ErrFetch", n, err)
		}
	}
	if _, err := a.Fetch(t.Context(), b.address, nodecert.Identity{Region: "eu", ID: "c"}, []byte("all")); !errors.Is(err, link.ErrNotMember) {
		t.Errorf("another node than was meant: %v, want ErrNotMember", err)
	}
	foreign := newNode(t, certtest.NewCA(), "f")
	if _, err := foreign.Fetch(t.Context(), b.address, b.id, []byte("all")); err == nil {
		t.Error("a stranger is answered")
	}
	if len(b.links) > 0 {
		t.Error("a fetch was taken for a link")
	}
}

// Whoever asks is free when it stops waiting, also from a node that does not answer; that node answers so many at once and no
// more, and all of them again afterwards.
func TestFetchesAreBounded(t *testing.T) {
	ca := certtest.NewCA()
	a, b := newNode(t, ca, "a"), newNode(t, ca, "b")
	const most = 8
	entered := make(chan struct{}, most)
	b.answers(func(ctx context.Context, _ nodecert.Identity, _ []byte) []byte {
		entered <- struct{}{}
		<-ctx.Done()
		return nil
	})
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for range most {
		asking.Go(func() {
			if _, err := a.Fetch(ctx, b.address, b.id, []byte("slow")); !errors.Is(err, context.Canceled) {
				t.Errorf("who stops waiting is told %v", err)
			}
		})
	}
	for range most {
		<-entered
	}
	if _, err := a.Fetch(t.Context(), b.address, b.id, []byte("slow")); !errors.Is(err, link.ErrFetch) {
		t.Errorf("one more than are answered at once: %v, want ErrFetch", err)
	}
	stop()
	asking.Wait()
	b.answers(func(context.Context, nodecert.Identity, []byte) []byte { return []byte("here") })
	for deadline := time.Now().Add(time.Minute); ; {
		got, err := a.Fetch(t.Context(), b.address, b.id, []byte("quick"))
		if err == nil && string(got) == "here" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after those who stopped waiting: %q, %v", got, err)
		}
	}
}

// A member that breaks the protocol of fetches is sent away.
func TestFetchersThatMisbehave(t *testing.T) {
	ca := certtest.NewCA()
	b := newNode(t, ca, "b")
	b.answers(func(context.Context, nodecert.Identity, []byte) []byte { t.Error("it is asked"); return nil })
	for name, question := range map[string][]byte{"nothing": {}, "too much": make([]byte, link.QuestionMax+1)} {
		conn, err := quic.DialAddr(t.Context(), b.address, &tls.Config{Certificates: []tls.Certificate{ca.Node("eu", "x")}, NextProtos: []string{link.ALPNFetch}, InsecureSkipVerify: true}, &quic.Config{EnableDatagrams: true})
		if err != nil {
			t.Fatal(err)
		}
		s, err := conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		s.Write(question)
		s.Close()
		_, err = io.ReadAll(s)
		var app *quic.ApplicationError
		if !errors.As(err, &app) || !app.Remote {
			t.Errorf("%s: %v, want the node to close the connection", name, err)
		}
		conn.CloseWithError(0, "")
	}
}
