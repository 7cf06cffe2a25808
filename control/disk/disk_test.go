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

// crashed is what a machine that lost its power may have of a folder: of what was not synced any part. The content of a file is
// synced with the file, and its name with its folder: neither brings the other along. It is told the steps and thinks for itself.
type crashed struct {
	names   map[string]int // of files, and the number of each, certain; folders have 0
	maybe   []maybe        // changes of names that were not synced, in their order
	content [][]string     // by number: what may be in the file, the newest last
	open    map[string]int // names of the files that are written
}

// maybe is a change of the names in a folder that may have reached the disk or not.
type maybe struct {
	folder string
	do     func(names map[string]int)
}

func newCrashed() *crashed {
	return &crashed{names: map[string]int{}, content: [][]string{{""}}, open: map[string]int{}}
}

func (c *crashed) may(path string, do func(names map[string]int)) {
	c.maybe = append(c.maybe, maybe{filepath.Dir(path), do})
}

// note is a step that was carried out.
func (c *crashed) note(s Step) {
	switch s.Name {
	case MakeFolder:
		c.may(s.Path, func(names map[string]int) { names[s.Path] = 0 })
	case Open:
		n := len(c.content)
		c.content = append(c.content, []string{""})
		c.open[s.Path] = n
		c.may(s.Path, func(names map[string]int) { names[s.Path] = n })
	case Write:
		n := c.open[s.Path]
		c.content[n] = append(c.content[n], string(s.Data[:len(s.Data)/2]), string(s.Data))
	case Sync:
		n := c.open[s.Path]
		c.content[n] = c.content[n][len(c.content[n])-1:]
	case Rename:
		half := s.Path + halfSuffix
		n := c.open[half]
		c.may(s.Path, func(names map[string]int) {
			delete(names, half)
			names[s.Path] = n
		})
	case Remove:
		c.may(s.Path, func(names map[string]int) { delete(names, s.Path) })
	case SyncFolder:
		c.maybe = slices.DeleteFunc(c.maybe, func(m maybe) bool {
			if m.folder == s.Path {
				m.do(c.names)
			}
			return m.folder == s.Path
		})
	}
}

// lefts calls f with all that may be left: names, folders among them, and what is in each file.
func (c *crashed) lefts(f func(folders []string, files map[string]string)) {
	for mask := range 1 << len(c.maybe) {
		names := maps.Clone(c.names)
		for i, m := range c.maybe {
			if mask&(1<<i) != 0 {
				m.do(names)
			}
		}
		var folders []string
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if names[name] == 0 {
				folders = append(folders, name)
			}
		}
		for choice := range 3 { // no file is written more than once, and none while another is
			files := map[string]string{}
			for name, n := range names {
				if n != 0 {
					files[name] = c.content[n][min(choice, len(c.content[n])-1)]
				}
			}
			f(folders, files)
		}
	}
}

// lay puts what is left on a real disk. What was in a folder that is not there is gone with it.
func lay(t *testing.T, from, to string, folders []string, files map[string]string) {
	t.Helper()
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range folders { // the upper ones first
		if err := os.Mkdir(to+f[len(from):], 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		if err := os.WriteFile(to+name[len(from):], []byte(content), 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// The power goes after every step of what a Box and a file see, and of what was not synced any part is there: what Put and
// Replace returned for is found, whole; nothing is found that was never put, nor half of anything.
func TestPowerLost(t *testing.T) {
	root, after := t.TempDir(), t.TempDir()
	at := newCrashed()
	promised, begun := map[string]string{}, map[string]bool{}
	file, fileBefore, fileNext := "", "", ""
	tried := 0
	check := func() {
		at.lefts(func(folders []string, files map[string]string) {
			tried++
			dir := filepath.Join(after, fmt.Sprint(tried))
			lay(t, root, dir, folders, files)
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
		})
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
