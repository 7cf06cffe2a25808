package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rotunda/control/eventlog"
)

// sent is one event of a stream.
type sent struct {
	event, id string
	data      map[string]any
}

// follow opens a stream of a served node and reads it until the test or the returned function ends it.
func follow(t *testing.T, base, path, lastID string) (next func() sent, stop func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	r, err := http.NewRequestWithContext(ctx, "GET", base+path+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("stream: %d %v", resp.StatusCode, resp.Header)
	}
	stop = func() {
		cancel()
		resp.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	}
	t.Cleanup(stop)
	lines := bufio.NewReader(resp.Body)
	return func() sent {
		t.Helper()
		e, err := readEvent(lines)
		if err != nil {
			t.Fatalf("stream: %v", err)
		}
		return e
	}, stop
}

// readEvent reads up to the next event, past comments and retry.
func readEvent(lines *bufio.Reader) (sent, error) {
	e := sent{}
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			e.event = value
		case "id":
			e.id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.data); err != nil {
				return e, fmt.Errorf("data %.200q: %w", value, err)
			}
		case "":
			if e.data != nil {
				return e, nil
			}
		}
	}
}

func serve(t *testing.T, n *node) string {
	t.Helper()
	s := httptest.NewServer(n.handler)
	t.Cleanup(func() {
		n.api.CloseStreams()
		s.Close()
	})
	return s.URL
}

// Two nodes, one log: what is decided on one is followed on the other, and a reader that goes from one to the other loses
// nothing and sees nothing twice. The patches lead exactly to what the room is.
func TestEventsAcrossNodes(t *testing.T) {
	log := new(eventlog.Memory)
	east, west := newNode(t, "us-east-1", log, nil), newNode(t, "eu-west-1", log, nil)
	eastURL, westURL := serve(t, east), serve(t, west)
	ada, bob := bearer(t, "ada", nil), bearer(t, "bob", nil)
	path := east.room(ada)

	next, stop := follow(t, westURL, path, "")
	first := next()
	if first.event != "snapshot" || first.id != "1" || at(first.data, "participants", "ada", "role") != "host" {
		t.Fatalf("first event: %+v", first)
	}
	view := any(first.data)
	last := 1
	take := func(e sent) {
		t.Helper()
		if e.id != strconv.Itoa(last+1) || at(e.data, "seq") != float64(last+1) || at(e.data, "type") != e.event || at(e.data, "at") == nil {
			t.Fatalf("after %d came %+v", last, e)
		}
		last++
		view = mergeApply(view, e.data["patch"])
	}
	check := func() {
		t.Helper()
		want := withoutNull(any(east.want(200, "GET", path, "", "").body))
		if got := withoutNull(view); !reflect.DeepEqual(got, want) {
			t.Errorf("the patches lead to %v, the room is %v", got, want)
		}
	}
	east.want(200, "POST", path+"/requests", bob, `{"note":"please"}`)
	west.want(200, "POST", path+"/requests/bob/approve", ada, "")
	east.want(200, "DELETE", path+"/participants/bob/mute", bob, "")
	for _, want := range []string{"requested", "approved", "unmuted"} {
		e := next()
		if e.event != want || at(e.data, "user") != "bob" {
			t.Errorf("event %+v, want %s of bob", e, want)
		}
		take(e)
	}
	check()

	// West is left; what happens meanwhile is made good by east.
	stop()
	west.want(200, "PATCH", path, ada, `{"title":"Higher tides","tags":["sea"],"description":"now with one"}`)
	west.want(200, "PATCH", path, ada, `{"description":""}`)
	west.want(200, "DELETE", path+"/participants/bob", ada, `{"ban":true}`)
	next, _ = follow(t, eastURL, path, strconv.Itoa(last))
	for range 3 {
		take(next())
	}
	check()
	east.want(200, "POST", path+"/end", ada, "")
	if e := next(); e.event != "ended" {
		t.Errorf("event %+v, want ended", e)
	} else {
		take(e)
	}
	check()
}

// A reader who has missed too much, and one who has seen what never was, get a snapshot.
func TestResumeFromAfar(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) { c.Limits.UserCommands = Rate{1e6, 1e6} })
	url := serve(t, n)
	ada := bearer(t, "ada", nil)
	path := n.room(ada)
	for i := range catchUpMax + 5 {
		n.want(200, "PATCH", path, ada, fmt.Sprintf(`{"title":"Room %d"}`, i))
	}
	head := strconv.Itoa(catchUpMax + 6)
	for _, c := range []struct{ last, event, id string }{
		{"", "snapshot", head}, {"1", "snapshot", head}, {"18446744073709551615", "snapshot", head}, {"0", "snapshot", head},
		{"6", "edited", "7"}, {strconv.Itoa(catchUpMax + 5), "edited", head},
	} {
		next, stop := follow(t, url, path, c.last)
		if e := next(); e.event != c.event || e.id != c.id {
			t.Errorf("after %q came %s %s, want %s %s", c.last, e.event, e.id, c.event, c.id)
		}
		stop()
	}
}

// Many readers at once, all at different places, while the room changes: each gets every change once.
func TestManyReaders(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) { c.Limits.UserCommands = Rate{1e6, 1e6} })
	url := serve(t, n)
	ada := bearer(t, "ada", nil)
	path := n.room(ada)
	const changes, readers = 40, 12
	var wg sync.WaitGroup
	for i := range readers {
		from := ""
		if i%2 == 1 {
			from = "1"
		}
		next, stop := follow(t, url, path, from)
		wg.Go(func() {
			defer stop()
			seq := uint64(1)
			for seq < changes+1 {
				e := next()
				got, err := strconv.ParseUint(e.id, 10, 64)
				if err != nil || e.event != "snapshot" && got != seq+1 {
					t.Errorf("reader %d: %s %s after %d", i, e.event, e.id, seq)
					return
				}
				seq = got
			}
		})
	}
	for i := range changes {
		n.want(200, "PATCH", path, ada, fmt.Sprintf(`{"title":"Room %d"}`, i))
	}
	wg.Wait()
	n.api.CloseStreams()
	if a := n.ask("GET", path+"/events", "", ""); a.status != 503 || a.slug() != "overloaded" {
		t.Errorf("a stream of a node that closes: %d %s", a.status, a.raw)
	}
}

