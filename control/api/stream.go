package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"rotunda"
	"rotunda/control"
	"rotunda/control/room"
	"rotunda/control/token"
)

const (
	// keepaliveEvery is how often a stream says that it lives; proxies cut what is silent for a minute.
	keepaliveEvery = 15 * time.Second
	// writeMax is how long a reader may take to accept what is written to it. Who takes longer is cut.
	writeMax = 2 * time.Second
	// catchUpMax is how many changes a reader who resumes gets one by one; who has missed more gets a snapshot.
	catchUpMax = sharedMax
)

// errBehind ends the stream of a reader that does not keep up.
var errBehind = errors.New("reader is too far behind")

// seats counts the open streams, per address and in all, and can end them.
type seats struct {
	mu         sync.Mutex // guards what follows
	perAddress int
	total      int
	byName     map[string]int
	open       map[*seat]struct{}
	closed     bool
	moving     bool // who comes is told to go on elsewhere
}

type seat struct {
	name   string
	claims token.Claims // zero: of a reader without a token
	end    context.CancelFunc
	outlet *outlet // guarded by seats.mu; nil until the stream has begun
}

// take finds a place for a stream from an address. end will be called at most when the node closes its streams.
func (s *seats) take(name string, claims token.Claims, end context.CancelFunc) (*seat, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[name] >= s.perAddress {
		return nil, errStreams
	}
	if s.closed || len(s.open) >= s.total {
		return nil, ErrOverloaded
	}
	t := &seat{name: name, claims: claims, end: end}
	s.open[t] = struct{}{}
	s.byName[name]++
	return t, nil
}

// allow replaces how many there may be; nobody's stream ends.
func (s *seats) allow(perAddress, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.perAddress, s.total = perAddress, total
}

func (s *seats) free(t *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t)
	if s.byName[t.name]--; s.byName[t.name] == 0 {
		delete(s.byName, t.name)
	}
}

// endRefused ends the streams of those whose token is refused.
func (s *seats) endRefused(refused func(token.Claims) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.open {
		if t.claims.User != "" && refused(t.claims) != nil {
			t.end()
		}
	}
}

func (s *seats) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for t := range s.open {
		t.end() // cancels a context: nothing is called back
	}
}

// stream answers a request with the room's events until the reader leaves or is too slow, or the node closes its streams.
// There is no queue: a reader asks control for what comes next when it has taken what came before.
func (a *API) stream(w http.ResponseWriter, r *http.Request, id rotunda.RoomID, who token.Claims) error {
	after, err := lastEventID(r)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(r.Context())
	defer end()
	seat, err := a.seats.take(a.address(r), who, end)
	if err != nil {
		return err
	}
	defer a.seats.free(seat)
	s, err := a.cfg.Control.Get(ctx, id)
	if err != nil {
		return err
	}
	if who.User != "" {
		if err := who.For(id); err != nil {
			return err
		}
		if s.Banned(who.User) || a.cfg.Control.Barred(s.Host, who.User) {
			return room.ErrBanned
		}
	}
	if s.Seq > after && s.Seq-after > catchUpMax {
		after = 0
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	f := a.feeds.use(id)
	defer a.feeds.leave(id, f)
	o := newOutlet(w, end)
	o.room = id
	defer o.close()
	// Clients spread their return over two seconds: a node's end must not bring them all back at once.
	if err := o.write(fmt.Appendf(nil, "retry: %d\n\n", 1000+rand.IntN(2000))); err != nil {
		return nil
	}
	if a.seats.seatAt(seat, o) {
		if b := a.encodeMove(rand.Int(), id); b != nil && o.write(b) != nil {
			return nil
		}
	}
	if p := a.cfg.Presence; p != nil {
		if who.User != "" {
			defer p.Attend(id, a.attendee(who.User, who.Name))()
		}
		var aside sync.WaitGroup
		defer aside.Wait()
		defer end() // before the wait
		aside.Go(func() {
			_ = p.Follow(ctx, id, func(summary json.RawMessage) error { return o.write(encodePresence(summary)) })
		})
	}
	a.follow(ctx, o, f, id, after, who)
	return nil
}

// follow writes the room's events until the reader leaves, is cut or is banned. How it ends is nobody's error: who may
// resumes where they like.
func (a *API) follow(ctx context.Context, o *outlet, f *feed, id rotunda.RoomID, after uint64, who token.Claims) {
	_ = a.cfg.Control.Follow(ctx, id, after, func(c control.Change) error {
		b, behind, err := f.message(c, readerOf(who, c.State))
		if err != nil {
			a.cfg.Logger.Error("event feed", "room", id, "error", err)
			return err
		}
		if behind {
			return errBehind
		}
		why, err := encodeReasons(c.Facts, who.User)
		if err != nil {
			return err
		}
		if err := o.write(slices.Concat(why, b)); err != nil {
			return err
		}
		if who.User != "" && c.State.Banned(who.User) {
			return room.ErrBanned // the last that they hear of it
		}
		return nil
	})
}

// lastEventID is the sequence number that the reader has seen last; 0: none.
func lastEventID(r *http.Request) (uint64, error) {
	s := r.Header.Get("Last-Event-ID")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("Last-Event-ID: %w", errCursor)
	}
	return n, nil
}

// outlet is the writing side of one stream. After silence it writes a comment by itself; after close it writes nothing more.
type outlet struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	end context.CancelFunc // called when a write fails

	room rotunda.RoomID // whose events it takes

	mu        sync.Mutex // guards writing and what follows
	keepalive *time.Timer
	closed    bool
}

func newOutlet(w http.ResponseWriter, end context.CancelFunc) *outlet {
	o := &outlet{w: w, rc: http.NewResponseController(w), end: end}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keepalive = time.AfterFunc(keepaliveEvery, func() {
		_ = o.write([]byte(": keepalive\n\n")) // a write that fails ends the stream
	})
	return o
}

// write sends b at once, or fails after writeMax and then for ever. Between writes there is no deadline: HTTP/2 would end a
// silent stream at it.
func (o *outlet) write(b []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return errBehind
	}
	if err := errors.Join(o.deadline(time.Now().Add(writeMax)), o.send(b)); err != nil {
		o.closed = true
		o.end()
		return err
	}
	if err := o.deadline(time.Time{}); err != nil {
		return err
	}
	o.keepalive.Reset(keepaliveEvery)
	return nil
}

func (o *outlet) send(b []byte) error {
	if _, err := o.w.Write(b); err != nil {
		return err
	}
	return o.rc.Flush()
}

func (o *outlet) deadline(t time.Time) error {
	if err := o.rc.SetWriteDeadline(t); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// close waits for a write that is going on and lets no other begin.
func (o *outlet) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.keepalive.Stop()
}
