package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rotunda"
)

// folder makes a folder with the files that a good configuration names, and the configuration as rotunda.yaml.
func folder(t *testing.T, yaml string) (path string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"ca.crt", "node.crt", "node.key", "gossip.key", "token.key", "token.pub"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(dir, "rotunda.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const good = `id: fra-1
region: eu-central
host: 192.0.2.7
gossip:
  key_file: gossip.key
  label: example
tls: {ca: ca.crt, cert: node.crt, key: node.key}
tokens:
  signing_key: token.key
`

func TestDefaults(t *testing.T) {
	path := folder(t, good)
	c, err := Load(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(filepath.Dir(path), name) }
	want := Config{
		ID: "fra-1", Region: "eu-central", Host: "192.0.2.7", Data: "/var/lib/rotunda",
		HTTP:    HTTP{Listen: ":8080", URL: "http://192.0.2.7:8080"},
		ACME:    ACME{Directory: "https://acme-v02.api.letsencrypt.org/directory"},
		Media:   Media{Listen: ":8081", Advertise: []string{"192.0.2.7"}},
		Cascade: Cascade{Listen: ":7443", Advertise: "192.0.2.7:7443", Hitless: "program"},
		Gossip:  Gossip{Listen: ":7946", Advertise: "192.0.2.7:7946", KeyFile: in("gossip.key"), Label: "example"},
		Admin:   Admin{Listen: "127.0.0.1:9090"},
		TLS:     TLS{CA: in("ca.crt"), Cert: in("node.crt"), Key: in("node.key")},
		Tokens:  Tokens{SigningKey: in("token.key"), CreateRooms: "everyone"},
		Limits: Limits{
			Listeners: 20000, Speakers: 4000, Players: 1000, Streams: 16384, AddressStreams: 256, Sessions: "500/s burst 5000", Reads: "200/s burst 1000",
			Commands: "100/s burst 500", UserCommands: "20/s burst 100", Guests: "5/s burst 200", Rooms: "1/s burst 50",
		},
		LogLevel: "info", LogFormat: "auto",
	}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("Load (-want +got):\n%s", d)
	}
}

func TestPrecedence(t *testing.T) {
	path := folder(t, good+"log_level: debug\nhttp:\n  listen: 127.0.0.1:1000\n")
	c, err := Load(path, []string{
		"HOME=/root", "ROTUNDA_LOG_LEVEL=warn", "ROTUNDA_HTTP_LISTEN=127.0.0.1:2000", "ROTUNDA_TOKENS_GUESTS=true",
		"ROTUNDA_GOSSIP_SEEDS=a:1, b:2", "ROTUNDA_WAN={us-east: 40ms}", "ROTUNDA_TOKENS_VERIFY=[token.pub]",
		"ROTUNDA_SERVICE_HOST=10.0.0.1", "ROTUNDA_PORT_8080_TCP=tcp://10.0.0.1:8080", "ROTUNDA_ADMIN_SERVICE_PORT=9090",
	}, map[string]string{"http.listen": "127.0.0.1:3000", "log.control": "[{id: a, client: 'h:2'}]"})
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []struct {
		what       string
		have, want any
	}{
		{"flag over environment", c.HTTP.Listen, "127.0.0.1:3000"},
		{"environment over file", c.LogLevel, "warn"},
		{"boolean", c.Tokens.Guests, true},
		{"comma list", c.Gossip.Seeds, []string{"a:1", "b:2"}},
		{"bracket list", c.Tokens.Verify, []string{filepath.Join(filepath.Dir(path), "token.pub")}},
		{"map", c.WAN, map[rotunda.Region]time.Duration{"us-east": 40 * time.Millisecond}},
		{"nodes", c.Log.Control, []ControlNode{{ID: "a", Client: "h:2"}}},
	} {
		if !reflect.DeepEqual(got.have, got.want) {
			t.Errorf("%s = %v, want %v", got.what, got.have, got.want)
		}
	}
}

// Ten mistakes are ten lines, each naming its key and its line.
func TestTenMistakes(t *testing.T) {
	path := folder(t, `id: Fra_1
region: eu-central
host: 192.0.2.7
htpp:
  listen: :80
media:
  listen: 0.0.0.0:844x
  advertise: [192.0.2.7, nowhere]
gossip:
  key_file: missing.key
  label: example
  lable: example
tls: {ca: ca.crt, cert: node.crt}
tokens:
  signing_key: token.key
  guests: maybe
wan:
  us-east: 40
  us-west: 1m
log_level: loud
`)
	_, err := Load(path, nil, nil)
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("Load = %v, want Problems", err)
	}
	want := []string{
		`:1:5: id: "Fra_1": 1 to 63 of a–z, 0–9 and '-'`,
		`:4:1: htpp: unknown key (did you mean "http"?)`,
		`:7:11: media.listen: port "844x" is not between 0 and 65535`,
		`:8:26: media.advertise[1]: "nowhere" is neither an IP address nor one with a port`,
		`:10:13: gossip.key_file: ` + filepath.Join(filepath.Dir(path), "missing.key") + `: no such file or directory`,
		`:12:3: gossip.lable: unknown key (did you mean "label"?)`,
		`:13:1: tls.key: needed: nodes talk to each other by mutual TLS only (make one with: rotunda certs)`,
		`:16:11: tokens.guests: "maybe", want true or false`,
		`:18:12: wan.us-east: "40" is not a duration such as 38ms or 1.5s`,
		`:19:12: wan.us-west: 1m0s is not between 0 and 2s`,
		`:20:12: log_level: "loud" is none of debug, info, warn, error`,
	}
	if d := cmp.Diff(want, strings.Split(strings.ReplaceAll(err.Error(), path, ""), "\n")); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
	explained := problems.Explain()
	for _, want := range []string{
		"     7 |   listen: 0.0.0.0:844x\n       |           ^\n",
		"     4 | htpp:\n       | ^\n",
	} {
		if !strings.Contains(explained, want) {
			t.Errorf("Explain lacks %q:\n%s", want, explained)
		}
	}
}

// A node does not start without what keeps strangers out.
func TestSecureDefaults(t *testing.T) {
	_, err := Load(folder(t, "id: a\nregion: r\nhost: 192.0.2.7\n"), nil, nil)
	for _, key := range []string{"gossip.key_file", "gossip.label", "tls.ca", "tls.cert", "tls.key", "tokens.verify"} {
		if err == nil || !strings.Contains(err.Error(), key+": needed") {
			t.Errorf("nothing about %s in: %v", key, err)
		}
	}
	_, err = Load(folder(t, strings.Replace(good, "signing_key: token.key", "verify: [token.pub]\n  guests: true", 1)), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "tokens.signing_key: needed, since tokens.guests is on") {
		t.Errorf("guests without a signing key: %v", err)
	}
}

// Sign-in needs three lines; the rest follows.
func TestSignInDefaults(t *testing.T) {
	path := folder(t, good+"oidc: {issuer: 'https://a.example', client_id: mesh, client_secret_file: oidc.secret}\n")
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "oidc.secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, nil, nil)
	if err != nil || c.OIDC.RedirectURL != c.HTTP.URL+"/v1/sign-in/callback" || len(c.OIDC.Scopes) != 1 || !filepath.IsAbs(c.OIDC.ClientSecretFile) {
		t.Errorf("%+v, %v", c.OIDC, err)
	}
}

// Whoever pastes a key instead of a file name is told, and the key is in no message.
func TestSecretsAreNeverShown(t *testing.T) {
	const gossip, pem = "3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8=", "MC4CAQAwBQYDK2VwBCIEIHsecretsecretsecretsecretsecretsecrets"
	path := folder(t, strings.NewReplacer("key_file: gossip.key", "key_file: "+gossip,
		"signing_key: token.key", "signing_key: |\n    -----BEGIN PRIVATE KEY-----\n    "+pem+"\n").Replace(good))
	_, err := Load(path, nil, nil)
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 2 {
		t.Fatalf("Load = %v, want two problems", err)
	}
	if out := problems.Explain(); strings.Contains(out, gossip[:12]) || strings.Contains(out, pem[:12]) || strings.Count(out, "never a key itself") != 2 {
		t.Errorf("Explain = %s", out)
	}
}

func TestSecretFilesMustBeSecret(t *testing.T) {
	path := folder(t, good)
	dir := filepath.Dir(path)
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: false, 0o644: true, 0o660: true, 0o666: true} {
		if err := os.Chmod(filepath.Join(dir, "node.key"), mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path, nil, nil)
		if got := err != nil && strings.Contains(err.Error(), "tls.key"); got != refused {
			t.Errorf("mode %04o: %v, want refused: %v", mode, err, refused)
		}
	}
}

func TestRefused(t *testing.T) {
	control := func(ids ...string) string {
		var b strings.Builder
		b.WriteString("log:\n  control:\n")
		for _, id := range ids {
			b.WriteString("  - {id: " + id + ", peer: 'h" + id + ":1', client: 'h" + id + ":2'}\n")
		}
		return b.String()
	}
	for name, tc := range map[string]struct{ yaml, want string }{
		"two control nodes":     {good + control("a", "b"), "log.control: 2 nodes: one, three, five or seven"},
		"control twice":         {good + control("a", "b", "a"), `log.control[2].id: "a" is in the list twice`},
		"control and endpoints": {good + control("a") + "  endpoints: [h:1]\n", "log.endpoints: excludes log.control"},
		"control key":           {good + "log:\n  control: [{id: a, clinet: 'h:1'}]\n", `log.control[0].clinet: unknown key (did you mean "client"?)`},
		"key given twice":       {good + "id: b\n", "id: given twice"},
		"section given twice":   {good + "tls: {}\n", "tls: given twice"},
		"two documents":         {good + "---\nid: b\n", "more than one document"},
		"not YAML":              {"id: [\n", "rotunda.yaml"},
		"a list":                {"- id\n", "want keys with values"},
		"a text":                {"hello\n", "want keys with values"},
		"list for a text":       {good + "data: [a]\n", "data: a list, want a single value"},
		"map for a list":        {good + "media: {advertise: {a: b}}\n", "media.advertise: keys with values, want a list"},
		"anchor":                {"id: &x a\nregion: *x\n", "an anchor or alias"},
		"one way and a half":    {good + "cascade: {hitless: sometimes}\n", "cascade.hitless: \"sometimes\""},
		"some may open rooms":   {good + "  create_rooms: some\n", "tokens.create_rooms: \"some\""},
		"no accounts":           {good + "  create_rooms: accounts\n", "tokens.create_rooms: accounts: needs oidc.issuer"},
		"half of https":         {good + "http: {cert: node.crt}\n", "http.cert and http.key go together"},
		"a relay, no secret":    {good + "turn: {urls: ['turn:t.example.org']}\n", "turn.secret_file: needed, or username and password_file"},
		"a secret, no relay":    {good + "turn: {secret_file: node.key}\n", "turn.urls: needed"},
		"half of a password":    {good + "turn: {urls: ['turn:t.example.org'], username: x}\n", "turn.username and turn.password_file go together"},
		"no relay's URL":        {good + "turn: {urls: ['stun:s.example.org', 'turn://t.example.org'], secret_file: node.key}\n", "turn.urls[1]: \"turn://t.example.org\" is not like"},
		"a proxy by name":       {good + "http: {trusted_proxies: [10.0.0.0/8, proxy.example.org]}\n", "http.trusted_proxies[1]: \"proxy.example.org\" is neither an address nor a network"},
		"everybody is a proxy":  {good + "http: {trusted_proxies: ['::/0']}\n", "http.trusted_proxies[0]: all the world is no proxy"},
		"URL with a path":       {good + "http: {url: 'https://x.org/rooms'}\n", "is not like https://node.example.org"},
		"one socket twice":      {good + "http: {listen: ':9000'}\nadmin: {listen: ':9000'}\n", `admin.listen: ":9000" is the address of http.listen as well`},
		"no way to be reached":  {strings.Replace(good, "host: 192.0.2.7\n", "", 1), "cascade.advertise: needed, or host"},
		"sign-in, no client":    {good + "oidc: {issuer: 'https://accounts.example'}\n", "oidc.client_id: needed"},
		"sign-in, no key":       {strings.Replace(good, "signing_key: token.key", "verify: [token.pub]", 1) + "oidc: {issuer: 'https://a.example', client_id: x}\n", "tokens.signing_key: needed, since oidc.issuer is set"},
		"client without issuer": {good + "oidc: {client_id: x}\n", "oidc.client_id: does nothing without oidc.issuer"},
		"issuer is no URL":      {good + "oidc: {issuer: accounts.example, client_id: x}\n", "oidc.issuer: \"accounts.example\" is not like"},
		"no client secret":      {good + "oidc: {issuer: 'https://a.example', client_id: x, client_secret_file: none}\n", "oidc.client_secret_file: "},
		"a folder for a key":    {strings.Replace(good, "cert: node.crt", "cert: .", 1), "is a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Load(folder(t, tc.yaml), nil, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Load = %v, want %q", err, tc.want)
			}
		})
	}
	for name, tc := range map[string]struct{ env, key, want string }{
		"unknown variable":  {"ROTUNDA_HTTP_LISTN=:1", "", `ROTUNDA_HTTP_LISTN: unknown variable (did you mean "ROTUNDA_HTTP_LISTEN"?)`},
		"bad variable":      {"ROTUNDA_TOKENS_GUESTS=yes", "", `ROTUNDA_TOKENS_GUESTS: tokens.guests: "yes", want true or false`},
		"bad map":           {"ROTUNDA_WAN={a: b}", "", `ROTUNDA_WAN: wan.a: "b" is not a duration`},
		"bad value in flag": {"X=1", "nowhere", `--http-listen: http.listen: "nowhere" is not host:port or :port`},
	} {
		t.Run(name, func(t *testing.T) {
			flags := map[string]string{}
			if tc.key != "" {
				flags["http.listen"] = tc.key
			}
			if _, err := Load(folder(t, good), []string{tc.env}, flags); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Load = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "none.yaml: no such file") {
		t.Errorf("Load = %v", err)
	}
}

// What YAML writes, Load reads back.
func TestYAMLRoundTrip(t *testing.T) {
	path := folder(t, good+`media: {listen: "127.0.0.1:8081", advertise: ["127.0.0.1", "[::1]:9"]}
log:
  control: [{id: fra-1, peer: "a:1", client: "a:2"}, {id: b, peer: "b:1", client: "b:2"}, {id: c, peer: "c:1", client: "c:2"}]
wan: {us-east: 41.5ms, ap-south: 1s}
log_format: json
`)
	want, err := Load(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := want.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path, nil, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-written +read):\n%s", d)
	}
}

// The struct is the manual: every setting has a help text, its own names, and its key in its field's comment's section.
func TestKeys(t *testing.T) {
	source, err := os.ReadFile("config.go")
	if err != nil {
		t.Fatal(err)
	}
	var flags []string
	for _, k := range Keys() {
		if k.Help == "" {
			t.Errorf("%s has no help text", k.Name)
		}
		if !strings.Contains(string(source), k.Name+")") && !strings.Contains(string(source), "// "+k.Name) && !strings.Contains(string(source), k.Name+",") {
			t.Errorf("no comment says %s", k.Name)
		}
		if slices.Contains(flags, k.Flag) {
			t.Errorf("two settings have the flag %s", k.Flag)
		}
		flags = append(flags, k.Flag)
	}
}

// Whatever a file holds, Load says what is wrong and does not fall over; problems name lines that exist.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("log:\n  control: [{id: a, peer: 'b'}]\nwan: {a: 1s}\n"))
	f.Add([]byte("a: &a [*a]\n<<: *a\n"))
	f.Add([]byte("id: !!binary x\n? complex\n: key\n"))
	f.Add([]byte("\xef\xbb\xbfid: |\n  x\n\ttls: >-\n"))
	path := filepath.Join(f.TempDir(), "fuzz.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path, nil, nil)
		var problems Problems
		if !errors.As(err, &problems) { // the files of a good configuration are not there
			t.Fatalf("Load = %v", err)
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		for _, p := range problems {
			if p.Line > lines || p.Text == "" {
				t.Errorf("problem %+v in %d lines", p, lines)
			}
		}
		_ = problems.Explain()
	})
}

// Limits are read as people write them, and what is none is told with its line.
func TestLimits(t *testing.T) {
	c, err := Load(folder(t, good+"limits: {listeners: 7, guests: 0.5/s burst 3}\n"), []string{"ROTUNDA_LIMITS_ROOMS=2/s burst 4"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	each, many, err := c.Limits.Guests.Values()
	if c.Limits.Listeners != 7 || each != .5 || many != 3 || err != nil || c.Limits.Rooms != "2/s burst 4" || c.Limits.Speakers != 4000 {
		t.Errorf("%+v", c.Limits)
	}
	_, err = Load(folder(t, good+"limits:\n  listeners: many\n  speakers: 0x\n  players: -1\n  streams: 2000000\n  guests: 5\n  rooms: 0/s burst 1\n"+
		"  reads: 1/s burst 1.5\n  commands: NaN/s burst 5\n  sessions: 1/s burst 9999999\n"), nil, nil)
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 9 {
		t.Fatalf("%v", err)
	}
	for i, p := range problems {
		if p.Line < 10 || !strings.HasPrefix(p.Key, "limits.") {
			t.Errorf("problem %d: %+v", i, p)
		}
	}
}

// Names that no authority certifies, and names that are not the page's, are found before one is asked.
func TestACME(t *testing.T) {
	for text, want := range map[string]string{
		"acme: {email: a@example.org}":                                                                      "acme.hosts: needed",
		"acme: {hosts: [192.0.2.7]}":                                                                        "acme.hosts[0]: 192.0.2.7 is an address",
		"http: {url: 'https://a.example.org'}\nacme: {hosts: [b.example.org]}":                              "acme.hosts: a.example.org, where browsers go",
		"http: {url: 'https://a.example.org'}\nacme: {hosts: [a.example.org, '*.c.org']}":                   "acme.hosts[1]: \"*.c.org\" is not a name",
		"http: {url: 'https://a.example.org', cert: ca.crt, key: node.key}\nacme: {hosts: [a.example.org]}": "not both",
	} {
		if _, err := Load(folder(t, good+text+"\n"), nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	c, err := Load(folder(t, strings.Replace(good, "192.0.2.7", "a.example.org", 1)+"acme: {hosts: [a.example.org]}\n"), nil, nil)
	if err != nil || c.HTTP.URL != "https://a.example.org:8080" {
		t.Errorf("page at %s, %v", c.HTTP.URL, err)
	}
}

func TestTrustedProxies(t *testing.T) {
	c, err := Load(folder(t, good+"http: {trusted_proxies: [10.1.2.3/8, 192.0.2.9, '2001:db8::1', '::ffff:192.0.2.8']}\n"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(c.HTTP.Proxies()), "[10.0.0.0/8 192.0.2.9/32 2001:db8::1/128 192.0.2.8/32]"; got != want {
		t.Errorf("proxies %s, want %s", got, want)
	}
}