// pipes is a listener whose connections have no buffers: what is not read is not written. It works in virtual time.
type pipes struct {
	accept chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{accept: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }
func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.accept <- server
	return client
}

// T8 of the slow kind: without a write deadline a reader that never reads holds its handler for ever.
func TestSlowReaderIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
		ended := make(chan time.Time, 2)
		l := newPipes()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n.handler.ServeHTTP(w, r)
			ended <- time.Now()
		})}
		go server.Serve(l)
		defer server.Close()
		ada := bearer(t, "ada", nil)
		path := n.room(ada)

		// One reads the head of the answer and the snapshot, and then nothing; one reads all.
		slow, quick := l.dial(), l.dial()
		defer slow.Close()
		defer quick.Close()
		begin := func(c net.Conn) *bufio.Reader {
			fmt.Fprintf(c, "GET %s/events HTTP/1.1\r\nHost: x\r\n\r\n", path)
			b := bufio.NewReader(c)
			resp, err := http.ReadResponse(b, nil)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v %v", resp, err)
			}
			lines := bufio.NewReader(resp.Body)
			if e, err := readEvent(lines); err != nil || e.event != "snapshot" {
				t.Fatalf("%+v %v", e, err)
			}
			return lines
		}
		begin(slow)
		lines := begin(quick)
		synctest.Wait()

		began := time.Now()
		n.want(200, "DELETE", path+"/participants/ada/mute", ada, "")
		if e, err := readEvent(lines); err != nil || e.event != "unmuted" {
			t.Fatalf("the quick reader: %+v %v", e, err)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the quick reader waited %v for the slow one", waited)
		}
		if got := (<-ended).Sub(began); got != writeMax {
			t.Errorf("the slow reader was cut after %v, want %v", got, writeMax)
		}
		n.want(200, "POST", path+"/participants/ada/mute", ada, "")
		if e, err := readEvent(lines); err != nil || e.event != "muted" {
			t.Errorf("the quick reader after that: %+v %v", e, err)
		}
		n.api.CloseStreams()
		<-ended
	})
}

// Silence is broken every 15 s, and outlives any deadline that the server has.
func TestKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
		l := newPipes()
		server := &http.Server{Handler: n.handler, WriteTimeout: 10 * time.Second}
		go server.Serve(l)
		defer server.Close()
		path := n.room(bearer(t, "ada", nil))
		c := l.dial()
		defer c.Close()
		fmt.Fprintf(c, "GET %s/events HTTP/1.1\r\nHost: x\r\n\r\n", path)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(resp.Body)
		if _, err := readEvent(lines); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for i := 1; i <= 4; i++ {
			if line, err := lines.ReadString('\n'); err != nil || line != ": keepalive\n" {
				t.Fatalf("%q, %v", line, err)
			}
			if _, err := lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			if got, want := time.Since(began), time.Duration(i)*keepaliveEvery; got != want {
				t.Errorf("keepalive %d after %v, want %v", i, got, want)
			}
		}
		n.api.CloseStreams()
		if rest, err := io.ReadAll(lines); err != nil || len(bytes.TrimSpace(rest)) != 0 {
			t.Errorf("after the streams are closed: %q, %v, want a proper end", rest, err)
		}
	})
}

func TestStreamsPerAddress(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) { c.Limits.Streams = 2 })
	url := serve(t, n)
	path := n.room(bearer(t, "ada", nil))
	next, stop := follow(t, url, path, "")
	next()
	nextOther, _ := follow(t, url, path, "")
	nextOther()
	status := func() int {
		resp, err := http.Head(url + path + "/events")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := status(); got != 429 {
		t.Errorf("the third stream: %d, want 429", got)
	}
	stop()
	for deadline := time.Now().Add(5 * time.Second); status() != 200; {
		if time.Now().After(deadline) {
			t.Fatal("the place of a reader who left was never free again")
		}
	}
}

// deadlines is a ResponseWriter that remembers the write deadlines set.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.set = append(d.set, t); return nil }

// A deadline that stays ends a silent HTTP/2 stream.
func TestNoDeadlineBetweenWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		o := newOutlet(d, func() {})
		defer o.close()
		if err := o.write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if len(d.set) != 2 || !d.set[0].Equal(time.Now().Add(writeMax)) || !d.set[1].IsZero() || !d.Flushed {
			t.Errorf("deadlines %v, flushed %v", d.set, d.Flushed)
		}
		o.close()
		time.Sleep(2 * keepaliveEvery) // virtual: whatever the timer would do it has done
		if got := d.Body.String(); got != "x" {
			t.Errorf("written after close: %q", got)
		}
	})
}

func FuzzLastEventID(f *testing.F) {
	for _, s := range []string{"", "0", "17", "-1", "18446744073709551616", "1e3", " 1", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := &http.Request{Header: http.Header{"Last-Event-Id": {s}}}
		n, err := lastEventID(r)
		if err != nil && !errors.Is(err, errCursor) {
			t.Errorf("%q: %v", s, err)
		}
		if want, perr := strconv.ParseUint(s, 10, 64); s != "" && (err == nil) != (perr == nil) || err == nil && s != "" && n != want {
			t.Errorf("%q = %d, %v", s, n, err)
		}
	})
}
