package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control"
	"rotunda/control/eventlog"
	"rotunda/control/people"
	"rotunda/control/token"
)

func TestRates(t *testing.T) {
	now := noon
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) {
		c.Now = func() time.Time { return now }
		c.Limits = Limits{Guests: Rate{1, 2}, Reads: Rate{1, 5}, Commands: Rate{1, 20}, UserCommands: Rate{0.5, 3}, Rooms: Rate{0.1, 1}}
	})
	refused := func(a answered, retry string) {
		t.Helper()
		if a.status != 429 || a.slug() != "rate-limited" || a.header.Get("Retry-After") != retry {
			t.Errorf("%d, Retry-After %q, want 429 and %q: %s", a.status, a.header.Get("Retry-After"), retry, a.raw)
		}
	}
	issued := func(c *token.Claims) { c.Issued, c.Expires = noon, noon.Add(time.Hour) }
	ada, bob := bearer(t, "ada", issued), bearer(t, "bob", issued)
	for range 2 {
		n.want(201, "POST", "/v1/guests", "", `{"name":"x"}`)
	}
	refused(n.ask("POST", "/v1/guests", "", `{"name":"x"}`), "1")

	room := n.room(ada)
	refused(n.ask("POST", "/v1/rooms", ada, `{"title":"x"}`), "10")
	n.want(200, "DELETE", room+"/participants/ada/mute", ada, "")
	refused(n.ask("DELETE", room+"/participants/ada/mute", ada, ""), "2")
	n.want(200, "POST", room+"/requests", bob, "") // another person, the same address

	for range 5 {
		n.want(200, "GET", room, "", "")
	}
	refused(n.ask("GET", room, "", ""), "1")
	now = now.Add(2 * time.Second)
	n.want(200, "GET", room, "", "")
	n.want(200, "DELETE", room+"/participants/ada/mute", ada, "")

	// Before any token is looked at.
	last := answered{}
	for range 40 {
		last = n.ask("POST", "/v1/rooms", "garbage", `{}`)
	}
	refused(last, "1")
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "": "invalid IP",
	} {
		ip, _ := netip.ParseAddr(in)
		if got := addressName(ip); got != want {
			t.Errorf("addressName(%s) = %s, want %s", in, got, want)
		}
	}
}

func TestIdempotency(t *testing.T) {
	now := time.Now()
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) { c.Now = func() time.Time { return now } })
	long := func(c *token.Claims) { c.Expires = now.Add(100 * time.Hour) }
	ada, bob := bearer(t, "ada", long), bearer(t, "bob", long)
	const body = `{"title":"Tides"}`
	key := []string{"Idempotency-Key", "k1"}

	first := n.want(201, "POST", "/v1/rooms", ada, body, key...)
	again := n.want(201, "POST", "/v1/rooms", ada, body, key...)
	if again.raw != first.raw || again.header.Get("Location") != first.header.Get("Location") || again.header.Get("ETag") != `"1"` || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("again: %v %s, first: %v %s", again.header, again.raw, first.header, first.raw)
	}
	if first.header.Get("Idempotency-Replayed") != "" || again.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers: %v and %v", first.header, again.header)
	}
	if a := n.ask("POST", "/v1/rooms", ada, `{"title":"Other"}`, key...); a.status != 422 || a.slug() != "idempotency-mismatch" {
		t.Errorf("the key with another body: %d %s", a.status, a.raw)
	}
	if other := n.want(201, "POST", "/v1/rooms", bob, body, key...); other.raw == first.raw {
		t.Error("bob got ada's room by the same key")
	}
	// Refused is not done: the next try counts.
	n.want(422, "POST", "/v1/rooms", ada, `{"title":""}`, "Idempotency-Key", "k2")
	n.want(201, "POST", "/v1/rooms", ada, body, "Idempotency-Key", "k2")
	for _, bad := range []string{strings.Repeat("x", keyMax+1), "a\tb", "é"} {
		n.want(422, "POST", "/v1/rooms", ada, body, "Idempotency-Key", bad)
	}
	guest := n.want(201, "POST", "/v1/guests", "", `{"name":"Ada"}`, key...)
	if g := n.want(201, "POST", "/v1/guests", "", `{"name":"Ada"}`, key...); g.raw != guest.raw {
		t.Error("two guests for one key")
	}
	now = now.Add(answerLife)
	if late := n.want(201, "POST", "/v1/rooms", ada, body, key...); late.header.Get("Idempotency-Replayed") != "" {
		t.Error("an answer is given again after a day")
	}
}

