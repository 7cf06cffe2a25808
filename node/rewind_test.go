package node

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/api"
	"rotunda/node/edge"
	"rotunda/node/opus"
	"rotunda/node/pcm"
)

// rewind asks for what was missed; into is decoded.
func (p *person) rewind(room, query string) (status int, heard []float32, until string) {
	p.m.t.Helper()
	var a *http.Response
	var b []byte
	for { // as often as the limit on askers lets
		q, err := http.NewRequest("GET", p.url+"/v1/rooms/"+room+"/rewind.opus?"+query, nil)
		must(p.m.t, err)
		q.Header.Set("Authorization", "Bearer "+p.Token)
		a, err = http.DefaultClient.Do(q)
		must(p.m.t, err)
		b, err = io.ReadAll(a.Body)
		must(p.m.t, err)
		a.Body.Close()
		if a.StatusCode != http.StatusTooManyRequests {
			break
		}
		wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
		must(p.m.t, err)
		time.Sleep(time.Duration(wait) * time.Second)
	}
	if a.StatusCode == http.StatusOK {
		var err error
		heard, err = opus.DecodeFile(bytes.NewReader(b), 70*pcm.Rate)
		must(p.m.t, err)
	}
	return a.StatusCode, heard, a.Header.Get("Rotunda-Until")
}

