package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/token"
	"rotunda/node/identity"
)

// Whatever comes in, the answer is a clear problem or silence, and those who listen hear on.
func TestBadInput(t *testing.T) {
	mesh := startMesh(t)
	ada := newCaller(t, mesh.urls[0], "Ada")
	room := ada.room("Under fire")
	listen := terminal(t, "listen", mesh.urls[2]+"/r/"+room, "--json", "--duration", "20s")
	until(t, "the listener is there", func() bool { return mesh.series(t, 2, "rotunda_listeners") == 1 })
	speak := terminal(t, "speak", mesh.urls[0]+"/r/"+room, "--token", ada.Token, "--tone", "440", "--duration", "15s")
	until(t, "sound crosses", func() bool { return mesh.series(t, 0, `rotunda_cascade_frames_total{direction="out"}`) > 50 })

	t.Run("http", func(t *testing.T) { badRequests(t, mesh, ada, room) })
	t.Run("udp", func(t *testing.T) { noise(t, mesh) })

	speak.wait(60 * time.Second)
	var h listened
	if err := json.Unmarshal([]byte(listen.wait(60*time.Second)), &h); err != nil {
		t.Fatal(err)
	}
	if h.Missing != 0 || h.Expected < 500 {
		t.Errorf("meanwhile %d of %d packets went missing", h.Missing, h.Expected)
	}
	for i, url := range mesh.urls {
		if !answers(t.Context(), url+"/v1/ping") {
			t.Errorf("node %d does not serve any more", i)
		}
	}
}

// badRequests are refused with a problem (RFC 9457) of the right status.
func badRequests(t *testing.T, mesh *mesh, ada *caller, room string) {
	as := func(token string) *caller { return &caller{t: t, url: mesh.urls[1], Token: token} }
	stranger, err := strangersToken()
	if err != nil {
		t.Fatal(err)
	}
	offer := "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
	other := ada.room("Another room")
	bob := newCaller(t, mesh.urls[1], "Bob")
	for _, c := range []struct {
		what         string
		who          *caller
		method, path string
		kind, body   string
		want         int
	}{
		{"an offer that is no SDP", bob, "POST", "/v1/rooms/" + room + "/whep", "application/sdp", "no sdp at all", 422},
		{"an offer without media", bob, "POST", "/v1/rooms/" + room + "/whep", "application/sdp", offer, 422},
		{"an offer of 40 kB", bob, "POST", "/v1/rooms/" + room + "/whep", "application/sdp", offer + strings.Repeat("a=x\r\n", 8000), 413},
		{"an offer as JSON", bob, "POST", "/v1/rooms/" + room + "/whep", "application/json", "{}", 415},
		{"a listener's microphone", bob, "POST", "/v1/rooms/" + room + "/whip", "application/sdp", offer, 403},
		{"JSON over the limit", bob, "POST", "/v1/rooms", "application/json", `{"title":"` + strings.Repeat("x", 70_000) + `"}`, 413},
		{"broken JSON", bob, "POST", "/v1/rooms", "application/json", `{"title":`, 400},
		{"an unknown field", bob, "POST", "/v1/rooms", "application/json", `{"title":"x","admin":true}`, 422},
		{"no title", bob, "POST", "/v1/rooms", "application/json", `{"title":""}`, 422},
		{"an unknown room", bob, "GET", "/v1/rooms/zzzzzzzzzzzz", "", "", 404},
		{"listening to an unknown room", bob, "POST", "/v1/rooms/zzzzzzzzzzzz/whep", "application/sdp", offer, 404},
		{"no token", as(""), "POST", "/v1/rooms", "application/json", `{"title":"x"}`, 401},
		{"garbage for a token", as("garbage"), "POST", "/v1/rooms", "application/json", `{"title":"x"}`, 401},
		{"a forged token", as(stranger), "POST", "/v1/rooms", "application/json", `{"title":"x"}`, 401},
		{"an expired token", as(mesh.mint(t, token.Claims{User: "eve", Name: "Eve", Expires: time.Now().Add(-time.Hour)})), "POST", "/v1/rooms", "application/json", `{"title":"x"}`, 401},
		{"a token for another room", as(mesh.mint(t, token.Claims{User: "eve", Name: "Eve", Room: rotunda.RoomID(other), Role: rotunda.Speaker, Expires: time.Now().Add(time.Hour)})),
			"POST", "/v1/rooms/" + room + "/whip", "application/sdp", offer, 403},
		{"a listener's token at the microphone", as(mesh.mint(t, token.Claims{User: rotunda.UserID(ada.User), Name: "Ada", Room: rotunda.RoomID(room), Role: rotunda.Listener, Expires: time.Now().Add(time.Hour)})),
			"POST", "/v1/rooms/" + room + "/whip", "application/sdp", offer, 403},
		{"somebody else's session", bob, "DELETE", "/v1/rooms/" + room + "/whep/00000000000000000000000000000000", "", "", 404},
		{"approving without being host", bob, "POST", "/v1/rooms/" + room + "/requests/" + ada.User + "/approve", "", "", 403},
	} {
		c.who.t = t
		status, body := c.who.ask(c.method, c.path, c.kind, c.body)
		var problem struct {
			Type   string `json:"type"`
			Title  string `json:"title"`
			Status int    `json:"status"`
		}
		if err := json.Unmarshal(body, &problem); err != nil {
			t.Errorf("%s: %d with a body that is no problem: %.200s", c.what, status, body)
			continue
		}
		if status != c.want || problem.Status != c.want || !strings.HasPrefix(problem.Type, "urn:rotunda:problem:") || problem.Title == "" {
			t.Errorf("%s: %d %.300s, want a problem with %d", c.what, status, body, c.want)
		}
	}
}

