package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// crashed is what a machine that lost its power may have of a folder: what was synced for certain, and of everything since any
// part. It is told the steps and thinks for itself.
type crashed struct {
	folders map[string]bool   // that are there for certain
	files   map[string]string // name to content, certain
	maybe   []maybe
	content map[string]string // of files written and not synced
}

// maybe is a change that may have reached the disk or not.
type maybe struct {
	path string
	do   func(c *crashed)
}

func (c *crashed) may(path string, do func(c *crashed)) { c.maybe = append(c.maybe, maybe{path, do}) }

func (c *crashed) clone() *crashed {
	return &crashed{folders: maps.Clone(c.folders), files: maps.Clone(c.files), content: maps.Clone(c.content), maybe: slices.Clone(c.maybe)}
}

// note is a step that was carried out.
func (c *crashed) note(s Step) {
	switch s.Name {
	case MakeFolder:
		c.may(s.Path, func(c *crashed) { c.folders[s.Path] = true })
	case Open:
		c.content[s.Path] = ""
		c.may(s.Path, func(c *crashed) { c.files[s.Path] = "" })
	case Write:
		for _, n := range []int{len(s.Data) / 2, len(s.Data)} {
			c.may(s.Path, func(c *crashed) { c.files[s.Path] = string(s.Data[:n]) })
		}
		c.content[s.Path] = string(s.Data)
	case Sync: // the content is certain, its name is not
		content := c.content[s.Path]
		c.maybe = slices.DeleteFunc(slices.Clone(c.maybe), func(m maybe) bool { return m.path == s.Path })
		c.may(s.Path, func(c *crashed) { c.files[s.Path] = content })
	case Rename:
		content := c.content[s.Path+halfSuffix]
		c.may(s.Path, func(c *crashed) {
			delete(c.files, s.Path+halfSuffix)
			c.files[s.Path] = content
		})
	case Remove:
		c.may(s.Path, func(c *crashed) { delete(c.files, s.Path) })
	case SyncFolder:
		for _, m := range c.maybe {
			m.do(c)
		}
		c.maybe = nil
	}
}

// lay puts on a real disk what is left if of the uncertain steps those happened whose bit is set.
func (c *crashed) lay(t *testing.T, from, to string, mask int) {
	t.Helper()
	left := c.clone()
	for i, m := range c.maybe {
		if mask&(1<<i) != 0 {
			m.do(left)
		}
	}
	for _, f := range slices.Sorted(maps.Keys(left.folders)) {
		if err := os.MkdirAll(to+f[len(from):], 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range left.files {
		err := os.WriteFile(to+name[len(from):], []byte(content), 0o600)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // its folder was never there
			t.Fatal(err)
		}
	}
}

// The power goes after every step of what a Box and a file see, and of what was not synced any part is there: what Put and
// Replace returned for is found, whole; nothing is found that was never put, nor half of anything.
func TestPowerLost(t *testing.T) {
	root, after := t.TempDir(), t.TempDir()
	at := &crashed{folders: map[string]bool{}, files: map[string]string{}, content: map[string]string{}}
	promised, begun := map[string]string{}, map[string]bool{}
	file, fileBefore, fileNext := "", "", ""
	tried := 0
	check := func() {
		for mask := range 1 << len(at.maybe) {
			tried++
			dir := filepath.Join(after, fmt.Sprint(tried))
			at.lay(t, root, dir, mask)
			_, items, err := new(Disk).Box(filepath.Join(dir, "data", "box"))
			if err != nil {
				t.Fatalf("a box after a crash: %v", err)
			}
			for name, want := range promised {
				if got, ok := items[name]; !ok || string(got) != want {
					t.Fatalf("%s: %q, %v, want %q", name, got, ok, want)
				}
			}
			for name, got := range items {
				if !begun[name] || string(got) != "content of "+name {
					t.Fatalf("%s was found: %q", name, got)
				}
			}
			got, _ := os.ReadFile(filepath.Join(dir, "data", "seen", "file"))
			if s := string(got); s != file && s != fileNext && (file != "" || s != fileBefore) {
				t.Fatalf("the file is %q, want %q or %q", s, file, fileNext)
			}
		}
	}
	d := &Disk{Around: func(s Step, do func() error) error {
		err := do()
		if err == nil {
			at.note(s)
		}
		check()
		return err
	}}
	b, _, err := d.Box(filepath.Join(root, "data", "box"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		name := fmt.Sprint("item ", i)
		begun[name] = true
		if err := b.Put(name, []byte("content of "+name)); err != nil {
			t.Fatal(err)
		}
		promised[name] = "content of " + name
		fileNext = fmt.Sprint("version ", i)
		if err := d.Replace(filepath.Join(root, "data", "seen", "file"), []byte(fileNext)); err != nil {
			t.Fatal(err)
		}
		file = fileNext
		check()
		if i == 1 {
			delete(promised, "item 0")
			if err := b.Drop("item 0"); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d ways to lose power", tried)
	if tried < 100 {
		t.Error("too few")
	}
}

// A step that fails is an error, and leaves what was there and nothing half.
func TestStepsFail(t *testing.T) {
	errDisk := errors.New("the disk is full")
	for _, step := range []string{Open, Write, Sync, Rename, SyncFolder} {
		dir := t.TempDir()
		failing := ""
		d := &Disk{Around: func(s Step, do func() error) error {
			if s.Name == failing {
				return errDisk
			}
			return do()
		}}
		path := filepath.Join(dir, "file")
		if err := d.Replace(path, []byte("old")); err != nil {
			t.Fatal(err)
		}
		failing = step
		if err := d.Replace(path, []byte("new")); !errors.Is(err, errDisk) {
			t.Errorf("%s fails: %v", step, err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != "old" && (step != SyncFolder || string(got) != "new") {
			t.Errorf("%s fails: %q, %v", step, got, err)
		}
		if files, _ := os.ReadDir(dir); len(files) != 1 {
			t.Errorf("%s fails: %d files", step, len(files))
		}
	}
}

// What cannot be an item is named and left alone; the others are found.
func TestOddFiles(t *testing.T) {
	dir := t.TempDir()
	b, _, err := new(Disk).Box(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Put("good", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := b.Put("large", make([]byte, ItemMax+1)); err == nil {
		t.Error("an item over the bound is taken")
	}
	for name, size := range map[string]int{"zz.fact": 1, "6c.fact": ItemMax + 1, "note": 1, "67.fact.half": 1} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, items, err := new(Disk).Box(dir)
	if err == nil || len(items) != 1 || string(items["good"]) != "1" {
		t.Errorf("items %v, %v; want the good one and an error", items, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 4 {
		t.Errorf("%d files, want all but the half one", len(files))
	}
	for range 2 {
		if err := b.Drop("good"); err != nil {
			t.Error(err)
		}
	}
}
