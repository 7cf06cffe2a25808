package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/room"
	"rotunda/control/token"
	"rotunda/node/identity"
)

// beRotunda makes the test binary the command itself: `up` starts its own executable again for each node.
const beRotunda = "BE_ROTUNDA"

func TestMain(m *testing.M) {
	if os.Getenv(beRotunda) == "1" {
		main()
		return
	}
	os.Setenv(beRotunda, "1") // for the processes that tests start
	os.Exit(m.Run())
}

// call runs the command in this process and returns what it wrote.
func call(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = run(t.Context(), args, strings.NewReader(""), &out, &err)
	return status, out.String(), err.String()
}

func TestExitStatus(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		args   string
		status int
		says   string
	}{
		{"version", exitDone, ""},
		{"help", exitDone, ""},
		{"certs", exitDone, ""},
		{"lissten", exitUsage, `unknown command "lissten"`},
		{"certs made", exitUsage, ""},
		{"listen", exitUsage, "want `rotunda listen ROOM_URL [--out heard.opus] [flags]`, got 0 arguments"},
		{"listen http://127.0.0.1:1", exitUsage, "which room?"},
		{"listen k3v9", exitUsage, "is not a room's link"},
		{"listen http://127.0.0.1:1/x/k3v9", exitUsage, "is not a room's link"},
		{"listen http://127.0.0.1:1/r/k3v9 --duration -1s", exitUsage, "is negative"},
		{"listen http://127.0.0.1:1/r/k3v9 --token x", exitUsage, "is not a token"},
		{"listen http://127.0.0.1:1/r/k3v9", exitFailed, "connection refused"},
		{"speak http://127.0.0.1:1/r/k3v9", exitUsage, "at least one of the flags in the group [file tone]"},
		{"speak http://127.0.0.1:1/r/k3v9 --tone 440 --file x", exitUsage, "none of the others can be"},
		{"speak http://127.0.0.1:1/r/k3v9 --tone 440 --regions eu-west", exitUsage, "is for a new room"},
		{"speak http://127.0.0.1:1/r/k3v9 --tone 4", exitUsage, "want 20 to 20000 Hz"},
		{"speak http://127.0.0.1:1/r/k3v9 --file " + dir + "/none.wav", exitFailed, "no such file"},
		{"up --regions Nowhere!", exitUsage, "--regions"},
		{"up --wan --regions us-east,mars", exitUsage, `no distances of "mars"`},
		{"up --http nowhere", exitUsage, "is not an address"},
		{"up extra", exitUsage, "unknown command"},
		{"node --config " + dir + "/none.yaml", exitUsage, "none.yaml"},
		{"node --nonsense", exitUsage, "unknown flag: --nonsense"},
		{"token", exitUsage, `required flag(s) "sub"`},
		{"certs node a --dir " + dir, exitUsage, `required flag(s) "region"`},
		{"certs node A --region r --dir " + dir, exitUsage, "malformed identifier"},
		{"certs node a --region r --dir " + dir, exitFailed, "rotunda certs init"},
		{"keygen dough", exitUsage, `invalid argument "dough"`},
		{"members --admin 127.0.0.1:1", exitFailed, "--admin says where"},
		{"drain", exitUsage, "which node?"},
		{"drain a --self", exitUsage, "which node?"},
		{"drain --self --admin 127.0.0.1:1", exitFailed, "--admin says where"},
		{"health --admin 127.0.0.1:1", exitFailed, "--admin says where"},
		{"top --every 1ms", exitUsage, "is less than"},
		{"top --once --admin 127.0.0.1:1", exitFailed, "--admin says where"},
		{"trace", exitUsage, "`rotunda rooms` lists them"},
		{"trace http://127.0.0.1:1/", exitUsage, "is no link of a room"},
		{"trace n/a", exitUsage, "malformed identifier"},
		{"trace k3v9 --admin 127.0.0.1:1", exitFailed, "--admin says where"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			status, stdout, stderr := call(t, strings.Fields(tc.args)...)
			if status != tc.status || !strings.Contains(stderr, tc.says) {
				t.Errorf("status %d, want %d; stderr %q, want %q in it", status, tc.status, stderr, tc.says)
			}
			if status != exitDone && stdout != "" {
				t.Errorf("a refusal on stdout: %q", stdout)
			}
		})
	}
}

