package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"rotunda"
	"rotunda/control/api"
	"rotunda/control/room"
	"rotunda/node/card"
	"rotunda/node/config"
	"rotunda/node/web"
	"rotunda/node/whip"
)

// Bounds of the HTTP servers (reliability.md, T17). Answers that stream set write deadlines of their own.
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 60 * time.Second
	headerMax     = 16 << 10
	stopTimeout   = 3 * time.Second
)

// closeSockets undoes openSockets for a node that is not going to run.
func (n *Node) closeSockets() error {
	var errs []error
	for _, l := range []net.Listener{n.admin, n.scraped, n.web} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	if n.media != nil {
		errs = append(errs, n.media.Close())
	}
	if n.listeners != nil {
		errs = append(errs, n.listeners.Close())
	}
	return errors.Join(errs...)
}

// openDoor serves the page, and keeps its certificate where an authority gives that by itself: it looks for it behind the door.
func (n *Node) openDoor(ctx context.Context, door *api.API) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.serveWeb(gctx, door) })
	if n.acme != nil {
		g.Go(func() error { return n.acme.Run(gctx) })
	}
	return g.Wait()
}

// serveWeb serves the web client, the API and the media sessions' HTTP.
func (n *Node) serveWeb(ctx context.Context, door *api.API) error {
	relays, err := openRelays(n.cfg.TURN)
	if err != nil {
		return err
	}
	media := whip.New(whip.Config{
		Relays: relays,
		Admit:  door.AdmitSession, Authenticate: door.Authenticate, Problem: api.WriteProblem, Open: n.open, Metrics: n.metrics,
		Refused: func(r *http.Request, q whip.Refusal) { n.refused(door, r, q) },
	})
	mux := http.NewServeMux()
	cards, err := card.New(card.Config{URL: strings.TrimSuffix(n.cfg.HTTP.URL, "/"), Look: n.cardOf, Logger: n.logger})
	if err != nil {
		return err
	}
	mux.Handle("/", web.Handler(cards.Tags))
	mux.Handle("GET /card.png", cards)
	mux.Handle("GET /r/{room}/card.png", cards)
	mux.Handle("/v1/", door.Handler())
	mux.Handle("/v1/rooms/{room}", door.Within(door.Handler()))
	mux.Handle("/v1/rooms/{room}/", door.Within(door.Handler()))
	for _, kind := range []whip.Kind{whip.Publish, whip.Play} {
		mux.Handle("/v1/rooms/{room}/"+string(kind), door.Within(media))
		mux.Handle("/v1/rooms/{room}/"+string(kind)+"/{session}", media)
	}
	mux.Handle("GET /v1/rooms/{room}/listen.opus", door.Within(http.HandlerFunc(n.listenHTTP)))
	s := &http.Server{Handler: api.Identified(mux), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerMax}
	s.RegisterOnShutdown(door.CloseStreams)
	serve := s.Serve
	if s.TLSConfig = n.webTLS(); s.TLSConfig != nil {
		serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
	}
	return runServer(ctx, s, func() error { return serve(n.web) })
}

// openRelays reads what people are told of relays.
func openRelays(cfg config.TURN) (whip.Relays, error) {
	r := whip.Relays{URLs: cfg.URLs, Username: cfg.Username}
	for _, f := range []struct {
		key, name string
		to        func([]byte)
	}{
		{"turn.secret_file", cfg.SecretFile, func(b []byte) { r.Secret = b }},
		{"turn.password_file", cfg.PasswordFile, func(b []byte) { r.Password = string(b) }},
	} {
		if f.name == "" {
			continue
		}
		b, err := os.ReadFile(f.name)
		if err != nil {
			return r, fmt.Errorf("%s: %w", f.key, err)
		}
		if b = bytes.TrimSpace(b); len(b) == 0 || bytes.ContainsAny(b, "\r\n") {
			return r, fmt.Errorf("%s: %s has to have one line", f.key, f.name)
		}
		f.to(b)
	}
	return r, nil
}

