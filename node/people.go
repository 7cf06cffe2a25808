package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"rotunda"
	"rotunda/cascade/nodecert"
	"rotunda/control/api"
	"rotunda/control/eventlog"
	"rotunda/control/oidc"
	"rotunda/control/people"
	"rotunda/control/token"
	"rotunda/node/config"
)

// floodRefusal is the kind of messages that say who is refused while the log is away, and refusalContext what they are sealed
// for.
const (
	floodRefusal   uint8 = 2
	refusalContext       = "rotunda refusal 1"
)

// refusals is how bans and tokens taken back get around without the log: signed with the node's key, over the mesh's own
// links.
func (n *Node) refusals() *people.Outage {
	return &people.Outage{
		Dir: filepath.Join(n.cfg.Data, "refusals"),
		Seal: func(message []byte) ([]byte, error) {
			return nodecert.Seal(n.identity.Load().Certificate, refusalContext, message)
		},
		Open: func(sealed []byte) ([]byte, error) {
			_, message, err := nodecert.Open(n.identity.Load().Roots, time.Now(), refusalContext, sealed)
			return message, err
		},
		Spread: func(sealed []byte) error { return n.mesh.Flood(floodRefusal, sealed) },
	}
}

// openPeople opens this node's view of the people: who is refused, and what they say and show of themselves.
func (n *Node) openPeople(log eventlog.Log) (*people.Store, *people.Gallery, error) {
	store := people.New(people.Config{Log: log, Logger: n.logger, Outage: n.refusals()})
	n.mesh.OnFlood(floodRefusal, func(from rotunda.NodeID, sealed []byte) {
		if err := store.Heard(sealed); err != nil {
			n.logger.Warn("a refusal without the log that is not believed", "from", from, "error", err)
		}
	})
	pictures, err := people.OpenGallery(people.GalleryConfig{
		Folder: filepath.Join(n.cfg.Data, "avatars"), Self: n.cfg.ID, Members: n.mesh.Members, Shown: store.Shown,
	})
	n.holders.refused = store.Refused
	return store, pictures, err
}

// openSignIn returns the operator's identity provider; nil: there is none.
func openSignIn(cfg config.OIDC) (*oidc.Provider, error) {
	if cfg.Issuer == "" {
		return nil, nil
	}
	secret := []byte(nil)
	if cfg.ClientSecretFile != "" {
		var err error
		if secret, err = os.ReadFile(cfg.ClientSecretFile); err != nil {
			return nil, fmt.Errorf("oidc.client_secret_file: %w", err)
		}
	}
	return oidc.New(oidc.Config{
		Issuer: cfg.Issuer, ClientID: cfg.ClientID, ClientSecret: strings.TrimSpace(string(secret)), RedirectURL: cfg.RedirectURL, Scopes: cfg.Scopes,
	})
}

// endRefused ends what those have open whose token is believed no more, as soon as the log says so.
func (n *Node) endRefused(ctx context.Context, store *people.Store, door *api.API) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-store.Changed():
		}
		door.EndRefused()
		n.holders.endRefused()
	}
}

// closer is a media session.
type closer interface{ Close() }

// holders are the media sessions with the tokens that they were opened with.
type holders struct {
	refused func(token.Claims) error // set before the first session

	mu   sync.Mutex // guards open
	open map[closer]token.Claims
}

func (h *holders) add(s closer, c token.Claims) {
	h.mu.Lock()
	if h.open == nil {
		h.open = map[closer]token.Claims{}
	}
	h.open[s] = c
	h.mu.Unlock()
	if h.refused(c) != nil { // since it was asked for
		s.Close()
	}
}

func (h *holders) remove(s closer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, s)
}

// endRefused closes the sessions whose token is refused.
func (h *holders) endRefused() {
	h.mu.Lock()
	var over []closer
	for s, c := range h.open {
		if h.refused(c) != nil {
			over = append(over, s)
		}
	}
	h.mu.Unlock()
	for _, s := range over {
		s.Close()
	}
}