// A repetition that reaches another node does nothing twice: the first command is in the log.
func TestIdempotencyAcrossNodes(t *testing.T) {
	log := new(eventlog.Memory)
	one, two := newNode(t, "us-east-1", log, nil), newNode(t, "eu-west-1", log, nil)
	ada, bob := bearer(t, "ada", nil), bearer(t, "bob", nil)
	room := one.want(201, "POST", "/v1/rooms", ada, `{"title":"Tides"}`, "Idempotency-Key", "k1").header.Get("Location")
	if a := two.want(201, "POST", "/v1/rooms", ada, `{"title":"Tides"}`, "Idempotency-Key", "k1"); a.header.Get("Location") != room {
		t.Errorf("a second room, %s, for the key of %s", a.header.Get("Location"), room)
	}
	warn := []string{"POST", room + "/participants/bob/warn", ada, `{"reason":"Let others finish.","public":true}`}
	for i, n := range []*node{one, two, one, two} {
		a := n.want(200, warn[0], warn[1], warn[2], warn[3], "Idempotency-Key", "k2")
		if count := at(a.body, "warnings", "bob", "count"); count != float64(1) {
			t.Errorf("repetition %d: bob is warned %v times", i, count)
		}
	}
	if a := two.want(200, warn[0], warn[1], warn[2], warn[3], "Idempotency-Key", "k3"); at(a.body, "warnings", "bob", "count") != float64(2) {
		t.Errorf("under another key: %v", at(a.body, "warnings"))
	}
	one.want(200, "POST", room+"/requests", bob, `{"note":"x"}`, "Idempotency-Key", "k2") // another person's key
	first := one.want(201, "POST", room+"/reports", bob, `{"reason":"x"}`, "Idempotency-Key", "k4").body["id"]
	if again := two.want(201, "POST", room+"/reports", bob, `{"reason":"x"}`, "Idempotency-Key", "k4").body["id"]; again != first {
		t.Errorf("reported again as %v, first as %v", again, first)
	}
}

// slowLog lets one append wait.
type slowLog struct {
	eventlog.Memory
	gate    chan struct{}
	waiting chan struct{}
}

func (l *slowLog) Append(ctx context.Context, id rotunda.RoomID, b eventlog.Batch) (eventlog.Position, error) {
	l.waiting <- struct{}{}
	<-l.gate
	return l.Memory.Append(ctx, id, b)
}

