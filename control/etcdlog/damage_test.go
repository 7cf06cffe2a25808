package etcdlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/eventlog/eventlogtest"
)

// truth is what a log held before it was damaged.
type truth map[rotunda.RoomID]*known

type known struct {
	at        []eventlog.Position
	entries   map[uint64]eventlog.Hash // digests of those that can be read
	snapshots map[uint64]string
}

// plant makes rooms of several kinds and returns what they are.
func plant(t *testing.T, l *Log) truth {
	t.Helper()
	out := truth{}
	for i := range 3 {
		room := rotunda.RoomID(fmt.Sprintf("folded-%d", i))
		out[room] = &known{at: eventlogtest.Folded(t, l, room, 120, 60, 100)}
		room = rotunda.RoomID(fmt.Sprintf("plain-%d", i))
		out[room] = &known{at: eventlogtest.Chain(t, l, room, 40)}
	}
	for room, k := range out {
		k.entries, k.snapshots = map[uint64]eventlog.Hash{}, map[uint64]string{}
		from := k.at[0]
		if len(k.at) > 100 {
			from = k.at[60]
		}
		entries, _, err := l.Read(t.Context(), room, from, eventlog.ReadMax)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			k.entries[e.Seq] = e.Digest()
		}
		snapshots, err := l.Snapshots(t.Context(), room)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range snapshots {
			k.snapshots[s.At.Seq] = string(s.Data)
		}
	}
	return out
}

// fate is what a reader made of damage.
type fate int

const (
	harmless fate = iota // everything is as it was
	named                // something was refused
	silent               // something else was served
)

// look reads everything through a reader as followers do that know where the rooms ended, and as Verify does.
func (tr truth) look(ctx context.Context, r eventlog.Reader) (fate, string) {
	worst, why := harmless, ""
	found := map[rotunda.RoomID]bool{}
	note := func(f fate, format string, args ...any) {
		if f > worst {
			worst, why = f, fmt.Sprintf(format, args...)
		}
	}
	err := eventlog.VerifyAll(ctx, r, func(report eventlog.Report) error {
		found[report.Room] = true
		if report.Err != nil {
			note(named, "%v", report.Err)
		}
		return nil
	})
	if err != nil {
		note(named, "%v", err)
	}
	for room, k := range tr {
		last := k.at[len(k.at)-1]
		if _, _, err := r.Read(ctx, room, last, 1); err != nil { // the witness: this is where it was
			note(named, "%v", err)
		}
		for from := len(k.at) - len(k.entries); from < len(k.at); from += 5 {
			entries, _, err := r.Read(ctx, room, k.at[from-1], 5)
			if err != nil {
				note(named, "%v", err)
				continue
			}
			for _, e := range entries {
				if e.Digest() != k.entries[e.Seq] {
					note(silent, "room %s: entry %d is served and was another", room, e.Seq)
				}
			}
		}
		snapshots, err := r.Snapshots(ctx, room)
		if err != nil {
			note(named, "%v", err)
		}
		for _, s := range snapshots {
			if s.Sound(room) && k.snapshots[s.At.Seq] != string(s.Data) {
				note(silent, "room %s: snapshot at %d is served and was another", room, s.At.Seq)
			}
		}
		if len(snapshots) != len(k.snapshots) {
			note(named, "room %s: a snapshot is gone", room)
		}
	}
	return worst, why
}

const damageSeed = 20261123

// damage is a bit flipped in a file, or its end cut off.
type damage struct {
	at  int
	bit byte // 0: the file ends at at
}

func (d damage) String() string {
	if d.bit == 0 {
		return fmt.Sprintf("cut to %d bytes", d.at)
	}
	return fmt.Sprintf("byte %d ^ %02x", d.at, d.bit)
}

// damages draws n of them, a tenth of them cuts.
func damages(random *rand.Rand, whole []byte, n int) []damage {
	used := usedPart(whole)
	out := make([]damage, n)
	for i := range out {
		if i%10 == 0 {
			out[i] = damage{at: random.IntN(len(whole))}
		} else {
			out[i] = damage{used[random.IntN(len(used))], 1 << random.IntN(8)}
		}
	}
	return out
}

// Bits are flipped and ends cut off in the file of etcd's store: what is read then is what was there, or an error that
// names the place. Nothing else is served, and nothing ends the process.
func TestDamagedFile(t *testing.T) {
	rounds := 10_000
	if testing.Short() {
		rounds = 500
	}
	dir := t.TempDir()
	l := open(t, Config{Name: "one", DataDir: dir})
	tr := plant(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "etcd", "member", "snap", "db"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := readFolder(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	if got, why := tr.look(t.Context(), reader{f}); got != harmless {
		t.Fatalf("the file as it is: %s", why)
	}
	count := tr.tryAll(t, whole, f, damages(rand.New(rand.NewPCG(damageSeed, 0)), whole, rounds))
	t.Logf("seed %d: of %d flips and cuts %d were named, %d hurt nothing that is in use", damageSeed, rounds, count[named], count[harmless])
	if count[named] < rounds/4 {
		t.Errorf("only %d of %d were found: the test damages nothing", count[named], rounds)
	}
}

// tryAll reads a file with each of the damages by itself, on all cores, and counts what became of them. sound is what it holds.
func (tr truth) tryAll(t *testing.T, whole []byte, sound folder, all []damage) map[fate]int {
	var next atomic.Int64
	var mu sync.Mutex // guards count
	count := map[fate]int{}
	var g sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() {
			b := bytes.Clone(whole)
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				d := all[i]
				got, why := tr.try(t.Context(), b, sound, d)
				if got == silent {
					t.Errorf("seed %d, round %d, %v: %s", damageSeed, i, d, why)
				}
				mu.Lock()
				count[got]++
				mu.Unlock()
			}
		})
	}
	g.Wait()
	return count
}

