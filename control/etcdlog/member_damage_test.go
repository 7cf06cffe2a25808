package etcdlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"rotunda/control/eventlog"
)

// One copy of three is damaged while its node is down. Whatever becomes of that node, it serves nothing else than what was there,
// and says what is wrong where it is not well; the others go on. Removed, emptied and joined again it has the log from them.
func TestOneCopyDamaged(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many members")
	}
	t.Parallel() // most of it is waiting
	c := newCluster(t, 3)
	logs := c.open(t)
	tr := plant(t, logs[0])
	at := appendUntilKept(t, logs[0], "goes-on", eventlog.Position{}, "1")
	dir := c.configs[2].DataDir
	eventually(t, "the third has it all", func() error { _, _, err := logs[2].Read(t.Context(), "goes-on", at, 1); return err })
	if err := logs[2].Close(); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(damageSeed, 3))
	sound := t.TempDir()
	if err := os.CopyFS(sound, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for i, d := range memberDamages {
		for _, name := range []string{"etcd", "lock"} {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.CopyFS(dir, os.DirFS(sound)); err != nil {
			t.Fatal(err)
		}
		for _, folder := range []string{"etcd", "etcd/member", "etcd/member/snap", "etcd/member/wal"} { // etcd warns of others
			if err := os.Chmod(filepath.Join(dir, folder), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		d.do(t, dir, random)
		t.Logf("seed %d, %s: %s", damageSeed, d.name, startMember(t, c.configs[2], d.named))
		at = appendUntilKept(t, logs[0], "goes-on", at, fmt.Sprint(i+2))
		if got, why := tr.look(t.Context(), logs[1]); got != harmless {
			t.Errorf("%s: another member: %s", d.name, why)
		}
		if err := logs[1].Ping(t.Context()); err != nil {
			t.Errorf("%s: another member: %v", d.name, err)
		}
	}
	c.replace(t, logs, tr, at)
}

// replace takes the third member out and lets it join again.
func (c *cluster) replace(t *testing.T, logs []*Log, tr truth, at eventlog.Position) {
	t.Helper()
	cfg := c.configs[2]
	// A difference that is found while the member runs is an alarm, with which nobody takes appends, until it is removed.
	members, err := logs[0].client.MemberList(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members.Members {
		if m.Name == cfg.Name {
			alarm := &etcdserverpb.AlarmRequest{Action: etcdserverpb.AlarmRequest_ACTIVATE, MemberID: m.ID, Alarm: etcdserverpb.AlarmType_CORRUPT}
			if _, err := logs[0].server.Server.Alarm(t.Context(), alarm); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "the alarm is known", func() error {
		if err := logs[1].Ping(t.Context()); !errors.Is(err, eventlog.ErrUnavailable) || !strings.Contains(err.Error(), "alarm raised: ") || !strings.Contains(err.Error(), "CORRUPT") {
			return fmt.Errorf("%w, want the alarm", err)
		}
		return nil
	})
	if err := logs[0].RemoveMember(t.Context(), cfg.Name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the alarm is gone", func() error { return logs[1].Ping(t.Context()) })
	if err := os.RemoveAll(filepath.Join(cfg.DataDir, "etcd")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cluster takes a member", func() error { return logs[0].AddMember(t.Context(), cfg.Peers[cfg.Name]) })
	cfg.Join = true
	again := open(t, cfg)
	eventually(t, "it has caught up", func() error { _, _, err := again.Read(t.Context(), "goes-on", at, 1); return err })
	if got, why := tr.look(t.Context(), again); got != harmless {
		t.Errorf("the member that joined again: %s", why)
	}
	appendUntilKept(t, again, "goes-on", at, "again")
}

// memberDamages are what is done to the folder of one member.
var memberDamages = []struct {
	name  string
	named bool // it must not come up without saying anything
	do    func(t *testing.T, dir string, random *rand.Rand)
}{
	{"a record in the store is another", true, func(t *testing.T, dir string, _ *rand.Rand) {
		rewrite(t, dir, storeFile, func(b []byte) []byte { // an append of before, which the others have otherwise
			return bytes.ReplaceAll(b, []byte("id-17"), []byte("id-71"))
		})
	}},
	{"bits flipped in the store", false, func(t *testing.T, dir string, random *rand.Rand) {
		rewrite(t, dir, storeFile, func(b []byte) []byte {
			used := usedPart(b)
			for range 20 {
				b[used[random.IntN(len(used))]] ^= 1 << random.IntN(8)
			}
			return b
		})
	}},
	{"the store cut off", true, func(t *testing.T, dir string, _ *rand.Rand) {
		rewrite(t, dir, storeFile, func(b []byte) []byte { return b[:lastUsed(b)/2] })
	}},
	{"the store empty", true, func(t *testing.T, dir string, _ *rand.Rand) {
		rewrite(t, dir, storeFile, func([]byte) []byte { return []byte("nothing") })
	}},
	{"bits flipped in the log of writes", false, func(t *testing.T, dir string, random *rand.Rand) {
		rewrite(t, dir, walFile, func(b []byte) []byte {
			used := usedPart(b)
			for range 20 {
				b[used[random.IntN(len(used))]] ^= 1 << random.IntN(8)
			}
			return b
		})
	}},
	{"the log of writes cut off", false, func(t *testing.T, dir string, _ *rand.Rand) {
		rewrite(t, dir, walFile, func(b []byte) []byte { return b[:lastUsed(b)/2] })
	}},
}

const (
	storeFile = "etcd/member/snap/db"
	walFile   = "etcd/member/wal/0000000000000000-0000000000000000.wal"
)

func lastUsed(b []byte) int { used := usedPart(b); return used[len(used)-1] }

func rewrite(t *testing.T, dir, file string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, file)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(bytes.Clone(b))
	if bytes.Equal(changed, b) {
		t.Fatalf("%s is as it was", file)
	}
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
}

// startMember starts a member in a process of its own and says what became of it.
func startMember(t *testing.T, cfg Config, named bool) string {
	t.Helper()
	order, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestOneCopyDamagedChild$", "-test.v")
	child.Env = append(os.Environ(), "ROTUNDA_TEST_DIR="+cfg.DataDir, "ROTUNDA_TEST_MEMBER="+string(order))
	out, err := child.CombinedOutput()
	_, fate, said := bytes.Cut(out, []byte("fate: "))
	line, _, _ := bytes.Cut(fate, []byte("\n"))
	switch {
	case !said:
		if !bytes.Contains(out, []byte("panic")) && !bytes.Contains(out, []byte("level=ERROR")) {
			t.Errorf("it ended and said nothing: %v\n%s", err, out)
		}
		return fmt.Sprintf("the process ended: %v: %s", err, out[max(0, len(out)-300):])
	case bytes.HasPrefix(line, []byte("silent")), named && bytes.HasPrefix(line, []byte("harmless")):
		t.Errorf("%s", out)
	}
	return string(line)
}

func TestOneCopyDamagedChild(t *testing.T) {
	order := os.Getenv("ROTUNDA_TEST_MEMBER")
	if order == "" {
		t.Skip("only as a child of TestOneCopyDamaged")
	}
	var cfg Config
	if err := json.Unmarshal([]byte(order), &cfg); err != nil {
		t.Fatal(err)
	}
	var out said
	cfg.Logger = out.logger()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	l, err := Open(ctx, cfg)
	if err != nil {
		if !strings.Contains(err.Error(), "rotunda log remove") {
			fmt.Printf("fate: silent: nothing says what to do: %v\n", err)
			return
		}
		fmt.Printf("fate: named: %v\n", err)
		return
	}
	clean := open(t, Config{Name: "one", DataDir: t.TempDir()})
	got, why := plant(t, clean).look(ctx, l)
	if err := l.Ping(ctx); got != silent && err != nil {
		got, why = max(got, named), fmt.Sprintf("%v; %s", err, why)
	}
	if got == named && !strings.Contains(why, "log broken") && !strings.Contains(out.String(), "level=ERROR") {
		got = silent // it does not answer, and nothing says why
	}
	fmt.Printf("fate: %s: %s\n", [...]string{"harmless", "named", "silent"}[got], why)
	fmt.Print(out.String())
}
