package rotunda_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// This file is ARCHITECTURE.md's rules, checked: see the section "Rules" there.

// homes says which packages may import a foreign library. A library that is not listed may be imported by nobody: add it
// here and to ARCHITECTURE.md's table, with the reason. Tests may import their package's libraries and testOnly.
var homes = map[string][]string{
	"github.com/coreos/go-oidc/v3":        {"control/oidc"},
	"github.com/danielgtaylor/huma/v2":    {"control/api"},
	"github.com/go-fonts/dejavu":          {"node/card"},
	"github.com/goccy/go-yaml":            {"node/config"},
	"github.com/golang-jwt/jwt/v5":        {"control/token"},
	"github.com/hashicorp/memberlist":     {"cascade/gossip"},
	"github.com/hashicorp/serf":           {"cascade/gossip"},
	"github.com/lmittmann/tint":           {"cmd/rotunda"},
	"github.com/pion/":                    {"node/rtc", "node/bench"},
	"github.com/pion/dtls/v3":             {"node/egress"},
	"github.com/pion/logging":             {"node/egress"},
	"github.com/pion/sdp/v3":              {"node/egress"},
	"github.com/prometheus/client_golang": {"metrics"},
	"github.com/quic-go/quic-go":          {"cascade/link"},
	"github.com/spf13/":                   {"cmd/rotunda"},
	"github.com/thesyncim/gopus":          {"node/opus"},
	"go.etcd.io/":                         {"control/etcdlog"},
	"go.uber.org/zap":                     {"control/etcdlog"},
	"golang.org/x/crypto/acme":            {"node/acme"},
	"golang.org/x/image":                  {"control/people", "node/card"},
	"golang.org/x/oauth2":                 {"control/oidc"},
	"golang.org/x/sync/errgroup":          {"*"},
	"golang.org/x/sys/unix":               {"node/egress"},
	"golang.org/x/text/unicode/norm":      {"control/room"},
	"golang.org/x/time/rate":              {"*"},
	"google.golang.org/grpc":              {"control/etcdlog"},
}

// testOnly may be imported by any test and by nothing else. The simulated network is quic-go's own.
var testOnly = []string{
	"github.com/anishathalye/porcupine", "github.com/google/go-cmp", "go.uber.org/goleak", "pgregory.net/rapid",
	"github.com/pion/srtp/v3", "github.com/quic-go/quic-go/testutils/simnet",
}

// pure packages have no clock, no randomness, no goroutine, no channel and no input or output.
var pure = []string{
	"", "cascade/ask", "cascade/flood", "cascade/wire", "cascade/plan", "cascade/relay", "control/room", "control/token", "node/duty", "node/edge",
	"node/egress/rtp", "node/egress/srtp", "node/egress/stun",
	"node/ingest", "node/jitter", "node/mix", "node/opus/packet", "node/console", "node/pcm", "node/presence", "node/trace", "node/vigil", "sim", "sim/chart",
}

