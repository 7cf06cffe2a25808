package card

import (
	"bytes"
	"fmt"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/time/rate"

	"rotunda"
)

// served is a Server over rooms, and what answers its addresses.
func served(t *testing.T, rooms map[rotunda.RoomID]Card) (*Server, http.Handler) {
	t.Helper()
	s, err := New(Config{
		URL:    "https://fra-1.example.org",
		Look:   func(id rotunda.RoomID) (Card, bool) { c, ok := rooms[id]; return c, ok },
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /card.png", s)
	mux.Handle("GET /r/{room}/card.png", s)
	return s, mux
}

func get(h http.Handler, target string, header http.Header) (*http.Response, []byte) {
	r := httptest.NewRequest("GET", target, nil)
	for k, v := range header {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	b, _ := io.ReadAll(w.Result().Body)
	return w.Result(), b
}

func TestPictures(t *testing.T) {
	rooms := map[rotunda.RoomID]Card{tides.Room: tides}
	_, h := served(t, rooms)
	for target, status := range map[string]int{"/card.png": 200, "/r/k3v9q7m2x4ab/card.png": 200, "/r/k3v9q7m2x4ab/card.png?v=old": 200, "/r/nosuchroom/card.png": 404} {
		r, b := get(h, target, nil)
		if r.StatusCode != status {
			t.Errorf("GET %s = %d, want %d", target, r.StatusCode, status)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(r.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("GET %s: not guarded: %v", target, r.Header)
		}
		if status != 200 {
			continue
		}
		if c, err := png.DecodeConfig(bytes.NewReader(b)); err != nil || c.Width != width || c.Height != height || len(b) > sizeMax {
			t.Errorf("GET %s: %+v of %d bytes (%v)", target, c, len(b), err)
		}
		if r.Header.Get("Content-Type") != "image/png" || r.Header.Get("Cache-Control") != "public, max-age=60" {
			t.Errorf("GET %s: headers %v", target, r.Header)
		}
		if again, b := get(h, target, http.Header{"If-None-Match": {r.Header.Get("ETag")}}); again.StatusCode != 304 || len(b) > 0 {
			t.Errorf("GET %s again = %d with %d bytes, want an empty 304", target, again.StatusCode, len(b))
		}
	}
}

// One picture is drawn for each state of a room, however often it is asked for; when too many are wanted the older one is shown, for
// a shorter time, and a room without one gets the picture of none.
func TestDrawingIsBounded(t *testing.T) {
	rooms := map[rotunda.RoomID]Card{}
	for i := range 20 {
		c := tides
		c.Room = rotunda.RoomID(fmt.Sprintf("room%d", i))
		rooms[c.Room] = c
	}
	s, h := served(t, rooms)
	s.drawn = rate.NewLimiter(0, 2)
	_, first := get(h, "/r/room0/card.png", nil)
	for range 10 {
		if _, b := get(h, "/r/room0/card.png", nil); !bytes.Equal(b, first) {
			t.Fatal("the same room looks different")
		}
	}
	changed := rooms["room0"]
	changed.Title = "Sandbanks"
	rooms["room0"] = changed
	_, second := get(h, "/r/room0/card.png", nil)
	if bytes.Equal(first, second) {
		t.Error("a changed title is not drawn")
	}
	changed.Title = "Gulls" // the third picture, and there are two
	rooms["room0"] = changed
	r, third := get(h, "/r/room0/card.png", nil)
	if !bytes.Equal(third, second) || r.Header.Get("Cache-Control") != "public, max-age=10" {
		t.Errorf("not the older picture for a shorter time: %v", r.Header)
	}
	if r, b := get(h, "/r/room1/card.png", nil); !bytes.Equal(b, s.none.png) || r.Header.Get("Cache-Control") != "public, max-age=10" {
		t.Errorf("not the picture of no room for a shorter time: %v", r.Header)
	}
}

func TestFewPicturesAreKept(t *testing.T) {
	s, _ := served(t, nil)
	for i := range 3 * keptMax {
		c := tides
		c.Room = rotunda.RoomID(fmt.Sprintf("room%d", i%(2*keptMax)))
		s.keep(picture{of: c, png: []byte{byte(i)}})
		s.keep(picture{of: c, png: []byte{byte(i)}})
	}
	if len(s.kept) != keptMax || len(s.used) != keptMax {
		t.Errorf("%d pictures are kept, %d listed; want %d", len(s.kept), len(s.used), keptMax)
	}
	for _, id := range s.used {
		if _, ok := s.kept[id]; !ok {
			t.Errorf("%s is listed and not kept", id)
		}
	}
}

func TestTags(t *testing.T) {
	s, _ := served(t, map[rotunda.RoomID]Card{tides.Room: tides})
	for id, want := range map[rotunda.RoomID][]string{
		tides.Room: {
			`<meta property="og:url" content="https://fra-1.example.org/r/k3v9q7m2x4ab" />`, `<meta property="og:title" content="What the tide leaves behind" />`,
			`content="Live now · Hosted by ` + "\u2068Ada\u2069" + ` · On stage: 3 · Listening: 412" />`,
			`<meta name="twitter:card" content="summary_large_image" />`, `<meta name="twitter:image" content="https://fra-1.example.org/r/k3v9q7m2x4ab/card.png?v=`,
		},
		"other": {`<meta property="og:url" content="https://fra-1.example.org/r/other" />`, `<meta property="og:title" content="Rotunda" />`, `content="https://fra-1.example.org/card.png" />`},
		"":      {`<meta property="og:url" content="https://fra-1.example.org/" />`, `<meta property="og:title" content="Rotunda" />`},
	} {
		tags := s.Tags(id)
		for _, w := range want {
			if !strings.Contains(tags, w) {
				t.Errorf("%q: no %s in\n%s", id, w, tags)
			}
		}
	}
}