// Every verb says what it is for, and verbs with arguments show an example.
func TestHelp(t *testing.T) {
	for _, verb := range newRoot(newTerminal(nil, nil, nil)).Commands() {
		if verb.Short == "" || verb.GroupID == "" {
			t.Errorf("%s: no short text or no group", verb.Name())
		}
		if !strings.Contains(verb.Long, "  rotunda "+verb.Name()) {
			t.Errorf("%s: no example in its help", verb.Name())
		}
	}
}

// What certs and keygen make is what node asks for.
func TestFromCertsToNode(t *testing.T) {
	dir := t.TempDir()
	for _, args := range []string{
		"certs init --dir D --name example", "certs node fra-1 --region eu-central --host 127.0.0.1 --dir D", "keygen --dir D", "keygen gossip --dir D",
	} {
		status, stdout, stderr := call(t, strings.Fields(strings.ReplaceAll(args, "D", dir))...)
		if status != exitDone || !strings.HasPrefix(stdout, dir) || len(strings.Fields(stdout)) != 2 {
			t.Fatalf("%s: status %d, %q, %q, want a file and a fingerprint", args, status, stdout, stderr)
		}
	}
	const yaml = `id: fra-1
region: eu-central
host: 127.0.0.1
gossip: {key_file: gossip.key, label: example}
tls: {ca: ca.crt, cert: fra-1.crt, key: fra-1.key}
tokens: {verify: [token.pub]}
`
	file := filepath.Join(dir, "node.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(yaml)
	if status, stdout, stderr := call(t, "node", "--config", file, "--check"); status != exitDone || stdout != "good: node fra-1 in eu-central, page at http://127.0.0.1:8080\n" {
		t.Errorf("--check: status %d, %q, %q", status, stdout, stderr)
	}
	if status, stdout, _ := call(t, "node", "--config", file, "--check", "--http-listen", ":8000"); status != exitDone || !strings.Contains(stdout, ":8000") {
		t.Errorf("a flag over the file: status %d, %q", status, stdout)
	}
	write(strings.NewReplacer("id: fra-1", "id: fra-2", "[token.pub]", "[token.key]").Replace(yaml) + "dta: here\n")
	status, _, stderr := call(t, "node", "--config", file, "--check")
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if status != exitUsage || len(lines) != 3 {
		t.Fatalf("--check of a bad file: status %d, %q", status, stderr)
	}
	for i, want := range []string{
		file + `:5:25: tls.cert: is the certificate of node "fra-1" in region "eu-central"`,
		file + `:6:19: tokens.verify[0]: ` + dir + `/token.key: PEM block "PRIVATE KEY", want "PUBLIC KEY"`,
		file + `:7:1: dta: unknown key (did you mean "data"?)`,
	} {
		if lines[i] != want {
			t.Errorf("line %d: %s\nwant    %s", i+1, lines[i], want)
		}
	}
}

// A token that the command signs is one that nodes accept, and says what was asked for.
func TestToken(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "token.key")
	kid, err := identity.CreateSigningKey(key, filepath.Join(dir, "token.pub"))
	if err != nil {
		t.Fatal(err)
	}
	_, public, err := identity.LoadVerifyKey(filepath.Join(dir, "token.pub"))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := token.NewKeyring(map[string]ed25519.PublicKey{kid: public})
	if err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := call(t, "token", "--sub", "ada", "--name", "Ada L.", "--room", "k3v9", "--role", "speaker", "--ttl", "10m", "--key", key)
	if status != exitDone {
		t.Fatal(stderr)
	}
	now := time.Now()
	claims, err := ring.Check(now, strings.TrimSpace(stdout))
	if err != nil {
		t.Fatal(err)
	}
	if claims.User != "ada" || claims.Name != "Ada L." || claims.Room != "k3v9" || claims.Role != rotunda.Speaker || claims.ID == "" {
		t.Errorf("claims %+v", claims)
	}
	if left := claims.Expires.Sub(now); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("good for %v, want 10 minutes", left)
	}
	_, stdout2, _ := call(t, "token", "--sub", "ada", "--create-rooms", "--key", key)
	if c, err := ring.Check(now, strings.TrimSpace(stdout2)); err != nil || !c.Create || c.Operator || claims.Create {
		t.Errorf("with --create-rooms: %+v, %v; without: %+v", c, err, claims)
	}
	own, err := readClaims(strings.TrimSpace(stdout))
	if err != nil || own.User != "ada" || own.Room != "k3v9" || own.Role != rotunda.Speaker {
		t.Errorf("readClaims = %+v, %v", own, err)
	}
	for _, bad := range [][]string{
		{"--sub", "a b"}, {"--sub", "ada", "--role", "king"}, {"--sub", "ada", "--ttl", "0s"}, {"--sub", "ada", "--ttl", "1000h"}, {"--sub", "ada", "--room", "/"},
		{"--sub", "ada", "--create-rooms", "--room", "k3v9"},
	} {
		if status, stdout, _ := call(t, append([]string{"token", "--key", key}, bad...)...); status != exitUsage || stdout != "" {
			t.Errorf("%v: status %d, %q, want %d and nothing", bad, status, stdout, exitUsage)
		}
	}
}

