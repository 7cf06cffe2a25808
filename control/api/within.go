package api

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"rotunda"
	"rotunda/control"
)

// awayRetry is when to ask again for a room of whose regions no node answers.
const awayRetry = 5 * time.Second

// Within serves calls about a room with next, if this node may have to do with it. A room that is kept in regions elsewhere is
// told of nothing but where to go: pages by a problem that names nodes inside, because a browser follows a redirect to another
// origin without the token, and all others by a redirect. Rooms without a fence cost a look at their id.
func (a *API) Within(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := rotunda.RoomID(r.PathValue("room"))
		var outside *control.Outside
		if id.Fenced() && r.Method != http.MethodOptions {
			if _, known := a.cfg.Control.Fence(id); !known { // it may cost a read of the log
				if err := allow(a.limits.reads, a.cfg.Now(), a.address(r)); err != nil {
					secure(w.Header())
					share(w.Header())
					WriteProblem(w, r, err)
					return
				}
			}
			errors.As(a.cfg.Control.Enter(r.Context(), id), &outside)
		}
		if outside == nil {
			next.ServeHTTP(w, r)
			return
		}
		secure(w.Header())
		share(w.Header())
		p := a.outside(outside.Fence)
		if len(p.Edges) > 0 && r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Mode") == "" {
			w.Header().Set("Location", p.Edges[0].URL+r.URL.RequestURI())
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		WriteProblem(w, r, p)
	})
}

// outside is the answer to who asks for a room that is kept in the regions of f.
func (a *API) outside(f rotunda.Fence) *problem {
	edges := a.elsewhereIn(f, rand.Int())
	if len(edges) == 0 {
		p := rule{slug: "regions-away", title: "This room is kept in regions of which no node can be reached now", retry: awayRetry}.problem(http.StatusServiceUnavailable)
		p.Regions = f
		return p
	}
	p := rule{slug: "elsewhere", title: "This room is kept in other regions; ask a node there", retry: time.Second}.problem(http.StatusServiceUnavailable)
	p.Edges, p.Regions = edges, f
	return p
}
