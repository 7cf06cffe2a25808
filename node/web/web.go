// Package web is the client that people open in a browser: the sources of a small TypeScript program, what `npm run build`
// makes of them embedded in the binary, and the handler that serves it. It knows nothing of rooms but the lines for previews of their links that it is given; the program speaks to
// the node through /v1 like any other client. A Handler is immutable and safe for concurrent use.
//
// The bundle is never committed. A binary built without it still works: the handler then answers every page with 503 and
// says how to build it, and the API beside it is untouched.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"rotunda"
)

//go:embed all:dist
var dist embed.FS

// unbuilt is the answer of a binary that was compiled before the bundle was.
const unbuilt = `The web client is not part of this build.

Run "make build" (or, inside node/web, "npm ci && npm run build") and build the binary again.
The API under /v1 and the terminal client (rotunda speak, rotunda listen) work without it.
`

// policy is the Content-Security-Policy of every page. Scripts, styles and pictures come from this node alone and nothing is
// inline or evaluated. The client may call other nodes, whose names nobody can know here: a listener moves to another one
// when this one fails.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; " +
	"manifest-src 'self'; connect-src 'self' https: http:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// gzipMin is the size in bytes from which compressing pays: less fits into one packet anyway.
const gzipMin = 1400

// asset is one file, ready to be written.
type asset struct {
	body, gzipped []byte // gzipped is nil where it would not help
	mediaType     string
	etag          string
	cache         string // Cache-Control
}

// Handler serves the embedded client: the page at / and /r/{room}, and the files it asks for. Everything else is 404, so
// it can be the last resort of the node's mux. Only GET and HEAD are answered.
//
// Tags answers the lines that the head of the page of a room has for those who show a preview of its link, HTML and already
// escaped; "" is the lobby's. Nil: there are none.
func Handler(tags func(room rotunda.RoomID) string) http.Handler {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the directive above and this name disagree: our bug
	}
	h, err := newHandler(files, tags)
	if err != nil {
		panic(err) // an embedded file cannot fail to be read
	}
	return h
}

// newHandler reads the whole bundle once; it is a few hundred kilobytes.
func newHandler(files fs.FS, tags func(rotunda.RoomID) string) (http.Handler, error) {
	assets := map[string]*asset{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		a, err := newAsset(name, body)
		if err != nil {
			return err
		}
		assets["/"+name] = a
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the bundle: %w", err)
	}
	mux := http.NewServeMux()
	page := func(w http.ResponseWriter, r *http.Request) {
		a := assets["/index.html"]
		if a != nil && tags != nil {
			a = a.withHead(tags(rotunda.RoomID(r.PathValue("room"))))
		}
		servePage(w, r, a)
	}
	mux.HandleFunc("GET /{$}", page)
	mux.HandleFunc("GET /r/{room}", page)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		a := assets[r.URL.Path]
		if a == nil || r.URL.Path == "/index.html" {
			guard(w)
			http.NotFound(w, r)
			return
		}
		a.serve(w, r)
	})
	return mux, nil
}

func newAsset(name string, body []byte) (*asset, error) {
	a := &asset{body: body, mediaType: mime.TypeByExtension(path.Ext(name)), cache: "no-cache"}
	switch path.Ext(name) { // the few that matter, whatever the machine's own table says
	case ".js":
		a.mediaType = "text/javascript; charset=utf-8"
	case ".css":
		a.mediaType = "text/css; charset=utf-8"
	case ".html":
		a.mediaType = "text/html; charset=utf-8"
	case ".webmanifest":
		a.mediaType = "application/manifest+json"
	}
	if strings.HasPrefix(name, "assets/") { // named by a hash of their content
		a.cache = "public, max-age=31536000, immutable"
	}
	a.etag = tagOf(body)
	if len(body) < gzipMin {
		return a, nil
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(body); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if b.Len() < len(body) {
		a.gzipped = b.Bytes()
	}
	return a, nil
}

// withHead is the page with more lines at the end of its head. It is made for one answer and not compressed: it has two kilobytes. Like the
// page without them it is asked for again each time, by its tag, because it names the bundle's files, which an upgrade replaces.
func (a *asset) withHead(more string) *asset {
	before, after, ok := bytes.Cut(a.body, []byte("</head>"))
	if !ok {
		return a
	}
	body := slices.Concat(before, []byte(more), []byte("</head>"), after)
	return &asset{body: body, mediaType: a.mediaType, etag: tagOf(body), cache: a.cache}
}

// tagOf is the entity tag of a body.
func tagOf(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

func servePage(w http.ResponseWriter, r *http.Request, page *asset) {
	if page == nil {
		guard(w)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(unbuilt))
		return
	}
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Permissions-Policy", "microphone=(self), camera=(), geolocation=()")
	w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
	page.serve(w, r)
}

// guard sets what belongs on every answer. A link can carry a token (#token=…, ?token=…): it is never sent on as a referrer.
func guard(w http.ResponseWriter) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if h.Get("Content-Security-Policy") == "" {
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	}
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	guard(w)
	h := w.Header()
	h.Set("Cache-Control", a.cache)
	h.Set("Vary", "Accept-Encoding")
	body, tag := a.body, a.etag
	if a.gzipped != nil && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body, tag = a.gzipped, strings.TrimSuffix(a.etag, `"`)+`-gz"` // a strong tag names the bytes sent (RFC 9110 §8.8.3.3)
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	if matches(r.Header.Get("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", a.mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a reader that went away is its own affair
	}
}

// acceptsGzip reads Accept-Encoding as far as we need it: gzip named, and not with q=0 (RFC 9110 §12.5.3).
func acceptsGzip(header string) bool {
	for field := range strings.SplitSeq(header, ",") {
		coding, weight, _ := strings.Cut(field, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q, found := strings.CutPrefix(strings.TrimSpace(weight), "q=")
			v, err := strconv.ParseFloat(q, 64)
			return !found || err != nil || v > 0
		}
	}
	return false
}

// matches is the weak comparison of If-None-Match (RFC 9110 §13.1.2).
func matches(header, tag string) bool {
	for field := range strings.SplitSeq(header, ",") {
		if f := strings.TrimSpace(field); f == "*" || strings.TrimPrefix(f, "W/") == tag {
			return true
		}
	}
	return false
}
