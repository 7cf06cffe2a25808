// Command deploy makes a release: `make release`, which is `cd tools/deploy && go run . -version V -revision R`. Into dist/ come, for each
// platform, an archive of the binary with its licences, and a list of what is in it (SBOM, CycloneDX), and the hashes of them all.
//
// Its tests are those of deploy/: the container file, the compose file and the Helm chart, by the libraries of the tools that read them, and by
// running the binary on what they hand it. It is a module of its own: these libraries need hundreds of others, and the versions that they choose
// must not become those of the end-to-end tests.
//
// The invariant: the same tree, the same version and the same Go make the same bytes, wherever and whenever.
package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var platforms = []string{"linux/amd64", "linux/arm64"}

func main() {
	r := release{root: filepath.Join("..", ".."), version: "unknown", revision: "unknown"}
	var at int64
	flag.StringVar(&r.version, "version", r.version, "what the binary says of itself")
	flag.StringVar(&r.revision, "revision", r.revision, "its commit")
	flag.Int64Var(&at, "time", 0, "of the files in the archives, in seconds since 1970: the commit's")
	out := flag.String("out", filepath.Join("..", "..", "dist"), "folder to write to")
	flag.Parse()
	r.at = time.Unix(at, 0).UTC()
	if err := r.write(*out, platforms); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release is one version of the tree at root.
type release struct {
	root              string
	version, revision string
	at                time.Time
}

// write makes what is published, in folder out, which it empties first.
func (r release) write(out string, platforms []string) error {
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var sums strings.Builder
	keep := func(name string, data []byte) error {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), name)
		return os.WriteFile(filepath.Join(out, name), data, 0o644)
	}
	for _, platform := range platforms {
		name := "rotunda-" + r.version + "-" + strings.ReplaceAll(platform, "/", "-")
		binary := filepath.Join(out, "rotunda")
		if err := r.build(platform, binary); err != nil {
			return err
		}
		bill, err := r.bill(binary)
		if err != nil {
			return err
		}
		archive, err := r.archive(name, binary)
		if err != nil {
			return err
		}
		for _, f := range []struct {
			name string
			data []byte
		}{{name + ".tar.gz", archive}, {name + ".cdx.json", bill}} {
			if err := keep(f.name, f.data); err != nil {
				return err
			}
		}
		if err := os.Remove(binary); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}
