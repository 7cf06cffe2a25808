//go:build unix && !solaris && !illumos && !aix

package etcdlog

import (
	"os"
	"syscall"
)

// lock makes sure that no other process uses the folder: etcd itself would wait for it without an end.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil // closing unlocks
}
