package control

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rotunda/control/etcdlog"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// A kill is where a process ends: at the number-th write of that kind, before it, after it and before anybody is told, or
// some time after it has begun. The kind "moment" is any moment.
type kill struct {
	kind  string // append, snapshot, prune, moment
	when  string // before, during, after
	n     int
	delay time.Duration
}

// killing ends the process at one of its log's writes.
type killing struct {
	eventlog.Log
	kill
	seen atomic.Int64
}

func die() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // it comes at once, but not within this call
}

func (k *killing) at(kind string, write func()) {
	if k.kind != kind || k.seen.Add(1) != int64(k.n) {
		write()
		return
	}
	switch k.when {
	case "before":
		die()
	case "during":
		time.AfterFunc(k.delay, die)
	}
	write()
	die()
}

func (k *killing) Append(ctx context.Context, id roomID, b eventlog.Batch) (p eventlog.Position, err error) {
	k.at("append", func() { p, err = k.Log.Append(ctx, id, b) })
	return p, err
}

func (k *killing) PutSnapshot(ctx context.Context, id roomID, s eventlog.Snapshot) (err error) {
	k.at("snapshot", func() { err = k.Log.PutSnapshot(ctx, id, s) })
	return err
}

func (k *killing) Prune(ctx context.Context, id roomID, keep func(eventlog.Entry) bool) (err error) {
	k.at("prune", func() { err = k.Log.Prune(ctx, id, keep) })
	return err
}

// ack is what a process said of a command before it was killed: the position after it, or that it was refused.
type ack struct {
	command string // id of its first event
	at      eventlog.Position
	refused bool
}

func (a ack) String() string {
	return fmt.Sprintf("%s %d %x %v", a.command, a.at.Seq, a.at.Hash[:], a.refused)
}

func parseAck(line string) (a ack, err error) {
	var hash []byte
	_, err = fmt.Sscanf(line, "%s %d %x %t", &a.command, &a.at.Seq, &hash, &a.refused)
	copy(a.at.Hash[:], hash)
	return a, err
}

// A process that decides about a room is killed at every place where it writes, again and again, over one folder. The next
// process finds all that was acknowledged, in the same order, and nothing that was refused; snapshots and folding never
// leave the room unreadable; and the witness of what was seen fits.
func TestKilled(t *testing.T) {
	rounds := 11
	if testing.Short() {
		rounds = 4
	}
	if n, err := strconv.Atoi(os.Getenv("ROTUNDA_KILLS")); err == nil {
		rounds = n
	}
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("ROTUNDA_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	kinds, whens := []string{"append", "snapshot", "prune", "moment"}, []string{"before", "during", "after"}
	dir := t.TempDir()
	var acks []ack
	for round := range rounds {
		k := kill{kind: kinds[round%len(kinds)], when: whens[round/len(kinds)%len(whens)], n: 1, delay: time.Duration(random.IntN(400)) * time.Microsecond}
		switch k.kind {
		case "append":
			k.n = 1 + random.IntN(50)
		case "moment":
			k.delay = time.Duration(400+random.IntN(1200)) * time.Millisecond
		}
		acks = append(acks, lifeOf(t, dir, round, k, acks)...)
		if t.Failed() {
			t.Fatalf("seed %d, round %d, killed at %+v", seed, round, k)
		}
	}
	lifeOf(t, dir, rounds, kill{kind: "moment", delay: time.Minute}, acks)
	t.Logf("killed %d times; %d commands were acknowledged or refused", rounds, len(acks))
	if len(acks) < 10*rounds {
		t.Errorf("only %d commands", len(acks))
	}
}

// lifeOf runs a process that checks what the ones before it said and goes on until it is killed. It returns what it said.
func lifeOf(t *testing.T, dir string, round int, k kill, before []ack) (said []ack) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
	child.Env = append(os.Environ(), "ROTUNDA_TEST_DIR="+dir, fmt.Sprintf("ROTUNDA_TEST_KILL=%d %s %s %d %d", round, k.kind, k.when+".", k.n, k.delay))
	var in, out, problems bytes.Buffer
	for _, a := range before[max(0, len(before)-3000):] {
		fmt.Fprintln(&in, a)
	}
	child.Stdin, child.Stdout, child.Stderr = &in, &out, &problems
	err := child.Run()
	var exit *exec.ExitError
	killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	checked := false
	for line := range strings.Lines(out.String()) {
		switch a, err := parseAck(line); {
		case strings.HasPrefix(line, "checked"):
			checked = true
		case err == nil && strings.HasSuffix(line, "\n"):
			said = append(said, a)
		}
	}
	if !checked || k.delay < time.Minute && !killed {
		t.Errorf("round %d: %v\n%s%s", round, err, out.String()[max(0, out.Len()-2000):], problems.String())
	}
	return said
}

