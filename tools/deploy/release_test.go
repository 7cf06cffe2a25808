package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The container file's build in a folder of its own and a release's in the tree make the same binary; two releases are the same files.
func TestReproducible(t *testing.T) {
	root, err := image()
	if err != nil {
		t.Fatal(err)
	}
	r := release{root: repository, version: "test", revision: "test", at: time.Unix(1_700_000_000, 0).UTC()}
	out := t.TempDir()
	here := "linux/" + runtime.GOARCH
	if err := r.write(filepath.Join(out, "a"), []string{here}); err != nil {
		t.Fatal(err)
	}
	name := "rotunda-test-linux-" + runtime.GOARCH
	first, err := os.ReadFile(filepath.Join(out, "a", name+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, first)
	image, err := os.ReadFile(filepath.Join(root, "usr/bin/rotunda"))
	if err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(image) != sha256.Sum256(files[name+"/rotunda"]) {
		t.Errorf("a build in another folder is another binary: %d and %d bytes", len(image), len(files[name+"/rotunda"]))
	}
	if err := r.write(filepath.Join(out, "b"), []string{here}); err != nil {
		t.Fatal(err)
	}
	var sums [2][]byte
	for i, of := range []string{"a", "b"} {
		if sums[i], err = os.ReadFile(filepath.Join(out, of, "SHA256SUMS")); err != nil || strings.Count(string(sums[i]), "\n") != 2 {
			t.Fatalf("%s, %v", sums[i], err)
		}
	}
	if !bytes.Equal(sums[0], sums[1]) {
		t.Errorf("two releases differ:\n%s\n%s", sums[0], sums[1])
	}
	licences := string(files[name+"/LICENSES.txt"])
	for _, must := range []string{"github.com/pion/dtls/v3 ", "Bitstream", "preact ", "std 1."} {
		if !strings.Contains(licences, must) {
			t.Errorf("LICENSES.txt has nothing of %q", must)
		}
	}
	for _, must := range []string{"LICENSE", "NOTICE", "deploy/compose/keys.sh", "deploy/helm/rotunda/Chart.yaml", "deploy/helm/rotunda/files/grafana", "deploy/helm/rotunda/files/rules.yml", "deploy/systemd/rotunda.service"} {
		if len(files[name+"/"+must]) == 0 {
			t.Errorf("%s is not in the archive", must)
		}
	}
	checkBill(t, filepath.Join(out, "a", name+".cdx.json"))
}

// checkBill looks whether the SBOM names what go.mod asks for, and what the page is made of.
func checkBill(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		BOMFormat  string `json:"bomFormat"`
		Components []struct{ Name, Version, Purl string }
	}
	if err := json.Unmarshal(b, &bill); err != nil || bill.BOMFormat != "CycloneDX" {
		t.Fatalf("%v, format %q", err, bill.BOMFormat)
	}
	have := map[string]bool{}
	for _, c := range bill.Components {
		have[c.Purl] = true
	}
	wanted, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(wanted)) {
		if f := strings.Fields(line); len(f) == 2 && strings.HasPrefix(f[0], "github.com/pion/") && have["pkg:golang/"+f[0]+"@"+f[1]] {
			found++
		}
	}
	if found < 8 || len(bill.Components) < 80 {
		t.Errorf("%d of pion's modules, %d in all", found, len(bill.Components))
	}
}

func unpack(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeSymlink {
			files[h.Name] = []byte(h.Linkname)
			continue
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
