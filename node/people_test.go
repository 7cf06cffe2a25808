package node

import (
	"bytes"
	"image"
	"image/png"
	"io"
	"net/http"
	"testing"
	"time"

	"rotunda/control/token"
)

// operator is somebody with an operator's token, at the first node.
func (m *testMesh) operator() *person {
	m.t.Helper()
	now := time.Now()
	raw, err := m.nodes[0].keys.Load().signer.Mint(token.Claims{User: "olga", ID: "op1", Issued: now, Expires: now.Add(time.Hour), Operator: true})
	must(m.t, err)
	return &person{m: m, url: m.urls[0], User: "olga", Token: raw}
}

// Whom the operator bans at one node is gone from the other: what they have open ends, and nothing new is opened, with
// whatever token they hold. What others report is counted on every node.
func TestBannedEverywhere(t *testing.T) {
	m := startNodes(t, 2)
	ada, eve, olga := m.guest(0, "Ada"), m.guest(1, "Eve"), m.operator()
	room := ada.createRoom("With Eve")
	ada.sayTone(room, 440)
	ada.do("DELETE", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	ear := eve.listen(room, 1)
	m.eventually("eve hears", func() bool { return ear.hears(440) })

	olga.do("PUT", "/operator/bans/"+eve.User, map[string]any{"reason": "Spam."}, nil, http.StatusNoContent)
	m.eventually("eve's session is over", func() bool { return m.nodes[1].sessions.listeners.Load() == 0 })
	for i := range m.nodes {
		at := eve.at(i)
		m.eventually("eve is refused", func() bool {
			q, err := http.NewRequest("POST", m.urls[i]+"/v1/rooms/"+room+"/whep", bytes.NewReader([]byte("v=0\r\n")))
			must(t, err)
			q.Header.Set("Content-Type", "application/sdp")
			q.Header.Set("Authorization", "Bearer "+at.Token)
			a, err := http.DefaultClient.Do(q)
			must(t, err)
			a.Body.Close()
			return a.StatusCode == http.StatusForbidden
		})
		at.do("POST", "/rooms", map[string]any{"title": "Another"}, nil, http.StatusForbidden)
	}
	ada.at(1).do("POST", "/rooms/"+room+"/reports", map[string]any{"reason": "Spam."}, nil, http.StatusCreated)
	for i := range m.nodes {
		m.eventually("every node's operator sees that a report waits, and how long", func() bool {
			return m.counted(i, "rotunda_reports") == 1 && m.counted(i, "rotunda_report_age_seconds") > 0
		})
	}
	if m.nodes[0].sessions.speakers.Load() != 1 {
		t.Error("ada, who was not banned, is gone too")
	}
}

// A picture uploaded at one node is shown by the other.
func TestPicturesOnEveryNode(t *testing.T) {
	m := startNodes(t, 2)
	ada := m.guest(0, "Ada")
	var b bytes.Buffer
	must(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 300, 200))))
	q, err := http.NewRequest("PUT", ada.url+"/v1/profile/avatar", &b)
	must(t, err)
	q.Header.Set("Authorization", "Bearer "+ada.Token)
	q.Header.Set("Content-Type", "image/png")
	a, err := http.DefaultClient.Do(q)
	must(t, err)
	a.Body.Close()
	if a.StatusCode != http.StatusOK {
		t.Fatal(a.Status)
	}
	var list struct {
		People []struct {
			Avatar string `json:"avatar"`
		} `json:"people"`
	}
	m.eventually("the other node knows of it", func() bool {
		ada.at(1).do("GET", "/people?user="+ada.User, nil, &list, http.StatusOK)
		return len(list.People) == 1 && list.People[0].Avatar != ""
	})
	a, err = http.Get(m.urls[1] + list.People[0].Avatar)
	must(t, err)
	defer a.Body.Close()
	picture, err := io.ReadAll(a.Body)
	must(t, err)
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "image/jpeg" || len(picture) == 0 {
		t.Errorf("%s, %s, %d bytes", a.Status, a.Header.Get("Content-Type"), len(picture))
	}
}
