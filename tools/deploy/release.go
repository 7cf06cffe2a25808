package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// build makes the binary as the Makefile and the container file do.
func (r release) build(platform, to string) error {
	to, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	system, arch, _ := strings.Cut(platform, "/")
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags",
		"-s -w -X main.linkedVersion="+r.version+" -X main.linkedRevision="+r.revision, "-o", to, "./cmd/rotunda")
	c.Dir, c.Env = r.root, append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
	if said, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, said)
	}
	return nil
}

// module is one that is in the binary or in its page.
type module struct {
	name, version, url string // url: as package-url has it
	folder             string
}

// pagePackages are those of npm whose code is in the page.
var pagePackages = []string{"preact", "uqr"}

// modules are all that the binary holds, as it says itself, and what its page was made of.
func (r release) modules(binary string) ([]module, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	c := exec.Command("go", "env", "GOMODCACHE")
	c.Dir = r.root
	cache, err := c.Output()
	if err != nil {
		return nil, err
	}
	list := []module{{"std", strings.TrimPrefix(info.GoVersion, "go"), "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"), goRoot()}}
	capital := regexp.MustCompile(`[A-Z]`)
	for _, d := range info.Deps {
		if d.Replace != nil {
			return nil, fmt.Errorf("%s is replaced: a release is of what is published", d.Path)
		}
		escaped := capital.ReplaceAllStringFunc(d.Path, func(s string) string { return "!" + strings.ToLower(s) })
		list = append(list, module{d.Path, d.Version, "pkg:golang/" + d.Path + "@" + d.Version,
			filepath.Join(strings.TrimSpace(string(cache)), filepath.FromSlash(escaped)+"@"+d.Version)})
	}
	for _, name := range pagePackages {
		folder := filepath.Join(r.root, "node/web/node_modules", name)
		b, err := os.ReadFile(filepath.Join(folder, "package.json"))
		if err != nil {
			return nil, err
		}
		var p struct{ Version string }
		if err := json.Unmarshal(b, &p); err != nil {
			return nil, err
		}
		list = append(list, module{name, p.Version, "pkg:npm/" + name + "@" + p.Version, folder})
	}
	return list, nil
}

func goRoot() string {
	b, _ := exec.Command("go", "env", "GOROOT").Output() // without it no licence is found, which is told
	return strings.TrimSpace(string(b))
}

// bill is what is in the binary, for those who look for what has holes (CycloneDX).
func (r release) bill(binary string) ([]byte, error) {
	modules, err := r.modules(binary)
	if err != nil {
		return nil, err
	}
	b := cdx.NewBOM()
	b.Metadata = &cdx.Metadata{
		Timestamp: r.at.Format("2006-01-02T15:04:05Z"),
		Component: &cdx.Component{BOMRef: "rotunda", Type: cdx.ComponentTypeApplication, Name: "rotunda", Version: r.version},
	}
	var components []cdx.Component
	var refs []string
	for _, m := range modules {
		components = append(components, cdx.Component{BOMRef: m.url, Type: cdx.ComponentTypeLibrary, Name: m.name, Version: m.version, PackageURL: m.url})
		refs = append(refs, m.url)
	}
	b.Components = &components
	b.Dependencies = &[]cdx.Dependency{{Ref: "rotunda", Dependencies: &refs}}
	var out bytes.Buffer
	err = cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(b)
	return out.Bytes(), err
}

// licences are the texts that have to travel with the binary; equal ones once.
func (r release) licences(binary string) ([]byte, error) {
	modules, err := r.modules(binary)
	if err != nil {
		return nil, err
	}
	var texts []string
	of := map[string][]string{}
	for _, m := range modules {
		files, err := filepath.Glob(filepath.Join(m.folder, "*"))
		if err != nil {
			return nil, err
		}
		found := false
		for _, f := range files {
			name := strings.ToUpper(filepath.Base(f))
			if !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") && !strings.HasPrefix(name, "NOTICE") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				continue // a folder
			}
			found = true
			text := strings.TrimSpace(string(b))
			if of[text] == nil {
				texts = append(texts, text)
			}
			of[text] = append(of[text], m.name+" "+m.version)
		}
		if !found {
			return nil, fmt.Errorf("%s %s has no licence in %s", m.name, m.version, m.folder)
		}
	}
	var out strings.Builder
	for _, text := range texts {
		fmt.Fprintf(&out, "%s\n%s\n\n%s\n\n\n", strings.Join(slices.Compact(of[text]), "\n"), strings.Repeat("-", 78), text)
	}
	return []byte(out.String()), nil
}

// archive is the binary with what one reads first and what runs it.
func (r release) archive(name, binary string) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	add := func(as string, data []byte, mode int64) error {
		err := w.WriteHeader(&tar.Header{Name: name + "/" + as, Mode: mode, Size: int64(len(data)), ModTime: r.at, Format: tar.FormatUSTAR})
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	licences, err := r.licences(binary)
	if err != nil {
		return nil, err
	}
	if err := errorsOf(add("rotunda", program, 0o755), add("LICENSES.txt", licences, 0o644)); err != nil {
		return nil, err
	}
	for _, from := range []string{"LICENSE", "NOTICE", "README.md", "CHANGELOG.md", "docs/reference/config.md", "docs/rotation.md", "deploy"} {
		err := filepath.WalkDir(filepath.Join(r.root, from), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if d.Type()&fs.ModeSymlink != 0 { // of the chart, to the rules and dashboards beside it
				to, err := os.Readlink(p)
				as, relErr := filepath.Rel(r.root, p)
				return errorsOf(err, relErr, w.WriteHeader(&tar.Header{
					Typeflag: tar.TypeSymlink, Name: name + "/" + filepath.ToSlash(as), Linkname: filepath.ToSlash(to), Mode: 0o777, ModTime: r.at, Format: tar.FormatUSTAR,
				}))
			}
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			as, err := filepath.Rel(r.root, p)
			mode := int64(0o644)
			if strings.HasSuffix(as, ".sh") {
				mode = 0o755
			}
			return errorsOf(err, add(filepath.ToSlash(as), b, mode))
		})
		if err != nil {
			return nil, err
		}
	}
	err = errorsOf(w.Close(), z.Close())
	return out.Bytes(), err
}

// errorsOf is the first error.
func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
