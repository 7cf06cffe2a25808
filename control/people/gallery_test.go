package people

import (
	"context"
	"errors"
	"image/color"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rotunda"
)

// shown is what profiles show, and the node that took it.
type shown map[Hash]rotunda.NodeID

func (s shown) Shown(h Hash) (rotunda.NodeID, bool) { n, ok := s[h]; return n, ok }

func openGallery(t *testing.T, folder string, s shown, peers ...rotunda.Member) *Gallery {
	t.Helper()
	g, err := OpenGallery(GalleryConfig{Folder: folder, Self: "here", Shown: s.Shown, Members: func() []rotunda.Member { return peers }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// serve is another node that has the pictures of g, or lies.
func serve(t *testing.T, id rotunda.NodeID, asked *atomic.Int32, answer func(http.ResponseWriter, Hash)) rotunda.Member {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Query().Get("here") != "true" {
			t.Errorf("%s is asked to ask others: %s", id, r.URL)
		}
		answer(w, Hash(filepath.Base(r.URL.Path)))
	}))
	t.Cleanup(s.Close)
	return rotunda.Member{ID: id, State: rotunda.Alive, Addresses: rotunda.Addresses{HTTP: s.URL}}
}

func somePicture(t *testing.T, shade uint8) []byte {
	t.Helper()
	p, err := Square(asPNG(t, halves(50, 50, color.NRGBA{shade, 0, 0, 255}, blue)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestGalleryFetchesFromOtherNodes(t *testing.T) {
	ctx, mine := t.Context(), somePicture(t, 10)
	h := HashOf(mine)
	var origin, liar, lost atomic.Int32
	g := openGallery(t, t.TempDir(), shown{h: "origin"},
		serve(t, "liar", &liar, func(w http.ResponseWriter, _ Hash) { _, _ = w.Write([]byte("another")) }),
		serve(t, "origin", &origin, func(w http.ResponseWriter, _ Hash) { _, _ = w.Write(mine) }))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := g.Get(ctx, h); err != nil || string(got) != string(mine) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	if origin.Load() != 1 || liar.Load() != 0 {
		t.Errorf("20 who asked at once made %d requests to the node that took it and %d to another, want 1 and 0", origin.Load(), liar.Load())
	}
	// The node that took it is gone: others are asked, and what they answer must fit the name.
	elsewhere := HashOf(somePicture(t, 20))
	var has atomic.Int32
	g = openGallery(t, t.TempDir(), shown{elsewhere: "gone", HashOf(nil): "gone"},
		serve(t, "liar", &liar, func(w http.ResponseWriter, _ Hash) { _, _ = w.Write([]byte("another")) }),
		serve(t, "endless", &lost, func(w http.ResponseWriter, _ Hash) { _, _ = w.Write([]byte(strings.Repeat("x", 1<<20))) }),
		serve(t, "bouncer", &lost, func(w http.ResponseWriter, _ Hash) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(302)
		}),
		serve(t, "has", &has, func(w http.ResponseWriter, _ Hash) { _, _ = w.Write(somePicture(t, 20)) }))
	if got, err := g.Get(ctx, elsewhere); err != nil || HashOf(got) != elsewhere {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if got, err := g.Here(elsewhere); err != nil || HashOf(got) != elsewhere {
		t.Errorf("not kept: %v", err)
	}
}

// Nobody can make a node ask others for what no profile shows, or again and again for what nobody has.
func TestGalleryAsksNoMoreThanItMust(t *testing.T) {
	var asked atomic.Int32
	h, other := HashOf([]byte("nobody has it")), HashOf([]byte("no profile shows it"))
	g := openGallery(t, t.TempDir(), shown{h: "peer"}, serve(t, "peer", &asked, func(w http.ResponseWriter, _ Hash) { w.WriteHeader(404) }))
	for range 50 {
		for _, h := range []Hash{h, other, "", "../../secret", Hash(strings.Repeat("Z", 64))} {
			if _, err := g.Get(t.Context(), h); !errors.Is(err, ErrUnknown) {
				t.Fatalf("%.8s: %v, want ErrUnknown", h, err)
			}
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the other node was asked %d times, want once", asked.Load())
	}
}

func TestGalleryIsBounded(t *testing.T) {
	folder, s := t.TempDir(), shown{}
	g := openGallery(t, folder, s)
	var all []Hash
	var size int64
	for i := range 10 {
		h, err := g.Add(t.Context(), asPNG(t, halves(50, 50, color.NRGBA{uint8(20 * i), 0, 0, 255}, blue)))
		if err != nil {
			t.Fatal(err)
		}
		all, s[h] = append(all, h), "here"
		if i == 4 {
			size = g.bytes
			g.bytesMax = size
		}
		if _, err := g.Here(all[0]); err != nil {
			t.Fatalf("the one that is asked for all the time is gone after %d: %v", i, err)
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil || g.bytes > size || len(files) != len(g.kept) {
		t.Errorf("%d bytes of at most %d in %d files of %d, %v", g.bytes, size, len(files), len(g.kept), err)
	}
	if _, err := g.Here(all[1]); !errors.Is(err, ErrUnknown) {
		t.Errorf("the one not asked for longest: %v, want ErrUnknown", err)
	}
	// A file that was cut short, or is no picture's, is found out; the rest is still there after a restart.
	if err := os.WriteFile(filepath.Join(folder, string(all[0])), []byte("cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again := openGallery(t, folder, s)
	if _, err := again.Here(all[0]); !errors.Is(err, ErrUnknown) {
		t.Errorf("a damaged file: %v, want ErrUnknown", err)
	}
	if _, err := again.Here(all[9]); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if _, err := os.Stat(filepath.Join(folder, "tmp")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file left behind: %v", err)
	}
}

// Whoever waits for their picture's turn does not wait for ever.
func TestGalleryDecodesOneAtATime(t *testing.T) {
	g := openGallery(t, t.TempDir(), shown{})
	g.decoding <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := g.Add(ctx, asPNG(t, halves(5, 5, red, blue))); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	<-g.decoding
	if _, err := g.Add(t.Context(), asPNG(t, halves(5, 5, red, blue))); err != nil {
		t.Error(err)
	}
}
