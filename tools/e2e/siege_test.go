package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"rotunda/node/bench"
)

const (
	siegeListeners = 20
	siegeFor       = 10 * time.Second
	// siegeMost is what the node may hold at the end of the attack, in bytes: what it held, and the half-open sessions of ten
	// seconds, after which each is given up, at half a megabyte.
	siegeMost = 600 << 20
)

// Strangers besiege the media port while people listen: checks with a wrong password, DTLS from addresses that have not been
// checked, handshakes that never end by the hundred a second, somebody's check replayed. Nobody misses a packet, no attacker
// gets more bytes than they have sent before they have proven who they are, and nothing of it stays.
func TestSiege(t *testing.T) {
	mesh := startMesh(t)
	ada := newCaller(t, mesh.urls[0], "Ada")
	room := ada.room("Under siege")
	link := mesh.urls[1] + "/r/" + room
	terminal(t, "speak", mesh.urls[0]+"/r/"+room, "--token", ada.Token, "--tone", "440", "--duration", "3m")
	until(t, "sound crosses", func() bool { return mesh.series(t, 0, "rotunda_speakers") == 1 })
	_, pid := mesh.row(t, 1)
	goroutines := mesh.series(t, 1, "go_goroutines")

	listen := terminal(t, "listen", link, "--json", "--duration", "25s")
	until(t, "the listener is there", func() bool { return mesh.series(t, 1, "rotunda_listeners") == 1 })
	r := mesh.besiege(t, link, bench.WrongPassword, bench.Unchecked, bench.HalfOpen)
	used, err := bench.UsageOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	if r.Silent != 0 {
		t.Errorf("%d listeners heard nothing any more", r.Silent)
	}
	if h := r.Hostile[bench.HalfOpen]; h.Sessions < 200 {
		t.Errorf("%d sessions were left half open, want hundreds", h.Sessions)
	}
	if used.Resident > siegeMost {
		t.Errorf("the node holds %d MiB", used.Resident>>20)
	}
	var h listened
	if err := json.Unmarshal([]byte(listen.wait(60*time.Second)), &h); err != nil {
		t.Fatal(err)
	}
	if h.Missing != 0 || h.Expected == 0 {
		t.Errorf("who listened to it all missed %d of %d packets", h.Missing, h.Expected)
	}
	until(t, "the node has let go of everything", func() bool { return mesh.series(t, 1, "go_goroutines") < goroutines+50 })

	r = mesh.besiege(t, link, bench.Replay)
	if r.Silent != 0 { // not even the one whose check it was
		t.Errorf("a replayed check took the audio of %d listeners", r.Silent)
	}
}

// besiege has people listen and attacks meanwhile; it fails when somebody lost a packet or an attacker was given more than
// they sent.
func (m *mesh) besiege(t *testing.T, link string, attacks ...bench.Attack) (r bench.Result) {
	t.Helper()
	args := []string{"bench", link, "--listeners", fmt.Sprint(siegeListeners), "--duration", siegeFor.String(), "--raw=false", "--json"}
	for _, a := range attacks {
		args = append(args, "--hostile", string(a))
	}
	if err := json.Unmarshal([]byte(terminal(t, args...).wait(90*time.Second)), &r); err != nil {
		t.Fatal(err)
	}
	if r.Lost != 0 {
		for i := range m.urls {
			t.Logf("since the beginning %s has left out:%s", m.ids[i], m.leftOut(t, i))
		}
	}
	if r.Listeners != siegeListeners || r.Gone != 0 || r.Lost != 0 || r.Packets == 0 {
		t.Errorf("%v: %d of %d listeners, %d of them gone, %d of %d packets lost", attacks, r.Listeners, siegeListeners, r.Gone, r.Lost, r.Packets)
	}
	for _, a := range attacks {
		h := r.Hostile[a]
		if h == nil || h.Sent == 0 {
			t.Fatalf("%s was not carried out: %+v", a, r.Hostile)
		}
		t.Logf("%s: %d datagrams and %d bytes, %d bytes back", a, h.Sent, h.SentBytes, h.ReceivedBytes)
		if a != bench.HalfOpen && h.ReceivedBytes > h.SentBytes { // who is half in has proven the address
			t.Errorf("%s: %d bytes for %d", a, h.ReceivedBytes, h.SentBytes)
		}
	}
	return r
}

// leftOut is what the i-th node has counted of packets, frames and datagrams that went no further.
func (m *mesh) leftOut(t *testing.T, i int) (said string) {
	t.Helper()
	admin, _ := m.row(t, i)
	a, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); strings.Contains(name, "_dropped_") && value != "0" {
			said += "\n\t" + name + " " + value
		}
	}
	return said
}
