package control

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/disk"
	"rotunda/control/etcdlog"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// dying ends the process at one of its steps, in the log and in the files beside it. The log can be away too.
type dying struct {
	eventlog.Log
	site  kill
	dir   string
	armed atomic.Bool
	away  atomic.Bool
	seen  atomic.Int64
}

func die() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // it comes at once, but not within this call
}

// at carries out a step; half is half of it, where that can be done.
func (d *dying) at(kind string, step, half func()) {
	if d.site.Kind != kind || !d.armed.Load() || d.seen.Add(1) != int64(d.site.N) {
		step()
		return
	}
	switch {
	case d.site.When == "before":
		die()
	case d.site.When == "during" && half != nil:
		half()
		die()
	case d.site.When == "during":
		time.AfterFunc(d.site.Delay, die)
	}
	step()
	die()
}

var errAway = fmt.Errorf("as the test wants it: %w", eventlog.ErrUnavailable)

func (d *dying) Append(ctx context.Context, id roomID, b eventlog.Batch) (p eventlog.Position, err error) {
	if d.away.Load() {
		return p, errAway
	}
	d.at("append", func() { p, err = d.Log.Append(ctx, id, b) }, nil)
	return p, err
}

func (d *dying) Ping(ctx context.Context) error {
	if d.away.Load() {
		return errAway
	}
	return d.Log.Ping(ctx)
}

func (d *dying) PutSnapshot(ctx context.Context, id roomID, s eventlog.Snapshot) (err error) {
	d.at("snapshot", func() { err = d.Log.PutSnapshot(ctx, id, s) }, nil)
	return err
}

func (d *dying) Prune(ctx context.Context, id roomID, keep func(eventlog.Entry) bool) (err error) {
	d.at("prune", func() { err = d.Log.Prune(ctx, id, keep) }, nil)
	return err
}

// step is a step of a file: of the outbox or of the witness.
func (d *dying) step(s disk.Step, do func() error) (err error) {
	place := "witness "
	if strings.HasPrefix(s.Path, filepath.Join(d.dir, "outbox")) {
		place = "outbox "
	}
	var half func()
	if s.Name == disk.Write {
		half = func() {
			if err := os.WriteFile(s.Path, s.Data[:len(s.Data)/2], 0o600); err != nil {
				panic(err)
			}
		}
	}
	d.at(place+s.Name, func() { err = do() }, half)
	if err == nil && s.Name == disk.SyncFolder && place == "witness " && d.armed.Load() {
		w := newWitness(new(disk.Disk), filepath.Join(d.dir, "witness", "seen"), slog.New(slog.DiscardHandler))
		w.load()
		for _, l := range w.sorted() {
			fmt.Println(ack{room: l.room, what: ackWitness, id: "-", at: l.at})
		}
	}
	return err
}