func TestKilledChild(t *testing.T) {
	dir := os.Getenv("ROTUNDA_TEST_DIR")
	if dir == "" {
		t.Skip("only as a child of TestKilled")
	}
	var round int
	var k kill
	if _, err := fmt.Sscan(os.Getenv("ROTUNDA_TEST_KILL"), &round, &k.kind, &k.when, &k.n, &k.delay); err != nil {
		t.Fatal(err)
	}
	k.when = strings.TrimSuffix(k.when, ".")
	store, err := etcdlog.Open(t.Context(), etcdlog.Config{Name: "one", DataDir: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	n := startWith(t, Config{Log: &killing{Log: store, kill: k}, Node: "n1", Witness: filepath.Join(dir, "witness")})
	if round == 0 {
		if _, _, err := n.Create(WithKey(t.Context(), "the room"), ada, room.Create{Title: "Talk"}); err != nil {
			t.Fatal(err)
		}
	}
	rooms, err := store.Rooms(t.Context(), "")
	if err != nil || len(rooms) != 1 {
		t.Fatalf("rooms %v, %v", rooms, err)
	}
	id := rooms[0]
	checkAcks(t, store, id)
	if err := n.get(id).CheckInvariants(); err != nil {
		t.Fatal(err)
	}
	if t.Failed() {
		return
	}
	fmt.Println("checked")
	if k.delay >= time.Minute {
		return
	}
	if k.kind == "moment" {
		time.AfterFunc(k.delay, die)
	}
	for i := 0; ; i++ {
		ctx := WithKey(t.Context(), fmt.Sprintf("%d-%d", round, i))
		who, cmd := ada, room.Command(room.Publish{Node: "n1"})
		if i%10 == 9 {
			who, cmd = bob, room.End{}
		}
		_, err := n.Do(ctx, id, who, cmd)
		f, ferr := n.acquire(t.Context(), id)
		if ferr != nil {
			t.Fatal(ferr)
		}
		_, at := f.current()
		n.release(f)
		a := ack{command: eventID(onceID(ctx, id, who, cmd, 0), 0), at: at, refused: errors.Is(err, room.ErrForbidden)}
		if err != nil && !a.refused {
			t.Fatal(err)
		}
		fmt.Println(a)
	}
}

// checkAcks reads from standard input what the processes before have said, and compares it with the log.
func checkAcks(t *testing.T, store *etcdlog.Log, id roomID) {
	t.Helper()
	r, err := eventlog.Verify(t.Context(), store, id)
	if err != nil || r.Err != nil {
		t.Fatalf("verify: %+v, %v", r, err)
	}
	positions, present := map[uint64]eventlog.Position{}, map[string]bool{}
	at := eventlog.Position{}
	for {
		_, end, err := store.Read(t.Context(), id, at, 1)
		if errors.Is(err, eventlog.ErrPruned) {
			found, err := store.Segments(t.Context(), id, at.Seq)
			if err != nil || len(found) == 0 {
				t.Fatalf("segments from %d: %v, %v", at.Seq, found, err)
			}
			if at, err = found[0].End(id); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if at == end {
			break
		}
		entries, _, err := store.Read(t.Context(), id, at, eventlog.ReadMax)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			at = eventlog.Position{Seq: e.Seq, Hash: e.Hash(id)}
			positions[at.Seq], present[e.ID] = at, true
		}
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		a, err := parseAck(in.Text())
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case a.refused && present[a.command]:
			t.Errorf("%s was refused and is in the log", a.command)
		case a.at.Seq > r.End.Seq:
			t.Errorf("acknowledged at %v, the log ends at %v", a.at, r.End)
		case positions[a.at.Seq].Seq > 0 && positions[a.at.Seq] != a.at:
			t.Errorf("acknowledged at %v, the log has %v", a.at, positions[a.at.Seq])
		case positions[a.at.Seq].Seq > 0 && !a.refused && !present[a.command]:
			t.Errorf("%s was acknowledged and is not in the log", a.command)
		case positions[a.at.Seq].Seq == 0: // folded
			if _, _, err := store.Read(t.Context(), id, a.at, 1); !errors.Is(err, eventlog.ErrPruned) && err != nil {
				t.Errorf("acknowledged at %v: %v", a.at, err)
			}
		}
	}
}