// try damages b, reads it and puts it right again.
func (tr truth) try(ctx context.Context, b []byte, sound folder, d damage) (fate, string) {
	cut := b
	if d.bit == 0 {
		cut = b[:d.at]
	} else {
		b[d.at] ^= d.bit
		defer func() { b[d.at] ^= d.bit }()
	}
	f, err := readFolder(bytes.NewReader(cut), int64(len(cut)))
	switch {
	case errors.Is(err, eventlog.ErrBroken):
		return named, err.Error()
	case err != nil:
		return silent, fmt.Sprintf("%v, want ErrBroken", err)
	case slices.EqualFunc(f, sound, row.equal):
		return harmless, ""
	}
	return tr.look(ctx, reader{f})
}

func (r row) equal(o row) bool {
	return r.key == o.key && r.changed == o.changed && bytes.Equal(r.value, o.value)
}

// usedPart lists the bytes of a file that are not in long runs of zeros.
func usedPart(b []byte) (out []int) {
	for at := 0; at < len(b); at += 64 {
		line := b[at:min(len(b), at+64)]
		if bytes.Count(line, []byte{0}) == len(line) {
			continue
		}
		for i := range line {
			out = append(out, at+i)
		}
	}
	return out
}

// The same in the values of a store that runs: a bit flipped, an end cut off, a value of another key, no value.
func TestDamagedValues(t *testing.T) {
	rounds := 400
	if testing.Short() {
		rounds = 50
	}
	l := open(t, Config{Name: "one", DataDir: t.TempDir()})
	tr := plant(t, l)
	rows, _, err := l.look(t.Context(), span{from: prefix, below: end(prefix), limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	whole := folder(rows[0])
	random := rand.New(rand.NewPCG(damageSeed, 1))
	count := map[fate]int{}
	for i := range rounds {
		f := make(folder, len(whole))
		copy(f, whole)
		at := random.IntN(len(f))
		what := f[at].key
		value := bytes.Clone(f[at].value)
		switch random.IntN(4) {
		case 0:
			value[random.IntN(len(value))] ^= 1 << random.IntN(8)
		case 1:
			value = value[:random.IntN(len(value))]
		case 2:
			value = f[(at+1)%len(f)].value
		case 3:
			f = append(f[:at:at], f[at+1:]...)
			value = nil
		}
		if value != nil {
			f[at].value = value
		}
		got, why := tr.look(t.Context(), reader{f})
		if count[got]++; got == silent {
			t.Errorf("seed %d, round %d, %s: %s", damageSeed, i, what, why)
		}
		// Without a base every position that a reader can have is still confirmed or refused; summaries have no hash. All else
		// must be named.
		if got == harmless && !strings.HasPrefix(what, summaryPrefix) && (value != nil || !strings.HasPrefix(what, basePrefix)) {
			t.Errorf("seed %d, round %d, %s: not found", damageSeed, i, what)
		}
	}
	t.Logf("seed %d: of %d values %d were named, %d can do without", damageSeed, rounds, count[named], count[harmless])
}

// A store that etcd itself cannot start from is an error, not the end of the process and not an empty log. What it does start
// from is read or refused as above.
func TestDamagedStart(t *testing.T) {
	t.Parallel() // most of it is waiting
	rounds := 12
	if testing.Short() {
		rounds = 2
	}
	dir := t.TempDir()
	l := open(t, Config{Name: "one", DataDir: dir})
	plant(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(damageSeed, 2))
	for i := range rounds {
		damaged := t.TempDir()
		if err := os.CopyFS(damaged, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		pattern := []string{"etcd/member/snap/db", "etcd/member/wal/0000*.wal"}[i%2]
		files, err := filepath.Glob(filepath.Join(damaged, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no file %s: %v", pattern, err)
		}
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		used := usedPart(b)
		at := used[random.IntN(len(used))]
		b[at] ^= 1 << random.IntN(8)
		if err := os.WriteFile(files[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Logf("seed %d, round %d: byte %d of %s: %s", damageSeed, i, at, pattern, startDamaged(t, damaged))
	}
}

// startDamaged starts an etcd in a process of its own and says what became of it.
func startDamaged(t *testing.T, dir string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestDamagedStartChild$", "-test.v")
	child.Env = append(os.Environ(), "ROTUNDA_TEST_DIR="+dir)
	out, err := child.CombinedOutput()
	switch {
	case bytes.Contains(out, []byte("fate: silent")):
		t.Errorf("%s", out)
		return "served something else"
	case bytes.Contains(out, []byte("fate: ")):
		_, fate, _ := bytes.Cut(out, []byte("fate: "))
		line, _, _ := bytes.Cut(fate, []byte("\n"))
		return string(line)
	}
	return fmt.Sprintf("the process ended: %v", err)
}

func TestDamagedStartChild(t *testing.T) {
	dir := os.Getenv("ROTUNDA_TEST_DIR")
	if dir == "" {
		t.Skip("only as a child of TestDamagedStart")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	l, err := Open(ctx, Config{Name: "one", DataDir: dir})
	if err != nil {
		fmt.Printf("fate: named: %v\n", err)
		return
	}
	clean := open(t, Config{Name: "one", DataDir: t.TempDir()})
	got, why := plant(t, clean).look(ctx, l)
	fmt.Printf("fate: %s: %s\n", [...]string{"harmless", "named", "silent"}[got], why)
}
