package card

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
	"weak"

	"golang.org/x/time/rate"

	"rotunda"
)

// Bounds of the work that strangers can cause. A picture costs some 60 ms of a core.
const (
	keptMax       = 128 // pictures, of at most sizeMax bytes each
	drawnPerSec   = 4
	drawnAtOnce   = 12
	pictureFresh  = time.Minute      // how long others may show a picture without asking again
	stopgapFresh  = 10 * time.Second // the same for one that is not of the room as it is
	versionLength = 8
)

// Config is what a Server needs.
type Config struct {
	URL    string                               // of this node, as browsers have it, without a slash at the end
	Look   func(id rotunda.RoomID) (Card, bool) // false: there is no such room, or it is not to be spoken of
	Logger *slog.Logger
}

// Server answers for the previews of rooms' links: Tags for their pages, ServeHTTP for their pictures.
type Server struct {
	cfg   Config
	none  picture // of no room
	drawn *rate.Limiter

	drawing sync.Mutex            // held while painter draws
	painter weak.Pointer[painter] // 9 MiB that a node of which nobody asks for pictures has not to keep

	mu   sync.Mutex // guards the rest
	kept map[rotunda.RoomID]picture
	used []rotunda.RoomID // the keys of kept; the one drawn longest ago comes first
}

// picture is what was drawn of a card.
type picture struct {
	of   Card
	png  []byte
	etag string
}

// New makes a Server, and draws the one picture that is always there.
func New(cfg Config) (*Server, error) {
	p, err := newPainter()
	if err != nil {
		return nil, err
	}
	blank, err := p.blank()
	if err != nil {
		return nil, fmt.Errorf("the picture of no room: %w", err)
	}
	return &Server{
		cfg: cfg, painter: weak.Make(p), none: newPicture(Card{}, blank), drawn: rate.NewLimiter(drawnPerSec, drawnAtOnce), kept: map[rotunda.RoomID]picture{},
	}, nil
}

func newPicture(of Card, b []byte) picture {
	return picture{of: of, png: b, etag: `"` + digest(b) + `"`}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// version is short and another one where the card is.
func (c Card) version() string {
	return digest(fmt.Appendf(nil, "%+v", c))[:versionLength]
}

// Tags are the lines of HTML that the page of a room, or with "" the page of none, has in its head. All of it is escaped.
func (s *Server) Tags(id rotunda.RoomID) string {
	if c, ok := s.cfg.Look(id); ok {
		return pageOf(s.cfg.URL, c).tags()
	}
	return pageOfNone(s.cfg.URL, id).tags()
}

// ServeHTTP answers the picture of the room that the path's {room} names, and without one the picture of none.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin") // it is made to be shown elsewhere
	shown, fresh := s.none, pictureFresh
	if id := r.PathValue("room"); id != "" {
		c, ok := s.cfg.Look(rotunda.RoomID(id))
		if !ok {
			http.NotFound(w, r)
			return
		}
		if shown = s.pictureOf(c); shown.of != c {
			fresh = stopgapFresh
		}
	}
	h.Set("Content-Type", "image/png")
	h.Set("ETag", shown.etag)
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(fresh/time.Second)))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(shown.png))
}

// pictureOf is the room's picture: the one that is kept, a new one, or, where too many are wanted, the nearest to it that there is.
func (s *Server) pictureOf(c Card) picture {
	known, ok := s.lookUp(c.Room)
	if ok && known.of == c {
		return known
	}
	if !ok {
		known = s.none
	}
	if !s.drawn.Allow() {
		return known
	}
	s.drawing.Lock()
	defer s.drawing.Unlock()
	if now, ok := s.lookUp(c.Room); ok && now.of == c { // somebody else wanted it too
		return now
	}
	b, err := s.draw(c)
	if err != nil {
		s.cfg.Logger.Error("a room's picture was not drawn", "room", c.Room, "error", err)
		return known
	}
	drawn := newPicture(c, b)
	s.keep(drawn)
	return drawn
}

// draw draws with the painter of last time, where that is still there. s.drawing is held.
func (s *Server) draw(c Card) ([]byte, error) {
	p := s.painter.Value()
	if p == nil {
		var err error
		if p, err = newPainter(); err != nil {
			return nil, err
		}
		s.painter = weak.Make(p)
	}
	return p.paint(c)
}

func (s *Server) lookUp(id rotunda.RoomID) (picture, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.kept[id]
	return p, ok
}

// keep replaces the room's picture; the one that was drawn longest ago goes when there are too many.
func (s *Server) keep(p picture) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.kept[p.of.Room]; ok {
		for i, id := range s.used {
			if id == p.of.Room {
				s.used = append(s.used[:i], s.used[i+1:]...)
				break
			}
		}
	}
	s.kept[p.of.Room] = p
	s.used = append(s.used, p.of.Room)
	if len(s.used) > keptMax {
		delete(s.kept, s.used[0])
		s.used = append(s.used[:0], s.used[1:]...)
	}
}
