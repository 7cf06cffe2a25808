package etcdlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"rotunda"

	"rotunda/control/eventlog"
	"rotunda/control/eventlog/eventlogtest"
)

// wantRooms verifies all rooms and compares where their chains end.
func wantRooms(t *testing.T, verify func(context.Context, func(eventlog.Report) error) error, want map[string]eventlog.Position) {
	t.Helper()
	got := map[string]eventlog.Position{}
	err := verify(t.Context(), func(r eventlog.Report) error {
		got[string(r.Room)] = r.End
		return r.Err
	})
	if err != nil {
		t.Errorf("verify: %v", err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("rooms %v, want %v", got, want)
	}
}

func verifyLog(l *Log) func(context.Context, func(eventlog.Report) error) error {
	return func(ctx context.Context, fn func(eventlog.Report) error) error { return eventlog.VerifyAll(ctx, l, fn) }
}

func verifyDir(dir string) func(context.Context, func(eventlog.Report) error) error {
	return func(ctx context.Context, fn func(eventlog.Report) error) error { return VerifyDir(ctx, dir, fn) }
}

// A backup that is taken while the log goes on is whole, and what comes back from it are the same chains. The folder of a
// stopped node verifies too.
func TestBackupRestoreVerify(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Name: "one", DataDir: dir})
	want := map[string]eventlog.Position{}
	long := eventlogtest.Folded(t, l, "long", 700, 350, 600)
	want["long"] = long[700]
	for i := range headsMax + 10 { // more keys than one page has
		room := fmt.Sprintf("room-%03d", i)
		want[room] = eventlogtest.MustAppend(t, l, rotunda.RoomID(room), eventlog.Position{}, "a", "b")
	}
	if err := l.Retire(t.Context(), "room-000", want["room-000"]); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // it goes on meanwhile
		defer close(stopped)
		at := want["room-001"]
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				at = eventlogtest.MustAppend(t, l, "room-001", at, fmt.Sprint("more-", i))
			}
		}
	}()
	var backup bytes.Buffer
	if err := l.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	close(stop)
	<-stopped
	if err := l.Restore(t.Context(), bytes.NewReader(backup.Bytes())); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("restore over rooms: %v, want ErrNotEmpty", err)
	}
	if err := VerifyDir(t.Context(), dir, func(eventlog.Report) error { return nil }); err == nil || errors.Is(err, eventlog.ErrBroken) {
		t.Errorf("verify a folder in use: %v", err)
	}
	head, err := l.Head(t.Context(), "room-001")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	now := map[string]eventlog.Position{}
	for room, at := range want {
		now[room] = at
	}
	now["room-001"] = head
	wantRooms(t, verifyDir(dir), now)

	back := open(t, Config{Name: "two", DataDir: t.TempDir()})
	for name, bad := range map[string][]byte{
		"cut": backup.Bytes()[:backup.Len()-1], "flipped": flip(backup.Bytes(), backup.Len()/2), "empty": nil, "other": []byte("PK\x03\x04"),
	} {
		if err := back.Restore(t.Context(), bytes.NewReader(bad)); !errors.Is(err, ErrBackup) {
			t.Errorf("restore of a backup that is %s: %v, want ErrBackup", name, err)
		}
	}
	// What nodes have written on starting is no reason to refuse, and stays; room-002 plays its part.
	own := eventlogtest.MustAppend(t, back, "room-002", eventlog.Position{}, "own")
	if err := back.Restore(t.Context(), bytes.NewReader(backup.Bytes()), "room-003"); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("restore over another chain: %v, want ErrNotEmpty", err)
	}
	if err := back.Restore(t.Context(), bytes.NewReader(backup.Bytes()), "room-002"); err != nil {
		t.Fatal(err)
	}
	want["room-002"] = own
	at, err := back.Head(t.Context(), "room-001")
	if err != nil || at.Seq < 2 || at.Seq > head.Seq {
		t.Errorf("the room that went on is at %v, %v", at, err)
	}
	want["room-001"] = at
	wantRooms(t, verifyLog(back), want)
	if _, _, err := back.Read(t.Context(), "long", long[600], 10); err != nil {
		t.Error(err)
	}
	eventlogtest.MustAppend(t, back, "long", long[700], "goes on")
}

func flip(b []byte, at int) []byte {
	out := bytes.Clone(b)
	out[at] ^= 0x20
	return out
}

// A full store raises an alarm, and Ping says so before anybody's command fails.
func TestNoSpace(t *testing.T) {
	l := open(t, Config{Name: "one", DataDir: t.TempDir(), space: 512 << 10})
	if err := l.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	var at eventlog.Position
	var err error
	big := make([]byte, eventlog.DataMax)
	for end := time.Now().Add(20 * time.Second); err == nil && time.Now().Before(end); { // etcd looks at the size that is on the disk
		at, err = l.Append(t.Context(), "r", eventlog.Batch{After: at, Records: []eventlog.Record{{ID: "x", Data: big}}})
	}
	if !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("append to a full store: %v, want ErrUnavailable", err)
	}
	if err := l.Ping(t.Context()); !errors.Is(err, eventlog.ErrUnavailable) || !strings.Contains(err.Error(), "NOSPACE") {
		t.Errorf("ping: %v, want NOSPACE", err)
	}
	if _, _, err := l.Read(t.Context(), "r", eventlog.Position{}, 1); err != nil {
		t.Errorf("a full store is not read: %v", err)
	}
}