func TestIdempotencyWhileRunning(t *testing.T) {
	log := &slowLog{gate: make(chan struct{}), waiting: make(chan struct{}, 1)}
	n := newNode(t, "us-east-1", log, nil)
	ada := bearer(t, "ada", nil)
	done := make(chan answered)
	go func() { done <- n.ask("POST", "/v1/rooms", ada, `{"title":"x"}`, "Idempotency-Key", "k") }()
	<-log.waiting
	if a := n.ask("POST", "/v1/rooms", ada, `{"title":"x"}`, "Idempotency-Key", "k"); a.status != 409 || a.slug() != "idempotency-running" || a.header.Get("Retry-After") != "1" {
		t.Errorf("while the first is running: %d %s", a.status, a.raw)
	}
	close(log.gate)
	first := <-done
	if again := n.want(201, "POST", "/v1/rooms", ada, `{"title":"x"}`, "Idempotency-Key", "k"); again.raw != first.raw {
		t.Errorf("after it: %s, want %s", again.raw, first.raw)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	s := newAnswers()
	big, last := strings.Repeat("x", answerBytesMax/100), answersMax+500
	for i := range last + 1 {
		k := answerKey{"ada", "POST", "/v1/rooms", fmt.Sprint(i)}
		if before, err := s.begin(noon, k, [32]byte{}); before != nil || err != nil {
			t.Fatalf("key %d: %v %v", i, before, err)
		}
		rec := &recorder{ResponseWriter: httptest.NewRecorder()}
		if i%20 == 0 {
			_, _ = rec.Write([]byte(big))
		} else {
			rec.WriteHeader(http.StatusNoContent)
		}
		s.end(k, rec)
		if len(s.byKey) > answersMax || s.order.Len() != len(s.byKey) || s.bytes > answerBytesMax {
			t.Fatalf("after %d: %d answers, %d in order, %d bytes", i, len(s.byKey), s.order.Len(), s.bytes)
		}
	}
	latest := answerKey{"ada", "POST", "/v1/rooms", fmt.Sprint(last)}
	if a, err := s.begin(noon, latest, [32]byte{}); a == nil || err != nil {
		t.Errorf("the latest answer is gone: %v", err)
	}
}

func TestAnyOriginMayAsk(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	a := n.want(204, "OPTIONS", "/v1/rooms/x/requests", "", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "POST, DELETE, OPTIONS", "Access-Control-Max-Age": "86400",
		"Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Request-Id, Traceparent", "Access-Control-Allow-Credentials": "",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("preflight: %s = %q, want %q", name, got, want)
		}
	}
	n.want(404, "OPTIONS", "/v1/nothing", "", "")
	// T16: there is no cookie to ride on, so an origin changes nothing; and errors can be read by the page as well.
	for _, path := range []string{"/v1/rooms", "/v1/rooms/x", "/v1/ping", "/v1/openapi.json", "/v1/nothing"} {
		a := n.ask("GET", path, "", "", "Origin", "null", "Cookie", "session=1")
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "", "Set-Cookie": "", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Referrer-Policy": "no-referrer",
			"Access-Control-Expose-Headers": "Location, ETag, Link, Retry-After, Idempotency-Replayed, Rotunda-From, Rotunda-Until, X-Request-Id",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s = %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestPing(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	a := n.want(204, "GET", "/v1/ping", "", "")
	if a.raw != "" || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Timing-Allow-Origin") != "*" {
		t.Errorf("%v %q", a.header, a.raw)
	}
}

// countedConn counts what the server reads.
type countedConn struct {
	net.Conn
	read *atomic.Int64
}

func (c countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

type countedListener struct {
	net.Listener
	read *atomic.Int64
}

func (l countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countedConn{c, l.read}, err
}

// T8: ten megabytes are refused after little of them, whether their length is announced or not.
func TestLargeBodiesAreNotRead(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	var read atomic.Int64
	s := httptest.NewUnstartedServer(n.handler)
	s.Listener = countedListener{s.Listener, &read}
	s.Start()
	defer s.Close()
	ada := bearer(t, "ada", nil)
	for _, c := range []struct {
		what, header string
	}{
		{"announced", "Content-Length: 10000000\r\n"}, {"in chunks", "Transfer-Encoding: chunked\r\n"},
		{"in chunks, with a key", "Transfer-Encoding: chunked\r\nIdempotency-Key: k\r\n"},
	} {
		read.Store(0)
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var sending sync.WaitGroup
		sending.Go(func() {
			fmt.Fprintf(conn, "POST /v1/rooms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%s\r\n", ada, c.header)
			block := strings.Repeat("x", 1000)
			if strings.HasPrefix(c.header, "Transfer") {
				block = "3e8\r\n" + block + "\r\n"
			}
			for range 10_000 {
				if _, err := io.WriteString(conn, block); err != nil {
					return // refused, as it should be
				}
			}
		})
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if resp.StatusCode != 413 || !resp.Close {
			t.Errorf("%s: %d, close %v, want 413 and the end of the connection", c.what, resp.StatusCode, resp.Close)
		}
		conn.Close()
		sending.Wait()
		if got := read.Load(); got > 128<<10 {
			t.Errorf("%s: %d bytes were read, want at most 128 KiB", c.what, got)
		}
	}
}

// A body that does not come holds nobody up for longer than bodyTime, whether the call wants one or not.
func TestSlowBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
		l := newPipes()
		server := &http.Server{Handler: n.handler}
		go server.Serve(l)
		defer server.Close()
		ada := bearer(t, "ada", nil)
		room := n.room(ada)
		for _, c := range []struct {
			what, path, header, body string
			status                   int
		}{
			{"wanted", "/v1/rooms", "", `{"title":`, 408},
			{"wanted, with a key", "/v1/rooms", "Idempotency-Key: k\r\n", `{"title":`, 408},
			{"not wanted", room + "/mute-all", "", "", 200},
		} {
			began := time.Now()
			conn := l.dial()
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n%s\r\n%s", c.path, ada, c.header, c.body)
			answer, err := io.ReadAll(conn) // to the end of the connection
			if err != nil || !strings.HasPrefix(string(answer), fmt.Sprint("HTTP/1.1 ", c.status)) {
				t.Errorf("%s: %v, %.200q, want %d", c.what, err, answer, c.status)
			}
			if took := time.Since(began); took > bodyTime+time.Second {
				t.Errorf("%s: the connection was held for %v, want at most %v", c.what, took, bodyTime)
			}
			conn.Close()
		}
	})
}

