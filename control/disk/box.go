package disk

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	itemSuffix = ".fact"
	// ItemMax is how large an item of a Box may be, in bytes.
	ItemMax = 1 << 20
)

// Box is a folder of named items, a file each, that wait for something: they are put, found after a crash, and dropped.
type Box struct {
	disk *Disk
	dir  string
	mu   sync.Mutex // one change at a time
}

// Box makes the folder where needed and returns what is in it, by name. Files that cannot be read are left where they are
// and named in the error, beside the items that can.
func (d *Disk) Box(dir string) (*Box, map[string][]byte, error) {
	if err := d.makeFolder(dir); err != nil {
		return nil, nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	items := map[string][]byte{}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasSuffix(e.Name(), halfSuffix) {
			errs = append(errs, d.remove(path))
			continue
		}
		coded, is := strings.CutSuffix(e.Name(), itemSuffix)
		if !is {
			continue
		}
		name, err := hex.DecodeString(coded)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: not a name", path))
			continue
		}
		data, err := read(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		items[string(name)] = data
	}
	return &Box{disk: d, dir: dir}, items, errors.Join(errs...)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, ItemMax+1))
	if err == nil && len(data) > ItemMax {
		err = fmt.Errorf("%s: more than %d bytes", path, ItemMax)
	}
	return data, err
}

// Path is the file of an item.
func (b *Box) Path(name string) string {
	return filepath.Join(b.dir, hex.EncodeToString([]byte(name))+itemSuffix)
}

// Put keeps an item: it is on the disk, and found there, when Put has returned without an error.
func (b *Box) Put(name string, data []byte) error {
	if len(data) > ItemMax {
		return fmt.Errorf("%d bytes, at most %d", len(data), ItemMax)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.disk.replace(b.Path(name), data)
}

// Drop forgets an item that nothing waits for any more. It may come back after a crash of the machine.
func (b *Box) Drop(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return ignore(b.disk.remove(b.Path(name)), fs.ErrNotExist)
}

func (d *Disk) remove(path string) error {
	return d.step(Step{Name: Remove, Path: path}, func() error { return os.Remove(path) })
}