// Asking for the log's health writes nothing, whoever asks: every node does each second.
func TestPingWritesNothing(t *testing.T) {
	a := newAuthority(t)
	address := ports(t, 1)[0]
	keeper := open(t, Config{Name: "one", DataDir: t.TempDir(), ListenClient: address, TLS: a.node(t, "one"), space: 512 << 10})
	remote := open(t, Config{Endpoints: []string{"https://" + address}, TLS: a.node(t, "two")})
	eventlogtest.MustAppend(t, remote, "r", eventlog.Position{}, "a")
	before := keeper.server.Server.CommittedIndex()
	for _, l := range []*Log{keeper, remote} {
		if err := l.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if after := keeper.server.Server.CommittedIndex(); after != before {
		t.Errorf("two pings have made %d entries of raft", after-before)
	}
	// And an alarm is known to both.
	alarm := &etcdserverpb.AlarmRequest{Action: etcdserverpb.AlarmRequest_ACTIVATE, MemberID: uint64(keeper.server.Server.MemberID()), Alarm: etcdserverpb.AlarmType_CORRUPT}
	if _, err := keeper.server.Server.Alarm(t.Context(), alarm); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Log{keeper, remote} {
		if err := l.Ping(t.Context()); !errors.Is(err, eventlog.ErrUnavailable) || !strings.Contains(err.Error(), "CORRUPT") {
			t.Errorf("ping: %v, want CORRUPT", err)
		}
	}
}

// A disk that fails while it is written to: nothing is acknowledged from then on, Ping says so, and the process goes on. What
// was acknowledged is there after a restart. The process is another one, since an etcd without a disk does not end.
func TestDiskFails(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("no /proc here")
	}
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiskFailsChild$", "-test.v")
	child.Env = append(os.Environ(), "ROTUNDA_TEST_DIR="+dir)
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("%v\n%s", err, out)
	}
	l := open(t, Config{Name: "one", DataDir: dir})
	entries, _, err := l.Read(t.Context(), "r", eventlog.Position{}, 10)
	if err != nil || len(entries) == 0 || string(entries[0].Data) != "a" {
		t.Errorf("after the restart: %v, %v", entries, err)
	}
}

func TestDiskFailsChild(t *testing.T) {
	dir := os.Getenv("ROTUNDA_TEST_DIR")
	if dir == "" {
		t.Skip("only as a child of TestDiskFails")
	}
	var out said
	l, err := Open(t.Context(), Config{Name: "one", DataDir: dir, Logger: out.logger()})
	if err != nil {
		t.Fatal(err)
	}
	at := eventlogtest.MustAppend(t, l, "r", eventlog.Position{}, "a")
	breakWAL(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := l.Append(ctx, "r", eventlog.Batch{After: at, Records: eventlogtest.Records("b")}); !errors.Is(err, eventlog.ErrUnknown) && !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("append without a disk: %v, want ErrUnknown", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := l.Ping(ctx); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("ping: %v, want ErrUnavailable", err)
	}
	if s := out.String(); !strings.Contains(s, "level=ERROR") {
		t.Errorf("nothing is said of it:\n%s", s)
	}
}

// breakWAL makes every write to the write-ahead log fail: its descriptors are replaced by one that is open for reading.
func breakWAL(t *testing.T, dir string) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	broken := 0
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(to, dir) || !strings.HasSuffix(to, ".wal") {
			continue
		}
		var fd int
		if _, err := fmt.Sscan(filepath.Base(link), &fd); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Dup3(int(null.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		broken++
	}
	if broken == 0 {
		t.Fatal("no write-ahead log is open")
	}
}

// A cluster grows by one, and shrinks, while it goes on.
func TestGrowAndShrink(t *testing.T) {
	if testing.Short() {
		t.Skip("starts four members")
	}
	t.Parallel() // most of it is waiting
	c := newCluster(t, 3)
	logs := c.open(t)
	at := appendUntilKept(t, logs[0], "r", eventlog.Position{}, "three")
	addresses := ports(t, 2)
	peer := "https://" + addresses[0]
	if err := logs[0].AddMember(t.Context(), "http://nowhere"); err == nil {
		t.Error("added a node without an address")
	}
	eventually(t, "the cluster takes a member", func() error { return logs[0].AddMember(t.Context(), peer) })
	peers := map[string]string{"node-3": peer}
	for name, url := range c.configs[0].Peers {
		peers[name] = url
	}
	fourth := open(t, Config{
		Name: "node-3", DataDir: t.TempDir(), Peers: peers, Join: true, ListenPeer: addresses[0], ListenClient: addresses[1],
		TLS: c.authority.node(t, "node-3"),
	})
	eventually(t, "the new member counts", func() error {
		members, err := logs[0].Members(t.Context())
		if err != nil {
			return err
		}
		for _, m := range members {
			if m.Name == "node-3" && !m.Learner {
				return nil
			}
		}
		return fmt.Errorf("members %+v", members)
	})
	eventlogtest.WantRead(t, fourth, "r", eventlog.Position{}, "three")
	at = appendUntilKept(t, fourth, "r", at, "four")

	if err := logs[0].RemoveMember(t.Context(), "nobody"); !errors.Is(err, ErrUnknownMember) {
		t.Errorf("removed nobody: %v", err)
	}
	eventually(t, "a member goes", func() error { return fourth.RemoveMember(t.Context(), "node-2") })
	at = appendUntilKept(t, fourth, "r", at, "again three")
	eventually(t, "who was removed notices", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := logs[2].Ping(ctx); err == nil {
			return errors.New("it answers")
		}
		return nil
	})
	eventlogtest.WantRead(t, logs[1], "r", at)
}

// eventually tries until it works.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	err := try()
	for end := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(end); err = try() {
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
