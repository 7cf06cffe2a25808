package node

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rotunda/node/rtc"
)

// playersOffer is what a player of ours offers.
func playersOffer(t *testing.T) string {
	t.Helper()
	var offer string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		offer = string(b)
		w.WriteHeader(http.StatusNotFound)
	}))
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := rtc.DialPlayer(ctx, rtc.ClientConfig{URL: s.URL + "/whep"}, func(rtc.Received) {}); err == nil || offer == "" {
		t.Fatalf("no offer (%v)", err)
	}
	return offer
}

// asks has a player's offer answered.
func (p *person) asks(at, offer string, headers ...string) *http.Response {
	p.m.t.Helper()
	q, err := http.NewRequest("POST", p.url+"/v1/rooms/"+at, strings.NewReader(offer))
	must(p.m.t, err)
	q.Header.Set("Content-Type", "application/sdp")
	q.Header.Set("Authorization", "Bearer "+p.Token)
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	a, err := c.Do(q)
	must(p.m.t, err)
	a.Body.Close()
	return a
}

// A node that has as many listeners as limits.listeners sends newcomers on to one that has room, pages by a problem with Retry-After; where
// none has room, all are told to come back. Who listens goes on listening, and raised by a reload the limit lets the next one in.
func TestFull(t *testing.T) {
	m := startNodes(t, 2)
	ada := m.guest(0, "Ada")
	room := ada.createRoom("Full house")
	limit := func(node, listeners int) {
		t.Helper()
		cfg := m.nodes[node].cfg
		cfg.Limits.Listeners = listeners
		must(t, m.nodes[node].Reload(cfg))
	}
	limit(1, 1)
	ear := m.guest(1, "Bob").listen(room, 1)
	ada.sayTone(room, 440)
	ada.do("DELETE", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("Bob hears Ada", func() bool { return ear.hears(440) })

	offer, cyd := playersOffer(t), m.guest(1, "Cyd")
	if a := cyd.asks(room+"/whep", offer); a.StatusCode != http.StatusTemporaryRedirect || a.Header.Get("Location") != m.urls[0]+"/v1/rooms/"+room+"/whep?sent-on" {
		t.Errorf("a player is answered %d, Location %q", a.StatusCode, a.Header.Get("Location"))
	}
	if a := cyd.asks(room+"/whep", offer, "Origin", m.urls[1]); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("a page is answered %d, Retry-After %q", a.StatusCode, a.Header.Get("Retry-After"))
	}
	moved := cyd.listen(room, 1) // as a player that follows
	m.eventually("Cyd hears Ada at the other node", func() bool { return moved.hears(440) })
	if got := [2]float64{m.counted(0, "rotunda_listeners"), m.counted(1, "rotunda_listeners")}; got != [2]float64{1, 1} {
		t.Errorf("the nodes have %v listeners, want one each", got)
	}

	limit(0, 1)
	dee := m.guest(1, "Dee")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := rtc.DialPlayer(ctx, rtc.ClientConfig{URL: m.urls[1] + "/v1/rooms/" + room + "/whep", Token: dee.Token}, func(rtc.Received) {})
	if err == nil {
		t.Error("both nodes are full, and one takes another listener")
	}
	t.Logf("a player that goes where it is sent: %v", err)
	for node := range m.nodes {
		if a := dee.at(node).asks(room+"/whep?sent-on", offer); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			t.Errorf("node %d is full too and answers %d, Retry-After %q", node, a.StatusCode, a.Header.Get("Retry-After"))
		}
	}
	if !ear.hears(440) || !moved.hears(440) {
		t.Error("who was there first hears nothing any more")
	}
	limit(1, 2)
	if a := dee.asks(room+"/whep", offer); a.StatusCode != http.StatusCreated {
		t.Errorf("with room again Dee is answered %d", a.StatusCode)
	}
}
