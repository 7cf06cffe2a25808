package etcdlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/eventlog/eventlogtest"
)

// Nothing is left running. What net/http holds for members that were connected to each other ends some seconds after them.
func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("ROTUNDA_TEST_DIR") != "" {
		os.Exit(code) // a child, which leaves a broken etcd behind
	}
	err := goleak.Find()
	for end := time.Now().Add(15 * time.Second); err != nil && time.Now().Before(end); {
		err = goleak.Find()
	}
	if err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// said collects what is logged.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func (s *said) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func open(t testing.TB, cfg Config) *Log {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	l, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestAlone(t *testing.T) {
	var out said
	before := listening(t)
	l := open(t, Config{Name: "one", DataDir: t.TempDir(), Logger: out.logger()})
	if after := listening(t); after != before {
		t.Errorf("listens on TCP:\n%s\nbefore:\n%s", after, before)
	}
	if s := out.String(); s != "" {
		t.Errorf("an ordinary start has warnings:\n%s", s)
	}
	eventlogtest.Run(t, l)
	t.Run("Tampered", func(t *testing.T) { tampered(t, l) })
	t.Run("Mend", func(t *testing.T) { eventlogtest.Mend(t, l, l.damage(t)) })
}

// damage writes what a change makes of a room past everything that this package checks.
func (l *Log) damage(t *testing.T) eventlogtest.Damage {
	return func(room rotunda.RoomID, change func(*eventlog.Stored)) {
		t.Helper()
		s, _, err := l.stored(t.Context(), room)
		if err != nil {
			t.Fatal(err)
		}
		before := s
		before.Entries, before.Segments = slices.Clone(s.Entries), slices.Clone(s.Segments)
		change(&s)
		put := map[string][]byte{headKey(room): nil, baseKey(room): nil} // nil: no such key
		for _, e := range before.Entries {
			put[e.Key] = nil
		}
		for _, g := range before.Segments {
			put[g.Key] = nil
		}
		for key, m := range map[string]eventlog.Mark{headKey(room): s.Head, baseKey(room): s.Base} {
			if m.Position != (eventlog.Position{}) {
				put[key] = appendPosition(nil, m.Position)
			}
		}
		for _, e := range s.Entries {
			value := encodeEntry(e.Entry)
			if e.Unreadable {
				value = value[:20]
			}
			put[entryKey(room, e.Seq)] = value
		}
		for _, g := range s.Segments {
			put[segmentKey(room, g.Seq)] = encodeSegment(g.Segment)
		}
		for key, value := range put {
			if value == nil {
				_, err = l.client.Delete(t.Context(), key)
			} else {
				_, err = l.client.Put(t.Context(), key, string(value))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// listening lists the TCP sockets on which this process listens.
func listening(t *testing.T) string {
	t.Helper()
	own := map[string]bool{}
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(fds) == 0 {
		t.Skip("no /proc here")
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil {
			own[to] = true
		}
	}
	var out []string
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			// sl, local, remote, state (0A: listen), …, the inode is the tenth
			if col := strings.Fields(lines.Text()); len(col) > 9 && col[3] == "0A" && own["socket:["+col[9]+"]"] {
				out = append(out, col[1])
			}
		}
		f.Close()
	}
	return strings.Join(out, "\n")
}

// What was acknowledged is there after a restart, and followers go on where they were.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	room := eventlogtest.Room()
	l := open(t, Config{Name: "one", DataDir: dir})
	two := eventlogtest.MustAppend(t, l, room, eventlog.Position{}, "a", "b")

	if _, err := Open(t.Context(), Config{Name: "one", DataDir: dir}); err == nil {
		t.Fatal("opened a folder that is in use")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := l.Append(ctx, room, eventlog.Batch{After: two, Records: eventlogtest.Records("lost")}); !errors.Is(err, eventlog.ErrUnavailable) && !errors.Is(err, eventlog.ErrUnknown) {
		t.Errorf("append to a closed log: %v", err)
	}
	if err := l.Follow(t.Context(), room, two, func(eventlog.Entry) error { return nil }); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("follow of a closed log: %v, want ErrUnavailable", err)
	}

	l = open(t, Config{Name: "one", DataDir: dir})
	eventlogtest.WantRead(t, l, room, eventlog.Position{}, "a", "b")
	eventlogtest.MustAppend(t, l, room, two, "c")
	enough := errors.New("enough")
	err := l.Follow(t.Context(), room, two, func(e eventlog.Entry) error {
		if string(e.Data) != "c" {
			t.Errorf("followed %q, want c", e.Data)
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Error(err)
	}
}

// Whatever is changed behind the log's back is found by who reads it, and never passed on.
func tampered(t *testing.T, l *Log) {
	put := func(key string, value []byte) func(*testing.T) {
		return func(t *testing.T) {
			if _, err := l.client.Put(t.Context(), key, string(value)); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(key string) func(*testing.T) {
		return func(t *testing.T) {
			if _, err := l.client.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	flipped := func(t *testing.T, key string, byteNo int) func(*testing.T) {
		resp, err := l.client.Get(t.Context(), key)
		if err != nil || len(resp.Kvs) != 1 {
			t.Fatalf("get %s: %v", key, err)
		}
		b := bytes.Clone(resp.Kvs[0].Value)
		b[(byteNo+len(b))%len(b)] ^= 0x10
		return put(key, b)
	}
	for name, damage := range map[string]func(*testing.T, rotunda.RoomID) func(*testing.T){
		"entry removed":      func(_ *testing.T, r rotunda.RoomID) func(*testing.T) { return remove(entryKey(r, 2)) },
		"last entry removed": func(_ *testing.T, r rotunda.RoomID) func(*testing.T) { return remove(entryKey(r, 3)) },
		"head removed":       func(_ *testing.T, r rotunda.RoomID) func(*testing.T) { return remove(headKey(r)) },
		"data flipped":       func(t *testing.T, r rotunda.RoomID) func(*testing.T) { return flipped(t, entryKey(r, 2), -1) },
		"last data flipped":  func(t *testing.T, r rotunda.RoomID) func(*testing.T) { return flipped(t, entryKey(r, 3), -1) },
		"history flipped":    func(t *testing.T, r rotunda.RoomID) func(*testing.T) { return flipped(t, entryKey(r, 1), 5) },
		"format flipped":     func(t *testing.T, r rotunda.RoomID) func(*testing.T) { return flipped(t, entryKey(r, 3), 0) },
		"head flipped":       func(t *testing.T, r rotunda.RoomID) func(*testing.T) { return flipped(t, headKey(r), 20) },
		"head cut":           func(_ *testing.T, r rotunda.RoomID) func(*testing.T) { return put(headKey(r), []byte("short")) },
		"rolled back": func(_ *testing.T, r rotunda.RoomID) func(*testing.T) {
			_, end := eventlog.Batch{Records: eventlogtest.Records("a", "b")}.Entries(r)
			return func(t *testing.T) {
				put(headKey(r), appendPosition(nil, end))(t)
				remove(entryKey(r, 3))(t)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			room := eventlogtest.Room()
			three := eventlogtest.MustAppend(t, l, room, eventlog.Position{}, "a", "b", "c")
			damage(t, room)(t)
			_, _, whole := l.Read(t.Context(), room, eventlog.Position{}, eventlog.ReadMax)
			if name == "rolled back" { // only who has seen more can know
				_, _, whole = l.Read(t.Context(), room, three, eventlog.ReadMax)
			}
			if !errors.Is(whole, eventlog.ErrBroken) {
				t.Errorf("read: %v, want ErrBroken", whole)
			}
		})
	}
	t.Run("while followed", func(t *testing.T) {
		room := eventlogtest.Room()
		three := eventlogtest.MustAppend(t, l, room, eventlog.Position{}, "a", "b", "c")
		seen := make(chan string, 10)
		ended := make(chan error, 1)
		go func() {
			ended <- l.Follow(t.Context(), room, eventlog.Position{}, func(e eventlog.Entry) error {
				seen <- string(e.Data)
				return nil
			})
		}()
		for range 3 {
			<-seen
		}
		remove(entryKey(room, 3))(t)
		forged := three
		forged.Hash[0] ^= 1
		e := eventlog.Entry{Seq: 4, Prev: forged.Hash, Record: eventlog.Record{ID: "x", Data: []byte("forged")}}
		put(entryKey(room, 4), encodeEntry(e))(t)
		put(headKey(room), appendPosition(nil, eventlog.Position{Seq: 4, Hash: e.Hash(room)}))(t)
		select {
		case err := <-ended:
			if !errors.Is(err, eventlog.ErrBroken) {
				t.Errorf("follow ended with %v, want ErrBroken", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("a follower goes on with a log that was forged")
		}
		select {
		case s := <-seen:
			t.Errorf("follower was told %q", s)
		default:
		}
	})
}

// What etcd takes for the end of the process ends one goroutine, and is said.
func TestFatalIsNotTheEnd(t *testing.T) {
	var out said
	for _, fail := range []func(*zap.Logger){
		func(l *zap.Logger) { l.Fatal("disk failed", zap.Error(os.ErrClosed)) },
		func(l *zap.Logger) { l.Panic("disk panicked") },
	} {
		var wg sync.WaitGroup
		wg.Go(func() {
			fail(zapTo(out.logger()).With(zap.String("member", "one")))
			t.Error("went on after a fatal error")
		})
		wg.Wait()
	}
	zapTo(out.logger()).Info("chatter")
	s := out.String()
	for _, want := range []string{`level=ERROR msg="disk failed" from=etcd error="file already closed" member=one`, "disk panicked"} {
		if !strings.Contains(s, want) {
			t.Errorf("log lacks %s:\n%s", want, s)
		}
	}
	if strings.Contains(s, "chatter") {
		t.Errorf("log has what is no warning:\n%s", s)
	}
}

func TestConfigIsChecked(t *testing.T) {
	peers := map[string]string{"a": "https://10.0.0.1:2380", "b": "https://10.0.0.2:2380", "c": "https://10.0.0.3:2380"}
	files := TLS{CA: "ca", Cert: "c", Key: "k"}
	for name, cfg := range map[string]Config{
		"no name":           {DataDir: "x"},
		"no folder":         {Name: "a"},
		"not a member":      {Name: "d", DataDir: "x", Peers: peers, ListenPeer: ":1", ListenClient: ":2", TLS: files},
		"no TLS":            {Name: "a", DataDir: "x", Peers: peers, ListenPeer: ":1", ListenClient: ":2"},
		"no listen address": {Name: "a", DataDir: "x", Peers: peers, TLS: files},
		"listen on a name":  {Name: "a", DataDir: "x", Peers: peers, ListenPeer: "host:1", ListenClient: ":2", TLS: files},
		"plain peer":        {Name: "a", DataDir: "x", Peers: map[string]string{"a": "http://h:1", "b": "https://h:2"}, ListenPeer: ":1", ListenClient: ":2", TLS: files},
	} {
		cfg.Logger = slog.New(slog.DiscardHandler)
		if _, err := cfg.embedded(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, endpoint := range []string{"https://h:1", "h:1", "ftp://h:1", "http://"} {
		if l, err := Open(t.Context(), Config{Endpoints: []string{endpoint}}); err == nil {
			l.Close()
			t.Errorf("endpoint %q without TLS: accepted", endpoint)
		}
	}
}

// A remote log that is not there: errors that say so, within the caller's time, and no goroutine left.
func TestRemoteAway(t *testing.T) {
	l := open(t, Config{Endpoints: []string{"http://127.0.0.1:9"}})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := l.Append(ctx, "r", eventlog.Batch{Records: eventlogtest.Records("a")}); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("append: %v, want ErrUnavailable", err)
	}
	if _, _, err := l.Read(ctx, "r", eventlog.Position{}, 1); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("read: %v, want ErrUnavailable", err)
	}
	if err := l.Ping(ctx); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("ping: %v, want ErrUnavailable", err)
	}
}

func BenchmarkAppendAlone(b *testing.B) {
	l := open(b, Config{Name: "one", DataDir: b.TempDir()})
	var at eventlog.Position
	data, summary := make([]byte, 250), make([]byte, 400)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		next, err := l.Append(b.Context(), "bench", eventlog.Batch{
			After: at, Records: []eventlog.Record{{ID: fmt.Sprint(i), Data: data}}, Summary: summary,
		})
		if err != nil {
			b.Fatal(err)
		}
		at = next
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeEntry(eventlog.Entry{Record: eventlog.Record{ID: "id", Data: []byte("data")}}))
	f.Add(encodeEntry(eventlog.Entry{Prev: eventlog.Hash{1}})[:33])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntry(1, b)
		if err != nil {
			return
		}
		if again := encodeEntry(e); !bytes.Equal(again, b) {
			t.Errorf("%x decodes and encodes to %x", b, again)
		}
	})
}

// What has changed since it was looked at is not mended over: the end of the chain, where it is folded, or the key itself.
func TestMendComparesAndSets(t *testing.T) {
	l := open(t, Config{Name: "one", DataDir: t.TempDir()})
	at := eventlogtest.Chain(t, l, "room", 20)
	for _, seq := range []int{5, 15} {
		eventlogtest.MustPutSnapshot(t, l, "room", at[seq])
	}
	for _, meanwhile := range []func(){
		func() { eventlogtest.MustAppend(t, l, "room", at[20], "more") },
		func() {
			if err := l.Prune(t.Context(), "room", eventlogtest.Tens); err != nil {
				t.Fatal(err)
			}
		},
		func() { l.damage(t)("room", func(s *eventlog.Stored) { s.Entries[12].Entry.ID += "x" }) },
	} {
		_, before, err := l.stored(t.Context(), "room")
		if err != nil {
			t.Fatal(err)
		}
		meanwhile()
		after, _, err := l.stored(t.Context(), "room")
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{entryKey("room", 18), segmentKey("room", 99)} { // one that is there, one that is not
			put := []change{{key, clientv3.OpPut(key, "mended"), 6}}
			if err := l.change(t.Context(), "room", put, before); !errors.Is(err, eventlog.ErrConflict) {
				t.Errorf("%s: %v, want ErrConflict", key, err)
			}
		}
		if now, _, err := l.stored(t.Context(), "room"); err != nil || fmt.Sprint(now) != fmt.Sprint(after) {
			t.Errorf("it was %v and is %v, %v", after, now, err)
		}
	}
}
