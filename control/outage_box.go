package control

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// box is the folder of the facts that this node has acknowledged and that are not in the log yet: a file each. What put has
// returned for is there after a crash of the process or the machine.
type box struct {
	dir string
	mu  sync.Mutex // one change at a time
}

const (
	factSuffix = ".fact"
	halfSuffix = ".half" // of a file that was not finished; nothing was acknowledged
)

// openBox makes the folder where needed and returns the facts in it. Files that cannot be read are left where they are and
// named in the error, beside the facts of the others.
func openBox(dir string) (*box, []Fact, error) {
	b := &box{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	var facts []Fact
	var errs []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasSuffix(e.Name(), halfSuffix) {
			errs = append(errs, os.Remove(path))
			continue
		}
		if !strings.HasSuffix(e.Name(), factSuffix) {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		f, err := parseFact(data, openly)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
			continue
		}
		facts = append(facts, f)
	}
	slices.SortFunc(facts, func(x, y Fact) int { return x.Events[0].At.Compare(y.Events[0].At) })
	return b, facts, errors.Join(errs...)
}

func (b *box) path(id string) string {
	return filepath.Join(b.dir, hex.EncodeToString([]byte(id))+factSuffix)
}

// put keeps f: it is on the disk, and found there, when put has returned without an error.
func (b *box) put(f Fact) error {
	data, err := f.encode(0, openly)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	path := b.path(f.ID)
	half := path + halfSuffix
	if err := writeSynced(half, data); err != nil {
		return errors.Join(err, os.Remove(half))
	}
	if err := os.Rename(half, path); err != nil {
		return errors.Join(err, os.Remove(half))
	}
	return syncDir(b.dir)
}

// drop forgets a fact that is in the log. One that comes back after a crash is found there.
func (b *box) drop(id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := os.Remove(b.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
