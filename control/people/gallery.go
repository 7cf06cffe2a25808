package people

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"rotunda"
)

// Bounds of a gallery.
const (
	// galleryMax is how many bytes of pictures a node keeps; those not asked for longest go first.
	galleryMax = 256 << 20
	// fetchMax is how long another node may take to hand a picture over, and peersMax how many are asked.
	fetchMax = 2 * time.Second
	peersMax = 4
	// missingLife is for how long a picture that nobody had is not asked for again, missingMax how many such are remembered.
	missingLife = 30 * time.Second
	missingMax  = 4096
)

// GalleryConfig is what a Gallery needs.
type GalleryConfig struct {
	Folder  string                                      // made where it does not exist
	Self    rotunda.NodeID                              // this node, which is not asked
	Members func() []rotunda.Member                     // whom to ask for pictures; nil: nobody
	Shown   func(Hash) (origin rotunda.NodeID, ok bool) // Store.Shown: only these are asked for
	Client  *http.Client                                // nil: one that follows no redirect and uses no proxy
	Now     func() time.Time                            // nil: time.Now
}

// Gallery keeps pictures in a folder, as a cache with a bound: what is missing here is fetched from another node, first of
// all from the one that took it, and believed because of its hash. Only members of the mesh are ever asked, never an
// address that somebody sent.
type Gallery struct {
	cfg      GalleryConfig
	root     *os.Root
	bytesMax int64
	decoding chan struct{} // capacity 1: holds a token while a picture is decoded, which takes memory; never closed

	mu      sync.Mutex // guards the rest
	kept    map[Hash]*keptPicture
	bytes   int64
	clock   uint64 // counts uses
	running map[Hash]*fetching
	missing map[Hash]time.Time // when it was looked for in vain
}

type keptPicture struct {
	size int64
	used uint64
}

type fetching struct {
	done    chan struct{} // closed when the rest is set
	picture []byte
	err     error
}

