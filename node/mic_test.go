package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"rotunda/node/rtc"
)

// answered is an HTTP transport on which something happens between the answer to an offer and what the client makes of it.
type answered struct{ then func() error }

func (a answered) RoundTrip(q *http.Request) (*http.Response, error) {
	r, err := http.DefaultTransport.RoundTrip(q)
	if q.Method == http.MethodPost && err == nil {
		err = a.then()
	}
	if err != nil && r != nil {
		r.Body.Close()
		r = nil
	}
	return r, err
}

// microphone opens a session of p's and reports how it ended: an error, or a session whose media is up.
func (p *person) microphone(room string, then func() error) (*rtc.Publisher, error) {
	p.m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pub, err := rtc.DialPublisher(ctx, rtc.ClientConfig{
		URL: fmt.Sprintf("%s/v1/rooms/%s/whip", p.url, room), Token: p.Token, HTTP: &http.Client{Transport: answered{then}},
	})
	if err == nil {
		p.m.t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_ = pub.Close(ctx)
		})
	}
	return pub, err
}

// Bob changes over from one node to another while he speaks. What does not connect takes nothing from him; what is decided about
// him while it connects holds; and two sessions are not a way around a mute.
func TestMicrophoneChangesOver(t *testing.T) {
	m := startNodes(t, 2)
	const tone = 1000.0
	ada, bob, cyd := m.guest(0, "Ada"), m.guest(0, "Bob"), m.guest(0, "Cyd")
	room := ada.createRoom("Two ways")
	bob.do("POST", "/rooms/"+room+"/requests", nil, nil, http.StatusOK)
	ada.do("POST", "/rooms/"+room+"/requests/"+bob.User+"/approve", nil, nil, http.StatusOK)
	bob.onStage(room)
	mute := "/rooms/" + room + "/participants/" + bob.User + "/mute"
	ear := cyd.listen(room, 1)
	bob.sayTone(room, tone)
	m.eventually("Bob has a microphone", func() bool { return ada.view(room).Participants[bob.User].Live })
	bob.do("DELETE", mute, nil, nil, http.StatusOK)
	m.eventually("Cyd hears Bob", func() bool { return ear.hears(tone) })
	speakers := func(node int) float64 { return m.counted(node, "rotunda_speakers") }

	lost := errors.New("the answer is lost")
	if _, err := bob.at(1).microphone(room, func() error { return lost }); !errors.Is(err, lost) {
		t.Fatalf("an offer at the second node: %v", err)
	}
	m.eventually("the second node has a session", func() bool { return speakers(1) == 1 })
	if v := ada.view(room).Participants[bob.User]; v.Node != "us-east-1" || !v.Live || speakers(0) != 1 {
		t.Errorf("an offer that nobody follows up takes the microphone away: %+v", v)
	}

	bob.at(1).sayTone(room, tone)
	m.eventually("the log has the new session", func() bool { return ada.view(room).Participants[bob.User].Node == "eu-west-1" })
	m.eventually("the old one ends by itself", func() bool { return speakers(0) == 0 })
	m.eventually("Bob is heard through the new one", func() bool { return ear.hears(tone) })
	if gaps := ear.gaps(); gaps != 0 {
		t.Errorf("%d packets of the program are missing", gaps)
	}

	// Muted between the answer and the media: neither the session at the second node nor the one that comes is heard.
	if _, err := bob.microphone(room, func() error {
		ada.do("POST", mute, nil, nil, http.StatusOK)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	m.eventually("the session that comes is taken", func() bool { return ada.view(room).Participants[bob.User].Node == "us-east-1" })
	m.eventually("the old one ends at once", func() bool { return speakers(1) == 0 }) // and the one that never connected
	bob.sayTone(room, tone)
	dropped := m.counted(0, `rotunda_ingest_dropped_total{reason="muted"}`)
	m.eventually("he speaks into a shut microphone", func() bool {
		return m.counted(0, `rotunda_ingest_dropped_total{reason="muted"}`) > dropped+50
	})
	if ear.hears(tone) || !ada.view(room).Participants[bob.User].Muted {
		t.Error("Bob is heard, who was muted while he connected")
	}

	// Removed between the answer and the media: the session is ended.
	pub, err := bob.at(1).microphone(room, func() error {
		ada.do("DELETE", "/rooms/"+room+"/participants/"+bob.User, map[string]any{"reason": "test"}, nil, http.StatusOK)
		return nil
	})
	if err == nil {
		select {
		case <-pub.Done():
		case <-time.After(patience):
			t.Error("who was removed while they connected has a session")
		}
	}
	m.eventually("none of his is left", func() bool { return speakers(0) == 0 && speakers(1) == 0 })
}
