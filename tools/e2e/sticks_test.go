package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/opus"
	"rotunda/node/pcm"
	"rotunda/node/rtc"
)

// at is the same person at another node.
func (c *caller) at(url string) *caller {
	other := *c
	other.url = url
	return &other
}

// speak opens c's microphone and holds a tone into it, until stopped or cut off. Unlike `rotunda speak` it never unmutes.
func (c *caller) speak(room string) (*rtc.Publisher, func()) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	pub, err := rtc.DialPublisher(ctx, rtc.ClientConfig{URL: c.url + "/v1/rooms/" + room + "/whip", Token: c.Token})
	if err != nil {
		c.t.Fatalf("%s speaks: %v", c.User, err)
	}
	enc, err := opus.NewEncoder(opus.EncoderConfig{})
	if err != nil {
		c.t.Fatal(err)
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tone := pcm.Tone{Hertz: 440, Amplitude: 0.3}
		samples, packet := make([]float32, rotunda.FrameTicks), make([]byte, rotunda.PayloadMax)
		tick := time.NewTicker(rotunda.FrameDuration)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			tone.Fill(samples)
			n, err := enc.Encode(samples, packet)
			if err != nil || pub.Write(packet[:n], rotunda.FrameDuration, pcm.Level(samples), true) != nil {
				return
			}
		}
	}()
	stop := sync.OnceFunc(func() {
		close(quit)
		<-done
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = pub.Close(ctx) // the node may be gone
	})
	c.t.Cleanup(stop)
	return pub, stop
}

// listen opens a listening session.
func (c *caller) listen(room string) (*rtc.Player, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	player, err := rtc.DialPlayer(ctx, rtc.ClientConfig{URL: c.url + "/v1/rooms/" + room + "/whep", Token: c.Token}, func(rtc.Received) {})
	if err == nil {
		c.t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_ = player.Close(ctx)
		})
	}
	return player, err
}

// tries lists every way in that somebody may try, and the statuses of a refusal. Without its log a node may have to say "not now"
// to what would change the room; media and the event feed it refuses by what it knows.
func tries(room string, cutOff bool) []struct {
	what, method, path, contentType, body string
	want                                  []int
} {
	forbidden, notNow := []int{http.StatusForbidden}, []int{http.StatusForbidden}
	if cutOff {
		notNow = append(notNow, http.StatusServiceUnavailable, http.StatusGatewayTimeout)
	}
	r := "/v1/rooms/" + room
	return []struct {
		what, method, path, contentType, body string
		want                                  []int
	}{
		{"speak", "POST", r + "/whip", "application/sdp", "v=0", forbidden},
		{"listen", "POST", r + "/whep", "application/sdp", "v=0", forbidden},
		{"follow the room", "GET", r + "/events", "", "", forbidden},
		{"react", "POST", r + "/reactions", "application/json", `{"emoji":"👏"}`, forbidden},
		{"ask to speak", "POST", r + "/requests", "application/json", `{}`, notNow},
		{"pin a link", "POST", r + "/pins", "application/json", `{"url":"https://example.org"}`, notNow},
	}
}

// refused checks that c gets in nowhere at that node.
func (c *caller) refused(when, room string, cutOff bool) {
	c.t.Helper()
	for _, try := range tries(room, cutOff) {
		status, answer := c.ask(try.method, try.path, try.contentType, try.body)
		ok := false
		for _, want := range try.want {
			ok = ok || status == want
		}
		if !ok {
			c.t.Errorf("%s: %s tries to %s at %s: %d %.200s, want one of %v", when, c.User, try.what, c.url, status, answer, try.want)
		}
	}
}

// over waits for a session that the mesh is to end, and says how long that took.
func over(t *testing.T, what string, done <-chan struct{}, since time.Time) time.Duration {
	t.Helper()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("not within 20 s: %s", what)
	}
	return time.Since(since)
}