// OpenGallery opens the folder of pictures. Close it.
func OpenGallery(cfg GalleryConfig) (*Gallery, error) {
	if err := os.MkdirAll(cfg.Folder, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(cfg.Folder)
	if err != nil {
		return nil, err
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{
			Transport:     &http.Transport{MaxResponseHeaderBytes: 16 << 10, MaxIdleConnsPerHost: 1, IdleConnTimeout: 10 * time.Second},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	g := &Gallery{
		cfg: cfg, root: root, bytesMax: galleryMax, decoding: make(chan struct{}, 1), kept: map[Hash]*keptPicture{},
		running: map[Hash]*fetching{}, missing: map[Hash]time.Time{},
	}
	if err := g.scan(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return g, nil
}

// Close lets go of the folder.
func (g *Gallery) Close() error {
	g.cfg.Client.CloseIdleConnections()
	return g.root.Close()
}

// scan takes stock of the folder, the files written last counting as used last.
func (g *Gallery) scan() error {
	folder, err := g.root.Open(".")
	if err != nil {
		return err
	}
	defer folder.Close()
	files, err := folder.ReadDir(-1)
	if err != nil {
		return err
	}
	infos := make([]os.FileInfo, 0, len(files))
	for _, f := range files {
		info, err := f.Info()
		if err == nil && Hash(f.Name()).Valid() && info.Mode().IsRegular() {
			infos = append(infos, info)
		} else if err == nil { // left behind by a node that was killed while it wrote
			err = g.root.RemoveAll(f.Name())
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	slices.SortFunc(infos, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range infos {
		g.clock++
		g.kept[Hash(info.Name())] = &keptPicture{info.Size(), g.clock}
		g.bytes += info.Size()
	}
	return nil
}

// Add makes a picture of an upload, keeps it and returns its name. One is made at a time: it takes memory. Errors:
// ErrInvalid; ErrUnavailable where ctx ends before its turn.
func (g *Gallery) Add(ctx context.Context, upload []byte) (Hash, error) {
	select {
	case g.decoding <- struct{}{}:
	case <-ctx.Done():
		return "", fmt.Errorf("others' pictures come first: %w", ErrUnavailable)
	}
	picture, err := Square(upload)
	<-g.decoding
	if err != nil {
		return "", err
	}
	h := HashOf(picture)
	return h, g.keep(h, picture)
}

// Here is the picture if this node has it. The error wraps ErrUnknown where it has not.
func (g *Gallery) Here(h Hash) ([]byte, error) {
	g.mu.Lock()
	k := g.kept[h]
	if k != nil {
		g.clock++
		k.used = g.clock
	}
	g.mu.Unlock()
	if k == nil {
		return nil, fmt.Errorf("picture: %w", ErrUnknown)
	}
	picture, err := g.root.ReadFile(string(h))
	if err == nil && HashOf(picture) == h {
		return picture, nil
	}
	g.drop(h) // gone or damaged: another node's is as good
	return nil, fmt.Errorf("picture: %w", ErrUnknown)
}

// Get is the picture, fetched from another node where this one has not got it. The error wraps ErrUnknown where nobody
// has, and for pictures that no profile shows.
func (g *Gallery) Get(ctx context.Context, h Hash) ([]byte, error) {
	if !h.Valid() {
		return nil, fmt.Errorf("picture: %w", ErrUnknown)
	}
	origin, shown := g.cfg.Shown(h)
	if !shown {
		return nil, fmt.Errorf("picture: %w", ErrUnknown)
	}
	if picture, err := g.Here(h); err == nil {
		return picture, nil
	}
	g.mu.Lock()
	if g.kept[h] != nil { // since it was looked for
		g.mu.Unlock()
		return g.Here(h)
	}
	f := g.running[h]
	if f == nil {
		if at, ok := g.missing[h]; ok && g.cfg.Now().Sub(at) < missingLife {
			g.mu.Unlock()
			return nil, fmt.Errorf("picture: %w", ErrUnknown)
		}
		f = &fetching{done: make(chan struct{})}
		g.running[h] = f
		g.mu.Unlock()
		g.fetch(ctx, origin, h, f)
		return f.picture, f.err
	}
	g.mu.Unlock()
	select {
	case <-f.done:
		return f.picture, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("picture: %w", ErrUnavailable)
	}
}

// fetch asks other nodes for the picture, and tells everybody who waits for it.
func (g *Gallery) fetch(ctx context.Context, origin rotunda.NodeID, h Hash, f *fetching) {
	// Whoever asked first may leave; the others still wait.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*fetchMax)
	defer cancel()
	f.err = fmt.Errorf("picture: %w", ErrUnknown)
	for _, m := range g.peers(origin) {
		picture, err := g.ask(ctx, m, h)
		if err == nil {
			f.picture, f.err = picture, nil
			_ = g.keep(h, picture) // a full disk keeps nobody from seeing it
			break
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, h)
	if f.err != nil {
		if len(g.missing) >= missingMax {
			clear(g.missing)
		}
		g.missing[h] = g.cfg.Now()
	}
	close(f.done)
}

// peers are whom to ask, the node that took the picture first.
func (g *Gallery) peers(origin rotunda.NodeID) []rotunda.Member {
	if g.cfg.Members == nil {
		return nil
	}
	list := slices.DeleteFunc(slices.Clone(g.cfg.Members()), func(m rotunda.Member) bool {
		return m.ID == g.cfg.Self || !m.State.Up() || m.Addresses.HTTP == ""
	})
	slices.SortStableFunc(list, func(a, b rotunda.Member) int {
		switch {
		case a.ID == origin && b.ID != origin:
			return -1
		case b.ID == origin && a.ID != origin:
			return 1
		}
		return 0
	})
	return list[:min(len(list), peersMax)]
}

// ask fetches a picture from one node, which does not ask others.
func (g *Gallery) ask(ctx context.Context, m rotunda.Member, h Hash) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchMax)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.Addresses.HTTP+"/v1/avatars/"+string(h)+"?here=true", nil)
	if err != nil {
		return nil, err
	}
	res, err := g.cfg.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d: %w", m.ID, res.StatusCode, ErrUnknown)
	}
	picture, err := io.ReadAll(io.LimitReader(res.Body, PictureMax+1))
	if err != nil {
		return nil, err
	}
	if HashOf(picture) != h {
		return nil, fmt.Errorf("%s answers with another picture: %w", m.ID, ErrInvalid)
	}
	return picture, nil
}

// keep writes the picture and makes room for it.
func (g *Gallery) keep(h Hash, picture []byte) error {
	g.mu.Lock()
	_, have := g.kept[h]
	g.mu.Unlock()
	if have {
		return nil
	}
	// A file that is cut short by a crash does not fit its name, and is found out when it is read.
	if err := g.root.WriteFile(string(h), picture, 0o600); err != nil {
		return fmt.Errorf("keep a picture: %w", err)
	}
	g.mu.Lock()
	if _, have := g.kept[h]; !have {
		g.clock++
		g.kept[h] = &keptPicture{int64(len(picture)), g.clock}
		g.bytes += int64(len(picture))
	}
	delete(g.missing, h)
	var old []Hash
	for left := g.bytes; left > g.bytesMax && len(old) < len(g.kept)-1; {
		oldest := g.oldest(old)
		left -= g.kept[oldest].size
		old = append(old, oldest)
	}
	g.mu.Unlock()
	for _, h := range old {
		g.drop(h)
	}
	return nil
}

// oldest is the picture not used for longest, besides some. g.mu is held.
func (g *Gallery) oldest(besides []Hash) (oldest Hash) {
	for h, k := range g.kept {
		if (oldest == "" || k.used < g.kept[oldest].used) && !slices.Contains(besides, h) {
			oldest = h
		}
	}
	return oldest
}

// drop takes a picture out of the folder.
func (g *Gallery) drop(h Hash) {
	g.mu.Lock()
	if k := g.kept[h]; k != nil {
		g.bytes -= k.size
		delete(g.kept, h)
	}
	g.mu.Unlock()
	_ = g.root.Remove(string(h)) // what stays is found at the next start
}