// cardOf is what a room shows of itself where its link is pasted: what the lobby says of it, and nothing of one that is kept in regions.
func (n *Node) cardOf(id rotunda.RoomID) (card.Card, bool) {
	s, ok := n.control.Room(id)
	if !ok || id.Fenced() || s.State != room.Scheduled && s.State != room.Live && s.State != room.Ended { // a summary that cannot be read has none
		return card.Card{}, false
	}
	c := card.Card{Room: id, Title: s.Title, Host: s.HostName, State: s.State, Language: s.Language, OnStage: s.Speakers, Locked: s.Locked}
	if s.StartsAt != nil {
		c.StartsAt = s.StartsAt.UTC()
	}
	if present, known := (attendance{n.rooms}).Listeners(id); known {
		c.Listeners = present
	}
	return c, true
}

// announce closes ready when the log has been read and knows that this node has started anew.
func (n *Node) announce(ctx context.Context) error {
	began := time.Now()
	n.rooms.recover(ctx)
	if ctx.Err() != nil {
		return nil
	}
	n.logger.Info("ready", "url", n.cfg.HTTP.URL, "admin", n.admin.Addr().String(), "after", time.Since(began).Round(time.Millisecond))
	close(n.ready)
	return nil
}

// runServer serves until ctx ends and then gives the answers under way a moment to finish.
func runServer(ctx context.Context, s *http.Server, serve func() error) error {
	failed := make(chan error, 1)
	go func() { failed <- serve() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := s.Shutdown(grace); err != nil {
		err = s.Close() // event feeds do not finish by themselves
		if err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
	}
	<-failed
	return nil
}

// watched are the calls that change nothing and tell nothing of rooms and people: for who scrapes, and for probes.
func (n *Node) watched() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", n.metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, map[string]bool{"ok": true}) })
	mux.HandleFunc("GET /readyz", n.readyz)
	return mux
}

// serveAdmin serves metrics, health and the operator's verbs, from the very start; and metrics and health alone where that is asked for.
func (n *Node) serveAdmin(ctx context.Context) error {
	mux := n.watched()
	mux.HandleFunc("GET /v1/members", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, n.mesh.Members()) })
	mux.HandleFunc("GET /v1/rooms", n.listRooms)
	mux.HandleFunc("GET /v1/rooms/{room}/trace", n.traceRoom)
	n.adminLog(mux)
	n.adminDrain(mux)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	// A page that somebody on this machine looks at must not give an operator's orders.
	own := http.NewCrossOriginProtection().Handler(mux)
	g, gctx := errgroup.WithContext(ctx)
	serve := func(l net.Listener, h http.Handler) {
		s := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerMax}
		g.Go(func() error { return runServer(gctx, s, func() error { return s.Serve(l) }) })
	}
	serve(n.admin, own)
	if n.scraped != nil {
		serve(n.scraped, n.watched())
	}
	return g.Wait()
}

// readyz answers whether new people should be sent here, and if not, why not.
func (n *Node) readyz(w http.ResponseWriter, _ *http.Request) {
	answer := func(w http.ResponseWriter, status int, body map[string]any) {
		body["node"] = n.cfg.ID
		answer(w, status, body)
	}
	select {
	case <-n.ready:
	default:
		answer(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": "starting: the control log does not answer yet"})
		return
	}
	if until, draining := n.drain.deadline(); draining {
		answer(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": "draining", "until": until})
		return
	}
	if !n.control.Available() {
		// Live rooms go on without the log, and people may join them; only decisions wait.
		answer(w, http.StatusOK, map[string]any{"ready": true, "degraded": "the control log does not answer: no new decisions"})
		return
	}
	answer(w, http.StatusOK, map[string]any{"ready": true})
}

func (n *Node) listRooms(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-n.ready:
		answer(w, http.StatusOK, n.control.Rooms())
	default:
		answer(w, http.StatusServiceUnavailable, map[string]any{"ready": false})
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // nobody is left to tell of an error
}
