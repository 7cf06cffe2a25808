package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestFaces: somebody makes a profile with a picture, on one node, and others see it on another; and whatever else is sent as a picture
// or a name is refused, or shown as what it is: a picture, a name.
func TestFaces(t *testing.T) {
	mesh := startMesh(t)
	ada, bob := openBrowser(t, "Ada", adasVoice.record(t)), openBrowser(t, "Bob", bobsVoice.record(t))
	ada.open(mesh.urls[0] + "/?raw")
	ada.press("Start a room")
	ada.fill("What is it about?", "Faces")
	ada.fill("Your name", "Ada")
	ada.press("Open the room")
	ada.until("is in her room", phase("live"), patience)
	link := strings.TrimPrefix(ada.location(), mesh.urls[0])
	bob.open(mesh.urls[1] + link + "?raw")
	bob.fill("Your name", "Bob")
	bob.press("Start listening")
	bob.until("listens", phase("live"), patience)

	// Ada's profile: a picture from a file, wider than it is high, another name and a line about herself.
	ada.press("More")
	ada.press("Your profile")
	ada.uploads(broad(t))
	ada.until("sees her picture", `document.querySelector("dialog .avatar img")?.naturalWidth === 256`, patience)
	ada.fill("Your name", "Ada L.")
	ada.fill("A line about you", "Engines, and what they may weave")
	ada.look("profile-with-picture")
	ada.press("Save")
	ada.sees("Your profile is saved.")
	for _, p := range []*page{ada, bob} {
		p.until("sees her new name on stage", tile("Ada L.", "live", "false"), patience)
	}
	bob.open(bob.location()) // pictures are asked for once a visit
	bob.until("sees her picture", `document.querySelector(".person .avatar img")?.naturalWidth === 256`, patience)
	bob.press("Ada L., Host")
	bob.sees("Engines, and what they may weave")
	bob.look("person-with-picture")
	bob.closes()

	// What is not a picture in the browser's eyes is refused in words.
	ada.press("More")
	ada.press("Your profile")
	text := filepath.Join(t.TempDir(), "not.png")
	if err := os.WriteFile(text, []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="document.title='broken'">`), 0o644); err != nil {
		t.Fatal(err)
	}
	ada.uploads(text)
	ada.sees("This file is not a picture")
	ada.closes()

	hostileFaces(t, mesh, link, bob)
}

// broad is a file with a picture of 900 × 300 pixels.
func broad(t *testing.T) string {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 900, 300))
	for y := range 300 {
		for x := range 900 {
			m.Set(x, y, color.RGBA{uint8(x / 4), uint8(y), 120, 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "face.png")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// uploads puts a file into the page's one field for files.
func (p *page) uploads(file string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.SetUploadFiles(`dialog input[type=file]`, []string{file})); err != nil {
		p.t.Fatalf("%s: upload %s: %v", p.who, file, err)
	}
}

// hostileFaces sends what is no picture, or more than one thing at once, straight to the node; then somebody with the survivor for a face
// comes into the room, and looks like a picture to everybody.
func hostileFaces(t *testing.T, mesh *mesh, link string, looks *page) {
	eve := newCaller(t, mesh.urls[2], "Eve")
	const script = `<script>document.title='broken'</script>`
	var small bytes.Buffer
	if err := png.Encode(&small, image.NewRGBA(image.Rect(0, 0, 40, 40))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, kind, body string
	}{
		{"markup as a picture", "image/png", script},
		{"a drawing with a script", "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg"><script>document.title='broken'</script></svg>`},
		{"a picture of 30,000 × 30,000 pixels", "image/png", hugePNG(30_000, 30_000)},
		{"a picture with no pixels", "image/png", hugePNG(0, 0)},
		{"half a picture", "image/png", small.String()[:small.Len()/2]},
		{"three megabytes", "image/png", small.String() + strings.Repeat("x", 3<<20)},
		{"a page that begins as a picture", "image/gif", "GIF89a" + script},
	} {
		// Each by somebody else: an upload is dear, and nobody has many at once.
		if status, body := newCaller(t, mesh.urls[2], "Mallory").ask("PUT", "/v1/profile/avatar", c.kind, c.body); status < 400 || status >= 500 || status == http.StatusTooManyRequests {
			t.Errorf("%s: %d %s, want a refusal", c.what, status, body)
		}
	}
	for _, name := range []string{strings.Repeat("W", 10_000), "Eve\u202e", "a\x00b", ""} {
		if status, body := eve.ask("POST", "/v1/guests", "application/json", fmt.Sprintf(`{"name":%q}`, name)); status < 400 || status >= 500 {
			t.Errorf("a name of %d bytes: %d %.100s, want a refusal", len(name), status, body)
		}
	}
	// A picture that is a page too, for whoever sniffs: kept as a picture alone.
	var taken struct {
		Avatar string `json:"avatar"`
	}
	if status, body := eve.ask("PUT", "/v1/profile/avatar", "image/png", small.String()+script); status >= 300 {
		t.Fatalf("a picture with something behind it: %d %s", status, body)
	}
	eve.call("GET", "/v1/profile", "", http.StatusOK, &taken)
	for _, url := range mesh.urls {
		var kept []byte
		var header http.Header
		until(t, "every node has the picture", func() bool {
			a, err := http.Get(url + taken.Avatar)
			if err != nil {
				return false
			}
			defer a.Body.Close()
			var b bytes.Buffer
			_, err = b.ReadFrom(a.Body)
			kept, header = b.Bytes(), a.Header
			return err == nil && a.StatusCode == http.StatusOK
		})
		if bytes.Contains(kept, []byte("script")) {
			t.Errorf("%s keeps what was behind the picture", url)
		}
		if !strings.HasPrefix(header.Get("Content-Type"), "image/") || header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s serves it with %v", url, header)
		}
	}
	eve.call("POST", "/v1/rooms/"+strings.TrimPrefix(link, "/r/")+"/requests", "{}", http.StatusOK, nil)
	looks.until("is not broken", `!document.title.startsWith("broken") && document.querySelector("#app script") === null`, patience)
}

// hugePNG is the head of a picture that says it has so many pixels, and nothing behind it.
func hugePNG(width, height uint32) string {
	chunk := func(kind string, data []byte) string {
		var b bytes.Buffer
		_ = binary.Write(&b, binary.BigEndian, uint32(len(data)))
		b.WriteString(kind)
		b.Write(data)
		_ = binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(append([]byte(kind), data...)))
		return b.String()
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	return "\x89PNG\r\n\x1a\n" + chunk("IHDR", append(head, 8, 6, 0, 0, 0)) + chunk("IEND", nil)
}
