package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// rotation is a mesh whose keys are replaced while it runs.
type rotation struct {
	*testing.T
	*mesh
}

// run is a command of the binary under test.
func (r rotation) run(args ...string) {
	r.Helper()
	if out, err := exec.Command(builtBinary(r.T), args...).CombinedOutput(); err != nil {
		r.Fatalf("rotunda %v: %v\n%s", args, err, out)
	}
}

func (r rotation) read(name string) []byte {
	r.Helper()
	b, err := os.ReadFile(filepath.Join(r.data, name))
	if err != nil {
		r.Fatal(err)
	}
	return b
}

func (r rotation) write(name string, b []byte) {
	r.Helper()
	if err := os.WriteFile(filepath.Join(r.data, name), b, 0o600); err != nil {
		r.Fatal(err)
	}
}

// set changes every node's configuration, has it read, and waits until each node says that it has been.
func (r rotation) set(step string, was, is string) {
	r.Helper()
	before := strings.Count(r.output.String(), `"configuration reloaded"`)
	for i, id := range r.ids {
		file := filepath.Join(id, "node.yaml")
		text := string(r.read(file))
		is := strings.ReplaceAll(is, "NODE", id)
		if was = strings.ReplaceAll(was, "NODE", id); was != "" && !strings.Contains(text, was) {
			r.Fatalf("%s: there is no %q in\n%s", step, was, text)
		}
		r.write(file, []byte(strings.Replace(text, was, is, 1)))
		was = strings.ReplaceAll(was, id, "NODE")
		_, pid := r.row(r.T, i)
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			r.Fatal(err)
		}
	}
	until(r.T, step+": all nodes have read their configuration", func() bool {
		return strings.Count(r.output.String(), `"configuration reloaded"`) == before+len(r.ids)
	})
	if strings.Contains(r.output.String(), "not reloaded") {
		r.Fatalf("%s:\n%s", step, r.output.tail(2000))
	}
	r.Log(step)
}

// guest is a new guest's token and the id of the key that signed it.
func (r rotation) guest(url string) (c *caller, kid string) {
	r.Helper()
	c = newCaller(r.T, url, "Guest")
	header, err := base64.RawURLEncoding.DecodeString(strings.Split(c.Token, ".")[0])
	if err != nil {
		r.Fatal(err)
	}
	var h struct{ Kid string }
	if err := json.Unmarshal(header, &h); err != nil || h.Kid == "" {
		r.Fatalf("%q: %v", header, err)
	}
	return c, h.Kid
}

// Everything that a mesh proves itself by is replaced while somebody hears a room on one node that is spoken on another: the gossip
// key, the key that signs tokens, the nodes' certificates and the authority. Nobody misses a packet or joins again, and what was
// replaced is good for nothing afterwards. It follows docs/rotation.md.
func TestKeysAreReplacedUnheard(t *testing.T) {
	r := rotation{t, startMeshOf(t, builtBinary(t), []string{"us-east", "eu-west"})}
	ada, oldKey := r.guest(r.urls[0])
	room := ada.room("Replaced unheard")
	listen := terminal(t, "listen", r.urls[1]+"/r/"+room, "--json", "--duration", "600s")
	until(t, "the listener is there", func() bool { return r.series(t, 1, "rotunda_listeners") == 1 })
	speak := terminal(t, "speak", r.urls[0]+"/r/"+room, "--token", ada.Token, "--tone", "440", "--duration", "600s")
	until(t, "the room is heard", func() bool { return r.series(t, 1, "rotunda_egress_packets_total") > 50 })

	old := bytes.TrimSpace(r.read("gossip.key"))
	r.run("keygen", "gossip", "--dir", filepath.Join(r.data, "next"))
	fresh := bytes.TrimSpace(r.read("next/gossip.key"))
	for _, step := range []struct {
		name string
		keys [][]byte
	}{{"gossip: the next key reads", [][]byte{old, fresh}}, {"gossip: it writes", [][]byte{fresh, old}}, {"gossip: the old one is gone", [][]byte{fresh}}} {
		r.write("gossip.key", append(bytes.Join(step.keys, []byte("\n")), '\n'))
		r.set(step.name, "", "")
	}

	r.run("keygen", "token", "--dir", filepath.Join(r.data, "next"))
	r.set("tokens: all nodes believe the next key", "signing_key: ../token.key", "signing_key: ../token.key\n  verify: [../token.pub, ../next/token.pub]")
	r.set("tokens: it signs", "signing_key: ../token.key", "signing_key: ../next/token.key")
	bo, newKey := r.guest(r.urls[1])
	if newKey == oldKey {
		t.Errorf("guests' tokens are still signed by key %s", oldKey)
	}
	ada.room("Made with the old token, until it has run out")
	r.set("tokens: the old key is gone", "verify: [../token.pub, ../next/token.pub]", "verify: [../next/token.pub]")
	ada.call("POST", "/v1/rooms", `{"title":"Made with a token of a key that is gone"}`, http.StatusUnauthorized, nil)
	bo.url = r.urls[0]

	r.run("certs", "init", "--dir", filepath.Join(r.data, "ca2"))
	r.write("both.crt", append(r.read("ca.crt"), r.read("ca2/ca.crt")...))
	r.set("certificates: both authorities are believed", "ca: ../ca.crt", "ca: ../both.crt")
	for i, id := range r.ids {
		r.run("certs", "node", id, "--region", regions[i], "--host", "127.0.0.1", "--host", "localhost", "--authority", filepath.Join(r.data, "ca2"),
			"--dir", filepath.Join(r.data, id, "next"))
	}
	r.set("certificates: the nodes have those of the new one", "cert: NODE.crt\n  key: NODE.key", "cert: next/NODE.crt\n  key: next/NODE.key")
	r.set("certificates: the old authority is gone", "ca: ../both.crt", "ca: ../ca2/ca.crt")

	for i := range r.ids { // each still has word of the other
		until(t, "both nodes are alive and have the newest news of each other", func() bool {
			return r.series(t, i, `rotunda_members{region="`+regions[1-i]+`",state="alive"}`) == 1
		})
	}
	id := bo.room("Made with the new keys")
	until(t, "a decision of one node is known on the other", func() bool {
		status, _ := newCaller(t, r.urls[1], "Cy").ask("GET", "/v1/rooms/"+id, "", "")
		return status == http.StatusOK
	})
	until(t, "it has been heard for ten seconds since", func() bool { return r.series(t, 1, "rotunda_egress_packets_total") > 600 })
	_ = speak.cmd.Process.Signal(syscall.SIGINT)
	_ = listen.cmd.Process.Signal(syscall.SIGINT)
	var h listened
	if err := json.Unmarshal([]byte(listen.wait(patience)), &h); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d packets, %d missing, longest gap %.0f ms", h.Expected, h.Missing, h.LongestGapMS)
	if h.Missing != 0 || h.Sessions != 1 || h.Expected < 500 {
		t.Errorf("the listener noticed: %+v", h)
	}
}