// strangersToken returns a token signed well, with a key that nobody trusts.
func strangersToken() (string, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	s, err := token.NewSigner("stranger", key)
	if err != nil {
		return "", err
	}
	now := time.Now()
	return s.Mint(token.Claims{User: "eve", Name: "Eve", Issued: now, Expires: now.Add(time.Hour), ID: "1"})
}

// mint makes a token with the mesh's own key.
func (m *mesh) mint(t *testing.T, c token.Claims) string {
	t.Helper()
	var keyFile string
	err := filepath.WalkDir(m.data, func(p string, _ os.DirEntry, err error) error {
		if err == nil && filepath.Base(p) == "token.key" {
			keyFile = p
		}
		return err
	})
	if err != nil || keyFile == "" {
		t.Fatalf("no token.key below %s: %v", m.data, err)
	}
	kid, key, err := identity.LoadSigningKey(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	s, err := token.NewSigner(kid, key)
	if err != nil {
		t.Fatal(err)
	}
	c.Issued, c.ID = c.Expires.Add(-2*time.Hour), "test"
	raw, err := s.Mint(c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// noise sends rubbish to every UDP port of every node; nothing comes back, or not more than went in.
func noise(t *testing.T, mesh *mesh) {
	var ports []int
	for i := range mesh.urls {
		_, pid := mesh.row(t, i)
		ports = append(ports, udpPorts(t, pid)...)
	}
	if len(ports) < 3*len(mesh.urls) {
		t.Fatalf("%d UDP ports, want media, links and gossip of every node", len(ports))
	}
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := 0
	junk := make([]byte, 1200)
	for i := range 500 {
		if _, err := rand.Read(junk); err != nil {
			t.Fatal(err)
		}
		junk[0] = []byte{0, 1, 20, 22, 63, 64, 128, 144, 192, 255}[i%10] // STUN, DTLS, QUIC, RTP and nothing at all
		for _, port := range ports {
			n, err := c.WriteToUDP(junk[:1+i*2], &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
			if err != nil {
				t.Fatal(err)
			}
			sent += n
		}
	}
	back := 0
	buf := make([]byte, 2048)
	for {
		if err := c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil {
			break
		}
		back += n
	}
	t.Logf("%d bytes of rubbish to %d ports, %d bytes back", sent, len(ports), back)
	if back > sent {
		t.Errorf("more came back than went in")
	}
	counted := 0.0
	for i := range mesh.urls {
		for _, reason := range []string{"malformed", "forged", "wrong_label", "oversized"} {
			counted += mesh.series(t, i, fmt.Sprintf("rotunda_gossip_dropped_total{reason=%q}", reason))
		}
	}
	if counted == 0 {
		t.Error("rubbish on the gossip ports is not counted")
	}
}

// udpPorts lists the UDP ports that a process listens on (proc(5)).
func udpPorts(t *testing.T, pid int) []int {
	t.Helper()
	own := map[string]bool{}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Fatalf("no descriptors of process %d: %v", pid, err)
	}
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err == nil && strings.HasPrefix(link, "socket:[") {
			own[strings.Trim(link, "socket:[]")] = true
		}
	}
	var ports []int
	for _, table := range []string{"udp", "udp6"} {
		b, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) < 10 || !own[f[9]] {
				continue
			}
			_, hex, _ := strings.Cut(f[1], ":")
			if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
				ports = append(ports, int(port))
			}
		}
	}
	return ports
}
