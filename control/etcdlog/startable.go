package etcdlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
)

// errDiffers is what etcd says where InitialCorruptCheck finds that this member's data are not what the others have at the same
// revision. It has no type.
const errDiffers = "found data inconsistency with peers"

// refusals are the errors with which etcd refuses a data folder.
var refusals = []error{
	errDamaged, walpb.ErrCRCMismatch, wal.ErrMetadataConflict, wal.ErrFileNotFound, wal.ErrSnapshotMismatch,
	wal.ErrSnapshotNotFound, wal.ErrSliceOutOfRange, wal.ErrDecoderNotFound, io.ErrUnexpectedEOF,
}

// advise says what to do about a member's copy that is damaged.
func (c Config) advise(err error) error {
	damaged := strings.Contains(err.Error(), errDiffers) || slices.ContainsFunc(refusals, func(d error) bool { return errors.Is(err, d) })
	if len(c.Peers) > 1 && damaged {
		return fmt.Errorf("%w: this node's copy of the log in %s is damaged; the other control nodes go on: there, `rotunda log remove %s`, then empty the folder and let the node join again (docs/runbooks/RotundaLogDamaged.md)",
			err, c.DataDir, c.Name)
	}
	return err
}

// openMax is how long another process may hold the file.
const openMax = time.Second

// checkStore walks all of the store's file before etcd does: on one that is damaged etcd would panic in a goroutine of its own,
// which ends the process, or wait for ever. Values are not looked at: that is what hashes are for.
func checkStore(file string) (err error) {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	done := make(chan struct{})
	go func() { // in a goroutine of its own, so that a fault in what is mapped into memory ends only this
		defer close(done)
		debug.SetPanicOnFault(true)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%w: %s: %v", errDamaged, file, p)
			}
		}()
		if err = openStore(file, false, walkStore); err == nil {
			// What is left is the order of the keys and which pages are free: that is looked at by a goroutine of bbolt's.
			err = openStore(file, true, func(*bolt.Tx) error { return nil })
		}
	}()
	<-done
	return err
}

func openStore(file string, freelist bool, look func(*bolt.Tx) error) error {
	db, err := bolt.Open(file, 0o600, &bolt.Options{ReadOnly: true, PreLoadFreelist: freelist, Timeout: openMax})
	if err != nil {
		return fmt.Errorf("%w: %s: %v", errDamaged, file, err)
	}
	defer db.Close()
	if err := db.View(look); err != nil {
		return fmt.Errorf("%w: %s: %v", errDamaged, file, err)
	}
	return nil
}

// walkStore touches both ends of all that there is.
func walkStore(tx *bolt.Tx) error {
	var sum byte // so that the compiler does not leave it out
	err := tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			for _, part := range [][]byte{k, v} {
				if len(part) > 0 {
					sum ^= part[0] ^ part[len(part)-1]
				}
			}
			return nil
		})
	})
	touched.Store(uint32(sum))
	return err
}

var touched atomic.Uint32