func TestRoomURL(t *testing.T) {
	for link, want := range map[string]string{
		"http://127.0.0.1:8080":                      "http://127.0.0.1:8080 ",
		"http://127.0.0.1:8080/":                     "http://127.0.0.1:8080 ",
		"https://node.example.org/r/k3v9":            "https://node.example.org k3v9",
		"https://node.example.org/r/k3v9/?x=1#y":     "https://node.example.org k3v9",
		"http://[::1]:8080/v1/rooms/k3v9":            "http://[::1]:8080 k3v9",
		"ftp://node.example.org/r/k3v9":              "",
		"127.0.0.1:8080/r/k3v9":                      "",
		"http://node.example.org/r/k3v9/participant": "",
		"http://node.example.org/rooms/k3v9":         "",
		"http://node.example.org/r/%00":              "",
		"":                                           "",
	} {
		base, id, err := parseRoomURL(link)
		if got := base + " " + string(id); (err != nil) != (want == "") || err == nil && got != want {
			t.Errorf("parseRoomURL(%q) = %q, %v, want %q", link, got, err, want)
		}
	}
}

func TestTablesCannotMoveTheCursor(t *testing.T) {
	var out bytes.Buffer
	if err := newTerminal(nil, &out, nil).printTable([][]string{{"A", "B"}, {"evil\x1b[2J\r\u202e", "x"}}); err != nil {
		t.Fatal(err)
	}
	if want := "A           B\nevil\ufffd[2J\ufffd\ufffd  x\n"; out.String() != want {
		t.Errorf("table %q, want %q", out.String(), want)
	}
}

func TestMeterLine(t *testing.T) {
	e := newEar()
	e.tally = *play(append(steady(0, 0, 0, 10), steady(11, 11, 220, 89)...))
	e.level = 23
	e.sources = rotunda.SourcesOf(7, 9)
	var v struct {
		Participants map[string]any `json:"participants"`
	}
	v.Participants = map[string]any{"a": map[string]any{"name": "Ada\x1b", "ssrc": 7}, "b": map[string]any{"ssrc": 9}}
	if got, want := meterLine(e, view(t, v)), "█████████████·······  -23 dB  lost 1.0 %  late 0  Ada\ufffd, b"; got != want {
		t.Errorf("meterLine = %q, want %q", got, want)
	}
}

// view makes a room of the JSON of what.
func view(t *testing.T, what any) (v room.View) {
	t.Helper()
	data, err := json.Marshal(what)
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}