// The authority is replaced in a mesh of three nodes that keep the control log and one that does not, as docs/rotation.md says: all
// are drained and started again one after another, twice. While each is away somebody decides; whatever was acknowledged is known on all
// nodes at the end, and a listener is carried from node to node.
func TestTheLogsAuthorityIsReplaced(t *testing.T) {
	where := append(slices.Clone(regions), "sa-east")
	r := rotation{t, startMeshOf(t, builtBinary(t), where)}
	ada := newCaller(t, r.urls[3], "Ada")
	room := ada.room("Under another authority")
	speak := terminal(t, "speak", r.urls[3]+"/r/"+room, "--token", ada.Token, "--tone", "440", "--duration", "600s")
	listen := terminal(t, "listen", r.urls[0]+"/r/"+room, "--json", "--duration", "600s")
	until(t, "the room is heard", func() bool { return r.series(t, 0, "rotunda_egress_packets_total") > 50 })
	var kept []string
	known := func(i int) {
		t.Helper()
		c := newCaller(t, r.urls[i], "Cy")
		for _, id := range kept {
			until(t, fmt.Sprintf("%s has room %s", r.ids[i], id), func() bool { status, _ := c.ask("GET", "/v1/rooms/"+id, "", ""); return status == http.StatusOK })
		}
	}
	restarted := func(step string) {
		t.Helper()
		for i := range r.ids {
			next := (i + 1) % len(r.ids)
			r.drainFrom(t, i, next)
			ada.url = r.urls[next]
			kept = append(kept, ada.room(fmt.Sprintf("%s, while %s is away", step, r.ids[i])))
			r.restart(t, i)
			known(i)
		}
		t.Log(step)
	}
	// files has every node's file of that kind made of others, one behind the other: the control log goes on reading those that it began with.
	files := func(kind string, of ...string) {
		t.Helper()
		for _, id := range r.ids {
			var b []byte
			for _, folder := range of {
				b = append(b, r.read(filepath.Join(id, folder, id+kind))...)
			}
			r.write(filepath.Join(id, id+kind), b)
		}
	}

	was := r.read("ca.crt")
	r.run("certs", "init", "--dir", filepath.Join(r.data, "next"))
	for i, id := range r.ids {
		r.run("certs", "node", id, "--region", where[i], "--host", "127.0.0.1", "--host", "localhost", "--authority", filepath.Join(r.data, "next"),
			"--dir", filepath.Join(r.data, id, "next"))
		if err := os.Mkdir(filepath.Join(r.data, id, "was"), 0o700); err != nil {
			t.Fatal(err)
		}
		r.write(filepath.Join(id, "was", id+".region"), r.read(filepath.Join(id, id+".region")))
	}
	is := r.read("next/ca.crt")
	r.write("ca.crt", slices.Concat(was, is))
	files(".region", "was", "next")
	r.set("both authorities are believed", "", "")
	restarted("everybody began with both")
	files(".key", "next")
	files(".crt", "next")
	files(".region", "next", "was")
	r.set("the nodes have certificates of the new one", "", "")
	r.write("ca.crt", is)
	r.set("the old authority is gone", "", "")
	restarted("everybody began with the new one only")

	_ = listen.cmd.Process.Signal(syscall.SIGINT)
	_ = speak.cmd.Process.Signal(syscall.SIGINT)
	h := listen.heard(patience)
	t.Logf("%d packets, %d missing, longest gap %.0f ms, %d sessions", h.Expected, h.Missing, h.LongestGapMS, h.Sessions)
	// Home, speaker and listener are moved eight times in a row, sometimes by one and the same drain. What a drain by itself may cost,
	// nothing, is for the tests of drains; of all eight together one packet was seen to be missing in one run of two.
	if drains := 2 * len(r.ids); h.Sessions < 2 || h.Expected < 1000 || h.Missing > drains {
		t.Errorf("the listener was not carried from node to node: %+v\n%s", h, listen.stderr.tail(2000))
	}
	for i := range r.ids {
		known(i)
	}
}
