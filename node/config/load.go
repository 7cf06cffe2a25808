package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// envPrefix starts the name of every environment variable of the configuration.
const envPrefix = "ROTUNDA_"

// fileSizeMax bounds a configuration file.
const fileSizeMax = 1 << 20

// Key is one setting, for help texts and flags.
type Key struct {
	Name string // in the file, dotted: "http.listen"
	Env  string // "ROTUNDA_HTTP_LISTEN"
	Flag string // "http-listen"
	Help string // one line

	Example string // a value as the file has it (YAML in one line)
	Reload  bool   // a new value is taken over while the node runs (SIGHUP)
}

// Keys lists every setting, in the order of the Config type.
func Keys() []Key {
	var c Config
	var keys []Key
	for _, f := range leaves(reflect.ValueOf(&c).Elem(), "") {
		flat := strings.ReplaceAll(f.key, ".", "_")
		keys = append(keys, Key{
			Name: f.key, Env: envPrefix + strings.ToUpper(flat), Flag: strings.ReplaceAll(flat, "_", "-"), Help: f.tag.Get("help"), Example: f.tag.Get("example"), Reload: f.tag.Get("reload") == "true",
		})
	}
	return keys
}

// field is one setting and where its value is kept.
type field struct {
	key   string
	tag   reflect.StructTag
	value reflect.Value
}

// leaves lists the settings below a struct, sections opened.
func leaves(v reflect.Value, prefix string) []field {
	var all []field
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := prefix + f.Tag.Get("yaml")
		if f.Type.Kind() == reflect.Struct {
			all = append(all, leaves(v.Field(i), key+".")...)
			continue
		}
		all = append(all, field{key, f.Tag, v.Field(i)})
	}
	return all
}

// place is where a value was given.
type place struct {
	source       string
	line, column int
}

// loader gathers one configuration and what is wrong with it.
type loader struct {
	cfg      Config
	fields   map[string]reflect.Value // leaf key → its place in cfg
	sections map[string]bool
	path     string
	lines    []string
	places   map[string]place // key → where its present value comes from
	problems Problems
}

// Load reads the configuration file at path (none if ""), then the variables of environ (as os.Environ gives them), then
// flags (by Key.Name), each overriding the ones before. It fills in the defaults and checks the result, the files that it
// names included, and then by the caller's checks, whose problems need no more than key and text. Of a key that has a
// problem already no further ones are reported. A non-nil error is of type Problems, and has them all.
func Load(path string, environ []string, flags map[string]string, checks ...func(Config) Problems) (Config, error) {
	l := &loader{path: path, fields: map[string]reflect.Value{}, sections: map[string]bool{}, places: map[string]place{}}
	for _, f := range leaves(reflect.ValueOf(&l.cfg).Elem(), "") {
		l.fields[f.key] = f.value
		if section, _, ok := strings.Cut(f.key, "."); ok {
			l.sections[section] = true
		}
	}
	if path != "" {
		l.readFile()
	}
	l.readEnvironment(environ)
	l.readFlags(flags)
	l.cfg.resolve(filepath.Dir(path))
	l.cfg = l.cfg.WithDefaults()
	spoken := map[string]bool{} // of these keys a problem is known already; one that follows from it would only confuse
	for _, p := range l.problems {
		spoken[p.Key] = true
	}
	checks = append([]func(Config) Problems{(Config).check, (Config).checkFiles}, checks...)
	for _, check := range checks {
		found := check(l.cfg)
		for _, p := range found {
			if !spoken[p.Key] {
				l.problems = append(l.problems, l.placed(p))
			}
		}
		for _, p := range found {
			spoken[p.Key] = true
		}
	}
	return l.cfg, l.problems.err()
}

func (l *loader) readFile() {
	info, err := os.Stat(l.path)
	if err == nil && info.Size() > fileSizeMax {
		err = fmt.Errorf("%s: %d bytes, more than %d", l.path, info.Size(), fileSizeMax)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(l.path)
	}
	if err != nil {
		l.problems = append(l.problems, Problem{Text: err.Error()})
		return
	}
	l.decode(data)
}

