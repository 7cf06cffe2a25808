package etcdlog

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"rotunda/control/eventlog"
)

// VerifyDir verifies the data folder of a control node that does not run, and changes nothing in it: every chain in the
// store, as eventlog.VerifyAll does. What only the write-ahead log holds, a fraction of a second of appends where the node
// was killed, is not looked at; etcd itself checks that when it starts.
func VerifyDir(ctx context.Context, dir string, fn func(eventlog.Report) error) error {
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return fmt.Errorf("%s is in use: %w", dir, err)
	}
	defer unlock()
	file, err := os.Open(filepath.Join(dir, "etcd", "member", "snap", "db"))
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	f, err := readFolder(file, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return eventlog.VerifyAll(ctx, reader{f}, fn)
}

// folder is the newest value of every key of the log in an etcd's file, ascending.
type folder []row

// readFolder reads the file of etcd's store, whose bucket "key" maps a revision (8 bytes, '_', 8 bytes, and 't' where the key
// was deleted) to what was put.
func readFolder(file io.ReaderAt, size int64) (folder, error) {
	b, err := newBolt(file, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", eventlog.ErrBroken, err)
	}
	newest := map[string]row{}
	if err := b.bucket("key", func(revision, value []byte) error { return collect(newest, revision, value) }); err != nil {
		return nil, fmt.Errorf("%w: %w", eventlog.ErrBroken, err)
	}
	var f folder
	for _, r := range newest {
		if r.value != nil {
			f = append(f, r)
		}
	}
	slices.SortFunc(f, func(a, b row) int { return strings.Compare(a.key, b.key) })
	return f, nil
}

// collect takes one change of a key; revisions come in ascending order, so the last one counts. A value of nil is a key
// that was deleted.
func collect(newest map[string]row, revision, value []byte) error {
	if len(revision) != 17 && (len(revision) != 18 || revision[17] != 't') || revision[8] != '_' {
		return fmt.Errorf("%w: revision %x", errBolt, revision)
	}
	key, content, ok := keyValue(value)
	if !ok {
		return fmt.Errorf("%w: revision %x is not in etcd's format", errBolt, revision)
	}
	if !strings.HasPrefix(string(key), prefix) {
		return nil
	}
	r := row{key: string(key), changed: int64(binary.BigEndian.Uint64(revision))}
	if len(revision) == 17 {
		r.value = append([]byte{}, content...)
	}
	newest[r.key] = r
	return nil
}

// keyValue reads etcd's mvccpb.KeyValue, a protocol buffer: field 1 is the key, field 5 the value, the others are numbers.
func keyValue(b []byte) (key, value []byte, ok bool) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, nil, false
		}
		b = b[n:]
		number, n := binary.Uvarint(b) // of a number, or of the length of what follows
		if n <= 0 {
			return nil, nil, false
		}
		b = b[n:]
		switch tag & 7 {
		case 0:
			continue
		case 2:
		default:
			return nil, nil, false
		}
		if number > uint64(len(b)) {
			return nil, nil, false
		}
		switch tag >> 3 {
		case 1:
			key = b[:number]
		case 5:
			value = b[:number]
		}
		b = b[number:]
	}
	return key, value, key != nil
}

// look implements source.
func (f folder) look(_ context.Context, spans ...span) (rows [][]row, revision int64, err error) {
	at := func(key string) int { return sort.Search(len(f), func(i int) bool { return f[i].key >= key }) }
	rows = make([][]row, len(spans))
	for i, s := range spans {
		from, below := at(s.from), at(s.below)
		if s.below == "" {
			below = at(s.from + "\x00")
		}
		found := slices.Clone(f[from:max(from, below)])
		if s.last {
			slices.Reverse(found)
		}
		if s.below != "" {
			found = found[:min(len(found), s.limit)]
		}
		rows[i] = found
	}
	return rows, 0, nil
}
