package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rotunda"
)

const referenceFile = "../../docs/reference/config.md"

var update = flag.Bool("update", false, "write "+referenceFile)

// comments reads what config.go says about each setting and each section, by key; a section's key ends with a dot.
func comments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	structs, docs := map[string]*ast.StructType{}, map[string]string{}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			if ts, ok := spec.(*ast.TypeSpec); ok {
				if st, ok := ts.Type.(*ast.StructType); ok {
					structs[ts.Name.Name], docs[ts.Name.Name] = st, g.Doc.Text()
				}
			}
		}
	}
	all := map[string]string{}
	var walk func(name, prefix string)
	walk = func(name, prefix string) {
		for _, f := range structs[name].Fields.List {
			key := prefix + reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml")
			if kind, ok := f.Type.(*ast.Ident); ok && structs[kind.Name] != nil {
				all[key+"."] = strings.TrimPrefix(docs[kind.Name], kind.Name+" is ")
				walk(kind.Name, key+".")
				continue
			}
			text := strings.Join(strings.Fields(f.Doc.Text()), " ")
			_, text, found := strings.Cut(text, "("+key+") ")
			if !found {
				t.Errorf("the comment of %s does not begin with the field's name and (%s)", f.Names[0], key)
			}
			all[key] = text
		}
	}
	walk("Config", "")
	return all
}

// kind says what a setting takes, with its unit.
func kind(key string, v reflect.Value) string {
	switch v.Interface().(type) {
	case bool:
		return "true or false"
	case int:
		return "number"
	case Rate:
		return "rate and what may come at once, like 5/s burst 200"
	case []string:
		return "list of texts; in a variable or flag separated by commas"
	case []ControlNode:
		return "list of {id, peer, client}"
	case map[rotunda.Region]time.Duration:
		return "regions with durations (ms, s)"
	}
	switch {
	case strings.HasSuffix(key, ".listen") || strings.HasPrefix(key, "log.listen"):
		return "host:port or :port"
	case strings.HasSuffix(key, "advertise"):
		return "host:port"
	case key == "data":
		return "name of a folder"
	case fileKeys[key]:
		return "name of a file"
	}
	return "text"
}

var fileKeys = map[string]bool{
	"http.cert": true, "acme.roots": true, "http.key": true, "gossip.key_file": true, "tls.ca": true, "tls.cert": true, "tls.key": true, "tls.region": true,
	"tokens.signing_key": true, "oidc.client_secret_file": true, "turn.secret_file": true, "turn.password_file": true,
}

func reference(t *testing.T) string {
	said := comments(t)
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Made from node/config/config.go by ` + "`make reference`" + `. Change it there. -->

One YAML file (` + "`rotunda node --config FILE`" + `). Every key can also come from an environment variable or a flag; a flag goes before
the environment, that before the file, that before the default. Keys and secrets are named by file, never given as values; relative names
are taken from the folder of the configuration file. ` + "`rotunda node --config FILE --check`" + ` prints every mistake with its key and
line, and runs nothing.

SIGHUP reads file and certificates again. Keys marked *reload* take effect at once, for whoever comes next; nobody is dropped. A file with
mistakes changes nothing: they are logged, and the node goes on as before. Other keys that changed are named in the log and wait for the
next start.
`)
	var c Config
	section := ""
	for _, f := range leaves(reflect.ValueOf(&c).Elem(), "") {
		if name, _, nested := strings.Cut(f.key, "."); nested && name != section {
			section = name
			text := strings.Join(strings.Fields(said[name+"."]), " ")
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", name, strings.ToUpper(text[:1])+text[1:])
		} else if !nested && section != "the node" {
			section = "the node"
			if f.key == "id" {
				b.WriteString("\n## The node\n")
			} else { // what stands behind the sections
				b.WriteString("\n## Other keys\n")
			}
		}
		flat := strings.ReplaceAll(f.key, ".", "_")
		mark := ""
		if f.tag.Get("reload") != "" {
			mark = " (*reload*)"
		}
		fmt.Fprintf(&b, "\n### `%s`%s\n\n%s\n\n", f.key, mark, strings.ToUpper(said[f.key][:1])+said[f.key][1:])
		fmt.Fprintf(&b, "- takes: %s\n- example: `%s: %s`\n- variable `%s%s`, flag `--%s`\n", kind(f.key, f.value), f.key[strings.LastIndex(f.key, ".")+1:],
			f.tag.Get("example"), envPrefix, strings.ToUpper(flat), strings.ReplaceAll(flat, "_", "-"))
	}
	return b.String()
}

// docs/reference/config.md is what the Config type says today, and each key in it says its default or that it is needed.
func TestReference(t *testing.T) {
	want := reference(t)
	for key, text := range comments(t) {
		if !strings.HasSuffix(key, ".") && !strings.Contains(text, "Default") && !strings.Contains(text, "Needed") {
			t.Errorf("%s says neither a default nor that it is needed", key)
		}
	}
	if *update {
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(have)); d != "" {
		t.Errorf("%s is not what the code says (make reference writes it):\n%s", referenceFile, d)
	}
}

// The defaults that the comments name in quotes are those that WithDefaults fills in.
func TestReferenceDefaults(t *testing.T) {
	said := comments(t)
	c := Config{ID: "a", Host: "192.0.2.7", Log: Log{Control: []ControlNode{{ID: "a"}, {ID: "b"}, {ID: "c"}}}}.WithDefaults()
	checked := 0
	for _, f := range leaves(reflect.ValueOf(&c).Elem(), "") {
		_, named, ok := strings.Cut(said[f.key], `Default "`)
		end := `"`
		if strings.HasPrefix(f.key, "limits.") {
			_, named, ok = strings.Cut(said[f.key], "Default ")
			end = "."
		}
		if !ok {
			continue
		}
		checked++
		if named, _, _ = strings.Cut(named, end); named != fmt.Sprint(f.value) {
			t.Errorf("%s: the comment says %q, the default is %q", f.key, named, f.value)
		}
	}
	if checked < 21 {
		t.Errorf("only %d defaults were found in the comments", checked)
	}
}