func TestKilledChild(t *testing.T) {
	dir := os.Getenv("ROTUNDA_TEST_DIR")
	if dir == "" {
		t.Skip("only as a child of TestKilled")
	}
	log := &dying{dir: dir}
	if err := json.Unmarshal([]byte(os.Getenv("ROTUNDA_TEST_KILL")), &log.site); err != nil {
		t.Fatal(err)
	}
	store, err := etcdlog.Open(t.Context(), etcdlog.Config{Name: "one", DataDir: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	log.Log = store
	seen := newWitness(new(disk.Disk), filepath.Join(dir, "witness", "seen"), slog.New(slog.DiscardHandler))
	seen.load()
	n := startWith(t, Config{
		Log: log, Node: "n1", Rand: rand.Reader, Witness: seen.path, Disk: &disk.Disk{Around: log.step},
		Outage: &Outage{
			Dir:    filepath.Join(dir, "outbox"),
			Seal:   func(b []byte) ([]byte, error) { return b, nil },
			Open:   func([]byte) (rotunda.NodeID, []byte, error) { return "", nil, errors.New("there is nobody else") },
			Spread: func([]byte) error { return nil },
		},
	})
	n.setAvailable(nil, false)
	for i := len(n.readRooms(store)); i < log.site.Rooms; i++ {
		if _, _, err := n.Create(WithKey(t.Context(), fmt.Sprint("room ", i)), ada, room.Create{Title: "Talk"}); err != nil {
			t.Fatal(err)
		}
	}
	ids := n.readRooms(store)
	if len(ids) != log.site.Rooms {
		t.Fatalf("%d rooms, want %d", len(ids), log.site.Rooms)
	}
	begun := n.checkAcks(store, ids, seen)
	if t.Failed() {
		return
	}
	fmt.Println("checked")
	for _, a := range begun {
		n.again(a)
	}
	if log.site.Kind == "end" {
		return
	}
	log.armed.Store(true)
	if log.site.Kind == "moment" {
		time.AfterFunc(log.site.Delay, die)
	}
	if log.site.At > 0 {
		time.AfterFunc(log.site.At, die)
	}
	var g sync.WaitGroup
	for i, id := range ids {
		g.Go(func() { n.decide(log, id, i == 0) })
	}
	g.Wait()
}

func (n *node) readRooms(store *etcdlog.Log) []roomID {
	ids, err := store.Rooms(n.t.Context(), "")
	if err != nil {
		n.t.Fatal(err)
	}
	return ids
}

// decide gives commands to a room for ever and says what became of them. One room lets the log go away now and then.
func (n *node) decide(log *dying, id roomID, first bool) {
	for i := 0; ; i++ {
		key := fmt.Sprintf("%d-%d", log.site.Round, i)
		ctx := WithKey(n.t.Context(), key)
		away := first && i%25 == 3
		if !away {
			fmt.Println(ack{room: id, what: ackBegun, id: key})
		}
		switch {
		case away:
			log.away.Store(true)
			n.setAvailable(errAway, false)
			n.say(ctx, id, ada, room.Edit{Title: new(fmt.Sprint("Talk ", i))}) // gives: refused
			for j := range 3 {
				n.say(n.t.Context(), id, ada, room.Remove{User: rotunda.UserID(fmt.Sprintf("troll-%d-%d-%d", log.site.Round, i, j))})
			}
			log.away.Store(false)
			n.setAvailable(nil, false)
		default:
			n.ordinary(ctx, id, i)
		}
	}
}

// ordinary is command number i of a life: it gives no cause to do without the log.
func (n *node) ordinary(ctx context.Context, id roomID, i int) {
	if i%10 == 9 {
		n.say(ctx, id, bob, room.End{})
		return
	}
	n.say(ctx, id, ada, room.Publish{Node: "n1"})
}

// again gives a command again under its key, as somebody does who got no answer.
func (n *node) again(begun ack) {
	var round, i int
	if _, err := fmt.Sscanf(begun.id, "%d-%d", &round, &i); err != nil {
		n.t.Fatal(err)
	}
	n.ordinary(WithKey(n.t.Context(), begun.id), begun.room, i)
}

// say does it and says so.
func (n *node) say(ctx context.Context, id roomID, who room.Actor, cmd room.Command) {
	_, err := n.Do(ctx, id, who, cmd)
	a := ack{room: id, what: ackKept, id: "-"}
	if once := onceID(ctx, id, who, cmd, 0); once != "" {
		a.id = eventID(once, 0)
	}
	switch {
	case errors.Is(err, room.ErrForbidden), errors.Is(err, ErrUnavailable):
		a.what = ackRefused
	case errors.Is(err, ErrUnknownOutcome):
		return
	case err != nil:
		fmt.Println("failed:", err) // who reads it says that nobody was killed
		os.Exit(1)
	}
	if remove, is := cmd.(room.Remove); is && err == nil {
		for _, f := range n.outage.of(id) {
			if f.Events[0].User == remove.User {
				a.what, a.id = ackFact, f.eventID(0)
			}
		}
	}
	if f, err := n.acquire(n.t.Context(), id); err == nil {
		_, a.at = f.current()
		n.release(f)
	}
	fmt.Println(a)
}

// kept is what the log has of a room, as far as it is not folded.
type kept struct {
	end   eventlog.Position
	at    map[uint64]eventlog.Position
	times map[string]int // by the event's id
}

// checkAcks reads from standard input what the processes before have said, and compares it with what is there. It returns what
// they have begun and not ended.
func (n *node) checkAcks(store *etcdlog.Log, ids []roomID, seen *witness) (begun []ack) {
	t := n.t
	if _, err := os.Stat(seen.path + ".damaged"); err == nil {
		t.Error("the witness was half a file")
	}
	rooms := map[roomID]kept{}
	for _, id := range ids {
		if err := n.outage.settleSoon(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if err := n.get(id).CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		rooms[id] = readKept(t, store, id)
		if at, ok := seen.position(id); ok {
			if _, _, err := store.Read(t.Context(), id, at, 1); err != nil && !errors.Is(err, eventlog.ErrPruned) {
				t.Errorf("the witness vouches for %v: %v", at, err)
			}
		}
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		a, err := parseAck(in.Text())
		if err != nil {
			t.Fatal(err)
		}
		k := rooms[a.room]
		known, readable := k.at[a.at.Seq]
		switch {
		case a.what == ackBegun:
			begun = append(begun, a)
		case a.what == ackRefused && k.times[a.id] > 0:
			t.Errorf("%v, and is in the log", a)
		case a.what == ackWitness:
			if at, _ := seen.position(a.room); at.Seq < a.at.Seq {
				t.Errorf("%v, and the file has %v", a, at)
			}
		case a.what == ackFact && (k.times[a.id] > 1 || k.times[a.id] == 0 && readable && !n.peek(a.room).Adopted(a.id)):
			t.Errorf("%v, and is in the log %d times", a, k.times[a.id])
		case a.at.Seq > k.end.Seq:
			t.Errorf("%v, and the log ends at %v", a, k.end)
		case readable && known != a.at:
			t.Errorf("%v, and the log has %v", a, known)
		case readable && a.what == ackKept && a.id != "-" && k.times[a.id] != 1:
			t.Errorf("%v, and is in the log %d times", a, k.times[a.id])
		case !readable: // folded
			if _, _, err := store.Read(t.Context(), a.room, a.at, 1); !errors.Is(err, eventlog.ErrPruned) && err != nil {
				t.Errorf("%v: %v", a, err)
			}
		}
	}
	return begun
}

func readKept(t *testing.T, store *etcdlog.Log, id roomID) kept {
	t.Helper()
	r, err := eventlog.Verify(t.Context(), store, id)
	if err != nil || r.Err != nil {
		t.Fatalf("verify: %+v, %v", r, err)
	}
	k := kept{end: r.End, at: map[uint64]eventlog.Position{}, times: map[string]int{}}
	for at := (eventlog.Position{}); at != r.End; {
		entries, _, err := store.Read(t.Context(), id, at, eventlog.ReadMax)
		if errors.Is(err, eventlog.ErrPruned) {
			found, err := store.Segments(t.Context(), id, at.Seq)
			if err != nil || len(found) == 0 {
				t.Fatalf("segments from %d: %v, %v", at.Seq, found, err)
			}
			for _, e := range found[0].Kept { // what moderators did stays whole
				k.times[e.ID]++
			}
			if at, err = found[0].End(id); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			at = eventlog.Position{Seq: e.Seq, Hash: e.Hash(id)}
			k.at[at.Seq] = at
			k.times[e.ID]++
		}
	}
	return k
}
