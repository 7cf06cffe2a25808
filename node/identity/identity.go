// Package identity makes and reads what a node proves itself with: the mesh's certificate authority, node certificates,
// the Ed25519 keys that sign tokens, and the gossip key.
//
// The invariants: no function overwrites a file (a key that is gone cannot be had back), private files are readable by
// their owner alone, and no error or printed text contains a secret; what may be shown of a key is its fingerprint.
// The functions keep no state and may be called concurrently.
package identity

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Modes of the files that this package writes.
const (
	privateMode fs.FileMode = 0o600
	publicMode  fs.FileMode = 0o644
)

// fileSizeMax bounds what is read from a certificate or key file: a generous chain of certificates.
const fileSizeMax = 1 << 20

// Fingerprint names a certificate, by the first 16 bytes of the SHA-256 of its DER form.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return "SHA256:" + hex.EncodeToString(sum[:16])
}

// file is something to be written.
type file struct {
	path string
	data []byte
	mode fs.FileMode
}

// create writes new files: all of them or, as far as the file system lets it, none. It refuses to overwrite: the error
// then wraps fs.ErrExist. Folders that lack are made, for the owner alone.
func create(files ...file) (err error) {
	for _, f := range files { // the common refusal, before anything is written
		if _, err := os.Lstat(f.path); err == nil {
			return fmt.Errorf("%s is there already and is not overwritten: %w", f.path, fs.ErrExist)
		}
	}
	var done []string
	defer func() {
		if err != nil {
			for _, path := range done {
				os.Remove(path)
			}
		}
	}()
	for _, f := range files {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return err
		}
		if err := createOne(f, &done); err != nil {
			return err
		}
	}
	return syncFolders(files)
}

func createOne(f file, done *[]string) error {
	w, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
	if err != nil {
		return err
	}
	*done = append(*done, f.path)
	_, err = w.Write(f.data)
	return errors.Join(err, w.Sync(), w.Close())
}

// syncFolders makes the new names last too: a file's own Sync does not promise its entry in the folder.
func syncFolders(files []file) error {
	seen := map[string]bool{}
	for _, f := range files {
		folder := filepath.Dir(f.path)
		if seen[folder] {
			continue
		}
		seen[folder] = true
		d, err := os.Open(folder)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// read returns a file's bytes, refusing one that is implausibly long.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > fileSizeMax {
		return nil, fmt.Errorf("%s: %d bytes are too many for a key or certificate file", path, info.Size())
	}
	return os.ReadFile(path)
}

// readPEM returns the bytes of the one block of that type in the file.
func readPEM(path, blockType string) ([]byte, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(data)
	switch {
	case block == nil:
		return nil, fmt.Errorf("%s: no PEM block", path)
	case block.Type != blockType:
		return nil, fmt.Errorf("%s: PEM block %q, want %q", path, block.Type, blockType)
	case strings.TrimSpace(string(rest)) != "":
		return nil, fmt.Errorf("%s: more than one PEM block", path)
	}
	return block.Bytes, nil
}

func privatePEM(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