// Every example can be given as it stands: in a file, and one by one beside a good configuration.
func TestReferenceExamples(t *testing.T) {
	excludes := map[string]bool{"log.endpoints": true, "log.join": true, "acme.hosts": true, "acme.email": true, "acme.roots": true,
		"turn.username": true, "turn.password_file": true} // of log.control, of a node that keeps a log for itself, of http.cert, and of turn.secret_file
	var all strings.Builder
	section := ""
	dir := filepath.Dir(folder(t, good))
	here := strings.NewReplacer("/etc/rotunda/backend.pub", "token.pub", "/etc/rotunda/fra-1.crt", "node.crt", "/etc/rotunda/fra-1.key", "node.key",
		"/etc/rotunda/fra-1.region", "node.key", "/etc/rotunda/web.crt", "node.crt", "/etc/rotunda/web.key", "node.key", "/etc/rotunda/oidc.secret", "node.key",
		"/etc/rotunda/turn.secret", "node.key",
		"/etc/rotunda/", "") // the files that folder has made
	var c Config
	for _, f := range leaves(reflect.ValueOf(&c).Elem(), "") {
		if excludes[f.key] {
			continue
		}
		example := f.tag.Get("example")
		if example == "" {
			t.Errorf("%s has no example", f.key)
		}
		example = here.Replace(example)
		name, key, nested := strings.Cut(f.key, ".")
		if !nested {
			fmt.Fprintf(&all, "%s: %s\n", name, example)
			continue
		}
		if name != section {
			section = name
			fmt.Fprintf(&all, "%s:\n", name)
		}
		fmt.Fprintf(&all, "  %s: %s\n", key, example)
	}
	path := filepath.Join(dir, "all.yaml")
	if err := os.WriteFile(path, []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, nil, nil); err != nil {
		t.Errorf("the examples together:\n%v\nin\n%s", err, all.String())
	}
	for _, alone := range []string{"log:\n  endpoints: ['etcd-1.example.org:2379']\n", "log:\n  join: true\n", "http: {url: 'https://fra-1.example.org'}\nacme: {hosts: [fra-1.example.org], email: ops@example.org, roots: ca.crt}\n",
		"turn: {urls: ['turns:turn.example.org:443?transport=tcp'], username: rotunda, password_file: node.key}\n"} {
		if _, err := Load(folder(t, good+alone), nil, nil); err != nil {
			t.Errorf("%s: %v", alone, err)
		}
	}
}

// What a reload cannot take over is named, and nothing else.
func TestRestart(t *testing.T) {
	running := Config{ID: "a", LogLevel: "info", HTTP: HTTP{Listen: ":1", Cert: "a.crt", Key: "a.key"}}
	fresh := running
	fresh.LogLevel, fresh.HTTP.Cert, fresh.HTTP.Key = "debug", "b.crt", "b.key"
	if keys := Restart(running, fresh); len(keys) > 0 {
		t.Errorf("%v wait for a restart", keys)
	}
	fresh.HTTP.Listen, fresh.Gossip.Seeds, fresh.HTTP.Cert, fresh.HTTP.Key = ":2", []string{"b:1"}, "", ""
	if d := cmp.Diff([]string{"http.listen", "http.cert", "http.key", "gossip.seeds"}, Restart(running, fresh)); d != "" {
		t.Error(d)
	}
}
