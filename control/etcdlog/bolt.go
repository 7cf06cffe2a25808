package etcdlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// boltFile reads a bbolt file, the form in which etcd keeps its store, without trusting a byte of it: the library itself maps
// the file into memory and follows what it finds there, which on a damaged file ends the process.
//
// A file is pages of one size; two meta pages come first, of which the one with the higher transaction counts. All numbers are
// little-endian, as on every machine that etcd supports well.
//
//	page:   8 bytes id, 2 flags (1 branch, 2 leaf, 4 meta), 2 number of elements, 4 further pages that belong to it
//	meta:   4 magic, 4 version, 4 page size, 4 –, 16 root bucket, 8 –, 8 number of pages, 8 transaction, 8 FNV-1a of these
//	branch: elements of 4 position of the key, counted from the element, 4 its size, 8 child's id
//	leaf:   elements of 4 flags (1 bucket), 4 position of the key, 4 its size, 4 the value's size; the value follows the key
//	bucket: the value of a leaf element: 8 id of its root page, 8 –; id 0: a page follows
type boltFile struct {
	file     io.ReaderAt
	pageSize int64
	pages    uint64 // number of them
	root     uint64
	budget   uint64 // pages that may still be read: a tree has each once
}

const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	boltHeader     = 16
	boltMeta       = 64
	boltElement    = 16
	boltBranch     = 1
	boltLeaf       = 2
	boltDepthMax   = 64
	boltPageMax    = 64 << 10
	boltContentMax = 64 << 20 // bytes of one page with those that belong to it
)

var errBolt = errors.New("the store's file is damaged")

// newBolt finds the newest sound meta page of a file of that size.
func newBolt(file io.ReaderAt, size int64) (*boltFile, error) {
	var best *boltFile
	var newest uint64
	var second int64 = 4 << 10 // where the second one is when the first is damaged: one page on
	for i := range int64(2) {
		b := make([]byte, boltHeader+boltMeta)
		if _, err := file.ReadAt(b, i*second); err != nil {
			continue
		}
		m := b[boltHeader:]
		sum := fnv.New64a()
		sum.Write(m[:boltMeta-8])
		le := binary.LittleEndian
		pageSize := int64(le.Uint32(m[8:]))
		if le.Uint32(m) != boltMagic || le.Uint32(m[4:]) != boltVersion || le.Uint64(m[56:]) != sum.Sum64() || pageSize < boltHeader+boltMeta || pageSize > boltPageMax {
			continue
		}
		second = pageSize
		if tx := le.Uint64(m[48:]); best == nil || tx > newest {
			pages := le.Uint64(m[40:])
			best, newest = &boltFile{file: file, pageSize: pageSize, pages: pages, root: le.Uint64(m[16:]), budget: pages}, tx
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w: no meta page is sound", errBolt)
	}
	if best.pages > uint64(size/best.pageSize) {
		return nil, fmt.Errorf("%w: it is cut off", errBolt)
	}
	return best, nil
}

// page reads a page with those that belong to it.
func (f *boltFile) page(id uint64) (b []byte, flags uint16, elements int, err error) {
	damaged := func(what string) ([]byte, uint16, int, error) {
		return nil, 0, 0, fmt.Errorf("%w: page %d %s", errBolt, id, what)
	}
	if id < 2 || id >= f.pages {
		return damaged("does not exist")
	}
	head := make([]byte, boltHeader)
	if _, err := f.file.ReadAt(head, int64(id)*f.pageSize); err != nil {
		return damaged(err.Error())
	}
	more := uint64(binary.LittleEndian.Uint32(head[12:]))
	if binary.LittleEndian.Uint64(head) != id || more >= f.pages-id || (more+1)*uint64(f.pageSize) > boltContentMax {
		return damaged("is not the page that it says")
	}
	if more+1 > f.budget {
		return damaged("is reached twice")
	}
	f.budget -= more + 1
	b = make([]byte, int64(more+1)*f.pageSize)
	if _, err := f.file.ReadAt(b, int64(id)*f.pageSize); err != nil {
		return damaged(err.Error())
	}
	return b, binary.LittleEndian.Uint16(head[8:]), int(binary.LittleEndian.Uint16(head[10:])), nil
}

// bucket calls fn with the keys and values of a bucket of the file, ascending. The slices are valid during the call.
func (f *boltFile) bucket(name string, fn func(key, value []byte) error) error {
	var root []byte
	err := f.walk(f.root, 0, func(flags uint32, key, value []byte) error {
		if string(key) == name && flags&1 != 0 {
			root = bytes.Clone(value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(root) < boltElement {
		return fmt.Errorf("%w: there is no bucket %q", errBolt, name)
	}
	var before []byte
	each := func(_ uint32, key, value []byte) error {
		if before != nil && bytes.Compare(before, key) >= 0 {
			return fmt.Errorf("%w: keys are out of order", errBolt)
		}
		before = append(before[:0], key...)
		return fn(key, value)
	}
	if id := binary.LittleEndian.Uint64(root); id != 0 {
		return f.walk(id, 0, each)
	}
	inline := root[boltElement:]
	if len(inline) < boltHeader {
		return fmt.Errorf("%w: bucket %q is cut off", errBolt, name)
	}
	return leaf(inline, int(binary.LittleEndian.Uint16(inline[10:])), each)
}

// walk goes through the tree below a page.
func (f *boltFile) walk(id uint64, depth int, fn func(flags uint32, key, value []byte) error) error {
	b, flags, elements, err := f.page(id)
	if err != nil {
		return err
	}
	switch {
	case depth > boltDepthMax:
		return fmt.Errorf("%w: page %d is too deep", errBolt, id)
	case flags == boltLeaf:
		return leaf(b, elements, fn)
	case flags != boltBranch || boltHeader+elements*boltElement > len(b):
		return fmt.Errorf("%w: page %d has the flags %x", errBolt, id, flags)
	}
	for i := range elements {
		child := binary.LittleEndian.Uint64(b[boltHeader+i*boltElement+8:])
		if err := f.walk(child, depth+1, fn); err != nil {
			return err
		}
	}
	return nil
}

// leaf goes through a leaf page.
func leaf(b []byte, elements int, fn func(flags uint32, key, value []byte) error) error {
	if boltHeader+elements*boltElement > len(b) {
		return fmt.Errorf("%w: a page of %d elements", errBolt, elements)
	}
	for i := range elements {
		e := b[boltHeader+i*boltElement:]
		le := binary.LittleEndian
		flags, at, key, value := le.Uint32(e), uint64(le.Uint32(e[4:])), uint64(le.Uint32(e[8:])), uint64(le.Uint32(e[12:]))
		if at+key+value > uint64(len(e)) {
			return fmt.Errorf("%w: an element reaches out of its page", errBolt)
		}
		if err := fn(flags, e[at:at+key], e[at+key:at+key+value]); err != nil {
			return err
		}
	}
	return nil
}