// The node's server bounds headers; what passes must not upset anything here.
func TestHostileHeaders(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	long := strings.Repeat("x", 12<<10)
	for _, name := range []string{"Authorization", "Idempotency-Key", "Last-Event-ID", "If-None-Match", "Content-Type", "Accept", "Origin", "X-Forwarded-For"} {
		for _, path := range []string{"/v1/rooms", "/v1/rooms/x/events", "/v1/rooms/" + long, "/v1/rooms?cursor=" + long} {
			for _, method := range []string{"GET", "POST"} {
				a := n.ask(method, path, "", `{"title":"x"}`, name, long)
				if a.status < 200 || a.status > 499 || len(a.raw) > 4096 {
					t.Errorf("%s %.40s with a long %s: %d, %d bytes", method, path, name, a.status, len(a.raw))
				}
			}
		}
	}
}

func member(id string, region rotunda.Region, state rotunda.MemberState, ms, cpu float64) rotunda.Member {
	m := rotunda.Member{ID: rotunda.NodeID(id), Region: region, State: state, Load: rotunda.Load{CPU: float32(cpu), Listeners: 7}}
	m.Addresses.HTTP = "https://" + id + ".example"
	m.Coordinate.Vec[0] = ms / 1000
	return m
}

func TestEdges(t *testing.T) {
	world := members{
		member("far", "ap-south", rotunda.Alive, 200, 0), member("gone", "us-east", rotunda.Dead, 0, 0), member("left", "us-east", rotunda.Left, 0, 0),
		member("near-busy", "us-west", rotunda.Alive, 61, 0.9), member("near-idle", "us-west", rotunda.Alive, 63, 0.1), member("nearer", "us-north", rotunda.Alive, 30, 0.99),
		member("self", "us-east", rotunda.Alive, 0, 0.5), member("sister", "us-east", rotunda.Alive, 300, 0.1), member("draining", "us-east", rotunda.Draining, 0, 0),
		member("slow", "us-east", rotunda.Suspect, 0, 0), member("no-http", "us-east", rotunda.Alive, 0, 0), member("nan", "mars", rotunda.Alive, math.NaN(), 0),
	}
	world[10].Addresses.HTTP = ""
	n := newNode(t, "self", new(eventlog.Memory), func(c *Config) { c.Mesh, c.Self = world, rotunda.Member{ID: "self", Region: "us-east"} })
	room := n.room(bearer(t, "ada", nil))
	body := n.want(200, "GET", "/v1/edges?room="+strings.TrimPrefix(room, "/v1/rooms/"), "", "").body
	var got []string
	for _, e := range body["edges"].([]any) {
		got = append(got, at(e, "node").(string))
	}
	want := []string{"sister", "self", "near-idle", "far", "nan", "nearer", "near-busy", "slow"}
	if !slices.Equal(got, want) {
		t.Errorf("edges %v, want %v", got, want)
	}
	first := body["edges"].([]any)[0]
	if at(first, "url") != "https://sister.example" || at(first, "region") != "us-east" || at(first, "listeners") != float64(7) {
		t.Errorf("first edge: %v", first)
	}
	n.want(200, "GET", "/v1/edges", "", "")
}