// pause stops a node's process in its tracks, until it is resumed.
func (m *mesh) pause(t *testing.T, i int) (resume func()) {
	t.Helper()
	_, pid := m.row(t, i)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resume = sync.OnceFunc(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	t.Cleanup(resume)
	return resume
}

// restart runs the i-th node again, which has stopped, with the binary under test. It is stopped when the test ends.
func (m *mesh) restart(t *testing.T, i int) {
	t.Helper()
	config := filepath.Join(m.data, m.ids[i], "node.yaml")
	node := exec.Command(filepath.Join(root(t), "bin", "rotunda"), "node", "--config", config)
	node.Stdout, node.Stderr = m.output, m.output
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	m.again[i], m.pids[i] = ended, node.Process.Pid
	go func() { _ = node.Wait(); close(ended) }() // how it ends is other tests' concern
	t.Cleanup(func() {
		_ = node.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	admin, _ := m.row(t, i)
	until(t, "the node serves again", func() bool { return answers(t.Context(), "http://"+admin+"/readyz") })
}

// stage brings c on stage, as the host lets in who asks.
func (c *caller) stage(host *caller, room string) {
	c.t.Helper()
	c.call("POST", "/v1/rooms/"+room+"/requests", `{}`, http.StatusOK, nil)
	until(c.t, "the host sees the hand", func() bool {
		status, _ := host.ask("POST", "/v1/rooms/"+room+"/requests/"+c.User+"/approve", "application/json", `{}`)
		return status == http.StatusOK
	})
	until(c.t, "the node knows who is on stage", func() bool { _, on := c.member(room, c.User); return on })
}

// TestItSticks is what people say of every other system: a kick does not keep the person out, a mute does not survive a
// reconnect. Ada hosts at one node, Bob speaks at another, Cyd listens at the third.
func TestItSticks(t *testing.T) {
	mesh := startMesh(t)
	if mesh.output == nil {
		t.Skip("nodes of a mesh that ran already are not stopped")
	}
	const us, eu, ap = 0, 1, 2
	ada, cyd := newCaller(t, mesh.urls[us], "Ada"), newCaller(t, mesh.urls[ap], "Cyd")
	room := ada.room("It sticks")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	bob := guestOf(t, browser, mesh.urls[eu], "Bob")
	eve := newCaller(t, mesh.urls[ap], "Eve")
	if _, err := cyd.listen(room); err != nil {
		t.Fatal(err)
	}

	// Bob is let on stage, speaks, and listens. Ada bans him at her node: at his, all is over.
	bob.stage(ada, room)
	microphone, _ := bob.speak(room)
	bob.call("DELETE", "/v1/rooms/"+room+"/participants/"+bob.User+"/mute", "", http.StatusOK, nil)
	hearing, err := bob.listen(room)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "Bob is heard", func() bool { p, _ := bob.member(room, bob.User); return p.Live && !p.Muted })
	ada.call("DELETE", "/v1/rooms/"+room+"/participants/"+bob.User, `{"ban":true,"reason":"noise"}`, http.StatusOK, nil)
	banned := time.Now()
	fmt.Printf("ban_to_microphone_closed_ms %d 250\n", over(t, "Bob's microphone is closed", microphone.Done(), banned).Milliseconds())
	fmt.Printf("ban_to_listening_closed_ms %d 250\n", over(t, "Bob's listening ends", hearing.Done(), banned).Milliseconds())

	// The old token, everywhere; and once more as a new guest in the same browser.
	until(t, "every node knows", func() bool {
		for _, url := range mesh.urls {
			if status, _ := bob.at(url).ask("POST", "/v1/rooms/"+room+"/whep", "application/sdp", "v=0"); status != http.StatusForbidden {
				return false
			}
		}
		return true
	})
	for _, url := range mesh.urls {
		bob.at(url).refused("banned", room, false)
	}
	again := guestOf(t, browser, mesh.urls[eu], "Robert")
	if again.User != bob.User {
		t.Errorf("asking again the same browser is %s, and was %s", again.User, bob.User)
	}
	again.refused("with a new name", room, false)

	// A node that stands still while Eve is banned, and is alone when it goes on. It may have the ban in what its sockets kept for
	// it; if not, it lets Eve listen, as it last knew her. She cannot speak, because that takes the log; and when the others are
	// back she is out.
	resume := mesh.pause(t, ap)
	until(t, "the others have given the node up", func() bool {
		return links(mesh.output.String(), "us-east-1", "ap-south-1") == 0 && links(mesh.output.String(), "eu-west-1", "ap-south-1") == 0
	})
	ada.call("DELETE", "/v1/rooms/"+room+"/participants/"+eve.User, `{"ban":true,"reason":"noise"}`, http.StatusOK, nil)
	resumeUS, resumeEU := mesh.pause(t, us), mesh.pause(t, eu)
	resume()
	until(t, "the node is alone", func() bool { return mesh.series(t, ap, "rotunda_log_available") == 0 })
	var refusal *rtc.HTTPError
	hearing, err = eve.listen(room)
	if err != nil && (!errors.As(err, &refusal) || refusal.Status != http.StatusForbidden) {
		t.Errorf("a node that is alone goes by what it knows: %v", err)
	}
	t.Logf("alone, the node lets Eve listen: %v", err == nil)
	if status, answer := eve.ask("POST", "/v1/rooms/"+room+"/whip", "application/sdp", "v=0"); status < 400 {
		t.Errorf("Eve speaks at a node without the log: %d %s", status, answer)
	}
	// Bob's ban it knew: he is refused by a node that is alone as by any other.
	bob.at(mesh.urls[ap]).refused("at a node that is cut off", room, true)
	resumeUS()
	resumeEU()
	healed := time.Now()
	if err == nil {
		fmt.Printf("heal_to_listening_closed_ms %d 10000\n", over(t, "Eve's listening ends", hearing.Done(), healed).Milliseconds())
	}
	until(t, "the log is back", func() bool { return mesh.series(t, ap, "rotunda_log_available") == 1 })
	eve.refused("when the partition has healed", room, false)
	bob.at(mesh.urls[ap]).refused("when the partition has healed", room, false)

	// Bob's node dies and is started again: he is still out.
	mesh.kill(t, eu)
	mesh.restart(t, eu)
	bob.refused("at a node that has started again", room, false)
	again.refused("with a new name at a node that has started again", room, false)

	dan := newCaller(t, mesh.urls[us], "Dan")
	dan.stage(ada, room)
	muteSticks(t, mesh, ada, dan, room)
}

// muteSticks has Dan muted by Ada while he speaks; he hangs up and comes back at the same node and at another: muted. Not one
// packet of his passes before he unmutes himself.
func muteSticks(t *testing.T, mesh *mesh, ada, dan *caller, room string) {
	_, hangUp := dan.speak(room)
	unmute := func(dan *caller) {
		dan.call("DELETE", "/v1/rooms/"+room+"/participants/"+dan.User+"/mute", "", http.StatusOK, nil)
	}
	unmute(dan)
	until(t, "Dan is heard", func() bool { p, _ := dan.member(room, dan.User); return p.Live && !p.Muted })
	ada.call("POST", "/v1/rooms/"+room+"/participants/"+dan.User+"/mute", "", http.StatusOK, nil)
	hangUp()
	for _, node := range []int{0, 2} {
		there := dan.at(mesh.urls[node])
		count := func() (came, dropped float64) {
			return mesh.series(t, node, "rotunda_ingest_packets_total"), mesh.series(t, node, `rotunda_ingest_dropped_total{reason="muted"}`)
		}
		came, dropped := count()
		_, hangUp := there.speak(room)
		until(t, "half a second of Dan has come", func() bool { now, _ := count(); return now >= came+25 })
		if p, _ := there.member(room, dan.User); !p.Muted {
			t.Errorf("back at node %d, Dan is not muted", node)
		}
		if node == 0 {
			hangUp()
		}
		cameNow, droppedNow := count()
		// The counters are read one after the other: what comes between is at most a few packets.
		if passed := (cameNow - came) - (droppedNow - dropped); passed > 0 {
			t.Errorf("back at node %d, muted, %.0f of Dan's %.0f packets have passed the gate", node, passed, cameNow-came)
		}
		if node == 2 {
			unmute(there)
			until(t, "Dan, who has unmuted himself, passes", func() bool {
				was, wasDropped := count()
				until(t, "a few more packets", func() bool { now, _ := count(); return now >= was+5 })
				_, now := count()
				return now == wasDropped
			})
		}
	}
}

// links is how many links node has to peer, by what it has said.
func links(said, node, peer string) (n int) {
	for line := range strings.Lines(said) {
		var state struct{ Msg, Node, Peer string }
		if !strings.Contains(line, `"link `) || json.Unmarshal([]byte(line), &state) != nil || state.Node != node || state.Peer != peer {
			continue
		}
		switch state.Msg {
		case "link up":
			n++
		case "link down":
			n--
		}
	}
	return n
}

// guestOf makes a guest who has cookies.
func guestOf(t *testing.T, browser *http.Client, url, name string) *caller {
	t.Helper()
	a, err := browser.Post(url+"/v1/guests", "application/json", bytes.NewBufferString(fmt.Sprintf(`{"name":%q}`, name)))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	c := &caller{t: t, url: url}
	if err := json.NewDecoder(a.Body).Decode(c); err != nil || c.Token == "" {
		t.Fatalf("no guest: %d %v", a.StatusCode, err)
	}
	return c
}
