package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"rotunda"
)

var script = strings.Repeat("console.log('hear, hear');\n", 100)

func bundle(t *testing.T) http.Handler {
	t.Helper()
	h, err := newHandler(fstest.MapFS{
		".gitkeep":              {},
		"index.html":            {Data: []byte("<!doctype html><title>Rotunda</title>")},
		"favicon.svg":           {Data: []byte("<svg/>")},
		"assets/app-ABC123.js":  {Data: []byte(script)},
		"assets/app-DEF456.css": {Data: []byte("body{}")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, target string, header http.Header) *http.Response {
	r := httptest.NewRequest("GET", target, nil)
	for k, v := range header {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestRoutes(t *testing.T) {
	h := bundle(t)
	for _, c := range []struct {
		target, mediaType, cache string
		status                   int
	}{
		{"/", "text/html; charset=utf-8", "no-cache", 200},
		{"/r/k3v9", "text/html; charset=utf-8", "no-cache", 200},
		{"/r/k3v9?token=x", "text/html; charset=utf-8", "no-cache", 200},
		{"/favicon.svg", "image/svg+xml", "no-cache", 200},
		{"/assets/app-ABC123.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", 200},
		{"/assets/app-DEF456.css", "text/css; charset=utf-8", "public, max-age=31536000, immutable", 200},
		{"/index.html", "text/plain; charset=utf-8", "", 404},
		{"/.gitkeep", "text/plain; charset=utf-8", "", 404},
		{"/assets/", "text/plain; charset=utf-8", "", 404},
		{"/r/", "text/plain; charset=utf-8", "", 404},
		{"/r/a/b", "text/plain; charset=utf-8", "", 404},
		{"/nothing", "text/plain; charset=utf-8", "", 404},
	} {
		r := get(h, c.target, nil)
		if r.StatusCode != c.status || r.Header.Get("Content-Type") != c.mediaType || r.Header.Get("Cache-Control") != c.cache {
			t.Errorf("GET %s = %d %q, cache %q; want %d %q, cache %q", c.target, r.StatusCode, r.Header.Get("Content-Type"),
				r.Header.Get("Cache-Control"), c.status, c.mediaType, c.cache)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("GET %s: not guarded: %v", c.target, r.Header)
		}
	}
}

func TestPolicyForbidsWhatIsInlineOrForeign(t *testing.T) {
	got := get(bundle(t), "/r/k3v9", nil).Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "connect-src 'self' https: http:"} {
		if !strings.Contains(got, want) {
			t.Errorf("policy %q lacks %q", got, want)
		}
	}
	if strings.Contains(got, "unsafe") {
		t.Errorf("policy %q allows something unsafe", got)
	}
}

func TestOnlyReading(t *testing.T) {
	w := httptest.NewRecorder()
	bundle(t).ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST / = %d, want 405", w.Code)
	}
}

func TestEncodingsAndTags(t *testing.T) {
	h := bundle(t)
	const target = "/assets/app-ABC123.js"
	plain, packed := get(h, target, nil), get(h, target, http.Header{"Accept-Encoding": {"br, gzip;q=0.8"}})
	if packed.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("Content-Encoding") != "" {
		t.Fatalf("encodings %q and %q, want gzip and none", packed.Header.Get("Content-Encoding"), plain.Header.Get("Content-Encoding"))
	}
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(z); string(b) != script {
		t.Error("the compressed answer is another file")
	}
	if refused := get(h, target, http.Header{"Accept-Encoding": {"gzip;q=0"}}); refused.Header.Get("Content-Encoding") != "" {
		t.Error("gzip sent to a client that refuses it")
	}
	if plain.Header.Get("ETag") == packed.Header.Get("ETag") {
		t.Error("one strong tag for two byte strings")
	}
	again := get(h, target, http.Header{"If-None-Match": {`"other", W/` + plain.Header.Get("ETag")}})
	if b, _ := io.ReadAll(again.Body); again.StatusCode != 304 || len(b) != 0 {
		t.Errorf("conditional GET = %d with %d bytes, want an empty 304", again.StatusCode, len(b))
	}
}

func TestWithoutABundle(t *testing.T) {
	h, err := newHandler(fstest.MapFS{".gitkeep": {}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/", "/r/k3v9"} {
		r := get(h, target, nil)
		b, _ := io.ReadAll(r.Body)
		if r.StatusCode != 503 || !strings.Contains(string(b), "make build") {
			t.Errorf("GET %s = %d %q, want 503 that says how to build", target, r.StatusCode, b)
		}
	}
}

// The embedded bundle is whatever this checkout has built; the handler must stand either way.
func TestHandlerServesTheEmbeddedBundleOrSaysThatThereIsNone(t *testing.T) {
	if r := get(Handler(nil), "/", nil); r.StatusCode != 200 && r.StatusCode != 503 {
		t.Errorf("GET / = %d", r.StatusCode)
	}
}

// What a preview of a link needs is in the head of that room's page; the page's policy stays, and its tag follows the content.
func TestTagsOfAPage(t *testing.T) {
	said := map[rotunda.RoomID]string{"k3v9": `<meta property="og:title" content="Tides" />`, "": `<meta property="og:title" content="Rotunda" />`}
	h, err := newHandler(fstest.MapFS{"index.html": {Data: []byte("<!doctype html><html><head><title>Rotunda</title></head><body></body></html>")}},
		func(room rotunda.RoomID) string { return said[room] })
	if err != nil {
		t.Fatal(err)
	}
	for target, room := range map[string]rotunda.RoomID{"/": "", "/r/k3v9": "k3v9", "/r/k3v9?token=x": "k3v9"} {
		r := get(h, target, http.Header{"Accept-Encoding": {"gzip"}})
		b, _ := io.ReadAll(r.Body)
		if want := "<title>Rotunda</title>" + said[room] + "</head><body>"; !strings.Contains(string(b), want) {
			t.Errorf("GET %s: %s, want %s in it", target, b, want)
		}
		if r.Header.Get("Content-Security-Policy") != policy || r.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("GET %s: headers %v", target, r.Header)
		}
		if again := get(h, target, http.Header{"If-None-Match": {r.Header.Get("ETag")}}); again.StatusCode != 304 {
			t.Errorf("GET %s again = %d, want 304", target, again.StatusCode)
		}
	}
	before := get(h, "/r/k3v9", nil).Header.Get("ETag")
	said["k3v9"] = `<meta property="og:title" content="Sandbanks" />`
	if r := get(h, "/r/k3v9", http.Header{"If-None-Match": {before}}); r.StatusCode != 200 {
		t.Errorf("after a change: %d, want 200", r.StatusCode)
	}
}