func TestEdgesAreFew(t *testing.T) {
	var world members
	for i := range 100 {
		world = append(world, member(fmt.Sprintf("n%02d", i), "r", rotunda.Alive, 0, float64(i)/100))
	}
	if got := rankEdges(world[50], world); len(got) != edgesMax || got[0].ID != "n00" {
		t.Errorf("%d edges, the first %v", len(got), got[0].ID)
	}
	// A region that fills the list leaves places for others, and its nodes name different ones.
	named := map[rotunda.NodeID]int{}
	for i := range 40 {
		world = append(world, member(fmt.Sprintf("o%02d", i), "other", rotunda.Alive, 30, float64(i)/100))
	}
	for _, self := range world[:100] {
		got := rankEdges(self, world)
		for i, m := range got {
			if (m.Region == "r") != (i < edgesMax-edgesElsewhere) {
				t.Fatalf("%s names %s of %s as number %d", self.ID, m.ID, m.Region, i+1)
			}
			if m.Region != "r" {
				named[m.ID]++
			}
		}
	}
	for id, n := range named {
		if n > 25 {
			t.Errorf("%s is named by %d of 100 nodes", id, n)
		}
	}
	if len(named) < 30 {
		t.Errorf("%d of 40 nodes elsewhere are named at all", len(named))
	}
	if got := rankEdges(world[0], nil); len(got) != 0 {
		t.Errorf("edges of nobody: %v", got)
	}
}

// Without Run nothing is followed: every call ends all the same.
func TestControlThatDoesNotRun(t *testing.T) {
	c := control.New(control.Config{Log: new(eventlog.Memory), Node: "n1"})
	ring, err := token.NewKeyring(nil)
	if err != nil {
		t.Fatal(err)
	}
	store := people.New(people.Config{Log: new(eventlog.Memory)})
	a, err := New(Config{Control: c, People: store, Mesh: members{}, Keyring: ring, Self: rotunda.Member{ID: "n1"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/v1/rooms/x", nil))
	if w.Code != 503 {
		t.Errorf("%d, want 503", w.Code)
	}
}

// Who sends too much reads why, however the sending and the refusal fall together.
func TestLargeBodiesAreAnswered(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	s := httptest.NewServer(n.handler)
	defer s.Close()
	ada := bearer(t, "ada", nil)
	for i := range 100 {
		size := 70_000 // a little more than the limit: what is left is read
		if i%25 == 0 {
			size = 10_000_000
		}
		q, err := http.NewRequest(http.MethodPost, s.URL+"/v1/rooms", strings.NewReader(`{"title":"`+strings.Repeat("x", size)+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+ada)
		q.Header.Set("Content-Type", "application/json")
		resp, err := s.Client().Do(q)
		if err != nil {
			t.Fatalf("request %d, of %d bytes: %v", i, size, err)
		}
		if resp.Body.Close(); resp.StatusCode != 413 && resp.StatusCode != 429 {
			t.Errorf("request %d: %d, want 413", i, resp.StatusCode)
		}
	}
}
