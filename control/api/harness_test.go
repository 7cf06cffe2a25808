package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"rotunda"
	"rotunda/control"
	"rotunda/control/eventlog"
	"rotunda/control/people"
	"rotunda/control/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var signingKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// members is a mesh that stands still.
type members []rotunda.Member

func (m members) Members() []rotunda.Member { return m }

// faultyLog is a log that can go away, and one that can forget to answer.
type faultyLog struct {
	eventlog.Memory
	away, mute atomic.Bool
}

func (l *faultyLog) Append(ctx context.Context, id rotunda.RoomID, b eventlog.Batch) (eventlog.Position, error) {
	switch {
	case l.away.Load():
		return eventlog.Position{}, eventlog.ErrUnavailable
	case l.mute.Load():
		return eventlog.Position{}, eventlog.ErrUnknown
	}
	return l.Memory.Append(ctx, id, b)
}

// node is one node's control and API.
type node struct {
	t       testing.TB
	control *control.Control
	people  *people.Store
	api     *API
	handler http.Handler
}

func newNode(t testing.TB, id rotunda.NodeID, log eventlog.Log, edit func(*Config)) *node {
	t.Helper()
	return newNodeOf(t, control.Config{Log: people.Rooms(log), Node: id}, log, edit)
}

// newNodeOf is newNode with a control of one's own.
func newNodeOf(t testing.TB, of control.Config, log eventlog.Log, edit func(*Config)) *node {
	t.Helper()
	id, c := of.Node, control.New(of)
	ctx, cancel := context.WithCancel(context.Background())
	store := people.New(people.Config{Log: log})
	var running errgroup.Group
	running.Go(func() error { return c.Run(ctx) })
	running.Go(func() error { return store.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := running.Wait(); err != nil {
			t.Errorf("control and people of %s: %v", id, err)
		}
	})
	<-store.Ready()
	ring, err := token.NewKeyring(map[string]ed25519.PublicKey{"k1": signingKey.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Control: c, People: store, Mesh: members{}, Keyring: ring, Signer: signer(t), Guests: true, Self: rotunda.Member{ID: id, Region: "us-east", State: rotunda.Alive}}
	if edit != nil {
		edit(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &node{t: t, control: c, people: store, api: a, handler: a.Handler()}
}

func signer(t testing.TB) *token.Signer {
	t.Helper()
	s, err := token.NewSigner("k1", signingKey)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bearer is a token of a user, with changes.
func bearer(t testing.TB, user rotunda.UserID, edit func(*token.Claims)) string {
	t.Helper()
	now := time.Now()
	c := token.Claims{User: user, Name: strings.ToUpper(string(user)), Issued: now, Expires: now.Add(time.Hour), ID: "j-" + string(user)}
	if edit != nil {
		edit(&c)
	}
	raw, err := signer(t).Mint(c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// answer is what a request got.
type answered struct {
	status int
	header http.Header
	raw    string
	body   map[string]any // nil where it is not JSON
}

// slug is the last part of a problem's type.
func (a answered) slug() string {
	s, _ := a.body["type"].(string)
	return strings.TrimPrefix(s, problemPrefix)
}

// ask sends one request. body is JSON text, "" for none; headers are name, value pairs.
func (n *node) ask(method, path, bearer, body string, headers ...string) answered {
	n.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, reader)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, r)
	a := answered{status: w.Code, header: w.Header(), raw: w.Body.String()}
	if a.raw != "" && strings.Contains(w.Header().Get("Content-Type"), "json") {
		if err := json.Unmarshal(w.Body.Bytes(), &a.body); err != nil {
			n.t.Errorf("%s %s: the body is not JSON: %v: %.200s", method, path, err, a.raw)
		}
	}
	return a
}

// want is ask with an expected status.
func (n *node) want(status int, method, path, bearer, body string, headers ...string) answered {
	n.t.Helper()
	a := n.ask(method, path, bearer, body, headers...)
	if a.status != status {
		n.t.Fatalf("%s %s: %d, want %d: %.400s", method, path, a.status, status, a.raw)
	}
	return a
}

// room makes a room and returns its path.
func (n *node) room(host string) string {
	n.t.Helper()
	return n.want(201, "POST", "/v1/rooms", host, `{"title":"Tides"}`).header.Get("Location")
}

// at walks into a JSON value.
func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}
