package node

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"rotunda/node/opus"
	"rotunda/node/pcm"
)

// The whole voice path and the decisions that rule it, over three nodes of one process.
func TestRoomAcrossNodes(t *testing.T) {
	m := startNodes(t, 3)
	ada := m.guest(0, "Ada")
	room := ada.createRoom("Tones")
	bob := m.guest(2, "Bob")
	ear := bob.listen(room, 1)

	const adaTone, bobTone = 440.0, 1000.0
	stop := ada.sayTone(room, adaTone)
	m.eventually("the microphone opens muted: packets are dropped for it", func() bool {
		return m.counted(0, `rotunda_ingest_dropped_total{reason="muted"}`) > 10
	})
	if ear.hears(adaTone) {
		t.Error("a muted host is heard")
	}

	ada.do("DELETE", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("Bob hears Ada on another node", func() bool { return ear.hears(adaTone) })
	ear.mu.Lock()
	sources := ear.sources.Len()
	ear.mu.Unlock()
	if sources != 1 {
		t.Errorf("%d sources in the program while one speaks", sources)
	}

	ada.do("POST", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("muted, Ada is heard no more", func() bool { return ear.level() > 70 })

	// Bob asks, is approved, and Ada hears him, unmixed; both are in the program.
	bob.do("POST", "/rooms/"+room+"/requests", nil, nil, http.StatusOK)
	ada.do("POST", "/rooms/"+room+"/requests/"+bob.User+"/approve", nil, nil, http.StatusOK)
	adaEar := ada.listen(room, 4)
	bob.sayTone(room, bobTone)
	bob.do("DELETE", "/rooms/"+room+"/participants/"+bob.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("Ada hears Bob", func() bool { return adaEar.hears(bobTone) })
	cyd := m.guest(1, "Cyd").listen(room, 1)
	m.eventually("Cyd hears Bob from the mixer", func() bool { return cyd.hears(bobTone, adaTone) })
	ada.do("DELETE", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("and then both", func() bool { return cyd.hears(bobTone) && cyd.hears(adaTone) })
	if adaEar.hears(adaTone) {
		t.Error("Ada hears herself")
	}

	// Removed, Bob is off the air and his sessions end.
	ada.do("DELETE", "/rooms/"+room+"/participants/"+bob.User, map[string]any{"ban": true, "reason": "test"}, nil, http.StatusOK)
	m.eventually("Bob is heard no more", func() bool { return cyd.hears(adaTone, bobTone) })
	m.eventually("Bob's listening session is over", func() bool {
		select {
		case <-ear.player.Done():
			return true
		default:
			return false
		}
	})
	stop()
	ada.do("POST", "/rooms/"+room+"/end", nil, nil, http.StatusOK)
	m.eventually("an ended room ends its sessions", func() bool {
		select {
		case <-cyd.player.Done():
			return true
		default:
			return false
		}
	})
	m.eventually("nothing is held", func() bool {
		for _, n := range m.nodes {
			n.rooms.mu.Lock()
			held := len(n.rooms.served)
			n.rooms.mu.Unlock()
			if held != 0 {
				return false
			}
		}
		return true
	})
}

// A home stops: the node that stands by mixes from then on, in a new epoch. When it is back and the host speaks there, listeners
// elsewhere hear on, in an epoch newer still.
func TestHomeRestarts(t *testing.T) {
	m := startNodes(t, 2)
	// The room's home is the second node; the first one keeps the log.
	ada := m.guest(1, "Ada")
	room := ada.createRoom("Back soon")
	ear := m.guest(0, "Bob").listen(room, 1)
	stop := ada.sayTone(room, 440)
	ada.do("DELETE", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("Bob hears Ada", func() bool { return ear.hears(440) })

	cfg := m.nodes[1].cfg
	m.stops[1]()
	stop()
	m.start(cfg)
	back := m.nodes[2]
	select {
	case <-back.Ready():
	case <-time.After(patience):
		t.Fatal("the node is not back")
	}
	var v struct {
		Home         string
		Epoch        int
		Participants map[string]struct{ Live, Muted bool }
	}
	ada.at(0).do("GET", "/rooms/"+room, nil, &v, http.StatusOK)
	if v.Home == "" || v.Epoch < 2 || v.Participants[ada.User].Live {
		t.Errorf("after the restart the room is %+v, want a home in an epoch above 1 and no microphone", v)
	}
	heard := ear.count()
	ada.sayTone(room, 1000)
	m.eventually("Bob hears Ada again", func() bool { return ear.hears(1000, 440) && ear.count() > heard })
	if v.Participants[ada.User].Muted {
		t.Error("a restart muted Ada")
	}
	ear.mu.Lock()
	defer ear.mu.Unlock()
	for i, s := range ear.seqs {
		if i > 0 && int16(s-ear.seqs[i-1]) <= 0 {
			t.Errorf("packet %d has number %d after %d", i, s, ear.seqs[i-1])
		}
	}
}

// Anything that plays a URL hears the program.
func TestPlainHTTP(t *testing.T) {
	m := startNodes(t, 2)
	ada := m.guest(0, "Ada")
	room := ada.createRoom("By URL")
	ada.sayTone(room, 440)
	ada.do("DELETE", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)

	a, err := http.Get(m.urls[1] + "/v1/rooms/" + room + "/listen.opus")
	must(t, err)
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		t.Fatal(a.Status)
	}
	file, err := opus.NewReader(a.Body)
	must(t, err)
	dec, err := opus.NewDecoder()
	must(t, err)
	var heard []float32
	out := make([]float32, opus.SamplesMax)
	for len(heard) < pcm.Rate || pcm.ToneAmplitude(heard[len(heard)-pcm.Rate/2:], 440) < 0.2 {
		if len(heard) > 20*pcm.Rate {
			t.Fatal("twenty seconds without the tone")
		}
		p, err := file.Next()
		must(t, err)
		n, err := dec.Decode(p.Payload, out)
		must(t, err)
		heard = append(heard, out[:n]...)
	}
	if got := m.counted(1, "rotunda_listeners"); got > 1 {
		t.Errorf("%v listeners", got)
	}
	ada.do("POST", "/rooms/"+room+"/end", nil, nil, http.StatusOK)
	for err == nil {
		_, err = file.Next()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("the stream ends with %v, want an end of file", err)
	}
	for path, want := range map[string]int{"zzzzzzzzzzzz": 404, room: 409, "a%20b": 404} {
		a, err := http.Get(m.urls[1] + "/v1/rooms/" + path + "/listen.opus")
		must(t, err)
		a.Body.Close()
		if a.StatusCode != want || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s, want a problem with %d", path, a.StatusCode, a.Header.Get("Content-Type"), want)
		}
	}
}