func (l *loader) readEnvironment(environ []string) {
	keys := Keys()
	for _, variable := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, envPrefix) || fromKubernetes(name) {
			continue
		}
		i := slices.IndexFunc(keys, func(k Key) bool { return k.Env == name })
		if i < 0 {
			var names []string
			for _, k := range keys {
				names = append(names, k.Env)
			}
			l.problems = append(l.problems, Problem{Source: name, Text: "unknown variable" + meant(nearest(name, names))})
			continue
		}
		l.setText(keys[i].Name, value, place{source: name})
	}
}

// fromKubernetes reports whether the variable is one that Kubernetes sets in every container beside a service whose name
// starts with "rotunda": …_SERVICE_HOST, …_SERVICE_PORT[_NAME], …_PORT, …_PORT_8080_TCP[_ADDR].
func fromKubernetes(name string) bool {
	return strings.Contains(name, "_SERVICE_HOST") || strings.Contains(name, "_SERVICE_PORT") ||
		strings.HasSuffix(name, "_PORT") || strings.Contains(name, "_PORT_")
}

func (l *loader) readFlags(flags map[string]string) {
	for _, k := range Keys() {
		if value, ok := flags[k.Name]; ok {
			l.setText(k.Name, value, place{source: "--" + k.Flag})
		}
	}
}

// placed adds to a problem where its key's value was given.
func (l *loader) placed(p Problem) Problem {
	at, ok := l.places[p.Key]
	if !ok { // of a list's or a map's entry, or a section: what encloses it
		if outer := strings.LastIndexAny(p.Key, ".["); outer > 0 {
			if at, ok = l.places[p.Key[:outer]]; !ok {
				at.source = ""
			}
		}
	}
	p.Source, p.Line, p.Column = at.source, at.line, at.column
	if !ok && l.path != "" {
		p.Source = l.path
	}
	if p.Line > 0 && !namesSecret(p.Key) {
		p.excerpt = l.lines[p.Line-1]
	}
	return p
}

// namesSecret reports whether people may paste a secret itself where the key wants the name of its file.
func namesSecret(key string) bool {
	switch key {
	case "http.key", "tls.key", "tls.region", "gossip.key_file", "tokens.signing_key", "oidc.client_secret_file", "turn.secret_file", "turn.password_file":
		return true
	}
	return false
}

func meant(word string) string {
	if word == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", word)
}

// resolve makes the names of files in c absolute or relative to the process, from relative to folder.
func (c *Config) resolve(folder string) {
	names := []*string{
		&c.Data, &c.HTTP.Cert, &c.HTTP.Key, &c.ACME.Roots, &c.Gossip.KeyFile, &c.TLS.CA, &c.TLS.Cert, &c.TLS.Key, &c.TLS.Region, &c.Tokens.SigningKey,
		&c.OIDC.ClientSecretFile, &c.TURN.SecretFile, &c.TURN.PasswordFile,
	}
	for i := range c.Tokens.Verify {
		names = append(names, &c.Tokens.Verify[i])
	}
	for _, name := range names {
		if *name != "" && !filepath.IsAbs(*name) && !inlineSecret(*name) {
			*name = filepath.Join(folder, *name)
		}
	}
}

// Restart lists the keys that differ between two configurations and that a running node does not take over.
func Restart(running, fresh Config) []string {
	was, is := leaves(reflect.ValueOf(&running).Elem(), ""), leaves(reflect.ValueOf(&fresh).Elem(), "")
	var keys []string
	for i, f := range was {
		// A page changes its certificate while it is open, and not between plain HTTP and TLS.
		door := strings.HasPrefix(f.key, "http.") && f.value.String() != is[i].value.String() && (f.value.IsZero() || is[i].value.IsZero())
		if (f.tag.Get("reload") != "true" || door) && !reflect.DeepEqual(f.value.Interface(), is[i].value.Interface()) {
			keys = append(keys, f.key)
		}
	}
	return keys
}
