package etcdlog

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"rotunda"
	"rotunda/control/eventlog"
)

// A backup is everything that the log holds at one moment:
//
//	22 bytes  "rotunda log backup 1\n" and 0
//	for each key, ascending: 4 bytes its length, the key, 4 bytes the value's length, the value
//	 4 bytes  0
//	32 bytes  SHA-256 of all before
//
// It is the log's own form and not etcd's, so it fits a cluster of any size, and its chains are verified on the way back.
const backupMagic = "rotunda log backup 1\n\x00"

// Bounds of what a backup may hold, and of one transaction of Restore.
const (
	backupKeyMax   = 512
	backupValueMax = 4 << 20
	restoreOpsMax  = 64
	restoreBytes   = 1 << 20
)

var (
	// ErrBackup: what is to be restored is no backup, or is damaged.
	ErrBackup = errors.New("not a sound backup of the log")
	// ErrNotEmpty: the log to restore to holds rooms.
	ErrNotEmpty = errors.New("the log is not empty")
)

// Backup writes everything that the log holds, as it is at one moment, while it goes on.
func (l *Log) Backup(ctx context.Context, w io.Writer) error {
	sum := sha256.New()
	out := bufio.NewWriter(io.MultiWriter(w, sum))
	if _, err := out.WriteString(backupMagic); err != nil {
		return err
	}
	var revision int64
	for from, more := prefix, true; more; {
		options := []clientv3.OpOption{clientv3.WithRange(end(prefix)), clientv3.WithLimit(headsMax)}
		if revision > 0 {
			options = append(options, clientv3.WithRev(revision))
		}
		resp, err := ask(ctx, l, func(ctx context.Context) (*clientv3.GetResponse, error) {
			return l.client.Get(ctx, from, options...)
		})
		if err != nil {
			return fmt.Errorf("backup: %w", err)
		}
		if revision == 0 {
			revision = resp.Header.Revision
		}
		for _, kv := range resp.Kvs {
			for _, b := range [][]byte{kv.Key, kv.Value} {
				if _, err := out.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
					return err
				}
			}
			from = string(kv.Key) + "\x00"
		}
		more = resp.More
	}
	if _, err := out.Write(make([]byte, 4)); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

// Restore puts a backup into an empty log and then verifies every chain. It looks at the whole backup before it writes
// anything. Where it ends half-way, begin again with an empty folder: what is half there is refused by whoever reads it.
//
// The nodes of the mesh remember the last position of each room: those that saw more than the backup holds refuse the
// rooms concerned, or put back what is missing where they still have it.
//
// The chains beside are those that nodes write by themselves as soon as they start: they may be there already, and stay as
// they are; what the backup has of them is left out.
func (l *Log) Restore(ctx context.Context, r io.ReadSeeker, beside ...rotunda.RoomID) error {
	if err := l.empty(ctx, beside); err != nil {
		return err
	}
	start, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if err := readBackup(r, func(string, []byte) error { return nil }); err != nil {
		return err
	}
	if _, err := r.Seek(start, io.SeekStart); err != nil {
		return err
	}
	var puts []clientv3.Op
	bytes := 0
	flush := func() error {
		if len(puts) == 0 {
			return nil
		}
		if _, err := l.client.Txn(ctx).Then(puts...).Commit(); err != nil {
			return fmt.Errorf("restore: %w", appendError(err))
		}
		puts, bytes = nil, 0
		return nil
	}
	err = readBackup(r, func(key string, value []byte) error {
		if slices.Contains(beside, chainOf(key)) {
			return nil
		}
		if len(puts) == restoreOpsMax || bytes+len(value) > restoreBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		puts, bytes = append(puts, clientv3.OpPut(key, string(value))), bytes+len(value)
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return err
	}
	return eventlog.VerifyAll(ctx, l, func(r eventlog.Report) error { return r.Err })
}

// empty returns ErrNotEmpty where there is anything but the chains beside.
func (l *Log) empty(ctx context.Context, beside []rotunda.RoomID) error {
	for from, more := prefix, true; more; {
		resp, err := l.client.Get(ctx, from, clientv3.WithRange(end(prefix)), clientv3.WithLimit(headsMax), clientv3.WithKeysOnly())
		if err != nil {
			return fmt.Errorf("restore: %w: %v", eventlog.ErrUnavailable, err)
		}
		for _, kv := range resp.Kvs {
			if !slices.Contains(beside, chainOf(string(kv.Key))) {
				return ErrNotEmpty
			}
			from = string(kv.Key) + "\x00"
		}
		more = resp.More
	}
	return nil
}

// readBackup calls fn with every key and value. When it returns nil, the backup was sound.
func readBackup(r io.Reader, fn func(key string, value []byte) error) error {
	in := &summed{r: bufio.NewReader(r), sum: sha256.New()}
	if magic, err := in.read(len(backupMagic)); err != nil || string(magic) != backupMagic {
		return ErrBackup
	}
	for before := ""; ; {
		key, err := in.field(backupKeyMax)
		if err != nil {
			return err
		}
		if len(key) == 0 {
			break
		}
		value, err := in.field(backupValueMax)
		if err != nil {
			return err
		}
		if k := string(key); k <= before || !strings.HasPrefix(k, prefix) {
			return fmt.Errorf("%w: key %.100q", ErrBackup, k)
		}
		before = string(key)
		if err := fn(before, value); err != nil {
			return err
		}
	}
	want := in.sum.Sum(nil)
	if got, err := in.read(len(want)); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("%w: its sum does not fit", ErrBackup)
	}
	return nil
}

// summed reads and sums up what it has read.
type summed struct {
	r   *bufio.Reader
	sum hash.Hash
}

func (s *summed) read(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.r, b); err != nil {
		return nil, fmt.Errorf("%w: it ends early", ErrBackup)
	}
	s.sum.Write(b)
	return b, nil
}

func (s *summed) field(sizeMax int) ([]byte, error) {
	size, err := s.read(4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size)
	if uint64(n) > uint64(sizeMax) {
		return nil, fmt.Errorf("%w: a field of %d bytes", ErrBackup, n)
	}
	return s.read(int(n))
}
