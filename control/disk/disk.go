// Package disk keeps small files so that a crash, of the process or of the machine, leaves each of them as it was or as it
// was to be, and never half of it.
//
// The invariant: what Replace and Box.Put have returned for without an error is found after a crash; what they have failed
// for may be found. Everything here may be used from any goroutine.
package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// halfSuffix is of files that were not finished; nothing was said about them yet.
const halfSuffix = ".half"

// What a Step may be.
const (
	MakeFolder = "make folder"
	Open       = "open"
	Write      = "write"
	Sync       = "sync"
	Rename     = "rename"
	SyncFolder = "sync folder"
	Remove     = "remove"
)

// Step is one change: a crash may come before it, after it or halfway through.
type Step struct {
	Name string
	Path string // what it changes; of Rename what it changes to
	Data []byte // of Write: all of it
}

// Disk is where files are. The zero Disk is the machine's.
type Disk struct {
	// Around, where set, is called in place of every step, and carries it out by calling do. Tests end the process in it.
	Around func(s Step, do func() error) error
}

func (d *Disk) step(s Step, do func() error) error {
	if d.Around == nil {
		return do()
	}
	return d.Around(s, do)
}

// Replace writes a file, and the folders above it where there are none. When it has returned without an error the file is on
// the disk; until then there is either the old one or the new one.
func (d *Disk) Replace(path string, b []byte) error {
	if err := d.makeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	return d.replace(path, b)
}

func (d *Disk) replace(path string, b []byte) error {
	half := path + halfSuffix
	if err := d.write(half, b); err != nil {
		return errors.Join(err, ignore(os.Remove(half), fs.ErrNotExist))
	}
	if err := d.step(Step{Name: Rename, Path: path}, func() error { return os.Rename(half, path) }); err != nil {
		return errors.Join(err, ignore(os.Remove(half), fs.ErrNotExist))
	}
	return d.syncFolder(filepath.Dir(path))
}

// write writes and syncs a file that nobody reads yet.
func (d *Disk) write(path string, b []byte) error {
	var f *os.File
	err := d.step(Step{Name: Open, Path: path}, func() (err error) {
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	err = d.step(Step{Name: Write, Path: path, Data: b}, func() error { _, err := f.Write(b); return err })
	if err == nil {
		err = d.step(Step{Name: Sync, Path: path}, f.Sync)
	}
	return errors.Join(err, f.Close())
}

// makeFolder makes a folder that is there after a crash.
func (d *Disk) makeFolder(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := d.makeFolder(above); err != nil {
		return err
	}
	err := d.step(Step{Name: MakeFolder, Path: dir}, func() error { return ignore(os.Mkdir(dir, 0o700), fs.ErrExist) })
	if err != nil {
		return err
	}
	return d.syncFolder(above)
}

func (d *Disk) syncFolder(dir string) error {
	return d.step(Step{Name: SyncFolder, Path: dir}, func() error {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}