// impure names what a pure package may not import or call.
var impureImports = []string{"crypto/rand", "log", "log/slog", "math/rand", "math/rand/v2", "net", "net/http", "os", "sync", "sync/atomic", "testing"}
var impureCalls = map[string][]string{"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}}

const (
	fileLinesMax     = 500
	functionLinesMax = 70
)

var vagueNames = []string{"util", "utils", "common", "types", "helpers", "helper", "manager", "pkg", "interfaces", "misc", "base"}

type source struct {
	dir, name string // dir relative to the module root, "" for the root itself
	test      bool
	file      *ast.File
	lines     int
	imports   map[string]string // local name → path
}

func load(t *testing.T) (files []source, fset *token.FileSet) {
	t.Helper()
	fset = token.NewFileSet()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); n != "." && (strings.HasPrefix(n, ".") || n == "node_modules" || n == "testdata" || n == "tools" || n == "dist" || n == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := path.Dir(filepath.ToSlash(p))
		if dir == "." {
			dir = ""
		}
		s := source{dir: dir, name: p, test: strings.HasSuffix(p, "_test.go"), file: f, lines: fset.File(f.Pos()).LineCount(), imports: map[string]string{}}
		for _, im := range f.Imports {
			ip, _ := strconv.Unquote(im.Path.Value)
			name := path.Base(ip)
			if len(name) > 1 && name[0] == 'v' && name[1] >= '0' && name[1] <= '9' { // a major version: the element before it
				name = path.Base(path.Dir(ip))
			}
			if im.Name != nil {
				name = im.Name.Name
			}
			s.imports[strings.TrimSuffix(strings.TrimPrefix(name, "go-"), "-go")] = ip
		}
		files = append(files, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, fset
}

func foreign(ip string) bool { return strings.Contains(strings.Split(ip, "/")[0], ".") }

func hasPrefix(ip, prefix string) bool {
	return ip == prefix || strings.HasPrefix(ip, strings.TrimSuffix(prefix, "/")+"/")
}

func TestForeignLibrariesStayHome(t *testing.T) {
	files, _ := load(t)
	for _, f := range files {
		for _, ip := range f.imports {
			if !foreign(ip) || f.test && slices.ContainsFunc(testOnly, func(p string) bool { return hasPrefix(ip, p) }) {
				continue
			}
			ok := false
			for lib, home := range homes {
				if hasPrefix(ip, lib) && (slices.Contains(home, f.dir) || slices.Contains(home, "*")) {
					ok = true
				}
			}
			if !ok {
				t.Errorf("%s imports %s, which does not live in %q", f.name, ip, f.dir)
			}
		}
	}
}

// A home package's exported names must not force its callers to import the library too.
func TestForeignTypesStayOutOfSignatures(t *testing.T) {
	files, fset := load(t)
	for _, f := range files {
		if f.test || f.dir == "cmd/rotunda" {
			continue
		}
		report := func(where string, n ast.Node) {
			ast.Inspect(n, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BlockStmt: // a function's body is its own business
					return false
				case *ast.Field:
					if len(n.Names) > 0 && !slices.ContainsFunc(n.Names, func(id *ast.Ident) bool { return id.IsExported() }) && !strings.HasPrefix(where, "func ") {
						return false
					}
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok {
						if ip := f.imports[x.Name]; foreign(ip) && !strings.HasPrefix(ip, "golang.org/x/") {
							t.Errorf("%s: %s shows %s.%s of %s", fset.Position(n.Pos()), where, x.Name, n.Sel.Name, ip)
						}
					}
				}
				return true
			})
		}
		for _, d := range f.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && exportedReceiver(d) {
					report("func "+d.Name.Name, d.Type)
				}
			case *ast.GenDecl:
				for _, sp := range d.Specs {
					if ts, ok := sp.(*ast.TypeSpec); ok && ts.Name.IsExported() {
						report("type "+ts.Name.Name, ts.Type)
					}
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

func TestWhoMayImportWhom(t *testing.T) {
	files, _ := load(t)
	for _, f := range files {
		for _, ip := range f.imports {
			dep, ours := strings.CutPrefix(ip, "rotunda/")
			if !ours {
				continue
			}
			if hasPrefix(f.dir, "cascade") && hasPrefix(dep, "control") || hasPrefix(f.dir, "control") && hasPrefix(dep, "cascade") {
				t.Errorf("%s imports %s: cascade and control do not know each other", f.name, ip)
			}
			if dep == "node" && !hasPrefix(f.dir, "cmd") && !(f.test && f.dir == "node") {
				t.Errorf("%s imports %s: nothing imports node but cmd", f.name, ip)
			}
			if hasPrefix(dep, "cmd") {
				t.Errorf("%s imports a command", f.name)
			}
			if hasPrefix(f.dir, "sim") {
				if !slices.Contains(pure, dep) {
					t.Errorf("%s imports %s: a simulated world is made of what is pure", f.name, ip)
				}
			} else if !hasPrefix(f.dir, "node") && !hasPrefix(f.dir, "cmd") && hasPrefix(dep, "node") {
				t.Errorf("%s imports %s: node stands above it", f.name, ip)
			}
			if hasPrefix(dep, "sim") && !hasPrefix(f.dir, "sim") && !hasPrefix(f.dir, "cmd") {
				t.Errorf("%s imports %s: a node is no simulation", f.name, ip)
			}
		}
	}
}

func TestPurePackagesArePure(t *testing.T) {
	files, fset := load(t)
	for _, f := range files {
		if f.test || !slices.Contains(pure, f.dir) {
			continue
		}
		for _, ip := range f.imports {
			if slices.Contains(impureImports, ip) {
				t.Errorf("%s imports %s", f.name, ip)
			}
		}
		ast.Inspect(f.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a goroutine", fset.Position(n.Pos()))
			case *ast.ChanType:
				t.Errorf("%s: a channel", fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && slices.Contains(impureCalls[f.imports[x.Name]], n.Sel.Name) {
					t.Errorf("%s: %s.%s", fset.Position(n.Pos()), x.Name, n.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestRoomsAreSmallAndNamed(t *testing.T) {
	files, fset := load(t)
	comments := map[string]int{}
	for _, f := range files {
		if f.lines > fileLinesMax {
			t.Errorf("%s has %d lines, more than %d", f.name, f.lines, fileLinesMax)
		}
		if slices.Contains(vagueNames, f.file.Name.Name) {
			t.Errorf("%s: %q says nothing about what is inside", f.name, f.file.Name.Name)
		}
		if f.test {
			continue
		}
		comments[f.dir] += 0
		if f.file.Doc != nil {
			comments[f.dir]++
		}
		for _, d := range f.file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; n > functionLinesMax {
					t.Errorf("%s: %s has %d lines, more than %d", fset.Position(fn.Pos()), fn.Name.Name, n, functionLinesMax)
				}
			}
		}
	}
	for dir, n := range comments {
		if n != 1 {
			t.Errorf("package %q has %d package comments, want one", dir, n)
		}
	}
}