// What was said is heard again by who may hear the room, at a node that has listeners of it, and what somebody said who was removed is
// not.
func TestRewindARoom(t *testing.T) {
	m := startNodes(t, 2)
	ada := m.guest(0, "Ada")
	room := ada.createRoom("Tunnel")
	ada.sayTone(room, 440)
	ada.do("DELETE", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	bob, cyd, dan := m.guest(1, "Bob"), m.guest(1, "Cyd"), m.guest(1, "Dan")
	if status, _, _ := bob.rewind(room, ""); status != http.StatusNotFound {
		t.Errorf("where nobody listens: %d, want 404", status)
	}
	cyd.listen(room, 1)
	var heard []float32
	var until string
	m.eventually("three seconds of the tone are kept", func() bool {
		var status int
		status, heard, until = bob.rewind(room, "seconds=30")
		time.Sleep(300 * time.Millisecond)
		return status == http.StatusOK && len(heard) > 3*pcm.Rate && pcm.ToneAmplitude(heard[len(heard)-2*pcm.Rate:], 440) > 0.2
	})
	status, some, later := bob.rewind(room, "since="+url.QueryEscape(until))
	if status != http.StatusOK {
		t.Fatalf("since %s: %d", until, status)
	}
	from, err := time.Parse(time.RFC3339Nano, until)
	must(t, err)
	to, err := time.Parse(time.RFC3339Nano, later)
	must(t, err)
	if d := to.Sub(from) - time.Duration(len(some))*time.Second/pcm.Rate; d < -100*time.Millisecond || d > 100*time.Millisecond {
		t.Errorf("since %s until %s is %v, and its sound is %d samples long", until, later, to.Sub(from), len(some))
	}

	// Dan speaks, and is removed.
	dan.do("POST", "/rooms/"+room+"/requests", nil, nil, http.StatusOK)
	ada.at(0).do("POST", "/rooms/"+room+"/requests/"+dan.User+"/approve", nil, nil, http.StatusOK)
	m.eventually("Dan may speak at his node", func() bool {
		s, err := m.nodes[1].control.Get(t.Context(), rotunda.RoomID(room))
		return err == nil && s.CanSpeak(rotunda.UserID(dan.User))
	})
	stop := dan.sayTone(room, 1000)
	dan.do("DELETE", "/rooms/"+room+"/participants/"+dan.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("Dan is on the tape", func() bool {
		_, heard, _ := bob.rewind(room, "seconds=5")
		time.Sleep(200 * time.Millisecond)
		return len(heard) > pcm.Rate && pcm.ToneAmplitude(heard[len(heard)-pcm.Rate/2:], 1000) > 0.1
	})
	ada.do("DELETE", "/rooms/"+room+"/participants/"+dan.User, map[string]any{"ban": true}, nil, http.StatusOK)
	stop()
	m.eventually("what Dan said is nowhere on the tape", func() bool {
		status, heard, _ := bob.rewind(room, "seconds=60")
		time.Sleep(200 * time.Millisecond)
		if status != http.StatusOK || len(heard) < 3*pcm.Rate {
			return false
		}
		for at := 0; at+pcm.Rate/10 <= len(heard); at += pcm.Rate / 10 {
			if pcm.ToneAmplitude(heard[at:at+pcm.Rate/10], 1000) > 0.02 {
				return false
			}
		}
		return true
	})
	if status, _, _ := dan.rewind(room, ""); status != http.StatusForbidden {
		t.Errorf("Dan, who is banned: %d, want 403", status)
	}
	ada.do("POST", "/rooms/"+room+"/end", nil, nil, http.StatusOK)
	m.eventually("nothing of a room that is over", func() bool {
		status, _, _ := bob.rewind(room, "")
		time.Sleep(200 * time.Millisecond)
		return status == http.StatusConflict
	})
	m.eventually("its ring is given back", func() bool { return m.nodes[1].rooms.rings.Load() == rewindRoomsMax })
}

// A node keeps the last minute of so many rooms, and gives a ring back a minute after the last packet.
func TestTapesAreBounded(t *testing.T) {
	var spare atomic.Int32
	spare.Store(2)
	now := time.Unix(1_700_000_000, 0)
	p := edge.Packet{Payload: []byte{0x78, 1}}
	tapes := make([]tape, 3)
	for i := range tapes {
		tapes[i].spare = &spare
		tapes[i].keep(now, &p)
		if got := len(tapes[i].replay(now, api.RewindQuery{Last: time.Second})); got != map[bool]int{true: 1, false: 0}[i < 2] {
			t.Errorf("tape %d has %d packets", i, got)
		}
	}
	tapes[0].expire(now.Add(30*time.Second), false)
	if spare.Load() != 0 {
		t.Error("a ring is given back too early")
	}
	tapes[0].expire(now.Add(2*time.Minute), false)
	tapes[1].expire(now, true)
	if spare.Load() != 2 {
		t.Errorf("%d rings to spare, want 2", spare.Load())
	}
	tapes[2].keep(now, &p)
	if len(tapes[2].replay(now, api.RewindQuery{Last: time.Second})) != 1 {
		t.Error("a ring that was given back is not used again")
	}
}

// So many are handed the last minute at once.
func TestRewindsAreBounded(t *testing.T) {
	var rw rewinds
	rw.rooms = &rooms{served: map[rotunda.RoomID]*roomServer{"r": {audience: newAudience(nil, nil, 1, 1)}}}
	rw.open.Store(rewindsMax)
	if _, _, err := rw.Rewind(t.Context(), "r", api.RewindQuery{Last: time.Second}); err == nil {
		t.Error("one more than may")
	}
	if rw.open.Load() != rewindsMax {
		t.Errorf("%d are open after a refusal, want %d", rw.open.Load(), rewindsMax)
	}
}

// BenchmarkRewind is what the file of a whole minute costs.
func BenchmarkRewind(b *testing.B) {
	var spare atomic.Int32
	spare.Store(1)
	tp := tape{spare: &spare}
	now := time.Unix(1_700_000_000, 0)
	for i := range 3000 {
		now = now.Add(rotunda.FrameDuration)
		tp.keep(now, &edge.Packet{Timestamp: uint32(i) * rotunda.FrameTicks, Sources: rotunda.SourcesOf(1), Payload: append([]byte{0x78}, fmt.Sprintf("%79d", i)...)})
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := rewound(tp.replay(now, api.RewindQuery{Last: edge.RewindMax}))
		if err != nil || len(r.Ogg) < 3000*80 {
			b.Fatal(err, len(r.Ogg))
		}
	}
}
