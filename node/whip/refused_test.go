package whip

import (
	"fmt"
	"slices"
	"testing"

	"rotunda"
	"rotunda/control/token"
)

// Every no is told of with who asked, for what and why; nothing else is.
func TestRefusalsAreTold(t *testing.T) {
	b := newBench(t)
	const whep = "/v1/rooms/k3v9q7m2x4ab/whep"
	at := b.do("POST", whep, "v=0", ada, sdp).Header().Get("Location")
	b.do("OPTIONS", whep, "")
	b.do("DELETE", at, "", eve)
	b.do("POST", whep, "v=0", sdp)
	b.do("POST", whep, "v=0", "Authorization: Bearer ada@other1234567", sdp)
	b.do("POST", whep, "v=0", ada, "Content-Type: text/plain")
	b.do("POST", "/v1/rooms/No%20room/whip", "v=0", ada, sdp)
	b.err = fmt.Errorf("%w: nothing of it is Opus", ErrOffer)
	b.do("POST", whep, "v=0", ada, sdp)
	b.err = &Redirect{URL: "http://elsewhere", Why: ErrBusy}
	b.do("POST", whep, "v=0", ada, sdp)
	b.err = nil
	b.do("DELETE", at, "", ada)
	want := []Refusal{
		{Play, "k3v9q7m2x4ab", "eve", 403, "the session is somebody else's"},
		{Play, "k3v9q7m2x4ab", "", 401, "token"},
		{Play, "k3v9q7m2x4ab", "ada", 403, token.ErrWrongRoom.Error()},
		{Play, "k3v9q7m2x4ab", "ada", 415, "the body must be application/sdp"},
		{Publish, "", "", 404, rotunda.RoomID("No room").Valid().Error()},
		{Play, "k3v9q7m2x4ab", "ada", 422, "the offer cannot be answered: nothing of it is Opus"},
	}
	if !slices.Equal(b.refused, want) {
		t.Errorf("told of\n%+v\nwant\n%+v", b.refused, want)
	}
}

// Who was sent on by a node that could not serve them is not sent any further: full nodes do not pass people round.
func TestSentOnOnce(t *testing.T) {
	b := newBench(t)
	b.err = &Redirect{URL: "https://b.test/v1/rooms/k3v9q7m2x4ab/whep", Why: ErrBusy}
	if w := b.do("POST", "/v1/rooms/k3v9q7m2x4ab/whep?sent-on", "v=0", ada, sdp); w.Code != 503 || w.Header().Get("Retry-After") != "2" || w.Header().Get("Location") != "" {
		t.Errorf("answered %d %v, want 503 and Retry-After", w.Code, w.Header())
	}
}
